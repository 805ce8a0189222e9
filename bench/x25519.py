"""Public keys of X25519 (RFC 7748), for configuring wireguard-go without further tools. Not constant in time."""

P = 2 ** 255 - 19
A24 = 121665
BASE_POINT = (9).to_bytes(32, "little")


def clamp(secret):
    number = int.from_bytes(secret, "little")
    return number & ~7 & ~(1 << 255) | 1 << 254


def multiply(secret, point=BASE_POINT):
    """The Montgomery ladder of RFC 7748, section 5."""
    k = clamp(secret)
    x1 = int.from_bytes(point, "little") % 2 ** 255
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + A24 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")
