"""The bounded world: an honest initiator A, an honest responder B, a malicious M, a network that M controls, and the
properties. The programs of A and B come from the code (roles.py); this file says what M may feed them.
"""

import dataclasses
import itertools

import deduce
import terms
from roles import MESSAGES, Instance
from terms import atom, make

# The X25519 and the ML-KEM half of a static key are lost separately. Without "late" a loss came before the session.
FLAGS = deduce.Flags(["A.x25519", "A.mlkem", "B.x25519", "B.mlkem", "psk", "A.ephemeral", "B.ephemeral", "X25519",
                      "ML-KEM", "late statics", "late breaks"])
STATICS = ("A.x25519", "A.mlkem", "B.x25519", "B.mlkem")
BREAKS = ("psk", "X25519", "ML-KEM")

PROPERTIES = {
    "secrecy I": "the session keys of A, who finished a handshake with B, stay secret",
    "secrecy R": "the session keys of B, who finished a handshake with A, stay secret",
    "R to I": "when A finishes with B, B has sent and received the same messages, with A",
    "I to R": "when B finishes with A, A has sent and received the same messages, with B",
    "INIT": "an INIT that B accepts as A's is one that A sent to B",
    "key share": "two honest sides with the same session key mean each other",
    "identity": "ID_I in an INIT of A to B stays secret",
}

