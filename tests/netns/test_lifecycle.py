#!/usr/bin/env python3
"""How an interface comes and goes: nothing is left behind, whoever is killed, and errors are one clear line."""

import base64
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import netns

SERVER_PORT = 51820


class Scene:
    """Two namespaces on one cable; `a` listens, `b` calls it. Made anew for each case."""

    number = 0

    def __init__(self, lab):
        Scene.number += 1
        self.lab = lab
        self.a = lab.namespace(f"{Scene.number}a")
        self.b = lab.namespace(f"{Scene.number}b")
        lab.veth(self.a, "eth0", "192.0.2.1/24 2001:db8::1/64", self.b, "eth0", "192.0.2.2/24 2001:db8::2/64")
        self.ida, self.idb = netns.Identity(), netns.Identity()

    def config_a(self, address="10.8.0.1/24", allowed="10.8.0.2/32", port=SERVER_PORT, **options):
        return (netns.interface(self.ida.key, address, ListenPort=port, **options) +
                netns.peer(self.idb.id, allowed))

    def config_b(self, address="10.8.0.2/24", allowed="10.8.0.1/32", endpoint=f"192.0.2.1:{SERVER_PORT}", **options):
        return (netns.interface(self.idb.key, address, **options) +
                netns.peer(self.ida.id, allowed, Endpoint=endpoint))

    def node_a(self, name="wan0", **options):
        return self.lab.node(self.a, name, self.config_a(**options))

    def node_b(self, name="wan0", **options):
        return self.lab.node(self.b, name, self.config_b(**options))


FULL = {"address": "10.8.0.2/24, fd08::2/64", "allowed": "0.0.0.0/0, ::/0"}


def nothing_left(node, before):
    """Everything is as it was: links, addresses, routes, rules, files, processes."""
    netns.wait_until(lambda: not node.pids(), 15, f"processes of {node.name} to end: {node.pids()}")
    files, processes = node.leftovers()
    netns.equal(files, [], "files left in the run-time directory")
    netns.equal(processes, {}, "processes left")
    after = node.namespace.snapshot()
    netns.equal([line for line in after if line not in before], [], "what is new afterwards")
    netns.equal([line for line in before if line not in after], [], "what is missing afterwards")


def fails_in_one_line(done, *patterns):
    netns.equal(done.returncode, 1, f"exit status with {done.stderr!r}")
    lines = [line for line in done.stderr.splitlines() if line.startswith("cryprq: ")]
    netns.equal(len(lines), 1, f"lines for people in {done.stderr!r}")
    for pattern in patterns:
        netns.check(re.search(pattern, lines[0]), f"{pattern!r} is not in {lines[0]!r}")


# Coming and going


def up_and_down(scene):
    a, b = scene.node_a(), scene.node_b(**FULL)
    before_a, before_b = scene.a.snapshot(), scene.b.snapshot()
    a.up()
    b.up()
    for node in (a, b):
        netns.wait_until(lambda n=node: sorted(n.pids()) == ["keeper", "metrics", "monitor", "node"], 5, "processes")
        netns.equal(node.leftovers()[0], ["wan0.admin", "wan0.pid", "wan0.sock", "wan0.undo"], "files of a running node")
    netns.check(scene.b.ping("10.8.0.1"), "no answer through the tunnel")
    b.down()
    a.down()
    nothing_left(a, before_a)
    nothing_left(b, before_b)


def twenty_times(scene):
    node = scene.node_b(**FULL)
    before = scene.b.snapshot()
    for _ in range(20):
        node.up()
        node.down()
    nothing_left(node, before)


def signals(scene):
    for number in (signal.SIGTERM, signal.SIGINT):
        node = scene.lab.node(scene.b, f"sig{int(number)}", scene.config_b(**FULL))
        before = scene.b.snapshot()
        node.run()
        node.process.send_signal(number)
        netns.equal(node.process.wait(15), 0, f"exit status after {number.name}")
        nothing_left(node, before)


def signal_to_all(scene):
    """As a service manager or a terminal does it: every process of the group gets the signal."""
    node = scene.node_b(**FULL)
    before = scene.b.snapshot()
    node.run()
    for pids in node.pids().values():
        os.kill(pids[0], signal.SIGTERM)
    netns.equal(node.process.wait(15), 0, "exit status")
    nothing_left(node, before)


