"""`scripts/profile.sh instructions`: what the deterministic core costs, counted, held against a baseline."""

import dataclasses
import json
import platform
import re

import callgrind
import common

BASELINE = common.ROOT / "tests" / "profile" / "instructions.json"
TOLERANCE = 1.0     # percent
SAME, SLOWER, FASTER, NEW, GONE = "same", "SLOWER", "FASTER", "new", "gone"
# What of a CPU decides which of its code libcrypto runs. Valgrind shows no more of it than it can do itself.
CPU_FLAGS = ("aes", "pclmulqdq", "ssse3", "avx", "avx2", "bmi2", "adx", "sha_ni", "pmull", "asimd")


@dataclasses.dataclass
class Verdict:
    """A row beside its baseline."""

    row: str
    word: str
    change: float = 0.0     # percent, of our instructions
    why: str = ""


# The baseline file: {"COMPILER": {"rows": {ROW: counts}, "libcrypto": {"LIBRARY": {ROW: instructions}}}}


def compiler_name(compiler):
    """"gcc 12.2.0 x86_64": what counts of our own instructions belong to."""
    first = common.run(compiler, "--version").stdout.splitlines()[0]
    kind = "clang" if "clang" in first else "gcc"
    version = re.search(r"(\d+\.\d+\.\d+)", first)
    if not version:
        raise common.Broken(f"{compiler} does not tell its version: {first}")
    return f"{kind} {version.group(1)} {platform.machine()}"


def library_name(library):
    """What counts of libcrypto's instructions belong to: the library, and which of its code this CPU makes it run."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", file.read(), re.MULTILINE)
    flags = found.group(1).split() if found else []
    return f"{library}, {'+'.join(flag for flag in CPU_FLAGS if flag in flags)}"


def load(path=BASELINE):
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise common.Broken(f"{path}: {error}") from None


def percent(new, old):
    if old == 0:
        return 0.0 if new == 0 else float("inf")
    return (new - old) * 100 / old


def judge_row(row, old, old_library, tolerance):
    """One row beside its baseline: `old` its counts, `old_library` libcrypto's instructions, None where unknown."""
    change = percent(row.own, old["own"])
    measures = [("our instructions", change), ("calls out of our code", percent(row.calls, old["calls"]))]
    if old_library is not None:
        measures.append(("libcrypto's instructions", percent(row.libcrypto, old_library)))
    if row.allocations != old["allocations"]:
        measures.append(("allocations", float("inf") if row.allocations > old["allocations"] else float("-inf")))
    beyond = [(what, by) for what, by in measures if abs(by) > tolerance]
    if not beyond:
        return Verdict(row.name, SAME, change)
    why = ", ".join(f"{what} {by:+.1f} %" if abs(by) != float("inf") else f"more {what}" if by > 0 else f"fewer {what}"
                    for what, by in beyond)
    return Verdict(row.name, SLOWER if any(by > 0 for _, by in beyond) else FASTER, change, why)


def judge(rows, known, library, tolerance, whole=True):
    """The verdicts on all rows. whole: rows of the baseline that were not measured are gone."""
    old_library = known.get("libcrypto", {}).get(library, {})
    verdicts = []
    for row in rows:
        if row.name in known["rows"]:
            verdicts.append(judge_row(row, known["rows"][row.name], old_library.get(row.name), tolerance))
        else:
            verdicts.append(Verdict(row.name, NEW))
    if whole:
        measured = {row.name for row in rows}
        verdicts += [Verdict(name, GONE) for name in known["rows"] if name not in measured]
    return verdicts


def record(baseline, compiler, library, rows):
    """The baseline with these rows as what this compiler makes of them."""
    entry = {"rows": {row.name: row.counts() for row in rows},
             "libcrypto": {library: {row.name: row.libcrypto for row in rows}}}
    # Other libraries' counts of rows that have not changed are still right.
    before = baseline.get(compiler, {})
    for name, counts in before.get("libcrypto", {}).items():
        if name != library and before.get("rows") == entry["rows"]:
            entry["libcrypto"][name] = counts
    return {**baseline, compiler: entry}


