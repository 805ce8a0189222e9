#!/usr/bin/env python3
"""The figures that CrypRQ promises, held against what this machine does: a smoke test, no benchmark. TAP.

Each figure comes as a diagnostic line; a machine that is busy with other things may be slower than it could be.
"""

import json
import sys
import time

import netns
import tunnel
from netns import check
from tunnel import INNER4

LEAST_TCP_MBIT = 100
LEAST_UDP_PACKETS = 10_000
MOST_RSS_MB = 50
MOST_HANDSHAKE_MS = 100
SECONDS = 4
HANDSHAKES = 10
UDP_OFFERED = 20_000                # packets a second
UDP_BYTES = 512


class Measurements:
    def __init__(self, lab):
        scene = tunnel.Scene(lab, "p")
        self.a, self.b = tunnel.pair(scene)
        self.server = None

    def iperf(self, *options):
        """What iperf3 says at its end, from a server that serves one client."""
        server = self.b.namespace.popen("iperf3", "-s", "-1", "-B", INNER4[1], stdout=netns.subprocess.DEVNULL,
                                        stderr=netns.subprocess.DEVNULL)
        netns.wait_until(lambda: ":5201 " in self.b.namespace.output("ss", "-Hltn"), 5, "iperf3 to listen")
        try:
            text = self.a.namespace.output("iperf3", "-c", INNER4[1], "-t", SECONDS, "-J", *options,
                                           timeout=SECONDS + 20)
        finally:
            server.terminate()
            server.wait(5)
        return json.loads(text)["end"]

    def rss(self, field):
        return {node.namespace.label[-1]: max(tunnel.rss_kb(pid, field) for pid in tunnel.node_pids(node)) / 1024
                for node in (self.a, self.b)}

    @staticmethod
    def note(text):
        print(f"# {text}", flush=True)

    def handshake(self):
        tunnel.must_ping(self.a.namespace, INNER4[1])
        first = tunnel.durations_ms(self.a, "handshake_complete")
        check(first and first[0] < MOST_HANDSHAKE_MS, f"first contact: {first} ms")
        self.note(f"first contact, keys exchanged on the way: {first[0]:.2f} ms")
        for _ in range(HANDSHAKES):
            tunnel.rotate(self.a)
        later = sorted(tunnel.durations_ms(self.a, "key_rotation"))
        check(len(later) >= HANDSHAKES, f"{len(later)} rotations in the log")
        self.note(f"handshake: median {later[len(later) // 2]:.2f} ms, longest {later[-1]:.2f} ms of {len(later)}")
        check(later[len(later) * 9 // 10 - 1] < MOST_HANDSHAKE_MS, f"{later} ms")

    def idle_memory(self):
        idle = self.rss("VmRSS")
        self.note(f"resident when idle: {idle['a']:.1f} MB and {idle['b']:.1f} MB")
        check(max(idle.values()) < MOST_RSS_MB, f"{idle} MB")

    def round_trip(self):
        done = self.a.namespace.output("ping", "-n", "-q", "-i", "0.01", "-c", "100", "-w", "5", INNER4[1])
        self.note(done.strip().splitlines()[-1])
        check(" 0% packet loss" in done, done)

    def tcp(self):
        figures = []
        for direction, options in (("there", ()), ("back", ("-R",))):
            end = self.iperf("-C", "cubic", *options)
            figures.append(end["sum_received"]["bits_per_second"] / 1e6)
            self.note(f"TCP {direction}: {figures[-1]:.0f} Mbit/s")
        check(min(figures) >= LEAST_TCP_MBIT, f"{figures} Mbit/s")

    def udp(self):
        end = self.iperf("-u", "-l", str(UDP_BYTES), "-b", str(UDP_OFFERED * UDP_BYTES * 8))["sum"]
        rate = (end["packets"] - end["lost_packets"]) / end["seconds"]
        self.note(f"UDP, {UDP_BYTES} bytes: {rate:.0f} packets/s of {UDP_OFFERED} offered, {end['lost_packets']} lost")
        check(rate >= LEAST_UDP_PACKETS, f"{rate:.0f} packets/s")

    def peak_memory(self):
        time.sleep(0.1)
        peak = self.rss("VmHWM")
        self.note(f"resident at most: {peak['a']:.1f} MB and {peak['b']:.1f} MB")
        check(max(peak.values()) < MOST_RSS_MB, f"{peak} MB")


def main():
    netns.require(("ip", "ping", "iperf3", "ss"))
    tap = netns.Tap()
    with netns.Lab("performance") as lab:
        m = Measurements(lab)
        tap.case(f"handshakes take less than {MOST_HANDSHAKE_MS} ms", m.handshake)
        tap.case(f"an idle node is resident with less than {MOST_RSS_MB} MB", m.idle_memory)
        tap.case("no echo is lost", m.round_trip)
        tap.case(f"TCP: at least {LEAST_TCP_MBIT} Mbit/s in both directions", m.tcp)
        tap.case(f"UDP: at least {LEAST_UDP_PACKETS} packets a second", m.udp)
        tap.case(f"after that a node was never resident with {MOST_RSS_MB} MB or more", m.peak_memory)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
