#!/usr/bin/python3
"""The C node against the reference, honest and hostile, over UDP in network namespaces. TAP.

`--help` lists the options; README.md the environment. What a case measures is on the wire or in
the node's counters, never its log.
"""

import os
import socket
import struct
import sys
import time

try:
    import cryprq_ref
except ImportError as missing:
    print(f"1..0 # SKIP {missing}")
    sys.exit(77)

import handshake
import lab as labs
import records
import wire
from lab import C_IN, C_PORT, INNER_C, INNER_P, P_IN, P_IP, P_IP2, P_IP6, P_PORT
from parallel import ParallelSuite
from tap import Skip, check, equal

suite = ParallelSuite()
RECORDS = (wire.DATA, wire.CONTROL)
SUITE_TEXT = {wire.SUITE_AES: "aes-256-gcm", wire.SUITE_CHACHA: "chacha20-poly1305"}


def flip(message, at, mask=1):
    return message[:at] + bytes([message[at] ^ mask]) + message[at + 1:]


def set_byte(message, at, value):
    return message[:at] + bytes([value]) + message[at + 1:]


def with_mac1(lab, message):
    """The same INIT or KEY_REQUEST with a right mac1 over what it says now."""
    body = message[:wire.INIT_MAC1]
    return body + wire.mac1(lab.c.id, body) + message[wire.INIT_MAC2:]


# -- the program's interface ----------------------------------------------------------------------

@suite.case("genkey, pubkey, pubkey --full and genpsk agree with the reference")
def command_keys(lab):
    text = lab.control("genkey").strip()
    me = wire.Identity(wire.unb64(text))
    equal(labs.run(labs.PROGRAM, "pubkey", stdin=text + "\n").strip(), me.id_text)
    full = labs.run(labs.PROGRAM, "pubkey", "--full", stdin=text + "\n").strip()
    equal(full, wire.b64(me.public))
    equal(len(wire.unb64(lab.control("genpsk").strip())), 32)
    check(lab.control("genkey").strip() != text, "the same key twice")


@suite.case("run with options alone: --listen, and --peer ID@HOST:PORT")
def command_line(lab):
    key = lab.write("key", wire.b64(lab.c.k) + "\n")
    lab.spawn(["run", "--key", key, "--listen", str(C_PORT), "--allow-peer", lab.p.id_text,
               "--address", f"{C_IN}/24"], ifname="")
    node, peer = lab.reference(know_key=False)
    equal(lab.ping_from_python(node, peer), 3)
    lab.stop()
    lab.loop = None
    lab.spawn(["run", "--key", key, "--peer", f"{lab.p.id_text}@{P_IP}:{P_PORT + 1}",
               "--address", f"{C_IN}/24"], wait=False)
    node, peer = lab.reference((P_IP, P_PORT + 1), know_key=False)
    end = time.monotonic() + 15
    while time.monotonic() < end:
        lab.loop.run(0.2)
        found = lab.inside("ip", "-o", "addr", "show", wanted=None)
        if C_IN in found:
            break
    check(lab.ping_from_c(count=5) >= 4, "no echo")


# -- handshakes and traffic -----------------------------------------------------------------------

def register_plain(suite_bit, with_psk):
    label = f"{SUITE_TEXT[suite_bit]}, {'psk' if with_psk else 'no psk'}"

    def setup(lab, initiates):
        psk = os.urandom(32) if with_psk else None
        lab.start(initiates=initiates, psk=psk, suites=SUITE_TEXT[suite_bit])
        return lab.reference()

    def both_ways(lab, node, peer):
        equal(lab.ping_from_python(node, peer), 3, "echoes for the reference")
        equal(lab.ping_from_c(), 3, "echoes for the C node")
        equal({s.suite for s in node.key_log}, {suite_bit}, "suite")

    @suite.case(f"the reference initiates: ping both ways ({label})")
    def reference_initiates(lab):
        node, peer = setup(lab, False)
        both_ways(lab, node, peer)
        check(node.key_log[0].initiator)

    @suite.case(f"the C node initiates: ping both ways ({label})")
    def c_initiates(lab):
        node, peer = setup(lab, True)
        equal(lab.ping_from_c(), 3, "echoes for the C node")
        check(not node.key_log[0].initiator, "the reference began")
        both_ways(lab, node, peer)


for _suite_bit in (wire.SUITE_AES, wire.SUITE_CHACHA):
    for _with_psk in (False, True):
        register_plain(_suite_bit, _with_psk)


@suite.case("both suites offered and allowed: AES-256-GCM")
def suite_preference(lab):
    lab.start()
    equal(lab.raw().initiate().keys.suite, wire.SUITE_AES)


@suite.case("first contact: the reference initiates, no key known on either side")
def first_contact_reference(lab):
    lab.start(know_key=False)
    node, peer = lab.reference(know_key=False)
    equal(lab.ping_from_python(node, peer), 3)
    equal(peer.remote.public, lab.c.public)
    kinds = [data[0] for _, _, data in node.rx]
    equal((kinds.count(wire.COOKIE), kinds.count(wire.KEY_RESPONSE)), (1, 1))


@suite.case("first contact: the C node initiates, no key known on either side")
def first_contact_c(lab):
    lab.start(initiates=True, know_key=False)
    node, peer = lab.reference(know_key=False)
    check(lab.ping_from_c(count=5) >= 4, "no echo")
    equal(peer.remote.public, lab.c.public)
    kinds = [data[0] for _, _, data in node.rx]
    equal(kinds.count(wire.KEY_REQUEST), 2)
    check(wire.KEY_PUSH in kinds, "no KEY_PUSH")
    check(kinds.index(wire.KEY_PUSH) < kinds.index(wire.INIT), "KEY_PUSH after INIT")


@suite.case("IPv6 outside and inside")
def ipv6(lab):
    lab.start(initiates=True, endpoint=(P_IP6, P_PORT))
    node, peer = lab.reference((P_IP6, P_PORT))
    equal(lab.ping_from_c(target=labs.P_IN6), 3)
    node.send_packet(peer, records.echo_packet(labs.INNER_P6, labs.INNER_C6, 9, 1),
                     time.monotonic())
    lab.wait(lambda: any(records.parse_echo(p) == (True, 9, 1, b"") for p in peer.packets_in),
             "echo over IPv6")


@suite.case("persistent keepalive starts a handshake without traffic")
def persistent_keepalive(lab):
    lab.start(initiates=True, peer_options={"PersistentKeepalive": 2})
    raw = lab.raw()
    session = raw.respond(seconds=6)
    session.expect_tlv(records.KEEPALIVE, 4)


# -- silence --------------------------------------------------------------------------------------

@suite.case("PSK mismatch: silence, and no session when the C node initiates")
def psk_mismatch(lab):
    lab.start(initiates=True, psk=os.urandom(32))
    raw = lab.raw()
    for psk in (wire.ZERO_PSK, os.urandom(32)):
        raw.send(raw.initiator(psk=psk).init)
    raw.silent(1.0)
    lab.traffic(4)
    r = handshake.Responder(lab.p, raw.expect(wire.INIT))
    try:
        r.authenticate(lab.c, os.urandom(32))
    except wire.Drop as reason:
        equal(str(reason), "bad tag")
    else:
        check(False, "the INIT opened under another PSK")
    raw.initiate()


