#!/usr/bin/env python3
"""Secrecy and authentication of the handshake in the symbolic model, over the terms that the code computes.

    tests/symbolic/test_symbolic.py [TRACE]              run the tests, TAP on standard output
    ... --table                                          the smallest sets of compromises with an attack
    ... --explain PROPERTY FLAG,FLAG,... [--psk set] [--mutant NAME]
                                                         one attack, step by step

TRACE is the program trace_handshake of the build (build/tests/symbolic/trace_handshake without it).
docs/verification.md says what is modelled. Needs nothing but Python's standard library.
"""

import argparse
import functools
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "interop"))

# pylint: disable=wrong-import-position
import expected
import model
import mutants
import paper
import roles
import tap
import terms
from model import FLAGS, PROPERTIES
from tap import check, equal

ROOT = HERE.parent.parent
PSKS = ("unset", "set")
suite = tap.Suite()
options = argparse.Namespace(trace=None)


@functools.cache
def trace_lines():
    return roles.run_trace(options.trace)


@functools.cache
def programs():
    return roles.Reader().read(trace_lines())


@functools.cache
def explored(psk):
    world = model.World(programs(), psk)
    return world, model.explore(world)


def name_set(valuation):
    return ", ".join(sorted(FLAGS.set_of(valuation))) or "nothing"


def show_deviation(name, findings, mask, text):
    valuation = (mask & -mask).bit_length() - 1
    lines = [f"{name}: {mask.bit_count()} sets, for instance with {name_set(valuation)}: {text}"]
    if findings.masks[name] >> valuation & 1:
        lines += findings.case_of(name, valuation).explain(name, valuation)
    return "\n".join(lines)


# The terms: code against code, code against document

@suite.case("the programs of both roles, put together, give what two real sides compute with each other")
def pair_of_programs():
    def drawn(name):
        return terms.atom("@" + name)

    keys = programs()["keys"].values
    seed = drawn("seed_E")
    inputs = {"psk": terms.atom("?psk"), "idx_I": drawn("idx_I"), "idx_R": drawn("idx_R"),
              "idx_OFFER": drawn("idx_I"), "idx_ACCEPT": drawn("idx_R"),
              "e_I": terms.public(drawn("e_I")), "e_R": terms.public(drawn("e_R")),
              "ct_R": terms.ciphertext(keys["ek_B"], drawn("m_R")),
              "ct_I": terms.ciphertext(keys["ek_A"], drawn("m_I")),
              "ek_E": terms.encapsulation_key(seed),
              "ct_E": terms.ciphertext(terms.encapsulation_key(seed), drawn("m_E"))}
    pair = programs()["pair A B"].values
    for name in ("initiator A B", "responder B A"):
        program = programs()[name]
        memo = {}
        for value, term in program.values.items():
            got = terms.substitute(term, lambda a: inputs.get(a.args[0][1:]) if a.args[0][0] == "?" else None, memo)
            check(got is pair[value], f"{value} of {name} differs from that of the pair")


