"""Samples of perf, folded: how often was which chain of functions on the stack?

A stack is a tuple of frames from the outermost to the innermost one; a frame is (function, kind), where the kind says
whose code it is: "kernel", "cryprq", "libcrypto", "libc", "other", or "task" for what is no function (node, thread).
"""

import collections
import dataclasses
import re

import common

TASK, KERNEL, CRYPRQ, LIBCRYPTO, LIBC, OTHER = "task", "kernel", "cryprq", "libcrypto", "libc", "other"
KINDS = (CRYPRQ, LIBCRYPTO, LIBC, KERNEL, OTHER)

HEADER = re.compile(r"^(?P<comm>\S.*?)\s+(?P<pid>\d+)/(?P<tid>\d+)(?:\s+(?P<rest>.*))?$")
FRAME = re.compile(r"^\s+(?P<ip>[0-9a-f]+) (?P<symbol>.*) \((?P<object>[^()]*(?:\([^()]*\))?[^()]*)\)$")
# Where every thread begins. A stack that begins elsewhere was cut off.
BEGINNINGS = {"clone3", "__clone3", "start_thread", "_start", "__libc_start_main", "__libc_start_main@@GLIBC_2.34",
              "__libc_start_call_main", "__libc_start_main_impl", "ret_from_fork_asm", "ret_from_fork"}


class Owners:
    """Whose code a symbol is. Our own functions and the static libcrypto's lie in one file, so names decide there."""

    def __init__(self, program, own):
        self.program = str(program)
        self.own = own          # names of our functions; empty: everything in the program is taken for ours

    def kind(self, symbol, where):
        if where == self.program or where.endswith("/cryprq"):
            return CRYPRQ if not self.own or symbol.split(".")[0] in self.own or symbol in self.own else LIBCRYPTO
        if where.startswith("["):
            return KERNEL if where != "[unknown]" and where != "[vdso]" else LIBC if where == "[vdso]" else OTHER
        name = where.rpartition("/")[2]
        if name.endswith(".ko") or ".ko." in name:
            return KERNEL
        if name.startswith("libcrypto"):
            return LIBCRYPTO
        if re.match(r"(libc|libm|libpthread|ld-linux.*|ld)[.-]", name):
            return LIBC
        return OTHER


def own_functions(build):
    """The names of all functions in our objects, from the static libraries and objects of a build directory."""
    files = [*sorted(build.glob("src/*.a")), *sorted(build.glob("cryprq.p/*.o"))]
    if not files:
        return set()
    names = set()
    for line in common.run("nm", "--defined-only", *files).stdout.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[1] in "tTwW":
            names.add(parts[2].split(".")[0])
    return names


@dataclasses.dataclass
class Sample:
    """One sample: who ran, what else its first line says, and the stack, innermost first."""

    comm: str
    pid: int
    tid: int
    rest: str
    frames: list = dataclasses.field(default_factory=list)      # (symbol, object)


def samples(text):
    """The samples in what `perf script` printed with (at least) the fields comm, pid, tid, ip, sym and dso."""
    sample = None
    for line in text.splitlines():
        if not line.strip():
            if sample:
                yield sample
            sample = None
            continue
        frame = FRAME.match(line) if sample and line[0] in " \t" else None
        if frame:
            # An offset, as in "do_writev+0x5a".
            sample.frames.append((re.sub(r"\+0x[0-9a-f]+$", "", frame["symbol"]), frame["object"]))
            continue
        start = HEADER.match(line.strip())
        if start:
            sample = Sample(start["comm"], int(start["pid"]), int(start["tid"]), start["rest"] or "")
    if sample:
        yield sample


def fold(text, owners, labels):
    """(Counter of stacks, how many of them were cut off). labels: what a PID is called."""
    folded, cut = collections.Counter(), 0
    for sample in samples(text):
        chain = list(reversed(sample.frames))
        user = [symbol for symbol, where in chain if owners.kind(symbol, where) != KERNEL]
        cut += bool(user) and user[0] not in BEGINNINGS
        while chain and chain[0][0] in BEGINNINGS:
            chain.pop(0)
        stack = [(labels.get(sample.pid, sample.comm), TASK), (sample.comm, TASK)]
        stack += [(symbol, owners.kind(symbol, where)) for symbol, where in chain]
        folded[tuple(stack)] += 1
    return folded, cut


def totals(folded):
    """[(frame, self, total)] of all functions, by self; a function that is on a stack twice counts once in its total."""
    own, whole = collections.Counter(), collections.Counter()
    for stack, count in folded.items():
        functions = [frame for frame in stack if frame[1] != TASK]
        if functions:
            own[functions[-1]] += count
        for frame in set(functions):
            whole[frame] += count
    return sorted(((frame, own[frame], whole[frame]) for frame in whole), key=lambda row: (-row[1], -row[2], row[0]))


def by_kind(folded):
    """Samples by whose code was running."""
    counts = collections.Counter()
    for stack, count in folded.items():
        if stack[-1][1] != TASK:
            counts[stack[-1][1]] += count
    return counts


def as_text(folded):
    """One stack a line, frames joined by semicolons: what other flame graph programs read."""
    lines = [f"{';'.join(name for name, _ in stack)} {count}" for stack, count in folded.items()]
    return "\n".join(sorted(lines)) + "\n"
