#!/usr/bin/env python3
"""The gate on instruction counts: the core costs what the baseline says, and whatever makes it slower is found. TAP."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "netns"), str(ROOT / "scripts" / "profile")]

import common  # noqa: E402
import instructions  # noqa: E402
import netns  # noqa: E402
from netns import check, equal  # noqa: E402

SCRIPT = ROOT / "scripts" / "profile.sh"
RESULT = common.OUTPUT / "instructions" / "rows.json"
# Another build directory than that of the test run.
BUILD = ["--build", os.environ["CRYPRQ_BUILD"]] if "CRYPRQ_BUILD" in os.environ else []
FOLDER = pathlib.Path(os.environ.get("CRYPRQ_BUILD", common.BUILDS / "gcc")) / "tests" / "profile"
# Rows that read no packets, or one for 45 records, and so do not become slower when reading packets does.
READ_NO_PACKETS = {"seal/tcp-super-packet", "seal/udp-super-packet", "open/forged/64", "open/replayed/64",
                   "open/unknown-index/64", "staged/send", "allowed-ips/ipv4", "allowed-ips/ipv6", "index",
                   "window/in-order", "window/reordered", "keypair/switch"}


def count(*options):
    """(exit status, output, rows) of one run."""
    done = subprocess.run([SCRIPT, "instructions", *BUILD, *options], capture_output=True, text=True, timeout=280,
                          check=False)
    if done.returncode not in (0, 1):
        raise netns.Failure(f"exit status {done.returncode}: {done.stderr}")
    return done.returncode, done.stdout + done.stderr, json.loads(RESULT.read_text())


class Gate:
    def __init__(self):
        self.first = None

    def holds(self):
        status, output, self.first = count()
        if "not compared: there is no baseline" in output:
            raise netns.Skip(output.strip().splitlines()[-1])
        check(status == 0, output)
        for line in output.splitlines():
            if "libcrypto's instructions not compared" in line:
                print(f"# {line}")

    def repeats(self):
        second = count()[2]
        for one, two in zip(self.first["rows"], second["rows"], strict=True):
            equal(two, one, one["name"])

    def allocates_nothing(self):
        moving = [row for row in self.first["rows"] if row["name"].split("/")[0] in ("seal", "open", "staged", "window")]
        check(len(moving) > 20, f"{len(moving)} rows that move packets")
        equal({row["name"]: row["allocations"] for row in moving if row["allocations"]}, {}, "allocations")

    def finds_a_slower_function(self):
        """Against the baseline of this very build, so that it holds for any compiler."""
        slow = count("--programs", FOLDER / "slower")[2]["rows"]
        known = {"rows": {row["name"]: {key: row[key] for key in ("own", "calls", "allocations")}
                          for row in self.first["rows"]}}
        measured = [instructions.callgrind.Cost(row["name"], row["unit"], row["num"], row["own"], row["calls"],
                                                row["libcrypto"], row["libc"], row["allocations"]) for row in slow]
        verdicts = instructions.judge(measured, known, "", instructions.TOLERANCE, whole=False)
        words = {verdict.row: verdict.word for verdict in verdicts}
        equal({name for name, word in words.items() if word == instructions.SAME}, READ_NO_PACKETS, "unchanged rows")
        equal({word for name, word in words.items() if name not in READ_NO_PACKETS}, {instructions.SLOWER}, "the others")
        least = min(verdict.change for verdict in verdicts if verdict.word == instructions.SLOWER)
        print(f"# {len(words) - len(READ_NO_PACKETS)} rows slower, by {least:.1f} % at least")

    def fails_on_it(self):
        if self.first["rows"][0]["verdict"] is None:
            raise netns.Skip("there is no baseline for this compiler")
        status, output, _ = count("--programs", FOLDER / "slower", "--only", "seal/aes/64")
        equal(status, 1, "exit status")
        check("seal/aes/64: slower: our instructions +" in output, output)


def main():
    if shutil.which("valgrind") is None:
        netns.skip_all("valgrind is missing: scripts/setup.sh installs it")
    targets = [f"tests/profile/{name}" for name in (*instructions.callgrind.PROGRAMS, "slower/path_rows")]
    common.build("gcc", targets, directory=os.environ.get("CRYPRQ_BUILD"))
    tap, gate = netns.Tap(), Gate()
    tap.case("the core takes as many instructions as its baseline says", gate.holds)
    tap.case("a second run counts the same, to the instruction", gate.repeats)
    tap.case("no allocation in any row that moves packets", gate.allocates_nothing)
    tap.case("a function with a few instructions more is found in the rows that call it", gate.finds_a_slower_function)
    tap.case("the command fails on it", gate.fails_on_it)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
