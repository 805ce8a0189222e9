"""Tunnels between namespaces, numbered streams and cases that run side by side, for the tests of this folder.

    with netns.Lab("tunnel") as lab:
        tunnel.run_cases(lab, tap, [("a title", function), ...], jobs=4)     # function(scene)

A scene is one case's share of the laboratory: namespaces with names of its own, ended as soon as the case is.
"""

import concurrent.futures
import contextlib
import ipaddress
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import netns

HERE = pathlib.Path(__file__).resolve().parent
STREAM, BLAST, HTTPD = HERE / "udpstream.py", HERE / "udpblast.py", HERE / "httpd.py"
PORT = 51820
NAME = "wan0"
# Of the two ends of a pair: inside the tunnel, and on the cable.
INNER4 = ("10.88.0.1", "10.88.0.2")
INNER6 = ("fd88::1", "fd88::2")
OUTER4 = ("192.0.2.1", "192.0.2.2")
OUTER6 = ("2001:db8:1::1", "2001:db8:1::2")
SUITES = ("aes-256-gcm", "chacha20-poly1305")


class Identity:
    """A secret key and the 44 characters that its peers configure."""

    def __init__(self):
        self.key = netns.genkey()
        done = subprocess.run([netns.CRYPRQ, "pubkey"], input=self.key + "\n", check=True, capture_output=True,
                              text=True, timeout=10)
        self.id = done.stdout.strip()


def interface(identity, addresses, **options):
    return netns.section("Interface", PrivateKey=identity.key, Address=addresses, **options)


def peer(public_id, allowed_ips, **options):
    return netns.section("Peer", PeerID=public_id, AllowedIPs=allowed_ips, **options)


def host_routes(*addresses):
    """The AllowedIPs of one end that is these addresses and nothing else."""
    return ", ".join(str(ipaddress.ip_network(address)) for address in addresses)