@suite.case("the code computes the key schedule that docs/protocol.md writes down")
def code_and_document():
    pair = programs()["pair A B"]
    computed = paper.run((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"), programs()["keys"])
    equal(sorted(paper.COMPARED - computed.keys()), [], "values that the document does not give")
    for name in sorted(paper.COMPARED):
        check(computed[name] is pair.values[name], f"{name} differs from the document's")


@suite.case("a change to the document's key schedule is noticed")
def document_matters():
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    pair = programs()["pair A B"]
    for old, new in (("MixKey(K_s ‖ DH(e_I, S_R)) |", "MixKey(DH(e_I, S_R) ‖ K_s) |"),
                     ('Seal("m2 ct", ct_I)', 'Seal("m2", ct_I)'), ("MixHash(OFFER[0:12])", "MixHash(OFFER[0:8])"),
                     ('"key" ‖ label ‖ h ‖ 0x01', '"key" ‖ label ‖ 0x01'), ("| MixKey(K_e) |", "| MixKey(K_i) |")):
        check(old in text, f"{old} is not in the document")
        computed = paper.run(text.replace(old, new), programs()["keys"])
        check(computed["i2r key"] is not pair.values["i2r key"], f"{new} went unnoticed")


# The properties

@suite.case("without compromises, and with all of them, an undisturbed handshake completes at both sides")
def honest():
    for psk in PSKS:
        case = model.Case(model.World(programs(), psk), model.Scenario("B", "A"))
        for label, message in (("A", "REPLY"), ("A", "ACCEPT"), ("B", "INIT"), ("B", "OFFER")):
            equal(case.accepts(label, message), FLAGS.everywhere, f"{label} accepts {message}")
        check(case.same(*model.MESSAGES), "the two sides saw different messages")


def property_case(name, psk):
    @suite.case(f"{name}, psk {psk}: attacks exactly where expected ({PROPERTIES[name]})")
    def run():
        _, findings = explored(psk)
        wanted = expected.table(psk)[name]
        found = findings.masks[name]
        if found & ~wanted:
            raise tap.Failure(show_deviation(name, findings, found & ~wanted, "an attack that was not expected"))
        if wanted & ~found:
            raise tap.Failure(show_deviation(name, findings, wanted & ~found, "no attack, but one was expected"))


for _psk in PSKS:
    for _name in PROPERTIES:
        property_case(_name, _psk)


def claim_case(psk, number):
    claim, properties, covered, allowed = expected.claims(psk)[number]

    @suite.case(f"claim {claim}, psk {psk}")
    def run():
        _, findings = explored(psk)
        check(covered, "the claim covers nothing")
        for name in properties:
            broken = findings.masks[name] & covered & ~allowed
            if broken:
                raise tap.Failure(show_deviation(name, findings, broken, "the claim does not hold"))


for _psk in PSKS:
    for _number in range(len(expected.claims(_psk))):
        claim_case(_psk, _number)


@suite.case("session keys, IVs and exporter are distinct, and the exporter gives nothing away")
def separation():
    equal(model.separation(explored("unset")[0]), [], "problems")


@suite.case("no key seals two plaintexts, even if R takes one INIT twice")
def repeated_keys():
    equal(model.repeated_keys(explored("unset")[0]), [], "problems")


# The mutants

def examine(mutant):
    """(properties that fail beyond what the real schedule allows, a text that shows the first attack)."""
    world = model.World(roles.Reader(mutant.change).read(trace_lines()), mutant.psk)
    wanted = expected.table(mutant.psk)
    failed, texts = [], []
    for name, problems in (("separation", model.separation(world)), ("repeated keys", model.repeated_keys(world))):
        if problems:
            failed.append(name)
            texts.append(f"{name}: {problems[0]}")

    def done(findings):
        return bool(mutant.fails) and all(findings.masks[name] & ~wanted[name] for name in mutant.fails
                                          if name in PROPERTIES)

    findings = model.explore(world, done, thorough=False)
    for name in PROPERTIES:
        extra = findings.masks[name] & ~wanted[name]
        if extra:
            failed.append(name)
            texts.append(show_deviation(name, findings, smallest(extra), "attack"))
    return failed, "\n".join(texts)


def smallest(mask):
    """The valuation with the fewest flags among these, as a mask."""
    valuations = [v for v in range(FLAGS.count) if mask >> v & 1]
    return 1 << min(valuations, key=lambda v: (v.bit_count(), v))


def mutant_case(mutant):
    verdict = f"breaks {', '.join(mutant.fails)}" if mutant.fails else f"breaks nothing: {mutant.why}"

    @suite.case(f"mutant, {mutant.name}: {verdict}")
    def run():
        failed, text = examine(mutant)
        missing = [name for name in mutant.fails if name not in failed]
        check(not missing, f"not found: {', '.join(missing)}\n{text}")
        if not mutant.fails:
            check(not failed, f"an attack where none was expected\n{text}")


for _mutant in mutants.MUTANTS:
    mutant_case(_mutant)


# For people

def weaker(one, other):
    """Whether the attacker of valuation `one` has less than that of `other`: fewer losses, or later ones."""
    a, b = FLAGS.set_of(one), FLAGS.set_of(other)
    late = {"late statics", "late breaks"}
    if one == other or not a - late <= b - late:
        return False
    for when, which in (("late statics", model.STATICS), ("late breaks", model.BREAKS)):
        if a & set(which) and when in b and when not in a:
            return False
    return True


def sensible(valuation):
    have = FLAGS.set_of(valuation)
    return not ("late statics" in have and not have & set(model.STATICS)
                or "late breaks" in have and not have & set(model.BREAKS))


def minimal(mask):
    """The sets from which every other attack follows by losing more, or earlier."""
    candidates = sorted((v for v in range(FLAGS.count) if mask >> v & 1 and sensible(v)), key=int.bit_count)
    return [v for v in candidates if not any(weaker(other, v) for other in candidates)]


def describe(valuation):
    have = FLAGS.set_of(valuation)
    words = []
    for name in FLAGS.names:
        if name not in have or name.startswith("late"):
            continue
        late = name in model.STATICS and "late statics" in have or name in model.BREAKS and "late breaks" in have
        words.append(name + (" later" if late else ""))
    return " + ".join(words) or "nothing"


def print_table():
    for psk in PSKS:
        _, findings = explored(psk)
        print(f"Pre-shared key {psk}, {findings.cases} scenarios, {FLAGS.count} sets of compromises\n")
        for name, text in PROPERTIES.items():
            mask = findings.masks[name]
            print(f"{name}: {text}")
            print(f"  attack in {mask.bit_count()} sets, holds in {FLAGS.count - mask.bit_count()}"
                  + ("; the smallest with one:" if mask else ""))
            for valuation in minimal(mask):
                print(f"    {describe(valuation)}")
            print()


def print_attack():
    name, chosen = options.explain
    chosen = [word for word in chosen.split(",") if word]
    mutant = next((m for m in mutants.MUTANTS if m.name == options.mutant), None)
    if options.mutant and mutant is None:
        sys.exit("no such mutant; there are: " + "; ".join(m.name for m in mutants.MUTANTS))
    if name not in PROPERTIES or not set(chosen) <= set(FLAGS.names):
        sys.exit(f"properties: {', '.join(PROPERTIES)}; flags: {', '.join(FLAGS.names)}")
    source = roles.Reader(mutant.change).read(trace_lines()) if mutant else programs()
    valuation = FLAGS.valuation(chosen)
    findings = model.explore(model.World(source, options.psk), lambda f: f.masks[name] >> valuation & 1)
    if not findings.masks[name] >> valuation & 1:
        print(f"{name} holds with {name_set(valuation)}: no attack in {findings.cases} scenarios")
        return
    print("\n".join(findings.case_of(name, valuation).explain(name, valuation)))


def main():
    parser = argparse.ArgumentParser(description="Symbolic check of the handshake")
    parser.add_argument("trace", nargs="?", default=ROOT / "build" / "tests" / "symbolic" / "trace_handshake")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--explain", nargs=2, metavar=("PROPERTY", "FLAGS"))
    parser.add_argument("--psk", choices=PSKS, default="unset")
    parser.add_argument("--mutant", metavar="NAME")
    parser.add_argument("--only", metavar="WORD", help="only cases with this in their names")
    parser.parse_args(namespace=options)
    if not os.access(options.trace, os.X_OK):
        print(f"1..0 # SKIP {options.trace} has not been built")
        return 77
    if options.table:
        return print_table()
    if options.explain:
        return print_attack()
    return suite.main([options.only] if options.only else ["-"])


if __name__ == "__main__":
    sys.exit(main())