@suite.case("an unknown peer: silence")
def unknown_peer(lab):
    lab.start()
    raw = lab.raw()
    before = lab.counts()
    stranger = wire.Identity.generate()
    raw.send(wire.build_key_push(lab.c.id, stranger.public))
    for _ in range(3):
        raw.send(handshake.Initiator(stranger, lab.c).init)
    raw.silent(1.0)
    lab.counted(before, "unknown", at_least=3)
    raw.initiate().works()


@suite.case("a known peer whose key is unknown: silence until KEY_PUSH")
def unknown_key(lab):
    lab.start(know_key=False)
    raw = lab.raw()
    raw.send(raw.initiator().init)
    raw.silent(0.7)
    forged = wire.Identity.generate().public
    raw.send(wire.build_key_push(lab.c.id, forged))
    raw.send(flip(wire.build_key_push(lab.c.id, lab.p.public), 1231))
    raw.send(flip(wire.build_key_push(lab.c.id, lab.p.public), 40))
    raw.send(raw.initiator().init)
    raw.silent(0.7)
    raw.send(wire.build_key_push(lab.c.id, lab.p.public))
    raw.silent(0.3)
    raw.initiate().works()


@suite.case("INIT for another responder (mac1 of another ID): silence")
def other_responder(lab):
    lab.start()
    raw = lab.raw()
    before = lab.counts()
    raw.send(handshake.Initiator(lab.p, wire.Identity.generate()).init)
    raw.silent(0.7)
    lab.counted(before, "mac1")
    raw.initiate()


@suite.case("INIT with any field damaged: silence, then a good handshake")
def damaged_init(lab):
    lab.start()
    raw = lab.raw()
    for name, offset, length in wire.INIT_FIELDS:
        if name == "mac2":
            continue                        # looked at only where a cookie is demanded
        for at in {offset, offset + length - 1}:
            bad = flip(raw.initiator().init, at)
            raw.send(bad)
            if name != "mac1":
                raw.send(with_mac1(lab, bad))
    raw.silent(1.0)
    raw.initiate().works()


@suite.case("INIT with points of small order: silence")
def small_order(lab):
    lab.start()
    raw = lab.raw()
    for u in (0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18):
        init = raw.initiator().init
        raw.send(with_mac1(lab, init[:8] + u.to_bytes(32, "little") + init[40:]))
    raw.silent(0.8)
    raw.initiate()


@suite.case("wrong length, version, type or reserved bytes: silence")
def malformed(lab):
    lab.start()
    raw = lab.raw()
    init = raw.initiator().init
    i = raw.initiator()
    request = wire.build_key_request(lab.c.id, b"abcd")
    push = wire.build_key_push(lab.c.id, lab.p.public)
    bad = [b"", b"\1", init[:4], init[:-1], init + b"\0", init[:wire.INIT_MAC1], bytes(1232),
           bytes([1]) * 64, os.urandom(1232), os.urandom(200)]
    for at, value in ((0, 0), (0, 9), (0, 15), (0, 18), (0, 255), (1, 0), (1, 2), (2, 0)):
        bad.append(with_mac1(lab, set_byte(i.init, at, value)))
    for at in (2, 3, 8, 700, 1199):
        bad.append(with_mac1(lab, flip(request, at)))
    bad += [request[:-1], request + b"\0", set_byte(request, 1, 2), push[:-1], push + b"\0",
            set_byte(push, 2, 1)]
    for kind, length in ((wire.REPLY, 1172), (wire.OFFER, 1220), (wire.ACCEPT, 1132),
                         (wire.COOKIE, 64), (wire.KEY_RESPONSE, 1224)):
        bad += [bytes([kind, 1, 0, 0]) + os.urandom(length - 4),
                bytes([kind, 1, 0, 0]) + os.urandom(length - 5)]
    for length in (31, 32, 48, 1400):
        bad += [bytes([kind, 1, 0, 0]) + os.urandom(length - 4) for kind in RECORDS]
    for message in bad:
        raw.send(message)
    raw.silent(1.0)
    raw.initiate().works()


@suite.case("record headers: version, reserved byte, undefined flags, index, length")
def record_headers(lab):
    lab.start()
    raw = lab.raw()
    session = raw.initiate()
    layer = session.layer
    token = records.tlv(records.PING, bytes(8))

    def sealed(kind, plaintext, header):
        """A record whose header bytes are authenticated as they are."""
        counter = layer.next_seq[0]
        layer.next_seq[0] += 1
        header = header + layer.remote_idx + struct.pack(">Q", counter)
        aead = wire.transport_aead(session.keys.suite, session.keys.send_key)
        return header + aead.encrypt(records.nonce(session.keys.send_iv, counter), plaintext,
                                     header)
    for header in ((17, 0, 0, 0), (17, 2, 0, 0), (17, 1, 1, 0), (17, 1, 2, 0), (17, 1, 0, 1),
                   (18, 1, 0, 0), (15, 1, 0, 0)):
        raw.send(sealed(header[0], token, bytes(header)))
    ident = 4242
    echo = records.pad16(records.echo_packet(INNER_P, INNER_C, ident, 1))
    for header in ((16, 1, 2, 0), (16, 1, 128, 0), (16, 1, 0, 1), (16, 2, 0, 0)):
        raw.send(sealed(16, echo, bytes(header)))
    good = layer.seal(wire.CONTROL, token)
    raw.send(good[:4] + bytes(a ^ 0x55 for a in good[4:8]) + good[8:])
    raw.send(good[:-1])
    raw.send(good + b"\0")
    session.no_tlv(records.PONG, 0.7)
    session.no_data(0.2)
    raw.send(good)
    session.expect_tlv(records.PONG)
    session.works()


@suite.case("downgrade rules: max version, unknown suite bits, no common suite")
def downgrade(lab):
    lab.start(suites="chacha20-poly1305")
    raw = lab.raw()
    before = lab.counts()
    for suites in (wire.SUITE_AES, 0, 0x80, 0xf1):
        raw.send(raw.initiator(suites=suites).init)
    raw.silent(0.8)
    lab.counted(before, "suite", at_least=4)
    raw.send(raw.initiator(max_version=0).init)
    raw.silent(0.5)
    session = raw.initiate(suites=0xf2, max_version=9)
    equal(session.keys.suite, wire.SUITE_CHACHA)
    session.works()


# -- answers to INIT ------------------------------------------------------------------------------

@suite.case("INIT sent again gets the same REPLY, wherever the copy comes from")
def same_reply(lab):
    lab.start()
    raw, other = lab.raw(), lab.raw((P_IP2, 41000))
    i = raw.initiator()
    raw.send(i.init)
    first = raw.expect(wire.REPLY)
    raw.send(i.init)
    raw.silent(0.15)
    time.sleep(0.2)
    raw.send(i.init)
    equal(raw.expect(wire.REPLY), first)
    time.sleep(0.25)
    other.send(i.init[:wire.INIT_MAC2] + os.urandom(16))
    equal(other.expect(wire.REPLY), first)
    raw.silent(0.2)
    offer = i.read_reply(first)
    raw.send(offer)
    accept = raw.expect(wire.ACCEPT)
    time.sleep(0.25)
    raw.send(offer)
    equal(raw.expect(wire.ACCEPT), accept)
    i.read_accept(accept)


