"""What docs/protocol.md lets one expect: the valuations in which each property may fail.

Two independent statements. `table` is exact: derived by hand from the columns of section 3.3, it says for each property
when an attack exists; the checker must find it there and nowhere else. `claims` are the sentences of section 9 as
implications; the checker's own result must satisfy them.
"""

from model import BREAKS, FLAGS, STATICS

EVERYWHERE = FLAGS.everywhere


def no(mask):
    return EVERYWHERE & ~mask


def flags(psk, early):
    """Flag -> valuations in which the attacker has it: during the session (early), or at any time."""
    have = {name: FLAGS[name] for name in FLAGS.names}
    if early:
        have.update({name: FLAGS[name] & FLAGS.without("late statics") for name in STATICS})
        have.update({name: FLAGS[name] & FLAGS.without("late breaks") for name in BREAKS})
    if psk == "unset":
        have["psk"] = EVERYWHERE
    return have


def schedule_inputs(psk, early):
    """Input of the key schedule -> valuations in which an attacker knows it in an honest session."""
    f = flags(psk, early)
    x, k, ea, eb = f["X25519"], f["ML-KEM"], f["A.ephemeral"], f["B.ephemeral"]
    return {
        "K_s": f["B.mlkem"] | k | ea,
        "K_i": f["A.mlkem"] | k | eb,
        "K_e": k | ea | eb,
        "DH(e_I, S_R)": f["B.x25519"] | x | ea,
        "DH(s_I, S_R)": f["A.x25519"] | f["B.x25519"] | x,
        "DH(e_I, e_R)": x | ea | eb,
        "DH(s_I, e_R)": f["A.x25519"] | x | eb,
        "psk": f["psk"],
    }


def both(inputs, names):
    mask = EVERYWHERE
    for name in names:
        mask &= inputs[name]
    return mask


def table(psk):
    now, ever = schedule_inputs(psk, True), schedule_inputs(psk, False)
    # Whoever poses as R toward I makes the inputs of REPLY and ACCEPT itself, and lacks those of INIT.
    pose_as_r = both(now, ("K_s", "DH(e_I, S_R)", "DH(s_I, S_R)", "psk"))
    # Whoever poses as I toward R makes those of INIT itself, but for the static one, and ek_E.
    forge_init = both(now, ("DH(s_I, S_R)", "psk"))
    pose_as_i = forge_init & both(now, ("K_i", "DH(s_I, e_R)"))
    listen = both(ever, ever)
    return {
        "secrecy I": listen | pose_as_r,
        "secrecy R": listen | pose_as_i,
        "R to I": pose_as_r,
        "I to R": pose_as_i,
        "INIT": forge_init,
        "key share": 0,
        "identity": both(ever, ("K_s", "DH(e_I, S_R)")),
    }


def has_none(names, have):
    mask = EVERYWHERE
    for name in names:
        mask &= no(have[name])
    return mask


def claims(psk):
    """[(claim, properties, valuations that it covers, valuations among those in which it allows a failure)]."""
    now, ever = flags(psk, True), flags(psk, False)
    fresh = has_none(("A.ephemeral", "B.ephemeral"), now)
    all_fall = ever["X25519"] & ever["ML-KEM"] & ever["psk"]
    result = [("1: secret unless X25519 and ML-KEM fall and the psk is known; statics may be stolen later",
               ("secrecy I", "secrecy R"), fresh & has_none(STATICS, now), all_fall)]
    for who, other, properties in (("A", "B", ("I to R", "secrecy R")), ("B", "A", ("R to I", "secrecy I"))):
        x, k = now[f"{who}.x25519"] | now["X25519"], now[f"{who}.mlkem"] | now["ML-KEM"]
        allowed = x & k & now["psk"]
        result.append((f"2: posing as {who} takes both of its static secrets, or one and a break of the other half",
                       properties[:1], fresh, allowed))
        untouched = has_none((f"{who}.x25519", f"{who}.mlkem", "X25519", "ML-KEM"), now)
        stolen = now[f"{other}.x25519"] & now[f"{other}.mlkem"]
        result.append((f"3: with {other}'s own keys stolen, nobody poses as {who} to {other}",
                       properties[:1], fresh & untouched & stolen, 0))
    result.append(("4: no unknown key share", ("key share",), EVERYWHERE, 0))
    return result
