"""Entry of scripts/benchmark.sh: runs the plan that the options ask for, and reports."""

import fcntl
import json
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# In place of this folder, whose modules are those of a package.
sys.path[:1] = [str(ROOT), str(ROOT / "tests" / "netns")]

import netns                                                                            # noqa: E402
from bench import (baseline, compare, core, history, journal, machine, nullbuild, options as command_line, page,  # noqa: E402
                   peers, plan, report as reports, rows, session, stats, tools)
from bench.progress import Progress                                                     # noqa: E402

GOOD, SLOWER, FAILED, UNFINISHED = 0, 1, 2, 3
USER_ERRORS = (tools.Missing, baseline.Unknown, journal.Mismatch, core.Failed)


class Run:
    """One call of the program."""

    def __init__(self, options):
        self.options = options
        self.progress = Progress()
        self.output = tools.OUTPUT
        self.note = ""
        self.programs, self.base = self.find_programs()

    def find_programs(self):
        """({subject: program}, what is known of the base of a comparison)."""
        own = (self.options.program or netns.CRYPRQ).resolve()
        if not own.exists():
            raise tools.Missing(f"no program at {own}: scripts/setup.sh builds it")
        if self.options.baseline:
            program, known = baseline.load(self.options.baseline)
            return {"base": program, "new": own}, known
        if self.options.against:
            if not self.options.against.exists():
                raise tools.Missing(f"no program at {self.options.against}")
            return {"base": self.options.against.resolve(), "new": own}, {"commit": None}
        programs = {"cryprq": own}
        if "null" in self.options.peers:
            programs["null"] = nullbuild.build(self.progress)
        return programs, None

    def prepare(self):
        """Leaves out what cannot be measured here, and fetches what is wanted."""
        reason = session.can_use_namespaces()
        if reason is not None:
            self.note = f"real nodes were left out: {reason}"
            if "tunnel" in self.options.parts:
                if self.options.parts == ("tunnel",):
                    raise tools.Missing(f"the tunnel cannot be measured: {reason}")
                self.options.parts = tuple(part for part in self.options.parts if part != "tunnel")
            self.progress.note(self.note)
        if "tunnel" in self.options.parts:
            tools.load()
            peers.fetch([name for name in self.options.peers if name != "null"])
        elif reason is None and not self.options.only:
            tools.load()
        self.program = {"path": short(self.programs.get("new", self.programs.get("cryprq"))),
                        "sha256": machine.digest(self.programs.get("new", self.programs.get("cryprq")))}

    def steps(self):
        if not self.options.comparing:
            tunnels = ["plain", *self.programs, *(name for name in self.options.peers if name != "null")]
            return plan.measuring(self.options.parts, self.options.rounds, ["cryprq"], tunnels)
        blocks = self.options.blocks or stats.blocks_needed(self.count_rows(), compare.LEVEL)
        return plan.comparing(self.options.parts, blocks, self.options.seed)

    def count_rows(self):
        """About how many rows a comparison will have; those of real nodes are estimated."""
        names = [name for name in core.names(self.programs["new"]) if rows.part_of(name) in self.options.parts]
        return max(1, len(names)) + 12 * len(self.options.parts)

    def plan(self):
        """What must be the same for a run to be gone on with."""
        digests = {subject: machine.digest(path) for subject, path in self.programs.items()}
        return {"parts": self.options.parts, "rounds": self.options.rounds, "blocks": self.options.blocks,
                "peers": self.options.peers, "only": self.options.only, "quick": self.options.quick,
                "long": self.options.long, "baseline": self.options.baseline, "seed": self.options.seed,
                "programs": digests}

    def measure(self, lab):
        """Whether everything is measured now; the journal has it."""
        self.journal = journal.Journal(self.output / "journal.jsonl", self.plan(), self.options.resume)
        work = session.Session(lab, self.programs, self.options.effort, self.progress, self.options.only,
                               self.options.long)
        runner = journal.Runner(self.journal, self.steps(), work.measure, self.progress)
        return runner.run(journal.Slice(self.options.slice), session.ERRORS)

    def report(self):
        here = machine.describe()
        commit, dirty = machine.checkout()
        shown = {"parts": self.options.parts, "rounds": self.options.rounds, "peers": self.options.peers,
                 "quick": self.options.quick, "seed": self.options.seed,
                 "baseline": self.options.baseline or (self.options.against and str(self.options.against))}
        found = reports.Report(self.options.parts, shown, here, self.program, commit, dirty, self.journal.entries,
                               self.base, self.options.threshold, note=self.note)
        past = tools.OUTPUT / "history.jsonl"
        if not (self.options.comparing or self.options.no_history or self.options.quick or self.options.only):
            history.add(past, found)
        found.history = history.read(past, here)
        reports.write_json(found, self.output / "results.json")
        (self.output / "report.md").write_text(reports.markdown(found), encoding="utf-8")
        (self.output / "report.html").write_text(page.page(found), encoding="utf-8")
        return found

    def conclude(self, found):
        """Prints what was found; the exit status."""
        if self.options.json:
            print(json.dumps(found.to_json()))
        else:
            print(reports.markdown(found), end="")
        self.progress.note(f"written: {short(self.output)}/report.html, report.md, results.json")
        if self.options.save_baseline and not ours_failed(found):
            folder = baseline.save(self.options.save_baseline, self.programs["cryprq"], found.to_json())
            self.progress.note(f"baseline {self.options.save_baseline} kept in {short(folder)}")
        if ours_failed(found):
            return FAILED
        return SLOWER if found.slower else GOOD


def ours_failed(found):
    """A program to compare with may fail; ours may not."""
    return any(entry["subject"] in ("cryprq", "base", "new") for entry in found.errors)


def short(path):
    path = pathlib.Path(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def only_one():
    """Two benchmarks at a time measure each other."""
    tools.OUTPUT.mkdir(parents=True, exist_ok=True)
    lock = (tools.OUTPUT / "lock").open("w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise tools.Missing("another benchmark of this checkout runs") from error
    shutil.rmtree(tools.OUTPUT / "tmp", ignore_errors=True)
    return lock


def main():
    options = command_line.parse(sys.argv[1:])
    try:
        lock = only_one()
        run = Run(options)
        run.prepare()
        with netns.Lab("benchmark") as lab:
            finished = run.measure(lab)
        shutil.rmtree(tools.OUTPUT / "tmp", ignore_errors=True)
        lock.close()
    except USER_ERRORS as error:
        print(f"benchmark: error: {error}", file=sys.stderr)
        return FAILED
    if not finished:
        run.progress.note(f"{len(run.journal.entries)} of {len(run.steps())} runs are done: go on with --resume")
        return UNFINISHED
    return run.conclude(run.report())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        os._exit(GOOD)
