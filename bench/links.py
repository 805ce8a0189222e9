"""What the tunnel benchmark measures: two namespaces on a cable, and over it nothing ("plain") or a tunnel of CrypRQ.

A link is up when `open` returns and ended with its scene. Every measurement has one of its own, made anew, so that no
round inherits the memory, sockets or queues of another. Other programs' tunnels are in peers.py.
"""

import contextlib
import dataclasses
import pathlib
import re
import time

import netns
import tunnel
from bench import ethtool, tools

MTU = 1420
SECONDS_TO_START = 15


class Unavailable(Exception):
    """This link cannot be measured here; the text says why."""


@dataclasses.dataclass
class Link:
    """Two ends: what traffic goes between, and the processes that carry it."""

    spaces: tuple
    addresses: tuple
    nodes: tuple = ()           # of CrypRQ's links alone: netns.Node
    pids: tuple = ((), ())      # of the processes that carry packets, by end

    def settle(self):
        """Waits until an echo comes back."""
        deadline = time.monotonic() + SECONDS_TO_START
        while not self.spaces[0].ping(self.addresses[1], timeout=1):
            netns.check(time.monotonic() < deadline, "no answer through the tunnel")

    def carriers(self):
        """[(end, pid)] of all processes; asked late, because children come and go."""
        if self.nodes:
            return [(end, pid) for end, node in enumerate(self.nodes) for pid in tunnel.node_pids(node)]
        return [(end, pid) for end in (0, 1) for pid in self.pids[end]]

    def peak_mb(self):
        """The largest resident size that any one process ever had."""
        return max((tunnel.rss_kb(pid, "VmHWM") for _, pid in self.carriers()), default=0) / 1024

    def whole_mb(self):
        """All processes of an end together at this moment, shared pages counted once; the larger of both ends."""
        sums = [0.0, 0.0]
        for end, pid in self.carriers():
            sums[end] += proportional_kb(pid) / 1024
        return max(sums)


def proportional_kb(pid):
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found.group(1)) if found else 0
    return 0


def segment_for_real(spaces, device="eth0"):
    """Makes the cable segment UDP super-datagrams, as a network card without that offload has it, and merge on receipt."""
    for space in spaces:
        names = {name: False for name in ethtool.names_in(space, device) if re.fullmatch(r"tx-tcp.*-segmentation", name)}
        settings = {**names, "tx-udp-segmentation": False, "rx-gro": True}
        words = [f"{name}={'on' if on else 'off'}" for name, on in settings.items()]
        space.run(*tools.python("bench.ethtool"), device, *words, env=tools.python_env())


def plain(scene):
    """No tunnel: the limit of the cable and of what makes the traffic."""
    return Link(tunnel.cable(scene), tunnel.OUTER4)


def cryprq(program, scene, first=None, second=None):
    """A pair of nodes of this program. Further lines of the configuration as in tunnel.pair."""
    nodes = tunnel.pair(scene, run=False, first={"MTU": MTU, **(first or {})},
                        second={"MTU": MTU, **(second or {})})
    for node in nodes:
        node.program = node.client = program
        node.env = {**node.env, "CRYPRQ_LOG": "info"}
    tunnel.start(*nodes)
    return Link(tuple(node.namespace for node in nodes), tunnel.INNER4, nodes)
