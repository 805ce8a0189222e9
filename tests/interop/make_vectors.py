#!/usr/bin/python3
"""Writes vectors/handshake-v1.json: deterministic handshakes with every input fixed.

    make_vectors.py            write the file
    make_vectors.py --check    exit 1 if the file differs from what would be written

All values are lower-case hex strings, except `kind` and `name`. README.md lists the fields.
"""

import json
import os
import struct
import sys

import handshake
import records
import wire
from wire import SeededRandom

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors", "handshake-v1.json")
FORMAT = "cryprq handshake vectors v1"
MTU = 1420


def hexed(values):
    return {k: v.hex() if isinstance(v, (bytes, bytearray)) else v for k, v in values.items()}


def u8(n):
    return bytes([n])


def u16(n):
    return struct.pack(">H", n)


def identity_case(name, k):
    me = wire.Identity(k)
    return hexed({
        "kind": "identity", "name": name, "k": k, "s": me.s, "d": me.d, "z": me.z,
        "s_pub": me.s_pub, "ek": me.ek, "public": me.public, "id": me.id,
        "mac1_key": wire.mac1_key(me.id)})


def record_fields(prefix, layer, kind, plaintext, lane, flags=0, packet=None):
    seq = layer.next_seq[lane]
    record = layer.seal(kind, plaintext, lane=lane, flags=flags)
    out = {f"{prefix}_lane": u8(lane), f"{prefix}_seq": struct.pack(">Q", seq),
           f"{prefix}_flags": u8(flags), f"{prefix}_plaintext": plaintext,
           f"{prefix}_record": record}
    if packet is not None:
        out[f"{prefix}_packet"] = packet
    return out


def handshake_case(name, offered, allowed, psk, with_cookie, rotate_i, rotate_r, max_version=1):
    rng = SeededRandom(name)
    alice = wire.Identity(rng.take("k initiator", 32))
    bob = wire.Identity(rng.take("k responder", 32))
    psk = rng.take("psk", 32) if psk else wire.ZERO_PSK
    out = {"kind": "handshake", "name": name, "initiator_k": alice.k, "responder_k": bob.k,
           "initiator_id": alice.id, "responder_id": bob.id, "psk": psk,
           "max_version": u8(max_version), "suites_offered": u8(offered),
           "suites_allowed": u8(allowed), "rotate_i": u16(rotate_i), "rotate_r": u16(rotate_r),
           "cookie": b"", "fresh8": bytes(8)}
    cookie = None
    if with_cookie:
        first = handshake.Initiator(alice, bob, psk, offered, rotate_i, rng,
                                    max_version=max_version)
        cookie = rng.take("cookie.c", 16)
        nonce = rng.take("cookie.nonce", 24)
        out.update({
            "first_idx_i": first.idx_i, "first_e_i_secret": first.e_i,
            "first_kem_m_r": taken(rng, "init.m"), "first_init": first.init,
            "cookie": cookie, "cookie_nonce": nonce, "fresh8": wire.fresh8(cookie),
            "cookie_message": wire.build_cookie(bob.id, first.idx_i, nonce, first.mac1, cookie)})
        assert wire.open_cookie(bob.id, out["cookie_message"], first.mac1) == cookie

    i = handshake.Initiator(alice, bob, psk, offered, rotate_i, rng, cookie, max_version)
    out.update({"idx_i": i.idx_i, "e_i_secret": i.e_i, "kem_m_r": taken(rng, "init.m"),
                "h_start": handshake.Symmetric(bob.id).h, "init": i.init,
                "h_after_init": i.sym.h, "ck_after_init": i.sym.ck,
                "mac1": i.mac1, "mac2": i.init[wire.INIT_MAC2:]})

    r = handshake.Responder(bob, i.init, rng)
    assert r.initiator_id == alice.id
    r.authenticate(alice, psk)
    assert r.fresh == out["fresh8"]
    reply = r.write_reply(r.choose_suite(allowed), rotate_r)
    out.update({"suite": u8(r.suite), "idx_r": r.idx_r, "e_r_secret": r.e_r,
                "kem_m_i": taken(rng, "reply.m"), "reply": reply,
                "h_after_reply": r.sym.h, "ck_after_reply": r.sym.ck})

    offer = i.read_reply(reply)
    out.update({"kem_d_e": taken(rng, "offer.d"), "kem_z_e": taken(rng, "offer.z"),
                "offer": offer, "h_after_offer": i.sym.h})

    r_keys = r.read_offer(offer)
    i_keys = i.read_accept(r.accept)
    for label in ("i2r_key", "i2r_iv", "r2i_key", "r2i_iv", "exporter", "sid", "h", "ck", "rotate"):
        assert getattr(i_keys, label) == getattr(r_keys, label), label
    out.update({"kem_m_e": taken(rng, "accept.m"), "accept": r.accept,
                "h_final": i_keys.h, "ck_final": i_keys.ck,
                "i2r_key": i_keys.i2r_key, "i2r_iv": i_keys.i2r_iv,
                "r2i_key": i_keys.r2i_key, "r2i_iv": i_keys.r2i_iv,
                "exporter": i_keys.exporter, "sid": i_keys.sid, "rotate": u16(i_keys.rotate)})
    for key, value in i_keys.trace:
        if key.startswith("K(m"):
            out["key_" + key[2:-1].replace(" ", "_")] = value
    out.update(session_records(i, i_keys, r, r_keys))
    return hexed(out)


