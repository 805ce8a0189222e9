"""What an attacker can deduce, for every set of compromises at once.

A valuation says for each flag whether it holds; knowledge of a term is the set of valuations in which the attacker has
it, kept as the bits of one integer. Rules are Horn clauses over terms, so the least fixed point over such sets is the
answer for all valuations together.
"""

import terms
from terms import make


class Flags:
    def __init__(self, names):
        self.names = list(names)
        self.count = 1 << len(self.names)
        self.everywhere = (1 << self.count) - 1
        self.masks = {name: self._mask(1 << bit) for bit, name in enumerate(self.names)}

    def _mask(self, bit):
        return sum(1 << valuation for valuation in range(self.count) if valuation & bit)

    def __getitem__(self, name):
        return self.masks[name]

    def without(self, name):
        return self.everywhere & ~self.masks[name]

    def set_of(self, valuation):
        return frozenset(name for bit, name in enumerate(self.names) if valuation >> bit & 1)

    def valuation(self, names):
        return sum(1 << self.names.index(name) for name in names)


X25519_BROKEN = make("flag", "X25519 broken")
MLKEM_BROKEN = make("flag", "ML-KEM broken")

_rules = {}


def rules_of(term):
    """[(what follows, what it takes, why)] for one term."""
    found = _rules.get(term)
    if found is None:
        found = _rules[term] = list(_make_rules(term))
    return found


def _make_rules(term):
    op, args = term.op, term.args
    if op in ("cat", "hash", "hmac", "ss", "ek", "ct", "public", "aead", "slice", "decaps"):
        yield term, tuple(terms.children(term)), "computes"
    if op == "lit":
        yield term, (), "public"
    elif op == "cat":
        for part in args:
            yield part, (term,), "takes apart"
    elif op == "public":
        yield args[0], (term, X25519_BROKEN), "breaks X25519"
    elif op == "dh":
        for own, peer in (args, args[::-1]):
            if own.op == "public":
                yield term, (own.args[0], peer), "computes DH"
    elif op == "aead":
        yield args[2], (term, args[0]), "opens"
    elif op == "ct":
        if args[0].op == "ek":
            yield args[1], (term, args[0].args[0]), "decapsulates"
        yield args[1], (term, args[0], MLKEM_BROKEN), "breaks ML-KEM"
    elif op == "chosen":
        yield term, (*args, MLKEM_BROKEN), "makes a ciphertext for a chosen secret"
    elif op == "decaps":
        yield term, (terms.encapsulation_key(args[0]), args[1], MLKEM_BROKEN), "breaks ML-KEM"


def collect(roots):
    """Rules for everything that the roots are made of, inner terms first."""
    return [rule for term in sorted(terms.subterms(roots), key=lambda t: t.number) for rule in rules_of(term)]


def solve(rules, known, everywhere):
    """known: term -> valuations, extended in place to the least fixed point; everywhere: all valuations."""
    uses = {}
    for rule in rules:
        for premise in rule[1]:
            uses.setdefault(premise, []).append(rule)
    get = known.get
    queue = list(rules)
    while queue:
        # A rule that waits already need not wait twice.
        waiting = set()
        following = []
        for rule in queue:
            head, premises, _ = rule
            have = get(head, 0)
            if have == everywhere:
                continue
            mask = everywhere
            for premise in premises:
                mask &= get(premise, 0)
                if not mask:
                    break
            if mask & ~have:
                known[head] = have | mask
                for use in uses.get(head, ()):
                    if id(use) not in waiting:
                        waiting.add(id(use))
                        following.append(use)
        queue = following
    return known


def proof(rules, known, goal):
    """The steps that lead to `goal`, in order, for knowledge of one valuation (masks 0 and 1): [(term, premises, why)].

    Rounds are breadth-first, so that the steps are few."""
    reached = {term: None for term, mask in known.items() if mask & 1}
    found = {}
    while goal not in reached:
        fresh = {}
        for head, premises, why in rules:
            if head not in reached and head not in fresh and all(premise in reached for premise in premises):
                fresh[head] = (head, premises, why)
        if not fresh:
            return None
        found.update(fresh)
        reached.update(dict.fromkeys(fresh))
    steps, seen = [], set()

    def visit(term):
        if term in seen or term not in found:
            return
        seen.add(term)
        for premise in found[term][1]:
            visit(premise)
        steps.append(found[term])

    visit(goal)
    return steps
