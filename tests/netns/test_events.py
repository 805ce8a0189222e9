#!/usr/bin/env python3
"""Events of real nodes: watched live, as lines of JSON, in the journal's protocol, with a log that nobody reads. TAP.

Arguments: words; only the cases whose titles have one of them run.
"""

import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4

BURST = 40


class Watcher:
    """`cryprq watch`, whose lines are read as they come."""

    def __init__(self, node, *arguments):
        self.process = node.namespace.popen(netns.CRYPRQ, "watch", *arguments, env=node.env, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def text(self):
        return "\n".join(self.lines)

    def wait_for(self, *parts, seconds=10):
        for part in parts:
            netns.wait_until(lambda part=part: part in self.text(), seconds, f"{part} in {self.text()[-500:]}")

    def end(self, number=signal.SIGINT):
        """The exit status and standard error."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(10)
        self.thread.join(5)
        return status, self.process.stderr.read()


def wait_watched(node, num=1):
    """Until that many are connected: they have the node's answer then."""
    def connected():
        text = node.namespace.output("ss", "-xH", "src", str(node.path(".sock")))
        return text.count("ESTAB") >= num

    netns.wait_until(connected, 5, f"{num} to watch")
    time.sleep(0.1)


def watch_sees(scene):
    a, b = tunnel.pair(scene, second={"ListenPort": tunnel.PORT})
    text, as_json, errors = Watcher(a, "wan0", "--level", "debug"), Watcher(a, "--json"), Watcher(a, "--level", "error")
    wait_watched(a, 3)
    tunnel.must_ping(a.namespace, INNER4[1])
    tunnel.rotate(a)
    text.wait_for(" handshake_complete ", " key_rotation ", " handshake_started ")
    equal(b.stop(), 0, "status of the other node")
    text.wait_for(" session_closed ", "reason=shutdown")
    as_json.wait_for('"session_closed"')
    check("\x1b" not in text.text(), "colours on a pipe")
    events = [json.loads(line) for line in as_json.lines]
    names = [event["event"] for event in events]
    for name in ("handshake_complete", "key_rotation", "session_closed"):
        check(name in names, f"{name} is not in {names}")
    check("handshake_started" not in names, "debug without --level debug")
    rotation = next(event for event in events if event["event"] == "key_rotation")
    equal((rotation["interface"], rotation["role"], rotation["level"]), ("wan0", "initiator", "info"), "key_rotation")
    check(isinstance(rotation["duration_ms"], float) and len(rotation["session"]) == 16, f"{rotation}")
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", rotation["time"]), rotation["time"])
    equal(text.end(), (0, ""), "the end of watch by SIGINT")
    equal(as_json.end(signal.SIGTERM), (0, ""), "the end of watch by SIGTERM")
    equal(errors.lines, [], "lines of level error")
    errors.end()


def node_goes(scene):
    a, b = tunnel.pair(scene, run=False)
    missing = a.cryprq("watch", "wan0", check_status=False)
    equal((missing.returncode, missing.stderr), (1, "cryprq: wan0: no such interface is running\n"), "no node")
    waiting = Watcher(a, "wan0", "--wait")
    tunnel.start(a, b)
    plain = Watcher(a, "wan0")
    wait_watched(a, 2)
    tunnel.must_ping(a.namespace, INNER4[1])
    waiting.wait_for("handshake_complete")
    a.stop()
    plain.wait_for(" stopping ")        # an event of the monitor
    status, said = plain.end(None)
    equal((status, said), (1, "cryprq: wan0: the node has ended\n"), "the end of the node")
    tunnel.start(a)
    wait_watched(a)
    count = waiting.text().count("handshake_complete")
    tunnel.must_ping(a.namespace, INNER4[1])
    netns.wait_until(lambda: waiting.text().count("handshake_complete") > count, 5, "the node that came back")
    equal(waiting.end()[0], 0, "status of --wait")


def connect(node):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(str(node.path(".sock")))
    return s


def rotate_often(node, num, name="wan0"):
    """Rotations asked for at once and not waited for one by one."""
    request = json.dumps({"version": 1, "command": "rotate"}).encode() + b"\n"
    for _ in range(num):
        with connect(node) as s:
            s.sendall(request)
            s.makefile().readline()


def slow_subscriber(scene):
    """One that does not read: told how many it missed; the others and the tunnel are not concerned."""
    a, _ = tunnel.pair(scene)
    slow = connect(a)
    slow.sendall(b'{"version":1,"command":"watch","level":"debug"}\n')
    reader = slow.makefile()
    equal(json.loads(reader.readline()), {"version": 1, "ok": True, "watching": True}, "the answer")
    quick = Watcher(a, "wan0", "--json", "--level", "debug")
    wait_watched(a)
    tunnel.must_ping(a.namespace, INNER4[1])
    # What fits into the feed and into the socket before it are some 560 events; a rotation is three.
    rotate_often(a, 215)
    tunnel.must_ping(a.namespace, INNER4[1])
    seen, missed = [], 0
    slow.settimeout(3)
    try:
        while not missed:
            event = json.loads(reader.readline())
            seen.append(event)
            missed = event["count"] if event["event"] == "events_missed" else 0
    except TimeoutError:
        pass
    wanted = [json.loads(line) for line in quick.lines]
    check(len(wanted) > 500, f"only {len(wanted)} events")
    check(missed > 0 and seen[:-1] == wanted[:len(seen) - 1], f"{len(seen)} seen, {missed} missed of {len(wanted)}")
    check(len(seen) - 1 + missed <= len(wanted), f"{len(seen)} seen, {missed} missed of {len(wanted)}")
    tunnel.rotate(a)
    check("keys_erased" in reader.readline() + reader.readline() + reader.readline(), "the feed does not go on")
    slow.close()
    quick.end()
    return [f"{len(wanted)} events, {missed} missed"]


def log_format_json(scene):
    a, b = tunnel.pair(scene, run=False)
    a.start("--log-format", "json", a.config)
    b.env["CRYPRQ_LOG_FORMAT"] = "json"
    b.start()
    for node in (a, b):
        netns.wait_until(lambda node=node: '"event":"ready"' in node.log_text(), 10, "ready")
    tunnel.must_ping(a.namespace, INNER4[1])
    for node in (a, b):
        equal(node.stop(), 0, "status")
        lines = [json.loads(line) for line in node.log_text().splitlines()]
        names = [line["event"] for line in lines]
        for name in ("node_started", "ready", "handshake_complete", "stopping"):
            check(name in names, f"{name} is not in {names}")
        check(all({"time", "level", "event", "interface"} <= line.keys() for line in lines), f"{lines}")


def fill_pipe(fd):
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while True:
            os.write(fd, b"x" * 4096)
    except BlockingIOError:
        pass
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def stuck_log(scene):
    """Standard error is a full pipe that nobody reads: handshakes, traffic, commands and the end go on."""
    a, b = tunnel.pair(scene, run=False)
    tunnel.start(b)
    reader, writer = os.pipe()
    a.process = a.namespace.popen(netns.CRYPRQ, "run", a.config, env=a.env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=writer)
    netns.wait_until(lambda: a.path(".sock").exists() and
                     a.cryprq("show", "wan0", check_status=False).returncode == 0, 10, "the node to serve")
    fill_pipe(writer)
    tunnel.must_ping(a.namespace, INNER4[1])
    rotate_often(a, 20)
    start = time.monotonic()
    tunnel.rotate(a)
    tunnel.must_ping(a.namespace, INNER4[1])
    check(time.monotonic() - start < 5, "it took too long")
    check(not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK, "the flags of standard error have changed")
    start = time.monotonic()
    equal(a.stop(), 0, "status")
    check(time.monotonic() - start < 5, "the end took too long")
    os.close(reader)
    os.close(writer)


def flood(scene):
    a, b = tunnel.pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    rotations = BURST + 20
    rotate_often(a, rotations)
    for node in (a, b):
        text = netns.wait_until(lambda node=node: "of=key_rotation" in node.log_text() and node.log_text(), 15,
                                "the report")
        lines = [line for line in text.splitlines() if line.startswith("event=key_rotation")]
        count = sum(int(n) for n in re.findall(r"event=log_suppressed .* count=(\d+) of=key_rotation", text))
        total = tunnel.peer_status(node)["rotations"]
        check(BURST <= len(lines) <= BURST + 3 and len(lines) + count == total, f"{len(lines)} + {count} of {total}")


def parse_journal(message):
    fields = {}
    while message:
        name, _, rest = message.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
        else:
            key, size = name, struct.unpack("<Q", rest[:8])[0]
            value, rest = rest[8:8 + size], rest[9 + size:]
        fields[key.decode()] = value.decode()
        message = rest
    return fields


def journal(scene):
    """A stand-in for the journal: its stream as standard error, its socket where the node looks for it."""
    a, b = tunnel.pair(scene, run=False, second_peer={})
    tunnel.start(b)
    a.write_config(a.config.read_text().replace("[Interface]", "[Interface]\nPostUp = exit 3 # two\\nlines"))
    path = a.directory / "journal"
    sink = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sink.bind(str(path))
    os.chmod(path, 0o666)
    sink.settimeout(10)
    stream, stderr = socket.socketpair()
    stat = os.fstat(stderr.fileno())
    command = f"mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && " \
              f"ln -s {path} /run/systemd/journal/socket && exec {netns.CRYPRQ} run {a.config}"
    a.write_config(re.sub("PostUp.*\n", "", a.config.read_text()))
    a.process = a.namespace.popen("sh", "-c", command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                                  env={**a.env, "JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"})
    messages = []

    def message(event):
        while not any(m.get("CRYPRQ_EVENT") == event for m in messages):
            messages.append(parse_journal(sink.recv(65536)))
        return next(m for m in messages if m["CRYPRQ_EVENT"] == event)

    ready = message("ready")
    equal((ready["PRIORITY"], ready["SYSLOG_IDENTIFIER"], ready["CRYPRQ_INTERFACE"]), ("6", "cryprq", "wan0"), "ready")
    check(ready["MESSAGE"].startswith("event=ready interface=wan0 "), ready["MESSAGE"])
    tunnel.must_ping(a.namespace, INNER4[1])
    done = message("handshake_complete")        # of the confined process
    equal((done["CRYPRQ_ROLE"], len(done["CRYPRQ_PEER"])), ("initiator", 44), "handshake_complete")
    equal(a.stop(), 0, "status")
    message("stopping")
    stderr.close()
    stream.settimeout(5)
    equal(stream.recv(4096), b"", "what standard error got")


def too_many_commands(scene):
    a, _ = tunnel.pair(scene)
    held = [connect(a) for _ in range(16)]
    for s in held:
        s.sendall(b'{"version":1,"command":"watch"')         # no end of line: it could still become one
    a.cryprq("show", "wan0")
    check(b"too many commands" in held[0].recv(4096), "the first one is not told")
    for s in held:
        s.close()
    commands = [a.namespace.popen(netns.CRYPRQ, "rotate", "wan0", env=a.env, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) for _ in range(40)]
    answers = [(c.communicate(timeout=30)[1], c.returncode) for c in commands]
    for said, status in answers:
        check(status == 0 or said == "cryprq: wan0: the node serves too many commands at the moment\n", said)
    watchers = [connect(a) for _ in range(9)]
    for s in watchers:
        s.sendall(b'{"version":1,"command":"watch","level":"info"}\n')
    last = [json.loads(s.makefile().readline()) for s in watchers][-1]
    equal(last, {"version": 1, "ok": False, "error": "too many are watching this node already"}, "the ninth")
    a.cryprq("show", "wan0")
    for s in watchers:
        s.close()
    return [f"{sum(status == 0 for _, status in answers)} of {len(answers)} served at once"]


def main():
    netns.require(("ip", "ping", "ss", "mount"))
    tap = netns.Tap()
    with netns.Lab("events") as lab:
        tunnel.run_cases(lab, tap, [
            ("a slow subscriber is told how many events it missed", slow_subscriber),
            ("watch sees handshakes, rotations and ends, as text and as JSON", watch_sees),
            ("the end of a node is told; --wait waits for it to come back", node_goes),
            ("the log as lines of JSON", log_format_json),
            ("a log that nobody reads stops neither handshakes nor traffic", stuck_log),
            ("a flood of events of one peer is left out and counted", flood),
            ("the journal gets fields of its own", journal),
            ("more commands at once than a node serves are told so", too_many_commands),
        ])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
