"""perf stat over threads that run already: counts of events between two points in time, thread by thread."""

import contextlib
import re
import signal
import subprocess
import time

import common

ATTACH_SECONDS = 0.5


def has_events(*events):
    """Whether perf can count these here (tracepoints take root and a kernel with them)."""
    done = common.run("perf", "stat", "-x", ",", "-e", ",".join(events), "true", check=False)
    return done.returncode == 0 and "<not supported>" not in done.stderr


def read(text):
    """{(thread id, event): count} of `perf stat --per-thread -x ,`; what did not happen is left out."""
    counts = {}
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) < 4 or not fields[1].isdigit():
            continue
        thread = re.search(r"-(\d+)$", fields[0])
        if thread and int(fields[1]):
            counts[int(thread.group(1)), fields[3]] = int(fields[1])
    return counts


@contextlib.contextmanager
def counting(pids, events):
    """Counts while the block runs; the dictionary that it gives is filled when the block has ended."""
    counts = {}
    process = subprocess.Popen(["perf", "stat", "--per-thread", "-x", ",", "-e", ",".join(events), "-p",
                                ",".join(map(str, pids))], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    try:
        # perf does not say when it has attached; what follows takes much longer than this.
        time.sleep(ATTACH_SECONDS)
        if process.poll() is not None:
            raise common.CannotRun(f"perf does not count: {process.stderr.read().strip().splitlines()[-1]}")
        yield counts
    finally:
        process.send_signal(signal.SIGINT)
        try:
            counts.update(read(process.communicate(timeout=30)[1]))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
