"""Runs a suite's cases side by side, each in a process of its own with a lab of its own.

A case is a function that takes a lab.Lab. Options of `@suite.case`: `seconds` is the longest it may
take (default 40); cases with a larger figure start first.
"""

import argparse
import os
import pickle
import select
import signal
import sys
import time

import lab as labs
import tap


class ParallelSuite(tap.Suite):
    def main(self, argv=None):
        parser = argparse.ArgumentParser(description="TAP tests of the C node (root).")
        parser.add_argument("-j", "--jobs", type=int, default=8, help="cases at the same time")
        parser.add_argument("-k", "--keyword", action="append", default=[],
                            help="only cases whose name has this word (repeatable)")
        parser.add_argument("-l", "--list", action="store_true", help="list the cases")
        options = parser.parse_args(argv)
        chosen = [c for c in self.cases
                  if not options.keyword or any(k in c[0] for k in options.keyword)]
        if options.list:
            print("\n".join(c[0] for c in chosen))
            return 0
        reason = labs.missing()
        if reason:
            print(f"1..0 # SKIP {reason}")
            return 77
        chosen.sort(key=lambda c: -c[2].get("seconds", 40))
        print(f"1..{len(chosen)}", flush=True)
        return Scheduler(chosen, options.jobs).run()


class Worker:
    """A forked process that runs one case and writes (outcome, detail) into a pipe."""

    def __init__(self, number, case):
        self.name, self.call, options = case
        self.tag = labs.unique_tag(number)
        self.started = time.monotonic()
        self.deadline = self.started + options.get("seconds", 40)
        self.ended = False
        reader, writer = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            self._child(writer)
        os.close(writer)
        self.reader = reader
        self.received = b""

    def _child(self, writer):
        labs.die_with_parent()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _leave)
        outcome = ("not ok", "the case was ended")
        code = 1
        try:
            outcome = tap.run_case(self._run)
            code = 0
        finally:
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(pickle.dumps(outcome))
            os._exit(code)

    def _run(self):
        with labs.Lab(self.tag) as lab:
            try:
                self.call(lab)
            except tap.Skip:
                raise
            except Exception as error:
                log = lab.log(15)
                if log:
                    error.args = (f"{error}\nlog of the program:\n{log}",)
                raise

    def stop(self):
        """Ends the worker (its own `with` block cleans up first), then what it may have left."""
        if not self.ended:
            for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
                os.kill(self.pid, number)
                end = time.monotonic() + patience
                while time.monotonic() < end and not self._reap():
                    time.sleep(0.05)
                if self.ended:
                    break
        labs.remove_lab(self.tag)

    def _reap(self):
        if not self.ended and os.waitpid(self.pid, os.WNOHANG)[0] == self.pid:
            self.ended = True
        return self.ended

    def poll(self):
        """(outcome, detail) when the case is over, else None."""
        part = os.read(self.reader, 1 << 20)
        self.received += part
        if part:
            return None
        os.close(self.reader)
        os.waitpid(self.pid, 0)
        self.ended = True
        labs.remove_lab(self.tag)
        try:
            return pickle.loads(self.received)
        except (EOFError, pickle.UnpicklingError):
            return "not ok", "the case's process died"


def _leave(number, _frame):
    raise SystemExit(128 + number)


class Scheduler:
    def __init__(self, cases, jobs):
        self.waiting = list(enumerate(cases))
        self.jobs = max(1, jobs)
        self.workers = []
        self.printed = self.failed = 0

    def run(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _leave)
        try:
            while self.waiting or self.workers:
                while self.waiting and len(self.workers) < self.jobs:
                    self.workers.append(Worker(*self.waiting.pop(0)))
                self._step()
        finally:
            for worker in self.workers:
                worker.stop()
        return 1 if self.failed else 0

    def _step(self):
        by_pipe = {w.reader: w for w in self.workers}
        readable, _, _ = select.select(list(by_pipe), [], [], 0.5)
        for reader in readable:
            outcome = by_pipe[reader].poll()
            if outcome:
                self._report(by_pipe[reader], *outcome)
        for worker in list(self.workers):
            if time.monotonic() > worker.deadline:
                worker.stop()
                os.close(worker.reader)
                self._report(worker, "not ok", "took too long")

    def _report(self, worker, outcome, detail):
        self.workers.remove(worker)
        self.printed += 1
        self.failed += outcome == "not ok"
        print(tap.result_line(self.printed, worker.name, outcome, detail,
                              time.monotonic() - worker.started), flush=True)
