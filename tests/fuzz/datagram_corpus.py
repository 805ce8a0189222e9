#!/usr/bin/env python3
"""Writes the corpus of fuzz_datagram: honest courses of events and single messages, for the fuzzer to vary."""

import pathlib
import random
import struct

FOLDER = pathlib.Path(__file__).parent / "corpus" / "fuzz_datagram"

LIVE, PENDING, STRANGER, CHANGED, ANSWER, CONTROL, DATA, OWN = range(8)
REPAIR, WAIT, WAIT_LONG, FROM_STRANGER = 8, 16, 32, 64
OF_PENDING = 0x80
INIT, REPLY, OFFER, ACCEPT, COOKIE, KEY_REQUEST, KEY_RESPONSE, KEY_PUSH = range(1, 9)
LENGTHS = {INIT: 1232, REPLY: 1172, OFFER: 1220, ACCEPT: 1132, COOKIE: 64, KEY_REQUEST: 1232, KEY_RESPONSE: 1224,
           KEY_PUSH: 1232}
CONTROL_TYPE = 17


def step(op, data=b""):
    return struct.pack(">BH", op, len(data)) + data


def changed(kind, offset=None, flip=1, op=0):
    change = b"" if offset is None else struct.pack(">HB", offset, flip)
    return step(CHANGED | op, bytes([kind]) + change)


def as_responder():
    return (step(ANSWER, bytes([OF_PENDING | REPLY])) + changed(OF_PENDING | OFFER)
            + step(ANSWER, bytes([OF_PENDING | ACCEPT])) + changed(OF_PENDING | CONTROL_TYPE))


def as_initiator():
    return (changed(OF_PENDING | REPLY) + step(ANSWER, bytes([OF_PENDING | OFFER])) + changed(OF_PENDING | ACCEPT)
            + step(ANSWER, bytes([OF_PENDING | CONTROL_TYPE])) + changed(OF_PENDING | CONTROL_TYPE))


def cases():
    ping, pong = bytes([2, 0, 8]) + bytes(range(8)), bytes([3, 0, 8]) + bytes(range(8))
    yield "as_responder", as_responder()
    yield "as_initiator", as_initiator()
    yield "crossed", as_initiator() + as_responder()
    yield "init_again", changed(OF_PENDING | INIT, op=WAIT_LONG) + changed(OF_PENDING | INIT)
    for kind, offset in ((INIT, 1216), (INIT, 40), (INIT, 1130), (INIT, 1180), (INIT, 3), (REPLY, 44), (REPLY, 1150)):
        yield f"changed_{kind}_{offset}", changed(OF_PENDING | kind, offset, op=REPAIR)
    yield "changed_offer", step(ANSWER, bytes([OF_PENDING | REPLY])) + changed(OF_PENDING | OFFER, 20)
    yield "changed_record", step(DATA) + changed(16, 20) + changed(16, 4)
    yield "keepalive", step(CONTROL, bytes([1, 0, 0]))
    yield "ping", step(CONTROL, ping) * 12
    yield "ping_padded", step(CONTROL, bytes([2, 0, 100]) + bytes(100))
    yield "close", step(CONTROL, bytes([4, 0, 1, 0])) + step(OWN) + step(WAIT_LONG | OWN)
    yield "moved", step(CONTROL | FROM_STRANGER, bytes([1, 0, 0])) + step(OWN) * 6 + step(ANSWER, bytes([17])) + changed(17)
    yield "moved_back", step(DATA | FROM_STRANGER) + step(OWN) + step(DATA) + step(CONTROL | FROM_STRANGER, pong)
    yield "traffic", (step(DATA) + step(OWN)) * 4 + step(WAIT_LONG | DATA)
    rng = random.Random(1)
    for kind, length in LENGTHS.items():
        head = bytes([kind, 1, 1, 3] if kind == INIT else [kind, 1, 0, 0])
        body = bytes(length - 4) if kind == KEY_REQUEST else rng.randbytes(length - 4)
        yield f"raw_{kind}", step(STRANGER | REPAIR, head + body)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in cases():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