SESSION_KEYS = ("i2r key", "r2i key", "exporter")


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Whom A calls, whom B takes its initiator for, and where each open input comes from."""

    a_peer: str
    b_peer: str
    e_i: str = "relay"
    ct_r: str = "relay"
    ek_e: str = "relay"
    e_r: str = "relay"
    ct_i: str = "relay"
    ct_e: str = "relay"
    headers: str = ""         # the message in whose header M changed an index, or "suites" for those that INIT offers
    background: bool = False  # two finished sessions, A to B and B to A, are known as well

    def __str__(self):
        changed = [f"{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self)[2:8]
                   if getattr(self, field.name) != "relay"]
        changed += [f"header={self.headers}"] if self.headers else []
        return f"A calls {self.a_peer}, B answers {self.b_peer}" + (f"; M: {', '.join(changed)}" if changed else "")


A_PEERS = ("B", "M", "MxB", "MkB")
B_PEERS = ("A", "M", "MxA", "MkA")


def scenarios(thorough):
    """Those first that change one thing about an honest handshake; without `thorough` no static key as an ephemeral."""
    honest = Scenario("B", "A")
    yield honest
    for field in ("ct_r", "ct_i", "ct_e"):
        yield dataclasses.replace(honest, **{field: "chosen"})
    for change in (*MESSAGES, "suites"):
        yield dataclasses.replace(honest, headers=change)
    for e_i, ct_r in itertools.product(("relay", "old", "reverse", "own"), repeat=2):
        for e_r, ct_i in itertools.product(("relay", "old", "reverse", "own"), repeat=2):
            if {"old", "reverse"} & {e_i, ct_r, e_r, ct_i}:
                yield Scenario("B", "A", e_i=e_i, ct_r=ct_r, e_r=e_r, ct_i=ct_i, background=True)
    ephemerals = ("relay", "own", "static") if thorough else ("relay", "own")
    for a_peer, b_peer in itertools.product(A_PEERS, B_PEERS):
        for e_i, e_r in itertools.product(ephemerals, repeat=2):
            for ct_r, ek_e, ct_i, ct_e in itertools.product(("relay", "own"), repeat=4):
                scenario = Scenario(a_peer, b_peer, e_i, ct_r, ek_e, e_r, ct_i, ct_e)
                if scenario != honest:
                    yield scenario


class World:
    """The programs, with one choice of what the pre-shared key is: "unset" or "set"."""

    def __init__(self, programs, psk):
        self.programs = programs
        self.keys = programs["keys"].values
        self.psk = psk
        self.cache = {}
        self.flags = self.make_flags()

    def make_flags(self):
        """What the attacker has from the beginning: (term, flag it takes or None)."""
        have = [(atom("k_M"), None), (atom("M.psk"), None), (deduce.X25519_BROKEN, "X25519"),
                (deduce.MLKEM_BROKEN, "ML-KEM")]
        have += [(value, None) for name, value in self.keys.items() if name[0] != "s"]
        have += [(atom(f"M.{name}"), None) for name in ("e_I", "e_R", "m_R", "m_I", "m_E", "seed_E", "idx")]
        for who in "AB":
            have.append((self.keys[f"s_{who}"], f"{who}.x25519"))
            have.append((self.seed(who), f"{who}.mlkem"))
        have += [(atom(f"A.{name}"), "A.ephemeral") for name in ("e_I", "m_R", "seed_E")]
        have += [(atom(f"B.{name}"), "B.ephemeral") for name in ("e_R", "m_I", "m_E")]
        if self.psk == "set":
            have.append((atom("psk"), "psk"))
        return have

    def seed(self, who):
        return self.keys[f"ek_{who}"].args[0]

    def shared_key(self, peer):
        """A's and B's pre-shared key with somebody."""
        if self.psk == "unset":
            return terms.literal(bytes(32))
        return atom("psk") if peer in "AB" else atom("M.psk")

    # -- where inputs come from

    def public(self, source, name, relayed, static):
        secrets = {"relay": f"{relayed}.{name}", "own": f"M.{name}", "old": f"Old.{name}"}
        if source == "static":
            return self.keys[f"S_{static}"]
        if source == "reverse":
            return terms.public(atom("Reverse." + {"e_I": "e_R", "e_R": "e_I"}[name]))
        return terms.public(atom(secrets[source]))

    def ct(self, source, ek, name, relayed):
        """To this key: what the other side encapsulated, again; M's own; a chosen ciphertext for the other's secret."""
        if source == "chosen":
            return terms.chosen_ciphertext(ek, terms.shared_secret(atom(f"{relayed}.{name}")))
        prefix = {"relay": relayed, "own": "M", "old": "Old", "reverse": "Reverse"}[source]
        if source == "reverse":
            name = {"m_R": "m_I", "m_I": "m_R"}[name]
        return terms.ciphertext(ek, atom(f"{prefix}.{name}"))

    def index(self, scenario, message, relayed):
        return atom("M.idx" if scenario.headers == message else relayed)

    def initiator(self, s):
        ek_e = terms.encapsulation_key(atom("A.seed_E"))
        return self.instance("initiator", "A", s.a_peer, "A", {
            "psk": self.shared_key(s.a_peer),
            "idx_R": self.index(s, "REPLY", "B.idx_R"),
            "e_R": self.public(s.e_r, "e_R", "B", s.a_peer),
            "ct_I": self.ct(s.ct_i, self.keys["ek_A"], "m_I", "B"),
            "idx_ACCEPT": self.index(s, "ACCEPT", "B.idx_R"),
            "ct_E": self.ct(s.ct_e, ek_e, "m_E", "B"),
        })

    def responder(self, s):
        seed = atom("A.seed_E" if s.ek_e == "relay" else "M.seed_E")
        role = "responder-one-suite" if s.headers == "suites" else "responder"
        return self.instance(role, "B", s.b_peer, "B", {
            "psk": self.shared_key(s.b_peer),
            "idx_I": self.index(s, "INIT", "A.idx_I"),
            "e_I": self.public(s.e_i, "e_I", "A", s.b_peer),
            "ct_R": self.ct(s.ct_r, self.keys["ek_B"], "m_R", "A"),
            "idx_OFFER": self.index(s, "OFFER", "A.idx_I"),
            "ek_E": terms.encapsulation_key(seed),
        })

    def instance(self, role, who, peer, label, inputs):
        key = (role, who, peer, label, *inputs.values())
        if key not in self.cache:
            self.cache[key] = Instance(self.programs[f"{role} {who} {peer}"], label, inputs)
        return self.cache[key]

    def honest(self, initiator, responder, label):
        """Both sides of an undisturbed handshake whose secrets are named after `label`."""
        seed, m = atom(f"{label}.seed_E"), {n: atom(f"{label}.{n}") for n in ("m_R", "m_I", "m_E")}
        inputs = {"psk": self.shared_key(responder), "idx_I": atom(f"{label}.idx_I"), "idx_R": atom(f"{label}.idx_R"),
                  "idx_OFFER": atom(f"{label}.idx_I"), "idx_ACCEPT": atom(f"{label}.idx_R"),
                  "e_I": terms.public(atom(f"{label}.e_I")), "e_R": terms.public(atom(f"{label}.e_R")),
                  "ct_R": terms.ciphertext(self.keys[f"ek_{responder}"], m["m_R"]),
                  "ct_I": terms.ciphertext(self.keys[f"ek_{initiator}"], m["m_I"]),
                  "ek_E": terms.encapsulation_key(seed),
                  "ct_E": terms.ciphertext(terms.encapsulation_key(seed), m["m_E"])}
        return (self.instance("initiator", initiator, responder, label, inputs),
                self.instance("responder", responder, initiator, label, inputs))

    def background(self):
        return [side for one in (("A", "B", "Old"), ("B", "A", "Reverse")) for side in self.honest(*one)]


# A accepts REPLY, then ACCEPT; B accepts INIT, then OFFER.
STEPS = {"A": (("REPLY", "OFFER"), ("ACCEPT", None)), "B": (("INIT", "REPLY"), ("OFFER", "ACCEPT"))}


def accepted(label, message):
    return make("flag", f"{label} accepts {message}")


class Case:
    """One scenario in one world: who accepts what, and what the attacker learns, for all valuations."""

    def __init__(self, world, scenario):
        self.world, self.scenario = world, scenario
        self.a, self.b = world.initiator(scenario), world.responder(scenario)
        self.rules = self.make_rules()
        self.early = deduce.solve(self.rules, self.given(early=True), FLAGS.everywhere)
        self._later = None

    def make_rules(self):
        steps = [(self.a.values["INIT"], (), "A sends INIT")]
        for instance in (self.a, self.b):
            before = ()
            for received, sent in STEPS[instance.label]:
                done = accepted(instance.label, received)
                takes = (*before, self.outside(instance, received), *instance.needs[received])
                steps.append((done, takes, f"{instance.label} accepts {received}"))
                if sent:
                    steps.append((instance.values[sent], (done,), f"{instance.label} sends {sent}"))
                before = (done,)
        if self.scenario.background:
            steps += [(side.values[message], (), f"{message} of an earlier session")
                      for side in self.world.background() for message in MESSAGES]
        roots = [instance.values[name] for instance in (self.a, self.b) for name in (*MESSAGES, *SESSION_KEYS)]
        roots += [head for head, _, _ in steps] + [term for term, _ in self.world.flags]
        roots += [term for _, takes, _ in steps for term in takes]
        roots += [self.secrets()["identity"]]
        return deduce.collect(roots) + steps

    def outside(self, instance, received):
        """The part of a message in clear, which the attacker must know to send it."""
        return terms.cat(*[part for part in instance.values[received].args if part.op != "aead"])

    def given(self, early):
        known = {}
        for term, flag in self.world.flags:
            mask = FLAGS.everywhere if flag is None else FLAGS[flag]
            if early and flag in STATICS:
                mask &= FLAGS.without("late statics")
            if early and flag in BREAKS:
                mask &= FLAGS.without("late breaks")
            known[term] = known.get(term, 0) | mask
        return known

    def later_rules(self):
        return [rule for rule in self.rules if rule[0].op != "flag"]

    @property
    def later(self):
        """After the session: who accepted what stays as it was, what is lost late is lost now."""
        if self._later is None:
            known = dict(self.early)
            for term, mask in self.given(early=False).items():
                known[term] = known.get(term, 0) | mask
            self._later = deduce.solve(self.later_rules(), known, FLAGS.everywhere)
        return self._later

    def accepts(self, label, message):
        return self.early.get(accepted(label, message), 0)

    def secrets(self):
        return {"secrecy I": [self.a.values[name] for name in SESSION_KEYS],
                "secrecy R": [self.b.values[name] for name in SESSION_KEYS],
                "identity": identity_key(self.a)}

    def same(self, *messages):
        """Both sides saw the same bytes in these messages."""
        return all(self.a.values[name] is self.b.values[name] for name in messages)

    def attacks(self):
        """property -> valuations in which it fails here."""
        s, found = self.scenario, {}
        finished_a, finished_b = self.accepts("A", "ACCEPT"), self.accepts("B", "OFFER")
        peers = s.a_peer == "B" and s.b_peer == "A"
        if s.a_peer == "B":
            partner = finished_b if peers and self.same(*MESSAGES) else 0
            found["R to I"] = finished_a & ~partner
            found["secrecy I"] = finished_a & self.leaks("secrecy I")
            found["identity"] = self.later.get(self.secrets()["identity"], 0)
        if s.b_peer == "A":
            partner = self.accepts("A", "REPLY") if peers and self.same("INIT", "REPLY", "OFFER") else 0
            found["I to R"] = finished_b & ~partner
            found["secrecy R"] = finished_b & self.leaks("secrecy R")
            found["INIT"] = 0 if peers and self.same("INIT") else self.accepts("B", "INIT")
        if not peers and self.share_key():
            found["key share"] = finished_a & finished_b
        return found

    def leaks(self, name):
        mask = 0
        for key in self.secrets()[name]:
            mask |= self.later.get(key, 0)
        return mask

    def share_key(self):
        return any(self.a.values[key] is self.b.values[key] for key in SESSION_KEYS)

    # -- for people

    def names(self):
        """What to call the terms of this case."""
        keys = self.world.keys
        named = {keys[f"{what}_{who}"]: f"{what}_{who}" for what in ("s", "S", "ek", "ID") for who in "ABM"}
        for name, value in keys.items():
            named.setdefault(value, name)
        named.update({self.world.seed(who): f"the ML-KEM seed of {who}" for who in "ABM"})
        for instance in (self.b, self.a):
            fields = [(key, "seals", terms.show(plaintext, named)) for key, _, plaintext in instance.seals]
            fields += [(term.args[0], "opens", terms.show(term.args[2], named))
                       for needs in instance.needs.values() for term in needs]
            for key, verb, plaintext in fields:
                named.setdefault(key, f"[key with which {instance.label} {verb} {plaintext or 'the empty text'}]")
            for name, value in instance.values.items():
                named[value] = f"{instance.label}'s {name}"
        return named

    def explain(self, name, valuation):
        """The attack's steps as lines of text."""
        goals = {
            "R to I": [accepted("A", "ACCEPT")], "I to R": [accepted("B", "OFFER")], "INIT": [accepted("B", "INIT")],
            "key share": [accepted("A", "ACCEPT"), accepted("B", "OFFER")], "identity": [self.secrets()["identity"]],
            "secrecy I": self.secrets()["secrecy I"], "secrecy R": self.secrets()["secrecy R"],
        }[name]
        late = name in ("secrecy I", "secrecy R", "identity")
        known = {term: mask >> valuation & 1 for term, mask in self.given(early=not late).items()}
        rules = self.rules
        if late:
            # What happened in the session stays; what is lost later does not change it.
            rules = self.later_rules() + [rule for rule in self.rules
                                          if rule[0].op == "flag" and self.early.get(rule[0], 0) >> valuation & 1]
            goals = [goal for goal in goals if self.later.get(goal, 0) >> valuation & 1][:1]
        named, lines = self.names(), [str(self.scenario)]
        for goal in goals:
            for head, takes, why in deduce.proof(rules, known, goal):
                line = f"  {why}: {shorten(head, named)}" if head.op != "flag" else f"  {why}"
                line += origin(why, takes, named)
                if head.op not in TRANSCRIPT and why not in ("public", "takes apart") and line not in lines:
                    lines.append(line)
        return lines


