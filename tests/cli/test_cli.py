#!/usr/bin/env python3
"""The program from outside, as far as it needs no network: keys, usage errors, exit statuses, refused files, and show
and rotate against a stand-in for the node.

    tests/cli/test_cli.py PROGRAM

Writes TAP to standard output. Needs nothing but Python's standard library.
"""

import base64
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading

PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) == 2 else None
VECTORS = pathlib.Path(__file__).parent.parent / "interop" / "vectors" / "handshake-v1.json"
COMMANDS = ["genkey", "pubkey", "genpsk", "up", "down", "run", "show", "rotate", "diagnose", "ping", "watch", "top",
            "bench", "version"]

KEY = base64.b64encode(bytes(range(32))).decode()
ID_B = base64.b64encode(bytes(range(255, 223, -1))).decode()
ID_C = base64.b64encode(bytes([1] * 32)).decode()

TESTS = []


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


def run(*args, stdin="", env=None, stdout=subprocess.PIPE):
    """Status, standard output and standard error of the program."""
    full_env = {k: v for k, v in os.environ.items() if not k.startswith("CRYPRQ_")}
    full_env.update(env or {})
    done = subprocess.run([PROGRAM, *args], input=stdin.encode(), stdout=stdout, stderr=subprocess.PIPE,
                          env=full_env, timeout=60, check=False)
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


def expect(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}\ngot {actual!r}")


def expect_in(part, text):
    if part not in text:
        raise AssertionError(f"{part!r} is not in {text!r}")


def expect_failure(result, status, *parts):
    """The status, silence on standard output, and one line on standard error that has all parts."""
    code, out, err = result
    expect(out, "")
    if code != status or err.count("\n") != 1 or not err.startswith("cryprq") or KEY in err:
        raise AssertionError(f"expected status {status} and one line, got {code} and {err!r}")
    for part in parts:
        expect_in(part, err)


