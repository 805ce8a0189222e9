#!/usr/bin/env python3
"""Tunnels of every shape between network namespaces: what goes through, what does not, and which counter says so. TAP.

Arguments: words; only the cases whose titles have one of them run.
"""

import re
import sys
import time

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4, INNER6, OUTER4, OUTER6

CASES = []


def case(title):
    def add(function):
        CASES.append((title, function))
        return function
    return add


def ping_both_families(a, b, count=2):
    for own in (INNER4, INNER6):
        tunnel.must_ping(a.namespace, own[1], count=count)
        tunnel.must_ping(b.namespace, own[0], count=count)


# With nothing but peer IDs


def register_plain(family, suite):
    outer = OUTER6 if family == 6 else OUTER4

    @case(f"first contact with nothing but peer IDs: IPv4 and IPv6 inside, IPv{family} outside, {suite}")
    def plain(scene):
        a, b = tunnel.pair(scene, outer=outer, first={"Suites": suite})
        for node in (a, b):
            equal(tunnel.peer_status(node)["key_known"], False, "public key known beforehand")
        ping_both_families(a, b)
        mine, its = tunnel.peer_status(a), tunnel.peer_status(b)
        equal(mine["session"]["suite"], suite, "suite")
        equal(mine["session"]["id"], its["session"]["id"], "the two session IDs")
        equal((mine["key_known"], its["key_known"]), (True, True), "public keys known")
        equal((mine["latest_as_initiator"], its["latest_as_initiator"]), (True, False), "roles")
        equal(mine["endpoint"], tunnel.at(outer[1]), "the responder's address")
        check(its["endpoint"].startswith(tunnel.at(outer[0], "")), f"learned address: {its['endpoint']}")
        check(mine["tx_packets"] >= 8 and mine["rx_packets"] >= 8, f"packets counted: {mine}")


for _family in (4, 6):
    for _suite in tunnel.SUITES:
        register_plain(_family, _suite)


@case("the responder chooses by its own order of suites")
def suite_order(scene):
    a, b = tunnel.pair(scene, second={"Suites": "chacha20-poly1305, aes-256-gcm"})
    tunnel.must_ping(a.namespace, INNER4[1])
    equal(tunnel.session_of(b)["suite"], "chacha20-poly1305", "suite")


@case("no common suite: no session, counted at the responder")
def no_common_suite(scene):
    a, b = tunnel.pair(scene, first={"Suites": "aes-256-gcm"}, second={"Suites": "chacha20-poly1305"})
    tunnel.must_not_ping(a.namespace, INNER4[1], 2)
    check(tunnel.drops(b, "no_common_suite") > 0, "not counted")
    equal((tunnel.session_of(a), tunnel.session_of(b)), (None, None), "sessions")


# Pre-shared keys


@case("the same pre-shared key on both sides, one of them from a file")
def psk(scene):
    key = netns.genpsk()
    path = scene.lab.directory / f"{scene.tag}.psk"
    path.touch(mode=0o600)
    path.write_text(key + "\n")
    a, b = tunnel.pair(scene, first_peer={"PresharedKey": key}, second_peer={"PresharedKeyFile": path})
    ping_both_families(a, b)
    equal([tunnel.peer_status(n)["has_psk"] for n in (a, b)], [True, True], "has_psk")


def register_wrong_psk(what, first, second):
    @case(f"{what}: no session, and the reason is counted at the responder")
    def wrong_psk(scene):
        a, b = tunnel.pair(scene, first_peer=first(), second_peer=second())
        tunnel.must_not_ping(a.namespace, INNER4[1], 2)
        check(tunnel.drops(b, "decrypt_fresh") > 0, "drop decrypt_fresh is not counted")
        equal(tunnel.peer_status(b)["last_drop"], "decrypt_fresh", "last_drop at the responder")
        equal((tunnel.session_of(a), tunnel.session_of(b)), (None, None), "sessions")


register_wrong_psk("different pre-shared keys", lambda: {"PresharedKey": netns.genpsk()},
                   lambda: {"PresharedKey": netns.genpsk()})
