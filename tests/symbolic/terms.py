"""Terms: what a byte string is made of. Equal terms are one object, so comparing them is comparing identity."""

_terms = {}


class Term:
    __slots__ = ("op", "args", "number")

    def __init__(self, op, args, number):
        self.op, self.args, self.number = op, args, number

    def __repr__(self):
        return show(self)


def make(op, *args):
    key = (op, *(arg.number if isinstance(arg, Term) else arg for arg in args))
    term = _terms.get(key)
    if term is None:
        # Subterms have smaller numbers than what is made of them.
        term = _terms[key] = Term(op, args, len(_terms))
    return term


def children(term):
    return [arg for arg in term.args if isinstance(arg, Term)]


# Constructors. Byte strings: literal, atom (drawn at random), variable (whatever the network sends). Lists of parts
# stand for concatenation.

def literal(value):
    return make("lit", bytes(value))


def atom(name):
    return make("atom", name)


def flatten(parts):
    """Concatenations opened up, adjacent literals joined, empty ones left out."""
    flat = []
    for part in parts:
        for piece in part.args if part.op == "cat" else (part,):
            if piece.op == "lit" and flat and flat[-1].op == "lit":
                flat[-1] = literal(flat[-1].args[0] + piece.args[0])
            elif piece is not literal(b""):
                flat.append(piece)
    return flat


def cat(*parts):
    flat = flatten(parts)
    return flat[0] if len(flat) == 1 else make("cat", *flat)


def sha256(*parts):
    return make("hash", *flatten(parts))


def hmac(key, *parts):
    return make("hmac", key, *flatten(parts))


def aead(key, ad, plaintext):
    return make("aead", key, ad, plaintext)


def public(secret):
    return make("public", secret)


def dh(one, other):
    """The result of X25519 for two public keys, whoever computes it."""
    return make("dh", *sorted((one, other), key=lambda key: key.number))


def encapsulation_key(seed):
    return make("ek", seed)


def ciphertext(ek, m):
    return make("ct", ek, m)


def shared_secret(m):
    """Not bound to a key or a ciphertext: whoever knows m can encapsulate the same secret to another key. ML-KEM binds
    its secret to the key; nothing here may depend on that."""
    return make("ss", m)


def chosen_ciphertext(ek, secret):
    """A ciphertext that decapsulates to a secret of the maker's choice: only where ML-KEM is broken."""
    return make("chosen", ek, secret)


def decapsulate(seed, ct):
    ek = encapsulation_key(seed)
    if ct.op == "ct" and ct.args[0] is ek:
        return shared_secret(ct.args[1])
    if ct.op == "chosen" and ct.args[0] is ek:
        return ct.args[1]
    return make("decaps", seed, ct)


def first_bytes(term, length):
    return make("slice", term, length)


_BUILDERS = {"cat": cat, "hash": sha256, "hmac": hmac, "dh": dh, "decaps": decapsulate}


def rebuild(term, args):
    return _BUILDERS.get(term.op, lambda *a: make(term.op, *a))(*args)


def substitute(term, replace, memo):
    """term with every atom a for which replace(a) gives a term replaced by it, in normal form."""
    done = memo.get(term)
    if done is None:
        if term.op == "atom":
            done = replace(term) or term
        elif term.op == "lit":
            done = term
        else:
            done = rebuild(term, [substitute(arg, replace, memo) if isinstance(arg, Term) else arg
                                  for arg in term.args])
        memo[term] = done
    return done


def subterms(roots, seen=None):
    """All terms that the roots are made of, themselves included."""
    seen = set() if seen is None else seen
    stack = list(roots)
    while stack:
        term = stack.pop()
        if term not in seen:
            seen.add(term)
            stack.extend(children(term))
    return seen


# For people

def show_literal(value):
    if value and set(value) == {0}:
        return f"0^{len(value)}"
    text = value.rstrip(b"\0")
    if text and all(0x20 <= byte < 0x7f for byte in text):
        return '"' + text.decode() + '"'
    return value.hex()


def show(term, names=None):
    """names: term -> what to call it; everything else is written out."""
    if names and term in names:
        return names[term]
    inner = [show(arg, names) if isinstance(arg, Term) else str(arg) for arg in term.args]
    if term.op == "lit":
        return show_literal(term.args[0])
    if term.op in ("atom", "flag"):
        return term.args[0]
    if term.op == "slice":
        return f"{inner[0]}[:{inner[1]}]"
    if term.op == "cat":
        return " | ".join(inner)
    if term.op == "hash":
        return f"H({' | '.join(inner)})"
    if term.op == "hmac":
        return f"HMAC({inner[0]}, {' | '.join(inner[1:])})"
    return f"{term.op}({', '.join(inner)})"
