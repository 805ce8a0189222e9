"""Reads what tests/symbolic/trace.c prints and makes terms of it: one program per run, with open inputs.

A program is what the code computes in one role, for one peer: the messages that it sends, what must hold of those that
it accepts, its states and keys. Atoms named '@...' are drawn afresh by each instance, atoms named '?...' are inputs.
"""

import json
import subprocess

import terms
from terms import Term, literal

MESSAGES = ("INIT", "REPLY", "OFFER", "ACCEPT")
SHORTEST_SLICE = 8
LONGEST_BINARY_LITERAL = 12


class TraceError(Exception):
    """The trace holds something that the model has no notion of."""


def brief(term):
    return terms.show(term)[:200]


class Bytes:
    """Every byte string that came up so far, and its term."""

    def __init__(self):
        self.known = {}    # the value's first eight bytes, or all four -> (value, term)
        self.windows = set()

    def add(self, value, term):
        old = self.find(value)
        if old is not None:
            if old is not term:
                raise TraceError(f"one byte string, two terms: {brief(old)} and {brief(term)}")
            return
        if len(value) != 4 and len(value) < SHORTEST_SLICE:
            raise TraceError(f"a value of {len(value)} bytes: {brief(term)}")
        self.known[value[:SHORTEST_SLICE]] = (value, term)
        self.windows.update(value[i:i + SHORTEST_SLICE] for i in range(len(value) - SHORTEST_SLICE + 1))

    def find(self, value):
        full, term = self.known.get(value[:SHORTEST_SLICE], (None, None))
        return term if full == value else None

    def at(self, value, start):
        """(term, length) of the longest known value, or beginning of one, at this place."""
        full, term = self.known.get(value[start:start + SHORTEST_SLICE], (None, None))
        if full is None:
            full, term = self.known.get(value[start:start + 4], (None, None))
            return (term, 4) if full is not None else (None, 0)
        if value.startswith(full, start):
            return term, len(full)
        length = next(i for i in range(len(full) + 1) if value[start:start + i + 1] != full[:i + 1])
        length -= length % 4
        return terms.first_bytes(term, length), length

    def parts(self, value):
        """The terms that a byte string is the concatenation of; what is not known is a literal."""
        found, unknown, start = [], b"", 0
        while start < len(value):
            term, length = self.at(value, start)
            if term is None:
                unknown += value[start:start + 1]
                start += 1
                continue
            if unknown:
                found.append(self.plain(unknown))
                unknown = b""
            found.append(term)
            start += length
        return found + ([self.plain(unknown)] if unknown else [])

    def plain(self, value):
        """A literal; neither a piece from the middle of a value, nor a value that was never announced."""
        if any(value[i:i + SHORTEST_SLICE] in self.windows for i in range(len(value) - SHORTEST_SLICE + 1)):
            raise TraceError(f"{value.hex()} holds a piece of a known value")
        text = value.rstrip(b"\0")
        if len(text) > LONGEST_BINARY_LITERAL and not all(0x20 <= byte < 0x7f for byte in text):
            raise TraceError(f"{value.hex()} is nothing known")
        return literal(value)

    def term(self, value):
        return terms.cat(*self.parts(value))


class Program:
    """One run. needs[m]: the sealed fields, as terms, that a received message m must carry to be accepted."""

    def __init__(self, name):
        self.name = name
        self.values = {}
        self.needs = {}
        self.seals = []   # (key, ad, plaintext), in order


