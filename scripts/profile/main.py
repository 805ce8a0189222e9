#!/usr/bin/env python3
"""The commands of scripts/profile.sh, which is the way to call this."""

import argparse
import importlib
import pathlib
import sys

import common

COMMANDS = ("cpu", "instructions", "heap", "leaks", "locks", "syscalls")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="scripts/profile.sh", add_help=False)
    commands = parser.add_subparsers(dest="command", required=True)
    made = {name: commands.add_parser(name, add_help=False) for name in COMMANDS}
    for name, command in made.items():
        if name in ("cpu", "heap", "locks", "syscalls"):
            command.add_argument("--program", type=pathlib.Path)
        if name in ("instructions", "heap", "leaks"):
            command.add_argument("--build", type=pathlib.Path)
    made["instructions"].add_argument("--update", action="store_true")
    made["instructions"].add_argument("--only", action="append", default=[])
    made["instructions"].add_argument("--tolerance", type=float, default=1.0)
    made["instructions"].add_argument("--compiler", default="gcc")
    made["instructions"].add_argument("--programs", type=pathlib.Path)
    cpu = made["cpu"]
    cpu.add_argument("--seconds", type=int, default=8)
    cpu.add_argument("--frequency", type=int, default=499)
    cpu.add_argument("--load", choices=("tcp", "udp"), default="tcp")
    cpu.add_argument("--all", action="store_true")
    made["syscalls"].add_argument("--megabytes", type=int, default=2000)
    made["syscalls"].add_argument("--tool", choices=("perf", "strace"))
    made["locks"].add_argument("--seconds", type=int, default=6)
    made["heap"].add_argument("--core", action="store_true")
    made["leaks"].add_argument("--core", action="store_true")
    made["leaks"].add_argument("--sanitized", type=pathlib.Path)
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    try:
        return importlib.import_module(options.command).main(options)
    except common.CannotRun as reason:
        common.say(f"error: {reason}")
        return 2
    except common.Broken as reason:
        common.say(f"error: {reason}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
