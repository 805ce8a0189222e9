"""What is promised and what is aimed at ("mark"), held against results."""

import dataclasses
import operator

from bench import rows, stats
from bench.rows import part_of

AT_MOST, AT_LEAST = "at most", "at least"
HOLDS = {AT_MOST: operator.le, AT_LEAST: operator.ge}
PEERS = ("wireguard-go", "openvpn", "fastd", "nebula")
US = "cryprq"


@dataclasses.dataclass
class Judgement:
    kind: str           # "promise" or "mark"
    title: str
    wanted: str
    found: str
    verdict: str        # "held" or "missed", with ", uncertain"; or "not measured"


@dataclasses.dataclass
class Limit:
    """An absolute one of the tunnel's table; the other parts bring theirs with their rows."""

    kind: str
    row: str
    sense: str
    value: float
    unit: str

    def judge(self, found):
        series = found.get(US, {}).get(self.row)
        wanted = f"{self.sense} {rows.text(self.value, self.unit)}"
        if series is None:
            return Judgement(self.kind, self.row, wanted, "", "not measured")
        return judge_series(self.kind, series, self.sense, self.value, wanted)


@dataclasses.dataclass
class Ratio:
    """Of our figure to another program's of the same rounds, or to the best of several."""

    row: str
    sense: str
    value: float
    others: tuple

    def judge(self, found):
        best = " the best of" if len(self.others) > 1 else ""
        wanted = f"{self.sense} {self.value:g} ×{best} {', '.join(self.others)}"
        own = found.get(US, {}).get(self.row)
        others = {name: found[name][self.row] for name in self.others if self.row in found.get(name, {})}
        if own is None or len(others) < len(self.others):
            return Judgement("mark", self.row, wanted, "", "not measured")
        pick = max if own.row.better == "higher" else min
        name = pick(others, key=lambda other: others[other].median)
        other = others[name]
        if other.median == 0:
            return Judgement("mark", self.row, wanted, f"{name} has 0", "not measured")
        ratio = own.median / other.median
        # Rounds were interleaved, so each has a ratio of its own; together they tell how sure this one is.
        ours, theirs = own.by_round, other.by_round
        pairs = [ours[number] / theirs[number] for number in ours if theirs.get(number)] or [ratio]
        spread = stats.median_interval(pairs)
        text = f"{ratio:.3g} × {name} ({spread.low:.3g} to {spread.high:.3g})"
        return Judgement("mark", self.row, wanted, text, verdict_of(ratio, spread, self.sense, self.value))


def verdict_of(value, interval, sense, limit):
    """By the value, with a word where its interval reaches to the other side of the limit."""
    holds = HOLDS[sense]
    both = holds(interval.low, limit) != holds(interval.high, limit)
    return ("held" if holds(value, limit) else "missed") + (", uncertain" if both else "")


TUNNEL = (
    Limit("promise", "tunnel/udp-64", AT_LEAST, 10_000, "packets/s"),
    Limit("promise", "tunnel/memory-all", AT_MOST, 50, "MB"),
    Ratio("tunnel/tcp-whole", AT_LEAST, 3, ("wireguard-go",)),
    Ratio("tunnel/tcp-segmented", AT_LEAST, 6, ("wireguard-go",)),
    Ratio("tunnel/cpu-whole", AT_MOST, 0.35, ("wireguard-go",)),
    Ratio("tunnel/udp-64", AT_LEAST, 5, PEERS),
    Limit("mark", "tunnel/udp-64-gso", AT_LEAST, 2_500_000, "packets/s"),
    Limit("mark", "tunnel/udp-64-gso-flood", AT_LEAST, 2_500_000, "packets/s"),
    Limit("mark", "tunnel/ping-idle", AT_MOST, 170, "µs"),
    Ratio("tunnel/ping-bulk", AT_MOST, 1 / 8, ("wireguard-go",)),
    Ratio("tunnel/ping-bulk-p99", AT_MOST, 1 / 8, ("wireguard-go",)),
    Limit("mark", "tunnel/memory", AT_MOST, 16, "MB"),
    Ratio("tunnel/tcp-whole", AT_LEAST, 0.5, ("null",)),
)


def judge_series(kind, series, sense, value, wanted):
    found = rows.text(series.median, series.row.unit)
    interval = series.interval
    if interval.low != interval.high:
        found += f" ({rows.text(interval.low, series.row.unit)} to {rows.text(interval.high, series.row.unit)})"
    return Judgement(kind, series.row.name, wanted, found,
                     verdict_of(series.median, interval, sense, value))


def judge(found, parts):
    """All judgements that these parts can have: of the rows' own limits, and of the tunnel's table."""
    result = []
    for series in found.get(US, {}).values():
        sense = AT_LEAST if series.row.better == "higher" else AT_MOST
        for kind, value in (("promise", series.row.promise), ("mark", series.row.mark)):
            if value is not None:
                wanted = f"{sense} {rows.text(value, series.row.unit) or '0'}"
                result.append(judge_series(kind, series, sense, value, wanted))
    if "tunnel" in parts:
        result += [limit.judge(found) for limit in TUNNEL]
    return sorted(result, key=lambda one: (one.kind == "mark", part_of(one.title)))
