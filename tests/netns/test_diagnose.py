#!/usr/bin/env python3
"""Every way of not getting together, made on purpose: `cryprq diagnose` and `cryprq ping` must name it. TAP.

Arguments: words; only the cases whose titles have one of them run.
"""

import json
import os
import re
import sys

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4, OUTER4

CASES = []
PRODUCED = set()                # reason codes that a case was made for, and that diagnose named
PEER_NAME = "far"


def case(title):
    def add(function):
        CASES.append((title, function))
        return function
    return add


def diagnose(node, *arguments, peer=PEER_NAME, timeout=6):
    """What `cryprq diagnose` found; its exit status must fit."""
    done = node.cryprq("diagnose", node.name, peer, "--json", "--timeout", timeout, *arguments, check_status=False,
                       timeout=60)
    check(done.stdout, f"no answer: {done.stderr}")
    found = json.loads(done.stdout)
    equal(done.returncode, 0 if found["reason"] == "all_well" else 1, "exit status")
    equal(found["ok"], found["reason"] == "all_well", "ok")
    return found


def must_find(node, reason, *arguments, certain=None, **options):
    found = diagnose(node, *arguments, **options)
    equal(found["reason"], reason, f"reason ({json.dumps(found)})")
    PRODUCED.add(reason)
    check(found["text"] and (found["mend"] or reason == "all_well"), f"says nothing: {found}")
    if certain is not None:
        equal(found["certain"], certain, "certain")
    return found


def note(found):
    return [f"{found['reason']}: {found['detail']}"] + [f"{c['name']}: {c['text']}" for c in found["checks"]]


def pair(scene, run=True, first_peer=None, **options):
    """Two nodes; the first has the second as `far`."""
    return tunnel.pair(scene, run=run, first_peer={"Name": PEER_NAME, **(first_peer or {})}, ipv6=False, **options)


def counted(node, *reasons):
    for reason in reasons:
        check(tunnel.drops(node, reason) > 0, f"{reason} is not counted at the other side")


# Nothing is wrong


@case("all is well: a first contact, then once more with keys, and through the tunnel")
def all_well(scene):
    a, b = pair(scene)
    found = must_find(a, "all_well")
    check("handshake in" in found["detail"], f"no figures: {found}")
    again = must_find(a, "all_well", "--to", INNER4[1])
    names = [c["name"] for c in again["checks"]]
    check("echo" in names and "allowed ips" in names, f"checks: {names}")
    identity = tunnel.peer_status(a)["peer_id"]
    must_find(a, "all_well", peer=identity)
    done = a.cryprq("diagnose", a.name, PEER_NAME)
    check("result: all is well (all_well)" in done.stdout and "  ok   handshake" in done.stdout, done.stdout)
    facts = tunnel.peer_status(a)["attempt"]
    equal(facts["reason"], "all_well", "reason in the status")
    equal(facts["accept_received"]["num"], 1, "accept_received")
    must_find(b, "all_well", peer=tunnel.status(a)["peer_id"])
    return note(again)


@case("the other side was killed and started again: the fresh handshake mends it")
def restarted(scene):
    # A node that remembers its peers would call at once.
    a, b = pair(scene, second={"RememberPeers": "off"})
    tunnel.must_ping(a.namespace, INNER4[1])
    b.kill("monitor", "node", "keeper")
    b.process.wait(5)
    pinging = a.namespace.popen("ping", "-n", "-i", "0.5", INNER4[1], stdout=-3, stderr=-3)
    netns.wait_until(lambda: tunnel.peer_status(a)["unanswered_secs"] >= 8, 14, "records to go unanswered")
    tunnel.start(b)
    found = must_find(a, "all_well", "--to", INNER4[1])
    pinging.terminate()
    pinging.wait(5)
    # After 15 s the node has seen to it by itself, and nothing is unanswered any more.
    check("event=peer_unreachable" in a.log_text() or
          any("the other side had restarted" in c["text"] for c in found["checks"]), f"{found}")
    return note(found)


# Before anything is sent


@case("not_running: no such interface")
def not_running(scene):
    a, _ = pair(scene, run=False)
    must_find(a, "not_running", certain=True)


@case("peer_not_configured: a name and an ID that are nobody's, and our own")
def peer_not_configured(scene):
    a, _ = pair(scene)
    must_find(a, "peer_not_configured", peer="nobody", certain=True)
    must_find(a, "peer_not_configured", peer=tunnel.Identity().id)
    found = must_find(a, "peer_not_configured", peer=tunnel.status(a)["peer_id"])
    check("own peer ID" in found["detail"], f"{found}")


