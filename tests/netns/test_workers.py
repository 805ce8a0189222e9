#!/usr/bin/env python3
"""Nodes with several packet workers: the same promises as with one, and a port that is nobody else's. TAP.

Arguments: words; only the cases whose titles have one of them run.
"""

import json
import os
import re
import subprocess
import sys
import time

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4, INNER6

ROTATIONS = 8
CLIENTS = 8
BLAST = ("24000", "900", "8", "20000")          # packets, bytes, flows, packets a second


def workers_of(node):
    return tunnel.status(node)["workers"]


def blast(source, target, address, during=lambda: None):
    """One-way flows, which the kernel spreads over the queues of the sender."""
    receiver = target.popen(sys.executable, tunnel.BLAST, "receive", address, *BLAST, stdout=subprocess.PIPE, text=True)
    check(receiver.stdout.readline() == "ready\n", "the receiver does not start")
    sender = source.popen(sys.executable, tunnel.BLAST, "send", address, *BLAST, stdout=subprocess.PIPE, text=True)
    during()
    sent = json.loads(sender.communicate(timeout=30)[0])
    result = {**sent, **json.loads(receiver.communicate(timeout=30)[0])}
    check(result["received"] == result["sent"] and result["damaged"] == 0, f"{address}: {result}")
    equal(result["reordered"], 0, f"{address}: out of order")
    return result


def pair_of(first, second):
    def case(scene):
        nodes = tunnel.pair(scene, first={"Workers": first}, second={"Workers": second})
        a, b = (node.namespace for node in nodes)
        # The packets of the first that wait for a session are not overtaken by those that come later.
        early = tunnel.Stream((a, b), INNER4, rate=100, size=64, port=6999)
        early.tell(1, "count")
        early.tell(0, "go")
        netns.wait_until(lambda: early.received(1) > 50, 10, "packets")
        early.tell(1, "go")         # answers begin in the middle of the flow
        streams = [tunnel.Stream((a, b), INNER4, rate=1000, size=1200, port=7000),
                   tunnel.Stream((a, b), INNER6, rate=1000, size=100, port=7001)]
        for stream in streams:
            stream.go()

        def rotations():
            for i in range(ROTATIONS):
                tunnel.rotate(nodes[i % 2])
                time.sleep(0.1)

        notes = [blast(a, b, INNER4[1], rotations), blast(b, a, INNER6[0], rotations)]
        for stream in (early, *streams):
            for result in stream.finish():
                notes.append(tunnel.summary(result))
                check(result["missing"] == result["duplicates"] == result["reordered"] == 0,
                      f"{notes[-1]}, missing {result['first_missing']}")
        steered = "event=no_steering" not in nodes[0].log_text() + nodes[1].log_text()
        check(steered, "flows are not steered")
        folder = nodes[0].directory / "files"
        tunnel.fetch(a, b, INNER4[1], folder, 10_000_000)
        tunnel.fetch(b, a, INNER6[0], folder, 10_000_000)
        for node, count in zip(nodes, (first, second)):
            status = tunnel.status(node)
            equal(status["num_workers"], count, "workers")
            equal(len(status["workers"]), count, "workers listed")
            check(f"workers: {count}\n" in node.cryprq("show", node.name).stdout, "show")
            used = sum(worker["sealed"] > 100 for worker in status["workers"])
            check(used == 1 or count > 1 and used > 1, f"{used} of {count} workers seal")
            check(count == 1 or used > 1, f"one of {count} workers seals: {status['workers']}")
            for reason in ("bad_tag", "key_expired", "replayed_record", "unknown_index", "queue_full", "staged_full"):
                equal(status["drops"][reason], 0, reason)
            notes.append(f"{status['workers']}")
            equal(sum(worker["opened"] for worker in status["workers"]), tunnel.peer_status(node)["rx_packets"],
                  "records of all workers and of the only peer")
        return notes

    return case


