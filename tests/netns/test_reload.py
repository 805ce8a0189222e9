#!/usr/bin/env python3
"""Changes of a running interface: reload, SIGHUP, set, syncconf, showconf, save. Whoever is not concerned loses no
packet, whatever is refused changes nothing, and nothing is left behind."""

import base64
import os
import re
import signal
import sys
import time

import netns
import tunnel

SERVER = "10.88.0.1"
FIRST, SECOND = "10.88.0.2", "10.88.0.3"
THIRD_ID = "5AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
RATE = 500


class Trio:
    """A server and two clients, `first` and `second`, in three namespaces around a switch-less cross."""

    def __init__(self, scene, extra="", **options):
        self.scene = scene
        self.server_id, self.first_id, self.second_id = (tunnel.Identity() for _ in range(3))
        self.spaces = [scene.namespace(x) for x in "sab"]
        for i, client in enumerate(self.spaces[1:]):
            scene.veth(self.spaces[0], f"eth{i}", f"192.0.2.{64 * i + 1}/26", client, "eth0", f"192.0.2.{64 * i + 2}/26")
        self.options = options
        self.extra = extra
        self.server = scene.node(self.spaces[0], self.config())
        self.clients = [scene.node(self.spaces[1 + i], self.client_config(i)) for i in (0, 1)]

    def interface(self, addresses=f"{SERVER}/24", **more):
        return tunnel.interface(self.server_id, addresses, **{"ListenPort": tunnel.PORT, **self.options, **more})

    def first(self, **more):
        return tunnel.peer(self.first_id.id, f"{FIRST}/32", Name="first", **more)

    def second(self, allowed=f"{SECOND}/32", **more):
        return tunnel.peer(self.second_id.id, allowed, Name="second", **more)

    def config(self, *peers, **more):
        return self.interface(**more) + "".join(peers or (self.first(), self.second())) + self.extra

    def client_config(self, i):
        identity, address = ((self.first_id, FIRST), (self.second_id, SECOND))[i]
        return tunnel.interface(identity, f"{address}/24") + tunnel.peer(
            self.server_id.id, f"{SERVER}/32", Endpoint=f"192.0.2.{64 * i + 1}:{tunnel.PORT}")

    def start(self):
        tunnel.start(self.server, *self.clients)
        for client in self.spaces[1:]:
            tunnel.must_ping(client, SERVER)
        return self

    def stream(self):
        stream = tunnel.Stream((self.spaces[0], self.spaces[1]), (SERVER, FIRST), rate=RATE)
        stream.go()
        return stream

    def run(self, *arguments, good=True):
        done = self.server.cryprq(*arguments, check_status=False)
        netns.equal(done.returncode, 0 if good else 1, f"status of {arguments}: {done.stdout}{done.stderr}")
        return done.stdout if good else done.stderr

    def reload(self, text=None, *options, good=True):
        if text is not None:
            self.server.write_config(text)
        return self.run("reload", *options, tunnel.NAME, good=good)

    def set(self, *arguments, good=True):
        return self.run("set", tunnel.NAME, *arguments, good=good)

    def peers(self):
        return {p["name"] or p["peer_id"]: p for p in tunnel.status(self.server)["peers"]}

    def routes(self):
        return self.spaces[0].output("ip", "route", "show", "dev", tunnel.NAME)

    def session(self, name="first"):
        return self.peers()[name]["session"]


def contains(text, *patterns):
    for pattern in patterns:
        netns.check(re.search(pattern, text), f"{pattern!r} is not in {text!r}")


def untouched_peers_lose_nothing(scene):
    trio = Trio(scene).start()
    session = trio.session()["id"]
    stream = trio.stream()
    other = scene.lab.directory / f"{scene.tag}-other.conf"
    for i in range(4):
        text = trio.reload(trio.config(trio.first(), trio.second(f"{SECOND}/32, 10.99.{i}.0/24", PersistentKeepalive=9)))
        contains(text, r"~ peer second .*10\.99\.%d\.0/24" % i, r"\+ route 10\.99\.%d\.0/24" % i, "1 changed")
        text = trio.set("peer", THIRD_ID, "allowed-ips", f"10.77.{i}.0/24", "name", "third", "endpoint", "192.0.2.9:7")
        contains(text, r"\+ peer third", "1 peers added")
        text = trio.set("peer", "third", "remove", "peer", "second", "allowed-ips", f"-10.99.{i}.0/24")
        contains(text, r"- peer third", r"- route 10\.77")
        other.touch(mode=0o600)
        other.write_text(trio.second() + trio.first())       # another order, no [Interface]
        contains(trio.run("syncconf", tunnel.NAME, other), "1 changed|no difference")
        time.sleep(0.2)
    results = stream.finish()
    for result in results:
        netns.equal(result["missing"], 0, f"packets missing: {tunnel.summary(result)}")
        netns.check(result["sent"] > RATE, "hardly anything was sent")
    netns.equal(trio.session()["id"], session, "the session")
    tunnel.must_ping(trio.spaces[2], SERVER)
    return [tunnel.summary(result) for result in results]


