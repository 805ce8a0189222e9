#!/usr/bin/env python3
"""The statistics of the benchmarks: known answers, how often they are wrong, and what they can see. TAP."""

import math
import pathlib
import random
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "netns")]

import netns                            # noqa: E402  (found through the path set above)
from bench import stats                 # noqa: E402
from netns import check, equal          # noqa: E402

LEVEL = 0.01
ROWS = 40
BLOCKS = 8


def near(found, wanted, what, tolerance=1e-9):
    check(abs(found - wanted) <= tolerance, f"{what}: found {found!r}, wanted {wanted!r}")


def medians():
    equal(stats.median([3, 1, 2]), 2, "odd")
    equal(stats.median([4, 1, 3, 2]), 2.5, "even")
    generator = random.Random(1)
    for size in (1, 2, 5, 100):
        values = [generator.random() for _ in range(size)]
        near(stats.median(values), statistics.median(values), f"median of {size}")
    near(stats.quantile([1, 2, 3, 4, 5], 0.5), 3, "middle")
    near(stats.quantile([10, 20], 0.25), 12.5, "between two")
    equal(stats.quantile(range(101), 0.99), 99, "99th of 0 to 100")
    equal(stats.quantile([7], 0.99), 7, "of one")


def intervals():
    # Known from the binomial distribution: n, values left out at each end, coverage.
    for n, skip, coverage in ((1, 0, 0), (5, 0, 0.9375), (6, 0, 0.96875), (8, 0, 0.9921875), (9, 1, 0.9609375),
                              (10, 1, 0.978515625), (20, 5, 0.958610534), (100, 39, 0.9647998)):
        interval = stats.median_interval(range(n))
        equal((interval.low, interval.high), (skip, n - 1 - skip), f"interval of {n}")
        near(interval.coverage, coverage, f"coverage of {n}", 1e-6)


def interval_coverage():
    """Of skewed values, which know nothing of a normal distribution."""
    generator = random.Random(2)
    for n in (6, 15, 40):
        truth, rounds, held, claimed = math.log(2), 4000, 0, 0
        for _ in range(rounds):
            interval = stats.median_interval([generator.expovariate(1) for _ in range(n)])
            held += interval.low <= truth <= interval.high
            claimed = interval.coverage
        # Four standard errors.
        near(held / rounds, claimed, f"coverage with {n}", 4 * math.sqrt(claimed * (1 - claimed) / rounds))


def deviations():
    generator = random.Random(3)
    values = [generator.gauss(100, 2) for _ in range(4001)]
    near(stats.deviation(values), 2, "deviation", 0.1)
    equal(stats.outliers([10, 10.1, 9.9, 10.05, 9.95, 30]), [30], "one far off")
    equal(stats.outliers([5, 5, 5, 5, 5, 6]), [6], "among equal ones")
    equal(stats.outliers([0, 0, 0, 0, 0]), [], "of zeros")
    equal(stats.outliers([1, 2, 100]), [], "too few to tell")


def ranks():
    equal(stats.midranks([30, 10, 20]), [6, 2, 4], "ranks, doubled")
    equal(stats.midranks([1, 2, 2, 3]), [2, 5, 5, 8], "ties")


def one_block_is_mann_whitney():
    """Of a single block the test is the exact rank sum test, whose tables are known."""
    near(stats.aligned_rank_test([([1, 2, 3, 4], [5, 6, 7, 8])]), 2 / 70, "4 and 4, separate")
    near(stats.aligned_rank_test([([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])]), 2 / 252, "5 and 5, separate")
    # U = 2 of 4 and 4: 4 of 70 arrangements at most as extreme on each side (Mann and Whitney 1947).
    near(stats.aligned_rank_test([([1, 2, 3, 6], [4, 5, 7, 8])]), 8 / 70, "U = 2")
    near(stats.aligned_rank_test([([1, 4], [2, 3])]), 1, "in the middle")


def several_blocks():
    for k in (1, 2, 3, 6):
        blocks = [([10 * i, 10 * i + 1], [10 * i + 2, 10 * i + 3]) for i in range(k)]
        near(stats.aligned_rank_test(blocks), stats.smallest_p(k), f"{k} separate blocks")
    drift = [([1000 * i, 1000 * i + 1], [1000 * i + 2, 1000 * i + 3]) for i in range(6)]
    near(stats.aligned_rank_test(drift), stats.smallest_p(6), "a drift of blocks changes nothing")
    near(stats.aligned_rank_test([([7, 7], [7, 7])] * 5), 1, "all equal")
    check(stats.smallest_p(stats.blocks_needed(ROWS)) * ROWS <= LEVEL, "too few blocks for the rows")


def holm_by_hand():
    equal([round(p, 9) for p in stats.holm([0.01, 0.04, 0.03, 0.005])], [0.03, 0.06, 0.06, 0.02], "Holm's example")
    equal(stats.holm([0.5, 0.9]), [1.0, 1.0], "not above 1")
    equal(stats.holm([]), [], "of none")


