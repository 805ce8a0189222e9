#!/usr/bin/python3
"""The reference against itself and, for ML-KEM, against published vectors. TAP on stdout."""

import gzip
import ipaddress
import json
import os
import struct
import sys

try:
    import cryprq_ref
except ImportError as missing:
    print(f"1..0 # SKIP {missing}")
    sys.exit(77)

import handshake
import make_vectors
import mlkem
import records
import tap
import wire
from tap import Skip, check, equal, refuses
from wire import Drop

suite = tap.Suite()
HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.environ.get("CRYPRQ_VECTORS") or os.path.join(HERE, "..", "..", "..", "shared",
                                                            "vectors")
ALICE = wire.Identity(wire.sha256(b"alice"))
BOB = wire.Identity(wire.sha256(b"bob"))
LARGE, SMALL = (ALICE, BOB) if ALICE.id > BOB.id else (BOB, ALICE)
A, B, C = ("192.0.2.1", 1000), ("192.0.2.2", 2000), ("192.0.2.3", 3000)
A4, B4 = bytes([10, 9, 0, 1]), bytes([10, 9, 0, 2])
FRESH = b"\x5a" * 32


# -- ML-KEM -------------------------------------------------------------------------------------

def vector_groups(path):
    full = os.path.join(VECTORS, path)
    if not os.path.exists(full):
        raise Skip(f"no {path} (CRYPRQ_VECTORS)")
    with open(full, encoding="utf-8") as file:
        groups = json.load(file)["testGroups"]
    return [g for g in groups if g["parameterSet"] == "ML-KEM-768"]


def unhex(text):
    return bytes.fromhex(text)


@suite.case("ML-KEM-768: ACVP key generation")
def acvp_keygen():
    for group in vector_groups("acvp/key-gen.json"):
        for t in group["tests"]:
            equal(mlkem.keygen(unhex(t["d"]), unhex(t["z"])), (unhex(t["ek"]), unhex(t["dk"])),
                  t["tcId"])


@suite.case("ML-KEM-768: ACVP encapsulation and decapsulation")
def acvp_encap_decap():
    for group in vector_groups("acvp/encap-decap.json"):
        for t in group["tests"]:
            if group["function"] == "encapsulation":
                equal(mlkem.encaps(unhex(t["ek"]), unhex(t["m"])), (unhex(t["k"]), unhex(t["c"])),
                      t["tcId"])
            else:
                equal(mlkem.decaps(unhex(group["dk"]), unhex(t["c"])), unhex(t["k"]), t["tcId"])


def wycheproof(path, run):
    """run(test) gives a comparable result or raises ValueError; the file says which."""
    for group in vector_groups("wycheproof/" + path):
        for t in group["tests"]:
            try:
                good = run(t)
            except ValueError:
                good = None
            if t["result"] == "valid":
                check(good is True, f"{path} {t['tcId']}: refused or wrong")
            else:
                check(not good, f"{path} {t['tcId']}: accepted")


@suite.case("ML-KEM-768: Wycheproof encapsulation, with the modulus check")
def wycheproof_encaps():
    wycheproof("mlkem_768_encaps_test.json",
               lambda t: mlkem.encaps(unhex(t["ek"]), unhex(t["m"])) == (unhex(t["K"]),
                                                                        unhex(t["c"])))


@suite.case("ML-KEM-768: Wycheproof key generation from seeds")
def wycheproof_keygen():
    def run(t):
        seed = unhex(t["seed"])
        return mlkem.keygen(seed[:32], seed[32:]) == (unhex(t["ek"]), unhex(t["dk"]))
    wycheproof("mlkem_768_keygen_seed_test.json", run)


@suite.case("ML-KEM-768: Wycheproof decapsulation from seeds")
def wycheproof_decaps():
    def run(t):
        seed = unhex(t["seed"])
        ek, dk = mlkem.keygen(seed[:32], seed[32:])
        return ek == unhex(t["ek"]) and mlkem.decaps(dk, unhex(t["c"])) == unhex(t["K"])
    wycheproof("mlkem_768_test.json", run)


@suite.case("ML-KEM-768: Wycheproof decapsulation with expanded keys")
def wycheproof_expanded():
    wycheproof("mlkem_768_semi_expanded_decaps_test.json",
               lambda t: mlkem.decaps(unhex(t["dk"]), unhex(t["c"])) == unhex(t["K"]))


