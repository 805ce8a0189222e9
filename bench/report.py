"""What a run found, in one structure: judged, compared, with the machine; as JSON and as Markdown."""

import dataclasses
import datetime
import json

from bench import compare, marks, rows, stats
from bench.tunnelpart import TITLES


@dataclasses.dataclass
class Report:
    """Everything that the reports show."""

    parts: tuple
    options: dict
    machine: dict
    program: dict
    commit: str
    dirty: bool
    entries: list                       # of the journal
    base: dict = None                   # what is known of the baseline
    threshold: float = compare.THRESHOLD
    history: list = dataclasses.field(default_factory=list)
    note: str = ""

    def __post_init__(self):
        self.when = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.found = rows.collect(self.entries)
        self.compared, self.left_out, self.judgements, self.noise = [], [], [], {}
        if self.base is not None:
            self.compared, self.left_out = compare.compare(self.entries, self.threshold)
        else:
            self.judgements = marks.judge(self.found, self.parts)
            self.noise = compare.null_comparison(self.entries, marks.US)

    @property
    def errors(self):
        return [entry for entry in self.entries if "error" in entry]

    @property
    def slower(self):
        return [one for one in self.compared if one.verdict == "slower"]

    def rows_of(self, part, subject=marks.US):
        return [series for name, series in self.found.get(subject, {}).items() if rows.part_of(name) == part]

    def to_json(self):
        subjects = {subject: {name: series.to_json() for name, series in found.items()}
                    for subject, found in self.found.items()}
        return {"schema": 1, "when": self.when, "commit": self.commit, "dirty": self.dirty, "program": self.program,
                "machine": self.machine, "options": self.options, "load": self.load(), "subjects": subjects,
                "judgements": [dataclasses.asdict(one) for one in self.judgements],
                "null_comparison": self.noise, "baseline": self.base, "threshold": self.threshold,
                "comparison": [one.to_json() for one in self.compared], "not_compared": self.left_out,
                "errors": [{key: entry[key] for key in ("subject", "part", "round", "error")} for entry in self.errors]}

    def load(self):
        """What else the machine did, as far as it can be seen."""
        if not self.entries:
            return {}
        return {"before_median": stats.median([entry["load_before"] for entry in self.entries]),
                "before_most": max(entry["load_before"] for entry in self.entries),
                "stolen_most": max(entry["stolen"] for entry in self.entries)}


def write_json(report, path):
    path.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")


# Markdown


