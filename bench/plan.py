"""What is run in which order, and how much effort each run takes."""

import dataclasses
import random

from bench import stats

PARTS = ("handshake", "rotation", "packets", "memory", "tunnel")


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long the measurements of one run take."""

    batches: int
    batch_ms: int
    contacts: int
    handshakes: int
    rotations: int
    stream_rate: int        # packets a second in each direction
    crowds: tuple           # numbers of peers
    tcp_seconds: int
    warm_seconds: int
    pings: int
    trial_seconds: float


# 6 rounds are the fewest whose range holds the median with 95 %.
ROUNDS = 6
FULL = Effort(25, 4, 3, 20, 10, 1000, (1, 100, 10_000), 2, 1, 200, 0.3)
QUICK = Effort(9, 1, 1, 5, 3, 500, (1, 100), 1, 1, 50, 0.1)
COMPARE = Effort(40, 1, 2, 10, 6, 1000, (1, 100), 2, 1, 150, 0.3)


def measuring(parts, rounds, subjects, tunnels):
    """Steps of an ordinary run. Subjects take turns: A B C A B C."""
    steps = []
    for part in parts:
        for number in range(rounds):
            for subject in (tunnels if part == "tunnel" else subjects):
                steps.append({"part": part, "round": number, "subject": subject})
    return steps


def comparing(parts, blocks, seed):
    """Steps of a comparison of "base" with "new": blocks of four runs, in each the order is drawn by lot."""
    steps = []
    for part in parts:
        # One generator a part, so that a part's order does not depend on which others run.
        generator = random.Random(f"{seed} {part}")
        for block in range(blocks):
            for side in stats.arrangement(generator):
                steps.append({"part": part, "round": block, "subject": "base" if side == "a" else "new"})
    return steps
