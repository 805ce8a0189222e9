#!/usr/bin/env python3
"""The other commands of scripts/profile.sh, each for a moment: that they work, and that their checks can fail. TAP."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "netns"), str(ROOT / "scripts" / "profile")]

import common  # noqa: E402
import leaks  # noqa: E402
import netns  # noqa: E402
from netns import check, equal  # noqa: E402

SCRIPT = ROOT / "scripts" / "profile.sh"
BUILD = pathlib.Path(os.environ.get("CRYPRQ_BUILD", common.BUILDS / "gcc"))
CANNOT_RUN = 2
SVG = "{http://www.w3.org/2000/svg}"


def run(command, *options, wanted=0, env=None):
    """The output of one command; a machine that cannot run it skips the case."""
    done = subprocess.run([SCRIPT, command, *map(str, options)], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, **(env or {})})
    if done.returncode == CANNOT_RUN and wanted != CANNOT_RUN:
        raise netns.Skip(done.stderr.strip().splitlines()[-1].partition("error: ")[2])
    check(done.returncode == wanted, f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if wanted == 0 else done.stderr


def build_options():
    return ["--build", BUILD] if "CRYPRQ_BUILD" in os.environ else []


def test_cpu():
    run("cpu", "--seconds", 2)
    folder = common.OUTPUT / "cpu"
    graph = xml.etree.ElementTree.parse(folder / "flame.svg").getroot()
    titles = [title.text for title in graph.iter(f"{SVG}title")]
    for function in ("run_worker", "cq_path_seal", "cq_path_open"):
        check(any(title.startswith(f"{function} (") for title in titles), f"{function} is not in the graph")
    lines = (folder / "top.txt").read_text().splitlines()
    equal(len(lines), 22, "lines of the table")
    check((folder / "perf.data").stat().st_size > 0, "no samples were kept")
    whole = sum(int(line.rpartition(" ")[2]) for line in (folder / "stacks.txt").read_text().splitlines())
    check(f"all ({whole} samples, 100.00 %)" in titles, f"{whole} samples, and {titles[0]}")


def test_syscalls():
    run("syscalls", "--megabytes", 200)
    found = json.loads((common.OUTPUT / "syscalls" / "syscalls.json").read_text())
    calls = {(call["node"], call["call"]): call for call in found["calls"] if call["thread"].startswith("packets-")}
    for node in ("node that sends", "node that receives"):
        for name in ("readv", "writev", "sendmsg", "recvmmsg"):
            check(calls[node, name]["calls"] > 0, f"{node}: no {name}")
        # Batches from end to end: far fewer calls than there are packets on the wire.
        packets = found["bytes"] / 1368
        num = sum(call["calls"] for call in found["calls"] if call["node"] == node)
        check(num < packets / 2, f"{node}: {num} calls for {packets:.0f} packets")


def test_locks():
    run("locks", "--seconds", 2)
    text = (common.OUTPUT / "locks" / "locks.txt").read_text()
    check(len(re.findall(r"^node that \w+ +packets-0 ", text, re.MULTILINE)) == 2, text)


def test_heap():
    text = run("heap", *build_options())
    check("no allocation per packet" in text and "core: " in text, text)
    for line in text.splitlines():
        if line.startswith(("core: ", "real nodes: ")) or "packets-" in line:
            print(f"# {line}")


def test_leaks():
    text = run("leaks", *build_options(), *(["--sanitized", os.environ["CRYPRQ_SANITIZED"]]
                                            if "CRYPRQ_SANITIZED" in os.environ else []))
    for line in text.splitlines():
        print(f"# {line}")
    equal(text.count(": 0 blocks lost, 0 errors"), 3, "programs without a leak")


def test_a_leak_is_found():
    if shutil.which("valgrind") is None:
        raise netns.Skip("valgrind is missing")
    folder = common.build("gcc", ["tests/profile/forget.so", "tests/profile/handshake_rows"],
                          directory=os.environ.get("CRYPRQ_BUILD")) / "tests" / "profile"
    with tempfile.TemporaryDirectory() as scratch:
        line, good = leaks.memcheck(folder / "handshake_rows", pathlib.Path(scratch, "log"), folder / "forget.so")
        check(not good and "1 blocks lost" in line, line)
        check("forget" in pathlib.Path(scratch, "log").read_text(), "the report does not say where")


def test_what_is_missing_is_said():
    with tempfile.TemporaryDirectory() as tools:
        for tool in ("bash", "python3", "env", "dirname", "ip", "ss", "iperf3", "ping", "curl"):
            path = shutil.which(tool)
            if path:
                pathlib.Path(tools, tool).symlink_to(path)
        for command, tool in (("instructions", "valgrind"), ("cpu", "perf"), ("heap", "valgrind"), ("leaks", "valgrind"),
                              ("locks", "perf")):
            text = run(command, wanted=CANNOT_RUN, env={"PATH": tools})
            check(f"`scripts/profile.sh {command} --install`" in text and tool in text, text)
            equal(len(text.splitlines()), 1, f"lines of {command}")


def main():
    tap = netns.Tap()
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            tap.case(name.removeprefix("test_").replace("_", " "), function)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