@suite.case("ML-KEM-768: CCTV keys beyond the modulus are refused")
def cctv_modulus():
    path = os.path.join(VECTORS, "cctv", "modulus_ML-KEM-768.txt.gz")
    if not os.path.exists(path):
        raise Skip("no cctv/modulus_ML-KEM-768.txt.gz (CRYPRQ_VECTORS)")
    with gzip.open(path, "rt") as file:
        keys = [unhex(line.strip()) for line in file if line.strip()]
    check(len(keys) > 100, "too few keys")
    check(not any(mlkem.ek_valid(ek) for ek in keys), "a bad key was accepted")


@suite.case("ML-KEM-768: implicit rejection gives a stable other key")
def implicit_rejection():
    ek, dk = mlkem.keygen(b"d" * 32, b"z" * 32)
    key, ct = mlkem.encaps(ek, b"m" * 32)
    equal(mlkem.decaps(dk, ct), key)
    bad = bytes([ct[0] ^ 1]) + ct[1:]
    rejected = mlkem.decaps(dk, bad)
    check(rejected != key)
    equal(mlkem.decaps(dk, bad), rejected)
    equal(rejected, mlkem._j(b"z" * 32 + bad))


# -- primitives and formats ---------------------------------------------------------------------

@suite.case("the handshake vectors are what the reference writes")
def vectors_current():
    with open(make_vectors.PATH, encoding="ascii") as file:
        equal(file.read() == make_vectors.render(), True, "file")


@suite.case("PROTO is 52 characters and 12 zero bytes")
def proto_length():
    equal(len(wire.PROTO), 64)
    equal(wire.PROTO[52:], bytes(12))
    check(wire.PROTO[51:52] == b"5")


@suite.case("X25519 refuses points of small order")
def small_order():
    for u in (0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18):
        refuses(Drop, wire.dh, ALICE.s, u.to_bytes(32, "little"))


@suite.case("base64 is canonical")
def canonical_base64():
    text = wire.b64(ALICE.id)
    equal(len(text), 44)
    equal(wire.unb64(text), ALICE.id)
    spare = text[:42] + chr(ord(text[42]) + 1) + "="
    for bad in (text[:-1], text + "\n", " " + text, text[:43] + "A", spare, ""):
        refuses(ValueError, wire.unb64, bad)


@suite.case("header checks: length, version, reserved")
def header_checks():
    i = handshake.Initiator(ALICE, BOB)
    good = bytearray(i.init)
    equal(wire.check_header(bytes(good)), wire.INIT)
    refuses(Drop, wire.check_header, bytes(good[:-1]))
    refuses(Drop, wire.check_header, bytes(good + b"\0"))
    refuses(Drop, wire.check_header, b"")
    for at, value, reason in ((1, 2, "version"), (2, 0, "max version"), (0, 9, "type")):
        bad = bytearray(good)
        bad[at] = value
        refuses(Drop, wire.check_header, bytes(bad), reason=reason)
    request = bytearray(wire.build_key_request(BOB.id, b"1234"))
    request[700] = 1
    refuses(Drop, wire.check_header, bytes(request), reason="reserved")


@suite.case("control lists: unknown types skipped, malformed ones refused")
def tlv_parsing():
    t = records.tlv
    token = bytes(8)
    equal(records.parse_tlvs(b""), [])
    equal(records.parse_tlvs(t(1)), [(1, b"")])
    equal(records.parse_tlvs(t(99, b"xyz") + t(3, token)), [(3, token)])
    equal(records.parse_tlvs(t(1) + b"\0" + b"\xff" * 9), [(1, b"")])
    equal(records.parse_tlvs(t(2, token + bytes(5))), [(2, token + bytes(5))])
    for bad in (b"\1", b"\1\0", t(1, b"x"), t(2, bytes(7)), t(3, bytes(9)), t(4), t(4, b"ab"),
                t(99, b"abc")[:-1], t(1) + b"\x63"):
        refuses(Drop, records.parse_tlvs, bad, reason="tlv")


@suite.case("inner packets: the IP header tells the length")
def inner_lengths():
    packet = records.echo_packet(A4, B4, 1, 2, b"x" * 9)
    equal(records.inner_packet(packet + bytes(11)), packet)
    equal(records.inner_packet(packet), packet)
    refuses(Drop, records.inner_packet, packet[:-1])
    refuses(Drop, records.inner_packet, packet[:2] + struct.pack(">H", 19) + packet[4:])
    refuses(Drop, records.inner_packet, b"\x44" + packet[1:])
    refuses(Drop, records.inner_packet, b"\x55" + packet[1:])
    refuses(Drop, records.inner_packet, b"")
    six = records.echo_packet(bytes(15) + b"\1", bytes(15) + b"\2", 1, 2, b"abc")
    equal(records.inner_packet(six + bytes(13)), six)
    refuses(Drop, records.inner_packet, six[:-1])
    equal(records.parse_echo(records.answer_echo(six))[:3], (True, 1, 2))
    equal(records.internet_sum(packet[:20]), 0xffff)
    equal(records.internet_sum(packet[20:]), 0xffff)


