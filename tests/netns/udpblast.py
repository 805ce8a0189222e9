#!/usr/bin/env python3
"""Numbered UDP packets in GSO sends of many, and their receiver (Python 3 standard library only).

    udpblast.py receive ADDRESS [PACKETS [SIZE]]     says "ready", then in JSON what came, 1 s after the last packet
    udpblast.py send ADDRESS [PACKETS [SIZE [RATE]]] paced by bursts; says in JSON how many went
"""

import json
import socket
import struct
import sys
import time

PORT = 7100
PACKETS, SIZE, BURST, RATE = 12000, 1100, 40, 15000
SO_SNDBUFFORCE, SO_RCVBUFFORCE, UDP_SEGMENT = 32, 33, 103
QUIET_SECONDS = 1.0
NUMBER = struct.Struct(">Q")


def make_socket(address):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        sock.setsockopt(socket.SOL_SOCKET, option, 64 << 20)
    return sock


def packet(number, size):
    return (NUMBER.pack(number) * (size // 8 + 1))[:size]


def send(address, packets, size, rate):
    sock = make_socket(address)
    sock.connect((address, PORT))
    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
    due = time.monotonic()
    for first in range(0, packets, BURST):
        while time.monotonic() < due:
            time.sleep(max(0, due - time.monotonic()))
        due += BURST / rate
        sock.send(b"".join(packet(n, size) for n in range(first, min(first + BURST, packets))))
    print(json.dumps({"sent": packets}))


def receive(address, packets, size):
    sock = make_socket(address)
    sock.bind((address, PORT))
    print("ready", flush=True)
    seen, damaged, reordered, highest = set(), 0, 0, -1
    sock.settimeout(10)
    while True:
        try:
            data = sock.recv(65536)
        except TimeoutError:
            break
        sock.settimeout(QUIET_SECONDS)
        number = NUMBER.unpack_from(data)[0]
        damaged += data != packet(number, size) or number in seen
        reordered += number < highest
        highest = max(highest, number)
        seen.add(number)
        if len(seen) == packets:
            break
    print(json.dumps({"received": len(seen), "damaged": damaged, "reordered": reordered}), flush=True)


def main():
    numbers = [int(word) for word in sys.argv[3:]]
    numbers += [PACKETS, SIZE, RATE][len(numbers):]
    if sys.argv[1] == "send":
        send(sys.argv[2], *numbers)
    else:
        receive(sys.argv[2], *numbers[:2])


if __name__ == "__main__":
    main()
