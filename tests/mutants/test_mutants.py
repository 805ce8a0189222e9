#!/usr/bin/env python3
"""Deliberate bugs, each of which the tests must find.

    tests/mutants/test_mutants.py [--jobs N] [--only PATTERN] [--table FILE]

A mutant is a file NNN-name.patch beside this one: a sentence that says what is broken, a line

    Found-by: unit/test_path sim/test_sim_damage

that names the test programs to try first, the likeliest first, and a unified diff (patch -p1). In a copy of the
source tree each is put in, the programs are built and run until one fails, and it is taken out again. If the named
ones all pass, every unit, vector and simulator test is tried. A mutant that no test finds, that does not compile or
that does not fit the sources any more is a failed case: then a test is missing, or the patch must be made anew.

--table writes what found which mutant as Markdown: into the file's section between the lines `<!-- mutants -->` and
`<!-- end of mutants -->` if it has one, else as a file of its own.

Writes TAP to standard output. Needs Python's standard library and what the build needs.
"""
# timeout: 900

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COPIED = ("meson.build", "meson_options.txt", "src", "tests", "packaging", "tools", "web", "contrib", "docs", "examples")
NOT_COPIED = ("corpus", "netns", "mutants", "__pycache__")
SUITES = ("unit", "vectors", "sim")
BUILD_TIMEOUT = 300
PROGRAM_TIMEOUT = 60  # the slowest takes 3 s when nothing is broken
MUTANT_TIMEOUT = 240
BEGIN, END = "<!-- mutants -->", "<!-- end of mutants -->"


class Stale(Exception):
    """The patch does not fit the sources."""


class Broken(Exception):
    """The mutant does not compile."""


# Patches

@dataclasses.dataclass
class Hunk:
    line: int
    old: list
    new: list


@dataclasses.dataclass
class Mutant:
    name: str
    sentence: str
    found_by: list
    files: dict  # path: hunks


def read_hunks(lines):
    """The hunks of a unified diff, by file."""
    files, hunks = {}, None
    for line in lines:
        if line.startswith("--- "):
            continue
        if line.startswith("+++ "):
            hunks = files.setdefault(line[4:].split("\t")[0].partition("/")[2], [])
        elif line.startswith("@@ "):
            hunks.append(Hunk(int(re.match(r"@@ -(\d+)", line).group(1)), [], []))
        elif hunks:
            if line[:1] in (" ", "-", ""):
                hunks[-1].old.append(line[1:])
            if line[:1] in (" ", "+", ""):
                hunks[-1].new.append(line[1:])
    return files


def read_mutant(path):
    text = path.read_text(encoding="utf-8")
    head, mark, diff = text.partition("--- a/")
    found_by = re.search(r"^Found-by: (.+)$", head, re.MULTILINE)
    files = read_hunks((mark + diff).splitlines())
    if found_by is None or not files or not all(files.values()):
        raise ValueError(f"{path.name}: no Found-by line or no diff")
    sentence = " ".join(head[:found_by.start()].split())
    return Mutant(path.stem, sentence, found_by.group(1).split(), files)


def find_lines(lines, wanted, near):
    """Where `wanted` stands in `lines`, the place nearest to `near`."""
    places = [i for i in range(len(lines) - len(wanted) + 1) if lines[i:i + len(wanted)] == wanted]
    if not places:
        raise Stale
    return min(places, key=lambda i: abs(i - near))


def mutate(text, hunks):
    lines, shift = text.split("\n"), 0
    for hunk in hunks:
        at = find_lines(lines, hunk.old, hunk.line - 1 + shift)
        lines[at:at + len(hunk.old)] = hunk.new
        shift += len(hunk.new) - len(hunk.old)
    return "\n".join(lines)


# Builds

def run_bounded(command, timeout, cwd=None, env=None):
    """(exit status or None for out of time, standard output, standard error)."""
    with subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, cwd=cwd, env={**os.environ, **(env or {})},
                          start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=timeout)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            status = None
    return status, out.decode(errors="replace"), err.decode(errors="replace")


@dataclasses.dataclass
class Program:
    """A test program as Meson knows it; path is below the build directory."""

    name: str
    path: str
    env: dict