@suite.case("replay window: order, duplicates, edges")
def replay_window():
    w = records.ReplayWindow(8)
    for seq, fresh in ((0, 1), (0, 0), (3, 1), (1, 1), (1, 0), (9, 1), (2, 1), (2, 0), (1, 0),
                       (100, 1), (92, 0), (93, 1), (93, 0), (1000000, 1), (100, 0)):
        equal(w.commit(seq), bool(fresh), f"seq {seq}")


# -- the handshake ------------------------------------------------------------------------------

def complete(psk_i=wire.ZERO_PSK, psk_r=wire.ZERO_PSK, offered=3, allowed=3, rotates=(300, 300)):
    i = handshake.Initiator(ALICE, BOB, psk_i, offered, rotates[0])
    r = handshake.Responder(BOB, i.init)
    equal(r.initiator_id, ALICE.id)
    r.authenticate(ALICE, psk_r)
    r.write_reply(r.choose_suite(allowed), rotates[1])
    r_keys = r.read_offer(i.read_reply(r.reply))
    return i, r, i.read_accept(r.accept), r_keys


@suite.case("handshake: both sides derive the same session, for every suite and PSK")
def handshake_agrees():
    seen = set()
    for psk in (wire.ZERO_PSK, FRESH):
        for offered, allowed, want in ((3, 3, 1), (3, 2, 2), (2, 3, 2), (1, 3, 1), (0xfe, 3, 2)):
            i, r, a, b = complete(psk, psk, offered, allowed, (120, 90))
            equal((a.suite, a.rotate), (want, 90))
            for name in ("i2r_key", "i2r_iv", "r2i_key", "r2i_iv", "exporter", "sid", "suite"):
                equal(getattr(a, name), getattr(b, name), name)
            equal(a.send_key, b.recv_key)
            seen.add(a.i2r_key)
            to_r = records.RecordLayer(a, i.idx_i, r.idx_r)
            to_i = records.RecordLayer(b, r.idx_r, i.idx_i)
            equal(to_i.open(to_r.seal(wire.DATA, b"abc", lane=3))[0], b"abc")
            equal(to_r.open(to_i.seal(wire.CONTROL, b"", lane=15))[0], b"")
    equal(len(seen), 10)


@suite.case("handshake: no common suite, PSK mismatch")
def handshake_refusals():
    i = handshake.Initiator(ALICE, BOB, FRESH, suites=0xf0)
    r = handshake.Responder(BOB, i.init)
    refuses(Drop, r.choose_suite, 3, reason="no common suite")
    refuses(Drop, r.authenticate, ALICE, reason="bad tag")


@suite.case("handshake: any damaged field of any message is refused and costs nothing")
def handshake_damage():
    def flip(message, at):
        return message[:at] + bytes([message[at] ^ 1]) + message[at + 1:]

    i = handshake.Initiator(ALICE, BOB)

    def open_init(message):
        r = handshake.Responder(BOB, message)
        r.authenticate(ALICE)
        return r
    for name, offset, _ in wire.INIT_FIELDS[2:9]:
        refuses(Drop, open_init, flip(i.init, offset))
    r = open_init(i.init)
    r.write_reply(1)
    for name, offset, _ in wire.REPLY_FIELDS[3:]:
        refuses(Drop, i.read_reply, flip(r.reply, offset))
    offer = i.read_reply(r.reply)
    for name, offset, _ in wire.OFFER_FIELDS[3:]:
        refuses(Drop, r.read_offer, flip(offer, offset))
    keys = r.read_offer(offer)
    for name, offset, _ in wire.ACCEPT_FIELDS[3:]:
        refuses(Drop, i.read_accept, flip(r.accept, offset))
    equal(i.read_accept(r.accept).sid, keys.sid)