register_wrong_psk("a pre-shared key on one side only", lambda: {"PresharedKey": netns.genpsk()}, dict)


@case("a stranger who knows the peer ID gets no session and is counted as unknown_peer")
def stranger(scene):
    spaces = tunnel.cable(scene)
    server = tunnel.Identity()
    server_config = tunnel.interface(server, f"{INNER4[1]}/24", ListenPort=tunnel.PORT) + tunnel.peer(
        tunnel.Identity().id, f"{INNER4[0]}/32")
    client_config = tunnel.interface(tunnel.Identity(), f"{INNER4[0]}/24") + tunnel.peer(
        server.id, f"{INNER4[1]}/32", Endpoint=tunnel.at(OUTER4[1]))
    a, b = scene.node(spaces[0], client_config), scene.node(spaces[1], server_config)
    tunnel.start(a, b)
    tunnel.must_not_ping(a.namespace, INNER4[1], 2)
    check(tunnel.drops(b, "unknown_peer") > 0, "not counted")
    equal(tunnel.peer_status(b)["session"], None, "session")


# Sizes


def local_refusal(namespace, address, size):
    """ping of that size with "don't fragment": what it says."""
    done = namespace.run("ping", "-n", "-c", 1, "-w", 2, "-M", "do", "-s", size, address, check_status=False)
    return done.returncode, done.stdout + done.stderr


def edges(a, b, mtu, families):
    for own, header in families:
        largest = mtu - header
        for source, target in ((a, own[1]), (b, own[0])):
            status, text = local_refusal(source.namespace, target, largest)
            equal(status, 0, f"ping of {mtu} bytes in all to {target}: {text}")
            status, text = local_refusal(source.namespace, target, largest + 1)
            check(status != 0 and "essage too long" in text, f"{mtu + 1} bytes: status {status}: {text}")
            tunnel.must_ping(source.namespace, target, size=8000)
            for size in (0, 1, 15, 16, 17, largest - 1):
                tunnel.must_ping(source.namespace, target, size=size)
        transfer(a, b, own)


def transfer(a, b, own, num_bytes=4 << 20):
    """A file each way."""
    folder = a.directory / "www"
    tunnel.fetch(a.namespace, b.namespace, own[1], folder, num_bytes)
    tunnel.fetch(b.namespace, a.namespace, own[0], folder, num_bytes)
    for node in (a, b):
        for reason in ("bad_tag", "tun_write", "tun_malformed", "inner_malformed", "inner_too_big"):
            equal(tunnel.drops(node, reason), 0, reason)


FOUR, SIX = (INNER4, 28), (INNER6, 48)


@case("the largest packet of 1420 bytes passes over IPv6, one byte more is refused, 8 kB come in fragments")
def mtu_default(scene):
    a, b = tunnel.pair(scene, outer=OUTER6)
    equal(tunnel.status(a)["mtu"], 1420, "mtu")
    edges(a, b, 1420, (FOUR, SIX))


@case("MTU 1280, both families, over a cable of 1360 bytes")
def mtu_small(scene):
    a, b = tunnel.pair(scene, outer=OUTER6, mtu=1360, first={"MTU": 1280}, second={"MTU": 1280})
    edges(a, b, 1280, (FOUR, SIX))


@case("MTU 576, IPv4 alone")
def mtu_smallest(scene):
    a, b = tunnel.pair(scene, first={"MTU": 576}, second={"MTU": 576}, ipv6=False)
    edges(a, b, 576, (FOUR,))


@case("MTU 8000 over a cable of 9000 bytes")
def mtu_jumbo(scene):
    a, b = tunnel.pair(scene, mtu=9000, first={"MTU": 8000}, second={"MTU": 8000})
    edges(a, b, 8000, (FOUR, SIX))


