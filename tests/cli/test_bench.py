#!/usr/bin/env python3
"""cryprq bench from outside: its list, its JSON, its choices and its refusals. Measures next to nothing.

    tests/cli/test_bench.py PROGRAM

Writes TAP to standard output. Needs nothing but Python's standard library.
"""

import json
import os
import re
import subprocess
import sys

PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) == 2 else None
BRIEF = ("--batches", "3", "--batch-ms", "1")
UNITS = {"ns/op", "bytes", "allocations/op"}

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def run(*args):
    done = subprocess.run([PROGRAM, "bench", *args], capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stdout, done.stderr


def expect(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}\ngot {actual!r}")


def names(*args):
    code, out, err = run("--list", *args)
    expect((code, err), (0, ""))
    return out.splitlines()


@test
def names_are_unique_and_well_formed():
    every = names()
    expect(len(every), len(set(every)))
    expect([name for name in every if not re.fullmatch(r"[a-z0-9-]+(/[a-z0-9.-]+)+", name)], [])
    if len(every) < 20:
        raise AssertionError(f"only {len(every)} benchmarks")


@test
def only_chooses_by_prefix():
    every = names()
    expect(names("--only", "seal/aes-256-gcm"), [n for n in every if n.startswith("seal/aes-256-gcm")])
    expect(names("--only", "open/,seal/chacha"), [n for n in every if n.startswith(("open/", "seal/chacha"))])


@test
def json_has_every_sample():
    code, out, err = run("--json", "--only", "seal/,open/aes-256-gcm/64", *BRIEF)
    expect((code, err), (0, ""))
    report = json.loads(out)
    expect((report["schema"], report["batches"], report["batch_ms"]), (1, 3, 1))
    for key in ("version", "compiler", "libcrypto", "backend"):
        if not report["program"][key]:
            raise AssertionError(f"no {key}")
    expect(report["machine"]["cores"], os.sysconf("SC_NPROCESSORS_ONLN"))
    expect([r["name"] for r in report["results"]], names("--only", "seal/,open/aes-256-gcm/64"))
    for result in report["results"]:
        if result["unit"] not in UNITS or result["better"] != "lower" or result["ops_per_sample"] < 1:
            raise AssertionError(f"{result}")
        expect(len(result["samples"]), 3)
        if not all(0 < sample < 1e9 for sample in result["samples"]):
            raise AssertionError(f"{result['name']}: {result['samples']}")
        if result["unit"] == "ns/op" and result["ops_per_sample"] * min(result["samples"]) < 2e4:
            raise AssertionError(f"{result['name']}: batches are far too short")


@test
def longer_packets_take_longer():
    out = run("--json", "--only", "seal/aes-256-gcm", *BRIEF)[1]
    best = {r["name"]: min(r["samples"]) for r in json.loads(out)["results"]}
    sizes = [best[f"seal/aes-256-gcm/{size}"] for size in (64, 1420, 16384)]
    expect(sizes, sorted(sizes))


@test
def table_is_for_people():
    code, out, err = run("--only", "seal/aes-256-gcm/1420", *BRIEF)
    expect((code, err), (0, ""))
    line = next(line for line in out.splitlines() if line.startswith("seal/aes-256-gcm/1420 "))
    for part in ("ns", "packets/s", "GB/s", "promise", "mark"):
        if part not in line:
            raise AssertionError(f"no {part} in {line!r}")


@test
def every_benchmark_runs_once():
    code, out, err = run("--json", "--ops", "1")
    expect((code, err), (0, ""))
    results = json.loads(out)["results"]
    expect([r["name"] for r in results if r["unit"] == "ns/op"], [])
    expect(len(results), len(names("--only", "memory/")))


@test
def packets_allocate_nothing():
    code, out, err = run("--json", "--only", "memory/", *BRIEF)
    expect((code, err), (0, ""))
    value = {r["name"]: r["samples"] for r in json.loads(out)["results"]}
    for suite in ("aes-256-gcm", "chacha20-poly1305"):
        expect(value[f"memory/allocations/{suite}"], [0.0])
    # Other benchmarks before them leave no trace in theirs.
    alone = json.loads(run("--json", "--only", "memory/engine/1,allowed-ips/", *BRIEF)[1])["results"]
    again = [r["samples"][0] for r in alone if r["name"] == "memory/engine/1"]
    if not 0.9 * value["memory/engine/1"][0] < again[0] < 1.1 * value["memory/engine/1"][0]:
        raise AssertionError(f"{again} after others, {value['memory/engine/1']} without")
    for smaller, larger in (("peer", "session"), ("engine/1", "engine/10000")):
        (low,), (high,) = value["memory/" + smaller], value["memory/" + larger]
        if not 500 < low < high < 200e6:
            raise AssertionError(f"{smaller} {low}, {larger} {high}")


@test
def wrong_use_is_refused():
    cases = [
        (("--only", "seal/,nothing"), "no benchmark is called nothing"),
        (("--only", "seal/,"), "no benchmark is called"),
        (("--batches", "0"), "--batches: 0 is not between 1 and 1000"),
        (("--batches", "-3"), "--batches: -3 is not a number"),
        (("--batch-ms", "20000"), "--batch-ms: 20000 is not between 1 and 10000"),
        (("--ops", "many"), "--ops: many is not a number"),
        (("--probe", "rss/0"), "--probe: there is no rss/0"),
        (("--quick=3",), "--quick takes no value"),
        (("seal",), "it takes options only"),
        (("--slow",), "unknown option --slow"),
    ]
    for args, part in cases:
        code, out, err = run(*args)
        expect((code, out, err.count("\n")), (2, "", 1))
        if part not in err:
            raise AssertionError(f"{part!r} is not in {err!r}")


def main():
    if PROGRAM is None:
        print(__doc__, file=sys.stderr)
        return 2
    failures = 0
    print(f"1..{len(TESTS)}")
    for number, function in enumerate(TESTS, 1):
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Exception as problem:  # a test that breaks is a test that fails
            failures += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in f"{type(problem).__name__}: {problem}".splitlines():
                print(f"# {line}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
