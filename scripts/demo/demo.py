#!/usr/bin/env python3
"""The demonstration itself; scripts/demo.sh is the way to call it. Python 3 standard library only."""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import time

signal.signal(signal.SIGINT, signal.SIG_DFL)        # until there is something to clean up
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "netns"))

# pylint: disable=wrong-import-position
import capture
import kept
import netns
import tunnel
from netns import check
from screen import Screen
from tunnel import INNER4, INNER6, OUTER4

LONGEST_SECONDS = 120
FILE_BYTES = 8 << 20
HTTP_PORT = 8080
TCP_SECONDS = 5
TCP_ROTATIONS = 6
STREAM_ROTATIONS = 8
STREAM_RATE = 1000              # packets a second, each way
FIGURES = ("handshake_ms", "ping_ms", "tcp_gbps", "rotations", "packets_lost_by_rotation", "peak_rss_mb")
CONGESTION = pathlib.Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


class Demo:
    def __init__(self, lab, screen):
        self.lab = lab
        self.screen = screen
        self.figures = dict.fromkeys(FIGURES)
        self.figures["rotations"] = 0
        self.failure = None
        self.began = time.monotonic()
        # What travels through the tunnel and must not be seen on the wire.
        self.plaintext = f"CrypRQ demo plaintext {secrets.token_hex(16)}".encode()
        self.spaces, self.nodes, self.before, self.sums = [], [], [], []
        self.wire = self.inside = None

    # The steps, in their order

    def make_cable(self):
        with self.screen.step("two network namespaces joined by a cable"):
            a, b = (self.lab.namespace(label) for label in "ab")
            self.lab.veth(a, "eth0", f"{OUTER4[0]}/24", b, "eth0", f"{OUTER4[1]}/24")
            self.spaces = [a, b]
            self.before = [space.snapshot() for space in self.spaces]
            self.screen.note(f"{OUTER4[0]} ({a.name})  and  {OUTER4[1]} ({b.name})")

    def make_keys(self):
        with self.screen.step("two secret keys; each side gets the other's peer ID and no more"):
            one, two = tunnel.Identity(), tunnel.Identity()
            networks = [f"{INNER4[i]}/24, {INNER6[i]}/64" for i in (0, 1)]
            routes = [tunnel.host_routes(INNER4[i], INNER6[i]) for i in (0, 1)]
            configs = [
                tunnel.interface(one, networks[0]) + tunnel.peer(two.id, routes[1], Endpoint=tunnel.at(OUTER4[1])),
                tunnel.interface(two, networks[1], ListenPort=tunnel.PORT) + tunnel.peer(one.id, routes[0]),
            ]
            self.nodes = [self.lab.node(space, tunnel.NAME, config) for space, config in zip(self.spaces, configs)]
            for identity in (one, two):
                self.screen.note(f"peer ID  {identity.id}")

    def start_nodes(self):
        with self.screen.step("both nodes up"):
            self.wire = capture.Capture(self.spaces[0], "eth0", self.lab.directory / "wire.pcap", ("udp",))
            for node in self.nodes:
                node.up()
            self.inside = capture.Capture(self.spaces[0], tunnel.NAME, self.lab.directory / "inside.pcap")
            for node in self.nodes:
                check(not tunnel.peer_status(node)["key_known"], "a public key was known beforehand")
            self.screen.note("neither has the other's public key (1216 bytes)")

    def shake_hands(self):
        with self.screen.step("first contact and handshake, X25519 and ML-KEM-768"):
            tunnel.must_ping(self.spaces[0], INNER4[1])
            one, two = (tunnel.peer_status(node) for node in self.nodes)
            check(one["key_known"] and two["key_known"], "a public key was not learned")
            check(one["session"]["id"] == two["session"]["id"], "the two sides have different sessions")
            self.figures["handshake_ms"] = round(one["handshake_duration_us"] / 1000, 2)
            names, largest = self.handshake_on_the_wire()
            self.screen.note(f"{self.figures['handshake_ms']} ms, {one['session']['suite']}, "
                             f"no datagram above {largest} bytes")
            for i in range(0, len(names), 5):
                self.screen.note(("  " if i else "") + " > ".join(names[i:i + 5]))

    def handshake_on_the_wire(self):
        """The messages up to ACCEPT as they passed, and the largest of them."""
        deadline = time.monotonic() + 3
        while True:
            names, sizes = [], []
            for name, size in capture.datagrams(self.wire.content()):
                names.append(name)
                sizes.append(size)
                if name == "ACCEPT":
                    check(max(sizes) <= 1232, f"a handshake datagram of {max(sizes)} bytes")
                    return names, max(sizes)
            check(time.monotonic() < deadline, f"no ACCEPT on the wire: {names}")
            time.sleep(0.05)

    def ping(self):
        with self.screen.step("ping through the tunnel, IPv4 and IPv6"):
            for address in (INNER4[1], INNER6[1]):
                text = self.spaces[0].output("ping", "-n", "-q", "-i", "0.02", "-c", "25", "-w", "5", address)
                check(" 0% packet loss" in text, f"echoes lost: {text}")
                least, mean, most = (float(x) for x in re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)", text).groups())
                if self.figures["ping_ms"] is None:
                    self.figures["ping_ms"] = mean
                self.screen.note(f"{address:<11}  {mean:.2f} ms  (from {least:.2f} to {most:.2f}, 25 echoes)")

    def fetch_file(self):
        with self.screen.step(f"a file of {FILE_BYTES >> 20} MB over HTTP through the tunnel"):
            folder = self.lab.directory / "www"
            folder.mkdir()
            line = self.plaintext + b"\n"
            content = (line * (FILE_BYTES // len(line) + 1))[:FILE_BYTES - 32] + secrets.token_bytes(32)
            (folder / "file").write_bytes(content)
            copy = self.lab.directory / "copy"
            with tunnel.http_server(self.spaces[1], INNER4[1], HTTP_PORT, folder):
                self.spaces[0].run("curl", "-sSf", "--max-time", "20", "-o", copy,
                                   f"http://{tunnel.at(INNER4[1], HTTP_PORT)}/file", timeout=25)
            self.sums = [hashlib.sha256(data).hexdigest() for data in (content, copy.read_bytes())]
            check(self.sums[0] == self.sums[1], f"SHA-256 differs: {self.sums}")
            self.screen.note(f"SHA-256 {self.sums[1][:32]}... on both sides")

    def search_wire(self):
        with self.screen.step("the file's text is looked for on the wire"):
            lost = [part.stop() for part in (self.inside, self.wire)]
            inside, wire = self.inside.content(), self.wire.content()
            found = inside.count(self.plaintext)
            check(found > 0, "the search finds nothing inside the tunnel either, so it proves nothing")
            check(lost[1] == 0 and len(wire) > FILE_BYTES, f"the capture is not whole: {len(wire)} bytes, {lost} lost")
            check(self.plaintext not in wire, "the plaintext stands on the wire")
            self.screen.note(f"inside the tunnel: found {found:,} times in {len(inside) / 1e6:.1f} MB")
            self.screen.note(f"on the wire:       found 0 times in {len(wire) / 1e6:.1f} MB")

    def rotate(self, number):
        """From alternating sides."""
        began = time.monotonic()
        before = tunnel.session_of(self.nodes[0])["id"]
        tunnel.rotate(self.nodes[number % 2])
        check(tunnel.session_of(self.nodes[0])["id"] != before, "the same session after rotate")
        self.figures["rotations"] += 1
        return time.monotonic() - began

    def move_tcp(self):
        with self.screen.step(f"TCP for {TCP_SECONDS} s while `cryprq rotate` replaces the keys"):
            server = self.spaces[1].popen("iperf3", "-s", "-1", "-B", INNER4[1], stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL)
            netns.wait_until(lambda: ":5201 " in self.spaces[1].output("ss", "-Hltn"), 5, "iperf3 to listen")
            # BBR paces for a long path, which this is not.
            cubic = ["-C", "cubic"] if CONGESTION.exists() and "cubic" in CONGESTION.read_text() else []
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                client = pool.submit(self.spaces[0].output, "iperf3", "-c", INNER4[1], "-t", TCP_SECONDS, "-J", *cubic,
                                     timeout=TCP_SECONDS + 20)
                began = time.monotonic()
                for i in range(TCP_ROTATIONS):
                    wait = began + (i + 1) * TCP_SECONDS / (TCP_ROTATIONS + 1.5) - time.monotonic()
                    time.sleep(max(0, wait))
                    self.rotate(i)
                    self.screen.progress(f"TCP through the tunnel, rotation {i + 1} of {TCP_ROTATIONS}")
                check(not client.done(), "the transfer ended before the rotations did")
                end = json.loads(client.result())["end"]
            server.wait(5)
            self.figures["tcp_gbps"] = round(end["sum_received"]["bits_per_second"] / 1e9, 2)
            moved = end["sum_received"]["bytes"] / 1e9
            self.screen.note(f"{self.figures['tcp_gbps']} Gbit/s, {moved:.2f} GB, keys replaced {TCP_ROTATIONS} times")

    def count_packets(self):
        with self.screen.step("numbered packets both ways while the keys are replaced again"):
            stream = tunnel.Stream(self.spaces, INNER4, rate=STREAM_RATE, size=1000, text=self.plaintext.decode())
            stream.go()
            for i in range(STREAM_ROTATIONS):
                self.rotate(i)
                self.screen.progress(f"numbered packets, rotation {i + 1} of {STREAM_ROTATIONS}")
                time.sleep(0.15)
            results = stream.finish()
            sent = sum(result["sent"] for result in results)
            missing = sum(result["missing"] for result in results)
            self.figures["packets_lost_by_rotation"] = missing
            self.screen.note(f"{sent:,} packets sent, {sent - missing:,} received, {STREAM_ROTATIONS} rotations")
            check(sent > STREAM_ROTATIONS * 100, f"only {sent} packets were sent")
            check(missing == 0, f"{missing} packets are missing: {[r['first_missing'] for r in results]}")

    def show(self):
        with self.screen.step("cryprq show"):
            for line in self.nodes[0].cryprq("show", tunnel.NAME).stdout.splitlines():
                self.screen.note(line)
            self.measure_memory()

    def measure_memory(self):
        pids = [pid for node in self.nodes for pid in tunnel.node_pids(node)]
        check(pids, "no process of a node is there")
        self.figures["peak_rss_mb"] = round(max(tunnel.rss_kb(pid, "VmHWM") for pid in pids) / 1024, 1)

    def shut_down(self):
        with self.screen.step("both nodes down, and nothing left behind"):
            for node in self.nodes:
                node.down()
            for node, space, before in zip(self.nodes, self.spaces, self.before):
                files, pids = node.leftovers()
                check(not files and not pids, f"left behind: {files} {pids}")
                check(space.snapshot() == before, f"{space.label}: links, routes or rules are not as before")
            names = [space.name for space in self.spaces]
            self.lab.close()
            left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=10, check=True).stdout
            check(not any(name in left.split() for name in names), "a namespace is left")
            check(not self.lab.directory.exists(), f"{self.lab.directory} is left")
            self.screen.note("no process, interface, route, rule, file or namespace")

    # The whole

    def run(self, keep):
        steps = [self.make_cable, self.make_keys, self.start_nodes, self.shake_hands, self.ping, self.fetch_file,
                 self.search_wire, self.move_tcp, self.count_packets, self.show]
        if not keep:
            steps.append(self.shut_down)
        try:
            for step in steps:
                step()
        except (netns.Failure, subprocess.SubprocessError, OSError, ValueError, LookupError, AttributeError) as error:
            self.failure = describe(error)
            self.screen.line(f"      {self.failure}", "bad")
            self.show_logs()
        return self.failure is None

    def show_logs(self):
        for node in self.nodes:
            for line in node.log_text().splitlines()[-8:]:
                self.screen.line(f"      {node.namespace.label}: {line}", "dim")

    def table(self):
        def figure(name, unit):
            value = self.figures[name]
            return "not measured" if value is None else f"{value:g}{unit}"

        self.screen.line()
        self.screen.table([
            ("handshake, with first contact", figure("handshake_ms", " ms")),
            ("ping through the tunnel", figure("ping_ms", " ms")),
            ("TCP through the tunnel", figure("tcp_gbps", " Gbit/s")),
            ("rotations", figure("rotations", "")),
            ("packets lost by rotation", figure("packets_lost_by_rotation", "")),
            ("largest resident memory", figure("peak_rss_mb", " MB")),
        ])
        seconds = time.monotonic() - self.began
        if self.failure is None:
            self.screen.line(f"  everything held, in {seconds:.0f} s", "good")
        else:
            self.screen.line(f"  not everything held: {self.failure}", "bad")

    def close(self):
        """What a step left; bounded, and quiet where there is nothing to do."""
        if self.lab.closed:
            return
        for node in self.nodes:
            if node.pids():
                try:
                    node.down(check_status=False, timeout=20)
                except (netns.Failure, subprocess.SubprocessError, OSError):
                    pass                # the laboratory ends it the hard way
        self.lab.close()

    def explain_kept(self):
        node = self.nodes[0]
        env = f"CRYPRQ_RUNTIME_DIR={node.runtime}"
        self.screen.line()
        self.screen.line("  Left running. For a look around:")
        self.screen.line(f"    ip netns exec {self.spaces[0].name} ping {INNER4[1]}")
        self.screen.line(f"    ip netns exec {self.spaces[0].name} env {env} {netns.CRYPRQ} show")
        self.screen.line("  End it with:")
        self.screen.line(f"    {os.path.relpath(ROOT / 'scripts' / 'demo.sh')} --stop")


def describe(error):
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or "").strip()
        return f"{' '.join(map(str, error.cmd))}: {said or f'exit status {error.returncode}'}"
    return str(error) or type(error).__name__


def install_handlers(demo):
    def stop(number, _frame):
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(each, signal.SIG_IGN)
        word = "out of time" if number == signal.SIGALRM else "interrupted"
        demo.screen.line(f"  {word}, cleaning up", "bad")
        demo.close()
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop)
    signal.alarm(LONGEST_SECONDS)


def main():
    parser = argparse.ArgumentParser(description="Shows what CrypRQ does; called by scripts/demo.sh.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--stop", action="store_true")
    options = parser.parse_args()
    if options.stop:
        return kept.stop_all()
    screen = Screen()
    with netns.Lab("demo") as lab:
        demo = Demo(lab, screen)
        install_handlers(demo)
        screen.line("CrypRQ: a tunnel between two nodes", "bold")
        screen.line()
        good = demo.run(options.keep)
        demo.table()
        if options.keep and good:
            kept.remember(lab)
            demo.explain_kept()
        demo.close()
    signal.alarm(0)
    if options.json:
        print(json.dumps({**demo.figures, "ok": good}), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
