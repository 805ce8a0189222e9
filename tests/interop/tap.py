"""Test cases with TAP output: `@suite.case("name")` registers, `suite.main()` runs and exits."""

import sys
import time
import traceback


class Skip(Exception):
    """Raised by a case that cannot run here; the argument says why."""


class Failure(AssertionError):
    pass


def check(condition, message="check failed"):
    if not condition:
        raise Failure(message)


def equal(got, wanted, what="value"):
    if got != wanted:
        raise Failure(f"{what}: got {got!r}, wanted {wanted!r}")


def refuses(exception, call, *args, reason=None):
    """The call must raise; `reason` is what the exception must say."""
    try:
        call(*args)
    except exception as error:
        if reason is not None:
            equal(str(error), reason, "reason")
        return
    raise Failure(f"{call} did not raise {exception.__name__}")


def result_line(number, name, outcome, detail="", seconds=None):
    """outcome: "ok", "not ok" or "skip"."""
    line = f"{'not ok' if outcome == 'not ok' else 'ok'} {number} - {name}"
    if outcome == "skip":
        line += f" # SKIP {detail}"
    out = [line]
    if seconds is not None and seconds > 1.0:
        out.append(f"# {seconds:.1f} s")
    if outcome == "not ok":
        out += [f"# {part}" for part in detail.rstrip().splitlines()]
    return "\n".join(out)


def run_case(call):
    """(outcome, detail) of one case."""
    try:
        call()
        return "ok", ""
    except Skip as reason:
        return "skip", str(reason)
    except Exception:  # pylint: disable=broad-except
        return "not ok", traceback.format_exc()


class Suite:
    def __init__(self):
        self.cases = []

    def case(self, name, **options):
        def register(call):
            self.cases.append((name, call, options))
            return call
        return register

    def main(self, argv=None):
        words = [a for a in (argv or sys.argv[1:]) if not a.startswith("-")]
        cases = [c for c in self.cases if not words or any(w in c[0] for w in words)]
        print(f"1..{len(cases)}", flush=True)
        failed = 0
        for number, (name, call, _) in enumerate(cases, 1):
            start = time.monotonic()
            outcome, detail = run_case(call)
            failed += outcome == "not ok"
            print(result_line(number, name, outcome, detail, time.monotonic() - start), flush=True)
        return 1 if failed else 0