def at(host, port=PORT):
    """HOST:PORT as an Endpoint is written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# Cases side by side


class Scene:
    def __init__(self, lab, tag):
        self.lab = lab
        self.tag = tag
        self.namespaces = []
        self.nodes = []

    def namespace(self, label):
        netns.check(not self.lab.closed, "the laboratory is closed")
        namespace = self.lab.namespace(f"{self.tag}{label}")
        self.namespaces.append(namespace)
        return namespace

    def veth(self, *arguments, **options):
        self.lab.veth(*arguments, **options)

    def node(self, namespace, config=None, name=NAME):
        node = self.lab.node(namespace, name, config)
        self.nodes.append(node)
        return node

    def end_nodes(self):
        """Ends all that run in the foreground; gives what was not as it should be."""
        running = [node for node in self.nodes if node.process is not None and node.process.poll() is None]
        problems = []
        for node in running:
            node.process.terminate()
        for node in running:
            try:
                status = node.process.wait(10)
            except subprocess.TimeoutExpired:
                problems.append(f"{node.namespace.label}: does not end")
                continue
            if status != 0 or node.leftovers()[0]:
                problems.append(f"{node.namespace.label}: ended with {status}, left {node.leftovers()[0]}")
        for node in self.nodes:
            found = re.search(r"^.*(Sanitizer|runtime error:|event=command_refused).*$", node.log_text(), re.MULTILINE)
            if found:
                problems.append(f"{node.namespace.label}: {found.group(0)}")
        return problems

    def close(self):
        for namespace in self.namespaces:
            pids = subprocess.run(["ip", "netns", "pids", namespace.name], capture_output=True, text=True, timeout=10,
                                  check=False).stdout.split()
            for process in self.lab.processes:
                if str(process.pid) in pids and process.poll() is None:
                    process.kill()
                    process.wait(5)
            subprocess.run(["ip", "netns", "del", namespace.name], capture_output=True, timeout=10, check=False)

    def logs(self):
        """The last lines of all nodes, for a case that failed."""
        lines = []
        for node in self.nodes:
            lines += [f"{node.namespace.label}: {line}" for line in node.log_text().splitlines()[-12:]]
        return lines


def tag_of(number):
    """'a', 'b', ... 'z', 'aa': part of the names of namespaces, so without digits."""
    text = ""
    while True:
        text = chr(ord("a") + number % 26) + text
        number = number // 26 - 1
        if number < 0:
            return text


TAGS = itertools.count()


def run_case(lab, function):
    """(None or the exception, notes, seconds)."""
    scene = Scene(lab, tag_of(next(TAGS)) + "x")
    start = time.monotonic()
    try:
        notes = function(scene) or []
        problems = scene.end_nodes()
        netns.check(not problems, "; ".join(problems))
        return None, notes, time.monotonic() - start
    except (netns.Failure, subprocess.SubprocessError, OSError, AssertionError, ValueError, LookupError) as error:
        return error, scene.logs(), time.monotonic() - start
    finally:
        scene.end_nodes()
        scene.close()


def run_cases(lab, tap, cases, jobs=4):
    """Runs the cases that the command line asks for (all, or those whose title has one of its words) in threads."""
    words = sys.argv[1:]
    wanted = [case for case in cases if not words or any(word in case[0] for word in words)]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run_case, lab, function) for _, function in wanted]
        for (title, _), future in zip(wanted, futures):
            error, notes, seconds = future.result()
            if error is not None:
                notes = [f"{type(error).__name__}: {error}", *notes]
            tap.result(error is None, title, *notes, f"{seconds:.1f} s")


# Pairs


def pair_configs(outer=OUTER4, first=None, second=None, first_peer=None, second_peer=None, ipv6=True):
    """The configurations of two nodes of which the first calls the second; the dictionaries hold further lines."""
    one, two = Identity(), Identity()
    ends = [(INNER4[i], INNER6[i]) if ipv6 else (INNER4[i],) for i in (0, 1)]
    addresses = [", ".join(f"{a}/{64 if ':' in a else 24}" for a in end) for end in ends]
    config_one = interface(one, addresses[0], **(first or {})) + peer(
        two.id, host_routes(*ends[1]), **{"Endpoint": at(outer[1]), **(first_peer or {})})
    config_two = interface(two, addresses[1], **{"ListenPort": PORT, **(second or {})}) + peer(
        one.id, host_routes(*ends[0]), **(second_peer or {}))
    return config_one, config_two


def cable(scene, mtu=1500):
    """Two namespaces joined by a cable with addresses of both families."""
    spaces = scene.namespace("a"), scene.namespace("b")
    scene.veth(spaces[0], "eth0", f"{OUTER4[0]}/24 {OUTER6[0]}/64", spaces[1], "eth0", f"{OUTER4[1]}/24 {OUTER6[1]}/64",
               mtu=mtu)
    return spaces


def pair(scene, run=True, mtu=1500, **options):
    """Two nodes in two namespaces; the first calls the second."""
    spaces = cable(scene, mtu)
    nodes = [scene.node(space, config) for space, config in zip(spaces, pair_configs(**options))]
    if run:
        start(*nodes)
    return nodes


def start(*nodes):
    """Runs nodes and waits until all are ready."""
    for node in nodes:
        node.log.unlink(missing_ok=True)
        node.start()
    for node in nodes:
        wait_ready(node)


def wait_ready(node, seconds=10):
    def ready():
        if node.process.poll() is not None:
            raise netns.Failure(f"{node.namespace.label}: ended with {node.process.returncode}: "
                                f"{node.log_text().strip()}")
        return node.is_ready()

    netns.wait_until(ready, seconds, f"{node.namespace.label}: ready")


def status(node):
    """What `cryprq show NAME json` says."""
    return json.loads(node.cryprq("show", node.name, "json").stdout)


def peer_status(node, public_id=None):
    """The entry of one peer, the first where none is named."""
    peers = status(node)["peers"]
    return next(p for p in peers if public_id in (None, p["peer_id"]))


def session_of(node):
    return peer_status(node)["session"]


def drops(node, reason):
    return status(node)["drops"][reason]


def must_ping(namespace, address, count=1, seconds=8, size=None):
    netns.check(namespace.ping(address, count=count, timeout=seconds, size=size),
                f"{namespace.label}: no answer from {address} within {seconds} s")


def must_not_ping(namespace, address, seconds=1.5):
    netns.check(not namespace.ping(address, timeout=max(1, round(seconds))),
                f"{namespace.label}: unexpected answer from {address}")


def rotate(node):
    """`cryprq rotate`; its exit status must be 0."""
    return node.cryprq("rotate", node.name, timeout=20)


# Reading logs


def durations_ms(node, *events):
    """duration_ms of all lines of these events in a node's log."""
    return [float(m.group(2)) for m in re.finditer(r"event=(\S+) .*?duration_ms=([\d.]+)", node.log_text())
            if m.group(1) in events]


