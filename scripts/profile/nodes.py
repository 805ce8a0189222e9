"""Two real nodes in network namespaces of their own, and traffic between them (needs root and /dev/net/tun)."""

import contextlib
import dataclasses
import importlib
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import common

SENDER, RECEIVER = "node that sends", "node that receives"
UDP_BYTES, UDP_PACKETS = 64, 200_000        # what is offered in a second is more than goes through


@dataclasses.dataclass
class Traffic:
    """What one load came to."""

    num_bytes: int
    seconds: float
    packets: int = 0        # of UDP

    def __str__(self):
        rate = f"{self.num_bytes * 8 / self.seconds / 1e9:.2f} Gbit/s"
        if self.packets:
            rate = f"{self.packets / self.seconds / 1000:.0f} thousand packets/s"
        return f"{self.num_bytes / 1e9:.2f} GB in {self.seconds:.1f} s, {rate}"


def load_laboratory(program):
    """The laboratory of tests/netns, with that program as its nodes."""
    os.environ["CRYPRQ"] = str(program)
    folder = str(common.ROOT / "tests" / "netns")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("netns"), importlib.import_module("tunnel")


def check_machine():
    """Says in one line why nodes cannot run here."""
    if os.geteuid() != 0:
        raise common.CannotRun("nodes in network namespaces take root")
    if not os.path.exists("/dev/net/tun"):
        raise common.CannotRun("nodes need /dev/net/tun: modprobe tun")
    for tool in ("ip", "ss", "iperf3", "ping", "curl"):
        if shutil.which(tool) is None:
            raise common.CannotRun(f"{tool} is missing: scripts/setup.sh installs it")


class Pair:
    """Two connected nodes; `first` called `second`."""

    def __init__(self, netns, tunnel, lab):
        self.netns, self.tunnel = netns, tunnel
        self.scene = tunnel.Scene(lab, "prof")
        self.first, self.second = tunnel.pair(self.scene)
        tunnel.must_ping(self.first.namespace, tunnel.INNER4[1])

    def status(self, node=None):
        return self.tunnel.status(node or self.first)

    def pid(self, node, kind="node"):
        """Of one of a node's processes: "node" is the one that moves packets."""
        return node.pids()[kind][0]

    def threads(self, pid):
        """(thread id, name) of a process."""
        found = []
        for folder in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found.append((int(folder.name), (folder / "comm").read_text().strip()))
        return sorted(found)

    def node_threads(self):
        """{thread id: (which node, thread name)} of the two processes that move packets."""
        found = {}
        for node, what in ((self.first, SENDER), (self.second, RECEIVER)):
            found.update({tid: (what, name) for tid, name in self.threads(self.pid(node))})
        return found

    @contextlib.contextmanager
    def server(self):
        """iperf3 serving one client behind the tunnel."""
        address = self.tunnel.INNER4[1]
        space = self.second.namespace
        process = space.popen("iperf3", "-s", "-1", "-B", address, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.netns.wait_until(lambda: ":5201 " in space.output("ss", "-Hltn"), 5, "iperf3 to listen")
            yield address
        finally:
            process.terminate()
            process.wait(5)

    def tcp(self, seconds=None, num_bytes=None):
        """One TCP stream from the first to the second, for so long or of so many bytes."""
        amount = ["-n", num_bytes] if num_bytes else ["-t", seconds]
        with self.server() as address:
            text = self.first.namespace.output("iperf3", "-c", address, "-J", "-C", "cubic", *amount, timeout=600)
        received = json.loads(text)["end"]["sum_received"]
        return Traffic(received["bytes"], received["seconds"])

    @contextlib.contextmanager
    def meanwhile(self, load, seconds):
        """The same, or UDP of 64 bytes, while the block runs; the traffic is in the list that it gives, once the block
        has ended."""
        words = ["-C", "cubic"] if load == "tcp" else ["-u", "-l", UDP_BYTES, "-b", UDP_PACKETS * UDP_BYTES * 8]
        result = []
        with self.server() as address:
            client = self.first.namespace.popen("iperf3", "-c", address, "-J", "-t", math.ceil(seconds), *map(str, words),
                                                stdout=subprocess.PIPE, text=True)
            # iperf3 has its connection within some milliseconds; the first half second is its slow start.
            time.sleep(0.5)
            try:
                yield result
            finally:
                text, _ = client.communicate(timeout=seconds + 30)
            end = json.loads(text)["end"]
            received = end.get("sum_received") or end["sum"]
            result.append(Traffic(received["bytes"], received["seconds"], received.get("packets", 0)))

    def tun_frames(self, node):
        """(read from, written to) the interface so far: packets, where a super-packet counts once."""
        address = self.status(node)["metrics_address"]
        text = node.namespace.output("curl", "-sf", f"http://{address}/metrics")
        return tuple(sum(int(float(value)) for value in re.findall(
            rf'^cryprq_tun_frames_total\{{[^}}]*direction="{way}"[^}}]*\}} (\S+)', text, re.MULTILINE))
            for way in ("tx", "rx"))

    def rotate(self):
        self.tunnel.rotate(self.first)


@contextlib.contextmanager
def pair(program):
    """A running pair; everything is taken away again on every way out."""
    check_machine()
    netns, tunnel = load_laboratory(program)
    with netns.Lab("profile") as lab:
        yield Pair(netns, tunnel, lab)