def removed_peer_stops_at_once(scene):
    trio = Trio(scene).start()
    session = trio.session("second")["id"]
    trio.set("peer", "second", "remove")
    netns.check("second" not in trio.peers(), "the peer is still there")
    netns.wait_until(lambda: f"session={session}" in trio.server.log_text() and
                     re.search(rf"event=keys_erased .*session={session}", trio.server.log_text()), 2, "keys erased")
    netns.wait_until(lambda: re.search(r"event=session_closed .*reason=removed", trio.clients[1].log_text()), 2,
                     "the peer was told")
    tunnel.must_not_ping(trio.spaces[2], SERVER)
    tunnel.must_ping(trio.spaces[1], SERVER)
    trio.reload()                            # the file still has it
    trio.clients[1].cryprq("rotate", tunnel.NAME)
    tunnel.must_ping(trio.spaces[2], SERVER)


def secrets(scene):
    """Another pre-shared key ends a peer's sessions, and no others."""
    trio = Trio(scene).start()
    keys = []
    for node in (trio.server, trio.clients[1]):
        path = node.directory / "psk"
        path.touch(mode=0o600)
        path.write_text("gQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n")
        keys.append(path)
    first, second = trio.session()["id"], trio.session("second")["id"]
    contains(trio.set("peer", "second", "preshared-key", keys[0]), r"pre-shared key changed")
    netns.check(trio.peers()["second"]["session"] is None or trio.session("second")["id"] != second, "session kept")
    contains(trio.set("peer", "second", "preshared-key", keys[0]), "no difference")
    trio.clients[1].cryprq("set", tunnel.NAME, "peer", trio.server_id.id, "preshared-key", keys[1])
    netns.wait_until(lambda: trio.spaces[2].ping(SERVER, timeout=1), 15, "a session with the new key")
    netns.equal(trio.session()["id"], first, "the session of the other peer")
    contains(trio.set("peer", "second", "preshared-key", "none"), "pre-shared key removed")


def another_identity(scene):
    """The session stays; the other side, which is told the new ID, takes it over without a gap."""
    trio = Trio(scene).start()
    fresh = tunnel.Identity()
    path = trio.clients[0].directory / "new.key"
    path.touch(mode=0o600)
    path.write_text(fresh.key)
    text = trio.clients[0].cryprq("set", tunnel.NAME, "private-key", path).stdout
    contains(text, "private key changed")
    netns.equal(tunnel.status(trio.clients[0])["id" if "id" in tunnel.status(trio.clients[0]) else "peer_id"], fresh.id,
                "own ID")
    tunnel.must_ping(trio.spaces[1], SERVER)
    trio.set("peer", "first", "remove", "peer", fresh.id, "name", "first", "allowed-ips", f"{FIRST}/32")
    netns.wait_until(lambda: trio.spaces[1].ping(SERVER, timeout=1), 15, "a session of the new identity")