def peers_are_told(scene):
    a, b = scene.node_a().run(), scene.node_b().run()
    netns.check(scene.b.ping("10.8.0.1"), "no answer through the tunnel")
    a.stop()
    netns.wait_until(lambda: "event=session_closed" in b.log_text(), 3, "the peer to hear of the end")
    b.stop()


def down_without_up(scene):
    node = scene.node_a()
    fails_in_one_line(node.down(check_status=False), "wan0 is not running")


# Killed


def killed(kinds, put_back_by):
    def case(scene):
        node = scene.node_b(PostDown="echo down >> hooks", **FULL)
        before = scene.b.snapshot()
        node.run()
        node.kill(*kinds)
        if put_back_by == "monitor":
            netns.equal(node.process.wait(15), 1, "exit status of the monitor")
            netns.check("cryprq: the node of wan0 ended unexpectedly" in node.log_text(), node.log_text())
        nothing_left(node, before)
        # And it can be started again.
        node.up()
        node.down()
        nothing_left(node, before)
    return case


def killed_keeper(scene):
    node = scene.node_b(**FULL)
    before = scene.b.snapshot()
    node.run()
    node.kill("keeper")
    netns.wait_until(lambda: "keeper" in node.pids(), 5, "another keeper")
    node.kill("monitor")
    nothing_left(node, before)


def kill_all(node):
    pids = node.pids()
    # The keeper first, so that it sees nothing end.
    for kind in ("keeper", "monitor", "node"):
        for pid in pids[kind]:
            os.kill(pid, signal.SIGSTOP)
    for kind in ("keeper", "monitor", "node"):
        for pid in pids[kind]:
            os.kill(pid, signal.SIGKILL)
    netns.wait_until(lambda: not node.pids(), 5, "all processes to end")


def killed_all_then_up(scene):
    node = scene.node_b(PostDown="echo %i >> /$CRYPRQ_RUNTIME_DIR/../hooks", **FULL)
    before = scene.b.snapshot()
    node.run()
    kill_all(node)
    netns.check("wan0.undo" in node.leftovers()[0], "the journal is not there")
    netns.check(scene.b.snapshot() != before, "no rule was left: this case shows nothing")
    node.up()
    netns.equal((node.directory / "hooks").read_text(), "wan0\n", "hooks that ran")
    node.down()
    nothing_left(node, before)


def killed_all_then_down(scene):
    node = scene.node_b(**FULL)
    before = scene.b.snapshot()
    node.run()
    kill_all(node)
    node.down()
    nothing_left(node, before)


def killed_while_starting(scene):
    """A kill at any moment of the start leaves nothing once the keeper is through."""
    node = scene.node_b(PostUp="sleep 0.05", **FULL)
    before = scene.b.snapshot()
    for delay in (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12):
        node.log.unlink(missing_ok=True)
        process = node.start()
        time.sleep(delay)
        for pid in node.pids().get("monitor", []):
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait(5)
        netns.wait_until(lambda: not node.pids(), 15, f"processes to end after {delay} s")
        if node.path(".undo").exists():
            node.down(check_status=False)
    node.up()
    node.down()
    nothing_left(node, before)


# Hooks


def hooks(scene):
    note = scene.lab.directory / f"hooks{Scene.number}"
    commands = {kind: [f"echo {kind}1 %i >> {note}", f"echo {kind}2 >> {note}"]
                for kind in ("PreUp", "PostUp", "PreDown", "PostDown")}
    commands["PostUp"].append(f"ip link show dev %i > /dev/null && ls /proc/self/fd | wc -l >> {note}")
    node = scene.node_b(**commands, **FULL)
    before = scene.b.snapshot()
    node.up()
    node.down()
    nothing_left(node, before)
    # ls has 0, 1, 2 and the directory that it reads.
    netns.equal(note.read_text().split("\n"),
                ["PreUp1 wan0", "PreUp2", "PostUp1 wan0", "PostUp2", "4", "PreDown1 wan0", "PreDown2",
                 "PostDown1 wan0", "PostDown2", ""], "hooks that ran")


