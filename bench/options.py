"""The command line of scripts/benchmark.sh."""

import argparse
import pathlib
import re

from bench import peers, plan

DESCRIPTION = """\
Measures CrypRQ and says how certain each figure is; with --baseline, whether a build is slower than another one."""
EPILOG = """\
parts: handshake, rotation, packets, memory, tunnel; all of them by default. What real nodes do needs root, and is left
out otherwise. Results are below build/benchmark: results.json, report.md, report.html
(CRYPRQ_BENCHMARK_DIR names another folder).

exit status: 0 all is well (with --baseline: no row is slower), 1 a row is slower, 2 wrong use or something failed,
3 the time of --slice is over: go on with --resume"""


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def percent(text):
    value = float(text.rstrip("%"))
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError("a percentage, 0 to 100")
    return value / 100


def pattern(text):
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from error
    return text


def peer_list(text):
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in (*peers.NAMES, "null"):
            raise argparse.ArgumentTypeError(f"{name} is not one of {', '.join(peers.NAMES)}, null")
    return names


def parser():
    p = argparse.ArgumentParser(prog="scripts/benchmark.sh", description=DESCRIPTION, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("parts", nargs="*", metavar="PART", help="what to measure")
    p.add_argument("--quick", action="store_true", help="all parts within 60 s; for a look, not for a judgement")
    p.add_argument("--rounds", type=positive, metavar="N", help=f"runs of each program ({plan.ROUNDS}; --quick: 1)")
    p.add_argument("--only", type=pattern, metavar="PATTERN",
                   help="only rows of `cryprq bench` with this regular expression in their names, and no real nodes")
    p.add_argument("--peers", type=peer_list, default=[], metavar="LIST",
                   help="tunnel: also measure these, in turns: wireguard-go, openvpn, fastd, nebula (unpacked from "
                        "Debian's packages below build/peers), null (our own without encryption, built for it)")
    p.add_argument("--long", action="store_true", help="rotation: also wait for the one that comes after five minutes")
    p.add_argument("--program", type=pathlib.Path, metavar="FILE", help="what to measure (build/cryprq)")
    p.add_argument("--save-baseline", metavar="NAME", help="keep the program and its results under this name")
    p.add_argument("--baseline", metavar="NAME",
                   help="run that program and the present one in random order and compare them row by row")
    p.add_argument("--against", type=pathlib.Path, metavar="FILE", help="like --baseline, with a program as it is")
    p.add_argument("--blocks", type=positive, metavar="N",
                   help="of a comparison, each two runs of both programs (as many as the number of rows needs)")
    p.add_argument("--threshold", type=percent, default=0.03, metavar="PERCENT",
                   help="changes below this are not called any (3)")
    p.add_argument("--slice", type=positive, metavar="SECONDS", help="stop in time before so many seconds are over")
    p.add_argument("--resume", action="store_true", help="go on where a run with the same options stopped")
    p.add_argument("--seed", type=int, default=1, metavar="N", help="of the order of runs in a comparison (1)")
    p.add_argument("--json", action="store_true", help="print the results as JSON in place of the report")
    p.add_argument("--no-history", action="store_true", help="do not add this run to the history of this machine")
    return p


def parse(arguments):
    p = parser()
    options = p.parse_args(arguments)
    for part in options.parts:
        if part not in plan.PARTS:
            p.error(f"no part {part}; there are {', '.join(plan.PARTS)}")
    if options.baseline and options.against:
        p.error("--baseline and --against exclude each other")
    if (options.baseline or options.against) and options.save_baseline:
        p.error("a comparison makes no baseline; save it with a run of its own")
    if options.blocks and not (options.baseline or options.against):
        p.error("--blocks is for comparisons; --rounds for a run of one build")
    if options.rounds and (options.baseline or options.against):
        p.error("a comparison counts --blocks, not --rounds")
    options.comparing = bool(options.baseline or options.against)
    # A comparison is of what a change of the code shows in first.
    default = ("packets",) if options.comparing else plan.PARTS
    options.parts = tuple(part for part in plan.PARTS if part in (options.parts or default))
    options.effort = plan.QUICK if options.quick else plan.COMPARE if options.comparing else plan.FULL
    options.rounds = options.rounds or (1 if options.quick else plan.ROUNDS)
    return options
