"""`cryprq bench`: the parts that need no network, in a process of its own for each run."""

import itertools
import json
import os
import re
import shutil
import subprocess

from bench import rows, tools

TIMEOUT = 600
COPIES = itertools.count(1)


class Failed(Exception):
    """The program did not do it; the text says what it said."""


def call(program, *arguments):
    command = [str(program), "bench", *map(str, arguments)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        # Whatever ends this run ends that process too.
        tools.PROCESSES.append(process)
        out, err = process.communicate(timeout=TIMEOUT)
    except OSError as error:
        raise Failed(f"{program}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise Failed(f"{program} bench: not over after {TIMEOUT} s") from error
    tools.PROCESSES.remove(process)
    if process.returncode != 0:
        said = (err or out).strip().splitlines()
        raise Failed(f"{program} bench: {said[-1] if said else f'exit status {process.returncode}'}")
    return out


def names(program):
    """All benchmarks that this program has."""
    return [line.split()[0] for line in call(program, "--list").splitlines() if "/" in line.split(" ", 1)[0]]


class FreshCopy:
    """A copy of a program for one run. Where its pages happen to lie in memory moves some figures by a percent or two
    for as long as they lie there; so each run gets pages of its own, and a path as long as any other's."""

    def __init__(self, program):
        self.program = program
        self.path = tools.OUTPUT / "tmp" / f"{os.getpid() % 10 ** 7:07}-{next(COPIES):05}"

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.program, self.path)
        return self.path

    def __exit__(self, *unused):
        self.path.unlink(missing_ok=True)


def prefixes(wanted):
    """As few words for --only as say the same."""
    return ",".join(wanted)


def run(program, part, effort, pattern=None):
    """The rows of one part, of those whose names match. None where the program has none such."""
    wanted = [name for name in names(program) if rows.part_of(name) == part and (not pattern or re.search(pattern, name))]
    if not wanted:
        return []
    with FreshCopy(program) as copy:
        text = call(copy, "--json", "--only", prefixes(wanted), "--batches", effort.batches,
                    "--batch-ms", effort.batch_ms)
    try:
        results = json.loads(text)["results"]
        return [rows.row_of(result) for result in results if result["name"] in wanted]
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(f"{program} bench --json: cannot be read: {error}") from error
