#!/usr/bin/env python3
"""`cryprq top` in a pseudo-terminal: what is on the screen, keys, sizes, and the terminal afterwards. TAP."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4

SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """As much of a terminal as the program uses; anything else is a failure."""

    def __init__(self, rows, columns):
        self.alternate = False
        self.cursor_shown = True
        self.resize(rows, columns)
        self.rest = ""

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.lines = [" " * columns for _ in range(rows)]
        self.row = self.column = 0

    def control(self, arguments, final):
        if final == "H":
            self.row, self.column = (int(n) - 1 for n in arguments.split(";"))
            check(0 <= self.row < self.rows and self.column == 0, f"row {self.row + 1} of {self.rows}")
        elif final == "K":
            self.lines[self.row] = self.lines[self.row][:self.column].ljust(self.columns)
        elif final == "J":
            self.lines = [" " * self.columns for _ in range(self.rows)]
        elif arguments == "?1049":
            self.alternate = final == "h"
        elif arguments == "?25":
            self.cursor_shown = final == "h"
        else:
            check(final == "m", f"unknown sequence {arguments}{final}")

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        while text:
            if text[0] != "\x1b":
                if self.alternate:
                    check(self.column < self.columns, f"row {self.row + 1} is too long")
                    check(" " <= text[0] <= "~", f"character {text[0]!r}")
                    line = self.lines[self.row]
                    self.lines[self.row] = line[:self.column] + text[0] + line[self.column + 1:]
                    self.column += 1
                text = text[1:]
                continue
            match = SEQUENCE.match(text)
            if match is None:
                self.rest = text
                return
            self.control(*match.groups())
            text = text[match.end():]

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)


class Terminal:
    """`cryprq top` in a terminal of its own, as its session leader."""

    def __init__(self, node, *arguments, rows=24, columns=80):
        self.master, self.slave = pty.openpty()
        self.screen = Screen(rows, columns)
        self.set_size(rows, columns)
        self.before = termios.tcgetattr(self.slave)

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = node.namespace.popen(netns.CRYPRQ, "top", *arguments, env=node.env, stdin=self.slave,
                                            stdout=self.slave, stderr=self.slave, preexec_fn=take_terminal)
        self.sent = ""

    def set_size(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self.read(0.05)
        self.set_size(rows, columns)        # which sends SIGWINCH
        self.screen.resize(rows, columns)
        self.screen.rest = ""

    def read(self, seconds):
        deadline = time.monotonic() + seconds
        while select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
            text = os.read(self.master, 65536).decode()
            self.sent += text
            self.screen.feed(text)
            if time.monotonic() > deadline:
                return

    def wait_for(self, condition, what, seconds=10):
        def holds():
            self.read(0.05)
            return condition(self.screen.text())

        try:
            return netns.wait_until(holds, seconds, what)
        except netns.Failure as failure:
            raise netns.Failure(f"{failure}\n{self.screen.text()}") from failure

    def press(self, keys):
        os.write(self.master, keys.encode())

    def peers(self):
        """The first words of the rows of peers."""
        return [line.split()[0] for line in self.screen.lines[4:-1] if line.strip()]

    def end(self):
        """The exit status; the terminal is as it was."""
        deadline = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.05)
        status = self.process.wait(1)
        self.read(0.1)
        after = termios.tcgetattr(self.slave)
        equal(after, self.before, "settings of the terminal")
        check(not self.screen.alternate and self.screen.cursor_shown, "the screen is not left")
        os.close(self.master)
        os.close(self.slave)
        return status


def hub(scene):
    """A node with three peers: `bob` is there, the others never come."""
    a, b = tunnel.pair(scene, run=False, first_peer={"Name": "bob"})
    text = a.config.read_text()
    for name, address in (("alice", "10.88.1.1/32"), ("carol", "10.88.1.2/32")):
        text += tunnel.peer(tunnel.Identity().id, address, Name=name)
    a.write_config(text)
    tunnel.start(a, b)
    tunnel.must_ping(a.namespace, INNER4[1])
    return a, b


def content(scene):
    a, b = hub(scene)
    top = Terminal(a, columns=120)
    top.wait_for(lambda text: "bob" in text and "drops/s" in text, "the peers")
    status = json.loads(a.cryprq("show", "wan0", "json").stdout)
    bob = next(p for p in status["peers"] if p["name"] == "bob")
    row = next(line for line in top.screen.lines if line.startswith("bob"))
    check(bob["endpoint"] in row, f"{bob['endpoint']} is not in {row!r}")
    age = int(re.search(r" (\d+)s ", row).group(1))
    check(abs(bob["session"]["age_secs"] - age) <= 2, f"age {age}, {bob['session']}")
    check(top.screen.lines[0].startswith("wan0  up ") and "3 peers, 1 with a session" in top.screen.lines[0],
          top.screen.lines[0])
    check(re.search(r"cpu \d+\.\d%  memory [\d.]+ MiB", top.screen.lines[0]), top.screen.lines[0])
    ping = a.namespace.popen("ping", "-q", "-i", "0.01", "-s", "1000", INNER4[1], stdout=subprocess.DEVNULL)
    top.wait_for(lambda text: re.search(r"^bob +\d+\.\d+ KiB +\d+\.\d+ KiB ", text, re.MULTILINE), "rates")
    ping.terminate()
    subprocess.run([*a.namespace.command("ping", "-c3", "-i0.2", "-W1", "10.88.0.77")], capture_output=True, check=False,
                   timeout=20)
    top.wait_for(lambda text: re.search(r"^drops/s  .*no_route \d", text, re.MULTILINE), "drops")
    top.press("q")
    equal(top.end(), 0, "status")
    check(b.process.poll() is None, "the other node")


def keys(scene):
    a, _ = hub(scene)
    top = Terminal(a, "wan0")
    top.wait_for(lambda text: "carol" in text and "sort: rx" in text, "the peers")
    for key, title, order in (("n", "name", ["alice", "bob", "carol"]), ("a", "age", ["bob", "alice", "carol"]),
                              ("t", "tx", None), ("d", "drops", None), ("r", "rx", None)):
        top.press(key)
        top.wait_for(lambda text, title=title: f"sort: {title} " in text, f"sort by {title}")
        check(order is None or top.peers() == order, f"{title}: {top.peers()}")
    top.press("/CAR")
    top.wait_for(lambda text: "filter: CAR_" in text and top.peers() == ["carol"], "the filter")
    top.press("\x7f\r")
    top.wait_for(lambda text: "sort: rx  filter: CA " in text, "the end of typing")
    top.press("\x1b")
    top.wait_for(lambda text: len(top.peers()) == 3, "all peers")
    top.press("p")
    top.wait_for(lambda text: "PAUSED" in text, "the pause")
    line = top.screen.lines[0]
    top.read(2.2)
    equal(top.screen.lines[0], line, "the first line of a pause")
    top.press(" ")
    top.wait_for(lambda text: "PAUSED" not in text, "the end of the pause")
    top.press("?")
    top.wait_for(lambda text: "next interface" in text, "help")
    top.press("h")
    top.press("\x1b[A\x1b[B\t")             # nothing to scroll; there is no other interface
    top.wait_for(lambda text: "carol" in text, "the peers after help")
    top.press("q")
    equal(top.end(), 0, "status")


def scrolling(scene):
    key = netns.Identity()
    text = tunnel.interface(key, "10.88.0.1/16")
    for i in range(50):
        text += tunnel.peer(netns.Identity().id, f"10.88.1.{i}/32", Name=f"peer{i:02}")
    a = scene.node(scene.namespace("a"), text)
    tunnel.start(a)
    top = Terminal(a, "wan0", rows=24, columns=80)
    top.press("n")

    def shows(first, last, what):
        top.wait_for(lambda _: top.peers() == [f"peer{i:02}" for i in range(first, last + 1)]
                     and top.screen.lines[-1].startswith(f"{first + 1}-{last + 1} of 50  sort: name "), what)

    up, down, page_up, page_down, home, end = "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~", "\x1b[H", "\x1b[F"
    shows(0, 18, "the first peers")
    check("[q]uit" in top.screen.lines[-1], top.screen.lines[-1])
    top.press(up)
    shows(0, 18, "no more above the first one")
    top.press(down * 3)
    shows(3, 21, "three lines down, in one go")
    top.press("\x1bOA")
    shows(2, 20, "a line up, from a terminal in application mode")
    top.press(page_down)
    shows(20, 38, "a page down, with a line in common")
    top.press(page_up)
    shows(2, 20, "a page up")
    top.press(end)
    shows(31, 49, "the end")
    top.press(down + page_down)
    shows(31, 49, "no more below the last one")
    top.resize(34, 80)
    shows(21, 49, "the end on a larger screen")
    top.resize(14, 100)
    shows(21, 29, "the same place on a smaller one")
    top.press(page_up)
    shows(13, 21, "a page of that size")
    top.press(home)
    shows(0, 8, "the beginning")
    top.press("\x1b[4~/3")
    top.wait_for(lambda _: top.screen.lines[-1].startswith("6-14 of 14  filter: 3_"), "scrolled, and filtered")
    top.press("\x1b[3~\x1b[1;5A2\r")      # keys that mean nothing, and one that does
    top.wait_for(lambda text: "filter: 32 " in text and top.peers() == ["peer32"], "one that is left")
    check(" of " not in top.screen.lines[-1], top.screen.lines[-1])
    top.resize(5, 40)
    top.press(page_down + end + home)
    top.wait_for(lambda text: text.startswith("wan0") and "of" not in top.screen.lines[-1], "no room for peers")
    top.press("q")
    equal(top.end(), 0, "status")


def sizes(scene):
    """Nothing is written outside of the screen, however small it is: class Screen looks after that."""
    a, _ = hub(scene)
    top = Terminal(a, rows=24, columns=80)
    top.wait_for(lambda text: "carol" in text and "[q]uit" in text, "80x24")
    for rows, columns in ((10, 40), (50, 200), (6, 20), (3, 10), (1, 1), (24, 80)):
        top.resize(rows, columns)
        top.wait_for(lambda text: text.startswith("wan0"[:columns] if rows > 1 else ""), f"{columns}x{rows}")
        top.read(1.2)
    top.wait_for(lambda text: "carol" in text and "[q]uit" in text and "ENDPOINT" in text, "80x24 again")
    top.press("q")
    equal(top.end(), 0, "status")


def signals(scene):
    a, _ = hub(scene)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        top = Terminal(a)
        top.wait_for(lambda text: "bob" in text, "the peers")
        top.process.send_signal(number)
        equal(top.end(), 0, f"status after signal {number}")
    top = Terminal(a)
    top.wait_for(lambda text: "bob" in text, "the peers")
    top.press("\x03")
    equal(top.end(), 0, "status after Ctrl-C")
    # The terminal takes nothing any more (Ctrl-S): the program ends all the same.
    top = Terminal(a)
    top.wait_for(lambda text: "bob" in text, "the peers")
    top.press("\x13")
    time.sleep(2)
    top.process.send_signal(signal.SIGTERM)
    equal(top.end(), 0, "status of a stopped terminal")
    top = Terminal(a)
    top.wait_for(lambda text: "bob" in text, "the peers")
    top.process.send_signal(signal.SIGTSTP)
    netns.wait_until(lambda: (top.read(0.05), netns.process_state(top.process.pid))[1] == "T", 5, "it to stop")
    top.read(0.1)
    check(not top.screen.alternate and termios.tcgetattr(top.slave) == top.before, "the terminal of a stopped program")
    top.process.send_signal(signal.SIGCONT)
    top.wait_for(lambda text: top.screen.alternate and "bob" in text, "it to go on")
    top.press("q")
    equal(top.end(), 0, "status")


def node_goes(scene):
    a, _ = hub(scene)
    top = Terminal(a)
    top.wait_for(lambda text: "bob" in text, "the peers")
    equal(a.stop(), 0, "status of the node")
    top.wait_for(lambda text: "wan0: not running; waiting" in text, "the end of the node")
    tunnel.start(a)
    top.wait_for(lambda text: "not running" not in text and "up" in text, "the node that came back")
    top.press("q")
    equal(top.end(), 0, "status")


def no_terminal(scene):
    a, _ = hub(scene)
    done = a.cryprq("top", "wan0", check_status=False)
    equal((done.returncode, done.stdout, done.stderr),
          (2, "", "cryprq top: it needs a terminal; cryprq show prints the same once (see cryprq top --help)\n"),
          "standard output is a pipe")
    top = Terminal(a, "wan7")
    with contextlib.suppress(OSError):
        top.wait_for(lambda text: "wan7: no such interface is running" in top.sent, "the refusal")
    equal(top.end(), 1, "status")


def main():
    netns.require(("ip", "ping"))
    tap = netns.Tap()
    with netns.Lab("top") as lab:
        tunnel.run_cases(lab, tap, [
            ("the screen says what show says", content),
            ("sorting, filter, pause and help", keys),
            ("scrolling", scrolling),
            ("every size of the terminal", sizes),
            ("the terminal is as it was after signals", signals),
            ("the node ends and comes back", node_goes),
            ("without a terminal, and without a node", no_terminal),
        ])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