# Steps with these are left out of an explanation: hashes and concatenations of what is known.
TRANSCRIPT = ("hash", "cat", "slice")


def origin(why, takes, named):
    """What a step took, where that says something."""
    if " sends " in why or " accepts " in why:
        return ""
    parts = [shorten(term, named) for term in takes if term.op not in ("lit", "flag", "hash")]
    return f"  from  {', '.join(parts)}" if parts else ""


def shorten(term, named, depth=2):
    """A term for an explanation: named, or written out to some depth."""
    if term in named or not terms.children(term):
        return terms.show(term, named)
    if term.op == "hash":
        return "h"
    if not depth:
        return f"{term.op}(...)"
    if term.op in ("ek", "ss", "public", "slice"):
        depth += 1
    return f"{term.op}({', '.join(shorten(arg, named, depth - 1) for arg in terms.children(term))})"


def identity_key(initiator):
    """What seals ID_I in INIT."""
    return initiator.seals[0][0]


# Properties of the keys themselves, which no scenario decides

def separation(world):
    """Pairs of names of session values that are the same, or follow from the exporter and what is public."""
    a, _ = world.honest("A", "B", "A")
    names = ("i2r key", "r2i key", "exporter", "i2r iv", "r2i iv")
    problems = [f"{one} = {other}" for one, other in itertools.combinations(names, 2)
                if a.values[one] is a.values[other]]
    given = {a.values["exporter"]: 1, a.values["sid"]: 1}
    given.update({a.values[message]: 1 for message in MESSAGES})
    known = deduce.solve(deduce.collect([a.values[name] for name in (*names, "sid", *MESSAGES)]), given, 1)
    problems += [f"{name} follows from the exporter" for name in ("i2r key", "r2i key", "i2r iv", "r2i iv")
                 if known.get(a.values[name], 0)]
    return problems


