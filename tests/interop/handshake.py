"""The handshake of section 3: symmetric state, initiator and responder.

Both roles are objects that take bytes and give bytes; who calls them when, and where the bytes
go, is the node's business (cryprq_ref.py). Every secret that passes through is recorded in
`sym.trace` as (name, bytes): that is what the memory tests search for.
"""

import struct

import mlkem
import wire
from wire import Drop, dh, hmac256, sha256


class Symmetric:
    """h and ck, with the operations of section 2.

    `edit` maps a label to a function over the plaintext: what hostile tests change inside a
    sealed field.
    """

    def __init__(self, responder_id):
        self.h = self.ck = sha256(wire.PROTO, responder_id)
        self.trace = []
        self.edit = {}

    def copy(self):
        other = object.__new__(Symmetric)
        other.h, other.ck, other.trace = self.h, self.ck, list(self.trace)
        other.edit = self.edit
        return other

    def note(self, name, value):
        self.trace.append((name, value))

    def mix_hash(self, *parts):
        self.h = sha256(self.h, *parts)

    def mix_key(self, name, *parts):
        self.ck = hmac256(self.ck, *parts)
        self.note(f"ck after {name}", self.ck)

    def k(self, label):
        key = hmac256(self.ck, b"key", label.encode(), self.h, b"\x01")
        self.note(f"K({label})", key)
        return key

    def seal(self, label, plaintext):
        if label in self.edit:
            plaintext = self.edit[label](plaintext)
        sealed = wire.aead_seal(self.k(label), bytes(12), self.h, plaintext)
        self.mix_hash(sealed)
        return sealed

    def open(self, label, sealed):
        plaintext = wire.aead_open(self.k(label), bytes(12), self.h, sealed)
        self.mix_hash(sealed)
        return plaintext


class SessionKeys:
    """What a finished handshake leaves. `suite` is one of wire.SUITE_*."""

    def __init__(self, sym, suite, rotate, initiator):
        self.suite = suite
        self.rotate = rotate
        self.initiator = initiator
        self.h, self.ck = sym.h, sym.ck
        self.i2r_key = sym.k("i2r key")
        self.i2r_iv = sym.k("i2r iv")[:12]
        self.r2i_key = sym.k("r2i key")
        self.r2i_iv = sym.k("r2i iv")[:12]
        self.exporter = sym.k("exporter")
        self.sid = sha256(b"CrypRQ sid", sym.h)[:8]
        self.trace = sym.trace

    @property
    def send_key(self):
        return self.i2r_key if self.initiator else self.r2i_key

    @property
    def send_iv(self):
        return self.i2r_iv if self.initiator else self.r2i_iv

    @property
    def recv_key(self):
        return self.r2i_key if self.initiator else self.i2r_key

    @property
    def recv_iv(self):
        return self.r2i_iv if self.initiator else self.i2r_iv


def _check_rotate(rotate):
    if not wire.MIN_ROTATE <= rotate <= wire.MAX_ROTATE:
        raise Drop("rotate")


