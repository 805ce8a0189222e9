#!/usr/bin/python3
"""The reference node behind the C program's command line, so that the tests can be tested.

    CRYPRQ=tests/interop/ref_program.py tests/interop/test_node.py

Serves what the tests need of `genkey`, `pubkey [--full]`, `genpsk`, `run`, `show NAME json` and
`rotate NAME`. It makes a TUN interface, so it needs root. It erases nothing: test_memory.py must
fail against it.
"""

import argparse
import base64
import fcntl
import ipaddress
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import cryprq_ref
import records
import wire

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
MTU = 1420


def control_path(name):
    return f"/run/cryprq/{name}.ref"


def parse_config(path):
    """[(section, {key: value})] in order."""
    sections = []
    with open(path, encoding="ascii") as file:
        for line in file:
            line = line.strip()
            if line.startswith("["):
                sections.append((line[1:-1], {}))
            elif line:
                key, _, value = line.partition("=")
                sections[-1][1][key.strip()] = value.strip()
    return sections


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def fix_checksum(packet):
    """Completes the UDP checksum of an IPv4 packet (the tests send no others with the flag)."""
    head = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != 17:
        return packet
    sport, dport = struct.unpack(">HH", packet[head:head + 4])
    return records.udp_packet(packet[12:16], packet[16:20], sport, dport, packet[head + 8:])


class Program:
    def __init__(self, name, interface, peers):
        self.name = name
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF,
                    struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        for address in interface["Address"].split(","):
            subprocess.run(["ip", "addr", "add", address.strip(), "dev", name]
                           + (["nodad"] if ":" in address else []), check=True)
        subprocess.run(["ip", "link", "set", name, "up", "mtu", str(MTU)], check=True)
        suites = sum(bit for bit, text in wire.SUITE_NAMES.items()
                     if text in interface.get("Suites", " ".join(wire.SUITE_NAMES.values())))
        self.loop = cryprq_ref.UdpLoop()
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", int(interface.get("ListenPort", "0"))))
        key = interface.get("PrivateKey") or open(interface["PrivateKeyFile"],
                                                  encoding="ascii").read().strip()
        self.node = self.loop.node(wire.Identity(wire.unb64(key)), sock, suites=suites, mtu=MTU,
                                   rotate=int(interface.get("RotateSecs", "300")))
        # a socket for both families says ::ffff:192.0.2.1 where the node says 192.0.2.1
        inner_send, inner_receive = self.node.send_datagram, self.node.receive
        self.node.send_datagram = lambda data, to: inner_send(
            data, to if ":" in to[0] else ("::ffff:" + to[0], to[1]))
        self.node.receive = lambda data, source, now: inner_receive(
            data, (source[0].replace("::ffff:", ""), source[1]), now)
        self.node.answer_pings = False
        self.node.on_event = self._event
        for options in peers:
            self._add_peer(options)
        os.makedirs("/run/cryprq", exist_ok=True)
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.control.bind(control_path(name))

    def _add_peer(self, options):
        public = None
        if "PublicKeyFile" in options:
            with open(options["PublicKeyFile"], encoding="ascii") as file:
                public = base64.b64decode(file.read())
        peer = self.node.add_peer(
            wire.unb64(options["PeerID"]), public=public,
            psk=wire.unb64(options["PresharedKey"]) if "PresharedKey" in options else None,
            endpoint=endpoint(options["Endpoint"]) if "Endpoint" in options else None,
            allowed=[ipaddress.ip_network(a.strip()) for a in options["AllowedIPs"].split(",")])
        peer.persistent_keepalive = int(options.get("PersistentKeepalive", "0"))

    def _event(self, name, values):
        if name == "packet":
            packet = values["packet"]
            if values.get("flags"):
                packet = fix_checksum(packet)
            os.write(self.tun, packet)

    def run(self):
        os.set_blocking(self.tun, False)
        while True:
            now = time.monotonic()
            due = self.node.next_time()
            sock = next(iter(self.loop.sockets))
            ready, _, _ = select.select([sock, self.tun, self.control], [], [],
                                        max(0.0, (due or now + 1) - now))
            if self.tun in ready:
                self._from_tun()
            if self.control in ready:
                self._command()
            self.loop.run(0)
            if sock in ready:
                self.loop._drain(sock)
            self.node.tick(time.monotonic())

    def _from_tun(self):
        packet = os.read(self.tun, 65535)
        target = ipaddress.ip_address(records.inner_destination(packet))
        for peer in self.node.peers.values():
            if any(target in net for net in peer.allowed):
                self.node.send_packet(peer, packet, time.monotonic())

    def _command(self):
        text, back = self.control.recvfrom(100)
        if text == b"rotate":
            for peer in self.node.peers.values():
                self.node.start_handshake(peer, time.monotonic())
        answer = {"drops": dict(self.node.drops),
                  "peers": [{"sessions": len(p.sessions)} for p in self.node.peers.values()]}
        self.control.sendto(json.dumps(answer).encode(), back)


def ask(name, text):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind("")
    sock.settimeout(5)
    sock.sendto(text, control_path(name))
    return sock.recv(65535).decode()


def run(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("config", nargs="?")
    for option in ("key", "listen", "allow-peer", "peer", "address"):
        parser.add_argument("--" + option)
    options = parser.parse_args(argv)
    if options.config:
        name = os.path.basename(options.config).removesuffix(".conf")
        sections = parse_config(options.config)
        interface = sections[0][1]
        peers = [values for kind, values in sections if kind == "Peer"]
    else:
        name = f"cqr{os.getpid()}"
        interface = {"PrivateKeyFile": options.key, "Address": options.address,
                     "ListenPort": options.listen or "0"}
        who, _, where = (options.allow_peer or options.peer).partition("@")
        peers = [{"PeerID": who, "AllowedIPs": "0.0.0.0/0, ::/0"}]
        if where:
            peers[0]["Endpoint"] = where
    program = Program(name, interface, peers)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        program.run()
    finally:
        os.unlink(control_path(name))


def main(argv):
    command, rest = argv[0], argv[1:]
    if command in ("genkey", "genpsk"):
        print(wire.b64(os.urandom(32)))
    elif command == "pubkey":
        me = wire.Identity(wire.unb64(sys.stdin.read().strip()))
        print(wire.b64(me.public) if "--full" in rest else me.id_text)
    elif command == "run":
        run(rest)
    elif command in ("show", "rotate"):
        print(ask(rest[0], command.encode()))
    else:
        sys.exit(f"unknown command {command}")


if __name__ == "__main__":
    main(sys.argv[1:])