def register_cable(what, *features):
    @case(f"a cable without {what}: files arrive whole both ways")
    def plain_cable(scene):
        a, b = tunnel.pair(scene, run=False)
        for node in (a, b):
            tunnel.switch_off(node.namespace, "eth0", *features)
        tunnel.start(a, b)
        for own in (INNER4, INNER6):
            transfer(a, b, own)
        stream = tunnel.Stream((a.namespace, b.namespace), INNER4, rate=1000, size=1000)
        stream.go()
        time.sleep(1)
        results = stream.finish()
        check(all(r["missing"] == 0 for r in results), "; ".join(map(tunnel.summary, results)))
        return [f"flags: {' '.join(tunnel.status(a)['flags'])}"]


register_cable("segmentation and receive offloads", "gso", "tso", "gro")
register_cable("checksum offload", "tx-checksum")


@case("the outer header: no DSCP, DF set, ECN copied outwards and CE inwards (RFC 6040)")
def outer_header(scene):
    a, b = tunnel.pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    tunnel.nft(b.namespace, """table inet test {
        counter outer_dscp { }
        counter outer_fragmentable { }
        counter outer_ect { }
        counter inner_dscp { }
        counter inner_ce { }
        chain pre {
            type filter hook prerouting priority -300;
            meta l4proto udp ip dscp != cs0 counter name outer_dscp
            meta l4proto udp ip frag-off & 0x4000 == 0 counter name outer_fragmentable
            meta l4proto udp ip ecn ect0 counter name outer_ect
            meta l4proto icmp ip dscp ef counter name inner_dscp
            meta l4proto icmp ip ecn ce counter name inner_ce
        }
    }""")

    def ping(tos):
        return a.namespace.run("ping", "-n", "-c", 1, "-w", 1, "-Q", tos, INNER4[1], check_status=False).returncode == 0

    def count(name):
        return tunnel.counter(b.namespace, name)

    check(ping(0xba), "no answer")                  # expedited forwarding, ECT(0)
    equal([count(name) for name in ("outer_dscp", "outer_fragmentable", "inner_dscp", "inner_ce")], [0, 0, 1, 0],
          "outer DSCP, outer without DF, inner DSCP, inner CE")
    check(count("outer_ect") >= 1, "ECT(0) is not on the outer header")
    tunnel.nft(b.namespace, """table ip congested {
        chain pre {
            type filter hook prerouting priority -299;
            ip protocol udp ip ecn set ce
        }
    }""")
    check(ping(2) and count("inner_ce") == 1, "congestion seen outside is not told inside")
    check(not ping(0), "a packet that cannot be told of congestion is not dropped")


# Several peers


@case("one node, three peers: packets go by allowed IPs, and from spoke to spoke through the hub")
def several_peers(scene):
    hub_space = scene.namespace("h")
    hub, spokes = tunnel.Identity(), [tunnel.Identity() for _ in range(3)]
    for family in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        hub_space.sysctl(f"net.{family}", 1)
    sections, nodes = [], []
    for i, spoke in enumerate(spokes, 1):
        space = scene.namespace(f"s{'abc'[i - 1]}")
        scene.veth(space, "eth0", f"198.51.{i}.2/24", hub_space, f"eth{i}", f"198.51.{i}.1/24")
        sections.append(tunnel.peer(spoke.id, f"10.88.{i}.0/24, fd88:0:0:{i}::/64", Name=f"spoke{i}"))
        nodes.append(scene.node(space, tunnel.interface(spoke, f"10.88.{i}.1/24, fd88:0:0:{i}::1/64") + tunnel.peer(
            hub.id, "10.88.0.0/16, fd88::/48", Endpoint=tunnel.at(f"198.51.{i}.1"))))
    center = scene.node(hub_space, tunnel.interface(hub, "10.88.0.1/24, fd88::1/64", ListenPort=tunnel.PORT)
                        + "".join(sections))
    tunnel.start(center, *nodes)
    for i, node in enumerate(nodes, 1):
        tunnel.must_ping(node.namespace, "10.88.0.1")
        tunnel.must_ping(center.namespace, f"fd88:0:0:{i}::1")
    before = {p["name"]: p["tx_packets"] for p in tunnel.status(center)["peers"]}
    tunnel.must_ping(center.namespace, "10.88.2.1", count=5)
    after = {p["name"]: p["tx_packets"] for p in tunnel.status(center)["peers"]}
    check(after["spoke2"] >= before["spoke2"] + 5, f"spoke2: {before} {after}")
    equal([after[n] - before[n] for n in ("spoke1", "spoke3")], [0, 0], "packets to the others")
    tunnel.must_ping(nodes[0].namespace, "10.88.3.1")
    tunnel.must_ping(nodes[2].namespace, "fd88:0:0:2::1")


