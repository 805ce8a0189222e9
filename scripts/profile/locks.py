"""`scripts/profile.sh locks`: where the threads of loaded nodes wait for each other."""

import collections
import dataclasses
import pathlib
import re
import time

import common
import nodes
import stacks
from cpu import STACK_BYTES

BEGIN, END, FUTEX = "lock:contention_begin", "lock:contention_end", "syscalls:sys_enter_futex"
ROTATIONS = 5
TOP = 15
EVENT = re.compile(r"^(?P<time>\d+\.\d+):\s+(?P<event>[\w:]+):\s*(?P<trace>.*)$")
# What takes a lock, as opposed to whose lock it is.
PRIMITIVES = re.compile(r"^(_raw_|__raw_|raw_spin_|_*task_rq_lock|native_|__pv_|queued_|do_raw_|__mutex|mutex_|rt_mutex|__lock|lock_|down_|up_|"
                        r"rwsem_|__rwsem|__down|__up|osq_|percpu_)")
# Which of these a futex call is (linux/futex.h); the flags private and realtime taken off.
FUTEX_WAITS = {0, 6, 9, 11, 13}
FUTEX_FLAGS = 128 | 256
WAIT, WAKE = "wait", "wake"


@dataclasses.dataclass
class Site:
    """One place where threads waited."""

    waits: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, seconds):
        self.waits += 1
        self.seconds += seconds
        self.longest = max(self.longest, seconds)


def kernel_site(sample):
    """(whose lock, what called into it): the innermost function that is no locking primitive, and ours that led there."""
    names = [symbol for symbol, where in sample.frames if where.startswith("[")]
    site = next((name for name in names if not PRIMITIVES.match(name)), names[-1] if names else "?")
    return site, caller(sample)


def caller(sample):
    """The innermost function of the program, or of what else is not the kernel or the C library."""
    for symbol, where in sample.frames:
        if not where.startswith("[") and not re.search(r"/(libc|ld)[-.]", where):
            return symbol
    return "-"


def futex_kind(trace):
    """Whether a futex call waits for somebody or wakes somebody; `trace` is the tracepoint's line."""
    found = re.search(r"\bop: (0x[0-9a-f]+|\d+)", trace)
    if not found:
        return None
    return WAIT if int(found.group(1), 0) & ~FUTEX_FLAGS in FUTEX_WAITS else WAKE


def read(text):
    """({(thread id, site, caller): Site} of the kernel's locks, Counter of (thread id, kind, caller) of futex calls)."""
    waiting, kernel, futexes = {}, collections.defaultdict(Site), collections.Counter()
    for sample in stacks.samples(text):
        found = EVENT.match(sample.rest)
        if not found:
            continue
        now, event = float(found["time"]), found["event"].rstrip(":")
        if event == BEGIN:
            waiting[sample.tid] = now, kernel_site(sample)
        elif event == END and sample.tid in waiting:
            begun, (site, ours) = waiting.pop(sample.tid)
            kernel[sample.tid, site, ours].add(now - begun)
        elif event == FUTEX:
            futexes[sample.tid, futex_kind(found["trace"]), caller(sample)] += 1
    return dict(kernel), futexes


def switches(pid, tid):
    """How often a thread gave the CPU up and how often it was taken from it, so far."""
    text = pathlib.Path(f"/proc/{pid}/task/{tid}/status").read_text()
    return tuple(int(re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE).group(1))
                 for key in ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))


def all_switches(pair):
    return {tid: switches(pair.pid(node), tid) for node in (pair.first, pair.second)
            for tid, _ in pair.threads(pair.pid(node))}


def record(pair, data, seconds):
    """Records under load, with rotations in between: they are when the control thread and the workers meet."""
    pids = ",".join(str(pair.pid(node)) for node in (pair.first, pair.second))
    command = ["perf", "record", "-e", BEGIN, "-e", END, "-e", FUTEX, "--call-graph", f"dwarf,{STACK_BYTES}", "-o", data,
               "-p", pids, "--", "sleep", seconds]
    with pair.meanwhile("tcp", seconds + 1.5) as result:
        before = all_switches(pair)
        with common.background(*command) as perf:
            for _ in range(ROTATIONS):
                time.sleep(seconds / (ROTATIONS + 1))
                pair.rotate()
        after = all_switches(pair)
    if perf.returncode != 0:
        raise common.CannotRun(f"perf does not record locks: {perf.message()}")
    return result[0], {tid: tuple(new - old for new, old in zip(after[tid], before[tid])) for tid in before}


def show(names, seconds, kernel, futexes, switched):
    lines = []
    for tid, (node, thread) in sorted(names.items(), key=lambda item: (item[1][0] != nodes.SENDER, item[1])):
        waited = sum(site.seconds for (one, _, _), site in kernel.items() if one == tid)
        calls = {kind: sum(num for (one, k, _), num in futexes.items() if one == tid and k == kind)
                 for kind in (WAIT, WAKE)}
        gave, lost = switched.get(tid, (0, 0))
        lines.append((node, thread, calls[WAIT], calls[WAKE], f"{waited * 1000:.2f}", f"{waited / seconds * 100:.2f} %",
                      gave, lost))
    text = ["threads: futex calls, time spent waiting for locks of the kernel, changes of the running thread"]
    text += common.table(("node", "thread", "waits", "wakes", "in kernel ms", "of the time", "went to sleep", "preempted"),
                         lines, left=2)
    text += ["", "locks of the kernel, by who holds them up"]
    sites = collections.defaultdict(Site)
    for (_, site, ours), one in kernel.items():
        whole = sites[site, ours]
        whole.waits += one.waits
        whole.seconds += one.seconds
        whole.longest = max(whole.longest, one.longest)
    best = sorted(sites.items(), key=lambda item: -item[1].seconds)[:TOP]
    text += common.table(("lock taken in", "on behalf of", "waits", "ms", "longest us"), [
        (site, ours, one.waits, f"{one.seconds * 1000:.3f}", f"{one.longest * 1e6:.1f}") for (site, ours), one in best],
        left=2)
    text += ["", "futex calls of the program (mutexes that were held by another thread, threads that were woken)"]
    text += common.table(("node", "thread", "call", "in", "calls"), [
        (*names.get(tid, ("-", str(tid))), kind, ours, num) for (tid, kind, ours), num in futexes.most_common(TOP)], left=4)
    return text


LIMITS = ("Not seen: locks that were free (taking one costs no call), and spinning in user space, of which there is one place, "
          "cq_replay_commit: look for it in `cpu`.")


def main(options):
    common.need("locks", "perf")
    nodes.check_machine()
    program = common.program(options)
    folder = common.folder("locks")
    data = folder / "perf.data"
    with nodes.pair(program) as pair:
        common.say(f"recording for {options.seconds} s, with {ROTATIONS} rotations")
        names = pair.node_threads()
        traffic, switched = record(pair, data, options.seconds)
    text = common.run("perf", "script", "-i", data, "--no-inline", "-F", "comm,pid,tid,time,event,trace,ip,sym,dso").stdout
    kernel, futexes = read(text)
    lines = [f"TCP, one stream: {traffic}; {ROTATIONS} rotations in {options.seconds} s", ""]
    lines += [*show(names, options.seconds, kernel, futexes, switched), "", LIMITS]
    (folder / "locks.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0