@case("no_endpoint: the peer has none and has not called")
def no_endpoint(scene):
    a, b = pair(scene)
    found = must_find(b, "no_endpoint", peer=tunnel.status(a)["peer_id"], certain=True)
    return note(found)


@case("name_unresolved: the endpoint's host name has no address")
def name_unresolved(scene):
    a, _ = pair(scene, first_peer={"Endpoint": f"nowhere.invalid:{tunnel.PORT}"})
    found = must_find(a, "name_unresolved", certain=True)
    check("nowhere.invalid" in found["detail"], f"{found}")


@case("no_route_to_peer: no route to the endpoint")
def no_route(scene):
    a, _ = pair(scene, outer=("192.0.2.1", "203.0.113.9"))
    found = must_find(a, "no_route_to_peer", certain=True)
    equal(tunnel.peer_status(a)["attempt"]["send_fault"], "no_route", "send_fault in the status")
    return note(found)


@case("local_firewall: an output rule of this machine")
def local_firewall(scene):
    a, _ = pair(scene)
    tunnel.nft(a.namespace, f"""table inet test {{
        chain out {{ type filter hook output priority 0; udp dport {tunnel.PORT} drop; }}
    }}""")
    must_find(a, "local_firewall", certain=True)
    equal(tunnel.peer_status(a)["attempt"]["send_fault"], "forbidden", "send_fault in the status")


# Nothing, or too little, comes back


@case("send_failed: the kernel refuses for a reason of its own (a blackhole route)")
def send_failed(scene):
    a, _ = pair(scene)
    a.namespace.run("ip", "route", "add", "blackhole", f"{OUTER4[1]}/32")
    found = must_find(a, "send_failed", certain=True)
    equal(tunnel.peer_status(a)["attempt"]["send_fault"], "other", "send_fault in the status")
    equal(tunnel.peer_status(a)["attempt"]["reason"], "send_failed", "reason in the status")
    return note(found)


@case("nobody_listens: the node there does not run")
def nobody_listens(scene):
    a, _ = pair(scene, run=False)
    tunnel.start(a)
    must_find(a, "nobody_listens", certain=True)


@case("host_unreachable: nobody has the address")
def host_unreachable(scene):
    a, _ = pair(scene, outer=("192.0.2.1", "192.0.2.77"))
    found = must_find(a, "host_unreachable", certain=True, timeout=8)
    return note(found)


@case("no_answer: UDP is dropped on the way")
def no_answer(scene):
    a, b = pair(scene)
    tunnel.nft(b.namespace, """table inet test {
        chain in { type filter hook input priority 0; iifname "eth0" meta l4proto udp drop; }
    }""")
    must_find(a, "no_answer", certain=False)


@case("wrong_peer_id: the node at that address has another Peer ID")
def wrong_peer_id(scene):
    a, b = pair(scene, run=False)
    config = a.config.read_text().splitlines()
    wrong = [f"PeerID = {tunnel.Identity().id}" if line.startswith("PeerID") else line for line in config]
    a.write_config("\n".join(wrong) + "\n")
    tunnel.start(a, b)
    found = must_find(a, "wrong_peer_id", certain=False)
    counted(b, "bad_mac1")
    return note(found)


@case("wrong_peer_id: the node there does not tell its key (key_answers_off)")
def key_answers_off(scene):
    a, b = pair(scene, second={"AnswerKeys": "off"})
    found = must_find(a, "wrong_peer_id", certain=False)
    check("key_answers_off" in found["mend"], f"{found}")
    counted(b, "key_answers_off")


@case("peer_silent: there were keys, then the way broke")
def peer_silent(scene):
    a, b = pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    tunnel.nft(b.namespace, """table inet test {
        chain in { type filter hook input priority 0; iifname "eth0" meta l4proto udp drop; }
    }""")
    a.namespace.ping(INNER4[1], timeout=1)
    found = must_find(a, "peer_silent", certain=False)
    check("unanswered" in found["detail"], f"{found}")


@case("mtu_too_small: a local link of 1200 bytes")
def mtu_local(scene):
    a, _ = pair(scene)
    a.namespace.run("ip", "link", "set", "eth0", "mtu", 1200)
    must_find(a, "mtu_too_small")
    equal(tunnel.peer_status(a)["attempt"]["send_fault"], "too_big", "send_fault in the status")