def write(baseline, path=BASELINE):
    """One row a line, so that a change of it reads well in a diff."""
    lines = ["{"]
    for i, (compiler, entry) in enumerate(sorted(baseline.items())):
        lines.append(f' {json.dumps(compiler)}: {{')
        lines.append('  "rows": {')
        lines += [f"   {json.dumps(name)}: {json.dumps(counts)}," for name, counts in entry["rows"].items()]
        lines[-1] = lines[-1].rstrip(",")
        lines += ["  },", '  "libcrypto": {']
        for library, counts in entry["libcrypto"].items():
            lines.append(f"   {json.dumps(library)}: {{")
            lines += [f"    {json.dumps(name)}: {count}," for name, count in counts.items()]
            lines[-1] = lines[-1].rstrip(",")
            lines.append("   },")
        lines[-1] = lines[-1].rstrip(",")
        lines += ["  }", " }" + ("," if i + 1 < len(baseline) else "")]
    lines.append("}")
    path.write_text("\n".join(lines) + "\n")


def measure(directory, only=(), logs=None):
    """All rows of the programs in that folder."""
    rows, library = [], ""
    for name in callgrind.PROGRAMS:
        if (directory / name).exists():
            found, library = callgrind.measure(directory / name, only, logs / f"{name}.log" if logs else None)
            rows += found
    if not rows:
        raise common.CannotRun(f"no row is called anything like {' or '.join(only)}" if only
                               else f"no programs to measure in {directory}")
    return rows, library


def show(rows, verdicts, known):
    words = {verdict.row: verdict for verdict in verdicts}
    lines = []
    for row in rows:
        old = known["rows"].get(row.name) if known else None
        verdict = words.get(row.name)
        lines.append((row.name, row.unit, row.own, f"{row.own / row.num:.1f}", f"{row.calls / row.num:.1f}",
                      f"{row.libcrypto / row.num:.0f}", f"{row.allocations / row.num:.1f}".removesuffix(".0"),
                      old["own"] if old else "-", f"{verdict.change:+.2f} %" if old else "-",
                      verdict.word if verdict else "not compared"))
    lines += [(verdict.row, "-", "-", "-", "-", "-", "-", known["rows"][verdict.row]["own"], "-", GONE)
              for verdict in verdicts if verdict.word == GONE]
    titles = ("row", "unit", "instructions", "a unit", "calls out", "in libcrypto", "allocations", "baseline", "change",
              "verdict")
    print("\n".join(common.table(titles, lines, left=2)))


def as_json(rows, verdicts, compiler, library):
    words = {verdict.row: verdict.word for verdict in verdicts}
    return {"compiler": compiler, "libcrypto": library,
            "rows": [{"name": row.name, "unit": row.unit, "num": row.num, **row.counts(), "libcrypto": row.libcrypto,
                      "libc": row.libc, "verdict": words.get(row.name), "functions": row.functions} for row in rows],
            "gone": [verdict.row for verdict in verdicts if verdict.word == GONE]}


def conclude(verdicts, compiler, tolerance):
    """The last lines, and the exit status."""
    changed = [verdict for verdict in verdicts if verdict.word != SAME]
    for verdict in changed:
        if verdict.why:
            print(f"{verdict.row}: {verdict.word.lower()}: {verdict.why}")
    if not changed:
        print(f"{len(verdicts)} rows, none changed by more than {tolerance:g} % ({compiler})")
        return 0
    print(f"{len(changed)} of {len(verdicts)} rows changed by more than {tolerance:g} % or are not in the baseline "
          f"({compiler}); `scripts/profile.sh instructions --update` takes the new counts over, for the same commit")
    return 1


def main(options):
    common.need("instructions", "valgrind", "setarch")
    if options.update and options.only:
        raise common.CannotRun("--update takes all rows: leave --only out")
    folder = common.folder("instructions")
    build = common.build("gcc" if options.compiler == "gcc" else f"profile-{options.compiler.replace('/', '-')}",
                         [f"tests/profile/{name}" for name in callgrind.PROGRAMS], options.compiler,
                         directory=options.build)
    common.say("counting")
    rows, library = measure(options.programs or build / "tests" / "profile", options.only, folder)
    compiler, library = compiler_name(options.compiler), library_name(library)
    baseline = load()
    known = baseline.get(compiler)
    verdicts = judge(rows, known, library, options.tolerance, not options.only) if known else []
    (folder / "rows.json").write_text(json.dumps(as_json(rows, verdicts, compiler, library), indent=1) + "\n")
    show(rows, verdicts, known)
    if options.update:
        write(record(baseline, compiler, library, rows))
        print(f"{BASELINE.relative_to(common.ROOT)}: {len(rows)} rows for {compiler}")
        return 0
    if not known:
        print(f"not compared: there is no baseline for {compiler}, only for {', '.join(sorted(baseline)) or 'nothing'}; "
              "--update records one")
        return 0
    if library not in known["libcrypto"]:
        print(f"libcrypto's instructions not compared: the baseline has none for {library}")
    return conclude(verdicts, compiler, options.tolerance)