@suite.case("cached answers: at most one per 0.2 s and 30 per handshake")
def answer_limit(lab):
    lab.start()
    raw = lab.raw()
    i = raw.initiator()
    start = time.monotonic()
    replies = 0
    raw.send(i.init)
    while time.monotonic() - start < 3.0:
        data = raw.receive(0.05)
        if data is None:
            raw.send(i.init)
        else:
            replies += 1
    check(8 <= replies <= 16, f"{replies} REPLY in 3 s")
    while time.monotonic() - start < 12.0:
        if raw.receive(0.21) is not None:
            replies += 1
        raw.send(i.init)
    equal(replies, 30, "REPLY in all")


@suite.case("garbage in mac2 is ignored while no cookie is demanded")
def garbage_mac2(lab):
    lab.start()
    raw = lab.raw()
    i = raw.initiator()
    raw.send(i.init[:wire.INIT_MAC2] + os.urandom(16))
    i.read_reply(raw.expect(wire.REPLY))


@suite.case("pending rule: COOKIE from the third on, bound to address, mac1 and fresh8")
def cookie_demanded(lab):
    lab.start()
    raw, other = lab.raw(), lab.raw((P_IP, P_PORT + 7))
    for _ in range(2):
        raw.send(raw.initiator().init)
        raw.expect(wire.REPLY)
    third = raw.initiator()
    raw.send(third.init)
    cookie = raw.take_cookie(third)
    equal(len(raw.log[-1][1]), 64)
    plain = raw.initiator()
    grafted = plain.init[:wire.INIT_MAC2] + wire.mac2(cookie, plain.init[:wire.INIT_MAC2])
    raw.send(grafted)                       # mac2 right, fresh8 zero
    raw.take_cookie(plain)
    elsewhere = raw.initiator(cookie=cookie)
    other.send(elsewhere.init)
    other.take_cookie(elsewhere)
    good = raw.initiator(cookie=cookie)
    raw.send(good.init)
    raw.send(good.read_reply(raw.expect(wire.REPLY)))
    good.read_accept(raw.expect(wire.ACCEPT))


def pending(raw, count, verify=False):
    """That many handshakes of the peer left pending (with OFFER verified or not)."""
    made, cookie = [], None
    for _ in range(count):
        i = raw.initiator(cookie=cookie)
        raw.send(i.init)
        answer = raw.receive(3.0, lambda d: d[0] in (wire.REPLY, wire.COOKIE))
        check(answer is not None, "no answer to an INIT")
        if answer[0] == wire.COOKIE:
            cookie = wire.open_cookie(raw.lab.c.id, answer, i.mac1)
            i = raw.initiator(cookie=cookie)
            raw.send(i.init)
            answer = raw.expect(wire.REPLY)
        i.read_reply(answer)
        if verify:
            raw.send(i.offer)
            i.keys = i.read_accept(raw.expect(wire.ACCEPT))
        made.append(i)
    return made, cookie


@suite.case("a fifth pending handshake evicts the oldest whose OFFER has not verified")
def fifth_evicts(lab):
    lab.start()
    raw = lab.raw()
    made, cookie = pending(raw, 4)
    raw.send(made[0].offer)
    raw.expect(wire.ACCEPT)                 # the oldest is verified now: the second goes
    fifth = raw.initiator(cookie=cookie)
    raw.send(fifth.init)
    fifth.read_reply(raw.expect(wire.REPLY))
    raw.send(made[1].offer)
    raw.silent(0.5)
    for i in (made[2], made[3], fifth):
        raw.send(i.offer)
        i.read_accept(raw.expect(wire.ACCEPT))


@suite.case("a fifth pending handshake is dropped where all four have verified")
def fifth_dropped(lab):
    lab.start()
    raw = lab.raw()
    made, cookie = pending(raw, 4, verify=True)
    raw.send(raw.initiator(cookie=cookie).init)
    raw.silent(0.7)
    session = labs.RawSession(raw, made[3].keys, made[3].idx_i, made[3].idx_r)
    session.keepalive()
    session.expect(None)
    session.works()
    raw.send(raw.initiator(cookie=cookie).init)
    raw.expect(wire.REPLY)                  # confirmation freed a slot


@suite.case("a bad OFFER is ignored, the good one after it is accepted")
def bad_offer(lab):
    lab.start()
    raw = lab.raw()
    i = raw.initiator()
    raw.send(i.init)
    offer = i.read_reply(raw.expect(wire.REPLY))
    for _, at, length in wire.OFFER_FIELDS:
        raw.send(flip(offer, at))
        raw.send(flip(offer, at + length - 1))
    raw.send(offer[:-1])
    raw.silent(0.6)
    raw.send(offer)
    i.read_accept(raw.expect(wire.ACCEPT))


@suite.case("OFFER with values out of range: silence, then a good handshake")
def offer_values(lab):
    lab.start()
    raw = lab.raw()
    edits = [lambda p: b"\xff\xff\xff" + p[3:], lambda p: p[:1184] + struct.pack(">H", 59) + p[1186:],
             lambda p: p[:1184] + struct.pack(">H", 3601) + p[1186:],
             lambda p: p[:1184] + bytes(2) + p[1186:], lambda p: p[:-1] + b"\1",
             lambda p: p[:1186] + b"\x80" + p[1187:]]
    cookie = None
    for number, edit in enumerate(edits):
        i = raw.initiator(cookie=cookie)
        raw.send(i.init)
        answer = raw.receive(3.0, lambda d: d[0] in (wire.REPLY, wire.COOKIE))
        check(answer is not None, "no answer")
        if answer[0] == wire.COOKIE:
            cookie = wire.open_cookie(lab.c.id, answer, i.mac1)
            i = raw.initiator(cookie=cookie)
            raw.send(i.init)
            answer = raw.expect(wire.REPLY)
        i.sym.edit["m3 offer"] = edit
        raw.send(i.read_reply(answer))
        check(raw.receive(0.3, lambda d: d[0] == wire.ACCEPT) is None, f"edit {number} accepted")
    raw.initiate().works()


@suite.case("rotate-secs at the ends of the range are accepted")
def rotate_range(lab):
    lab.start()
    raw = lab.raw()
    for rotate, wanted in ((60, 60), (3600, None)):
        session = raw.initiate(rotate=rotate)
        check(session.keys.rotate == (wanted or session.initiator.rotate_r), "rotate")
        session.works()


@suite.case("no reply is longer than its request")
def no_amplification(lab):
    lab.start(know_key=False)
    raw = lab.raw()

    def ask(message, kind):
        raw.send(message)
        answer = raw.expect(kind)
        check(len(answer) <= len(message), f"{len(answer)} > {len(message)}")
        return answer
    request = wire.build_key_request(lab.c.id, b"1234")
    cookie = wire.open_cookie(lab.c.id, ask(request, wire.COOKIE),
                              request[wire.INIT_MAC1:wire.INIT_MAC2])
    ask(wire.build_key_request(lab.c.id, b"1235", cookie), wire.KEY_RESPONSE)
    raw.send(wire.build_key_push(lab.c.id, lab.p.public))
    raw.silent(0.3)
    offers = []
    for _ in range(2):
        i = raw.initiator()
        offers.append((i, i.read_reply(ask(i.init, wire.REPLY))))
    ask(raw.initiator().init, wire.COOKIE)
    for _, offer in offers:
        ask(offer, wire.ACCEPT)
    sizes = [len(d) for _, d in raw.log]
    equal(len(sizes), 7, "datagrams received")


