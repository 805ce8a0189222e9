#!/usr/bin/env python3
"""Numbered UDP packets in GSO sends of many, by several sockets, and their receiver (Python 3 standard library only).

    udpblast.py receive ADDRESS [PACKETS [SIZE [FLOWS]]]      says "ready", then in JSON what came, once all is there or
                                                              1 s after the last packet
    udpblast.py send ADDRESS [PACKETS [SIZE [FLOWS [RATE]]]]  RATE packets a second; says in JSON how many went

PACKETS is the sum over all flows, of which each has its own numbers and sends its bursts in turn.
"""

import json
import socket
import struct
import sys
import time

PORT = 7100
PACKETS, SIZE, FLOWS, RATE = 12000, 1100, 1, 15000
BURST = 40
SO_SNDBUFFORCE, SO_RCVBUFFORCE, UDP_SEGMENT = 32, 33, 103
QUIET_SECONDS = 1.0
NUMBER = struct.Struct(">II")


def make_socket(address):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        sock.setsockopt(socket.SOL_SOCKET, option, 64 << 20)
    return sock


def packet(flow, number, size):
    return (NUMBER.pack(flow, number) * (size // NUMBER.size + 1))[:size]


def send(address, packets, size, flows, rate):
    socks = [make_socket(address) for _ in range(flows)]
    for sock in socks:
        sock.connect((address, PORT))
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
    due = time.monotonic()
    for first in range(0, packets // flows, BURST):
        for flow, sock in enumerate(socks):
            while time.monotonic() < due:
                time.sleep(max(0, due - time.monotonic()))
            # A sender that was kept waiting does not make up for it: that burst would fill any queue.
            due = max(due, time.monotonic()) + BURST / rate
            sock.send(b"".join(packet(flow, n, size) for n in range(first, min(first + BURST, packets // flows))))
    print(json.dumps({"sent": packets // flows * flows}))


def receive(address, packets, size, flows, _rate):
    sock = make_socket(address)
    sock.bind((address, PORT))
    print("ready", flush=True)
    seen, damaged, reordered, highest = set(), 0, 0, [-1] * flows
    sock.settimeout(15)
    while len(seen) < packets // flows * flows:
        try:
            data = sock.recv(65536)
        except TimeoutError:
            break
        sock.settimeout(QUIET_SECONDS)
        flow, number = NUMBER.unpack_from(data)
        damaged += data != packet(flow, number, size) or (flow, number) in seen
        reordered += number < highest[flow]
        highest[flow] = max(highest[flow], number)
        seen.add((flow, number))
    print(json.dumps({"received": len(seen), "damaged": damaged, "reordered": reordered}), flush=True)


def main():
    numbers = [int(word) for word in sys.argv[3:]]
    numbers += [PACKETS, SIZE, FLOWS, RATE][len(numbers):]
    (send if sys.argv[1] == "send" else receive)(sys.argv[2], *numbers)


if __name__ == "__main__":
    main()