def taken(rng, label):
    """The value last handed out for the label."""
    return [value for key, value in rng.taken if key == label][-1]


def session_records(i, i_keys, r, r_keys):
    to_r = records.RecordLayer(i_keys, i.idx_i, r.idx_r)
    to_i = records.RecordLayer(r_keys, r.idx_r, i.idx_i)
    a4, b4 = bytes([10, 9, 0, 1]), bytes([10, 9, 0, 2])
    a6, b6 = (bytes.fromhex("fd00" + "00" * 13 + end) for end in ("01", "02"))
    ping = records.echo_packet(a4, b4, 0x1234, 1, b"cryprq")
    pong = records.answer_echo(ping)
    ping6 = records.echo_packet(a6, b6, 0x1234, 2, b"cryprq over six")
    token = bytes(range(8))
    out = {}
    out.update(record_fields("i2r_control", to_r, wire.CONTROL, records.tlv(records.KEEPALIVE), 0))
    out.update(record_fields("i2r_data", to_r, wire.DATA, records.pad16(ping, MTU), 0,
                             packet=ping))
    out.update(record_fields("i2r_data6", to_r, wire.DATA, records.pad16(ping6, MTU), 5,
                             packet=ping6))
    out.update(record_fields(
        "r2i_control", to_i, wire.CONTROL,
        records.tlv(200, b"unknown") + records.tlv(records.PING, token + bytes(24)), 0))
    out.update(record_fields("r2i_data", to_i, wire.DATA, records.pad16(pong, MTU), 0,
                             packet=pong))
    out.update(record_fields("r2i_data_flag", to_i, wire.DATA,
                             records.pad16(records.udp_packet(b4, a4, 7, 7, b"sum", 0), MTU), 15,
                             wire.FLAG_CSUM, records.udp_packet(b4, a4, 7, 7, b"sum", 0)))
    for prefix in ("i2r_control", "i2r_data", "i2r_data6"):
        assert to_i.open(out[prefix + "_record"])[0] == out[prefix + "_plaintext"]
    for prefix in ("r2i_control", "r2i_data", "r2i_data_flag"):
        assert to_r.open(out[prefix + "_record"])[0] == out[prefix + "_plaintext"]
    return out


def first_contact_cases():
    rng = SeededRandom("first contact")
    alice = wire.Identity(rng.take("k initiator", 32))
    bob = wire.Identity(rng.take("k responder", 32))
    request_id, cookie = rng.take("keyreq.id", 4), rng.take("cookie.c", 16)
    nonce = rng.take("cookie.nonce", 24)
    plain = wire.build_key_request(bob.id, request_id)
    with_cookie = wire.build_key_request(bob.id, request_id, cookie)
    asked_mac1 = plain[wire.INIT_MAC1:wire.INIT_MAC2]
    both = {"initiator_k": alice.k, "responder_k": bob.k, "initiator_id": alice.id,
            "responder_id": bob.id}
    yield hexed({"kind": "key_request", "name": "key request without cookie", **both,
                 "request_id": request_id, "cookie": b"", "mac1": asked_mac1,
                 "mac2": plain[-16:], "message": plain})
    yield hexed({"kind": "cookie", "name": "cookie for a key request", **both,
                 "idx": request_id, "answered_mac1": asked_mac1, "cookie": cookie,
                 "cookie_nonce": nonce, "fresh8": wire.fresh8(cookie),
                 "cookie_key": wire.cookie_key(bob.id, nonce),
                 "message": wire.build_cookie(bob.id, request_id, nonce, asked_mac1, cookie)})
    yield hexed({"kind": "key_request", "name": "key request with cookie", **both,
                 "request_id": request_id, "cookie": cookie,
                 "mac1": with_cookie[wire.INIT_MAC1:wire.INIT_MAC2],
                 "mac2": with_cookie[-16:], "message": with_cookie})
    yield hexed({"kind": "key_response", "name": "key response", **both,
                 "request_id": request_id, "public": bob.public,
                 "message": wire.build_key_response(request_id, bob.public)})
    push = wire.build_key_push(bob.id, alice.public)
    yield hexed({"kind": "key_push", "name": "key push", **both, "public": alice.public,
                 "mac1": push[-12:], "message": push})


def all_cases():
    yield identity_case("identity zero", bytes(32))
    yield identity_case("identity counting", bytes(range(32)))
    yield identity_case("identity ones", b"\xff" * 32)
    aes, chacha, both = wire.SUITE_AES, wire.SUITE_CHACHA, wire.ALL_SUITES
    yield handshake_case("both suites offered, no psk, no cookie", both, both, False, False,
                         300, 300)
    yield handshake_case("chacha20-poly1305 only, psk", chacha, both, True, False, 300, 60)
    yield handshake_case("aes-256-gcm, psk, cookie", aes, aes, True, True, 3600, 3600)
    yield handshake_case("responder allows chacha20-poly1305 only, cookie", both, chacha, False,
                         True, 60, 120)
    yield handshake_case("unknown suite bits, higher max version", 0xf3, both, False, False,
                         600, 300, max_version=7)
    yield from first_contact_cases()


def render():
    return json.dumps({"format": FORMAT, "cases": list(all_cases())}, indent=1) + "\n"


def main(argv):
    text = render()
    if "--check" in argv:
        with open(PATH, encoding="ascii") as file:
            return 0 if file.read() == text else 1
    os.makedirs(os.path.dirname(PATH), exist_ok=True)
    with open(PATH, "w", encoding="ascii") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