LARGE_DROPPED = """table inet test {
    chain in { type filter hook %s priority 0; %s meta l4proto udp meta length > 1000 drop; }
}"""


@case("mtu_too_small: large datagrams vanish on the way there")
def mtu_there(scene):
    a, b = pair(scene)
    tunnel.nft(b.namespace, LARGE_DROPPED % ("input", 'iifname "eth0"'))
    found = must_find(a, "mtu_too_small", certain=False)
    return note(found)


@case("mtu_too_small: small answers come back, large ones do not")
def mtu_back(scene):
    a, b = pair(scene)
    tunnel.nft(a.namespace, LARGE_DROPPED % ("input", 'iifname "eth0"'))
    found = must_find(a, "mtu_too_small", certain=False)
    check(tunnel.peer_status(a)["attempt"]["cookie_received"]["num"] >= 1, "no cookie came")
    counted(b, "cookie_required")
    return note(found)


@case("silent_after_cookie: the other side asks for a cookie and is gone then")
def silent_after_cookie(scene):
    a, b = pair(scene)
    tunnel.nft(b.namespace, """table inet test {
        chain in { type filter hook input priority 0; iifname "eth0" udp dport 51820 meta length > 1000 \
            limit rate over 1/hour burst 1 packets drop; }
    }""")
    must_find(a, "silent_after_cookie", certain=False)


@case("cookie_not_accepted: a NAT changes our port from packet to packet")
def cookie_not_accepted(scene):
    a, b = pair(scene, first={"ListenPort": 4500})
    tunnel.nft(b.namespace, f"""table ip test {{
        chain in {{ type filter hook prerouting priority -310;
            udp dport {tunnel.PORT} udp sport set numgen inc mod 2 map {{ 0 : 5001, 1 : 5002 }} notrack; }}
        chain out {{ type filter hook output priority -310; udp sport {tunnel.PORT} udp dport set 4500 notrack; }}
    }}""")
    found = must_find(a, "cookie_not_accepted", certain=False)
    return note(found)


@case("no_accept: the third message of the handshake is lost")
def no_accept(scene):
    a, b = pair(scene)
    tunnel.nft(b.namespace, """table inet test {
        chain in { type filter hook input priority 0; iifname "eth0" udp length 1228 drop; }
    }""")
    must_find(a, "no_accept", certain=False)
    check(tunnel.peer_status(a)["attempt"]["offer_sent"]["num"] > 1, "OFFER was not repeated")


RECORDS_DROPPED = """table inet test {
    chain in { type filter hook input priority 0; iifname "eth0" @th,64,8 >= 16 meta l4proto udp drop; }
}"""


@case("session_silent: the handshake succeeds, but no record passes")
def session_silent(scene):
    a, b = pair(scene)
    tunnel.nft(b.namespace, RECORDS_DROPPED)
    must_find(a, "session_silent", certain=False)


class Impostor:
    """Answers every datagram in a namespace with what `answer(data)` gives, from within this process."""

    def __init__(self, namespace, answer):
        script = f"""
import socket, sys
sys.path.insert(0, {str(tunnel.HERE)!r})
import test_diagnose
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", {tunnel.PORT}))
print("ready", flush=True)
while True:
    data, source = s.recvfrom(4096)
    for answer in test_diagnose.{answer}(data):
        s.sendto(answer, source)
"""
        self.process = namespace.popen(sys.executable, "-c", script, stdout=-1, text=True)
        check(self.process.stdout.readline() == "ready\n", "the impostor does not start")


def wrong_key(data):
    """KEY_RESPONSE with a key that is nobody's."""
    return [b"\x07\x01\0\0" + data[4:8] + bytes(1216)] if data[0] == 6 else []


def other_version(data):
    return [b"\x05\x02\0\0" + data[4:8] + bytes(56)] if data[0] in (1, 6) else []


@case("key_hash_mismatch: another key than the one that the Peer ID names")
def key_hash_mismatch(scene):
    a, b = pair(scene, run=False)
    Impostor(b.namespace, "wrong_key")
    tunnel.start(a)
    must_find(a, "key_hash_mismatch", certain=True)
    check(tunnel.drops(a, "key_hash_mismatch") > 0, "not counted here")
    check(tunnel.peer_status(a)["attempt"]["key_mismatch"]["num"] > 0, "not in the status")


