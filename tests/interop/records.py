"""Records of section 5: sealing and opening, lanes, replay windows, TLVs; and inner IP packets."""

import struct

from cryptography.exceptions import InvalidTag

import wire
from wire import Drop

LANES = 16
WINDOW_LANE0 = 65536
WINDOW = 8192

PAD, KEEPALIVE, PING, PONG, CLOSE = range(5)
CLOSE_SHUTDOWN, CLOSE_LIFETIME, CLOSE_REMOVED = range(3)


def nonce(iv, counter):
    return (int.from_bytes(iv, "big") ^ counter).to_bytes(12, "big")


def make_counter(lane, seq):
    return lane << 56 | seq


def seal_record(aead, iv, kind, flags, idx, counter, plaintext):
    hdr = bytes([kind, wire.VERSION, flags, 0]) + idx + struct.pack(">Q", counter)
    return hdr + aead.encrypt(nonce(iv, counter), plaintext, hdr)


def open_record(aead, iv, message):
    counter = struct.unpack(">Q", message[8:16])[0]
    try:
        return aead.decrypt(nonce(iv, counter), message[16:], message[:16])
    except InvalidTag as error:
        raise Drop("bad tag") from error


class ReplayWindow:
    """The newest `size` sequence numbers; bit i of `seen` is number `top - i`."""

    def __init__(self, size):
        self.size = size
        self.top = -1
        self.seen = 0

    def fresh(self, seq):
        if seq > self.top:
            return True
        age = self.top - seq
        return age < self.size and not self.seen >> age & 1

    def commit(self, seq):
        if not self.fresh(seq):
            return False
        if seq > self.top:
            shift = seq - self.top
            self.seen = 0 if shift >= self.size else self.seen << shift
            self.seen = (self.seen | 1) & ((1 << self.size) - 1)
            self.top = seq
        else:
            self.seen |= 1 << (self.top - seq)
        return True


class RecordLayer:
    """Both directions of one session. `local_idx` is what the other side writes into its records."""

    def __init__(self, keys, local_idx, remote_idx):
        self.keys = keys
        self.local_idx, self.remote_idx = local_idx, remote_idx
        self._seal = wire.transport_aead(keys.suite, keys.send_key)
        self._open = wire.transport_aead(keys.suite, keys.recv_key)
        self.next_seq = [0] * LANES
        self.windows = {}
        self.records_sent = self.records_opened = self.bad_tags = 0

    def seal(self, kind, plaintext, lane=0, flags=0, counter=None):
        """`counter` overrides lane and sequence: for tests that repeat or skip numbers."""
        if counter is None:
            counter = make_counter(lane, self.next_seq[lane])
            self.next_seq[lane] += 1
        self.records_sent += 1
        return seal_record(self._seal, self.keys.send_iv, kind, flags, self.remote_idx, counter,
                           plaintext)

    def open(self, message):
        """Returns (plaintext, counter); Drop for lane, replay and bad tag."""
        counter = struct.unpack(">Q", message[8:16])[0]
        lane, seq = counter >> 56, counter & ((1 << 56) - 1)
        if lane >= LANES:
            raise Drop("lane")
        window = self.windows.get(lane)
        if window is not None and not window.fresh(seq):
            raise Drop("replay")
        try:
            plaintext = open_record(self._open, self.keys.recv_iv, message)
        except Drop:
            self.bad_tags += 1
            raise
        if window is None:
            window = ReplayWindow(WINDOW if lane else WINDOW_LANE0)
            self.windows[lane] = window
        if not window.commit(seq):
            raise Drop("replay")
        self.records_opened += 1
        return plaintext, counter


# -- control ------------------------------------------------------------------------------------