@suite.case("handshake: values out of range inside sealed fields are refused")
def sealed_values():
    for rotate in (0, 59, 3601, 65535):
        i = handshake.Initiator(ALICE, BOB)
        r = handshake.Responder(BOB, i.init)
        r.authenticate(ALICE)
        r.write_reply(1, rotate)
        refuses(Drop, i.read_reply, r.reply, reason="rotate")
    for bad_suite in (0, 3, 4, 2):
        i = handshake.Initiator(ALICE, BOB, suites=1)
        r = handshake.Responder(BOB, i.init)
        r.authenticate(ALICE)
        r.write_reply(bad_suite)
        refuses(Drop, i.read_reply, r.reply, reason="suite")


@suite.case("cookies open only for the message they answer")
def cookie_binding():
    message = wire.build_cookie(BOB.id, b"idx0", bytes(24), b"m" * 16, b"c" * 16)
    equal(len(message), 64)
    equal(wire.open_cookie(BOB.id, message, b"m" * 16), b"c" * 16)
    refuses(Drop, wire.open_cookie, BOB.id, message, b"n" * 16)
    refuses(Drop, wire.open_cookie, ALICE.id, message, b"m" * 16)


# -- nodes in memory ----------------------------------------------------------------------------

class Pair:
    """Two nodes that know each other; `x` starts where a test does not say otherwise."""

    def __init__(self, first=ALICE, second=BOB, keys=(True, True), psk=(None, None), seed=1,
                 rotate=(300, 300), **options):
        self.net = cryprq_ref.Wire(seed=seed)
        self.x = self.net.node(first, A, name="x", rotate=rotate[0], seed=seed, **options)
        self.y = self.net.node(second, B, name="y", rotate=rotate[1], seed=seed + 1, **options)
        net4 = [ipaddress.ip_network("10.9.0.0/24")]
        self.px = self.x.add_peer(second.id, public=second.public if keys[0] else None,
                                  psk=psk[0], endpoint=B, allowed=net4)
        self.py = self.y.add_peer(first.id, public=first.public if keys[1] else None,
                                  psk=psk[1], endpoint=A, allowed=net4)
        self.number = 0

    def ping(self, node=None):
        """One echo request; returns its number."""
        node = node or self.x
        peer, src, dst = (self.px, A4, B4) if node is self.x else (self.py, B4, A4)
        self.number += 1
        node.send_packet(peer, records.echo_packet(src, dst, 77, self.number), self.net.now)
        return self.number

    def echoes(self, node=None):
        peer = self.px if node in (None, self.x) else self.py
        found = [records.parse_echo(p) for p in peer.packets_in]
        return {e[2] for e in found if e and e[0]}

    def ping_works(self, node=None, seconds=30):
        number = self.ping(node)
        return self.net.run(seconds, until=lambda: number in self.echoes(node))

    def sent(self, node, kind):
        return [(t, data) for t, _, data in node.tx if data[0] == kind]


@suite.case("nodes: ping through, and from the other side")
def nodes_ping():
    pair = Pair()
    check(pair.ping_works())
    check(pair.ping_works(pair.y))
    equal(len(pair.x.key_log), 1)
    equal(pair.x.key_log[0].sid, pair.y.key_log[0].sid)
    check(pair.py.sessions[0].confirmed)
    equal(len(pair.py.pending), 0)


@suite.case("nodes: PSK mismatch, unknown peer and unknown key stay silent")
def nodes_silent():
    for setup, reason in (({"psk": (FRESH, None)}, "bad tag"), ({"keys": (True, False)}, None)):
        pair = Pair(**setup)
        if reason is None:
            pair.x.push_keys = False
            reason = "peer key unknown"
        pair.ping()
        pair.net.run(5)
        check(pair.y.drops[reason] >= 3, str(pair.y.drops))
        equal(pair.y.tx, [])
    pair = Pair()
    del pair.y.peers[ALICE.id]
    pair.ping()
    pair.net.run(5)
    equal(pair.y.tx, [])
    check(pair.y.drops["unknown peer"] >= 3)


@suite.case("nodes: first contact with either key or both unknown")
def nodes_first_contact():
    for keys in ((False, True), (True, False), (False, False)):
        pair = Pair(keys=keys)
        check(pair.ping_works(), str(keys))
        equal(pair.px.remote.public, BOB.public)
        equal(pair.py.remote.public, ALICE.public)
        kinds = [data[0] for _, source, _, data in pair.net.log if source == A]
        equal(kinds.count(wire.KEY_REQUEST), 0 if keys[0] else 2)
        equal(kinds.count(wire.KEY_PUSH), 1)


