"""ML-KEM-768 (FIPS 203) in plain Python, derandomised.

For tests only: nothing here runs in constant time and nothing is wiped.

    ek, dk = keygen(d, z)        seeds of 32 bytes each
    K, c   = encaps(ek, m)       m: 32 bytes; ValueError if ek fails the checks of section 7.2
    K      = decaps(dk, c)       implicit rejection; ValueError if dk or c fail those of 7.3
    ek_valid(ek)                 length and modulus check alone

Names follow FIPS 203. A polynomial is a list of 256 integers below Q.
"""

import hashlib
from functools import lru_cache

N = 256
Q = 3329
K = 3
ETA = 2                     # eta1 = eta2 = 2 for ML-KEM-768
DU = 10
DV = 4
EK_LEN = 384 * K + 32
DK_LEN = 768 * K + 96
CT_LEN = 32 * (DU * K + DV)
SEED_LEN = 32


def _bitrev7(i):
    return int(f"{i:07b}"[::-1], 2)


ZETAS = [pow(17, _bitrev7(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * _bitrev7(i) + 1, Q) for i in range(128)]
INV128 = pow(128, -1, Q)


def _g(data):
    out = hashlib.sha3_512(data).digest()
    return out[:32], out[32:]


def _h(data):
    return hashlib.sha3_256(data).digest()


def _j(data):
    return hashlib.shake_256(data).digest(32)


def ntt(f):
    """Algorithm 9, one list comprehension per block."""
    f = list(f)
    i = 1
    length = 128
    while length >= 2:
        out = []
        for start in range(0, N, 2 * length):
            zeta = ZETAS[i]
            i += 1
            low = f[start:start + length]
            high = [zeta * x for x in f[start + length:start + 2 * length]]
            out += [(a + t) % Q for a, t in zip(low, high)]
            out += [(a - t) % Q for a, t in zip(low, high)]
        f = out
        length >>= 1
    return f


def inv_ntt(f):
    """Algorithm 10."""
    f = list(f)
    i = 127
    length = 2
    while length <= 128:
        out = []
        for start in range(0, N, 2 * length):
            zeta = ZETAS[i]
            i -= 1
            low = f[start:start + length]
            high = f[start + length:start + 2 * length]
            out += [(a + b) % Q for a, b in zip(low, high)]
            out += [zeta * (b - a) % Q for a, b in zip(low, high)]
        f = out
        length <<= 1
    return [x * INV128 % Q for x in f]


def _dot(rows, columns):
    """Sum of products in the NTT domain (algorithms 11 and 12), reduced once at the end."""
    even = [0] * 128
    odd = [0] * 128
    for f, g in zip(rows, columns):
        f0, f1, g0, g1 = f[0::2], f[1::2], g[0::2], g[1::2]
        even = [s + a * b + c * d % Q * z
                for s, a, b, c, d, z in zip(even, f0, g0, f1, g1, GAMMAS)]
        odd = [s + a * d + c * b for s, a, b, c, d in zip(odd, f0, g0, f1, g1)]
    out = [0] * N
    out[0::2] = [x % Q for x in even]
    out[1::2] = [x % Q for x in odd]
    return out


def _add(f, g):
    return [(a + b) % Q for a, b in zip(f, g)]


def _sub(f, g):
    return [(a - b) % Q for a, b in zip(f, g)]


def _sample_ntt(seed):
    """Algorithm 7. Three blocks of SHAKE-128 are nearly always enough; more are taken where not."""
    num_bytes = 168 * 3
    while True:
        stream = hashlib.shake_128(seed).digest(num_bytes)
        out = []
        for a, b, c in zip(stream[0::3], stream[1::3], stream[2::3]):
            d1 = a | (b & 15) << 8
            d2 = b >> 4 | c << 4
            if d1 < Q:
                out.append(d1)
            if d2 < Q:
                out.append(d2)
        if len(out) >= N:
            return out[:N]
        num_bytes += 168


@lru_cache(maxsize=64)
def _matrix(rho):
    """A-hat: _matrix(rho)[i][j]."""
    return [[_sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


_NIBBLE = [(bin(n & 3).count("1") - bin(n >> 2).count("1")) % Q for n in range(16)]


def _sample_cbd(sigma, n):
    """Algorithm 8 with eta = 2: each nibble of PRF's output is one coefficient."""
    stream = hashlib.shake_256(sigma + bytes([n])).digest(64 * ETA)
    out = []
    for byte in stream:
        out.append(_NIBBLE[byte & 15])
        out.append(_NIBBLE[byte >> 4])
    return out


def _encode(f, d):
    """Algorithm 5 for one polynomial."""
    acc = 0
    for x in reversed(f):
        acc = acc << d | x
    return acc.to_bytes(32 * d, "little")


def _encode12(f):
    out = bytearray(384)
    out[0::3] = bytes(a & 255 for a in f[0::2])
    out[1::3] = bytes(a >> 8 | (b & 15) << 4 for a, b in zip(f[0::2], f[1::2]))
    out[2::3] = bytes(b >> 4 for b in f[1::2])
    return bytes(out)


def _decode(data, d):
    """Algorithm 6; for d = 12 without the reduction, so that the modulus check can see it."""
    acc = int.from_bytes(data, "little")
    mask = (1 << d) - 1
    if d == 12:
        out = [0] * N
        out[0::2] = [a | (b & 15) << 8 for a, b in zip(data[0::3], data[1::3])]
        out[1::2] = [b >> 4 | c << 4 for b, c in zip(data[1::3], data[2::3])]
        return out
    bits = f"{acc:0{N * d}b}"
    return [int(bits[i:i + d], 2) & mask for i in range((N - 1) * d, -1, -d)]


_COMPRESS = {d: [((x << d) + Q // 2) // Q % (1 << d) for x in range(Q)] for d in (1, DU, DV)}
_DECOMPRESS = {d: [(y * Q + (1 << (d - 1))) >> d for y in range(1 << d)] for d in (1, DU, DV)}


def _compress(f, d):
    table = _COMPRESS[d]
    return [table[x] for x in f]


def _decompress(f, d):
    table = _DECOMPRESS[d]
    return [table[y] for y in f]


def _pke_keygen(d):
    rho, sigma = _g(d + bytes([K]))
    a = _matrix(rho)
    s = [ntt(_sample_cbd(sigma, i)) for i in range(K)]
    e = [ntt(_sample_cbd(sigma, K + i)) for i in range(K)]
    t = [_add(_dot(a[i], s), e[i]) for i in range(K)]
    ek = b"".join(_encode12(p) for p in t) + rho
    return ek, b"".join(_encode12(p) for p in s)


def _pke_encrypt(ek, m, r):
    t = [[x % Q for x in _decode(ek[384 * i:384 * i + 384], 12)] for i in range(K)]
    a = _matrix(ek[384 * K:])
    y = [ntt(_sample_cbd(r, i)) for i in range(K)]
    e1 = [_sample_cbd(r, K + i) for i in range(K)]
    e2 = _sample_cbd(r, 2 * K)
    u = [_add(inv_ntt(_dot([a[j][i] for j in range(K)], y)), e1[i]) for i in range(K)]
    mu = _decompress(_decode(m, 1), 1)
    v = _add(_add(inv_ntt(_dot(t, y)), e2), mu)
    return (b"".join(_encode(_compress(p, DU), DU) for p in u)
            + _encode(_compress(v, DV), DV))


def _pke_decrypt(dk_pke, c):
    step = 32 * DU
    u = [_decompress(_decode(c[step * i:step * (i + 1)], DU), DU) for i in range(K)]
    v = _decompress(_decode(c[step * K:], DV), DV)
    s = [[x % Q for x in _decode(dk_pke[384 * i:384 * i + 384], 12)] for i in range(K)]
    w = _sub(v, inv_ntt(_dot(s, [ntt(p) for p in u])))
    return _encode(_compress(w, 1), 1)


def ek_valid(ek):
    """Section 7.2: the type check and the modulus check."""
    if len(ek) != EK_LEN:
        return False
    return all(x < Q for i in range(K) for x in _decode(ek[384 * i:384 * i + 384], 12))


def keygen(d, z):
    """ML-KEM.KeyGen_internal (algorithm 16)."""
    if len(d) != SEED_LEN or len(z) != SEED_LEN:
        raise ValueError("seed length")
    ek, dk_pke = _pke_keygen(d)
    return ek, dk_pke + ek + _h(ek) + z


def encaps(ek, m):
    """ML-KEM.Encaps_internal (algorithm 17) behind the check of section 7.2."""
    if not ek_valid(ek):
        raise ValueError("encapsulation key")
    if len(m) != 32:
        raise ValueError("message length")
    key, r = _g(m + _h(ek))
    return key, _pke_encrypt(ek, m, r)


def decaps(dk, c):
    """ML-KEM.Decaps_internal (algorithm 18) behind the checks of section 7.3."""
    if len(c) != CT_LEN:
        raise ValueError("ciphertext length")
    if len(dk) != DK_LEN:
        raise ValueError("decapsulation key length")
    dk_pke, ek = dk[:384 * K], dk[384 * K:768 * K + 32]
    h, z = dk[768 * K + 32:768 * K + 64], dk[768 * K + 64:]
    if _h(ek) != h:
        raise ValueError("decapsulation key hash")
    m = _pke_decrypt(dk_pke, c)
    key, r = _g(m + h)
    if _pke_encrypt(ek, m, r) != c:
        return _j(z + c)
    return key
