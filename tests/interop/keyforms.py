"""What a key looks like in memory: AES-256 round keys and GHASH keys in the forms code keeps them.

needles(name, suite, key) gives {description: bytes} of everything that would betray the key.
"""

import wire

_SBOX = []


def _make_sbox():
    p = q = 1
    box = [0] * 256
    while True:
        p = p ^ (p << 1) & 0xff ^ (0x1b if p & 0x80 else 0)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xff
        if q & 0x80:
            q ^= 0x09
        x = q ^ _rotl(q, 1) ^ _rotl(q, 2) ^ _rotl(q, 3) ^ _rotl(q, 4)
        box[p] = x ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    return box


def _rotl(x, n):
    return (x << n | x >> (8 - n)) & 0xff


_SBOX = _make_sbox()


def expand_key(key):
    """FIPS 197: the 15 round keys of AES-256."""
    words = [key[i:i + 4] for i in range(0, 32, 4)]
    rcon = 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = bytes(_SBOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ rcon]) + word[1:]
            rcon <<= 1
        elif i % 8 == 4:
            word = bytes(_SBOX[b] for b in word)
        words.append(bytes(a ^ b for a, b in zip(words[-8], word)))
    return [b"".join(words[i:i + 4]) for i in range(0, 60, 4)]


def _times(a, b):
    """Multiplication in AES's field."""
    out = 0
    while b:
        if b & 1:
            out ^= a
        a = a << 1 ^ (0x11b if a & 0x80 else 0)
        b >>= 1
    return out


def inverse_mix_columns(block):
    out = []
    for c in range(0, 16, 4):
        column = block[c:c + 4]
        for row in range(4):
            out.append(_times(column[row], 14) ^ _times(column[(row + 1) % 4], 11)
                       ^ _times(column[(row + 2) % 4], 13) ^ _times(column[(row + 3) % 4], 9))
    return bytes(out)


def encrypt_block(round_keys, block):
    state = bytes(a ^ b for a, b in zip(block, round_keys[0]))
    for number, round_key in enumerate(round_keys[1:], 1):
        state = bytes(_SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16))
        if number < 14:
            mixed = []
            for c in range(0, 16, 4):
                column = state[c:c + 4]
                for row in range(4):
                    mixed.append(_times(column[row], 2) ^ _times(column[(row + 1) % 4], 3)
                                 ^ column[(row + 2) % 4] ^ column[(row + 3) % 4])
            state = bytes(mixed)
        state = bytes(a ^ b for a, b in zip(state, round_key))
    return state


# -- GHASH --------------------------------------------------------------------------------------

def _ghash_times(x, y):
    """SP 800-38D, blocks as integers with the first bit on top."""
    out = 0
    for i in range(127, -1, -1):
        if x >> i & 1:
            out ^= y
        y = y >> 1 ^ (0xe1 << 120 if y & 1 else 0)
    return out


def _twisted(h):
    """H·x as code for carry-less multiplication keeps it."""
    shifted = h << 1
    if shifted >> 128:
        shifted = shifted & (1 << 128) - 1 ^ 0xc2000000000000000000000000000001
    return shifted


def _swapped(block, size):
    return b"".join(block[i:i + size][::-1] for i in range(0, len(block), size))


def _ghash_forms(h):
    """(name, bytes) of H and its powers to the eighth."""
    base = power = int.from_bytes(h, "big")
    for exponent in range(1, 9):
        plain = power.to_bytes(16, "big")
        yield f"H^{exponent}", plain
        yield f"H^{exponent} reversed", plain[::-1]
        yield f"H^{exponent} by 64 bits", _swapped(plain, 8)
        twisted = _twisted(power).to_bytes(16, "big")
        yield f"H^{exponent} shifted", twisted[::-1]
        yield f"H^{exponent} shifted, halves swapped", _swapped(twisted, 8)
        power = _ghash_times(power, base)


def aes_forms(key):
    """(name, bytes) of all derived forms of an AES-256-GCM key, the key itself apart."""
    round_keys = expand_key(key)
    blocks = [(f"round key {i}", k) for i, k in enumerate(round_keys) if i > 1]
    blocks += [(f"decryption round key {i}", inverse_mix_columns(k))
               for i, k in enumerate(round_keys) if 0 < i < 14]
    for name, block in blocks:
        yield name, block
        yield f"{name} by 32 bits", _swapped(block, 4)
        yield f"{name} reversed", block[::-1]
    yield from _ghash_forms(encrypt_block(round_keys, bytes(16)))


def halves(name, secret):
    """A 32-byte secret as a whole and in halves: registers and spills hold 16 bytes."""
    return {f"{name}, first half": secret[:16], f"{name}, second half": secret[16:]}


def needles(name, suite, key):
    out = halves(name, key)
    if suite == wire.SUITE_AES:
        out.update({f"{name}: {form}": value for form, value in aes_forms(key)})
    return out