def verdicts():
    def said(ratio, p, better):
        return stats.verdict(stats.Change(ratio, ratio, ratio, 0.95, p), p, better)

    equal(said(1.2, 0.001, "lower"), "slower", "more of what should be less")
    equal(said(1.2, 0.001, "higher"), "faster", "more of what should be more")
    equal(said(0.8, 0.001, "lower"), "faster", "less time")
    equal(said(1.02, 1e-9, "lower"), "no difference", "certain, but too small to matter")
    equal(said(1.5, 0.02, "lower"), "no difference", "large, but not certain")
    change = stats.compare([([0, 0], [3, 2])] * 8)
    equal(change.ratio, math.inf, "from nothing to something")
    equal(stats.verdict(change, change.p, "lower"), "slower", "losses where there were none")


def simulated(generator, effect, drift, num_rows=ROWS, num_blocks=BLOCKS, noise=0.01):
    """Verdicts of rows whose runs have heavy tails (one in ten is disturbed), a machine that drifts within and between
    blocks, and an order of runs as the benchmark draws it. `effect` is the change of the first row."""
    rows = []
    orders = [stats.arrangement(generator) for _ in range(num_blocks)]
    for row in range(num_rows):
        blocks, level = [], 0.0
        for order in orders:
            sides = {"a": [], "b": []}
            for side in order:
                level += generator.gauss(0, drift)
                value = 100 * math.exp(level) * (1 + abs(generator.gauss(0, noise)))
                value *= 1.1 if generator.random() < 0.1 else 1
                value *= 1 + effect if row == 0 and side == "b" else 1
                sides[side].append(value)
            blocks.append((sides["a"], sides["b"]))
        rows.append(stats.compare(blocks))
    adjusted = stats.holm([row.p for row in rows])
    return rows, [stats.verdict(row, p, "lower") for row, p in zip(rows, adjusted)]


def false_alarms():
    """The test itself, without the smallest effect: at most one family in a hundred has a wrong verdict."""
    generator = random.Random(41)
    families, wrong, called = 1000, 0, 0
    for i in range(families):
        rows, words = simulated(generator, 0, (0, 0.01)[i % 2], num_rows=10, num_blocks=5)
        wrong += min(stats.holm([row.p for row in rows])) <= LEVEL
        called += any(word != "no difference" for word in words)
    bound = families * LEVEL + 3 * math.sqrt(families * LEVEL)
    check(wrong <= bound, f"{wrong} of {families} families have a wrong rejection, at most {bound:.0f} are allowed")
    check(called <= wrong, "a verdict without a rejection")


def test_is_level():
    """p values of a single row are as uniform as so few runs allow: neither too small nor needlessly large."""
    generator = random.Random(5)
    rounds = 2500
    ps = [simulated(generator, 0, 0.01, num_rows=1, num_blocks=4)[0][0].p for _ in range(rounds)]
    for level in (0.01, 0.05, 0.2):
        share = sum(p <= level for p in ps) / rounds
        error = 3 * math.sqrt(level * (1 - level) / rounds)
        check(level * 0.5 - error <= share <= level + error, f"p <= {level} in {share:.4f} of the rounds")


def power():
    """A tenth slower in one of 40 rows is seen, and in that row alone."""
    generator = random.Random(6)
    rounds, seen, elsewhere = 60, 0, 0
    for _ in range(rounds):
        _, words = simulated(generator, 0.10, 0.005)
        seen += words[0] == "slower"
        elsewhere += sum(word != "no difference" for word in words[1:])
    check(seen >= rounds * 0.98, f"seen {seen} times of {rounds}")
    check(elsewhere <= 1, f"{elsewhere} wrong verdicts elsewhere")


def estimates():
    generator = random.Random(7)
    ratios, held, rounds = [], 0, 300
    for _ in range(rounds):
        rows, _ = simulated(generator, 0.2, 0.002, num_rows=1)
        ratios.append(rows[0].ratio)
        held += rows[0].low <= 1.2 <= rows[0].high
    near(stats.median(ratios), 1.2, "the effect", 0.005)
    check(held >= rounds * 0.95, f"the interval held the truth {held} times of {rounds}")


def no_other_order():
    """Orders are balanced, and every one comes up."""
    generator = random.Random(8)
    found = {tuple(stats.arrangement(generator)) for _ in range(500)}
    equal(len(found), 6, "arrangements")
    check(all(order.count("a") == order.count("b") == 2 for order in found), f"{found}")


CASES = [
    ("medians and quantiles", medians),
    ("intervals of the median have the known ends", intervals),
    ("intervals of the median hold it as often as they say", interval_coverage),
    ("deviations and outliers", deviations),
    ("ranks with ties", ranks),
    ("one block: the exact rank sum test", one_block_is_mann_whitney),
    ("several blocks: exact, and drift does not count", several_blocks),
    ("Holm's adjustment", holm_by_hand),
    ("verdicts need certainty and size", verdicts),
    ("the test keeps its level", test_is_level),
    ("equal programs: wrong in at most 1 % of the families", false_alarms),
    ("a row slower by 10 % is found among 40, and no other", power),
    ("the estimate of a change is right, and so is its interval", estimates),
    ("the order of a block is drawn from all balanced ones", no_other_order),
]


def main():
    tap = netns.Tap()
    for title, function in CASES:
        tap.case(title, function)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