# -- first contact, raw ---------------------------------------------------------------------------

@suite.case("KEY_REQUEST: COOKIE without mac2, KEY_RESPONSE with it")
def key_request(lab):
    lab.start()
    raw, other = lab.raw(), lab.raw((P_IP2, P_PORT))
    request = wire.build_key_request(lab.c.id, b"wxyz")
    answered = request[wire.INIT_MAC1:wire.INIT_MAC2]
    for _ in range(3):                      # always, however few they are
        raw.send(request)
        message = raw.expect(wire.COOKIE)
        equal(message[4:8], b"wxyz")
        cookie = wire.open_cookie(lab.c.id, message, answered)
    raw.send(request[:wire.INIT_MAC2] + os.urandom(16))
    raw.expect(wire.COOKIE)
    proven = wire.build_key_request(lab.c.id, b"wxy!", cookie)
    other.send(proven)
    other.expect(wire.COOKIE)
    raw.send(proven)
    response = raw.expect(wire.KEY_RESPONSE)
    equal(response, wire.build_key_response(b"wxy!", lab.c.public))
    raw.send(flip(proven, wire.INIT_MAC1))
    raw.silent(0.5)
    i = raw.initiator(cookie=cookie)        # one cookie serves both message types
    raw.send(i.init)
    i.read_reply(raw.expect(wire.REPLY))


@suite.case("the C node asks for a key: cookie used at once, forged answers dropped")
def asks_for_key(lab):
    lab.start(initiates=True, know_key=False)
    raw = lab.raw()
    lab.traffic(20)
    request = raw.expect(wire.KEY_REQUEST, 5)
    equal(request, wire.build_key_request(lab.p.id, request[4:8]))
    cookie = os.urandom(16)
    raw.send(wire.build_cookie(lab.p.id, request[4:8], os.urandom(24), os.urandom(16), cookie))
    check(raw.receive(0.2, lambda d: d[0] == wire.KEY_REQUEST) is None
          or raw.log[-1][1] == request, "a forged COOKIE was believed")
    raw.send(wire.build_cookie(lab.p.id, request[4:8], os.urandom(24),
                               request[wire.INIT_MAC1:wire.INIT_MAC2], cookie))
    sent = time.time()
    proven = raw.receive(3.0, lambda d: d[0] == wire.KEY_REQUEST and d != request)
    check(proven is not None, "no KEY_REQUEST with the cookie")
    check(raw.stamp - sent < 0.3, f"{raw.stamp - sent:.2f} s after the COOKIE")
    equal(proven, wire.build_key_request(lab.p.id, proven[4:8], cookie))
    raw.send(wire.build_key_response(os.urandom(4), lab.p.public))
    raw.send(wire.build_key_response(proven[4:8], wire.Identity.generate().public))
    bad = raw.receive(0.35, lambda d: d[0] in (wire.INIT, wire.KEY_PUSH))
    check(bad is None, "a wrong key was accepted")
    raw.send(wire.build_key_response(proven[4:8], lab.p.public))
    push = raw.expect(wire.KEY_PUSH, 3)
    equal(push, wire.build_key_push(lab.p.id, lab.c.public))
    raw.respond().works()


# -- replays --------------------------------------------------------------------------------------

@suite.case("replayed INIT, OFFER and DATA change nothing")
def replays(lab):
    lab.start()
    raw, other = lab.raw(), lab.raw((P_IP2, 41001))
    session = raw.initiate()
    record = session.layer.seal(wire.DATA, records.pad16(
        records.echo_packet(INNER_P, INNER_C, 11, 1)))
    raw.send(record)
    session.expect_echo(11)
    before = lab.counts()
    for target in (raw, other):
        target.send(session.initiator.init)
        target.send(session.initiator.offer)
        target.send(record)
        target.send(record)
    other.silent(0.7)
    raw.silent(0.3, but=RECORDS)
    session.no_data(0.2)
    lab.counted(before, "replay", at_least=4)
    session.works()
    raw.initiate().works()


@suite.case("a replayed record is dropped on every lane, an old one inside the window is not")
def replay_windows(lab):
    lab.start()
    session = lab.raw().initiate()
    ping = records.tlv(records.PING, bytes(8))
    for lane in (0, 1, 15):
        size = 65536 if lane == 0 else 8192
        top = 5 * size
        # the ends of the guaranteed window, then each again
        for seq in (top, top - 1, top - size + 1):
            session.send(wire.CONTROL, ping, counter=records.make_counter(lane, seq))
            session.expect_tlv(records.PONG)
        for seq in (top, top - 1, top - size + 1):
            session.send(wire.CONTROL, ping, counter=records.make_counter(lane, seq))
        session.no_tlv(records.PONG, 0.4)
        session.layer.next_seq[lane] = top + 1
        time.sleep(0.6)                     # PONGs are limited to 10 a second


@suite.case("records with a bad tag are dropped and counted, the session lives on")
def bad_tags(lab):
    lab.start()
    raw = lab.raw()
    session = raw.initiate()
    before = lab.counts()
    for at in (8, 15, 16, 20, -1):
        record = session.layer.seal(wire.DATA, bytes(64))
        at %= len(record)
        raw.send(flip(record, at, 1 if at != 8 else 3))
    forged = session.layer.seal(wire.CONTROL, records.tlv(records.CLOSE, b"\0"))
    raw.send(flip(forged, 20))
    session.no_data(0.5)
    lab.counted(before, "tag", "auth", "open", "decrypt", at_least=5)
    session.works()


@suite.case("lanes 0 to 15 carry records, lane 16 and above are dropped")
def lanes(lab):
    lab.start()
    session = lab.raw().initiate()
    for lane in range(16):
        session.works(lane=lane)
    before = lab.counts()
    for lane in (16, 17, 128, 255):
        session.echo(counter=records.make_counter(lane, 0))
    session.no_data(0.5)
    lab.counted(before, "lane", at_least=4)
    session.works()


# -- control records ------------------------------------------------------------------------------

@suite.case("PING gets PONG on its session; padded ones too")
def ping_pong(lab):
    lab.start()
    raw, other = lab.raw(), lab.raw((P_IP2, 41002))
    session = raw.initiate()
    session.ping_tlv()
    session.ping_tlv(size=1000)
    token = os.urandom(8)
    other.send(session.layer.seal(wire.CONTROL, records.tlv(records.PING, token), lane=1))
    data = other.receive(2.0, session.ours)
    check(data is not None, "the PONG did not go to the PING's source")
    equal(records.parse_tlvs(session.layer.open(data)[0]), [(records.PONG, token)])


