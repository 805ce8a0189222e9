#!/usr/bin/env python3
"""Configurations that cannot work: `cryprq run` says what is wrong and where, ends, and leaves nothing behind. TAP.

Arguments: words; only the cases whose titles have one of them run.
"""

import base64
import os
import re
import sys

import netns
import tunnel
from netns import check, equal

KEY = base64.b64encode(bytes(range(32))).decode()
ID = base64.b64encode(bytes(range(1, 33))).decode()
ID2 = base64.b64encode(bytes(range(2, 34))).decode()
BAD_KEY = "A" * 42 + "B="           # bits behind the end
GOOD = f"[Interface]\nPrivateKey = {KEY}\n"
PEER = f"[Peer]\nPeerID = {ID}\n"

# title, text (bytes or str), "line:column" or "" where the file as a whole is meant, a piece of the message
TEXTS = [
    ("an empty file", "", "", "[Interface]"),
    ("nothing but comments", "# a\n\n# b\n", "", "[Interface]"),
    ("a key before any section", f"PrivateKey = {KEY}\n", "1:1", "before the first section"),
    ("an unknown section", GOOD + "[Pear]\n", "3:1", "[Interface] and [Peer]"),
    ("a section that is not closed", "[Interface\n", "1:11", "]"),
    ("two [Interface] sections", GOOD + "\n" + GOOD, "4:1", "line 1"),
    ("no private key", "[Interface]\nMTU = 1400\n" + PEER, "1:1", "PrivateKey"),
    ("a peer without an ID", GOOD + "[Peer]\nName = x\n", "3:1", "PeerID"),
    ("a key of WireGuard with its hint", GOOD + f"[Peer]\nPublicKey = {ID}\n", "4:1", "PeerID"),
    ("an unknown key", GOOD + "  Prot = 1\n", "3:3", "Prot"),
    ("a key of the other section", GOOD + "PeerID = x\n", "3:1", "PeerID"),
    ("a secret that lost its key", GOOD + f"{BAD_KEY}\n", "3:1", "known are"),
    ("a key without a value", GOOD + "MTU =\n", "3:6", "no value"),
    ("a key twice", GOOD + "MTU = 1400\nMTU = 1400\n", "4:1", "line 3"),
    ("no equals sign", GOOD + "hello world\n", "3:1", "Key = value"),
    ("a private key with bits behind its end", f"[Interface]\nPrivateKey = {BAD_KEY}\n", "2:14", "44 characters"),
    ("a private key in hexadecimal", "[Interface]\nPrivateKey = " + "ab" * 32 + "\n", "2:14", "44 characters"),
    ("a pre-shared key of zeros", GOOD + PEER + "PresharedKey = " + "A" * 43 + "=\n", "5:16", "genpsk"),
    ("both kinds of private key", GOOD + "PrivateKeyFile = x\n", "3:18", "PrivateKey"),
    ("a port too large", GOOD + "ListenPort = 65536\n", "3:14", "65535"),
    ("a negative port", GOOD + "ListenPort = -1\n", "3:14", "65535"),
    ("an address without a length that is none", GOOD + "Address = 10.9.0.300/24\n", "3:11", "10.9.0.1/24"),
    ("the second address wrong", GOOD + "Address = 10.9.0.1/24, fd00::1/129\n", "3:24", "fd00::1/64"),
    ("a multicast address", GOOD + "Address = 224.0.0.1/24\n", "3:11", "address"),
    ("an MTU too small", GOOD + "MTU = 575\n", "3:7", "576"),
    ("an MTU too small for IPv6", GOOD + "MTU = 1279\nAddress = fd00::1/64\n", "1:1", "1280"),
    ("an MTU of 20 digits", GOOD + "MTU = 99999999999999999999\n", "3:7", "576"),
    ("rotation too often", GOOD + "RotateSecs = 59\n", "3:14", "60"),
    ("an unknown suite", GOOD + "Suites = aes-256-gcm, rot13\n", "3:23", "chacha20-poly1305"),
    ("a name with blanks", GOOD + PEER + "Name = two words\n", "5:11", "blanks"),
    ("an endpoint without a port", GOOD + PEER + "Endpoint = 192.0.2.1\n", "5:12", "HOST:PORT"),
    ("an IPv6 endpoint without brackets", GOOD + PEER + "Endpoint = 2001:db8::1:51820\n", "5:12", "HOST:PORT"),
    ("allowed IPs that are none", GOOD + PEER + "AllowedIPs = 10.0.0.0/8, everything\n", "5:26", "prefix"),
    ("overlapping allowed IPs name both peers", GOOD + PEER + "Name = berlin\nAllowedIPs = 10.0.0.0/8\n"
     + f"[Peer]\nPeerID = {ID2}\nName = paris\nAllowedIPs = fd00::/8, 10.9.0.0/16\n", "10:24", "paris.*berlin"),
    ("the same peer twice", GOOD + PEER + PEER, "6:10", "two peers"),
    ("the same name twice", GOOD + PEER + f"Name = x\n[Peer]\nPeerID = {ID2}\nName = x\n", "8:8", "two peers"),
    ("a NUL byte", GOOD.encode() + b"MTU = 14\x0000\n", "3:9", "NUL"),
    ("an escape sequence, which does not reach the terminal", GOOD.encode() + b"\x1b[2J = 1\n", "3:1", "0x1b"),
    ("a line of 20,000 bytes", GOOD + "Name = " + "x" * 20000 + "\n", "3:16385", "longer than"),
    ("a file of binary noise", bytes(range(256)) * 64, "1:1", "NUL"),
    ("a hook of 5,000 characters", GOOD + "PostUp = " + "x" * 5000 + "\n", "3:10", "longer than"),
    ("a key file that is not there", "[Interface]\nPrivateKeyFile = nowhere.key\n", "2:18", "no such file"),
    ("our own ID as a peer", None, "", "own peer"),
]