def invalid_files_change_nothing(scene):
    trio = Trio(scene).start()
    before, routes = trio.peers(), trio.routes()
    cases = [
        (trio.config() + "Endpint = x\n", r"wan0\.conf:\d+:1: unknown key \"Endpint\""),
        (trio.config(trio.first(), trio.second(f"{FIRST}/32")), r"wan0\.conf:\d+:\d+: AllowedIPs .* overlaps"),
        (trio.config(trio.first(), trio.first()), r"wan0\.conf:\d+:\d+: two peers"),
        (trio.config(MTU=1300), r"wan0\.conf:\d+:1: MTU = 1300, .*cryprq down"),
        (trio.config(ListenPort=4), r"wan0\.conf:\d+:1: ListenPort = 4, but .* ListenPort = 51820"),
        (trio.config(trio.first(), trio.second("0.0.0.0/0")), r"0\.0\.0\.0/0"),
        (trio.config(trio.first(), trio.second(PresharedKeyFile="nowhere")), r"wan0\.conf:\d+:\d+: PresharedKeyFile"),
        (trio.config(trio.first(), trio.second(), tunnel.peer(trio.server_id.id, "10.1.2.3/32")),
         r"wan0\.conf:\d+:\d+: this peer has the ID of our own private key"),
    ]
    for number, (text, pattern) in enumerate(cases, 1):
        contains(trio.reload(text, good=False), pattern)
        netns.wait_until(lambda n=number: trio.server.log_text().count("event=config_refused") == n, 2, "the event")
    trio.server.write_config(trio.config(), mode=0o644)
    contains(trio.reload(good=False), "accessible by others")
    netns.equal(trio.routes(), routes, "routes")
    after = trio.peers()
    netns.equal(sorted(after), sorted(before), "peers")
    for name in before:
        netns.equal(after[name]["session"]["id"], before[name]["session"]["id"], f"session of {name}")
    # A route that somebody else has: nothing of the rest is done either.
    trio.spaces[0].run("ip", "route", "add", "10.55.0.0/16", "dev", "lo")
    contains(trio.set("peer", "second", "allowed-ips", "+10.54.0.0/16,+10.55.0.0/16", "persistent-keepalive", "7",
                      good=False), r"cannot add route 10\.55\.0\.0/16: there is a route to it already")
    netns.equal(trio.routes(), routes, "routes after a failure")
    netns.equal(trio.peers()["second"]["persistent_keepalive"], 0, "keepalive after a failure")


def dry_run(scene):
    trio = Trio(scene).start()
    routes = trio.routes()
    text = trio.reload(trio.config(trio.first(PersistentKeepalive=5), addresses=f"{SERVER}/24, 10.66.0.1/24"), "--dry-run")
    contains(text, r"\+ address 10\.66\.0\.1/24", r"- peer second", "keepalive off -> 5 s", "would be changed")
    netns.equal(trio.routes(), routes, "routes")
    netns.equal(sorted(trio.peers()), ["first", "second"], "peers")
    contains(trio.run("set", "--dry-run", tunnel.NAME, "peer", "second", "remove"), "- peer second")
    netns.equal(sorted(trio.peers()), ["first", "second"], "peers")
    trio.reload()
    contains(trio.spaces[0].output("ip", "addr", "show", "dev", tunnel.NAME), r"10\.66\.0\.1/24")
    trio.reload(trio.config())
    netns.check("10.66" not in trio.spaces[0].output("ip", "addr", "show", "dev", tunnel.NAME), "address stays")
    contains(trio.reload(), "no difference")


def hangup(scene):
    trio = Trio(scene).start()
    trio.server.write_config(trio.config(trio.first()))
    trio.server.process.send_signal(signal.SIGHUP)
    netns.wait_until(lambda: "event=config_changed" in trio.server.log_text(), 5, "the change")
    contains(trio.server.log_text(), r"event=config_changed .*source=reload added=0 removed=1 changed=0")
    netns.equal(sorted(trio.peers()), ["first"], "peers")
    trio.server.write_config("[Interface]\n")
    trio.server.process.send_signal(signal.SIGHUP)
    netns.wait_until(lambda: "event=config_refused" in trio.server.log_text(), 5, "the refusal")
    contains(trio.server.log_text(), r"event=config_refused .*wan0\.conf:1:1: ")
    tunnel.must_ping(trio.spaces[1], SERVER)