def failing_hook(kind):
    def case(scene):
        note = scene.lab.directory / f"hooks{Scene.number}"
        node = scene.node_b(**{kind: "exit 3"}, PostDown=f"echo PostDown >> {note}", **FULL)
        before = scene.b.snapshot()
        fails_in_one_line(node.up(check_status=False), f"{kind} failed: exit 3")
        nothing_left(node, before)
        netns.equal(note.read_text(), "PostDown\n", "hooks that put back")
    return case


def hook_of_killed_node(scene):
    note = scene.lab.directory / f"hooks{Scene.number}"
    node = scene.node_b(PreDown=f"echo PreDown >> {note}", PostDown=f"echo PostDown >> {note}", **FULL)
    before = scene.b.snapshot()
    node.run()
    node.kill("monitor")
    nothing_left(node, before)
    netns.equal(note.read_text(), "PreDown\nPostDown\n", "hooks that the keeper ran")


def interrupted_hook(scene):
    node = scene.node_b(PostUp="sleep 60", **FULL)
    before = scene.b.snapshot()
    process = node.start()
    netns.wait_until(lambda: "event=node_started" in node.log_text(), 10, "the hook to run")
    time.sleep(0.1)
    process.terminate()
    netns.equal(process.wait(10), 1, "exit status")
    nothing_left(node, before)


# Routes and rules


def full_tunnel(scene):
    a = scene.node_a(address="10.8.0.1/24, fd08::1/64", allowed="10.8.0.2/32, fd08::2/128")
    b = scene.node_b(**FULL)
    scene.a.run("ip", "addr", "add", "198.51.100.1/32", "dev", "lo")
    for name in ("all", "default", "eth0"):
        scene.b.sysctl(f"net.ipv4.conf.{name}.rp_filter", 1)
    before = scene.b.snapshot()
    a.run()
    b.run()
    rules = scene.b.output("ip", "-4", "rule")
    for pattern in (r"not from all fwmark 0xca6c lookup 51820", r"not from all fwmark 0xca6c lookup main suppress_prefixlength 0",
                    r"iif lo ipproto udp sport \d+ lookup main"):
        netns.check(re.search(pattern, rules), f"{pattern!r} is not in\n{rules}")
    netns.check("lookup 51820" in scene.b.output("ip", "-6", "rule"), "no rule for IPv6")
    netns.check("default dev wan0" in scene.b.output("ip", "route", "show", "table", "51820"), "no default route")
    netns.check("dev wan0" in scene.b.output("ip", "route", "get", "198.51.100.1"), "traffic does not enter the tunnel")
    netns.check("dev eth0" in scene.b.output("ip", "route", "get", "192.0.2.1"), "the local network is not reachable")
    netns.check(scene.b.ping("198.51.100.1"), "no answer through the tunnel with strict reverse-path filtering")
    netns.check(scene.b.ping("fd08::1"), "no answer by IPv6")
    a.stop()
    b.stop()
    nothing_left(b, before)


def guard(scene):
    """A neighbour on the cable cannot reach the address inside the tunnel; the tunnel and the machine itself can."""
    a = scene.node_a(address="10.8.0.1/24, fd08::1/64", allowed="10.8.0.2/32, fd08::2/128")
    b = scene.node_b(**FULL)
    neighbour = scene.lab.namespace(f"{Scene.number}n")
    scene.lab.veth(neighbour, "eth0", "198.51.100.2/24 2001:db8:5::2/64", scene.b, "eth1",
                   "198.51.100.1/24 2001:db8:5::1/64")
    neighbour.run("ip", "route", "add", "10.8.0.2/32", "via", "198.51.100.1")
    neighbour.run("ip", "route", "add", "fd08::2/128", "via", "2001:db8:5::1")
    for name in ("all", "default", "eth0", "eth1"):
        scene.b.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
    before = scene.b.snapshot()
    a.run()
    b.run()
    if "event=no_guard" in b.log_text():
        b.stop()
        nothing_left(b, before)
        raise netns.Skip("this kernel has no guard")
    netns.check(scene.b.ping("10.8.0.1"), "no answer through the tunnel")
    for address in ("10.8.0.2", "fd08::2"):
        netns.check(scene.a.ping(address), f"{address} does not answer through the tunnel")
        netns.check(scene.b.ping(address), f"{address} does not answer the machine itself")
        netns.check(not neighbour.ping(address, timeout=1), f"{address} answers a neighbour")
    # Without it the neighbour gets an answer: otherwise this case would show nothing.
    b.kill("monitor")
    nothing_left(b, before)
    scene.b.run("ip", "addr", "add", "10.8.0.2/32", "dev", "lo")
    netns.check(neighbour.ping("10.8.0.2"), "the neighbour gets no answer without the guard either")


