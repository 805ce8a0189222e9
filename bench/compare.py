"""Two programs, block by block: what has changed, and what only looks so."""

import dataclasses

from bench import rows, stats

LEVEL = 0.01                    # chance of one wrong verdict or more among all rows
THRESHOLD = 0.03                # smaller changes are not called any, however certain: layout alone makes 1 or 2 %


def value_of(row):
    """What a run counts as. Whatever else the machine does makes a batch slower and never faster, so of many batches the
    fastest tenth tells two programs apart much better than the median, which is what reports show. A test of which of
    two programs gives larger values may take any value of a run."""
    return stats.quantile(row.samples, 0.1) if row.unit == "ns/op" else stats.median(row.samples)


@dataclasses.dataclass
class Compared:
    row: rows.Row
    base: float                 # medians of what runs count as
    new: float
    change: stats.Change
    adjusted_p: float
    verdict: str

    def to_json(self):
        change = self.change
        return {"name": self.row.name, "unit": self.row.unit, "better": self.row.better, "base": self.base,
                "new": self.new, "ratio": change.ratio if change.ratio != float("inf") else None, "low": change.low,
                "high": change.high, "p": change.p, "adjusted_p": self.adjusted_p, "verdict": self.verdict}


def blocks_of(entries):
    """{name: (row, {block: {subject: [value of each run]}})}."""
    found = {}
    for entry in entries:
        for data in entry.get("rows", ()):
            row = rows.row_of(data)
            _, blocks = found.setdefault(row.name, (row, {}))
            sides = blocks.setdefault((entry["part"], entry["round"]), {"base": [], "new": []})
            sides[entry["subject"]].append(value_of(row))
    return found


def compare(entries, threshold=THRESHOLD, level=LEVEL):
    """(the rows of both programs with their verdicts, names of those that cannot be compared)."""
    complete, left_out = [], []
    for name, (row, blocks) in blocks_of(entries).items():
        # A block with a failed run has no counterpart for it and says nothing.
        whole = [(sides["base"], sides["new"]) for sides in blocks.values()
                 if len(sides["base"]) == len(sides["new"]) == stats.BLOCK // 2]
        if whole:
            complete.append((row, whole))
        else:
            left_out.append(name)
    changes = [stats.compare(whole) for _, whole in complete]
    adjusted = stats.holm([change.p for change in changes])
    result = []
    for (row, whole), change, p in zip(complete, changes, adjusted):
        base, new = (stats.median([value for block in whole for value in block[side]]) for side in (0, 1))
        result.append(Compared(row, base, new, change, p, stats.verdict(change, p, row.better, level, threshold)))
    return result, left_out


def null_comparison(entries, subject):
    """What a comparison of this program with itself would have called a change: {name: ratio} of its runs in turn, the
    first and fourth, fifth and eighth ... against the others, so that a steady drift cancels."""
    runs = {}
    for entry in entries:
        if entry["subject"] == subject:
            for data in entry.get("rows", ()):
                row = rows.row_of(data)
                runs.setdefault(row.name, []).append(value_of(row))
    result = {}
    for name, values in runs.items():
        values = values[:len(values) // 4 * 4]
        sides = [value for i, value in enumerate(values) if i % 4 in (0, 3)], \
                [value for i, value in enumerate(values) if i % 4 in (1, 2)]
        if values and min(values) > 0:
            result[name] = stats.median(sides[1]) / stats.median(sides[0])
    return result
