"""`scripts/profile.sh cpu`: where a loaded node spends its time."""

import os
import pathlib
import subprocess

import common
import flame
import nodes
import stacks

STACK_BYTES = 16384     # of a thread's stack that perf keeps per sample: the worker's frames are large
TOP = 20
# Bytes a payload, packets a second (0: as many as go).
LOADS = {"tcp": "TCP, one stream", "udp": "UDP, 64 bytes"}


def event():
    """What perf counts: cycles where the CPU lets it, else time by the kernel's clock."""
    done = common.run("perf", "stat", "-x", ",", "-e", "cycles", "true", check=False)
    return "cpu-clock" if done.returncode != 0 or "<not " in done.stderr else "cycles"


def record(pids, data, seconds, frequency, what):
    """perf record of these processes for so long, or of the whole machine where none is named.

    Call graphs by the unwind tables (dwarf): the program is then the very one that users run. Frame pointers would take
    a build of its own, and libcrypto's assembly has none: its callers would be lost.
    """
    who = ["-p", ",".join(map(str, pids))] if pids else ["-a"]
    done = common.run("perf", "record", "-e", what, "-F", frequency, "--call-graph", f"dwarf,{STACK_BYTES}",
                      "-o", data, *who, "--", "sleep", seconds, timeout=seconds + 60, check=False)
    if done.returncode != 0 or not data.exists():
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise common.CannotRun(f"perf does not record: {lines[-1] if lines else 'no message'}")


def script(data):
    return common.run("perf", "script", "-i", data, "--no-inline", "-F", "comm,pid,tid,ip,sym,dso").stdout


def table(folded, num=TOP):
    whole = sum(folded.values())
    rows = [(name, kind, f"{own / whole * 100:.2f} %", f"{total / whole * 100:.2f} %")
            for (name, kind), own, total in stacks.totals(folded)[:num]]
    return common.table(("function", "of", "self", "total"), rows, left=2)


def summary(folded):
    whole = sum(folded.values())
    counts = stacks.by_kind(folded)
    return ", ".join(f"{kind} {counts[kind] / whole * 100:.1f} %" for kind in stacks.KINDS if counts[kind])


def write(folder, folded, title, subtitle):
    (folder / "stacks.txt").write_text(stacks.as_text(folded))
    (folder / "flame.svg").write_text(flame.render(folded, title, subtitle))
    (folder / "top.txt").write_text("\n".join(table(folded)) + "\n")


def load(pair, options, data, what):
    """Records while traffic flows; gives the traffic and what the PIDs are called."""
    pids = [pair.pid(node) for node in (pair.first, pair.second)]
    labels = dict(zip(pids, (nodes.SENDER, nodes.RECEIVER)))
    with pair.meanwhile(options.load, options.seconds + 1.5) as result:
        record([] if options.all else pids, data, options.seconds, options.frequency, what)
    return result[0], labels


def main(options):
    common.need("cpu", "perf")
    nodes.check_machine()
    program = common.program(options)
    what = event()
    folder = common.folder("cpu")
    data = folder / "perf.data"
    with nodes.pair(program) as pair:
        common.say(f"recording {LOADS[options.load]} for {options.seconds} s")
        traffic, labels = load(pair, options, data, what)
    common.say("reading the samples")
    owners = stacks.Owners(program, stacks.own_functions(program.parent))
    folded, cut = stacks.fold(script(data), owners, labels)
    num = sum(folded.values())
    if num == 0:
        raise common.Broken("perf recorded no samples")
    version = subprocess.run([program, "version"], capture_output=True, text=True, timeout=10, check=False).stdout
    title = f"CrypRQ, {LOADS[options.load]}: {'the whole machine' if options.all else 'both nodes'}"
    subtitle = f"{traffic}; {num} samples of {what}, {options.frequency} Hz; {os.uname().release}; {version.splitlines()[0]}"
    write(folder, folded, title, subtitle)
    print(f"{traffic}; {num} samples, {cut / num * 100:.1f} % of them with a stack cut off ({what})")
    print(summary(folded))
    print("\n".join(table(folded)))
    for name in ("flame.svg", "top.txt", "stacks.txt", "perf.data"):
        print(pathlib.Path(folder, name).relative_to(common.ROOT))
    return 0
