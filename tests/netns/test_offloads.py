#!/usr/bin/env python3
"""The tunnel with each offload switched off, missing in the kernel, or refused while it runs: nothing is lost, and
`show`, log and metrics say what happened. TAP.

What the kernel refuses is refused by the program of tests/faults, which is the real one but for the calls that fail.
Arguments: words; only the cases whose titles have one of them run.
"""

import json
import re
import subprocess
import sys

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4, INNER6

FAULTS = netns.CRYPRQ.parent / "tests" / "faults" / "cryprq_faults"
ALL = ("tun_header", "tun_csum", "tun_tso", "tun_uso", "udp_gso", "udp_gro")
SWITCHES = {
    "TunOffload = tso": ({"TunOffload": "tso"}, {"tun_uso"}),
    "TunOffload = checksum": ({"TunOffload": "checksum"}, {"tun_uso", "tun_tso"}),
    "TunOffload = off": ({"TunOffload": "off"}, {"tun_uso", "tun_tso", "tun_csum", "tun_header"}),
    "UdpGso = off": ({"UdpGso": "off"}, {"udp_gso"}),
    "UdpGro = off": ({"UdpGro": "off"}, {"udp_gro"}),
    "everything off": ({"TunOffload": "off", "UdpGso": "off", "UdpGro": "off"}, set(ALL)),
}
# What the kernel lacks from the start, and what is missing then.
LACKS = {
    "uso": {"tun_uso"},
    "tso": {"tun_uso", "tun_tso"},
    "csum": {"tun_uso", "tun_tso", "tun_csum"},
    "vnet": {"tun_uso", "tun_tso", "tun_csum", "tun_header"},
    "gro": {"udp_gro"},
}


def states(node):
    return {name: entry["state"] for name, entry in tunnel.status(node)["offloads"].items()}


def wanted_states(off, state):
    return {name: state if name in off else "on" for name in ALL}


def exchange(nodes, label):
    """TCP and UDP with super-packets through the tunnel, both ways; every numbered packet and every byte arrives."""
    a, b = (node.namespace for node in nodes)
    tunnel.must_ping(a, INNER4[1])
    tunnel.must_ping(b, INNER6[0])
    notes = []
    folder = nodes[0].directory / "files"
    tunnel.fetch(a, b, INNER4[1], folder, 3_000_000)
    tunnel.fetch(b, a, INNER6[0], folder, 3_000_000)
    for source, target, address in ((a, b, INNER4[1]), (b, a, INNER6[0])):
        result = blast(source, target, address)
        check(result["received"] == result["sent"] and result["damaged"] == 0, f"{label}: {address}: {result}")
        notes.append(f"{address}: {result}")
    stream = tunnel.Stream((a, b), INNER4, rate=500, size=700)
    stream.go()
    tunnel.rotate(nodes[0])
    netns.wait_until(lambda: stream.received(0) > 100 and stream.received(1) > 100, 10, "packets")
    for result in stream.finish():
        check(result["missing"] == 0 and result["duplicates"] == 0, f"{label}: {tunnel.summary(result)}")
    return notes


def blast(source, target, address):
    """Numbered packets by UDP GSO sends, as fast as the receiver's buffer allows."""
    receiver = target.popen(sys.executable, tunnel.BLAST, "receive", address, stdout=subprocess.PIPE, text=True)
    check(receiver.stdout.readline() == "ready\n", "the receiver does not start")
    sent = json.loads(source.output(sys.executable, tunnel.BLAST, "send", address, timeout=30))
    received = json.loads(receiver.communicate(timeout=20)[0])
    return {**sent, **received}


def shown(node):
    """The lines of `show NAME` that are about offloads, by their key."""
    text = node.cryprq("show", node.name).stdout
    return dict(re.findall(r"^  ((?:offloads|udp_gso|workers).*?): (.*)$", text, re.MULTILINE))


def switched_off(lines, off):
    def case(scene):
        nodes = tunnel.pair(scene, first=lines, second=lines)
        for node in nodes:
            equal(states(node), wanted_states(off, "switched_off"), "offloads")
        line = shown(nodes[0])
        equal(set(line["offloads switched off"].split(", ")), off, "show")
        equal(set(line.get("offloads", "").split(", ")) - {""}, set(ALL) - off, "show")
        notes = exchange(nodes, "switched off")
        check("event=no_offload" not in nodes[0].log_text(), "an offload that is not wanted was missed")
        return notes

    return case


def one_side(scene):
    """A side without offloads and one with all of them."""
    lines, _ = SWITCHES["everything off"]
    return exchange(tunnel.pair(scene, first=lines), "one side")


def faulty_pair(scene, faults):
    """Two nodes of which the first has a kernel that refuses."""
    if not FAULTS.exists():
        raise netns.Skip(f"no program at {FAULTS}")
    nodes = tunnel.pair(scene, run=False, first={"MetricsAddress": "127.0.0.1:9464"})
    nodes[0].program = FAULTS
    nodes[0].env["CRYPRQ_FAULTS"] = faults
    tunnel.start(*nodes)
    return nodes


def lacking(fault):
    def case(scene):
        nodes = faulty_pair(scene, fault)
        equal(states(nodes[0]), wanted_states(LACKS[fault], "unavailable"), "offloads")
        told = set(re.findall(r"event=no_offload interface=\S+ offload=(\S+)", nodes[0].log_text()))
        equal(told, LACKS[fault], "events")
        equal(set(shown(nodes[0])["offloads that the kernel lacks"].split(", ")), LACKS[fault], "show")
        return exchange(nodes, fault)

    return case