@suite.case("nodes: a forged public key is not stored")
def nodes_forged_key():
    pair = Pair(keys=(True, False))
    forged = wire.build_key_push(BOB.id, BOB.public)
    pair.y.receive(forged, A, pair.net.now)
    check(pair.py.remote is None)
    bad_mac = bytearray(wire.build_key_push(BOB.id, ALICE.public))
    bad_mac[-1] ^= 1
    pair.y.receive(bytes(bad_mac), A, pair.net.now)
    check(pair.py.remote is None)
    pair.y.receive(wire.build_key_push(BOB.id, ALICE.public), A, pair.net.now)
    equal(pair.py.remote.public, ALICE.public)
    equal(pair.y.tx, [])


@suite.case("nodes: a cookie is demanded under load, and used")
def nodes_cookie_load():
    pair = Pair()
    pair.y.force_load = True
    check(pair.ping_works(seconds=2))
    equal(len(pair.sent(pair.y, wire.COOKIE)), 1)
    inits = pair.sent(pair.x, wire.INIT)
    equal(len(inits), 2)
    check(inits[1][0] - inits[0][0] < 0.1, "the new INIT waited")
    check(inits[1][1][8:40] != inits[0][1][8:40], "e_I was used twice")


@suite.case("nodes: INIT 3 goes without a cookie; a COOKIE for it is used at the next timer")
def nodes_cookie_left_out():
    pair = Pair()
    pair.y.force_load = True
    pair.y.filter_out = lambda data, address: data[0] == wire.COOKIE
    pair.ping()
    pair.net.run(30)
    inits = pair.sent(pair.x, wire.INIT)
    distinct = [(t, d) for n, (t, d) in enumerate(inits) if d not in [e for _, e in inits[:n]]]
    bare = [d[wire.INIT_MAC2:] == bytes(16) for _, d in distinct[:5]]
    equal(bare, [True, False, False, True, False])
    check(distinct[4][0] - distinct[3][0] < 0.6, "INIT 3 kept its whole stage")


def open_inits(node, count, psk=wire.ZERO_PSK, source=A):
    """`count` INITs of ALICE, none completed; returns the initiators and the answers' types."""
    made, answers = [], []
    for _ in range(count):
        i = handshake.Initiator(ALICE, BOB, psk)
        before = len(node.tx)
        node.receive(i.init, source, node.now)
        made.append(i)
        answers.append(node.tx[-1][2][0] if len(node.tx) > before else None)
    return made, answers


@suite.case("pending rule: two without cookie, then COOKIE; a fifth evicts the oldest")
def pending_rule():
    pair = Pair()
    pair.y.filter_out = lambda data, address: False
    made, answers = open_inits(pair.y, 3)
    equal(answers, [wire.REPLY, wire.REPLY, wire.COOKIE])
    cookie = wire.open_cookie(BOB.id, pair.y.tx[-1][2], made[2].mac1)
    oldest = pair.py.pending[0]
    for count in (3, 4, 4):
        i = handshake.Initiator(ALICE, BOB, cookie=cookie)
        pair.y.receive(i.init, A, pair.y.now)
        equal(pair.y.tx[-1][2][0], wire.REPLY)
        equal(len(pair.py.pending), count)
    check(oldest not in pair.py.pending)
    other = handshake.Initiator(ALICE, BOB, cookie=cookie)
    before = len(pair.y.tx)
    pair.y.receive(other.init, ("192.0.2.1", 1001), pair.y.now)
    equal([t[2][0] for t in pair.y.tx[before:]], [wire.COOKIE], "cookie of another port")


@suite.case("pending rule: mac2 without the matching fresh8 is not enough")
def pending_fresh():
    pair = Pair()
    pair.y.filter_out = lambda data, address: False
    made, _ = open_inits(pair.y, 3)
    cookie = wire.open_cookie(BOB.id, pair.y.tx[-1][2], made[2].mac1)
    i = handshake.Initiator(ALICE, BOB)
    grafted = i.init[:wire.INIT_MAC2] + wire.mac2(cookie, i.init[:wire.INIT_MAC2])
    pair.y.receive(grafted, A, pair.y.now)
    equal(pair.y.tx[-1][2][0], wire.COOKIE)
    equal(len(pair.py.pending), 2)