class Attempts:
    """Runs the program with configurations that it must refuse, all in one namespace."""

    def __init__(self, lab):
        self.lab = lab
        self.namespace = lab.namespace("a")
        self.number = 0

    def node(self, text, mode=0o600, name=tunnel.NAME):
        self.number += 1
        directory = self.lab.directory / f"try{self.number}"
        directory.mkdir(mode=0o755)
        node = netns.Node(self.namespace, name, None, directory)
        self.lab.nodes.append(node)
        if text is not None:
            data = text if isinstance(text, bytes) else text.encode()
            node.config.touch(mode=0o600)
            node.config.write_bytes(data)
            node.config.chmod(mode)
        return node

    def refused(self, node, *arguments):
        """Standard error of a run that must fail without a trace."""
        before = self.namespace.snapshot()
        done = node.cryprq("run", *(arguments or [node.config]), check_status=False, timeout=20)
        check(done.returncode in (1, 2), f"exit status {done.returncode}: {done.stderr}")
        equal(done.stdout, "", "standard output")
        equal(self.namespace.snapshot(), before, "the namespace afterwards")
        files, pids = node.leftovers()
        equal((files, pids), ([], {}), "left behind")
        check(KEY not in done.stderr and BAD_KEY not in done.stderr, f"a key in the message: {done.stderr}")
        check(all(c == "\n" or c.isprintable() for c in done.stderr), f"control characters: {done.stderr!r}")
        return done.stderr

    def text_case(self, text, place, piece):
        if text is None:
            identity = tunnel.Identity()
            text = tunnel.interface(identity, "10.9.0.1/24") + f"[Peer]\nPeerID = {identity.id}\n"
            place = f"{text.splitlines().index('[Peer]') + 2}:10"
        node = self.node(text)
        errors = self.refused(node)
        lines = [line for line in errors.splitlines() if "event=" not in line]
        equal(len(lines), 1, f"lines in {errors!r}")
        where = f"{node.config}:{place}: " if place else f"{node.config}: "
        check(where in lines[0], f"found {lines[0]!r}, wanted {where!r}")
        check(re.search(re.escape(piece) if "*" not in piece else piece, lines[0]),
              f"found {lines[0]!r}, wanted {piece!r}")

    # What is no matter of the text

    def permissions(self):
        for mode in (0o644, 0o640, 0o604, 0o660):
            node = self.node(GOOD, mode=mode)
            errors = self.refused(node)
            check(f"chmod 600 {node.config}" in errors, f"mode {mode:o}: {errors}")

    def key_permissions(self):
        node = self.node("[Interface]\nPrivateKeyFile = my.key\n")
        key = node.directory / "my.key"
        key.write_text(KEY + "\n")
        key.chmod(0o644)
        errors = self.refused(node)
        check("chmod 600" in errors and "my.key" in errors and ":2:18: " in errors, errors)

    def foreign_owner(self):
        node = self.node(GOOD)
        os.chown(node.config, 65534, 65534)
        check("chown root" in self.refused(node), "no advice")

    def no_file(self):
        node = self.node(None)
        errors = self.refused(node)
        check("no such file" in errors and str(node.config) in errors, errors)

    def directory(self):
        node = self.node(None)
        node.config.mkdir(mode=0o700)
        check(str(node.config) in self.refused(node), "the path is not named")

    def name_too_long(self):
        node = self.node(GOOD, name="abcdefghijklmnop")
        errors = self.refused(node)
        check("15" in errors or "name" in errors, errors)

    def name_hostile(self):
        for name in ("a b", "a;b", "..", "ä"):
            node = self.node(GOOD, name=name)
            check("name" in self.refused(node), f"{name}: no word about the name")

    def name_taken(self):
        self.namespace.run("ip", "link", "add", "taken0", "type", "veth", "peer", "name", "taken1")
        node = self.node(GOOD + "Address = 10.9.0.1/24\n", name="taken0")
        errors = self.refused(node)
        check("taken0" in errors, errors)
        check("veth" in self.namespace.output("ip", "-d", "link", "show", "taken0"), "the other interface is gone")
        self.namespace.run("ip", "link", "del", "taken0")

    def port_in_use(self):
        holder = self.namespace.popen(sys.executable, "-c", "import socket, time\n"
                                      "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                                      "s.bind(('0.0.0.0', 51820)); print('ready', flush=True); time.sleep(60)",
                                      stdout=netns.subprocess.PIPE, text=True)
        holder.stdout.readline()
        node = self.node(GOOD + "ListenPort = 51820\n")
        errors = self.refused(node)
        check("51820" in errors and "use" in errors, errors)
        holder.terminate()
        holder.wait(5)

    def hook_fails(self):
        for kind in ("PreUp", "PostUp"):
            node = self.node(GOOD + f"Address = 10.9.0.1/24\n{kind} = echo said by the hook >&2; exit 7\n")
            errors = self.refused(node)
            check(kind.lower() in errors.lower() and "7" in errors, f"{kind}: {errors}")

    def hook_undone(self):
        """What ran before the hook that failed is taken back by its counterpart."""
        node = self.node(None)
        trace = node.directory / "trace"
        node.write_config(GOOD + f"PreUp = echo preup %i >> {trace}\nPostUp = false\n"
                          f"PreDown = echo predown >> {trace}\nPostDown = echo postdown %i >> {trace}\n")
        self.refused(node)
        lines = trace.read_text().split("\n")
        equal(lines[0], f"preup {node.name}", "first")
        check(f"postdown {node.name}" in lines, f"trace: {lines}")

    def route_twice(self):
        """A route that is there already: the message names it, and the other one stays."""
        self.namespace.run("ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1")
        for name in ("other0", "other1"):
            self.namespace.run("ip", "link", "set", name, "up")
        self.namespace.run("ip", "route", "add", "10.77.0.0/16", "dev", "other0")
        node = self.node(GOOD + "Address = 10.9.0.1/24\n" + PEER + "AllowedIPs = 10.77.0.0/16\n")
        errors = self.refused(node)
        check("10.77.0.0/16" in errors, errors)
        self.namespace.run("ip", "link", "del", "other0")

    def arguments(self):
        node = self.node(None)
        key = node.directory / "key"
        key.touch(mode=0o600)
        key.write_text(KEY + "\n")
        for line, piece in (
                ("", "--key"), (f"--key {key}", "peer"), (f"--key {key} --allow-peer {ID[:-1]}", "44"),
                (f"--key {key} --peer {ID}", "HOST:PORT"), (f"--key {key} --listen 0 --allow-peer {ID}", "65535"),
                (f"--key {key} --allow-peer {ID} --address 10.9.0.1", "allowed"),
                (f"--key {key} --allow-peer {ID} --allow-peer {ID2} --address 10.9.0.1/24", "CIDR"),
                ("--colour", "unknown option"), ("a.conf b.conf", "more than one"), (f"a.conf --key {key}", "not both"),
                (f"--key {key} --interface abcdefghijklmnop", "15"), (f"--key {node.directory}/none", "")):
            done = node.cryprq("run", *line.split(), check_status=False, timeout=10)
            check(done.returncode in (1, 2), f"{line}: exit status {done.returncode}")
            check(piece in done.stderr, f"{line}: {done.stderr}")
        key.chmod(0o644)
        done = node.cryprq("run", "--key", key, "--allow-peer", ID, "--address", "10.9.0.1/24", check_status=False)
        check(done.returncode == 1 and f"chmod 600 {key}" in done.stderr, done.stderr)

    def running_twice(self):
        node = self.node(GOOD + "Address = 10.9.0.1/24\n")
        node.run()
        done = node.cryprq("run", node.config, check_status=False, timeout=10)
        check(done.returncode == 1 and node.name in done.stderr, f"{done.returncode}: {done.stderr}")
        equal(tunnel.status(node)["interface"], node.name, "the first one")
        equal(node.stop(), 0, "exit status")
        equal(node.leftovers(), ([], {}), "left behind")


def main():
    netns.require(("ip",))
    tap = netns.Tap()
    with netns.Lab("config") as lab:
        tries = Attempts(lab)
        cases = [(title, tries.text_case, text, place, piece) for title, text, place, piece in TEXTS]
        cases += [
            ("a configuration that others may read: chmod advice", tries.permissions),
            ("a key file that others may read: chmod advice, with file, line and column", tries.key_permissions),
            ("a configuration of another user", tries.foreign_owner),
            ("no such configuration", tries.no_file),
            ("a directory in place of a configuration", tries.directory),
            ("an interface name of 16 characters", tries.name_too_long),
            ("interface names that are none", tries.name_hostile),
            ("an interface of that name is there", tries.name_taken),
            ("the port is in use", tries.port_in_use),
            ("a hook fails: nothing stays", tries.hook_fails),
            ("a hook fails: those before it are undone", tries.hook_undone),
            ("a route that is there already", tries.route_twice),
            ("arguments that make no configuration", tries.arguments),
            ("a node that runs already goes on", tries.running_twice),
        ]
        words = sys.argv[1:]
        for title, function, *arguments in cases:
            if not words or any(word in title for word in words):
                tap.case(title, function, *arguments)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