class Initiator:
    """One INIT and what may follow from it.

    init          the INIT's bytes
    read_reply()  verifies REPLY and returns OFFER's bytes
    read_accept() verifies ACCEPT and returns SessionKeys
    """

    def __init__(self, identity, remote, psk=wire.ZERO_PSK, suites=wire.ALL_SUITES, rotate=300,
                 rng=None, cookie=None, max_version=wire.VERSION, idx=None):
        rng = rng or wire.SystemRandom()
        self.identity, self.remote = identity, remote
        self.psk, self.suites, self.rotate, self.rng = psk, suites, rotate, rng
        self.cookie = cookie
        self.idx_i = idx or rng.take("init.idx", 4)
        self.idx_r = None
        self.e_i = rng.take("init.e", 32)
        self.kem_e_dk = None
        self.reply = self.offer = None
        self.init = self._write_init(max_version)

    @property
    def trace(self):
        return self.sym.trace

    def _write_init(self, max_version):
        me, you = self.identity, self.remote
        sym = self.sym = Symmetric(you.id)
        sym.note("e_I", self.e_i)
        hdr = bytes([wire.INIT, wire.VERSION, max_version, self.suites]) + self.idx_i
        e_pub = wire.x25519_public(self.e_i)
        k_s, ct_r = mlkem.encaps(you.ek, self.rng.take("init.m", 32))
        sym.note("K_s", k_s)
        sym.mix_hash(hdr, e_pub, ct_r)
        es = dh(self.e_i, you.s_pub)
        sym.note("DH(e_I,S_R)", es)
        sym.mix_key("K_s es", k_s, es)
        enc_id = sym.seal("m1 id", me.id)
        sym.mix_hash(me.id, me.s_pub, me.ek, you.s_pub, you.ek)
        sym.mix_key("ss psk", dh(me.s, you.s_pub), self.psk)
        enc_fresh = sym.seal("m1 fresh", wire.fresh8(self.cookie))
        message = hdr + e_pub + ct_r + enc_id + enc_fresh
        message += wire.mac1(you.id, message)
        self.mac1 = message[-16:]
        return message + wire.mac2(self.cookie, message)

    def read_reply(self, message):
        """Drop leaves everything as it was, so that a forged REPLY costs nothing."""
        if wire.check_header(message) != wire.REPLY or message[8:12] != self.idx_i:
            raise Drop("index")
        sym = self.sym.copy()
        e_r = message[12:44]
        sym.mix_hash(message[:12], e_r)
        ct_i = sym.open("m2 ct", message[44:1148])
        k_i = mlkem.decaps(self.identity.dk, ct_i)
        sym.note("K_i", k_i)
        ee = dh(self.e_i, e_r)
        sym.note("DH(e_I,e_R)", ee)
        sym.mix_key("K_i ee se", k_i, ee, dh(self.identity.s, e_r))
        choice = sym.open("m2 choice", message[1148:1172])
        suite, rotate_r = choice[0], struct.unpack(">H", choice[1:3])[0]
        if suite not in wire.SUITE_NAMES or not suite & self.suites:
            raise Drop("suite")
        if any(choice[3:]):
            raise Drop("reserved")
        _check_rotate(rotate_r)
        self.suite, self.rotate_r = suite, rotate_r
        self.idx_r = message[4:8]
        self.reply = message
        self.sym = sym
        self.offer = self._write_offer()
        return self.offer

    def _write_offer(self):
        sym = self.sym
        d, z = self.rng.take("offer.d", 32), self.rng.take("offer.z", 32)
        ek, self.kem_e_dk = mlkem.keygen(d, z)
        sym.note("d_E", d)
        sym.note("z_E", z)
        hdr = bytes([wire.OFFER, wire.VERSION, 0, 0]) + self.idx_i + self.idx_r
        sym.mix_hash(hdr)
        return hdr + sym.seal("m3 offer", ek + struct.pack(">H", self.rotate) + bytes(6))

    def read_accept(self, message):
        if (wire.check_header(message) != wire.ACCEPT or message[4:8] != self.idx_r
                or message[8:12] != self.idx_i):
            raise Drop("index")
        sym = self.sym.copy()
        sym.mix_hash(message[:12])
        ct_e = sym.open("m4 ct", message[12:1116])
        k_e = mlkem.decaps(self.kem_e_dk, ct_e)
        sym.note("K_e", k_e)
        sym.mix_key("K_e", k_e)
        sym.open("m4 fin", message[1116:])
        self.sym = sym
        return SessionKeys(sym, self.suite, min(self.rotate, self.rotate_r), True)