@suite.case("pending rule: slots live 20 s, four verified ones are not evicted")
def pending_life():
    pair = Pair()
    made = []
    cookie = None
    for count in range(4):
        i = handshake.Initiator(ALICE, BOB, cookie=cookie)
        pair.y.receive(i.init, A, pair.y.now)
        if pair.y.tx[-1][2][0] == wire.COOKIE:
            cookie = wire.open_cookie(BOB.id, pair.y.tx[-1][2], i.mac1)
            i = handshake.Initiator(ALICE, BOB, cookie=cookie)
            pair.y.receive(i.init, A, pair.y.now)
        pair.y.receive(i.read_reply(pair.y.tx[-1][2]), A, pair.y.now)
        equal(pair.y.tx[-1][2][0], wire.ACCEPT)
        made.append(i)
    fifth = handshake.Initiator(ALICE, BOB, cookie=cookie)
    before = len(pair.y.tx)
    pair.y.receive(fifth.init, A, pair.y.now)
    equal(len(pair.y.tx), before)
    equal(pair.y.drops["pending full"], 1)
    pair.net.run(20.1)
    pair.y.receive(fifth.init, A, pair.net.now)
    equal(pair.y.tx[-1][2][0], wire.REPLY)


@suite.case("retransmitted INIT and OFFER get identical bytes, within limits")
def cached_answers():
    pair = Pair()
    i = handshake.Initiator(ALICE, BOB)
    start = pair.net.now
    pair.y.receive(i.init, A, start)
    pair.y.receive(i.init, A, start + 0.1)
    equal(len(pair.y.tx), 1, "too soon")
    pair.y.receive(i.init, C, start + 0.25)
    equal(pair.y.tx[1][1:], (C, pair.y.tx[0][2]))
    offer = i.read_reply(pair.y.tx[0][2])
    pair.y.receive(offer, A, start + 1)
    pair.y.receive(offer, A, start + 2)
    equal(pair.y.tx[2][2], pair.y.tx[3][2])
    for step in range(60):
        pair.y.receive(i.init, A, start + 3 + step * 0.25)
    equal(len(pair.y.tx), 30)


@suite.case("a replayed INIT is silent after confirmation, and changes nothing")
def replayed_init():
    pair = Pair()
    check(pair.ping_works())
    init = pair.sent(pair.x, wire.INIT)[0][1]
    offer = pair.sent(pair.x, wire.OFFER)[0][1]
    pair.net.run(1)
    before = len(pair.y.tx), list(pair.py.sessions)
    pair.y.receive(init, C, pair.net.now)
    pair.y.receive(offer, C, pair.net.now)
    equal((len(pair.y.tx), list(pair.py.sessions)), before)
    equal(pair.y.drops["replayed init"], 1)
    check(pair.ping_works())


@suite.case("replayed, damaged and misdirected records are dropped and counted")
def bad_records():
    pair = Pair()
    check(pair.ping_works())
    record = pair.sent(pair.x, wire.DATA)[-1][1]
    count = len(pair.py.packets_in)
    pair.y.receive(record, A, pair.net.now)
    equal(pair.y.drops["replay"], 1)
    session = pair.px.sessions[0]
    damaged = bytearray(session.layer.seal(wire.DATA, b"x" * 32))
    damaged[-1] ^= 1
    pair.y.receive(bytes(damaged), A, pair.net.now)
    equal(pair.y.drops["bad tag"], 1)
    lane16 = session.layer.seal(wire.DATA, b"x" * 32, counter=16 << 56)
    pair.y.receive(lane16, A, pair.net.now)
    equal(pair.y.drops["lane"], 1)
    foreign = records.echo_packet(bytes([172, 16, 0, 1]), B4, 1, 1)
    pair.y.receive(session.layer.seal(wire.DATA, foreign), A, pair.net.now)
    equal(pair.y.drops["inner source"], 1)
    pair.y.receive(session.layer.seal(wire.DATA, b"\x45" * 30), A, pair.net.now)
    equal(pair.y.drops["inner length"], 1)
    equal(len(pair.py.packets_in), count)


@suite.case("every lane carries records")
def lanes():
    pair = Pair()
    check(pair.ping_works())
    for lane in range(16):
        pair.px.sessions[0].lane = lane
        check(pair.ping_works(seconds=1), f"lane {lane}")
    equal(sorted(pair.py.sessions[0].layer.windows), list(range(16)))


@suite.case("rotation every 60 s loses no echo and expires the old session by R + 15 s")
def rotation():
    pair = Pair(rotate=(300, 60))
    sent = []
    for _ in range(500):
        sent.append(pair.ping())
        pair.net.run(0.5)
        for peer in (pair.px, pair.py):
            check(len(peer.sessions) <= 2, "sessions pile up")
            check(all(s.age(pair.net.now) < 75.3 for s in peer.sessions), "a session is too old")
    pair.net.run(1)
    equal(set(sent) - pair.echoes(), set(), "lost")
    check(5 <= len(pair.x.key_log) <= 24, len(pair.x.key_log))
    equal(len({s.sid for s in pair.x.key_log}), len(pair.x.key_log))