def damaged_reply(data):
    """REPLY to every INIT, with the right index and nothing else."""
    return [b"\x02\x01\0\0" + b"\x11" * 4 + data[4:8] + bytes(1160)] if data[0] == 1 else []


@case("bad_reply: what answers the handshake does not verify")
def bad_reply(scene):
    a, b = pair(scene, run=False)
    there = tunnel.Identity()
    public = a.directory / "far.pub"
    done = netns.subprocess.run([netns.CRYPRQ, "pubkey", "--full"], input=there.key + "\n", capture_output=True,
                                text=True, check=True, timeout=10)
    public.write_text(done.stdout)
    a.write_config("\n".join(f"PeerID = {there.id}\nPublicKeyFile = {public}" if line.startswith("PeerID") else line
                             for line in a.config.read_text().splitlines()) + "\n")
    Impostor(b.namespace, "damaged_reply")
    tunnel.start(a)
    found = must_find(a, "bad_reply", certain=True)
    counted(a, "decrypt_reply")
    equal(tunnel.peer_status(a)["attempt"]["reason"], "bad_reply", "reason in the status")
    return note(found)


@case("version_mismatch: the other side speaks another version")
def version_mismatch(scene):
    a, b = pair(scene, run=False)
    Impostor(b.namespace, "other_version")
    tunnel.start(a)
    must_find(a, "version_mismatch", certain=True)


@case("answer_elsewhere: the answers come from another address")
def answer_elsewhere(scene):
    a, b = pair(scene)
    b.namespace.run("ip", "addr", "add", "192.0.2.78/24", "dev", "eth0")
    tunnel.nft(b.namespace, f"""table ip test {{
        chain raw {{ type filter hook prerouting priority -300; udp dport {tunnel.PORT} notrack; }}
        chain out {{ type filter hook postrouting priority 300;
            oifname "eth0" udp sport {tunnel.PORT} ip saddr set 192.0.2.78; }}
    }}""")
    found = must_find(a, "answer_elsewhere", certain=True)
    check("192.0.2.78" in found["detail"], f"{found}")


# The other side does not want us


def refused_peers(node):
    """What the metric cryprq_refused_peers says, by reason code."""
    text = node.namespace.output("curl", "-sS", "http://127.0.0.1:9464/metrics")
    return {m.group(1): int(m.group(2)) for m in re.finditer(r'^cryprq_refused_peers\{reason="(\w+)"\} (\d+)$', text,
                                                             re.MULTILINE)}


@case("no_reply: our Peer ID is not on the list there (unknown_peer)")
def not_on_the_list(scene):
    a, b = pair(scene, run=False)
    config = [f"PeerID = {tunnel.Identity().id}" if line.startswith("PeerID") else line
              for line in b.config.read_text().splitlines()]
    b.write_config("\n".join(config) + "\n")
    tunnel.start(a, b)
    found = must_find(a, "no_reply", certain=False)
    check("unknown_peer" in found["mend"], f"{found}")
    counted(b, "unknown_peer")
    # The key is known now, and INITs get no answer at all: the question of the command tells it.
    a.stop()
    tunnel.start(a)
    must_find(a, "no_reply", certain=False)


@case("no_reply and, at the responder for certain, psk_mismatch: different pre-shared keys")
def psk_mismatch(scene):
    a, b = pair(scene, first_peer={"PresharedKey": netns.genpsk()}, second_peer={"PresharedKey": netns.genpsk()})
    found = must_find(a, "no_reply", certain=False)
    check("decrypt_fresh" in found["mend"], f"{found}")
    counted(b, "decrypt_fresh")
    here = must_find(b, "psk_mismatch", peer=tunnel.status(a)["peer_id"], certain=True)
    status = tunnel.peer_status(b)
    equal(status["refused"], "decrypt_fresh", "refused in the responder's status")
    check(status["num_refused"] > 0, "num_refused")
    # The same code everywhere: JSON, metrics and, from the third in a row on and once, the log.
    equal(status["refused_reason"], "psk_mismatch", "reason in the responder's status")
    equal(refused_peers(b), {"psk_mismatch": 1, "peer_key_unknown": 0, "no_common_suite": 0, "refused": 0}, "metrics")
    netns.wait_until(lambda: tunnel.peer_status(b)["num_refused"] > 3, 10, "more refusals")
    lines = [line for line in b.log_text().splitlines() if "event=handshake_refused" in line]
    equal(len(lines), 1, f"lines in the log: {lines}")
    check("reason=psk_mismatch drop=decrypt_fresh" in lines[0], lines[0])
    return note(here)


