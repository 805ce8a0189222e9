"""A run in slices: what is to be done in a fixed order, and what is done already, a line of JSON each."""

import json
import time

from bench import machine


class Mismatch(Exception):
    """The journal on disk is of another run."""


class Journal:
    """The first line is the plan; each further one is a finished step, written when it is over."""

    def __init__(self, path, plan, resume):
        self.path = path
        self.entries = []
        if resume and path.exists():
            self.read(plan)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as out:
            print(json.dumps({"plan": plan}), file=out)

    def read(self, plan):
        lines = self.path.read_text(encoding="utf-8").splitlines()
        found = json.loads(lines[0])["plan"]
        different = sorted(key for key in {*found, *plan} if found.get(key) != json.loads(json.dumps(plan.get(key))))
        if different:
            raise Mismatch(f"{self.path} is of a run with another {', '.join(different)}: "
                           "give the same options, or leave out --resume")
        for line in lines[1:]:
            try:
                self.entries.append(json.loads(line))
            except ValueError:
                break               # the last line of a run that was killed while writing
        with self.path.open("w", encoding="utf-8") as out:
            for entry in ({"plan": found}, *self.entries):
                print(json.dumps(entry), file=out)

    def add(self, entry):
        self.entries.append(entry)
        with self.path.open("a", encoding="utf-8") as out:
            print(json.dumps(entry), file=out)


class Slice:
    """The time that this call may take; None: any."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.began = time.monotonic()
        self.longest = {}

    def has_room(self, part, entries):
        if self.seconds is None:
            return True
        past = [entry["seconds"] for entry in entries if entry["part"] == part]
        return time.monotonic() - self.began + max(past, default=0) * 1.1 + 1 < self.seconds


class Runner:
    """Does the steps of a plan that are not in the journal yet."""

    def __init__(self, journal, steps, measure, progress):
        self.journal = journal
        self.steps = steps
        self.measure = measure          # (step) -> rows; raises one of `errors`
        self.progress = progress

    def run(self, limit, errors):
        """Whether all steps are done now."""
        for number, step in enumerate(self.steps):
            if number < len(self.journal.entries):
                continue
            if not limit.has_room(step["part"], self.journal.entries):
                return False
            self.progress.begin(number, len(self.steps), step)
            self.journal.add(self.do(step, errors))
        self.progress.end()
        return True

    def do(self, step, errors):
        began, before, load = time.monotonic(), machine.CpuTimes.now(), machine.load()
        entry = {**step, "load_before": load}
        try:
            entry["rows"] = [row.to_json() for row in self.measure(step)]
        except errors as error:
            entry["error"] = f"{type(error).__name__}: {error}"
            self.progress.note(f"{step['subject']}, {step['part']}: {error}")
        busy, stolen = machine.CpuTimes.now().since(before)
        entry.update(seconds=round(time.monotonic() - began, 3), busy_cpus=round(busy, 3), stolen=round(stolen, 4))
        return entry
