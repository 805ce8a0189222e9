"""Captures of what passes an interface (tcpdump), and what stands in them."""

import re
import select
import struct
import subprocess
import time

import netns

BUFFER_KIB = 32768
TYPES = {1: "INIT", 2: "REPLY", 3: "OFFER", 4: "ACCEPT", 5: "COOKIE", 6: "KEY_REQUEST", 7: "KEY_RESPONSE", 8: "KEY_PUSH",
         16: "DATA", 17: "CONTROL"}
FILE_HEADER, RECORD_HEADER = 24, struct.Struct("<IIII")
ETHERNET, UDP = 14, 8


class Capture:
    """tcpdump of one interface into a file, from the moment that this returns."""

    def __init__(self, namespace, device, path, expression=()):
        self.path = path
        self.messages = ""
        self.process = namespace.popen("tcpdump", "-i", device, "-n", "-U", "-s", "0", "-B", BUFFER_KIB,
                                       "--immediate-mode", "-Z", "root", "-w", path, *expression,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.read_until("listening on", 5)

    def read_until(self, text, seconds):
        deadline = time.monotonic() + seconds
        while text not in self.messages:
            ready, _, _ = select.select([self.process.stderr], [], [], max(0, deadline - time.monotonic()))
            data = self.process.stderr.read1() if ready else b""
            netns.check(data, f"tcpdump: {self.messages.strip() or 'does not start'}")
            self.messages += data.decode(errors="replace")

    def stop(self):
        """Ends the capture; gives how many packets the system could not keep for it."""
        time.sleep(0.2)
        self.process.terminate()
        self.messages += self.process.communicate(timeout=5)[1].decode(errors="replace")
        dropped = re.search(r"(\d+) packets? dropped by kernel", self.messages)
        return int(dropped.group(1)) if dropped else 0

    def content(self):
        return self.path.read_bytes()


def datagrams(content):
    """(name of the message's type, payload length) of every UDP datagram over IPv4 in a capture of an Ethernet."""
    position = FILE_HEADER
    while position + RECORD_HEADER.size <= len(content):
        _, _, length, _ = RECORD_HEADER.unpack_from(content, position)
        position += RECORD_HEADER.size
        packet = content[position + ETHERNET:position + length]
        position += length
        if len(packet) < 20 or packet[0] >> 4 != 4:
            continue
        payload = packet[(packet[0] & 15) * 4 + UDP:]
        if payload:
            yield TYPES.get(payload[0], f"type {payload[0]}"), len(payload)