def table_off_and_number(scene):
    node = scene.node_b(name="off0", allowed="0.0.0.0/0, 10.99.0.0/16", Table="off")
    node.run()
    netns.equal(scene.b.output("ip", "-4", "route", "show", "dev", "off0").split()[0], "10.8.0.0/24", "only the connected route")
    netns.check("51820" not in scene.b.output("ip", "rule"), "rules with Table = off")
    node.stop()
    node = scene.node_b(name="num0", allowed="0.0.0.0/0, 10.99.0.0/16", Table="1234")
    node.run()
    routes = scene.b.output("ip", "route", "show", "table", "1234")
    netns.check("default dev num0" in routes and "10.99.0.0/16 dev num0" in routes, routes)
    netns.check("1234" not in scene.b.output("ip", "rule"), "rules with Table = N")
    node.stop()


def link_settings(scene):
    node = scene.node_b(MTU=1380, allowed="10.8.0.1/32, 10.99.0.0/16")
    node.run()
    link = scene.b.output("ip", "-d", "link", "show", "dev", "wan0")
    netns.check("mtu 1380" in link and "qlen 2000" in link and "gso_max_size 61000" in link, link)
    addresses = scene.b.output("ip", "-o", "addr", "show", "dev", "wan0")
    netns.check("fe80" not in addresses, f"a link-local address was made: {addresses}")
    routes = scene.b.output("ip", "route", "show", "dev", "wan0")
    netns.check("10.99.0.0/16" in routes, routes)
    netns.check("10.8.0.1" not in routes.replace("src 10.8.0.2", ""), f"a route inside the connected one: {routes}")
    node.stop()


def two_interfaces(scene):
    first = scene.lab.node(scene.b, "one0", scene.config_b(**FULL))
    second = scene.lab.node(scene.b, "two0", scene.config_b(address="10.7.0.2/24, fd07::2/64", allowed="0.0.0.0/0, ::/0"))
    start = scene.b.snapshot()
    first.up()
    before_second = scene.b.snapshot()
    second.up()
    rules = scene.b.output("ip", "rule")
    netns.check("lookup 51820" in rules and "lookup 51821" in rules, rules)
    second.down()
    nothing_left(second, before_second)
    second.up()
    first.down()
    netns.check("lookup 51821" in scene.b.output("ip", "rule"), "the rules of the other interface went along")
    second.down()
    nothing_left(second, start)


# Refused


