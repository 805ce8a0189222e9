#!/usr/bin/python3
"""Old keys are gone from the memory of the C node's processes. TAP; needs root.

The reference holds every key of a session with the C node. Each case first finds keys that must be
there (so the search is able to find), then looks for those that must be gone: session keys and
ivs, AES round keys and GHASH keys, chaining keys, message keys, KEM and Diffie-Hellman secrets.
"""

import os
import subprocess
import sys
import time

try:
    import cryprq_ref                       # pylint: disable=unused-import
except ImportError as missing:
    print(f"1..0 # SKIP {missing}")
    sys.exit(77)

import keyforms
import lab as labs
import records
import wire
from parallel import ParallelSuite
from tap import Skip, check

suite = ParallelSuite()
SUITES = {wire.SUITE_AES: "aes-256-gcm", wire.SUITE_CHACHA: "chacha20-poly1305"}
SESSION_LABELS = ("K(i2r key)", "K(i2r iv)", "K(r2i key)", "K(r2i iv)", "K(exporter)")


def direction_needles(keys, tag=""):
    """One set of needles per direction of a session."""
    return [keyforms.needles(f"{tag}{name} key", keys.suite, key)
            for name, key in (("i2r", keys.i2r_key), ("r2i", keys.r2i_key))]


def session_needles(keys, tag=""):
    out = {}
    for part in direction_needles(keys, tag):
        out.update(part)
    out.update(keyforms.halves(f"{tag}exporter", keys.exporter))
    out.update({f"{tag}i2r iv": keys.i2r_iv, f"{tag}r2i iv": keys.r2i_iv})
    return out


def handshake_needles(trace, tag=""):
    """Everything a handshake derives on the way; the session's own values apart."""
    out = {}
    for name, value in trace:
        if name not in SESSION_LABELS:
            out.update(keyforms.halves(tag + name, value))
    return out


def scan(lab, needles):
    return labs.scan_memory(lab.processes(), needles)


def must_find(lab, needle_sets, what):
    """At least one needle of each set is in memory."""
    found, num_bytes, refused = scan(lab, {k: v for part in needle_sets for k, v in part.items()})
    for part in needle_sets:
        check(any(name in found for name in part),
              f"{what}: not found in {num_bytes} bytes although live, so the search proves nothing"
              f" (refused: {refused[:5]})")


def must_miss(lab, needles, what):
    found, num_bytes, refused = scan(lab, needles)
    lines = [f"{name} at {hits[:3]}" for name, hits in sorted(found.items())]
    check(not found, f"{what}: {len(found)} of {len(needles)} still in memory: "
          + "; ".join(lines[:12]))
    check(num_bytes > 1 << 16, f"only {num_bytes} bytes read (refused: {refused[:5]})")


@suite.case("the key forms agree with published examples")
def forms(_lab):
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    schedule = keyforms.expand_key(key)
    check(schedule[14].hex() == "fe4890d1e6188d0b046df344706c631e", "FIPS 197 A.3")
    block = keyforms.encrypt_block(keyforms.expand_key(bytes(range(32))),
                                   bytes.fromhex("00112233445566778899aabbccddeeff"))
    check(block.hex() == "8ea2b7ca516745bfeafc49904b496089", "FIPS 197 C.3")
    inverse = keyforms.inverse_mix_columns(bytes.fromhex("bd6e7c3df2b5779e0b61216e8b10b689"))
    check(inverse.hex() == "4773b91ff72f354361cb018ea1e6cf2c", "FIPS 197 C.1")
    h = keyforms.encrypt_block(keyforms.expand_key(bytes(32)), bytes(16))
    check(h.hex() == "dc95c078a2408989ad48a21492842087", "H of the zero key")
    check(len(dict(keyforms.aes_forms(key))) > 100, "forms")


