#!/usr/bin/env python3
"""AllowedIPs = 0.0.0.0/0, ::/0: everything goes through the tunnel but the tunnel's own datagrams. TAP.

    client 10.1.0.2 --- 10.1.0.1 router --- server 198.51.100.1
                                                |
                                            internet 203.0.113.9

The client reaches the router alone, by its default route; the router knows the way to the server and refuses what is
meant for the internet, which only the server reaches. So an answer from there has come through the tunnel.
"""

import sys

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4, INNER6

SERVER4, SERVER6 = "198.51.100.1", "2001:db8:100::1"
INTERNET4, INTERNET6 = "203.0.113.9", "2001:db8:113::9"
FETCH_BYTES = 4 << 20


class World:
    def __init__(self, scene):
        self.client, self.router, self.server, self.internet = (scene.namespace(label) for label in "crsi")
        # Routers ask for neighbours from their link-local addresses.
        scene.veth(self.client, "eth0", "10.1.0.2/24 2001:db8:1::2/64 fe80::2/64",
                   self.router, "lan", "10.1.0.1/24 2001:db8:1::1/64 fe80::1/64")
        scene.veth(self.router, "wan", "198.51.100.2/24 2001:db8:100::2/64 fe80::2/64",
                   self.server, "eth0", f"{SERVER4}/24 {SERVER6}/64 fe80::1/64")
        scene.veth(self.server, "eth1", "203.0.113.1/24 2001:db8:113::1/64 fe80::1/64",
                   self.internet, "eth0", f"{INTERNET4}/24 {INTERNET6}/64 fe80::2/64")
        for space in (self.router, self.server):
            for name in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
                space.sysctl(f"net.{name}", 1)
        for space, vias in ((self.client, ("10.1.0.1", "2001:db8:1::1")),
                            (self.server, ("198.51.100.2", "2001:db8:100::2")),
                            (self.internet, ("203.0.113.1", "2001:db8:113::1"))):
            for via in vias:
                self.route(space, "default", via)
        self.route(self.router, "203.0.113.0/24", SERVER4)
        self.route(self.router, "2001:db8:113::/64", SERVER6)
        tunnel.nft(self.router, f"""table inet test {{
            counter tunnel {{ }}
            counter stray {{ }}
            chain forward {{
                type filter hook forward priority 0;
                udp sport {tunnel.PORT} counter name tunnel accept
                udp dport {tunnel.PORT} counter name tunnel accept
                counter name stray drop
            }}
        }}""")
        # The server hides its clients, as such a server does, and forwards for the tunnel only.
        tunnel.nft(self.server, """table inet nat {
            chain post { type nat hook postrouting priority 100; oifname "eth1" masquerade; }
            chain forward { type filter hook forward priority 0; iifname "eth0" drop; }
        }""")

    @staticmethod
    def route(space, target, via):
        space.run("ip", "-6" if ":" in via else "-4", "route", "add", target, "via", via)

    def stray(self):
        return tunnel.counter(self.router, "stray")


def build(scene, endpoint, allowed="0.0.0.0/0, ::/0", **options):
    world = World(scene)
    client, server = tunnel.Identity(), tunnel.Identity()
    config_c = tunnel.interface(client, f"{INNER4[0]}/24, {INNER6[0]}/64", **options) + tunnel.peer(
        server.id, allowed, Endpoint=tunnel.at(endpoint))
    config_s = tunnel.interface(server, f"{INNER4[1]}/24, {INNER6[1]}/64", ListenPort=tunnel.PORT) + tunnel.peer(
        client.id, tunnel.host_routes(INNER4[0], INNER6[0]))
    return world, scene.node(world.client, config_c), scene.node(world.server, config_s)