def many_clients(scene):
    """What one client sends goes to one worker; many clients reach several."""
    middle, server_key = scene.namespace("s"), tunnel.Identity()
    text = tunnel.interface(server_key, "10.88.0.254/24", ListenPort=tunnel.PORT, Workers=4)
    clients = []
    for i in range(CLIENTS):
        space, key = scene.namespace(f"c{tunnel.tag_of(i)}"), tunnel.Identity()
        scene.veth(space, "eth0", f"192.0.2.{4 * i + 1}/30", middle, f"eth{i}", f"192.0.2.{4 * i + 2}/30")
        config = tunnel.interface(key, f"10.88.0.{i + 1}/24", Workers=(1, 2, 4)[i % 3]) + tunnel.peer(
            server_key.id, "10.88.0.254/32", Endpoint=tunnel.at(f"192.0.2.{4 * i + 2}"))
        text += tunnel.peer(key.id, f"10.88.0.{i + 1}/32")
        clients.append(scene.node(space, config))
    server = scene.node(middle, text)
    tunnel.start(server, *clients)
    streams = []
    for i, client in enumerate(clients):
        streams.append(tunnel.Stream((client.namespace, middle), (f"10.88.0.{i + 1}", "10.88.0.254"), rate=150,
                                     size=300, port=7000 + i))
    for stream in streams:
        stream.go()
    for i, stream in enumerate(streams):
        netns.wait_until(lambda s=stream: s.received(0) and s.received(1), 10, f"packets of client {i}")
    for _ in range(3):
        tunnel.rotate(server)
    time.sleep(0.5)
    for stream in streams:
        for result in stream.finish():
            check(result["missing"] == 0 and result["duplicates"] == 0, tunnel.summary(result))
            equal(result["reordered"], 0, "out of order")
    workers = workers_of(server)
    check(sum(worker["opened"] > 100 for worker in workers) > 1, f"one worker opens everything: {workers}")
    equal(tunnel.drops(server, "replayed_record"), 0, "replayed_record")
    return [str(workers)]


def port_in_use(scene):
    """Sockets that share a port share it with those of their node alone."""
    space = scene.namespace("a")
    first, second = tunnel.Identity(), tunnel.Identity()
    node = scene.node(space, tunnel.interface(first, "10.88.0.1/24", ListenPort=tunnel.PORT, Workers=4))
    tunnel.start(node)
    bound = space.output("ss", "-Hulnp", f"sport = :{tunnel.PORT}").splitlines()
    check(len(bound) in (4, 8), f"sockets: {bound}")
    for count in (1, 4):
        other = scene.node(space, tunnel.interface(second, "10.89.0.1/24", ListenPort=tunnel.PORT, Workers=count),
                           name=f"wan{count}")
        done = other.cryprq("run", other.config, check_status=False)
        check(done.returncode == 1 and f"UDP port {tunnel.PORT} is in use" in done.stderr, f"{done}")
    return None


def automatic(scene):
    """One or two processors make one worker; the system's own count is taken where a set is imposed."""
    space = scene.namespace("a")
    node = scene.node(space, tunnel.interface(tunnel.Identity(), "10.88.0.1/24"))
    tunnel.start(node)
    cpus = len(os.sched_getaffinity(0))
    equal(tunnel.status(node)["num_workers"], 1 if cpus <= 2 else min(cpus, 4), "workers")
    threads = [path.read_text().strip() for path in
               netns.pathlib.Path(f"/proc/{node.pids()['node'][0]}/task").glob("*/comm")]
    equal(len([name for name in threads if re.fullmatch(r"packets-\d+", name)]), tunnel.status(node)["num_workers"],
          f"threads {threads}")


CASES = [
    ("4 workers and 4: rotations lose, repeat and reorder nothing", pair_of(4, 4)),
    ("4 workers and 1 understand each other", pair_of(4, 1)),
    ("2 workers and 15 understand each other", pair_of(2, 15)),
    ("many clients are spread over the workers of a server", many_clients),
    ("the port of several workers is nobody else's", port_in_use),
    ("without a number the machine decides", automatic),
]


def main():
    netns.require(("ip", "ping", "curl", "ss"))
    tap = netns.Tap()
    with netns.Lab("workers") as lab:
        tunnel.run_cases(lab, tap, CASES[:3], jobs=1)
        tunnel.run_cases(lab, tap, CASES[3:], jobs=3)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
