"""Formats and primitives of docs/protocol.md: message layouts, hashes, AEAD, identity, randomness.

No state, no sockets, no clock. handshake.py and records.py build on it.
"""

import base64
import hashlib
import hmac
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import mlkem

VERSION = 1
PROTO = b"CrypRQ/1 X25519 ML-KEM-768 SHA-256 ChaCha20-Poly1305".ljust(64, b"\0")

INIT, REPLY, OFFER, ACCEPT, COOKIE, KEY_REQUEST, KEY_RESPONSE, KEY_PUSH = range(1, 9)
DATA, CONTROL = 16, 17
TYPE_NAMES = {INIT: "INIT", REPLY: "REPLY", OFFER: "OFFER", ACCEPT: "ACCEPT", COOKIE: "COOKIE",
              KEY_REQUEST: "KEY_REQUEST", KEY_RESPONSE: "KEY_RESPONSE", KEY_PUSH: "KEY_PUSH",
              DATA: "DATA", CONTROL: "CONTROL"}
LENGTHS = {INIT: 1232, REPLY: 1172, OFFER: 1220, ACCEPT: 1132, COOKIE: 64,
           KEY_REQUEST: 1232, KEY_RESPONSE: 1224, KEY_PUSH: 1232}
RECORD_MIN, RECORD_MAX = 32, 65507
HEADER_LEN = 16
TAG_LEN = 16

SUITE_AES, SUITE_CHACHA = 0x01, 0x02
ALL_SUITES = SUITE_AES | SUITE_CHACHA
SUITE_NAMES = {SUITE_AES: "aes-256-gcm", SUITE_CHACHA: "chacha20-poly1305"}

FLAG_CSUM = 0x01            # DATA: the content of the inner checksum field is undefined

PUBLIC_LEN = 32 + mlkem.EK_LEN
ZERO_PSK = bytes(32)
MIN_ROTATE, MAX_ROTATE = 60, 3600

INIT_FIELDS = (("type", 0, 1), ("version", 1, 1), ("max_version", 2, 1), ("suites", 3, 1),
               ("idx_i", 4, 4), ("e_i", 8, 32), ("ct_r", 40, 1088), ("enc_id", 1128, 48),
               ("enc_fresh", 1176, 24), ("mac1", 1200, 16), ("mac2", 1216, 16))
REPLY_FIELDS = (("type", 0, 1), ("version", 1, 1), ("reserved", 2, 2), ("idx_r", 4, 4),
                ("idx_i", 8, 4), ("e_r", 12, 32), ("enc_ct", 44, 1104), ("enc_choice", 1148, 24))
OFFER_FIELDS = (("type", 0, 1), ("version", 1, 1), ("reserved", 2, 2), ("idx_i", 4, 4),
                ("idx_r", 8, 4), ("enc_offer", 12, 1208))
ACCEPT_FIELDS = (("type", 0, 1), ("version", 1, 1), ("reserved", 2, 2), ("idx_r", 4, 4),
                 ("idx_i", 8, 4), ("enc_ct", 12, 1104), ("enc_fin", 1116, 16))
INIT_MAC1, INIT_MAC2 = 1200, 1216       # the same offsets in KEY_REQUEST


class Drop(Exception):
    """A datagram that the protocol ignores; the argument names the reason."""


# -- primitives ---------------------------------------------------------------------------------

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hmac256(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def x25519_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(
        Encoding.Raw, PublicFormat.Raw)


def dh(secret, public):
    """RFC 7748; an all-zero result is refused."""
    try:
        shared = X25519PrivateKey.from_private_bytes(secret).exchange(
            X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise Drop("dh zero") from error
    if shared == bytes(32):
        raise Drop("dh zero")
    return shared


def aead_seal(key, nonce, ad, plaintext):
    return ChaCha20Poly1305(key).encrypt(nonce, plaintext, ad)


def aead_open(key, nonce, ad, ciphertext):
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, ad)
    except InvalidTag as error:
        raise Drop("bad tag") from error


def transport_aead(suite, key):
    return AESGCM(key) if suite == SUITE_AES else ChaCha20Poly1305(key)


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text, length=32):
    """Canonical RFC 4648 section 4 text of exactly `length` bytes, or ValueError."""
    data = base64.b64decode(text, validate=True)
    if len(data) != length or b64(data) != text:
        raise ValueError("not canonical base64")
    return data


# -- randomness ---------------------------------------------------------------------------------

class SystemRandom:
    """take(label, n): the label says what the bytes are for, so that tests can replace them."""

    def take(self, label, n):
        return os.urandom(n)


class SeededRandom:
    """Deterministic: SHAKE-256 over seed, label and how often the label was asked for."""

    def __init__(self, seed):
        self.seed = seed if isinstance(seed, bytes) else seed.encode()
        self.count = {}
        self.taken = []

    def take(self, label, n):
        i = self.count.get(label, 0)
        self.count[label] = i + 1
        out = hashlib.shake_256(
            self.seed + b"/" + label.encode() + b"/" + str(i).encode()).digest(n)
        self.taken.append((label, out))
        return out


