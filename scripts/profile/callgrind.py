"""Runs the programs of tests/profile under callgrind and adds up what each of their rows cost.

Callgrind is told to write what it has, and to begin anew, whenever one function (profile_measure) is called and whenever
it returns, so that every other file holds one row and nothing else. (Collecting inside that function alone would be
quicker, but calls are counted outside of it too then.) Costs are told apart by where a function comes from: its source
file (ours have debug information) or the object that it lies in.
"""

import dataclasses
import os
import pathlib
import re
import tempfile

import common

MEASURED = "profile_measure"
PROGRAMS = ("path_rows", "handshake_rows", "engine_rows")

# A function's origin.
OWN, HARNESS, LIBCRYPTO, LIBC = "own", "harness", "libcrypto", "libc"
OWN_SOURCE = re.compile(r"(^|/)(src/(base|crypto|proto|path|engine)|tests/profile(/slower)?)/[^/]+\.[ch]$")
TEST_SOURCE = re.compile(r"(^|/)tests/[^/]+/[^/]+\.[ch]$")
TEST_OBJECT = re.compile(r"(^|/)libcmocka\.so")
LIBCRYPTO_OBJECT = re.compile(r"(^|/)libcrypto\.so")
# The C library and the loader, and what valgrind puts beside them.
LIBC_OBJECT = re.compile(r"(^|/)(lib(c|m|pthread|dl)[.-]|ld[.-]|vgpreload)|^\?\?\?$")

ALLOCATORS = {"malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "memalign", "reallocarray",
              "cq_secret_alloc", "cq_secret_realloc"}


@dataclasses.dataclass
class Cost:
    """What one row came to."""

    name: str
    unit: str
    num: int
    own: int = 0            # instructions of ours
    calls: int = 0          # from ours to anything that is not
    libcrypto: int = 0      # instructions
    libc: int = 0
    allocations: int = 0    # by anybody
    functions: dict = dataclasses.field(default_factory=dict)   # ours: instructions of each itself

    def counts(self):
        return {"own": self.own, "calls": self.calls, "allocations": self.allocations}


def origin(source, binary):
    """Where a function comes from; `source` is "???" where there is no debug information."""
    if OWN_SOURCE.search(source):
        return OWN
    if TEST_SOURCE.search(source) or TEST_OBJECT.search(binary):
        return HARNESS
    if LIBCRYPTO_OBJECT.search(binary):
        return LIBCRYPTO
    if LIBC_OBJECT.search(binary):
        return LIBC
    return LIBCRYPTO        # the static libcrypto, which has no debug information


@dataclasses.dataclass
class Position:
    """The function that the lines of a callgrind file are about, and the one that it calls."""

    binary: str = "???"
    source: str = "???"
    function: str = "???"
    callee_binary: str = None
    callee_source: str = None
    callee: str = None

    def origin(self):
        return origin(self.source, self.binary)

    def callee_origin(self):
        return origin(self.callee_source or self.source, self.callee_binary or self.binary)


def read_line(line, at, cost, state):
    """One line of a callgrind file; state["inclusive"]: the next line of numbers is a call's cost."""
    key, equals, value = line.partition("=")
    if equals and key in ("ob", "fl", "fn", "cob", "cfi", "cfl", "cfn", "fi", "fe"):
        name = {"ob": "binary", "fl": "source", "fn": "function", "cob": "callee_binary", "cfi": "callee_source",
                "cfl": "callee_source", "cfn": "callee"}.get(key)
        # fi and fe name the file of inlined code: it belongs to the function that it was inlined into.
        if name:
            setattr(at, name, value)
    elif equals and key == "calls":
        state["inclusive"] = True
        num = int(value.split()[0])
        if at.origin() == OWN and at.callee_origin() != OWN:
            cost.calls += num
        if at.callee.split("'")[0] in ALLOCATORS:
            cost.allocations += num
        at.callee_binary = at.callee_source = at.callee = None
    elif line[:1].isdigit() or line[:1] in "+-*":
        if state.pop("inclusive", False):
            return
        add(cost, at, int(line.split()[1]))


def add(cost, at, instructions):
    kind = at.origin()
    if kind == OWN:
        cost.own += instructions
        cost.functions[at.function] = cost.functions.get(at.function, 0) + instructions
    elif kind == LIBCRYPTO:
        cost.libcrypto += instructions
    elif kind == LIBC:
        cost.libc += instructions


def read_profile(text, cost):
    """Adds a callgrind file (written with --compress-strings=no --compress-pos=no) to `cost`."""
    at, state, body = Position(), {}, False
    for line in text.splitlines():
        body = body or line.startswith(("ob=", "fl=", "fn="))
        if body and line and not line.startswith(("totals:", "#")):
            read_line(line, at, cost, state)
    return cost


def environment():
    """The same for every run and machine: what is on the stack shifts what comes after it."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def measure(program, only=(), log=None):
    """(the costs of a program's rows, in their order; what libcrypto says of itself)."""
    program = pathlib.Path(program)
    with tempfile.TemporaryDirectory(prefix="cryprq-callgrind.") as scratch:
        # A name of the same length wherever the program lies.
        link = pathlib.Path(scratch, "rows")
        link.symlink_to(program)
        words = [word for text in only for word in ("--only", text)]
        done = common.run(
            "setarch", os.uname().machine, "-R", "valgrind", "--tool=callgrind", "--error-exitcode=99",
            "--compress-strings=no", "--compress-pos=no", f"--dump-before={MEASURED}", f"--dump-after={MEASURED}",
            "--callgrind-out-file=out", "./rows", *words, env=environment(), cwd=scratch)
        if log is not None:
            log.write_text(done.stderr)
        library, rows = "", []
        for line in done.stdout.splitlines():
            if line.startswith("# "):
                library = line[2:]
            else:
                name, unit, num = line.split("\t")
                rows.append(Cost(name, unit, int(num)))
        for number, row in enumerate(rows, 1):
            part = pathlib.Path(scratch, f"out.{2 * number}")
            if not part.exists():
                raise common.Broken(f"callgrind wrote no figures for {row.name}")
            read_profile(part.read_text(errors="replace"), row)
            if row.own == 0:
                raise common.Broken(f"callgrind counted nothing in {row.name}: has {program.name} debug information?")
        return rows, library
