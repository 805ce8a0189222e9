"""Statistics of measurements: medians with intervals, outliers, an exact test of two programs, many rows at a time.

Nothing here assumes a distribution. What the test of `compare` needs is that the order of the runs within a block was
drawn at random (`arrangement`): then it holds exactly, whatever the machine did meanwhile.
"""

import collections
import dataclasses
import itertools
import math

OUTLIER_SCORE = 3.5
# Of a normal distribution: standard deviation over median absolute deviation.
MAD_SCALE = 1.4826
BLOCK = 4


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        raise ValueError("no values")
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def quantile(values, q):
    """Linear between the order statistics, as most programs do it."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclasses.dataclass
class Interval:
    low: float
    high: float
    coverage: float         # the probability that such an interval holds the median


def median_interval(values, confidence=0.95):
    """Order statistics that enclose the median with at least this confidence, or, of too few values, all of them."""
    ordered = sorted(values)
    n = len(ordered)
    # The number of values below the median is binomial (n, 1/2).
    tail, skip, coverage = 0.0, 0, 1 - 2 ** (1 - n)
    while True:
        tail += math.comb(n, skip) / 2 ** n
        if 1 - 2 * tail < confidence or 2 * (skip + 1) > n:
            break
        coverage = 1 - 2 * tail
        skip += 1
    skip = max(0, skip - 1)
    return Interval(ordered[skip], ordered[n - 1 - skip], max(0.0, coverage))


def deviation(values):
    """The median absolute deviation, scaled so that it is the standard deviation of a normal distribution."""
    middle = median(values)
    return MAD_SCALE * median([abs(value - middle) for value in values])


def outliers(values):
    """Values far from the median by the scaled median absolute deviation. They are told, never left out."""
    if len(values) < 5:
        return []
    middle, scale = median(values), deviation(values)
    # Where more than half of the values are equal, a small part of the median stands in for the deviation.
    scale = max(scale, abs(middle) * 1e-3)
    return [value for value in values if scale > 0 and abs(value - middle) > OUTLIER_SCORE * scale]


# Comparing two programs


def arrangement(random, size=BLOCK):
    """A random order of a block: as many runs of the base ("a") as of the new program ("b")."""
    order = ["a"] * (size // 2) + ["b"] * (size // 2)
    random.shuffle(order)
    return order


def midranks(values):
    """Twice the rank of each value, so that ties have whole numbers too."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for i in order[at:end]:
            ranks[i] = at + end + 1
        at = end
    return ranks


def subset_sums(numbers, size):
    """How often each sum comes up among the subsets of this size."""
    return collections.Counter(sum(subset) for subset in itertools.combinations(numbers, size))


def convolve(one, two):
    result = collections.Counter()
    for (a, count_a), (b, count_b) in itertools.product(one.items(), two.items()):
        result[a + b] += count_a * count_b
    return result


def aligned_rank_test(blocks):
    """Two-sided p of "the programs do not differ", exact, of blocks [(values of a, values of b), ...].

    Each block is aligned by its median, so that drift from block to block does not count; all values are ranked
    together; the sum of the b's ranks is held against all ways in which the orders of the blocks could have been drawn
    (Hodges and Lehmann 1962).
    """
    aligned, shapes = [], []
    for a, b in blocks:
        middle = median([*a, *b])
        # Rounded, so that values that are equal on paper are tied here as well.
        aligned += [round(value - middle, 12) for value in (*a, *b)]
        shapes.append((len(a), len(b)))
    ranks = midranks(aligned)
    found, distribution, at = 0, collections.Counter({0: 1}), 0
    for num_a, num_b in shapes:
        block = ranks[at:at + num_a + num_b]
        at += num_a + num_b
        found += sum(block[num_a:])
        distribution = convolve(distribution, subset_sums(block, num_b))
    total = sum(distribution.values())
    centre = sum(value * count for value, count in distribution.items()) / total
    far = sum(count for value, count in distribution.items() if abs(value - centre) >= abs(found - centre) - 1e-9)
    return far / total


def smallest_p(num_blocks, size=BLOCK):
    """The smallest p that so many blocks can give at all."""
    return 2 / math.comb(size, size // 2) ** num_blocks


def blocks_needed(num_rows, level=0.01, size=BLOCK, slack=20):
    """How many blocks it takes until a clear difference in one of so many rows can pass the level, with some slack."""
    blocks = 1
    while smallest_p(blocks, size) * num_rows * slack > level:
        blocks += 1
    return blocks


def holm(ps):
    """p values adjusted for their number (Holm 1979): the chance of one wrong rejection among all is at most the level."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    adjusted, largest = [1.0] * len(ps), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, ps[i] * (len(ps) - place)))
        adjusted[i] = largest
    return adjusted


@dataclasses.dataclass
class Change:
    """How the new program's values relate to the base's, of one row."""

    ratio: float            # new / base; infinity where the base is 0
    low: float
    high: float
    coverage: float
    p: float


def ratio_of(new, base):
    if base == new:
        return 1.0
    return new / base if base else math.inf


def compare(blocks):
    """The change between blocks [(values of the base, values of the new program), ...]: Hodges and Lehmann's estimate
    within blocks, an interval from the blocks' own ratios, and the p of `aligned_rank_test`."""
    positive = all(value > 0 for block in blocks for side in block for value in side)
    scale = math.log if positive else float
    scaled = [([scale(v) for v in a], [scale(v) for v in b]) for a, b in blocks]
    p = aligned_rank_test(scaled)
    if positive:
        ratio = math.exp(median([y - x for a, b in scaled for x in a for y in b]))
    else:
        ratio = ratio_of(median([v for _, b in blocks for v in b]), median([v for a, _ in blocks for v in a]))
    own = median_interval([ratio_of(median(b), median(a)) for a, b in blocks])
    return Change(ratio, own.low, own.high, own.coverage, p)


def verdict(change, adjusted_p, better, level=0.01, threshold=0.03):
    """'faster', 'slower' or 'no difference': certain enough, and large enough to matter."""
    large = change.ratio == math.inf or abs(change.ratio - 1) >= threshold
    if adjusted_p > level or not large:
        return "no difference"
    return "slower" if (change.ratio > 1) == (better == "lower") else "faster"
