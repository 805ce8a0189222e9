"""Results: what one run of one program found ("rows"), and all runs of a row together ("series")."""

import dataclasses

from bench import stats


@dataclasses.dataclass
class Row:
    """One quantity, measured in one run."""

    name: str
    unit: str
    samples: list
    better: str = "lower"           # or "higher"
    bytes_per_op: int = 0
    things: str = ""                # what an operation is, for rates
    promise: float = None           # as the program itself tells them: at most so much
    mark: float = None

    def to_json(self):
        return {key: value for key, value in dataclasses.asdict(self).items() if value not in (None, "")}


def row_of(entry):
    """From the JSON of a journal or of `cryprq bench --json`, which has more members than these."""
    known = {field.name for field in dataclasses.fields(Row)}
    return Row(**{key: value for key, value in entry.items() if key in known})


@dataclasses.dataclass
class Series:
    """A row of one program over all its runs."""

    row: Row
    runs: list = dataclasses.field(default_factory=list)       # samples of each run
    rounds: list = dataclasses.field(default_factory=list)     # number of each, for runs may have failed

    @property
    def values(self):
        """What the statistics rest on: medians of runs. Samples of one run resemble each other, runs do not."""
        return [stats.median(samples) for samples in self.runs] if len(self.runs) > 1 else list(self.runs[0])

    @property
    def by_round(self):
        return {number: stats.median(samples) for number, samples in zip(self.rounds, self.runs)}

    @property
    def median(self):
        return stats.median(self.values)

    @property
    def interval(self):
        return stats.median_interval(self.values)

    @property
    def outliers(self):
        return stats.outliers(self.values)

    @property
    def num_samples(self):
        return sum(len(samples) for samples in self.runs)

    def to_json(self):
        interval = self.interval
        return {**self.row.to_json(), "samples": None, "runs": self.runs, "median": self.median,
                "low": interval.low, "high": interval.high, "coverage": round(interval.coverage, 4),
                "outliers": self.outliers}


def collect(entries):
    """{subject: {name of a row: Series}} of journal entries, rows in the order in which they came."""
    found = {}
    for entry in entries:
        rows = found.setdefault(entry["subject"], {})
        for data in entry.get("rows", ()):
            row = row_of(data)
            series = rows.setdefault(row.name, Series(row))
            series.runs.append(row.samples)
            series.rounds.append(entry.get("round", len(series.rounds)))
    return found


# By the beginning of a row's name, the longest that fits; what is not here is on the way of packets.
PARTS = {"handshake/": "handshake", "primitive/": "handshake", "engine/": "handshake", "engine/rotation": "rotation",
         "rotation/": "rotation", "memory/": "memory", "tunnel/": "tunnel"}


def part_of(name):
    """Which part of the benchmark a row belongs to."""
    fitting = [prefix for prefix in PARTS if name.startswith(prefix)]
    return PARTS[max(fitting, key=len)] if fitting else "packets"


# For people

PREFIXES = {"ns/op": ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")),
            "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")),
            "packets/s": ((1e6, "M/s"), (1e3, "k/s"), (1, "/s"))}


def digits(value):
    """Three digits that count, never as a power of ten."""
    size = abs(value)
    if size >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.3g}"


def text(value, unit):
    """A value with its unit, in the size that suits it."""
    for factor, prefix in PREFIXES.get(unit, ()):
        if abs(value) >= factor:
            return f"{digits(value / factor)} {prefix}"
    unit = {"ns/op": "ns", "bytes": "B", "packets/s": "/s", "packets": "", "allocations/op": ""}.get(unit, unit)
    return f"{digits(value)} {unit}".rstrip()


def rate_text(row, value):
    """For times of operations on data: operations and bytes a second."""
    if row.unit != "ns/op" or value <= 0:
        return ""
    words = [text(1e9 / value, "packets/s")]
    if row.bytes_per_op:
        words.append(f"{digits(row.bytes_per_op / value)} GB/s")
    return ", ".join(words)
