"""Calm output of a demonstration: one line per step, colours and a line in progress on a terminal alone."""

import contextlib
import os
import sys
import time

WIDTH = 72
COLOURS = {"good": "32", "bad": "31", "dim": "2", "bold": "1"}


class Screen:
    def __init__(self):
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.colours = self.terminal and "NO_COLOR" not in os.environ
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self.marks = {"good": "✓", "bad": "✗", "now": "·"} if utf8 else {"good": "ok", "bad": "FAILED", "now": ".."}
        self.in_progress = False
        self.notes = []

    def paint(self, text, colour):
        return f"\033[{COLOURS[colour]}m{text}\033[0m" if self.colours else text

    def write(self, text):
        sys.stdout.write(text)
        sys.stdout.flush()

    def line(self, text="", colour=None):
        self.clear()
        self.write((self.paint(text, colour) if colour else text) + "\n")

    def clear(self):
        """Takes the line in progress away."""
        if self.in_progress:
            self.write("\r\033[K")
            self.in_progress = False

    def progress(self, text):
        if self.terminal:
            self.clear()
            self.write(self.paint(f"  {self.marks['now']} {text} ...", "dim"))
            self.in_progress = True

    def note(self, text):
        """A line that stands below the step in progress once it is over."""
        self.notes.append(text)

    @contextlib.contextmanager
    def step(self, title):
        self.notes = []
        self.progress(title)
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self.finish("bad", title, began)
            raise
        self.finish("good", title, began)

    def finish(self, mark, title, began):
        self.clear()
        seconds = f"{time.monotonic() - began:.1f} s"
        text = f"{title:<{WIDTH - 8}}{seconds:>8}"
        self.line(f"  {self.paint(self.marks[mark], mark)} {text}")
        for note in self.notes:
            self.line(f"      {note}" if note else "", "dim")

    def table(self, rows):
        """Rows of (what, figure)."""
        widest = max(len(what) for what, _ in rows)
        rule = "-" * WIDTH
        self.line(f"  {rule}", "dim")
        for what, figure in rows:
            self.line(f"  {what:<{widest + 4}}{self.paint(figure, 'bold')}")
        self.line(f"  {rule}", "dim")
