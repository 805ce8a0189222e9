#!/usr/bin/env python3
"""The parts of scripts/profile.sh: reading what the tools write, adding it up, judging it. TAP."""

import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "netns"), str(ROOT / "scripts" / "profile")]

import callgrind  # noqa: E402
import common  # noqa: E402
import instructions  # noqa: E402
import netns  # noqa: E402
from netns import check, equal  # noqa: E402

# As callgrind writes it without compression: a function of ours calls another one, one with inlined code of a header,
# libcrypto (static, without debug information), malloc and a test's helper.
CALLGRIND = """# callgrind format
version: 1
cmd:  ./rows
part: 2
desc: Trigger: --dump-after=profile_measure

positions: line
events: Ir
summary: 1000

ob=/b/path_rows
fl=/b/../src/path/seal.c
fn=cq_path_seal
10 100
fi=/b/../src/base/bytes.h
3 20
fe=/b/../src/path/seal.c
12 5
cfn=seal_record
calls=2 40
12 700
cob=/usr/lib/x86_64-linux-gnu/libc.so.6
cfi=./malloc/./malloc/malloc.c
cfn=malloc'2
calls=3 100
* 90
cfi=???
cfn=EVP_EncryptUpdate
calls=4 0
+1 400

fn=seal_record
40 50

ob=/usr/lib/x86_64-linux-gnu/libc.so.6
fl=./malloc/./malloc/malloc.c
fn=malloc
100 90

ob=/b/path_rows
fl=???
fn=EVP_EncryptUpdate
0 400

fl=/b/../tests/unit/packets.c
fn=packet_make
7 335

totals: 1000
"""


def test_reading_callgrind():
    cost = callgrind.read_profile(CALLGRIND, callgrind.Cost("row", "packet", 1))
    equal(cost.functions, {"cq_path_seal": 125, "seal_record": 50}, "functions of ours")
    equal((cost.own, cost.libcrypto, cost.libc), (175, 400, 90), "instructions")
    equal((cost.calls, cost.allocations), (7, 3), "calls and allocations")


def test_origins():
    for source, binary, wanted in (
            ("/home/me/src/cryprq/src/path/open.c", "/home/me/rows", callgrind.OWN),
            ("/b/../tests/profile/path_rows.c", "/b/path_rows", callgrind.OWN),
            ("/b/../tests/sim/lab.c", "/b/engine_rows", callgrind.HARNESS),
            ("???", "/usr/lib/libcmocka.so.0.7.0", callgrind.HARNESS),
            ("???", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", callgrind.LIBCRYPTO),
            ("???", "/b/path_rows", callgrind.LIBCRYPTO),
            ("./string/../sysdeps/x86_64/multiarch/strlen-avx2.S", "/usr/lib/libc.so.6", callgrind.LIBC),
            ("???", "/usr/lib64/ld-linux-x86-64.so.2", callgrind.LIBC)):
        equal(callgrind.origin(source, binary), wanted, f"{source} in {binary}")


def row(own, calls=10, libcrypto=1000, allocations=0, name="seal"):
    return callgrind.Cost(name, "packet", 1, own, calls, libcrypto, 0, allocations)


def verdict(measured, old_library=1000):
    old = {"own": 10000, "calls": 10, "allocations": 0}
    return instructions.judge_row(measured, old, old_library, 1.0)


def test_verdicts():
    for measured, word in ((row(10000), "same"), (row(10100), "same"), (row(9900), "same"), (row(10101), "SLOWER"),
                           (row(9899), "FASTER"), (row(10000, calls=11), "SLOWER"),
                           (row(10000, libcrypto=1011), "SLOWER"), (row(10000, libcrypto=900), "FASTER"),
                           (row(10000, allocations=1), "SLOWER"), (row(5000, calls=11), "SLOWER")):
        equal(verdict(measured).word, word, measured)
    equal(verdict(row(10000, libcrypto=5000), None).word, "same", "another libcrypto")
    equal(verdict(row(10000, allocations=1)).why, "more allocations", "the reason")


def test_rows_that_come_and_go():
    known = {"rows": {"seal": row(1).counts(), "open": row(1).counts()}}
    words = {v.row: v.word for v in instructions.judge([row(1), row(5, name="window")], known, "", 1.0)}
    equal(words, {"seal": "same", "window": "new", "open": "GONE".lower()}, "verdicts")
    equal(len(instructions.judge([row(1)], known, "", 1.0, whole=False)), 1, "verdicts on a part")


def test_baseline_file():
    first = instructions.record({}, "gcc 12.2.0 x86_64", "one", [row(1), row(2, name="open")])
    second = instructions.record(first, "gcc 12.2.0 x86_64", "two", [row(1), row(2, name="open")])
    equal(sorted(second["gcc 12.2.0 x86_64"]["libcrypto"]), ["one", "two"], "libraries of unchanged rows")
    third = instructions.record(second, "gcc 12.2.0 x86_64", "two", [row(1), row(3, name="open")])
    equal(sorted(third["gcc 12.2.0 x86_64"]["libcrypto"]), ["two"], "libraries once a row has changed")
    both = instructions.record(third, "clang 14.0.6 x86_64", "two", [row(7)])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "baseline.json")
        instructions.write(both, path)
        equal(instructions.load(path), both, "what was written")
        path.write_text("{")
        try:
            instructions.load(path)
            raise netns.Failure("half a file is read without complaint")
        except common.Broken as error:
            check(str(path) in str(error), str(error))


def test_tables():
    lines = common.table(("name", "count"), [("a", 5), ("longer", 12345)])
    equal(lines, ["name    count", "-------------", "a           5", "longer  12345"], "a table")


def main():
    tap = netns.Tap()
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            tap.case(name.removeprefix("test_").replace("_", " "), function)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
