"""Earlier runs on this machine, a line of JSON each: commit, time, and of each of our rows median and interval."""

import json

from bench import machine, marks


def add(path, report):
    """Appends this run, unless it was of a part of the rows or so short that it would only scatter."""
    if not report.found.get(marks.US):
        return
    rows = {}
    for name, series in report.found[marks.US].items():
        interval = series.interval
        rows[name] = [series.median, interval.low, interval.high]
    line = {"when": report.when, "commit": report.commit, "dirty": report.dirty,
            "program": report.program["sha256"][:16], "machine": machine.machine_id(report.machine), "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as out:
        print(json.dumps(line), file=out)


def read(path, this_machine):
    """Runs on this machine, oldest first."""
    if not path.exists():
        return []
    runs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            run = json.loads(line)
        except ValueError:
            continue
        if run.get("machine") == machine.machine_id(this_machine):
            runs.append(run)
    return runs