@suite.case("an idle session expires at R + 15 s")
def expiry():
    pair = Pair(rotate=(60, 60))
    check(pair.ping_works())
    start = pair.net.now
    pair.net.run(100)
    for node in (pair.x, pair.y):
        erased = node.saw("erased")[0]
        check(74.5 < erased[0] - start < 75.5, erased[0] - start)
    check(pair.ping_works())


@suite.case("loss of 30 %, 500 ms round trip: a session within the attempt, for many seeds")
def lossy():
    def impair(data, source, destination, rng):
        return [] if rng.random() < 0.3 else [0.25]
    for seed in range(12):
        pair = Pair(keys=(False, False), seed=seed)
        pair.net.impair = impair
        pair.ping()
        check(pair.net.run(90, until=lambda: pair.py.newest() is not None), f"seed {seed}")


@suite.case("duplicated and reordered datagrams do no harm")
def duplicates():
    def impair(data, source, destination, rng):
        return [rng.uniform(0.01, 0.3) for _ in range(rng.choice((1, 2, 3)))]
    for seed in range(6):
        pair = Pair(seed=seed, rotate=(60, 60))
        pair.net.impair = impair
        sent = []
        for _ in range(150):
            sent.append(pair.ping())
            pair.net.run(0.5)
        pair.net.run(2)
        equal(set(sent) - pair.echoes(), set(), f"seed {seed}")


@suite.case("simultaneous starts: the larger ID holds back once it has accepted an INIT")
def simultaneous():
    pair = Pair(LARGE, SMALL)
    pair.ping(pair.x)
    pair.ping(pair.y)
    pair.net.run(3)
    equal(pair.echoes(pair.x), {1})
    equal(pair.echoes(pair.y), {2})
    pair = Pair(LARGE, SMALL)
    pair.ping(pair.y)
    pair.net.run(until=lambda: pair.px.last_accepted_init is not None)
    pair.x.start_handshake(pair.px, pair.net.now)
    check(pair.px.attempt is None, "it did not hold back")
    pair.net.run(20)
    equal(len(pair.x.key_log), 1)


@suite.case("retransmission: 0.4 s doubling, +0..20 %, a new INIT after 8 s, 90 s in all")
def retransmission():
    pair = Pair()
    pair.y.filter_in = lambda data, source: False
    pair.ping()
    pair.net.run(100)
    inits = pair.sent(pair.x, wire.INIT)
    first = [t for t, data in inits if data == inits[0][1]]
    gaps = [b - a for a, b in zip(first, first[1:])]
    for gap, want in zip(gaps, (0.4, 0.8, 1.6, 3.2)):
        check(want <= gap <= want * 1.2 + 1e-6, gaps)
    changed = [t for n, (t, data) in enumerate(inits) if data not in [d for _, d in inits[:n]]]
    check(all(abs(b - a - 8) < 0.01 for a, b in zip(changed, changed[1:])), changed)
    check(inits[-1][0] - inits[0][0] <= 90)
    equal(len(pair.x.saw("attempt failed")), 1)


@suite.case("confirmation: keepalives at doubling intervals for 30 s, then a new handshake")
def confirmation():
    pair = Pair()
    pair.y.filter_out = lambda data, address: data[0] not in (wire.DATA, wire.CONTROL)
    pair.x.start_handshake(pair.px, pair.net.now)
    pair.net.run(14)
    times = [t for t, _ in pair.sent(pair.x, wire.CONTROL)]
    gaps = [b - a for a, b in zip(times, times[1:])]
    check(len(gaps) >= 4 and all(abs(g - w) < 0.05 for g, w in zip(gaps, (.4, .8, 1.6, 3.2))), gaps)
    pair.net.run(3)
    check(len(pair.x.saw("attempt")) == 2, "no handshake although nothing opened for 15 s")


@suite.case("passive keepalive after 5 s of receiving alone")
def passive_keepalive():
    pair = Pair()
    check(pair.ping_works())
    pair.net.run(10)
    pair.y.answer_pings = False
    pair.ping()
    start = pair.net.now
    pair.net.run(9)
    times = [t - start for t, _ in pair.sent(pair.y, wire.CONTROL) if t > start]
    equal(len(times), 1)
    check(5.0 <= times[0] < 5.5, times)