CHILD = """
import sys
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
secret = bytearray.fromhex(sys.stdin.readline())
key = algorithms.AES(bytes.fromhex(sys.stdin.readline()))
kept = Cipher(key, modes.GCM(bytes(12))).encryptor(), Cipher(key, modes.CBC(bytes(16))).decryptor()
for each in kept:
    each.update(bytes(1024))
print(1, flush=True)
sys.stdin.readline()
secret[:] = bytes(32)
print(2, flush=True)
sys.stdin.readline()
"""


@suite.case("the search finds a secret in a process and not after it is gone, and libcrypto's forms")
def search(_lab):
    secret, key = os.urandom(32), os.urandom(32)
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as child:
        def tell(text):
            child.stdin.write(text + "\n")
            child.stdin.flush()
            child.stdout.readline()
        tell(secret.hex() + "\n" + key.hex())
        found = labs.scan_memory([child.pid], keyforms.needles("k", wire.SUITE_AES, key)
                                 | {"secret": secret})[0]
        check("secret" in found, "not found")
        for form in ("k: round key", "k: decryption round key", "k: H^"):
            check(any(name.startswith(form) for name in found), f"no form of {form}: {found}")
        tell("")
        check(not labs.scan_memory([child.pid], {"secret": secret})[0], "found after erasure")
        child.stdin.write("\n")


def for_both_suites(name, **options):
    """Registers the case once per transport suite."""
    def register(call):
        for bit, text in SUITES.items():
            @suite.case(f"{name} ({text})", **options)
            def one(lab, text=text, bit=bit):
                call(lab, text, bit)
        return call
    return register


@for_both_suites("responder: handshake secrets go with the handshake", seconds=60)
def responder_handshake(lab, text, _bit):
    lab.start(suites=text, psk=os.urandom(32))
    raw = lab.raw()
    session = raw.initiate()
    session.works()
    time.sleep(0.5)
    must_find(lab, direction_needles(session.keys), "live session")
    must_miss(lab, handshake_needles(session.initiator.trace), "handshake secrets")
    session.works()


@for_both_suites("initiator: handshake secrets go with the handshake", seconds=60)
def initiator_handshake(lab, text, _bit):
    lab.start(initiates=True, suites=text, psk=os.urandom(32))
    raw = lab.raw()
    lab.inside_start("ping", "-c", "1", "-W", "1", labs.P_IN)
    session = raw.respond()
    session.works()
    time.sleep(0.5)
    must_find(lab, direction_needles(session.keys), "live session")
    must_miss(lab, handshake_needles(session.responder.trace), "handshake secrets")
    session.works()


@for_both_suites("CLOSE erases the keys of its session", seconds=60)
def close(lab, text, _bit):
    lab.start(suites=text)
    raw = lab.raw()
    closed, kept = raw.initiate(), raw.initiate()    # the newer one is not erased early, however long a search takes
    for session in (kept, closed):
        session.ping_tlv()
    must_find(lab, direction_needles(kept.keys) + direction_needles(closed.keys), "live sessions")
    closed.send(wire.CONTROL, records.tlv(records.CLOSE, b"\0"))
    kept.works()
    time.sleep(0.5)
    must_find(lab, direction_needles(kept.keys), "the other session")
    must_miss(lab, session_needles(closed.keys), "closed session")
    kept.works()


@for_both_suites("rotation by command: the old keys go 10 s after their last record", seconds=80)
def rotated(lab, text, bit):
    lab.start(initiates=True, suites=text)
    node, peer = lab.reference()
    check(lab.ping_from_c() == 3, "no echo")
    old = node.key_log[0]
    check(old.suite == bit, "suite")
    must_find(lab, direction_needles(old.keys), "live session")
    command = lab.inside_start(labs.PROGRAM, "rotate", lab.ifname)
    lab.wait(lambda: len(node.key_log) == 2 and node.key_log[1].opened_any, "second session", 8)
    check(command.wait() == 0, "exit status of rotate")
    new = node.key_log[1]
    lab.traffic(20)
    lab.loop.run(12.5)
    must_find(lab, direction_needles(new.keys), "new session")
    must_miss(lab, session_needles(old.keys, "old "), "old session")
    must_miss(lab, handshake_needles(old.trace, "old ") | handshake_needles(new.trace, "new "),
              "handshake secrets")
    check(lab.ping_from_c() == 3, "no echo after rotation")
    check(peer.newest() is not None)