def repeated_keys(world):
    """Keys that seal two plaintexts, or one with two sets of additional data: two initiators, and two responders that
    take one and the same INIT (nobody but the replay memory keeps R from that)."""
    first, second = (world.honest("A", "B", label) for label in ("A", "B"))
    inputs = dict(first[1].inputs)
    again = Instance(world.programs["responder B A"], "B", inputs)
    seen, problems = {}, []
    for side in (first[0], first[1], second[0], again):
        for key, ad, plaintext in side.seals:
            other = seen.setdefault(key, (ad, plaintext))
            if other != (ad, plaintext):
                problems.append(f"one key seals {shorten(other[1], {})} and {shorten(plaintext, {})}")
        for key in SESSION_KEYS:
            if side.values[key] in seen:
                problems.append(f"{key} has sealed a handshake message")
    return problems


# All scenarios

class Findings:
    """property -> valuations with an attack, and the case that showed each first."""

    def __init__(self):
        self.masks = dict.fromkeys(PROPERTIES, 0)
        self.first = {name: [] for name in PROPERTIES}
        self.cases = 0

    def add(self, case):
        self.cases += 1
        for name, mask in case.attacks().items():
            fresh = mask & ~self.masks[name]
            if fresh:
                self.masks[name] |= fresh
                self.first[name].append((fresh, case))

    def case_of(self, name, valuation):
        return next(case for mask, case in self.first[name] if mask >> valuation & 1)


def worthwhile(case_a, case_b, scenario):
    """Where neither takes the other for its peer there is only a key to share by mistake."""
    if scenario.a_peer == "B" or scenario.b_peer == "A":
        return True
    return any(case_a.values[key] is case_b.values[key] for key in SESSION_KEYS)


def explore(world, stop=None, thorough=True):
    """Findings over all scenarios; stop(findings) may end it early."""
    findings = Findings()
    for scenario in scenarios(thorough):
        if not worthwhile(world.initiator(scenario), world.responder(scenario), scenario):
            continue
        findings.add(Case(world, scenario))
        if stop and stop(findings):
            break
    return findings
