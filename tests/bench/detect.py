#!/usr/bin/env python3
"""Whether `scripts/benchmark.sh --baseline` finds what it should, with real builds: a detection test that takes minutes.

    tests/bench/detect.py [--times N] [--slice SECONDS] [--resume]

The sources are built twice as they are. To one of these builds each of several functions is slowed by a fifth, one at a
time: the linker puts a wrapper around it that makes each call take a fifth longer, whatever its size (calls of a few
tens of nanoseconds by more than that: reading the clock takes as long). Then the builds are compared with the first one, N times a slowed one (the functions take turns) and N times
the second unchanged one, with another seed each time. Wanted is "slower" in exactly the rows whose path has the
function, and in no row of the unchanged build any difference. Rows in which the function is so small a part that a fifth
of it is below the threshold (3 %) may be called either; which those are stands in FUNCTIONS.

Not part of the ordinary tests: it wants a machine that does nothing else. Exit status 0 if everything was as wanted,
3 if the slice is over.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "build" / "benchmark" / "detect"
RECORD = FOLDER / "record.jsonl"
UNFINISHED = 3
# Of all kinds of rows some, so that one comparison takes seconds.
ROWS = (r"^(path/)?(seal|open)/aes-256-gcm/(64|1420)$|^path/(out|in)/aes-256-gcm/tcp|^path/(segment|coalesce)/tcp"
        r"|^allowed-ips/.*/1$|^replay/in-order$")
WRAPPER = """
#include <stdint.h>
#include <x86intrin.h>

uint64_t __real_{name}(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
uint64_t __wrap_{name}(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static uint64_t reading; /* the clock takes that long itself */

__attribute__((constructor)) static void measure_reading(void)
{{
    reading = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {{
        uint64_t began = __rdtsc(), took = __rdtsc() - began;
        reading = took < reading ? took : reading;
    }}
}}


/* Six registers of arguments and one of a result are all that these functions use. */
uint64_t __wrap_{name}(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{{
    uint64_t began = __rdtsc();
    uint64_t result = __real_{name}(a, b, c, d, e, f);
    uint64_t ended = __rdtsc(), wait = (ended - began - reading) / 5;

    if (wait > 2 * reading)
        for (wait -= 2 * reading; __rdtsc() - ended < wait;)
            ;
    return result;
}}
"""


@dataclasses.dataclass
class Slowed:
    """A function, the rows that must show it, and those that have it as a small part."""

    name: str
    must: str
    may: str = "^$"


FUNCTIONS = (
    Slowed("cq_aead_seal_batch", "^(path/)?seal/|^path/out/"),
    Slowed("cq_aead_open_batch", "^(path/)?open/|^path/in/"),
    Slowed("cq_path_seal", "^path/(seal|out)/"),
    Slowed("cq_path_open", "^path/(open|in)/"),
    Slowed("cq_segment_next", "^path/segment/", "^path/out/"),
    Slowed("cq_coalesce_add", "^path/coalesce/", "^path/in/"),
)


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


def build(name):
    """A build of the sources in a folder of its own; the folder."""
    folder = FOLDER / name
    if not (folder / "build.ninja").exists():
        run("meson", "setup", folder, ROOT, "-Dtests=disabled")
    run("ninja", "-C", folder, "cryprq")
    return folder


def slow_build(folder, function):
    """Links the objects of `folder` again, with a wrapper around the function; the program."""
    source, program = FOLDER / f"{function}.c", FOLDER / f"slow-{function}"
    source.write_text(WRAPPER.format(name=function), encoding="ascii")
    compiled = source.with_suffix(".o")
    run("cc", "-O2", "-fPIE", "-c", source, "-o", compiled)
    link = shlex.split(run("ninja", "-C", folder, "-t", "commands", "cryprq").strip().splitlines()[-1])
    link[link.index("-o") + 1] = str(program)
    run(*link, f"-Wl,--wrap={function}", compiled, cwd=folder)
    return program


def compare(base, program, seed):
    """{row: (verdict, change in percent)}."""
    env = {**os.environ, "CRYPRQ_BENCHMARK_DIR": str(FOLDER / "out")}
    done = subprocess.run([ROOT / "scripts" / "benchmark.sh", "packets", "--only", ROWS, "--against", base,
                           "--program", program, "--seed", str(seed)], capture_output=True, text=True, env=env,
                          check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"detect: the comparison failed: {done.stderr}")
    rows = json.loads((FOLDER / "out" / "results.json").read_text(encoding="utf-8"))["comparison"]
    return {row["name"]: (row["verdict"], round((row["ratio"] - 1) * 100, 1)) for row in rows}


def wrong(found, slowed):
    """The rows whose verdicts are not as wanted, with them."""
    problems = {}
    for name, (verdict, change) in found.items():
        if slowed is not None and re.search(slowed.must, name):
            good = verdict == "slower"
        elif slowed is not None and re.search(slowed.may, name):
            good = verdict != "faster"
        else:
            good = verdict == "no difference"
        if not good:
            problems[name] = f"{verdict} {change:+.1f} %"
    return problems


def prepare():
    """(base, the second unchanged build, {function: slowed program}). Builds stay for a run that is gone on with."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    base, same = build("base"), build("same")
    return base / "cryprq", same / "cryprq", {one.name: slow_build(base, one.name) for one in FUNCTIONS}


def trials(times):
    """(function or None, seed), in turns."""
    for i in range(times):
        yield FUNCTIONS[i % len(FUNCTIONS)], i
        yield None, 1000 + i


def main():
    parser = argparse.ArgumentParser(description="Checks that slowed builds are found, and unchanged ones not.")
    parser.add_argument("--times", type=int, default=20, metavar="N", help="comparisons of each kind (20)")
    parser.add_argument("--slice", type=float, metavar="SECONDS", help="stop before so many seconds are over")
    parser.add_argument("--resume", action="store_true", help="go on where the last one stopped")
    options = parser.parse_args()
    began, longest = time.monotonic(), 0.0
    base, same, slow = prepare()
    if not options.resume:
        RECORD.unlink(missing_ok=True)
    done = [json.loads(line) for line in RECORD.read_text(encoding="utf-8").splitlines()] if RECORD.exists() else []
    for number, (slowed, seed) in enumerate(trials(options.times)):
        if number < len(done):
            continue
        if options.slice and time.monotonic() - began + longest * 1.2 > options.slice:
            print(f"{len(done)} of {2 * options.times} comparisons are done: go on with --resume")
            return UNFINISHED
        start = time.monotonic()
        found = compare(base, slow[slowed.name] if slowed else same, seed)
        longest = max(longest, time.monotonic() - start)
        done.append({"function": slowed.name if slowed else None, "seed": seed, "rows": found,
                     "wrong": wrong(found, slowed)})
        with RECORD.open("a", encoding="utf-8") as out:
            print(json.dumps(done[-1]), file=out)
        print(f"{number + 1:3} {slowed.name if slowed else 'unchanged':22} {time.monotonic() - start:5.1f} s  "
              f"{done[-1]['wrong'] or 'as wanted'}", flush=True)
    for title, kind in (("slowed", [one for one in done if one["function"]]),
                        ("unchanged", [one for one in done if not one["function"]])):
        print(f"{title}: {sum(not one['wrong'] for one in kind)} of {len(kind)} as wanted")
    return int(any(one["wrong"] for one in done))


if __name__ == "__main__":
    sys.exit(main())