def rss_kb(pid, field="VmRSS"):
    found = re.search(rf"^{field}:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found.group(1)) if found else 0


def node_pids(node):
    return [pid for pids in node.pids().values() for pid in pids]


# Numbered streams


class Stream:
    """Numbered UDP packets between two namespaces, in both directions at the same time."""

    def __init__(self, ends, addresses, rate=1000, size=200, port=7000, text=""):
        self.processes = []
        for i in (0, 1):
            self.processes.append(ends[i].popen(
                sys.executable, STREAM, addresses[i], port, addresses[1 - i], port, rate, size, text,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def tell(self, end, command):
        process = self.processes[end]
        process.stdin.write(command + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        netns.check(line, f"the stream ended with {process.poll()}")
        return json.loads(line)

    def go(self):
        for end in (0, 1):
            self.tell(end, "count")         # it is bound now
        for end in (0, 1):
            self.tell(end, "go")

    def received(self, end):
        return self.tell(end, "count")["received"]

    def finish(self):
        """What each end sent, and what the other one missed of it: a list of two."""
        sent = [self.tell(end, "stop") for end in (0, 1)]
        results = []
        for end in (0, 1):
            result = self.tell(1 - end, f"finish {sent[end]['sent']}")
            results.append({**sent[end], **result})
        for process in self.processes:
            process.stdin.close()
            process.wait(5)
        return results


def summary(result):
    return (f"{result['sent']} sent, {result['missing']} missing, {result['duplicates']} twice, "
            f"{result['reordered']} out of order, longest gap {result['longest_gap_ms']} ms, "
            f"longest delay {result['longest_delay_ms']} ms")


# Tools


def fetch(client, server, address, folder, num_bytes, port=8080):
    """A file of random bytes over HTTP from `server` to `client`; it must arrive as it was."""
    folder.mkdir(exist_ok=True)
    content = os.urandom(num_bytes)
    (folder / "file").write_bytes(content)
    with http_server(server, address, port, folder):
        client.run("curl", "-gsSf", "--max-time", "25", "-o", folder / "copy", f"http://{at(address, port)}/file")
    netns.check((folder / "copy").read_bytes() == content, f"the file from {address} arrived damaged")


ETHTOOL_IOCTL = 0x8946
ETHTOOL_SET = {"tx-checksum": 0x17, "scatter-gather": 0x19, "tso": 0x1f, "gso": 0x24, "gro": 0x2c}
SET_FEATURE = """
import array, fcntl, socket, struct, sys
request = array.array("B", struct.pack("II", int(sys.argv[2]), 0))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, %d, struct.pack("16sP16x", sys.argv[1].encode(), request.buffer_info()[0]))
""" % ETHTOOL_IOCTL


def switch_off(namespace, device, *features):
    """What `ethtool -K DEVICE FEATURE off` does."""
    for feature in features:
        namespace.run(sys.executable, "-c", SET_FEATURE, device, ETHTOOL_SET[feature])


def nft(namespace, rules):
    namespace.run("nft", "-f", "-", stdin=rules)


def counter(namespace, name, table="inet test"):
    """Packets of a named nftables counter."""
    listing = json.loads(namespace.output("nft", "-j", "list", "counters", "table", *table.split()))
    for entry in listing["nftables"]:
        if entry.get("counter", {}).get("name") == name:
            return entry["counter"]["packets"]
    raise netns.Failure(f"no counter {name}")


@contextlib.contextmanager
def http_server(namespace, address, port, folder):
    """Serves a folder as long as the block runs."""
    process = namespace.popen(sys.executable, HTTPD, address, port, folder, stdout=subprocess.PIPE, text=True)
    try:
        netns.check(process.stdout.readline() == "ready\n", "the HTTP server does not start")
        yield
    finally:
        process.terminate()
        process.wait(5)
