"""`scripts/profile.sh leaks`: whole sessions with rotations, after which no memory may be left behind."""

import os
import pathlib
import re
import shutil
import tempfile

import callgrind
import common
import nodes

ROTATIONS = 10
LOST = re.compile(r"(definitely|indirectly|possibly) lost: ([\d,]+) bytes in ([\d,]+) blocks")
ERRORS = re.compile(r"ERROR SUMMARY: ([\d,]+) errors")
SANITIZER = re.compile(r"^.*(?:(?:Address|Leak)Sanitizer|runtime error:).*$", re.MULTILINE)
# What ends through exit() checks itself for leaks: the monitor. The node ends by _exit once its locked memory, where the
# engine's objects and libcrypto's lie, is gone as a whole; what it may have lost there is what `core` looks for, where
# the same code allocates from the heap.
SANITIZER_ENV = {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
                 "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def number(text):
    return int(text.replace(",", ""))


def read_memcheck(text):
    """({kind of loss: blocks}, errors) of memcheck's report; a kind that it does not name is none."""
    if "All heap blocks were freed" not in text and not LOST.search(text) and "no leaks are possible" not in text:
        raise common.Broken("memcheck said nothing of leaks")
    lost = {kind: number(blocks) for kind, _, blocks in LOST.findall(text)}
    found = ERRORS.search(text)
    return lost, number(found.group(1)) if found else 0


def memcheck(program, log, preload=None):
    """Runs a program to its end under memcheck; a line, and whether all is well. preload: a library to load before it."""
    with tempfile.TemporaryDirectory(prefix="cryprq-leaks.") as scratch:
        done = common.run("valgrind", "--tool=memcheck", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
                          "--errors-for-leak-kinds=definite,indirect,possible", "--num-callers=30", program,
                          cwd=scratch, env={**callgrind.environment(), **({"LD_PRELOAD": str(preload)} if preload else {})},
                          check=False)
    log.write_text(done.stderr)
    if done.returncode != 0:
        raise common.Broken(f"{program.name} ended with {done.returncode} under memcheck, see {log}")
    lost, errors = read_memcheck(done.stderr)
    blocks = sum(lost.values())
    return f"{program.name}: {blocks} blocks lost, {errors} errors of memcheck", blocks == 0 and errors == 0


def core(build, folder):
    results = [memcheck(build / "tests" / "profile" / name, folder / f"{name}.log") for name in callgrind.PROGRAMS]
    return [line for line, _ in results], all(good for _, good in results)


def find_reports(text):
    """What a sanitizer said in a node's log."""
    return [found.group(0).strip() for found in SANITIZER.finditer(text)]


def session(pair):
    """A session's life: traffic, rotations under it, a request for the status."""
    with pair.meanwhile("tcp", 3):
        for _ in range(ROTATIONS):
            pair.rotate()
    return pair.status()["peers"][0]["rotations"]


def sanitized_nodes(program, folder):
    """Runs two nodes of a sanitized build through a session and ends them in good order."""
    os.environ.update(SANITIZER_ENV)
    with nodes.pair(program) as pair:
        rotations = session(pair)
        statuses = {}
        for node, what in ((pair.first, nodes.SENDER), (pair.second, nodes.RECEIVER)):
            statuses[what] = node.stop(30)
            shutil.copy(node.log, folder / f"{what.replace(' ', '-')}.log")
        reports = [report for node in (pair.first, pair.second) for report in find_reports(node.log_text())]
    lines = [f"nodes of the sanitized build: {rotations} rotations, ended with {sorted(statuses.values())}, "
             f"{len(reports)} reports"]
    lines += [f"  {report}" for report in reports]
    return lines, not reports and not any(statuses.values()) and rotations >= ROTATIONS


def try_nodes(options, folder):
    try:
        nodes.check_machine()
        build = common.build("sanitized", ["cryprq"], "gcc", ("-Db_sanitize=address,undefined", "-Doptimization=1"),
                             directory=options.sanitized)
        common.say(f"running two sanitized nodes through {ROTATIONS} rotations")
        return sanitized_nodes(build / "cryprq", folder)
    except common.CannotRun as reason:
        return [f"real nodes: not run, {reason}"], True


def main(options):
    common.need("leaks", "valgrind")
    folder = common.folder("leaks")
    build = common.build("gcc", [f"tests/profile/{name}" for name in callgrind.PROGRAMS], directory=options.build)
    common.say("running the core under memcheck")
    lines, core_is_clean = core(build, folder)
    more, nodes_are_clean = ([], True) if options.core else try_nodes(options, folder)
    good = core_is_clean and nodes_are_clean
    lines += [*more, "no leaks" if good else f"FAILED: see {pathlib.Path(folder).relative_to(common.ROOT)}"]
    (folder / "leaks.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if good else 1