@suite.case("at most 10 PONGs a second besides those for padded PINGs")
def pong_rate(lab):
    lab.start()
    session = lab.raw().initiate()
    time.sleep(1.1)

    def burst(count, size):
        for number in range(count):
            session.send(wire.CONTROL, records.tlv(
                records.PING, struct.pack(">Q", number).ljust(size, b"\0")))
        answered = 0
        end = time.monotonic() + 0.8
        while (got := session.receive(max(end - time.monotonic(), 0))) is not None:
            if got[0] == wire.CONTROL:
                answered += sum(k == records.PONG for k, _ in records.parse_tlvs(got[1]))
        return answered
    equal(burst(40, 8), 10, "PONGs to 40 short PINGs")
    time.sleep(1.0)
    equal(burst(30, 600), 30, "PONGs to 30 padded PINGs")
    session.ping_tlv()


@suite.case("unknown control types are skipped, PAD ends the list")
def tlv_skipped(lab):
    lab.start()
    session = lab.raw().initiate()
    token = os.urandom(8)
    ping = records.tlv(records.PING, token)
    session.send(wire.CONTROL, records.tlv(5) + records.tlv(200, bytes(300)) + ping
                 + records.tlv(255, b"x"))
    session.expect_tlv(records.PONG, value=token)
    session.send(wire.CONTROL, ping + b"\0" + os.urandom(20))
    session.expect_tlv(records.PONG, value=token)
    session.send(wire.CONTROL, b"\0\0\0" + ping)
    session.no_tlv(records.PONG, 0.4)
    session.send(wire.CONTROL, b"")
    session.works()


@suite.case("malformed control lists and wrong lengths drop the record")
def tlv_malformed(lab):
    lab.start()
    session = lab.raw().initiate()
    ping = records.tlv(records.PING, bytes(8))
    for tail in (b"\1", b"\1\0", b"\x09\0\5abc", records.tlv(records.KEEPALIVE, b"x"),
                 records.tlv(records.PING, bytes(7)), records.tlv(records.PONG, bytes(9)),
                 records.tlv(records.CLOSE), records.tlv(records.CLOSE, b"\0\0"),
                 b"\xff\xff\xff"):
        session.send(wire.CONTROL, ping + tail)
    session.no_tlv(records.PONG, 0.6)
    session.works()
    session.ping_tlv()


@suite.case("CLOSE erases only the session that carried it")
def close_one(lab):
    lab.start()
    raw = lab.raw()
    first = raw.initiate()
    second = raw.initiate()
    second.works()
    second.send(wire.CONTROL, records.tlv(records.CLOSE, b"\0"))
    time.sleep(0.2)     # the thread that owns the sessions hears of it from the one that opens records
    second.echo()
    check(second.receive(0.5) is None, "the closed session still answers")
    first.works()
    second.keepalive()
    first.works()
    check(second.receive(0.3) is None, "the closed session is back")


# -- inner packets --------------------------------------------------------------------------------

@suite.case("an inner packet with a foreign source is dropped")
def inner_source(lab):
    lab.start()
    session = lab.raw().initiate()
    before = lab.counts()
    for source in ("10.77.0.3", "10.77.0.1", "192.0.2.2", "0.0.0.0", "127.0.0.1"):
        session.send(wire.DATA, records.pad16(
            records.echo_packet(cryprq_ref.ip_bytes(source), INNER_C, 1, 1)))
    session.send(wire.DATA, records.pad16(
        records.echo_packet(cryprq_ref.ip_bytes("fd77::3"), labs.INNER_C6, 1, 1)))
    session.no_data(0.5)
    lab.counted(before, "source", "src", "allowed", at_least=6)
    session.works()


@suite.case("an inner packet with a wrong length or version is dropped")
def inner_length(lab):
    lab.start()
    session = lab.raw().initiate()
    before = lab.counts()
    good = records.echo_packet(INNER_P, INNER_C, 1, 1, b"length")
    six = records.echo_packet(labs.INNER_P6, labs.INNER_C6, 1, 1, b"length")
    bad = [b"", good[:1], good[:19], good[:-1], good[:2] + b"\0\x13" + good[4:],
           good[:2] + b"\xff\xff" + good[4:], b"\x44" + good[1:], b"\x4f" + good[1:20],
           b"\x55" + good[1:], bytes(64), six[:39], six[:-1], six[:4] + b"\xff\xff" + six[6:]]
    for plaintext in bad:
        session.send(wire.DATA, plaintext)
    session.no_data(0.5)
    lab.counted(before, "length", "inner", "packet", "ip", at_least=len(bad) - 2)
    session.works()


@suite.case("padding is neither required nor looked at")
def padding(lab):
    lab.start()
    session = lab.raw().initiate()
    for pad in (b"", b"\0", b"\xff" * 3, os.urandom(100), bytes(1000)):
        session.works(padding=pad)