def table(head, body):
    """A table whose columns are as wide as they must be, so that it reads well as plain text too."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *body)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return lines + [""]


def machine_lines(report):
    machine, load = report.machine, report.load()
    lines = [f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {' '.join(machine['features'])}",
             f"- {machine['kernel']}, {machine['system']}; frequency governor: {machine['governor']}",
             f"- program {report.program['sha256'][:12]} ({report.program['path']}), checkout {report.commit or '?'}"
             f"{' with changes' if report.dirty else ''}"]
    if load:
        lines.append(f"- load average before runs: median {load['before_median']:.2f}, at most "
                     f"{load['before_most']:.2f}; at most {load['stolen_most']:.1%} of the time taken by the host")
    if report.noise:
        off = sorted(abs(ratio - 1) for ratio in report.noise.values())
        lines.append(f"- noise: the program held against itself, every other run: median difference "
                     f"{stats.median(off):.1%}, largest {off[-1]:.1%} of {len(off)} rows")
    if report.note:
        lines.append(f"- {report.note}")
    return [*lines, ""]


def judgement_lines(report):
    if not report.judgements:
        return []
    body = [(one.kind, TITLES.get(one.title, one.title), one.wanted, one.found, one.verdict) for one in report.judgements]
    return ["## Promises and marks", "", *table(("", "row", "wanted", "found", "verdict"), body)]


def interval_text(series):
    """The interval, with its confidence where that is not 95 % or more."""
    interval, unit = series.interval, series.row.unit
    if len(series.values) < 2:
        return "one value"
    if interval.low == interval.high:
        return "no spread"
    text = f"{rows.text(interval.low, unit)} to {rows.text(interval.high, unit)}"
    return text if interval.coverage >= 0.95 else f"{text} ({interval.coverage:.0%})"


def series_cells(series):
    outliers = series.outliers
    return (series.row.name, rows.text(series.median, series.row.unit), interval_text(series),
            rows.rate_text(series.row, series.median), f"{len(series.runs)} × {len(series.runs[0])}",
            f"{len(outliers)}: {', '.join(rows.text(value, series.row.unit) for value in outliers[:3])}" if outliers else "")


def part_lines(report, part):
    found = report.rows_of(part)
    if not found:
        return []
    head = ("row", "median", "95 % interval", "rate", "runs × samples", "outliers")
    return [f"## {part.capitalize()}", "", *table(head, [series_cells(series) for series in found])]


def tunnel_lines(report):
    names = [name for name in TITLES if any(name in found for found in report.found.values())]
    if not names:
        return []
    subjects = [subject for subject, found in report.found.items() if any(name in found for name in names)]
    body, spread = [], []
    for name in names:
        have = [report.found[subject].get(name) for subject in subjects]
        body.append((TITLES[name], *(rows.text(series.median, series.row.unit) if series else "" for series in have)))
        spread.append((TITLES[name], *(interval_text(series) if series else "" for series in have)))
    rounds = max(len(series.runs) for subject in subjects for series in report.found[subject].values())
    if rounds == 1:
        return ["## Tunnel", "", "One round, which says nothing of how certain these are.", "",
                *table(("", *subjects), body)]
    return ["## Tunnel", "", f"Medians of {rounds} interleaved rounds, and below them their 95 % intervals.", "",
            *table(("", *subjects), body), *table(("", *subjects), spread)]


def comparison_lines(report):
    if report.base is None:
        return []
    of = report.base.get("commit") or "?"
    words = {verdict: sum(one.verdict == verdict for one in report.compared)
             for verdict in ("slower", "faster", "no difference")}
    body = [(one.row.name, rows.text(one.base, one.row.unit), rows.text(one.new, one.row.unit),
             "from 0" if one.change.ratio == float("inf") else f"{(one.change.ratio - 1) * 100:+.1f} %",
             f"{(one.change.low - 1) * 100:+.1f} to {(one.change.high - 1) * 100:+.1f} %", f"{one.adjusted_p:.2g}",
             one.verdict) for one in report.compared]
    lines = ["## Comparison", "",
             f"With {report.options.get('baseline')} (checkout {of}), both run anew in random order: "
             f"{words['slower']} slower, {words['faster']} faster, {words['no difference']} without a difference.",
             f"A row is called slower or faster if the chance of a wrong word among all rows is at most "
             f"{compare.LEVEL:.0%} (p, adjusted) and the change at least {report.threshold:.0%}.", "",
             *table(("row", "base", "new", "change", "interval", "p", "verdict"), body)]
    loose = [one for one in report.compared if one.change.high > one.change.low * (1 + 4 * report.threshold)]
    if loose:
        lines += [f"The machine was not quiet: of {len(loose)} rows the interval is so wide that a change several times "
                  "the smallest one may have gone unseen.", ""]
    if report.left_out:
        lines += [f"Not in both programs, or failed: {', '.join(report.left_out)}.", ""]
    return lines


def error_lines(report):
    if not report.errors:
        return []
    body = [(entry["part"], entry["subject"], entry["round"] + 1, entry["error"]) for entry in report.errors]
    return ["## What failed", "", *table(("part", "subject", "round", "why"), body)]


def markdown(report):
    title = "Comparison of two builds" if report.base is not None else "Benchmark"
    lines = [f"# {title} of CrypRQ", "", f"{report.when}, seed {report.options['seed']}", "", *machine_lines(report),
             *comparison_lines(report), *judgement_lines(report)]
    if report.base is None:
        for part in report.parts:
            lines += tunnel_lines(report) if part == "tunnel" else part_lines(report, part)
    return "\n".join([*lines, *error_lines(report)]).rstrip() + "\n"