def metric(node, name):
    text = node.namespace.output("curl", "-sS", "--max-time", "5", "http://127.0.0.1:9464/metrics")
    return {m.group(1): int(m.group(2)) for m in re.finditer(rf'^{name}{{offload="(\w+)"}} (\d+)$', text, re.MULTILINE)}


def refused_gso(scene):
    nodes = faulty_pair(scene, "gso=5")
    notes = exchange(nodes, "gso")
    entry = tunnel.status(nodes[0])["offloads"]["udp_gso"]
    equal(entry, {"state": "on", "fallbacks": 1}, "udp_gso")
    equal(shown(nodes[0])["udp_gso given up for"], "1 destination", "show")
    equal(metric(nodes[0], "cryprq_offload_fallbacks_total")["udp_gso"], 1, "metric")
    found = re.findall(r"event=offload_given_up .*offload=udp_gso endpoint=(\S+) reason=\"(.*)\"", nodes[0].log_text())
    equal(found, [("192.0.2.2:51820", "Input/output error")], "events")
    equal(tunnel.drops(nodes[0], "send_error"), 0, "send_error")
    return notes


def refused_merge(scene):
    """TCP is merged into both families alike and UDP on its own, so two things are given up, once each."""
    nodes = faulty_pair(scene, "merge=5")
    notes = exchange(nodes, "merge")
    given_up = {name for name, state in states(nodes[0]).items() if state == "given_up"}
    equal(given_up, {"tun_tso", "tun_uso"}, "given up")
    for name in given_up:
        equal(tunnel.status(nodes[0])["offloads"][name]["fallbacks"], 1, name)
    equal(sorted(re.findall(r"event=offload_given_up .*offload=(\w+) reason=\"Invalid argument\"",
                            nodes[0].log_text())), sorted(given_up), "events")
    equal(metric(nodes[0], "cryprq_offload_active")["tun_tso"], 0, "metric")
    equal(tunnel.drops(nodes[0], "tun_write"), 0, "tun_write")
    return notes


def suites(scene):
    """AES-256-GCM where both CPUs have instructions for it, whoever begins, unless somebody said otherwise."""
    if not FAULTS.exists():
        raise netns.Skip(f"no program at {FAULTS}")
    aes, chacha = tunnel.SUITES
    both = {"Suites": f"{aes}, {chacha}"}
    notes = []
    spaces = tunnel.cable(scene)
    for hidden, second, expected in (((), {}, aes), ((0,), {}, chacha), ((1,), {}, chacha), ((0, 1), {}, chacha),
                                     ((0,), both, aes), ((1,), both, aes), ((0,), {"Suites": aes}, aes)):
        configs = tunnel.pair_configs(second=second, first={"ListenPort": tunnel.PORT})
        nodes = [scene.node(space, config, f"wan{len(notes)}") for space, config in zip(spaces, configs)]
        for end in hidden:
            nodes[end].program = FAULTS
            nodes[end].env["CRYPRQ_FAULTS"] = "aes"
        tunnel.start(*nodes)
        tunnel.must_ping(nodes[0].namespace, INNER4[1])
        equal(tunnel.session_of(nodes[0])["suite"], expected, f"without AES: {hidden}, second {second}")
        if not second:
            tunnel.rotate(nodes[1])
            equal(tunnel.session_of(nodes[0])["suite"], expected, f"without AES: {hidden}, the other way round")
        for node in nodes:
            equal(node.stop(), 0, "exit status")
        notes.append(f"without AES: {hidden}, second {second}: {expected}")
    return notes


def fewer_udp(scene):
    nodes = faulty_pair(scene, "udp64")
    a, b = (node.namespace for node in nodes)
    tunnel.must_ping(a, INNER4[1])
    size = ("40000", "20", "1", "200000")
    receiver = a.popen(sys.executable, tunnel.BLAST, "receive", INNER4[0], *size, stdout=subprocess.PIPE, text=True)
    check(receiver.stdout.readline() == "ready\n", "the receiver does not start")
    b.output(sys.executable, tunnel.BLAST, "send", INNER4[0], *size, timeout=30)
    result = json.loads(receiver.communicate(timeout=20)[0])
    equal((result["received"], result["damaged"]), (40000, 0), "received")
    equal(tunnel.status(nodes[0])["offloads"]["tun_uso"], {"state": "on", "fallbacks": 0}, "tun_uso")
    return [result]


CASES = [(f"the tunnel works with {title}", switched_off(*value)) for title, value in SWITCHES.items()]
CASES.append(("a side without offloads and one with all understand each other", one_side))
CASES += [(f"the kernel has no {fault}: told, and nothing is lost", lacking(fault)) for fault in LACKS]
CASES += [
    ("super-packets of UDP refused for their number: fewer at a time", fewer_udp),
    ("a CPU without AES instructions, at either end or both: the suite", suites),
    ("UDP GSO refused for a destination while running: the same datagrams go one by one", refused_gso),
    ("super-packets refused by the TUN while running: the same packets go one by one", refused_merge),
]


def main():
    netns.require(("ip", "ping", "curl"))
    tap = netns.Tap()
    with netns.Lab("offloads") as lab:
        tunnel.run_cases(lab, tap, CASES, jobs=3)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