def environment():
    """What test programs need besides what Meson says: where the published vectors are, and short runs."""
    vectors = os.environ.get("CRYPRQ_VECTORS") or ROOT.parent / "shared" / "vectors"
    return {"CRYPRQ_VECTORS": str(vectors), "CRYPRQ_SIM_ROTATIONS": "300"}


class Workshop:
    """A copy of the source tree and a build of it."""

    def __init__(self, folder):
        self.tree, self.build = folder / "tree", folder / "build"

    def set_up(self, source):
        self.tree.mkdir(parents=True)
        for name in COPIED:
            if (source / name).is_dir():
                shutil.copytree(source / name, self.tree / name, ignore=shutil.ignore_patterns(*NOT_COPIED))
            else:
                shutil.copy2(source / name, self.tree / name)
        (self.tree / "tests" / "fuzz" / "corpus").mkdir(exist_ok=True)
        options = ["-Doptimization=1", "-Ddebug=false", "-Dwerror=false"]
        private = ROOT / "build" / "deps" / "openssl"
        if (private / "lib" / "libcrypto.a").exists():
            options.append(f"-Dlibcrypto={private}")
        status, out, err = run_bounded(["meson", "setup", self.build, self.tree, *options], BUILD_TIMEOUT)
        if status != 0:
            raise Broken((out + err)[-4000:])

    def copy_to(self, folder):
        """Paths inside a build are relative, so a copy beside a copy of the tree is as good."""
        other = Workshop(folder)
        shutil.copytree(self.tree.parent, folder, symlinks=True)
        return other

    def programs(self):
        status, out, err = run_bounded(["meson", "introspect", "--tests", self.build], 60)
        if status != 0:
            raise Broken(out + err)
        found = {}
        for entry in json.loads(out):
            suite = entry["suite"][0].rpartition(":")[2]
            if suite in SUITES:
                name = f"{suite}/{entry['name']}"
                path = os.path.relpath(entry["cmd"][0], self.build)
                found[name] = Program(name, path, {**entry["env"], **environment()})
        return found

    def compile(self, programs):
        # One job: there are as many workshops as cores.
        status, out, err = run_bounded(["ninja", "-C", self.build, "-j1", "--quiet", *{p.path for p in programs}],
                                       BUILD_TIMEOUT)
        if status != 0:
            raise Broken((out + err)[-4000:])

    def run(self, program):
        """None where the program passes, else what it says."""
        status, out, err = run_bounded([self.build / program.path], PROGRAM_TIMEOUT, self.build, program.env)
        failed = re.search(r"^not ok \d+ - (.*)$", out, re.MULTILINE)
        if failed:
            return failed.group(1)
        if status is None:
            return f"no end within {PROGRAM_TIMEOUT} s"
        if status in (0, 77):
            return None
        last = (err.strip().splitlines() or [""])[-1]
        return f"status {status}" + (f", {last}" if last else "")


# Judging

@dataclasses.dataclass
class Verdict:
    mutant: Mutant
    program: str = ""
    case: str = ""
    problem: str = ""
    detail: str = ""
    seconds: float = 0.0


def hunt(workshop, programs, mutant, verdict, deadline):
    """Builds and runs one program after the other until one fails."""
    expected = [programs[name] for name in mutant.found_by]
    others = [p for name, p in programs.items() if name not in mutant.found_by]
    for step in (*([p] for p in expected), others):
        workshop.compile(step)
        for program in step:
            if time.monotonic() > deadline:
                verdict.problem = "out of time"
                return
            case = workshop.run(program)
            if case is not None:
                verdict.program, verdict.case = program.name, case
                return
    verdict.problem = "no test finds it"


def judge(workshop, programs, mutant):
    verdict = Verdict(mutant)
    start = time.monotonic()
    originals = {}
    try:
        for name, hunks in mutant.files.items():
            path = workshop.tree / name
            if not path.is_file():
                raise Stale
            originals[path] = path.read_text(encoding="utf-8")
            mutated = mutate(originals[path], hunks)
            path.write_text(mutated, encoding="utf-8")
        hunt(workshop, programs, mutant, verdict, start + MUTANT_TIMEOUT)
    except Stale:
        verdict.problem = "stale: the patch does not fit the sources"
    except KeyError as name:
        verdict.problem = f"stale: there is no test program {name}"
    except Broken as error:
        verdict.problem, verdict.detail = "does not compile", str(error)
    finally:
        for path, text in originals.items():
            path.write_text(text, encoding="utf-8")
    verdict.seconds = time.monotonic() - start
    return verdict