@suite.case("DATA goes out zero-padded to a multiple of 16")
def padding_sent(lab):
    lab.start()
    session = lab.raw().initiate()
    for size in (0, 1, 7, 100, 1371):
        plaintext = session.works(payload=bytes(size))
        packet = records.inner_packet(plaintext)
        check(len(plaintext) % 16 == 0 or len(plaintext) == len(packet),
              f"{len(plaintext)} bytes for a packet of {len(packet)}")
        equal(plaintext[len(packet):].strip(b"\0"), b"", "padding")
        if len(packet) < 1000:
            equal(len(plaintext), -(-len(packet) // 16) * 16, "plaintext length")


@suite.case("DATA with flag bit 0 is delivered with a right checksum")
def checksum_flag(lab):
    lab.start()
    session = lab.raw().initiate()
    inner = lab.inner_socket()
    for number, (checksum, flags) in enumerate(((0x1234, 1), (0xffff, 1), (None, 1), (None, 0),
                                                (0x0001, 1))):
        payload = f"checksum {number}".encode() + bytes(number)
        packet = records.udp_packet(INNER_P, INNER_C, 5000, 7777, payload, checksum)
        session.send(wire.DATA, records.pad16(packet), flags=flags)
        inner.settimeout(2)
        try:
            equal(inner.recvfrom(2000), (payload, (P_IN, 5000)), f"packet {number}")
        except socket.timeout:
            check(False, f"packet {number} was not delivered")
    packet = records.udp_packet(INNER_P, INNER_C, 5000, 7777, b"wrong", 0x1234)
    session.send(wire.DATA, records.pad16(packet))
    inner.settimeout(0.4)
    try:
        inner.recvfrom(2000)
        check(False, "a wrong checksum without the flag was delivered")
    except socket.timeout:
        pass


# -- timers of the C node as initiator ------------------------------------------------------------

def gaps_match(times, wanted, slack=0.3):
    """Intervals between times are wanted + 0..20 %, with slack for a busy machine."""
    gaps = [b - a for a, b in zip(times, times[1:])]
    check(len(gaps) >= len(wanted), f"only {len(gaps)} intervals: {gaps}")
    for gap, want in zip(gaps, wanted):
        check(want - 0.05 <= gap <= want * 1.2 + slack, f"intervals {gaps}, wanted {wanted}")


@suite.case("INIT: retransmitted identically at 0.4, 0.8, 1.6, 3.2 s, a new one after 8 s",
            seconds=50)
def init_schedule(lab):
    lab.start(initiates=True)
    raw = lab.raw()
    lab.traffic(30)
    raw.expect(wire.INIT, 5)
    first_at = raw.stamp
    raw.collect(first_at + 17.5 - time.time())
    inits = [(t, d) for t, d in raw.log if d[0] == wire.INIT]
    groups = []
    for t, data in inits:
        if not groups or groups[-1][0] != data:
            groups.append((data, []))
        groups[-1][1].append(t)
    equal(len({d for d, _ in groups}), len(groups), "an older INIT came back")
    check(len(groups) >= 3, f"{len(groups)} different INITs in 17.5 s")
    gaps_match(groups[0][1], (0.4, 0.8, 1.6, 3.2))
    for (_, a), (_, b) in zip(groups, groups[1:]):
        check(7.9 <= b[0] - a[0] <= 8.6, f"new INIT after {b[0] - a[0]:.2f} s")
    for field in ("idx_i", "e_i", "ct_r"):
        values = {wire.field(d, wire.INIT_FIELDS, field) for d, _ in groups}
        equal(len(values), len(groups), f"different values of {field}")
    pushes = [t for t, d in raw.log if d[0] == wire.KEY_PUSH]
    check(len(pushes) >= 3, "KEY_PUSH precedes INITs 0, 1 and 2 of an attempt")
    check(pushes[0] <= inits[0][0], "the first KEY_PUSH came after the first INIT")


@suite.case("OFFER: made once, retransmitted identically, a new INIT after 8 s")
def offer_schedule(lab):
    lab.start(initiates=True)
    raw = lab.raw()
    lab.traffic(30)
    r = raw.take_init()
    reply = r.write_reply(r.choose_suite(3))
    raw.send(reply)
    raw.expect(wire.OFFER)
    first_at = raw.stamp
    raw.send(reply)                         # a copy changes nothing
    raw.collect(first_at + 9.2 - time.time())
    offers = [(t, d) for t, d in raw.log if d[0] == wire.OFFER]
    equal(len({d for _, d in offers}), 1, "different OFFERs")
    gaps_match([t for t, _ in offers], (0.4, 0.8, 1.6, 3.2))
    inits = [t for t, d in raw.log if d[0] == wire.INIT and d != r.init and t > first_at]
    check(inits and 7.9 <= inits[0] - first_at <= 8.6, f"new INIT: {inits and inits[0] - first_at}")


@suite.case("confirmation: a record at once, then at doubling intervals until R answers")
def confirm_schedule(lab):
    lab.start(initiates=True)
    raw = lab.raw()
    lab.inside_start("ping", "-c", "1", "-W", "1", P_IN)
    session = raw.respond(confirm=False)
    accepted = time.time()
    got = raw.collect(9.0)
    times = [t for t, d in got if session.ours(d)]
    check(times and times[0] - accepted < 0.3, "no record at once")
    gaps_match(times, (0.4, 0.8, 1.6, 3.2))
    session.keepalive()
    time.sleep(0.2)
    raw.collect(0.1)
    later = [d for _, d in raw.collect(5.2) if session.ours(d) and d[0] == wire.CONTROL]
    check(len(later) <= 1, "it goes on after the answer")


@suite.case("a session that R never uses: a new handshake after 15 s")
def unanswered_confirmation(lab):
    lab.start(initiates=True)
    raw = lab.raw()
    lab.inside_start("ping", "-c", "1", "-W", "1", P_IN)
    raw.respond(confirm=False)
    start = time.time()
    raw.expect(wire.INIT, 18)
    check(14.5 <= raw.stamp - start <= 16.5, f"after {raw.stamp - start:.1f} s")


@suite.case("dead peer: DATA unanswered for 15 s starts a handshake, the old session in use")
def dead_peer(lab):
    lab.start(initiates=True)
    raw = lab.raw()
    lab.inside_start("ping", "-c", "1", "-W", "1", P_IN)
    session = raw.respond()
    raw.collect(1.0)
    lab.traffic(25)
    session.expect(wire.DATA, 3)
    start = raw.stamp
    raw.expect(wire.INIT, 18)
    check(14.5 <= raw.stamp - start <= 16.8, f"after {raw.stamp - start:.1f} s")
    session.expect(wire.DATA, 3)


@suite.case("a cookie for the C node: new INIT at once, with mac2 and fresh8; the third without",
            seconds=45)
def cookie_for_c(lab):
    lab.start(initiates=True)
    raw = lab.raw()
    lab.traffic(30)
    r = raw.take_init()
    first_at = raw.stamp
    equal(r.init[wire.INIT_MAC2:], bytes(16), "mac2 without a cookie")
    equal(r.fresh, bytes(8), "fresh8 without a cookie")
    cookie = os.urandom(16)
    raw.send(wire.build_cookie(lab.p.id, os.urandom(4), os.urandom(24), r.mac1, cookie))
    raw.send(wire.build_cookie(lab.p.id, r.idx_i, os.urandom(24), os.urandom(16), os.urandom(16)))
    raw.send(wire.build_cookie(lab.p.id, r.idx_i, os.urandom(24), r.mac1, cookie))
    sent = time.time()
    new = raw.receive(3.0, lambda d: d[0] == wire.INIT and d != r.init)
    check(new is not None, "no new INIT")
    check(raw.stamp - sent < 0.3, f"{raw.stamp - sent:.2f} s after the COOKIE")
    inits = [new]
    end = first_at + 27
    while len(inits) < 4 and time.time() < end:
        data = raw.receive(end - time.time(), lambda d: d[0] == wire.INIT)
        if data is not None and data not in inits and data != r.init:
            inits.append(data)
    check(len(inits) >= 3, f"{len(inits)} INITs after the COOKIE")
    for number, data in enumerate(inits, 1):
        i = handshake.Responder(lab.p, data)
        i.authenticate(lab.c)
        held = None if number % 3 == 0 else cookie
        equal(data[wire.INIT_MAC2:], wire.mac2(held, data[:wire.INIT_MAC2]), f"mac2 of {number}")
        equal(i.fresh, wire.fresh8(held), f"fresh8 of {number}")
        check(data[8:40] != r.init[8:40], "e_I used twice")


@suite.case("a REPLY to the older of two INITs is accepted")
def two_inits(lab):
    lab.start(initiates=True)
    raw = lab.raw()
    lab.traffic(20)
    old = raw.take_init()
    raw.send(wire.build_cookie(lab.p.id, old.idx_i, os.urandom(24), old.mac1, os.urandom(16)))
    check(raw.receive(3.0, lambda d: d[0] == wire.INIT and d != old.init) is not None,
          "no new INIT")
    raw.send(old.write_reply(1))
    keys = old.read_offer(raw.expect(wire.OFFER))
    raw.send(old.accept)
    session = labs.RawSession(raw, keys, old.idx_r, old.idx_i)
    session.expect(None)
    session.keepalive()
    session.works()


@suite.case("a forged or unacceptable REPLY makes no OFFER")
def bad_reply(lab):
    lab.start(initiates=True, suites="chacha20-poly1305")
    raw = lab.raw()
    lab.traffic(40)
    r = raw.take_init()
    equal(r.offered, wire.SUITE_CHACHA)
    reply = r.write_reply(wire.SUITE_CHACHA)
    for _, at, length in wire.REPLY_FIELDS:
        raw.send(flip(reply, at))
        raw.send(flip(reply, at + length - 1))
    raw.send(reply[:-1])
    check(raw.receive(0.6, lambda d: d[0] == wire.OFFER) is None, "OFFER after a forged REPLY")
    raw.send(reply)
    r.read_offer(raw.expect(wire.OFFER))
    for accept in [flip(r.accept, at) for _, at, _ in wire.ACCEPT_FIELDS] + [r.accept[:-1]]:
        raw.send(accept)
    raw.silent(0.3, but=(wire.OFFER, wire.INIT, wire.KEY_PUSH))
    raw.send(r.accept)
    check(raw.receive(3.0, lambda d: d[0] in RECORDS) is not None, "no record after ACCEPT")


def register_bad_choice(name, edit):
    @suite.case(f"REPLY with {name} inside: no OFFER, later a good handshake")
    def bad_choice(lab):
        lab.start(initiates=True, suites="chacha20-poly1305")
        raw = lab.raw()
        lab.traffic(20)
        r = raw.take_init()
        r.sym.edit["m2 choice"] = edit
        raw.send(r.write_reply(wire.SUITE_CHACHA))
        check(raw.receive(0.8, lambda d: d[0] == wire.OFFER) is None, "it was accepted")
        later = raw.receive(10, lambda d: d[0] == wire.INIT and d != r.init)
        check(later is not None, "no new INIT")
        r = handshake.Responder(lab.p, later)
        r.authenticate(lab.c)
        raw.send(r.write_reply(wire.SUITE_CHACHA))
        r.read_offer(raw.expect(wire.OFFER))


register_bad_choice("a suite that was not offered", lambda p: b"\1" + p[1:])
register_bad_choice("two suites", lambda p: b"\3" + p[1:])
register_bad_choice("rotate-secs of 59", lambda p: p[:1] + struct.pack(">H", 59) + p[3:])
register_bad_choice("reserved bytes that are not zero", lambda p: p[:-1] + b"\1")


# -- sessions over time ---------------------------------------------------------------------------

def echo_through_rotation(lab, node, peer, seconds):
    """Pings from the C node for that long; all must come back, over at least two sessions."""
    count = int(seconds / 0.2)
    equal(lab.ping_from_c(count=count, interval=0.2, deadline=int(seconds) + 4), count, "echoes")
    check(len(node.key_log) >= 2, "no rotation")
    equal(len({s.sid for s in node.key_log}), len(node.key_log))
    check(peer.newest() is not None)


@suite.case("rotation by the reference loses no echo", seconds=60)
def rotation_by_reference(lab):
    lab.start(rotate=60)
    node, peer = lab.reference()
    node.rotate = 300                       # the smaller one counts
    equal(lab.ping_from_python(node, peer), 3)
    equal(node.key_log[0].rotate, 60)
    echo_through_rotation(lab, node, peer, 28)
    check(node.key_log[1].initiator, "the C node began")


@suite.case("rotation by the C node as initiator loses no echo", seconds=60)
def rotation_by_c(lab):
    lab.start(initiates=True)
    node, peer = lab.reference(rotate=60)
    start = time.monotonic()
    echo_through_rotation(lab, node, peer, 28)
    check(not node.key_log[0].initiator and not node.key_log[1].initiator, "who began")
    at = node.key_log[1].born - start
    check(8 <= at <= 28, f"rotation after {at:.1f} s, not 10 to 25")


@suite.case("rotation by the C node as responder, at R - 25 s", seconds=70)
def rotation_by_responder(lab):
    lab.start(rotate=60)
    raw = lab.raw()
    session = raw.initiate()
    start = time.time()
    first = None
    while time.time() - start < 42 and first is None:
        session.echo()
        first = raw.receive(0.5, lambda d: d[0] == wire.INIT)
    check(first is not None, "no INIT")
    check(32 <= raw.stamp - start <= 39, f"after {raw.stamp - start:.1f} s")
    r = handshake.Responder(lab.p, first)
    r.authenticate(lab.c)
    raw.send(r.write_reply(1))
    keys = r.read_offer(raw.expect(wire.OFFER))
    raw.send(r.accept)
    new = labs.RawSession(raw, keys, r.idx_r, r.idx_i)
    new.expect(None)
    new.keepalive()
    new.works()
    session.layer.next_seq[0] += 10
    session.echo()                          # received on the old one, answered on the new one
    check(new.receive(2) is not None, "the old session does not receive")


@suite.case("rotate by command: a new handshake at once, no echo lost")
def rotate_command(lab):
    lab.start(initiates=True)
    node, peer = lab.reference()
    equal(lab.ping_from_c(), 3)
    ping = lab.inside_start("ping", "-n", "-c", "30", "-i", "0.1", "-W", "2", P_IN)
    lab.loop.run(1)
    command = lab.inside_start(labs.PROGRAM, "rotate", lab.ifname)
    lab.wait(lambda: command.poll() is not None, "end of the command", 10)
    equal(command.wait(), 0, "exit status")
    lab.wait(lambda: len(node.key_log) == 2 and node.key_log[1].confirmed, "second session", 5)
    lab.wait(lambda: ping.poll() is not None, "end of ping", 10)
    output = ping.communicate()[0]
    check("30 received" in output, output)
    check(not node.key_log[1].initiator)


@suite.case("a handshake of the reference while traffic flows loses no echo")
def rehandshake(lab):
    lab.start()
    node, peer = lab.reference()
    equal(lab.ping_from_python(node, peer), 3)
    ping = lab.inside_start("ping", "-n", "-c", "30", "-i", "0.1", "-W", "2", P_IN)
    for _ in range(2):
        lab.loop.run(1)
        node.start_handshake(peer, time.monotonic())
    lab.wait(lambda: ping.poll() is not None, "end of ping", 10)
    output = ping.communicate()[0]
    check("30 received" in output, output)
    equal(len(node.key_log), 3)
    check(all(s.opened_any for s in node.key_log), "a session was never used")


@suite.case("both start at the same time: traffic flows, at most two sessions")
def simultaneous(lab):
    lab.start(initiates=True)
    node, peer = lab.reference()
    for _ in range(3):
        lab.inside_start("ping", "-c", "1", "-W", "1", P_IN)
        node.start_handshake(peer, time.monotonic())
        lab.loop.run(1.5)
    equal(lab.ping_from_c(), 3)
    equal(lab.ping_from_python(node, peer), 3)
    check(len(peer.sessions) <= 4)


@suite.case("a fifth session evicts the one that completed first")
def five_sessions(lab):
    lab.start()
    raw = lab.raw()
    sessions = [raw.initiate() for _ in range(5)]
    raw.collect(0.3)
    for session in sessions[1:]:
        session.layer.next_seq[0] += 1
        session.ping_tlv()
    sessions[0].send(wire.CONTROL, records.tlv(records.PING, bytes(8)))
    check(sessions[0].receive(0.5) is None, "the first session still answers")


@suite.case("R sends no DATA before I's first record, and on the newest after it")
def unconfirmed(lab):
    lab.start()
    raw = lab.raw()
    old = raw.initiate()
    new = raw.initiate(confirm=False)
    ident = old.echo()
    old.expect_echo(ident)                  # still on the old one
    check(new.receive(0.3) is None, "a record on an unconfirmed session")
    new.keepalive()
    new.expect(None)
    ident = old.echo()
    new.expect_echo(ident)


@suite.case("the older session goes 10 s after its last record", seconds=45)
def superseded(lab):
    lab.start()
    raw = lab.raw()
    old = raw.initiate()
    new = raw.initiate()
    start = time.monotonic()
    new.ping_tlv()
    while time.monotonic() - start < 8.5:
        time.sleep(0.5)
    old.send(wire.CONTROL, records.tlv(records.PING, bytes(8)))
    old.expect_tlv(records.PONG)            # used again: 10 s more
    time.sleep(8.5)
    old.ping_tlv()
    time.sleep(11.5)
    old.send(wire.CONTROL, records.tlv(records.PING, bytes(8)))
    check(old.receive(0.6) is None, "the old session still answers")
    new.ping_tlv()


@suite.case("an unconfirmed session lives 30 s", seconds=60)
def unconfirmed_life(lab):
    lab.start()
    raw = lab.raw()
    alive, dead = raw.initiate(confirm=False), raw.initiate(confirm=False)
    time.sleep(27)
    alive.keepalive()
    alive.expect(None)
    time.sleep(4.5)
    dead.keepalive()
    check(dead.receive(0.7) is None, "it was still there")
    alive.works()


@suite.case("passive keepalive 5 s after DATA that needed no answer")
def passive_keepalive(lab):
    lab.start()
    raw = lab.raw()
    session = raw.initiate()
    inner = lab.inner_socket()
    raw.collect(0.5)
    session.send(wire.DATA, records.pad16(
        records.udp_packet(INNER_P, INNER_C, 5000, 7777, b"no answer")))
    start = time.time()
    inner.settimeout(2)
    equal(inner.recvfrom(100)[0], b"no answer")
    session.expect_tlv(records.KEEPALIVE, 7)
    check(4.8 <= raw.stamp - start <= 6.0, f"after {raw.stamp - start:.2f} s")
    check(session.receive(5.6) is None, "another one without new DATA")


@suite.case("session expiry: no sending after R, no receiving after R + 15 s (R = 60 s)",
            seconds=110)
def expiry(lab):
    lab.start(rotate=60)
    raw = lab.raw()
    session = raw.initiate()
    start = time.monotonic()
    inner = lab.inner_socket()
    inner.settimeout(1.5)

    def deliver(text):
        session.send(wire.DATA, records.pad16(
            records.udp_packet(INNER_P, INNER_C, 5000, 7777, text)))
        try:
            return inner.recvfrom(100)[0]
        except socket.timeout:
            return None
    time.sleep(58 - (time.monotonic() - start))
    session.ping_tlv()
    time.sleep(62 - (time.monotonic() - start))
    session.send(wire.CONTROL, records.tlv(records.PING, b"after R!"))
    check(session.receive(0.7) is None, "a record sent after age R")
    time.sleep(72 - (time.monotonic() - start))
    equal(deliver(b"late"), b"late", "delivery at 72 s")
    time.sleep(76.2 - (time.monotonic() - start))
    equal(deliver(b"too late"), None, "delivery at 76 s")


@suite.case("an idle session just expires, the next packet starts a handshake", seconds=130)
def idle_expiry(lab):
    if os.environ.get("CRYPRQ_SLOW") != "1":
        raise Skip("set CRYPRQ_SLOW=1")
    lab.start(initiates=True, rotate=60)
    node, peer = lab.reference()
    equal(lab.ping_from_c(), 3)
    lab.loop.run(90)
    equal(len(node.key_log), 1, "sessions")
    equal(lab.ping_from_c(count=5), 5)
    equal(len(node.key_log), 2, "sessions")


# -- the peer's address ---------------------------------------------------------------------------

@suite.case("address change: the reference moves, traffic follows")
def address_reference(lab):
    lab.start()
    node, peer = lab.reference()
    equal(lab.ping_from_python(node, peer), 3)
    lab.loop.attach(node, lab.socket((P_IP2, 40500)))
    equal(lab.ping_from_python(node, peer), 3)
    check(any(data[0] == wire.CONTROL for _, _, data in node.rx[-12:]))
    equal(lab.ping_from_c(), 3)


def moving(lab):
    """A session, a second address of the peer, and a way to make the C node send DATA."""
    lab.start()
    raw, new = lab.raw(), lab.raw((P_IP2, 40501))
    session = raw.initiate()
    inner = lab.inner_socket()
    raw.collect(0.3)

    def talk(number):
        inner.sendto(f"move {number}".encode() + bytes(900), (P_IN, 9))
        return f"move {number}".encode()
    raw.expect_data(session, talk(0))
    return raw, new, session, talk


def ping_token(session, raw, seconds=2.0):
    """The token of the PING that must reach this socket."""
    end = time.monotonic() + seconds
    while True:
        data = raw.receive(max(end - time.monotonic(), 0),
                           lambda d: session.ours(d) and d[0] == wire.CONTROL)
        check(data is not None, "no PING here")
        for kind, value in records.parse_tlvs(session.layer.open(data)[0]):
            if kind == records.PING:
                return value[:8]


def pong(session, raw, token):
    raw.send(session.layer.seal(wire.CONTROL, records.tlv(records.PONG, token)))


@suite.case("address change: PING to both, DATA to the previous one until the new one's PONG")
def address_validated(lab):
    raw, new, session, talk = moving(lab)
    new.send(session.layer.seal(wire.CONTROL, records.tlv(records.KEEPALIVE)))
    token = ping_token(session, new)
    ping_token(session, raw)
    raw.expect_data(session, talk(1))
    spent = sum(len(d) for _, d in new.log)
    check(spent <= 3 * 35, f"{spent} bytes to an address that sent 35")
    pong(session, new, token)
    time.sleep(0.2)
    new.expect_data(session, talk(2))
    raw.silent(0.3)


@suite.case("address change: a PONG from the previous one restores it and bars the new for 10 s")
def address_restored(lab):
    raw, new, session, talk = moving(lab)
    new.send(session.layer.seal(wire.CONTROL, records.tlv(records.KEEPALIVE)))
    ping_token(session, new)
    # on lane 1, so that only the PONG can bring the previous address back
    raw.send(session.layer.seal(wire.CONTROL,
                                records.tlv(records.PONG, ping_token(session, raw)), lane=1))
    time.sleep(0.2)
    new.collect(0.2)
    raw.expect_data(session, talk(1))
    new.send(session.layer.seal(wire.CONTROL, records.tlv(records.KEEPALIVE)))
    new.silent(0.6)
    raw.expect_data(session, talk(2))


@suite.case("a replayed or older record from elsewhere does not move the peer")
def address_replayed(lab):
    raw, new, session, talk = moving(lab)
    record = session.keepalive()
    held = session.layer.seal(wire.CONTROL, records.tlv(records.KEEPALIVE))
    session.keepalive()
    new.send(record)
    new.send(held)                          # fresh, but not above all seen on lane 0
    new.send(session.layer.seal(wire.CONTROL, records.tlv(records.KEEPALIVE), lane=2))
    new.silent(0.6)
    raw.expect_data(session, talk(1))


@suite.case("INIT from a new address does not move the peer")
def address_init(lab):
    raw, new, session, talk = moving(lab)
    i = new.initiator()
    new.send(i.init)
    new.send(i.read_reply(new.expect(wire.REPLY)))
    i.read_accept(new.expect(wire.ACCEPT))
    raw.expect_data(session, talk(1))
    new.silent(0.3)


if __name__ == "__main__":
    sys.exit(suite.main())