@for_both_suites("rotation every 60 s: no trace of the old session", seconds=100)
def rotated_by_time(lab, text, _bit):
    lab.start(initiates=True, suites=text, rotate=60)
    node, peer = lab.reference()
    lab.traffic(60)
    lab.wait(lambda: node.key_log, "session")
    old = node.key_log[0]
    lab.loop.run(1)
    must_find(lab, direction_needles(old.keys), "live session")
    lab.wait(lambda: len(node.key_log) == 2 and node.key_log[1].opened_any, "rotation", 30)
    lab.loop.run(12.5)
    must_find(lab, direction_needles(peer.newest().keys), "new session")
    must_miss(lab, session_needles(old.keys, "old ") | handshake_needles(old.trace, "old "),
              "old session")


@for_both_suites("an idle session is gone at R + 15 s (R = 60 s)", seconds=110)
def expired(lab, text, _bit):
    lab.start(suites=text, rotate=60)
    raw = lab.raw()
    session = raw.initiate()
    start = time.monotonic()
    session.ping_tlv()
    must_find(lab, direction_needles(session.keys), "live session")
    time.sleep(76.5 - (time.monotonic() - start))
    must_miss(lab, session_needles(session.keys) | handshake_needles(session.initiator.trace),
              "expired session")
    raw.initiate().works()


@suite.case("a handshake without OFFER is gone after 20 s", seconds=50)
def pending_expired(lab):
    lab.start()
    raw = lab.raw()
    i = raw.initiator()
    raw.send(i.init)
    i.read_reply(raw.expect(wire.REPLY))
    state = dict(i.trace)
    must_find(lab, [keyforms.halves("ck", state["ck after K_i ee se"])], "pending handshake")
    time.sleep(21.5)
    must_miss(lab, handshake_needles(i.trace), "expired handshake")


@suite.case("an unconfirmed session is gone after 30 s", seconds=60)
def unconfirmed_expired(lab):
    lab.start()
    raw = lab.raw()
    session = raw.initiate(confirm=False)
    must_find(lab, direction_needles(session.keys), "unconfirmed session")
    time.sleep(31.5)
    must_miss(lab, session_needles(session.keys) | handshake_needles(session.initiator.trace),
              "unconfirmed session")


@suite.case("an attempt of the C node that gets no REPLY is gone after 90 s", seconds=150)
def attempt_expired(lab):
    if os.environ.get("CRYPRQ_SLOW") != "1":
        raise Skip("set CRYPRQ_SLOW=1")
    lab.start(initiates=True)
    raw = lab.raw()
    lab.inside_start("ping", "-c", "1", "-W", "1", labs.P_IN)
    first = raw.take_init()
    must_find(lab, [keyforms.halves("ck", dict(first.trace)["ck after K_s es"])
                    | keyforms.halves("ck now", first.sym.ck)], "attempt")
    states = [first]
    end = time.monotonic() + 95
    while time.monotonic() < end:
        data = raw.receive(end - time.monotonic(), lambda d: d[0] == wire.INIT)
        if data is not None and data != states[-1].init:
            states.append(labs.handshake.Responder(lab.p, data))
            states[-1].authenticate(lab.c)
    needles = {}
    for number, state in enumerate(states):
        needles |= handshake_needles(state.trace, f"INIT {number}: ")
    must_miss(lab, needles, "abandoned attempt")


if __name__ == "__main__":
    sys.exit(suite.main())
