#!/usr/bin/env python3
"""Searches the model of sessions and rotation with Spin: no property fails in it, and each of its mutants is found.

Every search runs in a temporary directory and ends by itself; what it covers is in docs/verification.md. With --long
also four handshakes at a time (some minutes, up to 2 GB). With a name, only the searches that have it in theirs.
Output is TAP; exit status 77 means that spin or gcc is missing.
"""
# timeout: 600

import argparse
import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).resolve().parent / "sessions.pml"
SKIPPED_STATUS = 77
MEMORY_MB = 1800
SEARCH_TIMEOUT = 240
LONG_TIMEOUT = 1800
TRAIL_LINES = 40

SENDS_IN_VAIN = "a side sends on a session that the other does not have"
GAP = "a direction has no usable session"
NO_RECOVERY = "acceptance cycle"


@dataclasses.dataclass
class Search:
    """One search: what it must find (None: nothing), and how much of the state space it covers."""

    name: str
    switches: list
    finds: str = None
    live: bool = False
    compiler: list = dataclasses.field(default_factory=list)
    verifier: list = dataclasses.field(default_factory=list)
    partial: bool = False  # bitstate: coverage is not complete
    fewest: int = 0        # states that a search of everything cannot fall short of: a broken model has fewer
    long: bool = False

    def compile_flags(self):
        kind = [] if self.live else ["-DSAFETY"]
        # The shortest way to a mutant's failure.
        return [*kind, *(["-DBFS"] if self.finds and not self.live else []), *self.compiler]


LIVE = ["-DLIVE", "-DHARSH"]

SEARCHES = [
    Search("no gap, nothing sent in vain: any channel, timers as assumed", ["-DN=3"], fewest=50_000),
    Search("restarts and outages: nothing sent in vain but what was lost", ["-DN=3", "-DHARSH"], fewest=120_000),
    Search("never more sessions than the limit", ["-DN=3", "-DHARSH", "-DMAX_CONF=2", "-DONLY_BOUNDS"], fewest=50_000),
    Search("both directions come back once the channel is calm", ["-DN=3", *LIVE], live=True, fewest=400_000),

    Search("mutant: the responder does not wait for the confirmation", ["-DN=3", "-DM_NO_CONFIRMATION"],
           finds=SENDS_IN_VAIN),
    Search("mutant: a late confirmation displaces a newer session", ["-DN=3", "-DM_LATE_DISPLACES"],
           finds=SENDS_IN_VAIN),
    Search("mutant: early erasure by the own order alone", ["-DN=3", "-DM_LOCAL_ORDER"], finds=SENDS_IN_VAIN),
    Search("mutant: the old key is erased at once", ["-DN=3", "-DM_ERASE_AT_ONCE"], finds=SENDS_IN_VAIN),
    Search("mutant: no limit of sessions", ["-DN=3", "-DMAX_CONF=2", "-DONLY_BOUNDS", "-DM_NO_EVICTION"],
           finds="more sessions than the limit"),
    Search("mutant: the larger ID holds back for ever", ["-DN=3", *LIVE, "-DM_HOLDS_FOR_EVER"], finds=NO_RECOVERY,
           live=True),
    Search("mutant: no dead-peer rule", ["-DN=3", *LIVE, "-DM_NO_DEAD_PEER"], finds=NO_RECOVERY, live=True),

    # Known limits of the protocol, described in docs/verification.md: shown, so that the text stays true.
    Search("known limit: the session too many may be the one that the other side uses", ["-DN=3", "-DMAX_CONF=2"],
           finds=SENDS_IN_VAIN),
    Search("known limit: frequent keepalives hide that the own records go nowhere", ["-DN=3", *LIVE, "-DONE_WAY"],
           finds=NO_RECOVERY, live=True),

    Search("four handshakes at a time, timers as assumed", ["-DN=4"], fewest=7_000_000,
           compiler=["-DHC4"], verifier=["-w26"], long=True),
    Search("four handshakes at a time, restarts and outages", ["-DN=4", "-DHARSH"], fewest=10_000_000,
           compiler=["-DBITSTATE"], verifier=["-w32", "-k3"], partial=True, long=True),
]