def port_in_use(scene):
    node = scene.node_a()
    before = scene.a.snapshot()
    holder = scene.a.popen(sys.executable, "-c", "import socket, sys\n"
                           "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                           f"s.bind(('0.0.0.0', {SERVER_PORT}))\nprint('bound', flush=True)\nsys.stdin.read()",
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    netns.equal(holder.stdout.readline(), "bound\n", "the port's holder")
    fails_in_one_line(node.up(check_status=False), f"UDP port {SERVER_PORT} is in use")
    nothing_left(node, before)
    holder.stdin.close()
    holder.wait(5)


def name_in_use(scene):
    node = scene.node_a()
    node.up()
    before = scene.a.snapshot()
    fails_in_one_line(node.up(check_status=False), "wan0 is running already")
    netns.equal(scene.a.snapshot(), before, "the running interface")
    node.down()
    other = scene.lab.node(scene.a, "eth0", scene.config_a())
    before = scene.a.snapshot()
    fails_in_one_line(other.up(check_status=False), "there is an interface eth0 already")
    nothing_left(other, before)


def route_in_use(scene):
    node = scene.node_a(allowed="10.8.0.2/32, 10.50.0.0/16")
    scene.a.run("ip", "route", "add", "10.50.0.0/16", "dev", "eth0")
    before = scene.a.snapshot()
    fails_in_one_line(node.up(check_status=False), "cannot add route 10.50.0.0/16: there is a route")
    nothing_left(node, before)


def key_files(scene):
    key = scene.lab.directory / f"key{Scene.number}"
    text = (f"[Interface]\nPrivateKeyFile = {key}\nAddress = 10.8.0.1/24\nListenPort = {SERVER_PORT}\n\n" +
            netns.peer(scene.idb.id, "10.8.0.2/32"))
    node = scene.lab.node(scene.a, "wan0", text)
    before = scene.a.snapshot()
    fails_in_one_line(node.up(check_status=False), "no such file")
    key.write_text(scene.ida.key + "\n")
    key.chmod(0o644)
    fails_in_one_line(node.up(check_status=False), "mode 0644", "chmod 600")
    nothing_left(node, before)
    key.chmod(0o600)
    node.config.chmod(0o644)
    if "accessible" in node.up(check_status=False).stderr:
        node.config.chmod(0o600)
        node.up()
    node.down()
    nothing_left(node, before)


def own_id_as_peer(scene):
    node = scene.lab.node(scene.a, "wan0", netns.interface(scene.ida.key, "10.8.0.1/24") +
                          netns.peer(scene.ida.id, "10.8.0.2/32"))
    before = scene.a.snapshot()
    done = node.up(check_status=False)
    netns.equal(done.returncode, 1, "exit status")
    nothing_left(node, before)


# Names


def unknown_name(scene):
    node = scene.node_b(endpoint=f"nowhere.invalid:{SERVER_PORT}")
    before = scene.b.snapshot()
    start = time.monotonic()
    node.run()
    netns.check(time.monotonic() - start < 5, "waited for the name")
    netns.wait_until(lambda: "event=resolve_failed" in node.log_text(), 25, "the failure to be told")
    start = time.monotonic()
    netns.equal(node.stop(), 0, "exit status")
    netns.check(time.monotonic() - start < 3, "a look-up delayed the end")
    nothing_left(node, before)


def known_name(scene):
    node = scene.node_b(endpoint=f"localhost:{SERVER_PORT}").run()
    netns.wait_until(lambda: re.search(rf"(127\.0\.0\.1|\[::1\]):{SERVER_PORT}", node.cryprq("show", "wan0").stdout), 5,
                     "the name's address")
    node.stop()


# A name server that answers every question for an IPv4 address with its first argument, and others with nothing.
NAME_SERVER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[2], 53))
print("bound", flush=True)
while True:
    q, source = s.recvfrom(512)
    end = q.index(0, 12) + 5
    wanted = q[end - 4:end - 2] == bytes([0, 1])
    answer = q[:2] + bytes([0x81, 0x80, 0, 1, 0, wanted, 0, 0, 0, 0]) + q[12:end]
    if wanted:
        answer += bytes([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]) + socket.inet_aton(sys.argv[1])
    s.sendto(answer, source)
"""


def names_and_full_tunnel(server_first):
    """The name server is reached over the default route, which the tunnel takes."""
    def case(scene):
        def start_server():
            server = scene.a.popen(sys.executable, "-c", NAME_SERVER, "192.0.2.1", "198.51.100.53",
                                   stdout=subprocess.PIPE, text=True)
            netns.equal(server.stdout.readline(), "bound\n", "the name server")
        scene.a.run("ip", "addr", "add", "198.51.100.53/32", "dev", "lo")
        scene.b.run("ip", "route", "add", "default", "via", "192.0.2.1")
        scene.b.use_name_server("198.51.100.53")
        a = scene.node_a().run()
        b = scene.node_b(endpoint=f"vpn.example.org:{SERVER_PORT}", **FULL)
        before = scene.b.snapshot()
        if server_first:
            start_server()
        start = time.monotonic()
        b.run()
        netns.check(time.monotonic() - start < 7, "up waited for the name for too long")
        if not server_first:
            netns.wait_until(lambda: "event=resolve_failed" in b.log_text(), 10, "the failure to be told")
            start_server()
        netns.wait_until(lambda: f"192.0.2.1:{SERVER_PORT}" in b.cryprq("show", "wan0").stdout, 15, "the address")
        netns.check(scene.b.ping("10.8.0.1"), "no answer through the tunnel")
        b.stop()
        a.stop()
        nothing_left(b, before)
    return case


# Confinement and secrets


def mappings_of(pid):
    """(start, end, permissions, name) of each mapping of a process."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split()
        start, end = (int(x, 16) for x in fields[0].split("-"))
        yield start, end, fields[1], fields[-1]