class FixedRandom:
    """Values given by label, each used once and in order; KeyError when there is none left."""

    def __init__(self, **values):
        self.values = {k.replace("__", "."): list(v) if isinstance(v, (list, tuple)) else [v]
                       for k, v in values.items()}

    def take(self, label, n):
        if not self.values.get(label):
            raise KeyError(label)
        value = self.values[label].pop(0)
        if len(value) != n:
            raise ValueError(f"{label}: {len(value)} bytes, not {n}")
        return value


# -- identity (section 2) -----------------------------------------------------------------------

def peer_id(public):
    return sha256(b"CrypRQ peer id v1", b"\x01", public)


class PublicIdentity:
    """The 1216 public bytes of a node. The modulus check is the caller's (see mlkem.ek_valid)."""

    def __init__(self, public):
        if len(public) != PUBLIC_LEN:
            raise ValueError("public key length")
        self.public = bytes(public)
        self.s_pub = self.public[:32]
        self.ek = self.public[32:]
        self.id = peer_id(self.public)

    @property
    def id_text(self):
        return b64(self.id)


class Identity(PublicIdentity):
    """Everything that follows from the 32 secret bytes k."""

    def __init__(self, k):
        if len(k) != 32:
            raise ValueError("secret key length")
        self.k = bytes(k)
        self.s = hmac256(k, b"CrypRQ x25519", b"\x01")
        self.d = hmac256(k, b"CrypRQ ml-kem-768 d", b"\x01")
        self.z = hmac256(k, b"CrypRQ ml-kem-768 z", b"\x01")
        ek, self.dk = mlkem.keygen(self.d, self.z)
        super().__init__(x25519_public(self.s) + ek)

    @classmethod
    def generate(cls, rng=None):
        return cls((rng or SystemRandom()).take("identity.k", 32))


# -- macs and cookies (section 3) ---------------------------------------------------------------

def mac1_key(responder_id):
    return sha256(b"CrypRQ mac1", responder_id)


def mac1(responder_id, covered):
    return hmac256(mac1_key(responder_id), covered)[:16]


def mac2(cookie, covered):
    return hmac256(cookie, covered)[:16] if cookie else bytes(16)


def fresh8(cookie):
    return hmac256(cookie, b"fresh")[:8] if cookie else bytes(8)


def make_cookie(secret, ip_bytes, port):
    """The value that only its maker checks, so its input is the maker's business."""
    return hmac256(secret, ip_bytes, struct.pack(">H", port))[:16]


def cookie_key(responder_id, nonce):
    return hmac256(sha256(b"CrypRQ cookie", responder_id), nonce)


def build_cookie(responder_id, idx, nonce, answered_mac1, cookie):
    sealed = aead_seal(cookie_key(responder_id, nonce), bytes(12), answered_mac1, cookie)
    return bytes([COOKIE, VERSION, 0, 0]) + idx + nonce + sealed


def open_cookie(responder_id, message, answered_mac1):
    nonce = message[8:32]
    return aead_open(cookie_key(responder_id, nonce), bytes(12), answered_mac1, message[32:64])


# -- first contact (section 4) ------------------------------------------------------------------

def build_key_request(responder_id, request_id, cookie=None):
    message = bytes([KEY_REQUEST, VERSION, 0, 0]) + request_id + bytes(1192)
    message += mac1(responder_id, message)
    return message + mac2(cookie, message)


def build_key_response(request_id, public):
    return bytes([KEY_RESPONSE, VERSION, 0, 0]) + request_id + public


def build_key_push(responder_id, public):
    message = bytes([KEY_PUSH, VERSION, 0, 0]) + public
    return message + mac1(responder_id, message)[:12]


# -- the checks that come first -----------------------------------------------------------------

def check_header(message):
    """Type of a message whose length, version and reserved bytes are right, else Drop."""
    if not message:
        raise Drop("length")
    kind = message[0]
    if kind in LENGTHS:
        if len(message) != LENGTHS[kind]:
            raise Drop("length")
    elif kind in (DATA, CONTROL):
        if not RECORD_MIN <= len(message) <= RECORD_MAX:
            raise Drop("length")
    else:
        raise Drop("type")
    if message[1] != VERSION:
        raise Drop("version")
    if kind == INIT:
        if message[2] < message[1]:
            raise Drop("max version")
    elif kind == DATA:
        if message[2] & ~FLAG_CSUM or message[3]:
            raise Drop("reserved")
    elif message[2] or message[3]:
        raise Drop("reserved")
    if kind == KEY_REQUEST and any(message[8:INIT_MAC1]):
        raise Drop("reserved")
    return kind


def field(message, fields, name):
    for label, offset, length in fields:
        if label == name:
            return message[offset:offset + length]
    raise KeyError(name)