class Reader:
    """mutate(kind, number, parts) may change what goes into a step of the schedule; see mutants.py. Only runs of one
    role are read then, since in a pair's run the steps of both sides mix."""

    def __init__(self, mutate=None):
        self.only_roles = mutate is not None
        self.mutate = mutate or (lambda kind, number, parts: parts)
        self.bytes = Bytes()
        self.programs = {}
        self.program = None
        self.counts = {}
        self.open_needs = []

    def read(self, lines):
        skipping = False
        for line in lines:
            record = json.loads(line)
            if record["op"] == "run":
                skipping = self.only_roles and record["name"].startswith("pair ")
            if skipping:
                continue
            getattr(self, "on_" + record.pop("op"))(**{
                "inputs" if key == "in" else key: value for key, value in record.items()})
        return self.programs

    def one(self, text):
        return self.bytes.term(bytes.fromhex(text))

    def joined(self, texts):
        return terms.flatten([self.one(text) for text in texts])

    def put(self, text, term):
        self.bytes.add(bytes.fromhex(text), term)

    def count(self, kind):
        """The number of this step in the run, beginning with 1."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return self.counts[kind]

    def on_run(self, name):
        self.program = self.programs[name] = Program(name)
        self.counts = {}
        self.open_needs = []

    def on_atom(self, name, value):
        self.put(value, terms.atom(name))

    def on_value(self, name, value):
        self.program.values[name] = self.one(value)
        if name in MESSAGES:
            self.program.needs[name] = self.open_needs
            self.open_needs = []

    def on_hash(self, inputs, out):
        """MixHash begins with h, which is a hash; everything else with a label."""
        parts = self.joined(inputs)
        if parts[0].op == "hash":
            state, rest = parts[0], self.mutate("MixHash", self.count("MixHash"), parts[1:])
            term = terms.sha256(state, *rest) if rest else state
        else:
            start = parts[0].op == "lit" and parts[0].args[0].startswith(b"CrypRQ/1 ")
            term = terms.sha256(*(self.mutate("Start", self.count("Start"), parts) if start else parts))
        self.put(out, term)

    def on_hmac(self, key, inputs, out):
        """K(label) begins with "key", MixKey with a secret; the MACs and the identity's keys with a label or header."""
        key, parts = self.one(key), self.joined(inputs)
        if parts[0].op != "lit":
            parts = self.mutate("MixKey", self.count("MixKey"), parts)
            self.put(out, terms.hmac(key, *parts) if parts else key)
            return
        if parts[0].args[0].startswith(b"key"):
            parts = self.mutate("K", parts[0].args[0][len(b"key"):].decode(), parts)
        self.put(out, terms.hmac(key, *parts))

    def on_seal(self, key, ad, p, out):
        key, ad, p = self.one(key), self.one(ad), self.one(p)
        self.program.seals.append((key, ad, p))
        self.put(out, terms.aead(key, ad, p))

    def on_open(self, key, ad, p, out):
        expected = terms.aead(self.one(key), self.one(ad), self.one(p))
        if self.bytes.find(bytes.fromhex(out)) is not expected:
            raise TraceError(f"opened what was not sealed: {brief(expected)}")

    def on_fill(self, key, ad, p, out):
        term = terms.aead(self.one(key), self.one(ad), self.one(p))
        self.put(out, term)
        self.open_needs.append(term)

    def on_public(self, secret, out):
        self.put(out, terms.public(self.one(secret)))

    def on_dh(self, secret, peer, out):
        self.put(out, terms.dh(terms.public(self.one(secret)), self.one(peer)))

    def on_keygen(self, seed, out):
        self.put(out, terms.encapsulation_key(self.one(seed)))

    def on_encaps(self, ek, m, ct, out):
        ek, m = self.one(ek), self.one(m)
        self.put(ct, terms.ciphertext(ek, m))
        self.put(out, terms.shared_secret(m))

    def on_decaps(self, seed, ct, out):
        self.put(out, terms.decapsulate(self.one(seed), self.one(ct)))


def run_trace(program):
    done = subprocess.run([program], stdout=subprocess.PIPE, check=True, timeout=60)
    return done.stdout.decode().splitlines()


class Instance:
    """A program with its inputs filled in; what it draws is named after the instance."""

    def __init__(self, program, label, inputs):
        self.program, self.label, self.inputs = program, label, inputs
        self.memo = {}
        self.values = {name: self.fill(term) for name, term in program.values.items()}
        self.needs = {name: [self.fill(term) for term in needs] for name, needs in program.needs.items()}
        self.seals = [tuple(self.fill(part) for part in seal) for seal in program.seals]

    def replace(self, atom):
        name = atom.args[0]
        if name.startswith("@"):
            return self.drawn(name[1:])
        if name.startswith("?"):
            return self.inputs[name[1:]]
        return None

    def drawn(self, name):
        return terms.atom(f"{self.label}.{name}")

    def fill(self, term: Term):
        return terms.substitute(term, self.replace, self.memo)
