#!/usr/bin/env python3
"""Rotation and restarts seen from inside the tunnel: packets are numbered, and none may be missing. TAP.

Arguments: words; only the cases whose titles have one of them run.
"""

import subprocess
import sys
import time

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4, INNER6

ROTATIONS = 20
CROSSINGS = 12
MOST_ROTATION_MS = 50


def check_lossless(results, who="stream"):
    for direction, result in zip(("first to second", "second to first"), results):
        check(result["sent"] > 0, f"{who}: nothing was sent")
        check(result["missing"] == 0 and result["duplicates"] == 0,
              f"{who}, {direction}: {tunnel.summary(result)}, missing {result['first_missing']}")


def notes_of(results):
    return [f"{direction}: {tunnel.summary(result)}" for direction, result in zip(("there", "back"), results)]


def under_load(scene):
    a, b = tunnel.pair(scene)
    ends = a.namespace, b.namespace
    tunnel.must_ping(a.namespace, INNER4[1])
    tunnel.must_ping(b.namespace, INNER6[0])
    streams = [tunnel.Stream(ends, INNER4, rate=1000, size=1200, port=7000),
               tunnel.Stream(ends, INNER6, rate=1000, size=100, port=7001)]
    sessions = {tunnel.session_of(a)["id"]}
    for stream in streams:
        stream.go()
    for i in range(ROTATIONS):
        tunnel.rotate((a, b)[i % 2])
        sessions.add(tunnel.session_of(a)["id"])
        time.sleep(0.1)
    time.sleep(0.5)
    results = [result for stream in streams for result in stream.finish()]
    check_lossless(results[:2], "IPv4")
    check_lossless(results[2:], "IPv6")
    equal(len(sessions), ROTATIONS + 1, "different sessions")
    for node in (a, b):
        status = tunnel.peer_status(node)
        equal(status["rotations"], ROTATIONS, "rotations counted")
        check(status["initiated"] >= ROTATIONS // 2 and status["responded"] >= ROTATIONS // 2, f"roles: {status}")
        for reason in ("bad_tag", "key_expired", "replayed_record", "unknown_index"):
            equal(tunnel.drops(node, reason), 0, reason)
    durations = sorted(ms for node in (a, b) for ms in tunnel.durations_ms(node, "key_rotation"))
    check(len(durations) == 2 * ROTATIONS, f"{len(durations)} rotations in the logs")
    # Some of them may have met a moment at which this machine had other things to do.
    check(durations[len(durations) * 9 // 10] < MOST_ROTATION_MS, f"durations: {durations}")
    return [*notes_of(results[:2]), *notes_of(results[2:]),
            f"rotation: median {durations[len(durations) // 2]:.2f} ms, longest {durations[-1]:.2f} ms"]


def crossing(scene):
    """Both sides start a rotation at the same moment; whichever session each takes, nothing is lost."""
    nodes = tunnel.pair(scene, first={"ListenPort": tunnel.PORT})
    ends = [node.namespace for node in nodes]
    tunnel.must_ping(ends[0], INNER4[1])
    stream = tunnel.Stream(ends, INNER4, rate=1000, size=1000)
    stream.go()
    for _ in range(CROSSINGS):
        commands = [node.namespace.popen(netns.CRYPRQ, "rotate", node.name, env=node.env, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, text=True) for node in nodes]
        outputs = [command.communicate(timeout=20)[0] for command in commands]
        check(all(command.returncode == 0 for command in commands), f"rotate: {outputs}")
        time.sleep(0.05)
    results = stream.finish()
    check_lossless(results)
    rotations = [tunnel.peer_status(node)["rotations"] for node in nodes]
    check(min(rotations) >= CROSSINGS, f"rotations: {rotations}")
    return [*notes_of(results), f"{rotations} rotations"]


def old_sessions_go(scene):
    a, b = tunnel.pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    for node in (a, b, a):
        tunnel.rotate(node)
        tunnel.must_ping(a.namespace, INNER4[1])
    check(tunnel.peer_status(a)["num_sessions"] > 1, "old sessions ended at once, with packets perhaps on their way")
    erased = [tunnel.status(node)["keys_erased"] for node in (a, b)]
    began = time.monotonic()
    while time.monotonic() - began < 17:
        tunnel.must_ping(a.namespace, INNER4[1])
        if all(tunnel.peer_status(node)["num_sessions"] == 1 for node in (a, b)):
            break
        time.sleep(0.3)
    seconds = time.monotonic() - began
    equal([tunnel.peer_status(node)["num_sessions"] for node in (a, b)], [1, 1], "sessions left")
    check(seconds >= 8, f"old sessions went after {seconds:.1f} s already")
    for node, before in zip((a, b), erased):
        equal(tunnel.status(node)["keys_erased"] - before, 3, "keys erased")
    return [f"after {seconds:.1f} s"]


def by_time(scene):
    """The natural rhythm at its fastest: RotateSecs = 60 makes the initiator start after 10 to 25 s."""
    a, b = tunnel.pair(scene, first={"RotateSecs": 60})
    ends = a.namespace, b.namespace
    tunnel.must_ping(a.namespace, INNER4[1])
    first = tunnel.session_of(a)["id"]
    check(tunnel.session_of(b)["rotate_in_secs"] <= 60, "the smaller of both RotateSecs counts")
    stream = tunnel.Stream(ends, INNER4, rate=50)
    stream.go()
    began = time.monotonic()
    netns.wait_until(lambda: tunnel.session_of(a)["id"] != first, 40, "a rotation by time", step=0.5)
    seconds = time.monotonic() - began
    time.sleep(0.5)
    results = stream.finish()
    check_lossless(results)
    return [f"rotated after {seconds:.0f} s", *notes_of(results)]


def idle_session(scene):
    """Without DATA a session does not rotate by time; keepalives do not count."""
    a, _ = tunnel.pair(scene, first={"RotateSecs": 60}, second_peer={})
    tunnel.must_ping(a.namespace, INNER4[1])
    # The ping counts for the session that it began; a rotation right away makes one without DATA.
    tunnel.rotate(a)
    first = tunnel.session_of(a)["id"]
    time.sleep(38)
    equal(tunnel.session_of(a)["id"], first, "an idle session rotated")
    tunnel.must_ping(a.namespace, INNER4[1])
    netns.wait_until(lambda: tunnel.session_of(a)["id"] != first, 8, "a rotation with the first packet")


def remembered(node):
    """The lines of the file in which a node keeps where its peers were: (peer ID, address) pairs."""
    path = node.state / f"{node.name}.recent"
    return [tuple(line.split()[:2]) for line in path.read_text().splitlines()] if path.exists() else []


def outage(scene, which, then=None, first=None, second=None):
    """Kills one side in the middle of a stream and starts it again; gives the longest gap seen by the other, in s."""
    # With a fixed port at either side, so that each can reach the other after a restart.
    nodes = tunnel.pair(scene, first={"ListenPort": tunnel.PORT, **(first or {})}, second=second)
    ends = [node.namespace for node in nodes]
    tunnel.must_ping(ends[0], INNER4[1])
    victim, other = nodes[which], nodes[1 - which]
    # The survivor talks; the killed side is silent unless `then` makes it speak.
    chatter = ends[1 - which].popen("ping", "-n", "-q", "-i", "0.2", INNER4[which], stdout=subprocess.DEVNULL)
    kept = {**(first or {}), **(second or {})}.get("RememberPeers") != "off"
    if kept:
        netns.wait_until(lambda: remembered(victim), 5, "the peer's address on disk")
    time.sleep(1)
    victim.kill("monitor", "node")
    victim.process.wait(5)
    netns.wait_until(lambda: not tunnel.node_pids(victim), 10, "the keeper to end")
    equal(victim.leftovers()[0], [], "files left by the killed side")
    tunnel.start(victim)
    began = time.monotonic()
    if then is not None:
        then(victim)
    answered = netns.wait_until(lambda: ends[1 - which].ping(INNER4[which], timeout=1), 30, "ping again", step=0.05)
    seconds = time.monotonic() - began
    check(answered, "no answer")
    tunnel.must_ping(ends[which], INNER4[1 - which])
    chatter.terminate()
    chatter.wait(5)
    return seconds, other


def restart_initiator(scene):
    seconds, _ = outage(scene, 0)
    check(seconds < 2, f"back after {seconds:.1f} s")
    return [f"back {seconds:.2f} s after the restart"]


def restart_responder(scene):
    """It has no configured address of the other one, which does not know yet that its session is gone."""
    seconds, other = outage(scene, 1)
    check(seconds < 2, f"back after {seconds:.1f} s")
    check("event=peer_unreachable" not in other.log_text(), "the other side had to find out by silence")
    return [f"back {seconds:.2f} s after the restart"]


def restart_without_memory(scene):
    """Without the list of peers the other side finds out by silence, within the time for a dead peer."""
    seconds, other = outage(scene, 1, second={"RememberPeers": "off"})
    check(5 < seconds < 21, f"back after {seconds:.1f} s")
    check("event=peer_unreachable" in other.log_text(), "no peer_unreachable in the log")
    return [f"back {seconds:.1f} s after the restart"]


def memory_of_peers(scene):
    """What is kept, for whom it is readable, and that it goes where it is switched off."""
    a, b = tunnel.pair(scene, first={"ListenPort": tunnel.PORT})
    tunnel.must_ping(a.namespace, INNER4[1])
    path = b.state / f"{b.name}.recent"
    netns.wait_until(lambda: remembered(b), 5, "the peer's address on disk")
    equal(remembered(b), [(tunnel.peer_status(b)["peer_id"], f"{tunnel.OUTER4[0]}:{tunnel.PORT}")], "what is kept")
    equal(path.stat().st_mode & 0o777, 0o600, "mode of the file")
    # It is there after a clean end too, for whoever has something to send then.
    equal(b.stop(), 0, "exit status")
    check(remembered(b), "the list is gone after a clean end")
    path.write_text("damaged\n" + path.read_text() + "damaged 1 2\n")
    tunnel.start(b)
    tunnel.must_ping(b.namespace, INNER4[0])
    equal(b.stop(), 0, "exit status")
    b.write_config(b.config.read_text().replace("[Interface]\n", "[Interface]\nRememberPeers = off\n"))
    tunnel.start(b)
    check(not path.exists(), "the list is there although it is switched off")
    tunnel.must_ping(a.namespace, INNER4[1])
    time.sleep(2)
    check(not path.exists(), "the list was written although it is switched off")


def restart_and_send(scene):
    def speak(node):
        tunnel.must_ping(node.namespace, INNER4[1], seconds=5)

    seconds, _ = outage(scene, 0, speak)
    check(seconds < 2, f"back after {seconds:.1f} s")
    return [f"back {seconds:.2f} s after the restart"]


def clean_restart(scene):
    """A side that ends properly says so: the other one knows at once and starts anew with its next packet."""
    a, b = tunnel.pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    equal(b.stop(), 0, "exit status")
    netns.wait_until(lambda: tunnel.session_of(a) is None, 3, "the session to end with the peer's CLOSE")
    check("event=session_closed" in a.log_text(), "no session_closed in the log")
    tunnel.start(b)
    began = time.monotonic()
    tunnel.must_ping(a.namespace, INNER4[1], seconds=10)
    return [f"back {time.monotonic() - began:.2f} s after the restart"]


LOADED_CASES = [
    (f"{ROTATIONS} rotations from alternating sides lose no packet in either direction", under_load),
    (f"{CROSSINGS} rotations started by both sides at the same moment lose no packet", crossing),
]
QUIET_CASES = [
    ("rotation by time with RotateSecs = 60 loses nothing", by_time),
    ("a session without traffic does not rotate until there is some", idle_session),
    ("old sessions are erased 10 s after the last record under them", old_sessions_go),
    ("the initiator killed and started again while the responder sends", restart_initiator),
    ("the responder killed and started again while the initiator sends", restart_responder),
    ("the initiator killed and started again: back at once when it sends", restart_and_send),
    ("a responder that remembers nobody is found again by silence", restart_without_memory),
    ("where peers were last is kept for root alone, and only where that is wanted", memory_of_peers),
    ("the responder stopped and started again: back with the next packet", clean_restart),
]


def main():
    netns.require(("ip", "ping"))
    tap = netns.Tap()
    with netns.Lab("rotation") as lab:
        # Those that count packets have the machine to themselves.
        tunnel.run_cases(lab, tap, LOADED_CASES, jobs=1)
        tunnel.run_cases(lab, tap, QUIET_CASES, jobs=len(QUIET_CASES))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