def save_and_show(scene):
    trio = Trio(scene)
    text = trio.config().replace("[Peer]", "# who is this?\n[Peer]", 1) + "# the end\n"
    trio.server.write_config(text, mode=0o400)
    trio.start()
    netns.equal(trio.run("showconf", tunnel.NAME), text, "what is shown before a change")
    contains(trio.run("save", tunnel.NAME), "nothing to save")
    trio.set("peer", "second", "allowed-ips", "+10.44.0.0/16", "endpoint", "[2001:db8::7]:9", "persistent-keepalive", "3",
             "peer", THIRD_ID, "name", "third", "allowed-ips", "10.77.0.0/24")
    shown = trio.run("showconf", tunnel.NAME)
    contains(trio.run("save", "--dry-run", tunnel.NAME), r"\+ peer third", "would be saved")
    netns.equal(trio.server.config.read_text(), text, "the file after a dry run")
    contains(trio.run("save", tunnel.NAME), r"\+ peer third", "saved: 1 peers added, 0 removed, 1 changed")
    saved = trio.server.config.read_text()
    netns.equal(saved, shown, "what is saved and what was shown")
    netns.equal(oct(trio.server.config.stat().st_mode & 0o777), oct(0o400), "permissions")
    contains(saved, "# who is this\\?\n\\[Peer\\]", r"# the end", r"Endpoint = \[2001:db8::7\]:9", "Name = third")
    netns.check(all(line in saved.splitlines() for line in text.splitlines() if "AllowedIPs" not in line),
                "a line of the file is lost")
    contains(trio.reload(), "no difference")
    trio.set("peer", "first", "remove")
    trio.run("save", tunnel.NAME)
    saved = trio.server.config.read_text()
    netns.check("first" not in saved and "who is this" not in saved, f"a removed peer is left in {saved}")
    contains(trio.reload(), "no difference")
    trio.server.config.chmod(0o600)
    # Others than root see no key.
    os.chown(trio.server.path(".admin"), 65534, 65534)
    done = trio.spaces[0].run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", netns.CRYPRQ, "showconf",
                              tunnel.NAME, env=trio.server.env)
    netns.check(trio.server_id.key not in done.stdout and "Name = second" in done.stdout, "what others see")
    # Nor may they change anything.
    for command in (("save",), ("reload",), ("reload", "--dry-run"), ("set", "peer", "second", "remove"),
                    ("syncconf", "/dev/null")):
        name, *rest = command
        done = trio.spaces[0].run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", netns.CRYPRQ, name,
                                  tunnel.NAME, *rest, env=trio.server.env, check_status=False)
        netns.equal(done.returncode, 1, f"exit status of {command} by nobody")
        contains(done.stderr, "only root")
    netns.check("second" in trio.server.cryprq("showconf", tunnel.NAME).stdout, "a peer was removed by nobody")


def killed_after_a_reload(scene):
    """The journal is right after a change of hooks, routes and addresses: kill -9 leaves nothing behind."""
    mark = scene.lab.directory / f"{scene.tag}-hook"
    trio = Trio(scene, PostDown=f"echo old >> {mark}")
    before = trio.spaces[0].snapshot()
    trio.start()
    trio.reload(trio.interface(PostDown=f"echo new >> {mark}", addresses=f"{SERVER}/24, 10.66.0.1/24") + trio.first() +
                trio.second(f"{SECOND}/32, 10.44.0.0/16"))
    trio.server.kill("monitor")
    netns.wait_until(lambda: not trio.server.pids(), 15, "all processes to end")
    netns.equal(trio.server.leftovers()[0], [], "files left")
    netns.equal(mark.read_text(), "new\n", "hooks that ran")
    netns.equal(trio.spaces[0].snapshot(), before, "the machine's side")
    trio.server.process.wait(5)
    trio.scene.nodes.remove(trio.server)


def many_peers(scene):
    """A change among thousands of peers: the node sorts them within its system-call filter."""
    trio = Trio(scene)
    ids = [base64.b64encode(b"\xe0" + i.to_bytes(4, "big") + bytes(27)).decode() for i in range(10000)]
    trio.extra = "".join(tunnel.peer(one, f"10.{100 + i // 65536}.{i // 256 % 256}.{i % 256}/32")
                         for i, one in enumerate(ids))
    trio.options["Table"] = "off"
    trio.server.write_config(trio.config())
    trio.start()
    trio.server.write_config(trio.config(trio.first(), trio.second(PersistentKeepalive=5)))
    start = time.monotonic()
    contains(trio.reload(), "0 added, 0 removed, 1 changed|0 peers added, 0 removed, 1 changed")
    seconds = time.monotonic() - start
    tunnel.must_ping(trio.spaces[1], SERVER)
    netns.check(seconds < 5, f"the reload took {seconds:.2f} s")
    return [f"reload of 10,002 peers with one changed: {seconds:.2f} s"]


CASES = [
    ("reload, set and syncconf of other peers lose no packet", untouched_peers_lose_nothing),
    ("a removed peer's traffic stops at once, its keys are erased, it is told", removed_peer_stops_at_once),
    ("another pre-shared key ends the sessions of its peer alone", secrets),
    ("another private key keeps sessions until new ones are there", another_identity),
    ("what is invalid or fails half-way changes nothing", invalid_files_change_nothing),
    ("a dry run shows the difference and changes nothing", dry_run),
    ("SIGHUP reads the file again", hangup),
    ("showconf and save keep comments and permissions, and load again", save_and_show),
    ("a reload of 10,000 peers with one changed", many_peers),
    ("kill -9 after a reload leaves nothing behind", killed_after_a_reload),
]


def main():
    netns.require(("ip", "ping", "setpriv"))
    tap = netns.Tap()
    with netns.Lab("reload") as lab:
        tunnel.run_cases(lab, tap, CASES, jobs=3)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
