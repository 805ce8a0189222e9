"""What is being done at the moment, on standard error: one line that changes on a terminal, else a line per step."""

import sys
import time


class Progress:
    def __init__(self, quiet=False):
        self.terminal = sys.stderr.isatty()
        self.quiet = quiet
        self.began = time.monotonic()
        self.first = None           # number of the first step of this call
        self.line = ""

    def write(self, text, stay):
        if self.quiet:
            return
        if self.terminal:
            sys.stderr.write(f"\r\033[K{text}" + ("\n" if stay else ""))
        elif stay:
            sys.stderr.write(f"benchmark: {text}\n")
        sys.stderr.flush()

    def begin(self, number, total, step):
        if self.first is None:
            self.first, self.began = number, time.monotonic()
        done, left = number - self.first, total - number
        seconds = (time.monotonic() - self.began) / done * left if done else None
        remaining = f", about {duration(seconds)} left" if seconds is not None else ""
        self.line = f"{number + 1} of {total}: {step['part']}, {step['subject']}, round {step['round'] + 1}{remaining}"
        self.write(self.line, stay=not self.terminal)

    def detail(self, text):
        if self.terminal:
            self.write(f"{self.line}: {text}", stay=False)

    def note(self, text):
        self.write(text, stay=True)

    def end(self):
        if self.terminal and not self.quiet and self.line:
            sys.stderr.write("\r\033[K")


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
