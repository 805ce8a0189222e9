"""The key schedule as docs/protocol.md writes it down, carried out over terms: the rules of section 3.2, the sender's
column of the table in 3.3, and the session's keys below it.
"""

import re

import terms
from terms import literal

COMPARED = {"h_init", "ck_init", "h_reply", "ck_reply", "h_offer", "ck_offer", "i2r key", "i2r iv", "r2i key", "r2i iv",
            "exporter", "sid", "INIT", "REPLY", "OFFER", "ACCEPT"}

# What the document means by a header, as fields; the bytes of types and versions are those of the messages' tables.
HEADERS = {"INIT": (1, 1, 1, 3), "REPLY": (2, 1, 0, 0), "OFFER": (3, 1, 0, 0), "ACCEPT": (4, 1, 0, 0)}
ROTATE = (300).to_bytes(2, "big")


class Schedule:
    def __init__(self, text, keys):
        self.text = text
        self.env = self.names(keys.values)
        self.h = self.ck = None
        self.label_of = self.rule("K(label)")
        self.message = None
        self.sealed = {name: [] for name in HEADERS}
        self.result = {}

    # -- what the document's symbols stand for

    def names(self, keys):
        """Symbols of inputs -> terms, for a handshake of A with B."""
        drawn = {name: terms.atom("@" + name)
                 for name in ("e_I", "e_R", "m_R", "m_I", "m_E", "seed_E", "idx_I", "idx_R")}
        ek_e = terms.encapsulation_key(drawn["seed_E"])
        env = {f"{what}_{role}": keys[f"{what}_{who}"] for what in ("S", "ek", "ID") for role, who in ("IA", "RB")}
        env.update({"s_I": keys["s_A"], "s_R": keys["s_B"], "psk": terms.atom("?psk"), "ek_E": ek_e,
                    "suite": literal(b"\x01"), "rotate_R": literal(ROTATE), "rotate_I": literal(ROTATE),
                    "fresh8": literal(bytes(8)),
                    "e_I": terms.public(drawn["e_I"]), "e_R": terms.public(drawn["e_R"])})
        for letter, key, ct, m in (("s", "ek_R", "ct_R", "m_R"), ("i", "ek_I", "ct_I", "m_I"),
                                   ("e", "ek_E", "ct_E", "m_E")):
            env[f"K_{letter}"] = terms.shared_secret(drawn[m])
            env[ct] = terms.ciphertext(env[key], drawn[m])
        indices = {"INIT": ("idx_I",), "REPLY": ("idx_R", "idx_I"), "OFFER": ("idx_I", "idx_R"),
                   "ACCEPT": ("idx_R", "idx_I")}
        for message, fixed in HEADERS.items():
            env[f"hdr {message}"] = terms.cat(literal(bytes(fixed)), *(drawn[name] for name in indices[message]))
        return env

    def rule(self, name):
        """The right-hand side of a rule of section 3.2."""
        return re.search(rf"^    {re.escape(name)}: +(.*)$", self.text, re.MULTILINE).group(1)

    def value(self, expression):
        """A term for what stands between two signs of concatenation."""
        expression = expression.strip().strip("`")
        if "‖" in expression:
            return terms.cat(*(self.value(part) for part in expression.split("‖")))
        if expression in ('""', ""):
            return terms.cat()
        if expression.startswith('"'):
            return literal(expression.strip('"').encode())
        if match := re.fullmatch(r"0x([0-9a-f]{2})", expression):
            return literal(bytes.fromhex(match.group(1)))
        if match := re.fullmatch(r"0\^(\d+)", expression):
            return literal(bytes(int(match.group(1))))
        if match := re.fullmatch(r"DH\((\w+), (\w+)\)", expression):
            return terms.dh(*(self.public(name) for name in match.groups()))
        if expression == "hdr":
            return self.env[f"hdr {self.message}"]
        if match := re.fullmatch(r"(\w+)\[0:(\d+)\]", expression):
            return self.beginning(match.group(1), int(match.group(2)))
        return {"h": self.h, "ck": self.ck, **self.env}[expression]

    def public(self, name):
        return self.env["S" + name[1:]] if name[0] == "s" else self.env[name]

    def beginning(self, message, length):
        header = self.env[f"hdr {message}"]
        return header if length == 12 else terms.first_bytes(header, length)

    # -- the rules

    def start(self, argument):
        rule = re.search(r'PROTO = "([^"]*)" \((\d+) bytes\), zero-padded to (\d+) bytes', self.text)
        proto = rule.group(1).encode()
        if len(proto) != int(rule.group(2)) or "h = ck = H(PROTO ‖ ID_R)" not in self.rule("Start(ID_R)"):
            raise ValueError("Start is not what this reader knows")
        self.h = self.ck = terms.sha256(literal(proto.ljust(int(rule.group(3)), b"\0")), self.value(argument))

    def mix_hash(self, argument):
        self.apply("MixHash(x)", "h  = H(h ‖ x)")
        self.h = terms.sha256(self.h, self.value(argument))

    def mix_key(self, argument):
        self.apply("MixKey(ikm)", "ck = HMAC(ck, ikm)")
        self.ck = terms.hmac(self.ck, self.value(argument))

    def apply(self, name, known):
        if self.rule(name) != known:
            raise ValueError(f"{name} is not what this reader knows")

    def key(self, label):
        inner = re.fullmatch(r"HMAC\(ck, (.*)\)", self.label_of).group(1)
        parts = [literal(label.encode()) if part.strip() == "label" else self.value(part) for part in inner.split("‖")]
        return terms.hmac(self.ck, *parts)

    def seal(self, arguments):
        self.apply("Seal(label,p)", "c = AEAD(K(label), 0^12, ad = h, p);  MixHash(c);  yields c")
        label, plaintext = re.fullmatch(r'"([^"]*)", (.*)', arguments).groups()
        sealed = terms.aead(self.key(label), self.h, self.value(plaintext))
        self.sealed[self.message].append(sealed)
        self.h = terms.sha256(self.h, sealed)

    # -- the table

    def rows(self):
        """The cells of the sender's column, with the name of the message that each belongs to."""
        table = self.text[self.text.index("### 3.3 Key schedule"):]
        table = table[:table.index("\n\nIn step 11")]
        for line in table.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if match := re.match(r"\*\*(\w+)\*\*$", cells[0]):
                self.leave()
                self.message = match.group(1)
            elif cells[0].isdigit():
                yield cells[1]
        self.leave()

    def leave(self):
        if self.message:
            self.result[f"h_{self.message.lower()}"] = self.h
            self.result[f"ck_{self.message.lower()}"] = self.ck

    def step(self, cell):
        for token in (token.strip() for token in cell.split(";")):
            token = token.split(" = ")[-1] if re.search(r" = (MixHash|Seal)", token) else token
            match = re.fullmatch(r"(Start|MixHash|MixKey|Seal)\((.*)\)", token)
            if match:
                {"Start": self.start, "MixHash": self.mix_hash, "MixKey": self.mix_key,
                 "Seal": self.seal}[match.group(1)](match.group(2))

    def session(self):
        for name, rule in re.findall(r'^    (\w+(?: \w+)?) +=\s*(K\("[^"]*"\)(?:\[:\d+\])?)', self.text, re.MULTILINE):
            label, length = re.fullmatch(r'K\("([^"]*)"\)(?:\[:(\d+)\])?', rule).groups()
            key = self.key(label)
            self.result[name] = terms.first_bytes(key, int(length)) if length else key
        label, length = re.search(r'^    sid +=\s*H\("([^"]*)" ‖ h\)\[:(\d+)\]', self.text, re.MULTILINE).groups()
        self.result["sid"] = terms.first_bytes(terms.sha256(literal(label.encode()), self.h), int(length))

    def messages(self):
        clear = {"INIT": ("e_I", "ct_R"), "REPLY": ("e_R",), "OFFER": (), "ACCEPT": ()}
        for message, fields in clear.items():
            self.result[message] = terms.cat(self.env[f"hdr {message}"], *(self.env[name] for name in fields),
                                             *self.sealed[message])


def run(text, keys):
    """name -> term, for COMPARED."""
    schedule = Schedule(text, keys)
    for cell in schedule.rows():
        schedule.step(cell)
    schedule.session()
    schedule.messages()
    return schedule.result