class Directory:
    """A temporary directory with files of mode 0600."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="cryprq-cli-")
        self.path = pathlib.Path(self.temporary.name)
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def write(self, name, text, mode=0o600):
        path = self.path / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return str(path)


# Keys.

@test
def genkey_prints_a_fresh_key():
    code, first, err = run("genkey")
    expect((code, err), (0, ""))
    expect(len(first), 45)
    expect(len(base64.b64decode(first.strip(), validate=True)), 32)
    if first == run("genkey")[1]:
        raise AssertionError("the same key twice")


@test
def genpsk_prints_a_fresh_key():
    code, first, err = run("genpsk")
    expect((code, err, len(first)), (0, "", 45))
    if first == run("genpsk")[1]:
        raise AssertionError("the same key twice")


@test
def genkey_warns_of_readable_file():
    with Directory() as d:
        for mode, warned in ((0o644, True), (0o600, False)):
            path = d.write(f"key{mode}", "", mode)
            with open(path, "w", encoding="ascii") as file:
                code, _, err = run("genkey", stdout=file)
            expect(code, 0)
            expect("chmod 600" in err, warned)


@test
def pubkey_matches_the_vectors():
    if not VECTORS.is_file():
        raise Skip("no vectors here")
    cases = [c for c in json.loads(VECTORS.read_text())["cases"] if c["kind"] == "identity"]
    if not cases:
        raise AssertionError("no identity in the vectors")
    for case in cases:
        key = base64.b64encode(bytes.fromhex(case["k"])).decode()
        for args, name in (([], "id"), (["--full"], "public")):
            expected = base64.b64encode(bytes.fromhex(case[name])).decode() + "\n"
            expect(run("pubkey", *args, stdin=key + "\n"), (0, expected, ""))


@test
def pubkey_takes_blanks_around_the_key():
    plain = run("pubkey", stdin=KEY)
    expect(plain[0], 0)
    expect(len(plain[1]), 45)
    expect(run("pubkey", stdin=f"  {KEY}\r\n\n"), plain)


@test
def pubkey_refuses_what_is_no_key():
    bad = ["", "\n", KEY[:-1], KEY + KEY, KEY[:-2] + "9=", KEY.replace("A", "-"), "x" * 100000, KEY + "\0"]
    for text in bad:
        expect_failure(run("pubkey", stdin=text), 1, "standard input is not a key")


@test
def pubkey_takes_no_key_as_argument():
    expect_failure(run("pubkey", KEY), 2, "on standard input")


# Help and usage.

@test
def help_of_the_program():
    for args in (["--help"], ["-h"], ["help"]):
        code, out, err = run(*args)
        expect((code, err), (0, ""))
        for command in COMMANDS:
            expect_in(f"  {command} ", out)


@test
def help_of_every_command():
    for command in COMMANDS:
        for args in ([command, "--help"], [command, "-h"], ["help", command], [command, "x", "y", "z", "--help"]):
            code, out, err = run(*args)
            expect((code, err), (0, ""))
            expect_in(f"usage: cryprq {command}", out)


@test
def version_names_all_three():
    code, out, err = run("version")
    expect((code, err), (0, ""))
    expect([line.split()[0] for line in out.splitlines()], ["cryprq", "protocol", "libcrypto", "records"])
    expect(run("--version"), (0, out, ""))


@test
def usage_errors():
    peer = ["--peer", f"{ID_B}@192.0.2.1:1"]
    cases = [
        ([], "a command is missing"),
        (["frobnicate"], "there is no command frobnicate"),
        (["--frobnicate"], "there is no command"),
        (["help", "frobnicate"], "there is no command frobnicate"),
        (["a\nb"], "there is no command a?b"),
        (["genkey", "x"], "it takes no arguments"),
        (["genkey", "--x"], "unknown option --x"),
        (["genkey", KEY], "it takes no arguments"),
        (["pubkey", "--full=1"], "--full takes no value"),
        (["version", "x"], "it takes no arguments"),
        (["up"], "too few arguments"),
        (["up", "a", "b"], "too many arguments"),
        (["up", "no name"], "neither an interface's name nor NAME.conf"),
        (["down"], "too few arguments"),
        (["down", "a/b c"], "neither an interface's name nor NAME.conf"),
        (["show", "a", "xml"], "xml is neither dump nor json"),
        (["show", "../x"], "is not an interface's name"),
        (["show", "a", "b", "c"], "too many arguments"),
        (["rotate"], "too few arguments"),
        (["rotate", "a b"], "is not an interface's name"),
        (["diagnose", "a"], "too few arguments"),
        (["diagnose", "a", "b", "c"], "too many arguments"),
        (["diagnose", "a b", "c"], "is not an interface's name"),
        (["diagnose", "a", "b", "--to", "10.0.0.0/8"], "--to is not an address"),
        (["diagnose", "a", "b", "--timeout", "0"], "--timeout is not a number from 1 to 90"),
        (["diagnose", "a", "b", "--timeout", "1x"], "--timeout is not a number from 1 to 90"),
        (["ping"], "PEERID@HOST:PORT is missing"),
        (["ping", f"{ID_B}@192.0.2.1:1"], "--key FILE is missing"),
        (["ping", ID_B, "--key", "k"], "the peer is not PEERID@HOST:PORT"),
        (["ping", f"{ID_B[1:]}@192.0.2.1:1", "--key", "k"], "the peer is not PEERID@HOST:PORT"),
        (["ping", f"{ID_B}@192.0.2.1", "--key", "k"], "is not HOST:PORT"),
        (["ping", f"{ID_B}@192.0.2.1:1", "--key", "k", "--count", "0"], "--count is not a number"),
        (["ping", f"{ID_B}@192.0.2.1:1", "--key", "k", "--timeout", "91"], "--timeout is not a number"),
        (["ping", f"{ID_B}@192.0.2.1:1", "--key", "k", "x"], "too many arguments"),
        (["run"], "a configuration file or --key is missing"),
        (["run", "--"], "a configuration file or --key is missing"),
        (["run", "a", "b"], "more than one configuration file"),
        (["run", "a", "--key", "k"], "either a configuration file or options, not both"),
        (["run", "--key"], "--key needs a value"),
        (["run", "--key="], "--key needs a value"),
        (["run", "--key", "a", "--key", "b"], "--key is given twice"),
        (["run", "--key", "k"], "no peer is given"),
        (["run", "--listen", "0"], "--listen is not a port from 1 to 65535"),
        (["run", "--listen=65536"], "--listen is not a port"),
        (["run", "--address", "10.0.0.1/33"], "--address is not like"),
        (["run", "--address", "0.0.0.0/0"], "--address is not an address that an interface can have"),
        (["run", "--tun-offload", "uso"], "--tun-offload is not on, tso, checksum or off"),
        (["run", "--udp-gso", "maybe"], "--udp-gso is not on or off"),
        (["run", "--udp-gro", "o"], "--udp-gro is not on or off"),
        (["run", "--workers", "16"], "--workers is not auto, or a number from 1 to 15"),
        (["run", "--rotate-secs", "59"], "--rotate-secs is not a number from 60 to 3600"),
        (["run", "--rotate-secs", "99999999999"], "--rotate-secs is not a number"),
        (["run", "--interface", "0123456789abcdef"], "--interface is not a name"),
        (["run", "--allow-peer", "x"], "--allow-peer is not PEERID[=CIDR,...]"),
        (["run", "--allow-peer", ID_B + "x"], "--allow-peer is not PEERID[=CIDR,...]"),
        (["run", "--allow-peer", ID_B + "@h:1"], "--allow-peer is not PEERID[=CIDR,...]"),
        (["run", "--allow-peer", ID_B + "=10.0.0.0/8,"], "comes a list of prefixes"),
        (["run", "--peer", ID_B], "--peer is not PEERID@HOST:PORT"),
        (["run", "--peer", ID_B + "@h"], "h is not HOST:PORT: it has no port"),
        (["run", "--peer", ID_B + "@::1:5"], "an IPv6 address stands in brackets"),
        (["run", "--key", "k", *peer], "no network follows from --address"),
        (["run", "--key", "k", *peer, "--address", "10.0.0.1"], "no network follows from --address"),
        (["run", "--key", "k", *peer, "--allow-peer", ID_C, "--address", "10.0.0.1/24"],
         "with several peers each one needs its allowed IPs"),
    ]
    cases += [
        (["run", "--log-format", "xml", "x.conf"], "--log-format is neither kv nor json"),
        (["up", "--log-format", "xml", "x.conf"], "--log-format is neither kv nor json"),
        (["up", "--log-format", "json"], "too few arguments"),
        (["up", "--log-format=json", "a.conf", "b.conf"], "too many arguments"),
    ]
    for args, part in cases:
        expect_failure(run(*args), 2, part, "--help)")


@test
def environment_errors():
    args = ["run", "--key", "k", "--address", "10.0.0.1/24"]
    cases = [
        ({"CRYPRQ_LOG": "loud"}, "CRYPRQ_LOG is not error, warn, info or debug"),
        ({"CRYPRQ_LOG_FORMAT": "xml"}, "CRYPRQ_LOG_FORMAT is neither kv nor json"),
        ({"CRYPRQ_TUN_OFFLOAD": "most"}, "CRYPRQ_TUN_OFFLOAD is not on, tso, checksum or off"),
        ({"CRYPRQ_UDP_GSO": "0"}, "CRYPRQ_UDP_GSO is not on or off"),
        ({"CRYPRQ_UDP_GRO": "0"}, "CRYPRQ_UDP_GRO is not on or off"),
        ({"CRYPRQ_WORKERS": "0"}, "CRYPRQ_WORKERS is not auto, or a number from 1 to 15"),
        ({"CRYPRQ_ROTATE_SECS": "3601"}, "CRYPRQ_ROTATE_SECS is not a number from 60 to 3600"),
        ({"CRYPRQ_ALLOW_PEERS": "x"}, "CRYPRQ_ALLOW_PEERS is not a list"),
        ({"CRYPRQ_ALLOW_PEERS": f"{ID_B}=1.0.0.0/8,x"}, "CRYPRQ_ALLOW_PEERS is not a list"),
        ({"CRYPRQ_ALLOW_PEERS": f"1.0.0.0/8,{ID_B}"}, "CRYPRQ_ALLOW_PEERS is not a list"),
        ({"CRYPRQ_ALLOW_PEERS": f"{ID_B},1.0.0.0/8"}, "CRYPRQ_ALLOW_PEERS is not a list"),
        ({"CRYPRQ_ALLOW_PEERS": f"{ID_B},,{ID_C}"}, "CRYPRQ_ALLOW_PEERS is not a list"),
        ({"CRYPRQ_ALLOW_PEERS": f"{ID_B},{ID_C}"}, "with several peers each one needs its allowed IPs"),
    ]
    for env, part in cases:
        expect_failure(run(*args, env=env), 2, part)


# Output that does not get out.

@test
def full_output_is_an_error():
    for args in (["genkey"], ["pubkey"], ["version"], ["--help"], ["show", "--help"]):
        with open("/dev/full", "wb") as full:
            code, _, err = run(*args, stdin=KEY, stdout=full)
        expect(code, 1)
        expect(err, "cryprq: cannot write to standard output: No space left on device\n")


@test
def closed_output_is_an_error():
    for command in ("genkey", "version", "--help"):
        done = subprocess.run(["sh", "-c", f'"$0" {command} >&-', PROGRAM], stderr=subprocess.PIPE, check=False)
        expect(done.returncode, 1)
        expect_in(b"cannot write to standard output", done.stderr)


# Files.

@test
def readable_secrets_are_refused():
    text = f"[Interface]\nPrivateKey = {KEY}\n"
    args = ["--address", "10.0.0.1/24", "--allow-peer", ID_B]
    with Directory() as d:
        for mode in (0o644, 0o640, 0o604, 0o660):
            path = d.write(f"c{mode}.conf", text, mode)
            expect_failure(run("run", path), 1, path, f"chmod 600 {path}")
            expect_failure(run("up", path), 1, path, f"chmod 600 {path}")
            key = d.write(f"k{mode}", KEY, mode)
            expect_failure(run("run", "--key", key, *args), 1, key, f"chmod 600 {key}")
            path = d.write(f"f{mode}.conf", f"[Interface]\nPrivateKeyFile = k{mode}\n")
            expect_failure(run("run", path), 1, f"{path}:2:18: PrivateKeyFile: ", f"chmod 600 {key}")


@test
def configuration_errors_have_a_place():
    cases = [
        ("[Interface]\nPrivateKey = x\n", ":2:14: PrivateKey is not 32 bytes"),
        (f"[Interface]\nPrivateKey = {KEY}\n[Peer]\nPublicKey = {ID_B}\n", ":4:1: unknown key \"PublicKey\" in [Peer]"),
        (f"[Interface]\nPrivateKey = {KEY}\nDNS = 1.1.1.1\n", ":3:1: unknown key \"DNS\""),
        ("", ": no [Interface] section"),
        ("[Interface]\nPrivateKeyFile = none\n", ":2:18: PrivateKeyFile: "),
        (f"[Interface]\n{KEY}\n", ":2:1: "),
    ]
    with Directory() as d:
        for text, part in cases:
            path = d.write("a.conf", text)
            expect_failure(run("run", path), 1, path + part)
            expect_failure(run("up", path), 1, path + part)


@test
def missing_files():
    with Directory() as d:
        path = str(d.path / "none.conf")
        expect_failure(run("run", path), 1, f"cryprq: {path}: no such file")
        expect_failure(run("run", "--key", path, "--address", "10.0.0.1/24", "--allow-peer", ID_B), 1,
                       f"cryprq: {path}: no such file")
        bad = d.write("bad key.conf", "")
        expect_failure(run("run", bad), 1, "the file name makes no interface name")


@test
def own_id_is_no_peer():
    own = run("pubkey", stdin=KEY)[1].strip()
    with Directory() as d:
        path = d.write("a.conf", f"[Interface]\nPrivateKey = {KEY}\n[Peer]\nPeerID = {own}\n")
        expect_failure(run("run", path), 1, f"{path}:4:10: this peer has the ID of our own private key")
        key = d.write("k", KEY)
        expect_failure(run("run", "--key", key, "--address", "10.0.0.1/24", "--allow-peer", own), 1,
                       "this peer has the ID of our own private key")


@test
def arguments_are_checked_as_a_whole():
    with Directory() as d:
        start = ["run", "--key", d.write("k", KEY), "--address", "10.0.0.1/24"]
        expect_failure(run(*start, "--allow-peer", f"{ID_B}=10.0.0.2,10.0.0.4", "--allow-peer", f"{ID_C}=10.0.0.0/29"),
                       1, "overlaps", ID_B, ID_C)
        expect_failure(run(*start, "--allow-peer", f"{ID_B}=10.0.0.2", "--allow-peer", f"{ID_B}=10.0.0.3"), 1,
                       f"two peers have the PeerID {ID_B}")
        expect_failure(run("run", "--key", d.write("bad", "x"), *start[3:], "--allow-peer", ID_B), 1,
                       "not a key: 44 characters")


# Diagnoses.


@test
def reason_codes_are_documented():
    root = pathlib.Path(__file__).parent.parent.parent
    header, text = (root / "src" / "base" / "diagnosis.h").read_text(), (root / "docs" / "operations.md").read_text()
    reasons, steps = header.split("CQ_STEP_LIST(X)", 1)
    names = re.findall(r'X\([A-Z_]+,\s*"([a-z_]+)"', reasons) + re.findall(r'X\([A-Z_]+,\s*"([a-z_]+)"', steps)
    if len(names) < 40:
        raise AssertionError(f"only {names} found in diagnosis.h")
    expect([n for n in names if f"`{n}`" not in text], [])


@test
def diagnose_without_a_node():
    with Directory() as d:
        env = {"CRYPRQ_RUNTIME_DIR": str(d.path)}
        status, out, _ = run("diagnose", "wan0", "laptop", "--json", env=env)
        expect(status, 1)
        found = json.loads(out)
        expect([found[k] for k in ("version", "command", "peer", "ok", "reason", "certain")],
               [1, "diagnose", "laptop", False, "not_running", True])
        status, out, _ = run("diagnose", "wan0", "laptop", env=env)
        expect(status, 1)
        expect_in("problem: no such interface is running here (not_running)", out)
        expect_in("  mend: start it with `cryprq up NAME`", out)


@test
def ping_refuses_bad_keys():
    with Directory() as d:
        target = f"{ID_B}@192.0.2.1:1"
        expect_failure(run("ping", target, "--key", str(d.path / "none")), 1, "none")
        expect_failure(run("ping", target, "--key", d.write("bad", "x")), 1, "not a key: 44 characters")
        key = d.write("k", KEY)
        expect_failure(run("ping", target, "--key", key, "--psk-file", d.write("p", "y")), 1, "not a key")
        expect_failure(run("ping", target, "--key", key, "--public-key-file", d.write("q", KEY)), 1,
                       "not a public key")
        own = run("pubkey", stdin=KEY)[1].strip()
        expect_failure(run("ping", f"{own}@192.0.2.1:1", "--key", key), 1, "our own peer ID")
        full = run("pubkey", "--full", stdin=KEY)[1]
        expect_failure(run("ping", target, "--key", key, "--public-key-file", d.write("f", full)), 1,
                       "not that of the peer")


# Show and rotate, against a stand-in for the node.

STATUS = {
    "version": 1, "peer_id": ID_C, "interface": "wan0", "listen_port": 51820, "fwmark": 51820, "mtu": 1420,
    "metrics_address": "127.0.0.1:9464",
    "rotate_secs": 300, "uptime_secs": 8, "num_workers": 2, "num_pending": 0, "under_load": False, "cookies_sent": 1,
    "keys_sent": 1, "keys_erased": 1, "suites": ["aes-256-gcm"], "flags": ["udp_gso"],
    "offloads": {
        "tun_header": {"state": "on", "fallbacks": 0}, "tun_csum": {"state": "on", "fallbacks": 0},
        "tun_tso": {"state": "given_up", "fallbacks": 1}, "tun_uso": {"state": "unavailable", "fallbacks": 0},
        "udp_gso": {"state": "switched_off", "fallbacks": 2}, "udp_gro": {"state": "on", "fallbacks": 0},
    },
    "drops": {"bad_mac1": 5},
    "peers": [
        {
            "peer_id": KEY, "name": "", "has_psk": False, "key_known": False, "handshaking": True, "endpoint": "",
            "path_mtu": 1500, "persistent_keepalive": 0, "rx_bytes": 0, "tx_bytes": 0, "rx_packets": 0, "tx_packets": 0,
            "latest_handshake": 0, "latest_handshake_secs": 0, "handshake_duration_us": 0,
            "latest_as_initiator": False, "initiated": 0, "responded": 0, "rotations": 0, "failed": 2,
            "num_sessions": 0, "num_staged": 1, "allowed_ips": [], "session": None, "last_drop": "none",
            "last_drop_secs": 0, "num_refused": 0, "refused_secs": 0, "unanswered_secs": 0, "refused": "none",
            "configured_endpoint": "far.test:51820",
            "attempt": {"secs": 7, "key_request_sent": {"num": 4, "last_ms": 2800}, "send_fault": "forbidden",
                        "elsewhere": "", "reason": "local_firewall"},
        },
        {
            "peer_id": ID_B, "name": "laptop", "has_psk": True, "key_known": True, "handshaking": False,
            "endpoint": "[2001:db8::1]:51820", "path_mtu": 1460, "persistent_keepalive": 25, "rx_bytes": 1000,
            "tx_bytes": 2621440, "rx_packets": 3, "tx_packets": 4, "latest_handshake": 1700000000, "latest_handshake_secs": 65,
            "handshake_duration_us": 2350, "latest_as_initiator": True, "initiated": 5, "responded": 6,
            "rotations": 7, "failed": 8, "num_sessions": 1, "num_staged": 0,
            "allowed_ips": ["10.9.0.2/32", "fd00::/64"],
            "session": {"id": "0123456789abcdef", "suite": "aes-256-gcm", "age_secs": 65, "rotate_in_secs": 200},
            "last_drop": "none", "last_drop_secs": 0, "num_refused": 3, "refused_secs": 2, "unanswered_secs": 1,
            "refused": "decrypt_fresh", "configured_endpoint": "", "attempt": None,
        },
    ],
}

TEXT = f"""interface: wan0
  peer id: {ID_C}
  private key: (hidden)
  listening port: 51820
  fwmark: 0xca6c
  mtu: 1420
  rotation: every 300 seconds
  metrics: 127.0.0.1:9464
  workers: 2
  offloads: tun_header, tun_csum, udp_gro
  offloads switched off: udp_gso
  offloads that the kernel lacks: tun_uso
  offloads given up: tun_tso
  udp_gso given up for: 2 destinations