def is_instrumented(pid):
    """Whether a sanitizer is built in (its shadow memory is enormous): such a build has no system-call filter."""
    return any(end - start > 1 << 40 for start, end, *_ in mappings_of(pid))


def confined(scene):
    node = scene.node_a().run()
    pid = node.pids()["node"][0]
    mode = "0" if is_instrumented(pid) else "2"
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    netns.check("0" not in status["Uid"].split(), f"user {status['Uid']}")
    netns.check("0" not in status["Gid"].split(), f"group {status['Gid']}")
    netns.equal(status["Groups"].strip(), "", "supplementary groups")
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    # Where the limit of locked memory cannot be raised (containers), the capability to exceed it is kept.
    memlock = 0 if re.search(r"Max locked memory +unlimited", limits) else 1 << 14
    for name, wanted in {"CapInh": 0, "CapPrm": memlock, "CapEff": memlock, "CapBnd": 0, "CapAmb": 0}.items():
        netns.equal(int(status[name], 16), wanted, name)
    netns.equal(status["NoNewPrivs"].strip(), "1", "NoNewPrivs")
    netns.equal(status["Seccomp"].strip(), mode, "Seccomp")
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        netns.check(f"Seccomp:\t{mode}\n" in (task / "status").read_text(), f"thread {task.name} has no filter")
    netns.equal(os.stat(f"/proc/{pid}/mem").st_uid, 0, "owner of its memory (dumpable)")
    netns.equal(os.listdir(f"/proc/{pid}/root"), [], "files in its root directory")
    netns.check(re.search(r"Max core file size +0 +0 ", limits), limits)
    links = sorted(os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    odd = [link for link in links if link.startswith("/") and link != "/dev/net/tun" and "/dev/null" not in link and
           link != str(node.log)]
    netns.equal(odd, [], "files that it has open")
    node.stop()


def memory_of(pid):
    """All readable memory of a process, but for the shadow of a sanitizer."""
    parts = []
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for start, end, permissions, name in mappings_of(pid):
            if "r" not in permissions or name in ("[vvar]", "[vsyscall]", "[vvar_vclock]") or end - start > 1 << 30:
                continue
            try:
                memory.seek(start)
                parts.append(memory.read(end - start))
            except OSError:
                continue
    return b"\n".join(parts)


def no_secrets_in_memory(scene):
    psk = netns.genpsk()
    config = scene.config_a() + f"PresharedKey = {psk}\n"
    node = scene.lab.node(scene.a, "wan0", config)
    needles = {"private key": scene.ida.key, "pre-shared key": psk}
    for start in (node.run, node.up):
        start()
        for kind, pids in node.pids().items():
            memory = memory_of(pids[0])
            netns.check(b"wan0" in memory, f"cannot read the memory of the {kind}")
            for what, text in needles.items():
                netns.check(text.encode() not in memory, f"{what} as text in the {kind}'s memory")
                raw = base64.b64decode(text)
                if kind != "node" or what == "private key":
                    netns.check(raw not in memory, f"{what} in the {kind}'s memory")
        node.down()


# The cache and the control socket


def damaged_cache(scene):
    a, b = scene.node_a().run(), scene.node_b().run()
    netns.check(scene.b.ping("10.8.0.1"), "no answer through the tunnel")
    b.stop()
    keys = list((b.state / "keys").iterdir())
    netns.equal(len(keys), 1, "files in the cache")
    netns.equal(keys[0].stat().st_mode & 0o777, 0o600, "mode of the file")
    content = bytearray(keys[0].read_bytes())
    content[100] ^= 1
    keys[0].write_bytes(content)
    b.run()
    netns.check("event=cache_damaged" in b.log_text(), b.log_text())
    netns.check(scene.b.ping("10.8.0.1"), "no answer after the key was learned again")
    netns.wait_until(lambda: sorted(p.suffix for p in (b.state / "keys").iterdir()) == [".damaged", ".key"], 3,
                     "both files")
    b.stop()
    b.run()
    netns.check("event=key_learned" not in b.log_text() and scene.b.ping("10.8.0.1"), "the cache was not used")
    netns.check("event=key_learned" not in b.log_text(), "the cache was not used")
    b.stop()
    a.stop()


def control_socket(scene):
    node = scene.node_a().run()
    path = str(node.path(".sock"))
    netns.equal(os.stat(path).st_mode & 0o007, 0, "others' access to the socket")
    silent = []
    for _ in range(40):  # more than are served at once
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        client.settimeout(5)
        silent.append(client)
    netns.check("listening port" in node.cryprq("show", "wan0").stdout, "no answer beside silent clients")
    silent[-1].send(b"nonsense\n")
    answer = silent[-1].recv(4096)
    netns.check(b'"ok":false' in answer.replace(b" ", b""), f"answer {answer!r}")
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.settimeout(5)
    client.send(b"x" * 5000)
    answer = client.recv(4096)
    netns.check(b"too long" in answer or answer == b"", f"answer {answer!r}")
    for client in silent:
        client.close()
    netns.check("listening port" in node.cryprq("show", "wan0").stdout, "no answer afterwards")
    netns.equal(node.stop(), 0, "exit status")


CASES = [
    ("up and down leave nothing behind", up_and_down),
    ("the same twenty times in a row", twenty_times),
    ("SIGTERM and SIGINT end the node orderly", signals),
    ("a signal to all processes ends the node orderly", signal_to_all),
    ("peers are told of the end", peers_are_told),
    ("down without up is refused", down_without_up),
    ("kill -9 of the node: the monitor puts back", killed(["node"], "monitor")),
    ("kill -9 of the monitor: the keeper puts back", killed(["monitor"], "keeper")),
    ("kill -9 of monitor and node: the keeper puts back", killed(["monitor", "node"], "keeper")),
    ("kill -9 of the keeper: another one takes its place", killed_keeper),
    ("kill -9 of all: the next up puts back", killed_all_then_up),
    ("kill -9 of all: down puts back", killed_all_then_down),
    ("kill -9 of the monitor while it starts", killed_while_starting),
    ("hooks run in order, with the name and no descriptors", hooks),
    ("a failing PreUp makes up fail", failing_hook("PreUp")),
    ("a failing PostUp makes up fail", failing_hook("PostUp")),
    ("hooks of a killed node are run by the keeper", hook_of_killed_node),
    ("a signal interrupts a hook", interrupted_hook),
    ("all traffic through the tunnel: rules and reverse-path filter", full_tunnel),
    ("neighbours cannot reach the addresses of a full tunnel", guard),
    ("Table = off and Table = N", table_off_and_number),
    ("MTU, queue, super-packets and routes of the link", link_settings),
    ("two interfaces at once", two_interfaces),
    ("port in use", port_in_use),
    ("name in use", name_in_use),
    ("route in use", route_in_use),
    ("key files that are missing or readable by others", key_files),
    ("our own ID as a peer", own_id_as_peer),
    ("an unknown host name does not fail up", unknown_name),
    ("a host name becomes an endpoint", known_name),
    ("a name is looked up before the tunnel takes all traffic", names_and_full_tunnel(True)),
    ("a name is looked up around a tunnel that takes all traffic", names_and_full_tunnel(False)),
    ("the node is confined", confined),
    ("secrets are in no other process's memory", no_secrets_in_memory),
    ("a damaged cache file is set aside", damaged_cache),
    ("the control socket bears silent and noisy clients", control_socket),
]


def main():
    netns.require()
    wanted = sys.argv[1:]
    tap = netns.Tap()
    with netns.Lab("lifecycle") as lab:
        for title, function in CASES:
            if not wanted or any(word in title for word in wanted):
                tap.case(title, lambda function=function: function(Scene(lab)))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