class Responder:
    """One INIT taken in stages, as R's order of checks wants it.

    __init__      DH, Decaps, enc_id: afterwards `initiator_id` is known
    authenticate  with the peer's public key: enc_fresh; afterwards `fresh` is known
    write_reply   REPLY's bytes (kept in `reply`)
    read_offer    verifies OFFER, returns SessionKeys and keeps `accept`
    Header, mac1 and mac2 are checked by the caller, before.
    """

    def __init__(self, identity, message, rng=None):
        self.rng = rng or wire.SystemRandom()
        self.identity = identity
        self.init = message
        self.idx_i = message[4:8]
        self.idx_r = None
        self.mac1 = message[wire.INIT_MAC1:wire.INIT_MAC2]
        self.offered = message[3]
        self.e_i = message[8:40]
        sym = self.sym = Symmetric(identity.id)
        sym.mix_hash(message[:1128])
        es = dh(identity.s, self.e_i)
        k_s = mlkem.decaps(identity.dk, message[40:1128])
        sym.note("K_s", k_s)
        sym.note("DH(e_I,S_R)", es)
        sym.mix_key("K_s es", k_s, es)
        self.initiator_id = sym.open("m1 id", message[1128:1176])
        self.reply = self.accept = self.offer = None

    @property
    def trace(self):
        return self.sym.trace

    def authenticate(self, remote, psk=wire.ZERO_PSK):
        me, sym = self.identity, self.sym
        self.remote = remote
        sym.mix_hash(remote.id, remote.s_pub, remote.ek, me.s_pub, me.ek)
        sym.mix_key("ss psk", dh(me.s, remote.s_pub), psk)
        self.fresh = sym.open("m1 fresh", self.init[1176:1200])

    def choose_suite(self, allowed, preferred=wire.SUITE_AES):
        common = self.offered & allowed & wire.ALL_SUITES
        if not common:
            raise Drop("no common suite")
        return preferred if common & preferred else common

    def write_reply(self, suite, rotate=300, idx=None):
        sym, rng = self.sym, self.rng
        self.suite, self.rotate = suite, rotate
        self.idx_r = idx or rng.take("reply.idx", 4)
        e_r = self.e_r = rng.take("reply.e", 32)
        e_pub = wire.x25519_public(e_r)
        k_i, ct_i = mlkem.encaps(self.remote.ek, rng.take("reply.m", 32))
        sym.note("e_R", e_r)
        sym.note("K_i", k_i)
        hdr = bytes([wire.REPLY, wire.VERSION, 0, 0]) + self.idx_r + self.idx_i
        sym.mix_hash(hdr, e_pub)
        enc_ct = sym.seal("m2 ct", ct_i)
        ee = dh(e_r, self.e_i)
        sym.note("DH(e_I,e_R)", ee)
        sym.mix_key("K_i ee se", k_i, ee, dh(e_r, self.remote.s_pub))
        enc_choice = sym.seal("m2 choice", bytes([suite]) + struct.pack(">H", rotate) + bytes(5))
        self.reply = hdr + e_pub + enc_ct + enc_choice
        return self.reply

    def read_offer(self, message):
        """Drop leaves everything as it was: a bad OFFER is ignored."""
        if (wire.check_header(message) != wire.OFFER or message[4:8] != self.idx_i
                or message[8:12] != self.idx_r):
            raise Drop("index")
        sym = self.sym.copy()
        sym.mix_hash(message[:12])
        offer = sym.open("m3 offer", message[12:])
        ek, rotate_i = offer[:mlkem.EK_LEN], struct.unpack(">H", offer[1184:1186])[0]
        if any(offer[1186:]):
            raise Drop("reserved")
        _check_rotate(rotate_i)
        if not mlkem.ek_valid(ek):
            raise Drop("modulus")
        self.offer, self.rotate_i, self.sym = message, rotate_i, sym
        return self._write_accept(ek)

    def _write_accept(self, ek):
        sym = self.sym
        k_e, ct_e = mlkem.encaps(ek, self.rng.take("accept.m", 32))
        sym.note("K_e", k_e)
        hdr = bytes([wire.ACCEPT, wire.VERSION, 0, 0]) + self.idx_r + self.idx_i
        sym.mix_hash(hdr)
        enc_ct = sym.seal("m4 ct", ct_e)
        sym.mix_key("K_e", k_e)
        self.accept = hdr + enc_ct + sym.seal("m4 fin", b"")
        return SessionKeys(sym, self.suite, min(self.rotate, self.rotate_i), False)