# What an assertion of the model is about.
MEANINGS = [
    ("lost[current[i]]", SENDS_IN_VAIN),
    ("established", GAP),
    ("(num<=", "more sessions than the limit"),
    ("order[", "a side went back to an older session"),
]


class Broken(Exception):
    """The search itself did not work."""


def run(command, folder, timeout=SEARCH_TIMEOUT):
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as late:
        raise Broken(f"{command[0]} ran out of time after {timeout} s") from late
    return done.returncode, done.stdout


def build(search, folder):
    """The model goes in as it is; Spin writes the verifier, the C compiler builds it."""
    shutil.copy(MODEL, folder / "sessions.pml")
    status, output = run(["spin", "-a", *search.switches, "sessions.pml"], folder)
    if status != 0 or "Error" in output:
        raise Broken(f"spin: {output.strip()}")
    # No partial order reduction: all steps touch shared state, so it would save nothing and cost proof.
    # What stops at its first find is searched sooner than it is optimised.
    level = "-O0" if search.finds else "-O2"
    status, output = run(["gcc", level, "-w", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB}", *search.compile_flags(),
                          "-o", "pan", "pan.c"], folder)
    if status != 0:
        raise Broken(f"gcc: {output.strip()}")


def find_number(pattern, output):
    found = re.search(pattern, output)
    if not found:
        raise Broken(f"no result: {output.strip()[-500:]}")
    return int(float(found.group(1)))


def meaning(output):
    """What the verifier found, or None."""
    if find_number(r"errors: (\d+)", output) == 0:
        return None
    if NO_RECOVERY in output:
        return NO_RECOVERY
    text = re.search(r"assertion violated (.*)", output)
    for part, what in MEANINGS:
        if text and part in text.group(1).replace(" ", ""):
            return what
    return output.strip().splitlines()[0]


def trail(search, folder):
    """How the failure comes about, as the model tells it."""
    _, output = run(["spin", "-t", *search.switches, "sessions.pml"], folder)
    told = re.compile(r"\s*([01] .*|calm|<<<<<START OF CYCLE>>>>>)$")
    return [match.group(1) for match in map(told.match, output.splitlines()) if match]


def examine(search):
    """(problem or None, what to say about it)."""
    with tempfile.TemporaryDirectory(prefix="cryprq-model-") as name:
        folder = pathlib.Path(name)
        build(search, folder)
        claim = ["-a", "-N", "recovers"] if search.live else []
        _, output = run(["./pan", "-m4000000", *claim, *search.verifier], folder,
                        LONG_TIMEOUT if search.long else SEARCH_TIMEOUT)
        found = meaning(output)
        states = find_number(r"([\d.e+]+) states, stored", output)
        notes = [f"{states} states stored"]
        if found is None:
            cut = [line for line in output.splitlines() if "max search depth too small" in line or "limit" in line
                   or "out of memory" in line or "truncated" in line]
            if cut:
                return f"the search was cut short: {cut[0].strip()}", notes
            if search.finds is not None:
                return "not found", notes
            if states < search.fewest:
                return f"only {states} states: the model does less than it should", notes
            if search.partial:
                factor = re.search(r"hash factor: ([\d.]+)", output)
                notes.append(f"bitstate, hash factor {factor.group(1) if factor else 'unknown'}")
            return None, notes
        story = trail(search, folder)
        notes += [f"found: {found}", *story[-TRAIL_LINES:]]
        return (None if found == search.finds else f"found: {found}"), notes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="also the searches that take minutes")
    parser.add_argument("name", nargs="?", default="", help="only searches with this in their names")
    options = parser.parse_args()
    missing = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]
    if missing:
        print(f"# {' and '.join(missing)} missing: scripts/setup.sh installs what tests need")
        return SKIPPED_STATUS
    searches = [search for search in SEARCHES if options.name in search.name and (options.long or not search.long)]
    print(f"1..{len(searches)}", flush=True)
    failed = 0
    for number, search in enumerate(searches, 1):
        try:
            problem, notes = examine(search)
        except Broken as error:
            problem, notes = str(error), []
        failed += problem is not None
        print(f"{'not ok' if problem else 'ok'} {number} {search.name}")
        for line in ([problem] if problem else []) + notes:
            print(f"# {line}")
        sys.stdout.flush()
    return 1 if failed or not searches else 0


if __name__ == "__main__":
    sys.exit(main())