@case("an inner source outside the allowed IPs is dropped and counted (inner_source)")
def inner_source(scene):
    a, b = tunnel.pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    a.namespace.run("ip", "addr", "add", "10.99.0.9/32", "dev", a.name)
    a.namespace.run("ip", "addr", "add", "fd99::9/128", "dev", a.name, "nodad")
    for source, target in (("10.99.0.9", INNER4[1]), ("fd99::9", INNER6[1])):
        before = tunnel.drops(b, "inner_source")
        done = a.namespace.run("ping", "-n", "-c", 3, "-i", "0.2", "-w", 1, "-I", source, target, check_status=False)
        check(done.returncode != 0, f"an answer for {source}")
        check(tunnel.drops(b, "inner_source") >= before + 3, f"inner_source of {source} is not counted")
    tunnel.must_ping(a.namespace, INNER4[1])


@case("a destination outside the allowed IPs of all peers is refused and counted (no_route)")
def no_route(scene):
    a, _ = tunnel.pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    tunnel.must_not_ping(a.namespace, "10.88.0.77", 1)      # in the interface's network, but nobody's
    check(tunnel.drops(a, "no_route") > 0, "not counted")
    tunnel.must_ping(a.namespace, INNER4[1])


# Without a configuration file


@case("run without a file: --key, --listen and --allow-peer there, --peer here")
def without_file(scene):
    spaces = tunnel.cable(scene)
    nodes, ids = [], []
    for space in spaces:
        node = scene.node(space, name="cryprq0")
        identity = tunnel.Identity()
        key = node.directory / "key"
        key.touch(mode=0o600)
        key.write_text(identity.key + "\n")
        nodes.append(node)
        ids.append(identity.id)
    a, b = nodes
    b.start("--key", b.directory / "key", "--listen", tunnel.PORT, "--allow-peer", ids[0], "--address",
            f"{INNER4[1]}/24", "--address", f"{INNER6[1]}/64")
    a.start("--key", a.directory / "key", "--peer", f"{ids[1]}@{tunnel.at(OUTER6[1])}", "--address", f"{INNER4[0]}/24",
            f"--address={INNER6[0]}/64", "--rotate-secs", 120)
    for node in nodes:
        tunnel.wait_ready(node)
    ping_both_families(a, b)
    equal(tunnel.status(a)["rotate_secs"], 120, "rotate_secs")
    equal(a.stop(), 0, "exit status")
    equal(b.stop(), 0, "exit status")
    for node in nodes:
        equal(node.leftovers()[0], [], "files left")


# Names


def hosts_file(namespace):
    """/etc/hosts of this namespace alone, as `ip netns exec` does it; removed with the laboratory."""
    folder = netns.pathlib.Path("/etc/netns") / namespace.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "hosts"
    path.write_text("127.0.0.1 localhost\n")
    return path


def remove_hosts(path):
    path.unlink(missing_ok=True)
    path.parent.rmdir()
    try:
        path.parent.parent.rmdir()
    except OSError:
        pass                    # others have theirs there


@case("an endpoint that is a name; one that is unknown at first is asked for again")
def names(scene):
    spaces = tunnel.cable(scene)
    path = hosts_file(spaces[0])
    try:
        config_a, config_b = tunnel.pair_configs(first_peer={"Endpoint": f"far.test:{tunnel.PORT}"})
        a, b = scene.node(spaces[0], config_a), scene.node(spaces[1], config_b)
        tunnel.start(a, b)
        tunnel.must_not_ping(a.namespace, INNER4[1], 1)
        netns.wait_until(lambda: "event=resolve_failed" in a.log_text(), 20, "resolve_failed in the log")
        with path.open("a") as file:
            file.write(f"{OUTER4[1]} far.test\n")
        tunnel.must_ping(a.namespace, INNER4[1], seconds=30)
        equal(tunnel.peer_status(a)["endpoint"], tunnel.at(OUTER4[1]), "endpoint")
        a.stop()
        tunnel.start(a)
        tunnel.must_ping(a.namespace, INNER4[1])
    finally:
        remove_hosts(path)


