"""What the commands of scripts/profile.sh share: folders, tools, builds, running programs, tables."""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILDS = ROOT / "build-test"
OUTPUT = ROOT / "build" / "profile"


class CannotRun(Exception):
    """What a command needs is not here; its text is one line that says what."""


class Broken(Exception):
    """Something that should have worked did not; its text says what."""


def say(text):
    print(f"profile.sh: {text}", file=sys.stderr, flush=True)


def need(command, *tools):
    """Refuses to go on without these tools."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise CannotRun(f"{command} needs {' and '.join(missing)}: "
                        f"`scripts/profile.sh {command} --install` installs it with apt")


def run(*command, timeout=600, env=None, cwd=None, check=True):
    """Runs a program to its end; gives the completed process. env replaces the environment."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", timeout=timeout, env=env, cwd=cwd, check=False)
    if check and done.returncode != 0:
        detail = (done.stderr or done.stdout).strip().splitlines()
        raise Broken(f"{command[0]} ended with {done.returncode}: {detail[-1] if detail else 'no message'}")
    return done


class Background:
    """A program that runs while something else is done; waited for at the end of the block."""

    def __init__(self, command, timeout):
        self.command, self.timeout = [str(part) for part in command], timeout
        self.process, self.returncode, self.output = None, None, ""

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, errors="replace")
        return self

    def __exit__(self, *unused):
        try:
            self.output = self.process.communicate(timeout=self.timeout)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.output = self.process.communicate()[1]
        self.returncode = self.process.returncode

    def message(self):
        lines = self.output.strip().splitlines()
        return lines[-1] if lines else "no message"


def background(*command, timeout=120):
    return Background(command, timeout)


def folder(name):
    """An output folder, emptied of what an earlier run left."""
    path = OUTPUT / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def build(name, targets, compiler="gcc", options=(), directory=None):
    """A build directory with these targets up to date; `directory` names one that is there already."""
    where = pathlib.Path(directory).resolve() if directory else BUILDS / name
    if directory and not (where / "build.ninja").exists():
        raise CannotRun(f"{where} is no build directory")
    if not (where / "build.ninja").exists():
        say(f"setting up {where}")
        run("meson", "setup", where, ROOT, *options, env={**os.environ, "CC": compiler})
    say(f"building in {where}")
    done = run("ninja", "-C", where, "--quiet", *targets, check=False, timeout=1800)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise Broken(f"the build in {where} failed")
    return where


def program(options):
    """The program whose nodes are measured."""
    path = pathlib.Path(options.program or os.environ.get("CRYPRQ") or ROOT / "build" / "cryprq").resolve()
    if not path.exists():
        raise CannotRun(f"there is no program at {path}: scripts/setup.sh builds it")
    return path


def table(titles, rows, left=1):
    """Lines of a table; the first `left` columns are aligned to the left."""
    cells = [titles, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    lines = []
    for row in cells:
        parts = [cell.ljust(widths[i]) if i < left else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return lines