@case("no_reply and, at the responder for certain, no_common_suite")
def no_common_suite(scene):
    a, b = pair(scene, first={"Suites": "aes-256-gcm"}, second={"Suites": "chacha20-poly1305"})
    must_find(a, "no_reply", certain=False)
    counted(b, "no_common_suite")
    must_find(b, "no_common_suite", peer=tunnel.status(a)["peer_id"], certain=True)


@case("no_reply and, at the responder for certain, peer_key_unknown: the caller keeps its key to itself")
def peer_key_unknown(scene):
    a, b = pair(scene, first={"PushKeys": "off"})
    must_find(a, "no_reply", certain=False)
    counted(b, "peer_key_unknown")
    must_find(b, "peer_key_unknown", peer=tunnel.status(a)["peer_id"], certain=True)


@case("refused: the caller has more handshakes under way than it may")
def refused(scene):
    space, node, here, there = server(scene)
    tunnel.nft(node.namespace, RECORDS_DROPPED)     # so that none of them is finished
    for _ in range(8):
        found = ping(scene, space, here.key, there.id, "--count", 1, "--timeout", 1)
        if found["reason"] != "session_silent":
            break
    equal(found["reason"], "no_reply", f"at the caller: {found}")
    counted(node, "pending_full")
    status = tunnel.peer_status(node)
    equal((status["refused"], status["refused_reason"]), ("pending_full", "refused"), "refused in the status")
    found = must_find(node, "refused", peer=here.id, certain=True)
    check("pending_full" in json.dumps(found["checks"]), f"{found}")
    return note(found)


# With keys


@case("address_not_covered and address_of_other_peer: allowed IPs")
def allowed_ips(scene):
    a, b = pair(scene, run=False)
    a.write_config(a.config.read_text() + tunnel.peer(tunnel.Identity().id, "10.99.0.0/24", Name="other"))
    tunnel.start(a, b)
    must_find(a, "address_not_covered", "--to", "10.77.0.1", certain=True)
    found = must_find(a, "address_of_other_peer", "--to", "10.99.0.1", certain=True)
    check("other" in found["detail"], f"{found}")


@case("routed_elsewhere: a route leads past the interface")
def routed_elsewhere(scene):
    a, _ = pair(scene)
    a.namespace.run("ip", "route", "add", f"{INNER4[1]}/32", "via", OUTER4[1])
    must_find(a, "routed_elsewhere", "--to", INNER4[1], certain=True)


@case("inner_source: packets come with a source that is not allowed here")
def inner_source(scene):
    a, b = pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    b.namespace.run("ip", "addr", "add", "10.99.0.9/32", "dev", b.name)
    pinging = b.namespace.popen("ping", "-n", "-i", "0.2", "-I", "10.99.0.9", INNER4[0], stdout=-3, stderr=-3)
    try:
        must_find(a, "inner_source", "--to", INNER4[1], certain=True)
    finally:
        pinging.terminate()
        pinging.wait(5)
    counted(a, "inner_source")


@case("no_inner_answer: our inner source is not allowed there")
def no_inner_answer(scene):
    a, b = pair(scene)
    a.namespace.run("ip", "addr", "flush", "dev", a.name)
    a.namespace.run("ip", "addr", "add", "10.88.0.200/24", "dev", a.name)
    found = must_find(a, "no_inner_answer", "--to", INNER4[1], certain=False)
    check("inner_source" in found["mend"], f"{found}")
    counted(b, "inner_source")


# Without a daemon


def ping(scene, namespace, key, peer_id, *options, host=OUTER4[1], port=tunnel.PORT, user=None):
    path = scene.lab.directory / f"{scene.tag}{namespace.label}.key"
    path.touch(mode=0o600)
    path.write_text(key + "\n")
    prefix = ()
    if user is not None:
        prefix = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
        os.chown(path, user, user)
    done = namespace.run(*prefix, netns.CRYPRQ, "ping", f"{peer_id}@{host}:{port}", "--key", path, "--json", *options,
                         check_status=False, timeout=60)
    check(done.stdout, f"no answer: {done.stderr}")
    found = json.loads(done.stdout)
    equal(done.returncode, 0 if found["reason"] == "all_well" else 1, "exit status")
    return found