peer: {ID_B}
  name: laptop
  preshared key: (hidden)
  endpoint: [2001:db8::1]:51820
  allowed ips: 10.9.0.2/32, fd00::/64
  latest handshake: 1 minute, 5 seconds ago
  handshake duration: 2.35 ms
  suite: aes-256-gcm
  age of keys: 1 minute, 5 seconds
  next rotation: in 3 minutes, 20 seconds
  path mtu: 1460
  transfer: 1000 B received, 2.50 MiB sent
  persistent keepalive: every 25 seconds

peer: {KEY}
  allowed ips: (none)
  handshake: in progress
"""

DUMP = [
    ["(hidden)", ID_C, "51820", "0xca6c", "1420", "300"],
    [KEY, "(none)", "(none)", "(none)", "0", "0", "0", "off",
     "(none)", "(none)", "(none)", "0", "0", "0", "0", "0", "0", "2"],
    [ID_B, "(hidden)", "[2001:db8::1]:51820", "10.9.0.2/32,fd00::/64", "1700000000", "1000", "2621440", "25",
     "laptop", "aes-256-gcm", "0123456789abcdef", "2350", "65", "200", "5", "6", "7", "8"],
]


class Node:
    """Listens on RUNTIME_DIR/NAME.sock and gives each request's line to a function that returns the answer's bytes."""

    def __init__(self, directory, name, answer):
        self.requests = []
        self.answer = answer
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(directory.path / f"{name}.sock"))
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection = self.socket.accept()[0]
            with connection, connection.makefile("rb") as stream:
                request = json.loads(stream.readline())
                self.requests.append(request)
                answer = self.answer(request)
                try:
                    connection.sendall(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")
                except BrokenPipeError:
                    pass


def status_answer(request):
    del request
    return {"version": 1, "ok": True, "status": STATUS}


@test
def show_lays_out_like_wg():
    with Directory() as d:
        env = {"CRYPRQ_RUNTIME_DIR": str(d.path)}
        node = Node(d, "wan0", status_answer)
        expect(run("show", "wan0", env=env), (0, TEXT, ""))
        expect(node.requests, [{"version": 1, "command": "show"}])
        for args in (["show"], ["show", "all"]):
            expect(run(*args, env=env), (0, TEXT, ""))


@test
def show_dump_is_separated_by_tabs():
    with Directory() as d:
        env = {"CRYPRQ_RUNTIME_DIR": str(d.path)}
        Node(d, "wan0", status_answer)
        code, out, err = run("show", "wan0", "dump", env=env)
        expect((code, err), (0, ""))
        expect([line.split("\t") for line in out.splitlines()], DUMP)
        code, out, err = run("show", "all", "dump", env=env)
        expect([line.split("\t") for line in out.splitlines()], [["wan0", *line] for line in DUMP])


@test
def show_json_is_json():
    with Directory() as d:
        env = {"CRYPRQ_RUNTIME_DIR": str(d.path)}
        expect(run("show", "all", "json", env=env), (0, "[]\n", ""))
        Node(d, "wan0", status_answer)
        code, out, err = run("show", "wan0", "json", env=env)
        expect((code, err), (0, ""))
        state = json.loads(out)
        expect(state["drops"]["bad_mac1"], 5)
        # Words for people and for dashboards are made of what the node says.
        words = [{key: peer.pop(key) for key in ("state", "explanation", "refused_reason")} for peer in state["peers"]]
        expect(state["peers"], STATUS["peers"])
        expect([w["state"] for w in words], ["trouble", "connected"])
        expect([w["refused_reason"] for w in words], ["all_well", "psk_mismatch"])
        expect_in("the packet filter of this machine", words[0]["explanation"])
        expect_in("cryprq diagnose wan0 ", words[0]["explanation"])
        expect_in("next rotation in 3 min", words[1]["explanation"])
        Node(d, "wan1", status_answer)
        both = json.loads(run("show", "all", "json", env=env)[1])
        expect([[p["peer_id"] for p in node["peers"]] for node in both], [[p["peer_id"] for p in STATUS["peers"]]] * 2)


@test
def show_of_what_does_not_run():
    with Directory() as d:
        env = {"CRYPRQ_RUNTIME_DIR": str(d.path)}
        expect(run("show", env=env), (0, "", ""))
        expect_failure(run("show", "wan0", env=env), 1, "wan0: no such interface is running")
        expect_failure(run("rotate", "wan0", env=env), 1, "wan0: no such interface is running")
        expect_failure(run("rotate", "wan0", "laptop", env=env), 1, "wan0: no such interface is running")
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(d.path / "old.sock"))
        stale.close()
        expect_failure(run("show", "old", env=env), 1, "old: no such interface is running")


@test
def answers_that_are_none():
    cases = [
        (b"", "closed the connection without an answer"),
        (b"hello\n", "message is not a JSON object"),
        (b'{"version":2,"ok":true}\n', "control message of version 2, but this program speaks 1"),
        (b'{"version":1,"ok":true}\n', "response is not one of this version"),
        (b'{"version":1,"ok":true,"rotated":[]}\n', "the node answered another question"),
        (b'{"version":1,"ok":false,"error":"too \\u001b busy"}\n', "wan0: too ? busy"),
    ]
    for answer, part in cases:
        with Directory() as d:
            env = {"CRYPRQ_RUNTIME_DIR": str(d.path)}
            Node(d, "wan0", lambda _, answer=answer: answer)
            expect_failure(run("show", "wan0", env=env), 1, "cryprq: wan0: ", part)
            expect_failure(run("show", env=env), 1, part)


@test
def rotate_by_name_by_id_and_all():
    done = {"id": ID_B, "name": "laptop", "duration_us": 2350, "session_id": "0123456789abcdef", "error": ""}

    def answer(request):
        if request["command"] == "show":
            return status_answer(request)
        return {"version": 1, "ok": True, "rotated": [done]}

    with Directory() as d:
        env = {"CRYPRQ_RUNTIME_DIR": str(d.path)}
        node = Node(d, "wan0", answer)
        for args in (["laptop"], [ID_B], []):
            expect(run("rotate", "wan0", *args, env=env), (0, "laptop: new keys in 2.35 ms\n", ""))
        expect([r.get("peer") for r in node.requests if r["command"] == "rotate"], [ID_B, ID_B, None])
        expect_failure(run("rotate", "wan0", "desktop", env=env), 1, "wan0: no peer is called desktop")
        done["error"] = "no answer within 10 s"
        expect_failure(run("rotate", "wan0", env=env), 1, "wan0: laptop: no answer within 10 s")


def main():
    if PROGRAM is None:
        print(__doc__, file=sys.stderr)
        return 2
    failures = 0
    print(f"1..{len(TESTS)}")
    for number, function in enumerate(TESTS, 1):
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception as problem:  # a test that breaks is a test that fails
            failures += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in f"{type(problem).__name__}: {problem}".splitlines():
                print(f"# {line}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
