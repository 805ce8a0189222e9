#!/usr/bin/env python3
"""cryprq-null, the program for benchmarks that does not encrypt: it works among its kind, says what it is, and neither
understands a program that encrypts nor is understood by one. TAP. Skipped where the build has none (-Dnull_suite=true).
"""

import pathlib
import subprocess
import sys

import netns
import tunnel
from netns import check
from tunnel import INNER4

NULL = netns.CRYPRQ.with_name("cryprq-null")


def null_pair(scene):
    nodes = tunnel.pair(scene, run=False)
    for node in nodes:
        node.program = NULL
    return nodes


def a_tunnel_of_two(scene):
    a, b = null_pair(scene)
    tunnel.start(a, b)
    for node in (a, b):
        check("DOES NOT ENCRYPT" in node.log_text(), f"no warning: {node.log_text()}")
    tunnel.must_ping(a.namespace, INNER4[1], size=1000)
    tunnel.rotate(a)
    tunnel.must_ping(a.namespace, INNER4[1])
    check(tunnel.status(a)["aead"] == "none", f"{tunnel.status(a)['aead']}")


def not_with_one_that_encrypts(scene, which):
    nodes = tunnel.pair(scene, run=False)
    nodes[which].program = NULL
    tunnel.start(*nodes)
    tunnel.must_not_ping(nodes[0].namespace, INNER4[1], seconds=3)
    check(not tunnel.session_of(nodes[0]) and not tunnel.session_of(nodes[1]), "they have a session")
    check(tunnel.drops(nodes[1], "decrypt_id") > 0, f"{tunnel.status(nodes[1])['drops']}")


def it_is_not_mistaken(_scene):
    done = subprocess.run([NULL, "version"], capture_output=True, text=True, timeout=10, check=True)
    check("records none" in done.stdout and "DOES NOT ENCRYPT" in done.stdout, done.stdout)
    check("WARNING" in done.stderr, done.stderr)
    usual = subprocess.run([netns.CRYPRQ, "version"], capture_output=True, text=True, timeout=10, check=True)
    check("ENCRYPT" not in usual.stdout + usual.stderr and "records none" not in usual.stdout, usual.stdout)


def main():
    netns.require(("ip", "ping"))
    if not NULL.exists():
        netns.skip_all(f"no {pathlib.Path(NULL).name} beside {netns.CRYPRQ}")
    tap = netns.Tap()
    with netns.Lab("null") as lab:
        tunnel.run_cases(lab, tap, [
            ("two of them have a tunnel, rotate, and warn", a_tunnel_of_two),
            ("it cannot call a program that encrypts", lambda scene: not_with_one_that_encrypts(scene, 0)),
            ("a program that encrypts cannot call it", lambda scene: not_with_one_that_encrypts(scene, 1)),
            ("version tells them apart", it_is_not_mistaken),
        ])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