def server(scene, psk=None):
    """A running node with one peer, whose identity it gives; and the caller's namespace."""
    spaces = tunnel.cable(scene)
    here, there = tunnel.Identity(), tunnel.Identity()
    lines = {"PresharedKey": psk} if psk else {}
    node = scene.node(spaces[1], tunnel.interface(there, f"{INNER4[1]}/24", ListenPort=tunnel.PORT)
                      + tunnel.peer(here.id, f"{INNER4[0]}/32", **lines))
    tunnel.start(node)
    return spaces[0], node, here, there


@case("ping: all is well, as an ordinary user; the other side lets go of the session")
def ping_well(scene):
    space, node, here, there = server(scene)
    found = ping(scene, space, here.key, there.id, "--count", 5, user=65534)
    equal(found["reason"], "all_well", f"{found}")
    names = [c["name"] for c in found["checks"]]
    equal(names.count("round trip"), 5, "round trips")
    check(all(c["us"] > 0 for c in found["checks"] if c["name"] in ("key", "handshake", "round trip")), f"{found}")
    netns.wait_until(lambda: tunnel.session_of(node) is None, 3, "the session to end")
    return note(found)


@case("ping with a pre-shared key, and with another one")
def ping_psk(scene):
    psk = netns.genpsk()
    space, node, here, there = server(scene, psk)
    path = scene.lab.directory / f"{scene.tag}.psk"
    path.touch(mode=0o600)
    path.write_text(psk + "\n")
    equal(ping(scene, space, here.key, there.id, "--psk-file", path)["reason"], "all_well", "right key")
    path.write_text(netns.genpsk() + "\n")
    equal(ping(scene, space, here.key, there.id, "--psk-file", path, "--timeout", 2)["reason"], "no_reply", "wrong key")
    counted(node, "decrypt_fresh")


@case("ping with --public-key-file: no question is asked; without being on the list: no_reply")
def ping_public_key(scene):
    space, node, here, there = server(scene)
    path = scene.lab.directory / f"{scene.tag}.pub"
    done = netns.subprocess.run([netns.CRYPRQ, "pubkey", "--full"], input=there.key + "\n", capture_output=True,
                                text=True, check=True, timeout=10)
    path.write_text(done.stdout)
    found = ping(scene, space, here.key, there.id, "--public-key-file", path)
    equal(found["reason"], "all_well", f"{found}")
    equal(tunnel.status(node)["keys_sent"], 0, "keys sent")
    found = ping(scene, space, tunnel.Identity().key, there.id, "--public-key-file", path, "--timeout", 2)
    equal(found["reason"], "no_reply", f"{found}")
    counted(node, "unknown_peer")


@case("ping: session_silent, and key_hash_mismatch by an impostor")
def ping_silent(scene):
    space, node, here, there = server(scene)
    tunnel.nft(node.namespace, RECORDS_DROPPED)
    equal(ping(scene, space, here.key, there.id, "--timeout", 2)["reason"], "session_silent", "records dropped")
    equal(node.stop(), 0, "exit status")
    Impostor(node.namespace, "wrong_key")
    equal(ping(scene, space, here.key, there.id, "--timeout", 2)["reason"], "key_hash_mismatch", "impostor")


@case("ping: nobody_listens, wrong_peer_id, no_route_to_peer, name_unresolved")
def ping_fails(scene):
    space, node, here, there = server(scene)
    for reason, options in (("nobody_listens", {"port": 4}), ("no_route_to_peer", {"host": "203.0.113.9"}),
                            ("name_unresolved", {"host": "nowhere.invalid"})):
        equal(ping(scene, space, here.key, there.id, "--timeout", 3, **options)["reason"], reason, reason)
    equal(ping(scene, space, here.key, tunnel.Identity().id, "--timeout", 2)["reason"], "wrong_peer_id", "other ID")
    counted(node, "bad_mac1")


def main():
    netns.require(("ip", "ping", "nft", "setpriv", "curl"))
    tap = netns.Tap()
    with netns.Lab("diagnose") as lab:
        tunnel.run_cases(lab, tap, CASES, jobs=6)
    if not sys.argv[1:]:
        text = (netns.ROOT / "docs" / "operations.md").read_text()
        table = text[text.index("| code | what it rests on"):text.index("### What a node knows")]
        codes = {code for line in table.splitlines() if line.startswith("| `")
                 for code in re.findall(r"`(\w+)`", line.split("|")[1])}
        tap.result(codes == PRODUCED, "every reason code of the document was produced and named",
                   *(f"{code}: only {'documented' if code in codes else 'produced'}" for code in codes ^ PRODUCED))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
