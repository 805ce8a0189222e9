#!/usr/bin/env python3
"""One end of a stream of numbered UDP packets in both directions (Python 3 standard library only).

    udpstream.py OWN_ADDRESS OWN_PORT PEER_ADDRESS PEER_PORT RATE SIZE [TEXT]

Sends RATE packets a second of SIZE bytes (number, time, TEXT) between the commands `go` and `stop` and receives all
the time. Commands come as lines on standard input; each is answered by one line of JSON on standard output:

    go                 {"sending": true}
    stop               {"sent": PACKETS, "refused": SENDS}       what the system refused was not sent, so has no number
    count              {"received": PACKETS}
    finish PACKETS     waits until packets stop coming; says what is missing of the first PACKETS
    end of input       the end
"""

import json
import signal
import socket
import struct
import sys
import threading
import time

HEADER = struct.Struct(">QQ")
BUFFER_BYTES = 8 << 20
# Linux lets root exceed the limit of the system; Python does not name these.
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
QUIET_SECONDS = 0.7
MOST_BEHIND_SECONDS = 0.02


class Sender(threading.Thread):
    def __init__(self, sock, peer, rate, size, text):
        super().__init__(daemon=True)
        self.sock = sock
        self.peer = peer
        self.interval = 1 / rate
        self.padding = (text.encode() or b"\0") * size
        self.size = size
        self.sent = 0
        self.refused = 0
        self.ending = False

    def run(self):
        due = time.monotonic()
        while not self.ending:
            now = time.monotonic()
            if due > now:
                time.sleep(due - now)
                continue
            # After a pause of this process: no burst to make up for it.
            due = max(due + self.interval, now - MOST_BEHIND_SECONDS)
            packet = HEADER.pack(self.sent, time.monotonic_ns()) + self.padding
            try:
                self.sock.sendto(packet[:self.size], self.peer)
            except OSError:
                self.refused += 1
                continue
            self.sent += 1


class Receiver(threading.Thread):
    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock = sock
        self.seen = set()
        self.duplicates = 0
        self.reordered = 0
        self.highest = -1
        self.last = None
        self.longest_gap = 0.0
        self.longest_delay = 0

    def run(self):
        while True:
            try:
                data = self.sock.recv(65536)
            except OSError:
                continue
            if len(data) >= HEADER.size:
                self.take(*HEADER.unpack_from(data))

    def take(self, number, sent_at):
        now = time.monotonic()
        if self.last is not None:
            self.longest_gap = max(self.longest_gap, now - self.last)
        self.last = now
        self.longest_delay = max(self.longest_delay, time.monotonic_ns() - sent_at)
        if number in self.seen:
            self.duplicates += 1
            return
        self.seen.add(number)
        if number < self.highest:
            self.reordered += 1
        self.highest = max(self.highest, number)

    def wait_until_quiet(self):
        start = time.monotonic()
        while time.monotonic() - max(start, self.last or start) < QUIET_SECONDS:
            time.sleep(0.05)

    def result(self, num_sent):
        self.wait_until_quiet()
        missing = sorted(set(range(num_sent)) - self.seen)
        return {"received": len(self.seen), "missing": len(missing), "first_missing": missing[:20],
                "duplicates": self.duplicates, "reordered": self.reordered,
                "longest_gap_ms": round(self.longest_gap * 1000, 1),
                "longest_delay_ms": round(self.longest_delay / 1e6, 1)}


def say(answer):
    print(json.dumps(answer), flush=True)


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    own, own_port, peer, peer_port, rate, size = sys.argv[1:7]
    text = sys.argv[7] if len(sys.argv) > 7 else ""
    sock = socket.socket(socket.AF_INET6 if ":" in own else socket.AF_INET, socket.SOCK_DGRAM)
    for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    sock.bind((own, int(own_port)))
    receiver = Receiver(sock)
    sender = Sender(sock, (peer, int(peer_port)), float(rate), int(size), text)
    receiver.start()
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "go":
            sender.start()
            say({"sending": True})
        elif command == "stop":
            sender.ending = True
            sender.join()
            say({"sent": sender.sent, "refused": sender.refused})
        elif command == "count":
            say({"received": len(receiver.seen)})
        elif command == "finish":
            say(receiver.result(int(arguments[0])))


if __name__ == "__main__":
    main()