# Keepalive, NAT, roaming, loss


@case("PersistentKeepalive makes a session without traffic and keeps sending")
def persistent_keepalive(scene):
    a, b = tunnel.pair(scene, run=False, first_peer={"PersistentKeepalive": 1})
    tunnel.nft(b.namespace, f"""table inet test {{
        counter small {{ }}
        chain input {{ type filter hook input priority 0; udp dport {tunnel.PORT} udp length 8-60 counter name small; }}
    }}""")
    tunnel.start(a, b)
    netns.wait_until(lambda: tunnel.session_of(b), 8, "a session without traffic")
    before = tunnel.counter(b.namespace, "small")
    time.sleep(4.2)
    sent = tunnel.counter(b.namespace, "small") - before
    check(3 <= sent <= 6, f"{sent} small datagrams in 4.2 s")
    equal(tunnel.peer_status(a)["persistent_keepalive"], 1, "persistent_keepalive")


def behind_nat(scene):
    inside, router, outside = (scene.namespace(label) for label in ("i", "r", "o"))
    scene.veth(inside, "eth0", "10.1.0.2/24", router, "lan", "10.1.0.1/24")
    scene.veth(router, "wan", "203.0.113.1/24", outside, "eth0", "203.0.113.9/24")
    router.sysctl("net.ipv4.ip_forward", 1)
    inside.run("ip", "route", "add", "default", "via", "10.1.0.1")
    tunnel.nft(router, """table ip nat {
        chain post { type nat hook postrouting priority 100; oifname "wan" masquerade; }
    }""")
    config_a, config_b = tunnel.pair_configs(outer=("10.1.0.2", "203.0.113.9"))
    return scene.node(inside, config_a), scene.node(outside, config_b), router


@case("a peer behind NAT; when its public address changes, the tunnel follows")
def nat(scene):
    a, b, router = behind_nat(scene)
    tunnel.start(a, b)
    tunnel.must_ping(a.namespace, INNER4[1])
    tunnel.must_ping(b.namespace, INNER4[0])
    first = tunnel.peer_status(b)["endpoint"]
    check(first.startswith("203.0.113.1:"), f"endpoint at the responder: {first}")
    session = tunnel.session_of(b)["id"]
    router.run("ip", "addr", "add", "203.0.113.7/24", "dev", "wan")
    router.run("ip", "addr", "del", "203.0.113.1/24", "dev", "wan")
    router.run("ip", "addr", "add", "203.0.113.7/24", "dev", "wan", check_status=False)
    tunnel.must_ping(a.namespace, INNER4[1])
    netns.wait_until(lambda: tunnel.peer_status(b)["endpoint"].startswith("203.0.113.7:"), 5, "the new address")
    tunnel.must_ping(b.namespace, INNER4[0])
    equal(tunnel.session_of(b)["id"], session, "the session")


def move(space, old, new):
    space.run("ip", "addr", "add", f"{new}/24", "dev", "eth0")
    space.run("ip", "addr", "del", f"{old}/24", "dev", "eth0")
    # Where the old one was the primary address, the new one went with it.
    space.run("ip", "addr", "add", f"{new}/24", "dev", "eth0", check_status=False)


@case("the initiator's address changes: the session goes on from the new one")
def initiator_moves(scene):
    a, b = tunnel.pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    session = tunnel.session_of(b)["id"]
    move(a.namespace, OUTER4[0], "192.0.2.77")
    tunnel.must_ping(a.namespace, INNER4[1], seconds=5)
    tunnel.must_ping(b.namespace, INNER4[0], seconds=5)
    netns.wait_until(lambda: tunnel.peer_status(b)["endpoint"].startswith("192.0.2.77:"), 5, "the new address")
    equal(tunnel.session_of(b)["id"], session, "the session")