def judge_all(workshops, programs, mutants, report):
    free = queue.Queue()
    for workshop in workshops:
        free.put(workshop)

    def task(mutant):
        workshop = free.get()
        try:
            return judge(workshop, programs, mutant)
        finally:
            free.put(workshop)

    with concurrent.futures.ThreadPoolExecutor(len(workshops)) as pool:
        for verdict in pool.map(task, mutants):
            report(verdict)


# Output

def cell(text):
    return text.replace("|", "\\|")


def make_table(verdicts):
    lines = ["| mutant | found by |", "| --- | --- |"]
    for v in verdicts:
        found = v.problem or f"`{v.program}`: {v.case}"
        lines.append(f"| {v.mutant.name.partition('-')[0]} {cell(v.mutant.sentence)} | {cell(found)} |")
    return "\n".join(lines) + "\n"


def write_table(path, table):
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        table = f"{before}{BEGIN}\n\n{table}\n{END}{after}"
    path.write_text(table, encoding="utf-8")


class Tap:
    def __init__(self, planned):
        self.number, self.failed = 0, 0
        print(f"1..{planned}", flush=True)

    def case(self, title, problem="", detail=""):
        self.number += 1
        self.failed += bool(problem)
        print(f"{'not ok' if problem else 'ok'} {self.number} - {title}{': ' if problem else ''}{problem}")
        for line in detail.rstrip().splitlines():
            print(f"# {line}")
        sys.stdout.flush()


def show_table(verdicts):
    width = max((len(v.mutant.name) for v in verdicts), default=0)
    for v in verdicts:
        found = v.problem or f"{v.program}: {v.case}"
        note = "" if v.problem or v.program in v.mutant.found_by else "  (not where it was expected)"
        print(f"# {v.mutant.name:{width}} | {found}{note}")


def check_unmutated(workshop, programs):
    """None, or what fails without any mutant."""
    status, out, err = run_bounded(["ninja", "-C", workshop.build, "--quiet", *{p.path for p in programs.values()}],
                                   BUILD_TIMEOUT)
    if status != 0:
        return "the build fails", out + err
    failures = [f"{p.name}: {case}" for p in programs.values() if (case := workshop.run(p)) is not None]
    return ("tests fail", "\n".join(failures)) if failures else None


def main():
    parser = argparse.ArgumentParser(description="Puts bugs into the sources and looks whether the tests find them.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="mutants at a time")
    parser.add_argument("--only", action="append", metavar="PATTERN",
                        help="only mutants with PATTERN in their file names; may be given several times")
    parser.add_argument("--table", type=pathlib.Path, metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--source", type=pathlib.Path, default=ROOT, metavar="DIR", help="the source tree")
    options = parser.parse_args()
    if options.only and options.table:
        parser.error("a table shows all mutants")
    patterns = options.only or [""]
    mutants = [read_mutant(p) for p in sorted(HERE.glob("*.patch")) if any(part in p.name for part in patterns)]
    tap = Tap(1 + len(mutants))
    verdicts = []

    def report(verdict):
        verdicts.append(verdict)
        tap.case(verdict.mutant.name, verdict.problem, verdict.detail)

    with tempfile.TemporaryDirectory(prefix="cryprq-mutants-") as folder:
        first = Workshop(pathlib.Path(folder) / "0")
        try:
            first.set_up(options.source)
            programs = first.programs()
            problem = check_unmutated(first, programs)
        except Broken as error:
            problem = ("the build fails", str(error))
        if problem is not None:
            tap.case("every test passes without a mutant", *problem)
            print("Bail out! Mutants prove nothing where the tests fail by themselves.")
            return 1
        tap.case("every test passes without a mutant")
        others = [first.copy_to(pathlib.Path(folder) / str(i)) for i in range(1, min(options.jobs, len(mutants)))]
        judge_all([first, *others], programs, mutants, report)
    show_table(verdicts)
    if options.table is not None:
        write_table(options.table, make_table(verdicts))
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