@suite.case("CLOSE erases only the session that carried it")
def close_session():
    pair = Pair()
    check(pair.ping_works())
    pair.x.start_handshake(pair.px, pair.net.now)
    pair.net.run(2)
    equal((len(pair.px.sessions), len(pair.py.sessions)), (2, 2))
    pair.x.close(pair.px.newest())
    pair.net.run(1)
    equal((len(pair.px.sessions), len(pair.py.sessions)), (1, 1))
    check(pair.ping_works())
    equal(len(pair.x.key_log), 2)


@suite.case("a fifth session evicts the first")
def five_sessions():
    pair = Pair()
    for _ in range(6):
        pair.x.start_handshake(pair.px, pair.net.now)
        pair.net.run(1)
    equal((len(pair.px.sessions), len(pair.py.sessions)), (4, 4))
    equal(pair.px.sessions[0].sid, pair.x.key_log[2].sid)


@suite.case("a superseded session goes 10 s after its last record")
def superseded():
    pair = Pair()
    check(pair.ping_works())
    pair.x.start_handshake(pair.px, pair.net.now)
    pair.net.run(8)
    equal(len(pair.px.sessions), 2)
    pair.net.run(3)
    equal((len(pair.px.sessions), len(pair.py.sessions)), (1, 1))


@suite.case("a new address is used after its PONG")
def address_change():
    pair = Pair()
    check(pair.ping_works())
    pair.net.move(pair.x, C)
    check(pair.ping_works())
    pair.net.run(1)
    equal(pair.py.address, C)
    equal(len(pair.y.saw("address settled")), 1)


@suite.case("a record from a spoofed address does not move the peer")
def address_spoofed():
    pair = Pair()
    check(pair.ping_works())
    session = pair.px.sessions[0]
    stolen = session.layer.seal(wire.CONTROL, records.tlv(records.KEEPALIVE))
    pair.y.receive(stolen, C, pair.net.now)
    check(pair.py.candidate is not None)
    pair.net.run(4)
    equal(pair.py.address, A)
    check(pair.py.candidate is None)
    check(pair.ping_works())


@suite.case("toward an unproven address: at most three times what came from it")
def address_amplification():
    pair = Pair()
    check(pair.ping_works())
    session = pair.px.sessions[0]
    pair.x.filter_in = lambda data, source: False
    stolen = session.layer.seal(wire.CONTROL, records.tlv(records.KEEPALIVE))
    pair.y.receive(stolen, C, pair.net.now)
    for _ in range(20):
        pair.ping(pair.y)
        pair.net.run(0.1)
    spent = sum(len(data) for _, address, data in pair.y.tx if address == C)
    check(0 < spent <= 3 * len(stolen), spent)


@suite.case("no answer to an unproven address is longer than its request")
def no_amplification():
    for keys in ((True, True), (False, False)):
        pair = Pair(keys=keys)
        pair.y.force_load = True
        check(pair.ping_works())
        last = None
        for _, source, destination, data in pair.net.log:
            if data[0] in (wire.DATA, wire.CONTROL):
                break
            if source == A:
                last = data
            else:
                check(len(data) <= len(last), f"{data[0]}: {len(data)} > {len(last)}")


@suite.case("the trace holds every derived secret")
def trace():
    i, r, a, _ = complete()
    names = [name for name, _ in a.trace]
    for name in ("e_I", "K_s", "K_i", "K_e", "d_E", "K(m1 id)", "K(m4 fin)", "K(i2r key)",
                 "ck after K_e"):
        check(name in names, name)
    check(all(isinstance(value, bytes) for _, value in a.trace))


@suite.case("loopback UDP: ping between two nodes")
def loopback():
    loop = cryprq_ref.UdpLoop()
    left, right = (cryprq_ref.udp_socket(("127.0.0.1", 0)) for _ in "ab")
    try:
        x, y = loop.node(ALICE, left), loop.node(BOB, right)
        px = x.add_peer(BOB.id, endpoint=y.local)
        y.add_peer(ALICE.id)
        x.send_packet(px, records.echo_packet(A4, B4, 1, 1), x.now)
        check(loop.run(5, until=lambda: px.packets_in), "no echo")
        equal(records.parse_echo(px.packets_in[0])[:3], (True, 1, 1))
    finally:
        left.close()
        right.close()


if __name__ == "__main__":
    sys.exit(suite.main())
