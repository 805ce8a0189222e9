#!/usr/bin/env python3
"""scripts/benchmark.sh as a whole, in little: reports, baselines, verdicts as exit status, slices, interruption. TAP.

What the figures are worth is not tested here: test_stats.py does it for the statistics, and detect.py, which takes
minutes, for whether a slower build is called so.
"""
# timeout: 300

import html.parser
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "netns")]

import netns                                    # noqa: E402  (found through the path set above)
from bench import journal, marks, rows, x25519  # noqa: E402
from netns import check, equal                  # noqa: E402

SCRIPT = ROOT / "scripts" / "benchmark.sh"
ONE_ROW = "^seal/aes-256-gcm/1420$"
# Runs the program; what it says of its times is made three times as much, so that the verdict holds on a machine with
# other work too.
SLOW = """#!/bin/sh
case " $* " in
*" --json "*) exec {python} -c '
import json, subprocess, sys
result = json.loads(subprocess.run([sys.argv[1], *sys.argv[2:]], capture_output=True, check=True).stdout)
for one in result["results"]:
    one["samples"] = [3 * sample for sample in one["samples"]]
print(json.dumps(result))' {program} "$@" ;;
*) exec {program} "$@" ;;
esac
"""


class Bench:
    """A folder of its own for results."""

    def __init__(self, folder):
        self.folder = folder

    def env(self, program=netns.CRYPRQ):
        return {**os.environ, "CRYPRQ_BENCHMARK_DIR": str(self.folder), "CRYPRQ": str(program)}

    def run(self, *arguments, status=0, program=netns.CRYPRQ):
        done = subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False,
                              env=self.env(program))
        equal(done.returncode, status, f"{' '.join(map(str, arguments))}: {done.stdout[-2000:]}{done.stderr[-1000:]}")
        return done

    def results(self):
        return json.loads((self.folder / "results.json").read_text())


class Page(html.parser.HTMLParser):
    """What a page would load, and whether its elements are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.external, self.drawings = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.drawings += tag == "svg"
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data") or "url(" in (value or ""):
                self.external.append(value)
        if tag not in ("meta", "link", "br", "hr", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        check(self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}")
        self.open.pop()


def check_page(text):
    page = Page()
    page.feed(text)
    equal(page.open, [], "elements left open")
    equal(page.external, [], "what it loads from elsewhere")
    check("@import" not in text and "<script" not in text and "url(" not in text, "a script or an import")
    return page.drawings


def reports_of_a_run(bench):
    done = bench.run("packets", "--rounds", 6, "--only", "^seal/.*/1420$", "--save-baseline", "first")
    results = bench.results()
    series = results["subjects"]["cryprq"]["seal/aes-256-gcm/1420"]
    equal(len(series["runs"]), 6, "runs")
    samples = [sample for run in series["runs"] for sample in run]
    check(min(samples) <= series["low"] <= series["median"] <= series["high"] <= max(samples), f"{series}")
    equal(series["coverage"], 0.9688, "coverage of six runs")
    check(20 < series["median"] < 1e6, f"{series['median']} ns for 1420 bytes")
    for word in ("Promises and marks", "seal/chacha20-poly1305/1420", "noise:"):
        check(word in done.stdout, f"no {word} in the report: {done.stdout}")
    equal((bench.folder / "report.md").read_text(), done.stdout, "the report on paper and on screen")
    check(check_page((bench.folder / "report.html").read_text()) >= len(results["subjects"]["cryprq"]), "drawings")
    judged = {one["title"]: one["verdict"] for one in results["judgements"] if one["kind"] == "promise"}
    check(judged["seal/aes-256-gcm/1420"].startswith("held"), "the promise of 10,000 packets a second")
    check(not list((bench.folder / "tmp").glob("*")), "copies of the program are left")


def same_program(bench):
    bench.run("packets", "--only", ONE_ROW, "--baseline", "first")
    (compared,) = bench.results()["comparison"]
    equal(compared["verdict"], "no difference", "of a program with itself")
    check_page((bench.folder / "report.html").read_text())


def slower_program(bench):
    slow = bench.folder / "slow"
    slow.write_text(SLOW.format(program=netns.CRYPRQ, python=sys.executable))
    slow.chmod(0o755)
    bench.run("packets", "--only", ONE_ROW, "--baseline", "first", program=slow, status=1)
    (compared,) = bench.results()["comparison"]
    equal(compared["verdict"], "slower", "of one that takes three times as long")
    bench.run("packets", "--only", ONE_ROW, "--against", slow)
    equal(bench.results()["comparison"][0]["verdict"], "faster", "the other way round")


def slices(bench):
    arguments = ("packets", "--only", ONE_ROW, "--rounds", 12, "--no-history")
    bench.run(*arguments, "--slice", 2, status=3)
    path = bench.folder / "journal.jsonl"
    done = len(path.read_text().splitlines()) - 1
    check(0 < done < 12, f"{done} of 12 runs in a slice of two seconds")
    # A process that was killed while writing leaves half a line.
    with path.open("a") as out:
        out.write('{"part": "pack')
    bench.run("packets", "--only", ONE_ROW, "--rounds", 9, "--no-history", "--resume", status=2)
    bench.run(*arguments, "--resume")
    equal(len(bench.results()["subjects"]["cryprq"]["seal/aes-256-gcm/1420"]["runs"]), 12, "runs together")


def interruption(bench):
    process = subprocess.Popen([SCRIPT, "packets", "--rounds", "50", "--no-history"], env=bench.env(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        copy = netns.wait_until(lambda: next((bench.folder / "tmp").glob("*"), None), 20, "a run to begin")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        check(process.wait(15) != 0, "exit status 0 after an interruption")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(5)
    check(not any(str(copy.parent).encode() in command for command in commands()), "the program is still running")


def commands():
    """Of all processes."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:
            continue