@case("the responder's address changes: the session goes on once it sends")
def responder_moves(scene):
    a, b = tunnel.pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    session = tunnel.session_of(a)["id"]
    move(b.namespace, OUTER4[1], "192.0.2.99")
    tunnel.must_ping(b.namespace, INNER4[0], seconds=5)
    netns.wait_until(lambda: tunnel.peer_status(a)["endpoint"].startswith("192.0.2.99:"), 5, "the new address")
    tunnel.must_ping(a.namespace, INNER4[1], seconds=5)
    equal(tunnel.session_of(a)["id"], session, "the session")


@case("a cable that is cut at the start, and again later")
def cable_cut(scene):
    a, b = tunnel.pair(scene, run=False)
    a.namespace.run("ip", "link", "set", "eth0", "down")
    tunnel.start(a, b)
    tunnel.must_not_ping(a.namespace, INNER4[1], 1)
    a.namespace.run("ip", "link", "set", "eth0", "up")
    tunnel.must_ping(a.namespace, INNER4[1], seconds=12)
    session = tunnel.session_of(a)["id"]
    b.namespace.run("ip", "link", "set", "eth0", "down")
    tunnel.must_not_ping(b.namespace, INNER4[0], 1)
    b.namespace.run("ip", "link", "set", "eth0", "up")
    tunnel.must_ping(b.namespace, INNER4[0], seconds=5)
    equal(tunnel.session_of(a)["id"], session, "the session")


