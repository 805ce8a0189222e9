"""Key schedules with one thing wrong, made by changing what the recorded code fed into a step. The steps are numbered
as both roles take them:

    MixKey   1 (K_s, DH(e_I, S_R))   2 (DH(s_I, S_R), psk)   3 (K_i, DH(e_I, e_R), DH(s_I, e_R))   4 (K_e)
    MixHash  1 INIT[0:1128]  2 enc_id  3 identities  4 enc_fresh  5 REPLY[0:44]  6 enc_ct  7 enc_choice
             8 OFFER[0:12]   9 enc_offer   10 ACCEPT[0:12]   11 enc_ct   12 enc_fin
"""

import dataclasses
import typing

import terms

ENC_ID, IDENTITIES = 2, 3


def leave_out(kind, number, *positions):
    """A step without some of its inputs, counted from 0; without any positions, without all."""
    def change(at, which, parts):
        if (at, which) != (kind, number):
            return parts
        return [part for place, part in enumerate(parts) if positions and place not in positions]
    return change


def without_clear_text(number):
    """MixHash of a message's clear part without its header."""
    def change(at, which, parts):
        if (at, which) != ("MixHash", number):
            return parts
        return [part for part in parts if part.op in ("public", "ct") or part.args[0] in ("?e_I", "?ct_R", "?e_R")]
    return change


def label_as(*labels):
    """K(label) the same for all of these labels."""
    def change(at, which, parts):
        if at != "K" or which not in labels:
            return parts
        return terms.flatten([terms.literal(b"key" + labels[0].encode()), *parts[1:]])
    return change


def no_hash_in_keys(at, _, parts):
    return [part for part in parts if part.op != "hash"] if at == "K" else parts


def all_of(*changes):
    def change(at, which, parts):
        for one in changes:
            parts = one(at, which, parts)
        return parts
    return change


def start_without_id(at, _, parts):
    return parts[:1] if at == "Start" else parts


NO_RESPONDER = all_of(start_without_id, leave_out("MixHash", IDENTITIES))
NO_INITIATOR = all_of(leave_out("MixHash", ENC_ID), leave_out("MixHash", IDENTITIES))


@dataclasses.dataclass(frozen=True)
class Mutant:
    """fails: the properties that the attack must break, by name ("separation" and "repeated keys" are properties of the
    keys themselves); empty where the schedule holds without what was left out, and then `why` says why."""

    name: str
    change: typing.Callable
    fails: tuple
    why: str = ""
    psk: str = "unset"


MUTANTS = [
    Mutant("static KEM to R (K_s) left out", leave_out("MixKey", 1, 0), ("R to I", "secrecy I", "identity")),
    Mutant("DH(e_I, S_R) left out", leave_out("MixKey", 1, 1), ("R to I", "secrecy I", "identity")),
    Mutant("static-static DH left out", leave_out("MixKey", 2, 0), ("INIT", "I to R", "R to I")),
    Mutant("psk left out", leave_out("MixKey", 2, 1), ("INIT", "secrecy I", "secrecy R", "I to R", "R to I"),
           psk="set"),
    Mutant("static KEM to I (K_i) left out", leave_out("MixKey", 3, 0), ("I to R", "secrecy R")),
    Mutant("DH(e_I, e_R) left out", leave_out("MixKey", 3, 1), ("secrecy I", "secrecy R")),
    Mutant("DH(s_I, e_R) left out", leave_out("MixKey", 3, 2), ("I to R", "secrecy R")),
    Mutant("ephemeral KEM (K_e) left out", leave_out("MixKey", 4), ("secrecy I", "secrecy R")),
    Mutant("no post-quantum part at all",
           all_of(leave_out("MixKey", 1, 0), leave_out("MixKey", 3, 0), leave_out("MixKey", 4)),
           ("secrecy I", "secrecy R", "I to R", "R to I")),
    Mutant("ct_R left out of the transcript", leave_out("MixHash", 1, 3), ("INIT", "I to R", "R to I")),
    Mutant("e_I left out of the transcript", leave_out("MixHash", 1, 2), (),
           "DH(e_I, S_R) and DH(e_I, e_R) are in ck, which vouches for e_I as well"),
    Mutant("header of INIT left out of the transcript", without_clear_text(1), ("INIT", "I to R", "R to I")),
    Mutant("header of REPLY left out of the transcript", without_clear_text(5), (),
           "its two indices are in the headers of INIT and OFFER as well"),
    Mutant("header of OFFER left out of the transcript", leave_out("MixHash", 8), ("I to R", "R to I")),
    Mutant("header of ACCEPT left out of the transcript", leave_out("MixHash", 10), ("R to I",)),
    Mutant("REPLY's enc_ct (ct_I) left out of the transcript", leave_out("MixHash", 6), ("I to R",)),
    Mutant("ACCEPT's enc_ct (ct_E) left out of the transcript", leave_out("MixHash", 11), (),
           "only who can pose as R knows the key that seals it"),
    Mutant("identities of step 5 left out", leave_out("MixHash", IDENTITIES), (),
           "ID_R is in Start and ID_I in enc_id, and an ID is the hash of the full public key"),
    Mutant("ID_R left out of Start", start_without_id, (), "step 5 has the responder's full public key"),
    Mutant("no responder identity in the transcript", NO_RESPONDER, (),
           "S_R is in DH(e_I, S_R), and ct_R in the transcript was made for ek_R"),
    Mutant("no responder identity and no ct_R in the transcript", all_of(NO_RESPONDER, leave_out("MixHash", 1, 3)),
           ("key share",)),
    Mutant("no initiator identity in the transcript", NO_INITIATOR, (),
           "S_I is in DH(s_I, S_R), and ct_I in enc_ct was made for ek_I"),
    Mutant("no initiator identity and no ct_I in the transcript", all_of(NO_INITIATOR, leave_out("MixHash", 6)),
           ("key share",)),
    Mutant("i2r and r2i key with one label", label_as("i2r key", "r2i key"), ("separation",)),
    Mutant("i2r key and exporter with one label", label_as("i2r key", "exporter"), ("separation",)),
    Mutant("i2r and r2i iv with one label", label_as("i2r iv", "r2i iv"), ("separation",)),
    Mutant("one label for all sealed fields", label_as("m1 id", "m1 fresh", "m2 ct", "m2 choice", "m3 offer", "m4 ct",
                                                       "m4 fin"), (), "h differs from field to field"),
    Mutant("h not in K(label)", no_hash_in_keys, ("repeated keys",)),
]
