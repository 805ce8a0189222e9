#!/usr/bin/env python3
"""The metrics server of a running node: what it says, to whom, and that the tunnel does not depend on it. TAP."""

import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4

DOCUMENT = netns.ROOT / "docs" / "metrics.md"
PORT = 9464
TOKEN = "a-token-of-enough-characters"
MOST_SCRAPE_MS = 500
MOST_SHOW_S = 1
ASK = """
import http.client, json, sys
host, port, method, path, headers = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], json.loads(sys.argv[5])
c = http.client.HTTPConnection(host, port, timeout=10)
c.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
for name, value in headers.items():
    if value is not None:
        c.putheader(name, value)
c.endheaders()
r = c.getresponse()
body = r.read().decode()
print(json.dumps([r.status, {k.lower(): v for k, v in r.getheaders()}, body]))
"""


class Answer:
    def __init__(self, text):
        self.status, self.headers, self.body = json.loads(text)


def ask(space, path, headers=None, method="GET", host="127.0.0.1", port=PORT):
    return Answer(space.output(sys.executable, "-c", ASK, host, port, method, path, json.dumps(headers or {})))


def wait_served(node, port=PORT):
    """Until the server answers and the interface is up."""
    def ready():
        try:
            return ask(node.namespace, "/readyz", port=port).status == 200
        except netns.Failure:
            return False

    netns.wait_until(ready, 10, "the metrics server to be ready")


def scrape(node, **options):
    answer = ask(node.namespace, "/metrics", **options)
    equal(answer.status, 200, "status of /metrics")
    return answer.body


SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parse(text):
    """([(name, labels, value)], {family: type}); every line must be well-formed."""
    samples, types = [], {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            check(name not in types, f"{name} has two heads")
            types[name] = kind
        elif line.startswith("#"):
            check(re.match(r"# (HELP|UNIT) \S+ .+$|# EOF$", line), line)
        else:
            found = SAMPLE.match(line)
            check(found, line)
            labels = dict(LABEL.findall(found.group(2) or ""))
            check(LABEL.sub("", found.group(2) or "") == "", line)
            samples.append((found.group(1), labels, float(found.group(3))))
    return samples, types


def value(samples, metric, /, **labels):
    found = [v for n, ls, v in samples if n == metric and all(ls.get(k) == w for k, w in labels.items())]
    equal(len(found), 1, f"samples {metric} {labels}")
    return found[0]


# What it says


def quiet_pair(scene, **options):
    """A pair with a session and some traffic behind it, and none going on."""
    a, b = tunnel.pair(scene, **options)
    for node in (a, b):
        wait_served(node)
    tunnel.must_ping(a.namespace, INNER4[1], count=5)
    time.sleep(0.3)             # the keys' confirmation, and the age of the last answer of the server
    return a, b


def agrees(scene):
    a, b = quiet_pair(scene, first_peer={"Name": "far-end"})
    tunnel.rotate(a)
    time.sleep(0.5)
    for node in (a, b):
        samples, _ = parse(scrape(node))
        status = tunnel.status(node)
        peer = status["peers"][0]
        for direction in ("rx", "tx"):
            for what in ("bytes", "packets"):
                equal(value(samples, f"cryprq_{what}_total", peer=peer["peer_id"], direction=direction),
                      peer[f"{direction}_{what}"], f"{direction} {what}")
        equal(value(samples, "wireguard_received_bytes_total", public_key=peer["peer_id"],
                    allowed_ips=",".join(peer["allowed_ips"])), peer["rx_bytes"], "bytes under WireGuard's name")
        equal(value(samples, "cryprq_handshakes_total", role="initiator", result="success"), peer["initiated"], "own")
        equal(value(samples, "cryprq_handshakes_total", role="responder", result="success"), peer["responded"],
              "others")
        rotations = sum(v for n, _, v in samples if n == "cryprq_rotations_total")
        equal(rotations, peer["rotations"], "rotations")
        check(rotations >= 1, f"{rotations} rotations")
        equal(sum(v for n, _, v in samples if n == "cryprq_handshake_duration_seconds_count"),
              peer["initiated"] + peer["responded"], "durations")
        total = sum(v for n, _, v in samples if n == "cryprq_handshake_duration_seconds_sum")
        check(0 < total < 10, f"handshakes took {total} s")
        drops = {ls["reason"]: v for n, ls, v in samples if n == "cryprq_drops_total"}
        equal(drops, {k: float(v) for k, v in status["drops"].items()}, "drops")
        check(abs(value(samples, "wireguard_latest_handshake_seconds") - peer["latest_handshake"]) <= 1, "latest")
        age = value(samples, "cryprq_key_age_seconds", peer=peer["peer_id"])
        check(0 < age < 60 and abs(age - peer["session"]["age_secs"]) < 2, f"age of keys {age}")
        rotation = value(samples, "cryprq_next_rotation_seconds", peer=peer["peer_id"])
        check(abs(rotation - peer["session"]["rotate_in_secs"]) < 2, f"rotation in {rotation} s")
        for what in ("seal", "open"):
            check(value(samples, f"cryprq_{what}_batch_records_sum") >= 5, f"{what}ed records in batches")
        equal(value(samples, "cryprq_seal_batch_records_sum"), value(samples, "cryprq_records_total", direction="tx"),
              "records in batches")
        equal(value(samples, "cryprq_interface_up"), 1, "up")
    equal(value(parse(scrape(a))[0], "cryprq_peer_sessions", name="far-end", interface="wan0") >= 1, True, "label name")


def status_is_shows(scene):
    a, _ = quiet_pair(scene)
    first = json.loads(ask(a.namespace, "/api/v1/status").body)
    second = tunnel.status(a)

    def still(x):
        """Without what time changes, and what the server alone knows."""
        if isinstance(x, dict):
            return {k: still(v) for k, v in x.items()
                    if not k.endswith(("secs", "_ms")) and k not in ("explanation", "processes")}
        return [still(v) for v in x] if isinstance(x, list) else x

    equal(still(first), still(second), "status")
    equal(sorted(p["name"] for p in first["processes"]), ["metrics", "monitor", "node"], "processes")
    check(all(p["resident_bytes"] > 1e6 for p in first["processes"]), first["processes"])
    check("processes" not in second, "processes, of which the node knows nothing")
    check(first["peers"][0]["explanation"].startswith("Connected; keys "), first["peers"][0]["explanation"])
    equal(sum(map(sum, (first["handshake_durations"][role] for role in ("initiator", "responder")))),
          first["peers"][0]["initiated"] + first["peers"][0]["responded"], "durations")
    equal(second["metrics_address"], f"127.0.0.1:{PORT}", "address in the status")
    check(f"metrics: 127.0.0.1:{PORT}\n" in a.cryprq("show", a.name).stdout, "no address in show")


def documented(scene):
    text = DOCUMENT.read_text()
    listed = {m.group(1): m.group(2) for m in re.finditer(r"^\| `([a-z_]+)` \| (\w+) \|", text, re.MULTILINE)}
    check(len(listed) > 40, f"only {len(listed)} metrics in {DOCUMENT}")
    a, _ = quiet_pair(scene)
    samples, types = parse(scrape(a))
    equal(types, listed, "metrics served, and those in docs/metrics.md")
    names = {re.sub(r"_(bucket|sum|count)$", "", name) if types.get(name) is None else name for name, _, _ in samples}
    equal(sorted(set(types) - names), [], "families without a sample")
    labels = {}
    for name, ls, _ in samples:
        labels.setdefault(re.sub(r"_(bucket|sum|count)$", "", name) if name not in types else name, set()).update(
            set(ls) - {"le"})
    for name, found in labels.items():
        row = re.search(rf"^\| `{name}` \| \w+ \| ([^|]*) \|", text, re.MULTILINE).group(1)
        equal(sorted(re.findall(r"`([a-z_]+)`", row)), sorted(found), f"labels of {name} in the document")


def open_metrics(scene):
    a, _ = quiet_pair(scene)
    wanted = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    new = ask(a.namespace, "/metrics", {"Accept": wanted})
    check(new.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0"), new.headers)
    check(new.body.endswith("\n# EOF\n") and new.body.count("# EOF") == 1, new.body[-100:])
    old = ask(a.namespace, "/metrics", {"Accept": "text/plain"})
    check(old.headers["content-type"].startswith("text/plain; version=0.0.4"), old.headers)
    samples, types = parse(new.body)
    equal({name for name, _, _ in samples}, {name for name, _, _ in parse(old.body)[0]}, "names in both forms")
    for name, kind in types.items():
        suffix = {"counter": "_total", "info": "_info", "histogram": "_bucket"}.get(kind, "")
        check(any(n == name + suffix for n, _, _ in samples), f"{name}: no sample of a {kind}")
    for name, unit in re.findall(r"^# UNIT (\S+) (\S+)$", new.body, re.MULTILINE):
        check(name.endswith("_" + unit), f"{name} in {unit}")
    check_histograms(samples)


def check_histograms(samples):
    series = {}
    for name, labels, n in samples:
        if name.endswith("_bucket"):
            bound = labels.pop("le")
            series.setdefault((name, tuple(sorted(labels.items()))), []).append((float(bound), n))
    check(len(series) >= 6, f"{len(series)} histograms")
    for (name, labels), buckets in series.items():
        equal(buckets, sorted(buckets), f"order of {name}")
        check(all(x[1] <= y[1] for x, y in zip(buckets, buckets[1:])), f"{name} {buckets}")
        equal(buckets[-1], (float("inf"), value(samples, name.replace("_bucket", "_count"), **dict(labels))), name)


def promtool(scene):
    a, _ = quiet_pair(scene)
    done = subprocess.run(["promtool", "check", "metrics"], input=scrape(a), capture_output=True, text=True, timeout=30,
                          check=False)
    equal((done.returncode, done.stdout + done.stderr), (0, ""), "promtool check metrics")


def processes(scene):
    a, _ = quiet_pair(scene)
    samples, _ = parse(scrape(a))
    pids = a.pids()
    for kind in ("node", "metrics", "monitor"):
        rss = value(samples, "cryprq_process_resident_memory_bytes", process=kind)
        real = tunnel.rss_kb(pids[kind][0]) * 1024
        check(abs(rss - real) < 4e6, f"{kind}: {rss} bytes resident, found {real}")
        equal(value(samples, "cryprq_process_open_fds", process=kind) > 3, True, f"descriptors of {kind}")
        start = value(samples, "cryprq_process_start_time_seconds", process=kind)
        check(abs(time.time() - start) < 60, f"start of {kind}: {start}")
    equal(value(samples, "process_resident_memory_bytes"),
          value(samples, "cryprq_process_resident_memory_bytes", process="node"), "the node's")
    check(value(samples, "process_max_fds") > 0, "no limit of descriptors")


def bounded_labels(scene):
    key, others = netns.Identity(), [netns.Identity() for _ in range(4)]
    config = tunnel.interface(key, "10.88.0.1/24", MetricsPeers=1, MetricsWireGuard="off")
    for i, other in enumerate(others):
        config += tunnel.peer(other.id, f"10.88.1.{i}/32")
    node = scene.node(scene.namespace("a"), config)
    tunnel.start(node)
    wait_served(node)
    text = scrape(node)
    samples, _ = parse(text)
    equal({ls["peer"] for n, ls, _ in samples if n == "cryprq_bytes_total"}, {others[0].id, "other"}, "labels")
    check("wireguard_" not in text, "WireGuard's names, which are off")


# To whom


def only_own_names(scene):
    a, _ = quiet_pair(scene)
    for host, status in (("localhost", 200), ("localhost:9464", 200), ("127.0.0.1:1", 200), ("[::1]:9464", 200),
                         ("evil.example", 403), ("localhost.evil.example:9464", 403), ("192.0.2.1:9464", 403)):
        for path in ("/metrics", "/healthz", "/"):
            equal(ask(a.namespace, path, {"Host": host}).status, status, f"{path} as {host}")
    for reply in (raw(a, b"GET /metrics HTTP/1.0\r\n\r\n"), raw(a, b"GET /metrics HTTP/1.1\r\n\r\n")):
        check(re.match(rb"HTTP/1\.[01] (400|403) ", reply), reply[:80])


def fixed_headers(scene):
    a, _ = quiet_pair(scene)
    for path, status in (("/metrics", 200), ("/healthz", 200), ("/readyz", 200), ("/api/v1/status", 200), ("/", 200),
                         ("/nothing", 404), ("/metrics/", 404), ("/../etc/passwd", 404)):
        got, head = ask(a.namespace, path), ask(a.namespace, path, method="HEAD")
        equal((got.status, head.status, head.body), (status, status, ""), f"GET and HEAD of {path}")
        check(int(head.headers["content-length"]) > 0, f"HEAD of {path}: {head.headers}")
        equal(got.headers["x-content-type-options"], "nosniff", path)
        equal(got.headers["cache-control"], "no-store", path)
        check(got.headers["content-security-policy"].startswith("default-src 'none'"), path)
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "FROB"):
        answer = ask(a.namespace, "/metrics", method=method)
        equal((answer.status, answer.headers.get("allow")), (405, "GET, HEAD"), method)


RAW = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
try:
    s.sendall(sys.stdin.buffer.read())
    while data := s.recv(65536):
        sys.stdout.buffer.write(data)
except OSError:
    pass
"""


def raw(node, data):
    done = subprocess.run(node.namespace.command(sys.executable, "-c", RAW, PORT), input=data, capture_output=True,
                          timeout=20, check=True)
    return done.stdout


def garbage(scene):
    a, _ = quiet_pair(scene)
    pid = a.pids()["metrics"]
    for data in (b"\r\n" * 100, b"\0" * 5000, os.urandom(20000), b"GET " + b"/" * 100000 + b" HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
                 b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
                 b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
                 b"GET /%00%ff/../metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET http://x/ HTTP/1.1\r\n\r\n"):
        reply = raw(a, data)
        check(not re.match(rb"HTTP/1\.. 200", reply), f"{data[:30]}: {reply[:100]}")
    equal(ask(a.namespace, "/healthz").status, 200, "status after that")
    equal(a.pids()["metrics"], pid, "process of the server")


def silent_connections(scene):
    """Whoever connects and says nothing is shown out, however many they are."""
    a, _ = quiet_pair(scene)
    code = ("import socket, sys\nc = [socket.create_connection(('127.0.0.1', %d)) for _ in range(100)]\n"
            "print('there', flush=True)\nsys.stdin.read()" % PORT)
    crowd = a.namespace.popen(sys.executable, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    equal(crowd.stdout.readline(), "there\n", "connections")
    start = time.monotonic()
    wait_served(a)
    check(time.monotonic() - start < 15, "nobody else was served for long")
    crowd.stdin.close()
    crowd.wait(5)


def token(scene):
    spaces = tunnel.cable(scene)
    key = netns.Identity()
    outer = tunnel.OUTER4[0]
    for options in ({"MetricsAddress": f"{outer}:9000"}, {"MetricsAddress": "0.0.0.0:9000"}):
        node = scene.node(spaces[0], tunnel.interface(key, "10.88.0.1/24", **options), name=f"no{len(scene.nodes)}")
        done = node.cryprq("run", node.config, check_status=False)
        equal(done.returncode, 1, "exit status without a token")
        equal(len(done.stderr.splitlines()), 1, done.stderr)
        check("needs a MetricsToken" in done.stderr, done.stderr)
    config = tunnel.interface(key, "10.88.0.1/24", MetricsAddress=f"{outer}:9000", MetricsTokenFile="metrics.token")
    node = scene.node(spaces[0], config)
    secret = node.directory / "metrics.token"
    secret.write_text(TOKEN + "\n")
    secret.chmod(0o644)
    done = node.cryprq("run", node.config, check_status=False)
    check(done.returncode == 1 and "chmod 600" in done.stderr, done.stderr)
    secret.chmod(0o600)
    tunnel.start(node)
    good = {"Authorization": f"Bearer {TOKEN}"}

    def served():
        try:
            return ask(spaces[1], "/readyz", good, host=outer, port=9000).status == 200
        except netns.Failure:
            return False

    netns.wait_until(served, 10, "the server to be ready")
    for headers, status in (({}, 401), ({"Authorization": "Bearer x"}, 401), (good, 200),
                            ({"Authorization": f"Bearer {TOKEN}x"}, 401), ({**good, "Host": "evil.example"}, 403)):
        for path in ("/metrics", "/healthz", "/api/v1/status"):
            equal(ask(spaces[1], path, headers, host=outer, port=9000).status, status, f"{path} with {headers}")
    for kind, pids in node.pids().items():
        environment = pathlib.Path(f"/proc/{pids[0]}/environ").read_bytes() + \
            pathlib.Path(f"/proc/{pids[0]}/cmdline").read_bytes()
        check(TOKEN.encode() not in environment, f"the token can be seen from outside ({kind})")


# Coming and going


def search(scene):
    space = scene.namespace("a")
    nodes = [scene.node(space, tunnel.interface(netns.Identity(), f"10.88.{i}.1/24"), name=f"wan{i}") for i in (0, 1)]
    tunnel.start(*nodes)
    ports = sorted(tunnel.status(node)["metrics_address"] for node in nodes)
    equal(ports, ["127.0.0.1:9464", "127.0.0.1:9465"], "addresses")
    for node in nodes:
        port = int(tunnel.status(node)["metrics_address"].rpartition(":")[2])
        wait_served(node, port)
        check(f'interface="{node.name}"' in ask(space, "/metrics", port=port).body, f"{node.name} at {port}")
    taken = scene.node(space, tunnel.interface(netns.Identity(), "10.88.3.1/24", MetricsAddress="127.0.0.1:9464"),
                       name="wan3")
    done = taken.cryprq("run", taken.config, check_status=False)
    check(done.returncode == 1 and "127.0.0.1:9464: the port is in use" in done.stderr, done.stderr)
    code = ("import socket, sys\nfor p in range(9464, 9474):\n    s = socket.socket()\n    try:\n"
            "        s.bind(('127.0.0.1', p)); s.listen(); globals()[f's{p}'] = s\n    except OSError: pass\n"
            "print('there', flush=True)\nsys.stdin.read()")
    blocker = space.popen(sys.executable, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    equal(blocker.stdout.readline(), "there\n", "blocked ports")
    without = scene.node(space, tunnel.interface(netns.Identity(), "10.88.4.1/24"), name="wan4")
    off = scene.node(space, tunnel.interface(netns.Identity(), "10.88.5.1/24", MetricsAddress="none"), name="wan5")
    tunnel.start(without, off)
    check("event=no_metrics" in without.log_text(), without.log_text())
    check("event=no_metrics" not in off.log_text(), off.log_text())
    for node in (without, off):
        equal(tunnel.status(node)["metrics_address"], "", "address of none")
        check("metrics:" not in node.cryprq("show", node.name).stdout, "an address in show")
        check("metrics" not in node.pids(), "a process without need")
    blocker.stdin.close()
    blocker.wait(5)


def by_option(scene):
    space = scene.namespace("a")
    key = scene.lab.directory / "option.key"
    key.touch(mode=0o600)
    key.write_text(netns.genkey() + "\n")
    for name, arguments, env, wanted in (
            ("opt0", ["--metrics-addr", "[::1]:9900"], {}, "[::1]:9900"),
            ("opt1", [], {"CRYPRQ_METRICS_ADDR": "127.0.0.1:9901"}, "127.0.0.1:9901"),
            ("opt2", ["--metrics-addr", "none"], {"CRYPRQ_METRICS_ADDR": "127.0.0.1:9902"}, "")):
        node = scene.node(space, None, name=name)
        node.env.update(env)
        node.start("--interface", name, "--key", key, "--address", f"10.88.{len(scene.nodes)}.1/24", "--allow-peer",
                   netns.Identity().id, *arguments)
        tunnel.wait_ready(node)
        equal(tunnel.status(node)["metrics_address"], wanted, f"address with {arguments} {env}")
    equal(ask(space, "/healthz", host="::1", port=9900).status, 200, "over IPv6")
    done = node.cryprq("run", "--key", key, "--metrics-addr", "0.0.0.0:9", check_status=False)
    check(done.returncode == 2 and "needs a token" in done.stderr, done.stderr)


def readiness(scene):
    space = scene.namespace("a")
    gate = scene.lab.directory / "gate"
    node = scene.node(space, tunnel.interface(netns.Identity(), "10.88.0.1/24",
                                              PostUp=f"while ! test -e {gate}; do sleep 0.05; done"))
    node.start()

    def alive():
        try:
            return ask(space, "/healthz").status == 200
        except netns.Failure:
            return False

    netns.wait_until(alive, 10, "the server to be there")
    equal(ask(space, "/readyz").status, 503, "readiness during PostUp")
    equal(value(parse(ask(space, "/metrics").body)[0], "cryprq_interface_up"), 0, "up during PostUp")
    gate.touch()
    tunnel.wait_ready(node)
    wait_served(node)
    pid = node.pids()["node"][0]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.2)
    equal(ask(space, "/readyz").status, 503, "readiness while the node is stopped")
    equal(ask(space, "/healthz").status, 200, "health while the node is stopped")
    os.kill(pid, signal.SIGCONT)
    wait_served(node)


def killed(scene):
    a, b = quiet_pair(scene)
    stream = tunnel.Stream((a.namespace, b.namespace), INNER4, rate=200)
    stream.go()
    old = a.pids()["metrics"]
    a.kill("metrics")
    netns.wait_until(lambda: a.pids().get("metrics", old) != old, 10, "another metrics server")
    wait_served(a)
    check("event=metrics_died" in a.log_text() and "signal=9" in a.log_text(), a.log_text()[-500:])
    check(value(parse(scrape(a))[0], "cryprq_packets_total", direction="tx") > 0, "counters of before")
    for result in stream.finish():
        check(result["missing"] == 0, tunnel.summary(result))
    a.kill("metrics")               # down while it is not there
    a.stop()
    equal(a.leftovers(), ([], {}), "left")
    b.kill("monitor")
    netns.wait_until(lambda: not b.pids(), 15, "all processes to end")
    equal(b.leftovers()[0], [], "files left")


def killed_node(scene):
    a, _ = quiet_pair(scene)
    a.kill("node")
    equal(a.process.wait(15), 1, "exit status")
    netns.wait_until(lambda: not a.pids(), 5, "all processes to end")
    check("event=metrics_died" not in a.log_text(), a.log_text()[-500:])


def confined(scene):
    a, _ = quiet_pair(scene)
    scrape(a)
    pid = a.pids()["metrics"][0]
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    check("0" not in status["Uid"].split() and "0" not in status["Gid"].split(), f"user {status['Uid']}")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        equal(int(status[name], 16), 0, name)
    equal(status["NoNewPrivs"].strip(), "1", "NoNewPrivs")
    # A build with a sanitizer (its shadow memory is enormous) has no filter.
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    spans = [[int(x, 16) for x in line.split()[0].split("-")] for line in maps]
    equal(status["Seccomp"].strip(), "0" if any(end - start > 1 << 40 for start, end in spans) else "2", "Seccomp")
    equal(os.listdir(f"/proc/{pid}/root"), [], "files in its root directory")
    links = sorted(os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    odd = [link for link in links if link.startswith("/") and "/dev/null" not in link and link != str(a.log)]
    equal(odd, [], "files that it has open")
    for line in maps:
        check("memfd:cryprq-snapshot" not in line or line.split()[1].startswith("r--"), f"shared memory: {line}")


# Many peers


def many(scene):
    peers = 10_000
    key = netns.Identity()
    lines = [tunnel.interface(key, "10.0.0.1/8", MetricsPeers=peers, Table="off")]
    for i in range(peers):
        raw_id = i.to_bytes(4, "big") + b"\x01" * 28
        lines.append(tunnel.peer(encode(raw_id), f"10.{1 + i // 65536}.{i // 256 % 256}.{i % 256}/32", Name=f"p{i}"))
    notes = []
    for limit in (peers, 1000):
        node = scene.node(scene.namespace("a" if limit == peers else "b"),
                          "".join(lines).replace(f"MetricsPeers = {peers}", f"MetricsPeers = {limit}"))
        node.log.unlink(missing_ok=True)
        node.start()
        tunnel.wait_ready(node, 60)
        wait_served(node)
        code = ("import http.client, time\ntimes = []\nfor _ in range(7):\n    time.sleep(0.15)\n"
                "    t = time.monotonic()\n    c = http.client.HTTPConnection('127.0.0.1', %d)\n"
                "    c.request('GET', '/metrics')\n    body = c.getresponse().read()\n"
                "    times.append((time.monotonic() - t) * 1000)\n"
                "print(sorted(times)[3], max(times), len(body))" % PORT)
        median, longest, size = map(float, node.namespace.output(sys.executable, "-c", code, timeout=60).split())
        notes.append(f"{peers} peers, {limit} with labels: {median:.1f} ms median, {longest:.1f} ms longest, "
                     f"{size / 1e6:.1f} MB")
        check(median < MOST_SCRAPE_MS, notes[-1])
        equal(json.loads(ask(node.namespace, "/api/v1/status").body)["interface"], node.name, "status of many")
        start = time.monotonic()
        shown = node.cryprq("show", node.name, "json").stdout
        notes.append(f"cryprq show json: {(time.monotonic() - start) * 1000:.0f} ms")
        check(time.monotonic() - start < MOST_SHOW_S, notes[-1])
        equal(len(json.loads(shown)["peers"]), peers, "peers in show")
        node.stop(30)
    return notes


def encode(raw_id):

    return base64.b64encode(raw_id).decode()


CASES = [
    ("counters agree with show", agrees),
    ("/api/v1/status is what show says; show says the address", status_is_shows),
    ("every metric is in docs/metrics.md, with its type and labels, and nothing else is", documented),
    ("OpenMetrics by the Accept header", open_metrics),
    ("what the processes use", processes),
    ("MetricsPeers bounds labels, MetricsWireGuard switches names off", bounded_labels),
    ("who comes under another name is refused", only_own_names),
    ("GET and HEAD alone, with the headers that keep browsers out", fixed_headers),
    ("garbage", garbage),
    ("silent connections", silent_connections),
    ("addresses that others reach need a token, and so do they", token),
    ("a free port is looked for; a fixed one must be free", search),
    ("--metrics-addr and CRYPRQ_METRICS_ADDR", by_option),
    ("readiness", readiness),
    ("kill -9 of the metrics server hurts nobody; it comes back", killed),
    ("kill -9 of the node ends the metrics server", killed_node),
    ("the metrics server is confined", confined),
    ("ten thousand peers", many),
]


def main():
    netns.require(("ip", "ping"))
    tap = netns.Tap()
    if shutil.which("promtool") is None:
        tap.skip("promtool finds nothing", "promtool is not installed (package prometheus)")
    else:
        CASES.append(("promtool finds nothing", promtool))
    with netns.Lab("metrics") as lab:
        tunnel.run_cases(lab, tap, CASES, jobs=3)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