@case("20 % of all datagrams lost in both directions: the tunnel comes up and rotates")
def loss(scene):
    a, b = tunnel.pair(scene, run=False)
    for node in (a, b):
        tunnel.nft(node.namespace, """table inet test {
            counter lost { }
            chain input {
                type filter hook input priority 0;
                meta l4proto udp numgen random mod 100 < 20 counter name lost drop
            }
        }""")
    tunnel.start(a, b)
    tunnel.must_ping(a.namespace, INNER4[1], seconds=30)
    first = tunnel.session_of(a)["id"]
    tunnel.rotate(a)
    tunnel.must_ping(a.namespace, INNER4[1], count=1, seconds=10)
    done = a.namespace.run("ping", "-n", "-q", "-i", "0.05", "-c", 60, "-w", 8, INNER4[1], check_status=False)
    sent, answered = (int(n) for n in re.search(r"(\d+) packets transmitted, (\d+) received", done.stdout).groups())
    check(answered >= sent // 3, f"{answered} of {sent} echoes, where 64 % are to be expected")
    check(tunnel.session_of(a)["id"] != first, "the same session after rotate")
    lost = [tunnel.counter(node.namespace, "lost") for node in (a, b)]
    check(min(lost) > 0, f"nothing was lost: {lost}")
    return [f"{answered} of {sent} echoes, {lost} datagrams lost"]


# Other ways of beginning


@case("both sides call each other at the same moment")
def both_call(scene):
    a, b = tunnel.pair(scene, first={"ListenPort": tunnel.PORT}, second_peer={"Endpoint": tunnel.at(OUTER4[0])})
    pings = [node.namespace.popen("ping", "-n", "-c", 1, "-w", 8, target, stdout=netns.subprocess.DEVNULL)
             for node, target in ((a, INNER4[1]), (b, INNER4[0]))]
    equal([ping.wait(10) for ping in pings], [0, 0], "exit statuses of ping")


@case("packets that wait for the first session are not lost")
def staged(scene):
    a, b = tunnel.pair(scene)
    done = a.namespace.run("ping", "-n", "-q", "-i", "0.002", "-c", 20, "-w", 8, INNER4[1])
    check(" 0% packet loss" in done.stdout, done.stdout)
    equal(tunnel.peer_status(b)["responded"], 1, "handshakes")


@case("a public key that is there as a file is not asked for")
def keys_from_files(scene):
    spaces = tunnel.cable(scene)
    one, two = tunnel.Identity(), tunnel.Identity()
    paths = {}
    for name, identity in (("one", one), ("two", two)):
        paths[name] = scene.lab.directory / f"{scene.tag}-{name}.pub"
        done = netns.subprocess.run([netns.CRYPRQ, "pubkey", "--full"], input=identity.key + "\n", text=True, check=True,
                                    capture_output=True, timeout=10)
        paths[name].write_text(done.stdout)
    # KEY_REQUEST, KEY_RESPONSE and KEY_PUSH are types 6 to 8, the first byte after the UDP header.
    for space in spaces:
        tunnel.nft(space, """table inet test {
            counter keys { }
            chain input { type filter hook input priority 0; udp length > 8 @th,64,8 6-8 counter name keys; }
        }""")
    a = scene.node(spaces[0], tunnel.interface(one, f"{INNER4[0]}/24") + tunnel.peer(
        two.id, f"{INNER4[1]}/32", Endpoint=tunnel.at(OUTER4[1]), PublicKeyFile=paths["two"]))
    b = scene.node(spaces[1], tunnel.interface(two, f"{INNER4[1]}/24", ListenPort=tunnel.PORT) + tunnel.peer(
        one.id, f"{INNER4[0]}/32", PublicKeyFile=paths["one"]))
    tunnel.start(a, b)
    tunnel.must_ping(a.namespace, INNER4[1])
    equal(tunnel.counter(spaces[0], "keys"), 0, "key messages towards the initiator")
    # A KEY_PUSH may come: the initiator cannot know what the responder has.
    check(tunnel.counter(spaces[1], "keys") <= 1, "a key was asked for")


@case("a path that takes less than 1500 is found; TCP and large packets go on through it")
def path_mtu(scene):
    """A router between the two whose far link takes 1400 bytes, and that says nothing about it."""
    a, router, b = (scene.namespace(label) for label in "arb")
    scene.veth(a, "eth0", "192.0.2.1/24", router, "eth0", "192.0.2.254/24")
    scene.veth(router, "eth1", "198.51.100.254/24", b, "eth0", "198.51.100.1/24")
    router.sysctl("net.ipv4.ip_forward", 1)
    a.run("ip", "route", "add", "default", "via", "192.0.2.254")
    b.run("ip", "route", "add", "default", "via", "198.51.100.254")
    for rule in ("add table ip quiet", "add chain ip quiet out { type filter hook output priority 0; }",
                 "add rule ip quiet out icmp type destination-unreachable drop"):
        router.run("nft", *rule.split(" ", 3))
    configs = tunnel.pair_configs(outer=("192.0.2.1", "198.51.100.1"))
    nodes = [scene.node(space, config) for space, config in zip((a, b), configs)]
    tunnel.start(*nodes)
    tunnel.must_ping(a, INNER4[1], size=1392)
    equal(tunnel.peer_status(nodes[0])["path_mtu"], 1480, "path MTU at first")
    router.run("ip", "link", "set", "eth1", "mtu", 1400)
    began = time.monotonic()
    tunnel.fetch(b, a, INNER4[0], scene.lab.directory / f"{scene.tag}-file", 8 << 20)
    seconds = time.monotonic() - began
    netns.wait_until(lambda: 1392 < tunnel.peer_status(nodes[0])["path_mtu"] <= 1400, 20, "the path MTU")
    netns.wait_until(lambda: "event=path_mtu" in nodes[0].log_text(), 20, "path_mtu in the log")
    check("path mtu: 1" in nodes[0].cryprq("show").stdout, "`cryprq show` does not print it")
    # Whoever sends too much is told; what fits arrives.
    a.run("ping", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1392", INNER4[1], check_status=False)
    route = a.output("ip", "route", "get", INNER4[1])
    check(" mtu 13" in route, f"the kernel was not told what fits: {route}")
    tunnel.must_ping(a, INNER4[1], size=1300)
    check(tunnel.drops(nodes[0], "path_mtu") > 0, "no path_mtu among the drops")
    return [f"8 MB through TCP in {seconds:.1f} s after the change"]


def main():
    netns.require(("ip", "ping", "nft", "curl"))
    tap = netns.Tap()
    with netns.Lab("tunnel") as lab:
        tunnel.run_cases(lab, tap, CASES)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
