#!/usr/bin/env python3
"""What being watched costs: a pair of nodes moves data over TCP, in turn left alone and watched, that is /metrics of
both scraped and the data of the page asked for, each every second.

    tests/netns/measure_metrics.py [--rounds 10] [--seconds 4] [--peers 0]

Prints for each round the node's processor seconds for a gigabyte (of the sender and the receiver) and the throughput,
then medians, and the ratio watched / alone with its spread. The machine should have nothing else to do: the processor
time for a gigabyte is the steadier figure of the two. Needs root and iperf3.
"""

import argparse
import base64
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import netns
import tunnel
from tunnel import INNER4

WATCH = """
import http.client, time
c = http.client.HTTPConnection("127.0.0.1", 9464, timeout=10)
while True:
    begin = time.monotonic()
    for path in ("/metrics", "/api/v1/status"):
        c.request("GET", path)
        answer = c.getresponse()
        assert answer.status == 200, answer.status
        answer.read()
    time.sleep(max(0, 1 - (time.monotonic() - begin)))
"""


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def add_peers(config, num):
    """So many that never call, each with labels of its own."""
    config = config.replace("[Peer]", f"MetricsPeers = {max(num + 1, 1)}\n[Peer]", 1)
    for i in range(num):
        config += tunnel.peer(base64.b64encode(i.to_bytes(4, "big") + b"\x01" * 28).decode(),
                              f"10.{100 + i // 65536}.{i // 256 % 256}.{i % 256}/32", Name=f"p{i}")
    return config


def measure(nodes, seconds, watched):
    """(processor seconds a gigabyte of both nodes, Gbit/s, processor seconds a second of both metrics servers)."""
    watchers = [node.namespace.popen(sys.executable, "-c", WATCH) for node in nodes] if watched else []
    pids = [node.pids() for node in nodes]
    before = [cpu_seconds(p["node"][0]) for p in pids], [cpu_seconds(p["metrics"][0]) for p in pids]
    done = nodes[0].namespace.output("iperf3", "-c", INNER4[1], "-t", seconds, "-J", timeout=seconds + 30)
    after = [cpu_seconds(p["node"][0]) for p in pids], [cpu_seconds(p["metrics"][0]) for p in pids]
    netns.check(all(watcher.poll() is None for watcher in watchers), "a watcher ended")
    for watcher in watchers:
        watcher.kill()
        watcher.wait(5)
    end = json.loads(done)["end"]["sum_received"]
    gigabytes = end["bytes"] / 1e9
    return ((sum(after[0]) - sum(before[0])) / gigabytes, end["bits_per_second"] / 1e9,
            (sum(after[1]) - sum(before[1])) / end["seconds"])


def report(rounds):
    """Medians of what is watched and what is not, and the ratios of neighbours."""
    for i, (name, unit) in enumerate((("node", "s of processor time a GB, both nodes"), ("throughput", "Gbit/s"))):
        alone, watched = ([r[k][i] for r in rounds] for k in (0, 1))
        ratios = sorted(w / a for a, w in zip(alone, watched))
        quarters = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        print(f"{name}: alone {statistics.median(alone):.3f}, watched {statistics.median(watched):.3f} {unit}; "
              f"ratio {quarters[1]:.4f} (middle half {quarters[0]:.4f} to {quarters[2]:.4f})")
    print(f"metrics servers, watched: {statistics.median(r[1][2] for r in rounds):.4f} s of processor time a second, both")


def main():
    parser = argparse.ArgumentParser(description="Measures what scraping metrics costs a loaded pair of nodes.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=4, help="of each half of a round")
    parser.add_argument("--peers", type=int, default=0, help="that many more at each end, all labelled")
    options = parser.parse_args()
    netns.require(("ip", "ping", "iperf3"))
    with netns.Lab("measure") as lab:
        scene = tunnel.Scene(lab, "m")
        nodes = tunnel.pair(scene, run=False, ipv6=False)
        for node in nodes:
            node.write_config(add_peers(node.config.read_text(), options.peers))
            node.env["CRYPRQ_LOG"] = "error"
            node.start()
        time.sleep(1 + options.peers / 2000)
        tunnel.must_ping(nodes[0].namespace, INNER4[1])
        nodes[1].namespace.popen("iperf3", "-s", "-B", INNER4[1], stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        measure(nodes, 1, True)         # warm
        rounds = []
        for number in range(options.rounds):
            order = (False, True) if number % 2 == 0 else (True, False)
            results = {watched: measure(nodes, options.seconds, watched) for watched in order}
            rounds.append((results[False], results[True]))
            print(f"round {number + 1}: alone {results[False][0]:.3f} s/GB {results[False][1]:.2f} Gbit/s, "
                  f"watched {results[True][0]:.3f} s/GB {results[True][1]:.2f} Gbit/s", flush=True)
        report(rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