def register(cases, family):
    endpoint = SERVER6 if family == 6 else SERVER4

    def everything(scene):
        world, c, s = build(scene, endpoint)
        tunnel.must_not_ping(world.client, INTERNET4, 1)
        check(world.stray() > 0, "the world is not as it should be: nothing strays without a tunnel")
        before = world.client.snapshot()
        tunnel.start(c, s)
        stray = world.stray()
        for address in (INTERNET4, INTERNET6, INNER4[1], INNER6[1]):
            tunnel.must_ping(world.client, address, count=2)
        for address in (INTERNET4, INTERNET6):
            tunnel.fetch(world.client, world.internet, address, scene.lab.directory / scene.tag, FETCH_BYTES)
        # The tunnel's own datagrams go by the route that was there before, others to the same address do not.
        mark = tunnel.status(c)["fwmark"]
        check(world.client.snapshot() != before, "nothing changed in the client's routing")
        tunnel.rotate(c)
        tunnel.must_ping(world.client, INTERNET4)
        equal(world.stray(), stray, "packets beside the tunnel")
        route = world.client.output("ip", "route", "get", INTERNET4)
        check(f"dev {c.name}" in route, f"route to the internet: {route}")
        equal(c.stop(), 0, "exit status")
        equal(world.client.snapshot(), before, "routes, rules and links after the end")
        tunnel.must_not_ping(world.client, INTERNET4, 1)
        return [f"fwmark {mark}"]

    def up_down(scene):
        world, c, s = build(scene, endpoint)
        tunnel.start(s)
        before = world.client.snapshot()
        for _ in range(2):
            c.up()
            tunnel.must_ping(world.client, INTERNET4)
            tunnel.must_ping(world.client, INTERNET6)
            c.down()
            equal(world.client.snapshot(), before, "routes, rules and links after down")
        equal(c.leftovers(), ([], {}), "left behind")

    cases.append((f"everything goes through the tunnel, its own datagrams beside it over IPv{family}", everything))
    cases.append((f"up and down twice: rules and routes are gone after down, endpoint over IPv{family}", up_down))


def killed(scene):
    """However the client's processes end, its routes do not stay behind."""
    world, c, s = build(scene, SERVER4)
    tunnel.start(s)
    before = world.client.snapshot()
    tunnel.start(c)
    tunnel.must_ping(world.client, INTERNET4)
    c.kill("monitor", "node")
    netns.wait_until(lambda: world.client.snapshot() == before, 10, "routes and rules to go", step=0.1)


def one_family(scene):
    """0.0.0.0/0 alone leaves IPv6 as it was."""
    world, c, s = build(scene, SERVER4, allowed=f"0.0.0.0/0, {INNER6[1]}/128")
    rules6 = world.client.output("ip", "-6", "rule")
    tunnel.start(c, s)
    tunnel.must_ping(world.client, INTERNET4)
    tunnel.must_ping(world.client, INNER6[1])
    equal(world.client.output("ip", "-6", "rule"), rules6, "rules of IPv6")
    tunnel.must_not_ping(world.client, INTERNET6, 1)


def table_off(scene):
    """Table = off adds no route and no rule: the person does it."""
    world, c, s = build(scene, SERVER4, Table="off")
    rules = world.client.output("ip", "rule")
    tunnel.start(c, s)
    equal(world.client.output("ip", "rule"), rules, "rules")
    tunnel.must_not_ping(world.client, INTERNET4, 1)
    world.client.run("ip", "route", "add", f"{INTERNET4}/32", "dev", c.name)
    tunnel.must_ping(world.client, INTERNET4)


def main():
    netns.require(("ip", "ping", "nft", "curl"))
    tap = netns.Tap()
    cases = []
    for family in (4, 6):
        register(cases, family)
    cases += [
        ("killed with SIGKILL: the routes do not stay", killed),
        ("0.0.0.0/0 alone leaves IPv6 alone", one_family),
        ("Table = off leaves routing to the person", table_off),
    ]
    with netns.Lab("full") as lab:
        tunnel.run_cases(lab, tap, cases)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