def tlv(kind, value=b""):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def parse_tlvs(data):
    """List of (type, value) of the known types; Drop("tlv") for a malformed list."""
    out = []
    at = 0
    while at < len(data):
        kind = data[at]
        if kind == PAD:
            break
        if len(data) - at < 3:
            raise Drop("tlv")
        length = struct.unpack(">H", data[at + 1:at + 3])[0]
        value = data[at + 3:at + 3 + length]
        if len(value) != length:
            raise Drop("tlv")
        if (kind == KEEPALIVE and length or kind == PING and length < 8
                or kind == PONG and length != 8 or kind == CLOSE and length != 1):
            raise Drop("tlv")
        if kind <= CLOSE:
            out.append((kind, value))
        at += 3 + length
    return out


# -- inner packets ------------------------------------------------------------------------------

def pad16(packet, mtu=1420):
    """Zero-padding to a multiple of 16, never above the inner MTU."""
    return packet.ljust(max(len(packet), min(-(-len(packet) // 16) * 16, mtu)), b"\0")


def inner_packet(plaintext):
    """The IP packet at the start of a DATA plaintext; Drop("inner length") where it cannot be."""
    if len(plaintext) >= 20 and plaintext[0] >> 4 == 4:
        header = (plaintext[0] & 15) * 4
        length = struct.unpack(">H", plaintext[2:4])[0]
        if header < 20 or length < header:
            raise Drop("inner length")
    elif len(plaintext) >= 40 and plaintext[0] >> 4 == 6:
        length = 40 + struct.unpack(">H", plaintext[4:6])[0]
    else:
        raise Drop("inner length")
    if length > len(plaintext):
        raise Drop("inner length")
    return plaintext[:length]


def inner_source(packet):
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def inner_destination(packet):
    return packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]


def internet_sum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def _pseudo(src, dst, protocol, length):
    if len(src) == 4:
        return src + dst + struct.pack(">BBH", 0, protocol, length)
    return src + dst + struct.pack(">IHBB", length, 0, 0, protocol)


def ip_packet(src, dst, protocol, payload, ttl=64):
    """src and dst as 4 or 16 bytes."""
    if len(src) == 4:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, ttl, protocol, 0)
        check = ~internet_sum(head + src + dst) & 0xffff
        return head[:10] + struct.pack(">H", check) + src + dst + payload
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, ttl) + src + dst + payload


def udp_packet(src, dst, sport, dport, payload, checksum=None):
    """`checksum` None computes the right one; an integer is written as it is."""
    length = 8 + len(payload)
    head = struct.pack(">HHHH", sport, dport, length, 0)
    if checksum is None:
        checksum = ~internet_sum(_pseudo(src, dst, 17, length) + head + payload) & 0xffff or 0xffff
    head = head[:6] + struct.pack(">H", checksum)
    return ip_packet(src, dst, 17, head + payload)


def echo_packet(src, dst, ident, seq, payload=b"", reply=False):
    v4 = len(src) == 4
    kind = (0 if reply else 8) if v4 else (129 if reply else 128)
    body = struct.pack(">BBHHH", kind, 0, 0, ident, seq) + payload
    pseudo = b"" if v4 else _pseudo(src, dst, 58, len(body))
    check = ~internet_sum(pseudo + body) & 0xffff
    return ip_packet(src, dst, 1 if v4 else 58, body[:2] + struct.pack(">H", check) + body[4:])


def parse_echo(packet):
    """(is_reply, ident, seq, payload) of an ICMP or ICMPv6 echo message, else None."""
    v4 = packet[0] >> 4 == 4
    body = packet[(packet[0] & 15) * 4:] if v4 else packet[40:]
    protocol = packet[9] if v4 else packet[6]
    kinds = {8: False, 0: True} if v4 else {128: False, 129: True}
    if protocol != (1 if v4 else 58) or len(body) < 8 or body[0] not in kinds:
        return None
    ident, seq = struct.unpack(">HH", body[4:8])
    return kinds[body[0]], ident, seq, body[8:]


def answer_echo(packet):
    """The reply to an echo request, else None."""
    echo = parse_echo(packet)
    if echo is None or echo[0]:
        return None
    return echo_packet(inner_destination(packet), inner_source(packet), *echo[1:], reply=True)