def wrong_use(bench):
    for arguments in (("nothing",), ("--rounds", "0"), ("--peers", "pptp"), ("--baseline", "nobody"),
                      ("--baseline", "../first"), ("--threshold", "200"), ("--baseline", "a", "--save-baseline", "b"),
                      ("--program", "/nonexistent"), ("--blocks", "3"), ("--only", "(", "packets")):
        done = bench.run(*arguments, status=2)
        check(re.search(r"error: .", done.stderr), f"{arguments}: {done.stderr}")
        check("Traceback" not in done.stderr, f"{arguments}: {done.stderr}")


def real_nodes(bench):
    """One short round of the rest: nodes, tunnel, plain cable."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        raise netns.Skip("needs root and /dev/net/tun")
    bench.run("rotation", "tunnel", "--quick")
    found = bench.results()["subjects"]
    for name in ("tcp-whole", "tcp-segmented", "udp-64", "udp-64-gso", "ping-idle", "ping-bulk-p99"):
        for subject in ("plain", "cryprq"):
            check(found[subject][f"tunnel/{name}"]["median"] > 0, f"{subject}: {name}")
    equal(found["cryprq"]["rotation/veth/lost"]["median"], 0, "packets lost by rotations")
    check(found["cryprq"]["tunnel/tcp-whole"]["median"] < found["plain"]["tunnel/tcp-whole"]["median"],
          "a tunnel faster than its cable")


def judging():
    """Marks against made-up figures."""
    def entry(subject, values):
        return [{"subject": subject, "part": "tunnel", "round": i, "rows": [
            {"name": "tunnel/tcp-whole", "unit": "Gbit/s", "better": "higher", "samples": [value]}]}
            for i, value in enumerate(values)]

    def verdict(ours, theirs):
        found = rows.collect(entry("cryprq", ours) + entry("wireguard-go", theirs))
        return next(one for one in marks.judge(found, ("tunnel",))
                    if one.title == "tunnel/tcp-whole" and "wireguard" in one.wanted)

    equal(verdict([9, 9.1, 8.9], [2.8, 2.9, 2.7]).verdict, "held", "3.2 times")
    equal(verdict([8, 8.1, 7.9], [2.8, 2.9, 2.7]).verdict, "missed", "2.9 times")
    equal(verdict([9, 8, 10], [2.8, 2.9, 2.7]).verdict, "held, uncertain", "2.8 to 3.7 times")
    equal(verdict([8], []).verdict, "not measured", "without the other")


def half_a_journal():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "journal.jsonl"
        first = journal.Journal(path, {"parts": ["packets"]}, resume=False)
        first.add({"part": "packets", "round": 0})
        with path.open("a") as out:
            out.write('{"part": "pac')
        equal(len(journal.Journal(path, {"parts": ["packets"]}, resume=True).entries), 1, "whole lines")
        equal(len(path.read_text().splitlines()), 2, "lines after mending")
        try:
            journal.Journal(path, {"parts": ["memory"]}, resume=True)
        except journal.Mismatch as error:
            check("parts" in str(error), str(error))
        else:
            raise netns.Failure("another plan was taken for the same")


def public_keys():
    """RFC 7748: Bob's key of section 6.1, the first iteration of section 5.2."""
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    equal(x25519.multiply(bob).hex(), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", "Bob's")
    equal(x25519.multiply(x25519.BASE_POINT, x25519.BASE_POINT).hex(),
          "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079", "one iteration")


CASES = [
    ("reports of a run: JSON, Markdown, a page that needs nothing else", reports_of_a_run),
    ("a program held against itself: no difference, status 0", same_program),
    ("a slower program: said so, status 1; the other way round faster", slower_program),
    ("a run in slices is the same run", slices),
    ("an interruption ends what was started", interruption),
    ("wrong use: one line, status 2", wrong_use),
    ("one short round with real nodes", real_nodes),
]


def main():
    if not netns.CRYPRQ.exists():
        netns.skip_all(f"no program at {netns.CRYPRQ}")
    tap = netns.Tap()
    tap.case("marks are judged by ratio and limit", judging)
    tap.case("half a line of a journal is left out", half_a_journal)
    tap.case("public keys for wireguard-go", public_keys)
    with tempfile.TemporaryDirectory(prefix="cryprq-bench.") as folder:
        bench = Bench(pathlib.Path(folder))
        for title, function in CASES:
            tap.case(title, function, bench)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
