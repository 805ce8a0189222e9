"""`scripts/profile.sh syscalls`: how many system calls a gigabyte takes, by name and thread."""

import collections
import contextlib
import json
import re
import shutil
import signal
import subprocess
import time

import common
import nodes
import perfstat

PREFIX = "syscalls:sys_enter_"
ANY = "raw_syscalls:sys_enter"
KINDS = ("monitor", "keeper", "metrics")
STRACE_LINE = re.compile(r"^\s*(\w+)\s+(\d+)(?:\s+\d+)?\s*$")


def allowed_calls():
    """The system calls that the node's filter lets through: it can make no others."""
    text = (common.ROOT / "src" / "os" / "sandbox.c").read_text()
    found = re.search(r"static const int allowed\[\] = \{(.*?)\};", text, re.DOTALL)
    names = re.findall(r"SCMP_SYS\((\w+)\)", found.group(1)) if found else []
    if not names:
        raise common.Broken("src/os/sandbox.c names no system calls that a node may make")
    # The tracepoints of these have other names, or there are none.
    return [name for name in names if name not in ("restart_syscall", "exit", "exit_group", "rt_sigreturn")]


def read_strace(text):
    """{call: count} of `strace -c -U name,calls,errors`."""
    counts = {}
    for line in text.splitlines():
        found = STRACE_LINE.match(line)
        if found and found.group(1) != "total":
            counts[found.group(1)] = int(found.group(2))
    return counts


@contextlib.contextmanager
def with_perf(threads, others):
    """Counts by the kernel's tracepoints; the dictionary is {(thread id, call): count}."""
    counts = {}
    events = [PREFIX + name for name in allowed_calls() if perfstat.has_events(PREFIX + name)]
    with contextlib.ExitStack() as stack:
        by_name = stack.enter_context(perfstat.counting(threads["pids"], events))
        rest = stack.enter_context(perfstat.counting(others, [ANY]))
        yield counts
    counts.update({(tid, event.removeprefix(PREFIX)): num for (tid, event), num in by_name.items()})
    counts.update({(tid, "any"): num for (tid, _), num in rest.items()})


@contextlib.contextmanager
def with_strace(threads, others, folder):
    """The same by ptrace, which slows the node down; how calls spread over a gigabyte stays about the same."""
    counts, running = {}, []
    for tid in [*threads["names"], *others]:
        path = folder / f"strace.{tid}"
        running.append((tid, path, subprocess.Popen(
            ["strace", "-c", "-q", "-U", "name,calls,errors", "-o", str(path), "-p", str(tid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)))
    try:
        time.sleep(perfstat.ATTACH_SECONDS)
        yield counts
    finally:
        for tid, path, process in running:
            process.send_signal(signal.SIGINT)
            process.wait(10)
            for call, num in read_strace(path.read_text() if path.exists() else "").items():
                counts[tid, call if tid in threads["names"] else "any"] = num


def choose(options, threads, others, folder):
    """(the name of the tool, its context manager)."""
    if options.tool != "strace" and shutil.which("perf") and perfstat.has_events(ANY, PREFIX + "writev"):
        return "perf stat", with_perf(threads, others)
    if options.tool == "perf":
        raise common.CannotRun("perf has no tracepoints of system calls here: --tool strace")
    common.need("syscalls", "strace")
    return "strace", with_strace(threads, others, folder)


def measure(pair, options, folder):
    """(tool, traffic, counts, names of threads, frames that each node read and wrote)."""
    ends = {nodes.SENDER: pair.first, nodes.RECEIVER: pair.second}
    names = pair.node_threads()
    threads = {"names": names, "pids": [pair.pid(node) for node in ends.values()]}
    others = {}
    for what, node in ends.items():
        others.update({pid: (what, kind) for kind, pids in node.pids().items() if kind in KINDS for pid in pids})
    before = {what: pair.tun_frames(node) for what, node in ends.items()}
    tool, context = choose(options, threads, list(others), folder)
    with context as counts:
        traffic = pair.tcp(num_bytes=options.megabytes * 1_000_000)
    frames = {what: sum(pair.tun_frames(node)) - sum(before[what]) for what, node in ends.items()}
    return tool, traffic, counts, {**names, **others}, frames


def tabulate(counts, names, frames, traffic):
    """[(node, thread, call, calls, per GB, per frame)], the most frequent first within a thread."""
    rows = []
    grouped = collections.defaultdict(list)
    for (tid, call), num in counts.items():
        if tid in names:
            grouped[names[tid]].append((call, num))
    for (node, thread), calls in sorted(grouped.items(), key=lambda item: (item[0][0] != nodes.SENDER, item[0])):
        for call, num in sorted(calls, key=lambda pair: -pair[1]):
            rows.append((node, thread, call, num, num / traffic.num_bytes * 1e9, num / frames[node]))
    return rows


def total(rows, node):
    return sum(row[3] for row in rows if row[0] == node)


def main(options):
    nodes.check_machine()
    program = common.program(options)
    folder = common.folder("syscalls")
    with nodes.pair(program) as pair:
        common.say(f"counting over {options.megabytes} MB")
        tool, traffic, counts, names, frames = measure(pair, options, folder)
    rows = tabulate(counts, names, frames, traffic)
    if not rows:
        raise common.Broken(f"{tool} counted nothing")
    (folder / "syscalls.json").write_text(json.dumps(
        {"tool": tool, "bytes": traffic.num_bytes, "seconds": traffic.seconds, "frames": frames,
         "calls": [dict(zip(("node", "thread", "call", "calls", "per_gb", "per_frame"), row)) for row in rows]},
        indent=1) + "\n")
    lines = [(*row[:4], f"{row[4]:.0f}", f"{row[5]:.3f}") for row in rows]
    text = common.table(("node", "thread", "call", "calls", "a GB", "a super-packet"), lines, left=3)
    (folder / "syscalls.txt").write_text("\n".join(text) + "\n")
    print(f"TCP, one stream: {traffic}, counted with {tool}")
    print("\n".join(text))
    for node in (nodes.SENDER, nodes.RECEIVER):
        num = total(rows, node)
        print(f"{node}: {num / traffic.num_bytes * 1e9:.0f} calls a GB; {frames[node]} reads and writes of the interface of "
              f"{traffic.num_bytes / frames[node] / 1000:.1f} kB on average, {num / frames[node]:.2f} calls for each")
    return 0
