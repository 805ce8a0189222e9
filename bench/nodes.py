"""Handshake, rotation and memory of real nodes in network namespaces."""

import base64
import secrets
import threading
import time

import netns
import tunnel
from bench import links, traffic
from bench.rows import Row

CROWDS = (1, 100, 10_000)
RHYTHM_SECONDS = 300


def handshake(program, scene, effort):
    """First contacts (nodes that know nothing but IDs) and handshakes of nodes that know each other, over a cable."""
    contacts, echoes, later = [], [], []
    for _ in range(effort.contacts):
        link = links.cryprq(program, scene)
        echoes.append(traffic.answered(traffic.ping(link, 1, 1000))[0] / 1000)
        contacts.append(duration_ms(link.nodes[0]))
        if len(contacts) == effort.contacts:
            for _ in range(effort.handshakes):
                tunnel.rotate(link.nodes[0])
                later.append(duration_ms(link.nodes[0]))
        end(scene)
    return [Row("handshake/veth/first-contact", "ms", contacts, promise=100),
            Row("handshake/veth/first-echo", "ms", echoes, promise=100),
            Row("handshake/veth/known-peer", "ms", later, promise=100, mark=1)]


def duration_ms(node):
    return tunnel.peer_status(node)["handshake_duration_us"] / 1000


def end(scene):
    """Ends a scene's nodes and namespaces, so that the next ones find it as new."""
    problems = scene.end_nodes()
    scene.close()
    scene.nodes, scene.namespaces = [], []
    netns.check(not problems, "; ".join(problems))
    scene.tag = tunnel.tag_of(next(tunnel.TAGS)) + "x"


def rotation(program, scene, effort):
    """`cryprq rotate` with numbered packets in both directions, then with a TCP stream."""
    link = links.cryprq(program, scene)
    link.settle()
    durations, commands = [], []
    stream = tunnel.Stream(link.spaces, link.addresses, rate=effort.stream_rate, size=1200)
    stream.go()
    for i in range(effort.rotations):
        began = time.monotonic()
        tunnel.rotate(link.nodes[i % 2])
        commands.append((time.monotonic() - began) * 1000)
        durations.append(duration_ms(link.nodes[i % 2]))
        time.sleep(0.05)
    results = stream.finish()
    loaded = []
    with traffic.bulk(link, effort.rotations + 30):
        time.sleep(0.5)
        for i in range(effort.rotations):
            tunnel.rotate(link.nodes[i % 2])
            loaded.append(duration_ms(link.nodes[i % 2]))
            time.sleep(0.05)
    return [Row("rotation/veth/packets", "ms", durations, promise=50, mark=1),
            Row("rotation/veth/lost", "packets", [sum(result["missing"] for result in results)], promise=0, mark=0),
            Row("rotation/veth/tcp", "ms", loaded, promise=50),
            Row("rotation/veth/command", "ms", commands)]


def rhythm(program, scene, progress):
    """The rotation that comes by itself after five minutes, once, with packets all the time."""
    link = links.cryprq(program, scene, first={"RotateSecs": RHYTHM_SECONDS})
    link.settle()
    first = tunnel.session_of(link.nodes[0])
    stream = tunnel.Stream(link.spaces, link.addresses, rate=500, size=1200)
    stream.go()
    began = time.monotonic()
    while tunnel.session_of(link.nodes[0])["id"] == first["id"]:
        seconds = time.monotonic() - began
        netns.check(seconds < RHYTHM_SECONDS + 15, f"no rotation within {seconds:.0f} s")
        progress.detail(f"waiting for a rotation, {seconds:.0f} of at most {RHYTHM_SECONDS} s")
        time.sleep(1)
    seconds = time.monotonic() - began
    time.sleep(1)
    results = stream.finish()
    return [Row("rotation/rhythm/age", "s", [seconds], promise=RHYTHM_SECONDS),
            Row("rotation/rhythm/duration", "ms", [duration_ms(link.nodes[0])], promise=50, mark=1),
            Row("rotation/rhythm/lost", "packets", [sum(result["missing"] for result in results)], promise=0, mark=0),
            Row("rotation/rhythm/sent", "packets", [sum(result["sent"] for result in results)], better="higher")]


def crowd_config(number):
    """A node with so many peers that have not called yet, one address each."""
    identity = tunnel.Identity()
    text = [tunnel.interface(identity, "10.64.0.1/32", ListenPort=tunnel.PORT)]
    for i in range(number):
        address = f"10.{65 + (i >> 16)}.{i >> 8 & 255}.{i & 255}/32"
        text.append(tunnel.peer(base64.b64encode(secrets.token_bytes(32)).decode(), address))
    return "".join(text)


def crowd(program, scene, number):
    """(largest process, all processes) of an idle node, in MB."""
    node = scene.node(scene.namespace("a"), crowd_config(number))
    node.program = node.client = program
    node.env = {**node.env, "CRYPRQ_LOG": "info"}
    node.start()
    tunnel.wait_ready(node, 30)
    # What the node does right after it is ready (first scrape-able state, timers) is part of it.
    time.sleep(0.3)
    pids = tunnel.node_pids(node)
    result = (max(tunnel.rss_kb(pid) for pid in pids) / 1024,
              sum(links.proportional_kb(pid) for pid in pids) / 1024)
    end(scene)
    return result


def memory(program, scene, effort):
    """Idle with few and many peers, and under load in both directions."""
    found = []
    for number in effort.crowds:
        largest, whole = crowd(program, scene, number)
        name = f"memory/node/{number}-peer{'s' if number > 1 else ''}"
        found += [Row(f"{name}/largest-process", "MB", [largest], promise=50, mark=8 if number == 1 else None),
                  Row(f"{name}/all-processes", "MB", [whole], promise=50)]
    link = links.cryprq(program, scene)
    link.settle()
    threads = [threading.Thread(target=sample_whole, args=(link, samples := [], effort.tcp_seconds))]
    for thread in threads:
        thread.start()
    traffic.tcp(link, effort.tcp_seconds)
    for thread in threads:
        thread.join()
    found += [Row("memory/node/load/largest-process", "MB", [link.peak_mb()], promise=50, mark=16),
              Row("memory/node/load/all-processes", "MB", [max(samples)], promise=50)]
    return found


def sample_whole(link, samples, seconds):
    """All processes of an end together, a few times while there is load."""
    end_time = time.monotonic() + seconds
    while time.monotonic() < end_time:
        samples.append(link.whole_mb())
        time.sleep(0.25)
