"""The C program in network namespaces, and raw peers against it.

A Lab owns two namespaces joined by a veth pair: the program runs in one, Python's sockets live in
the other. Everything it made goes away in close(), which runs on every exit of a `with` block; the
process that starts labs calls remove_lab() for those whose process was killed.
"""

import ctypes
import io
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import cryprq_ref
import handshake
import records
import wire
from tap import Failure, check

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.abspath(os.environ.get("CRYPRQ")
                          or os.path.join(HERE, "..", "..", "build", "cryprq"))

C_IP, P_IP, P_IP2 = "192.0.2.1", "192.0.2.2", "192.0.2.3"
C_IP6, P_IP6 = "2001:db8::1", "2001:db8::2"
C_PORT, P_PORT = 41414, 40000
C_IN, P_IN = "10.77.0.1", "10.77.0.2"
C_IN6, P_IN6 = "fd77::1", "fd77::2"
INNER_C, INNER_P = cryprq_ref.ip_bytes(C_IN), cryprq_ref.ip_bytes(P_IN)
INNER_C6, INNER_P6 = cryprq_ref.ip_bytes(C_IN6), cryprq_ref.ip_bytes(P_IN6)

CLONE_NEWNET = 0x40000000
SO_TIMESTAMPNS = 35
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def missing():
    """Why nothing here can run on this machine, or None."""
    if os.geteuid() != 0:
        return "not root"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    if not os.access(PROGRAM, os.X_OK):
        return f"no program at {PROGRAM} (CRYPRQ)"
    for tool in ("ip", "ping"):
        if not shutil.which(tool):
            return f"no {tool}"
    probe = f"cqprobe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return None if made.returncode == 0 else "no network namespaces"


def die_with_parent():
    """For a child between fork and exec: it must not outlive the process that has to end it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def run(*command, wanted=0, stdin=None, timeout=20):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout,
                          check=False)
    if wanted is not None and done.returncode != wanted:
        raise Failure(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def namespace_names(tag):
    return f"cq{tag}c", f"cq{tag}p"


def directory(tag):
    return os.path.join(tempfile.gettempdir(), f"cryprq-interop-{tag}")


def remove_lab(tag):
    """Removes a lab's directory, its namespaces and what still runs in them: all the lab's."""
    shutil.rmtree(directory(tag), ignore_errors=True)
    for name in namespace_names(tag):
        if os.path.exists(f"/run/netns/{name}"):
            inside = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True,
                                    check=False).stdout.split()
            for pid in inside:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class InNamespace:
    """The calling thread visits a namespace; sockets made there stay there."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if _libc.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(there)

    def __exit__(self, *_):
        _libc.setns(self.home, CLONE_NEWNET)
        os.close(self.home)


# -- processes and their memory -----------------------------------------------------------------

def descendants(pid):
    """pid and all processes below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    parents[int(entry)] = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found = [pid] if pid in parents else []
    for process in found:
        found += [p for p, parent in parents.items() if parent == process]
    return found


def memory_regions(pid):
    """(start, end, permissions, name) of what can hold data: not programs and libraries as they are on disk."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            span, permissions, *rest = line.split(None, 5)
            name = rest[3].strip() if len(rest) > 3 else ""
            if "w" not in permissions and name.startswith("/") and not name.startswith("/memfd:"):
                continue
            if name not in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                low, high = (int(x, 16) for x in span.split("-"))
                yield low, high, permissions, name


class ProcessMemory(io.FileIO):
    """/proc/PID/mem; `failed` says whether a part of the last region could not be read."""

    failed = False


def scan_memory(pids, needles):
    """{name: [(pid, address, region)]} of every needle (name -> bytes) found in the processes.

    Also returns how many bytes were read, and the regions that refused to be read.
    """
    found, num_bytes, refused = {}, 0, []
    for pid in pids:
        with ProcessMemory(f"/proc/{pid}/mem") as memory:
            for low, high, permissions, region in list(memory_regions(pid)):
                if high - low > 1 << 32:
                    refused.append((region, permissions, high - low))
                    continue
                for start, data in _read_region(memory, low, high):
                    num_bytes += len(data)
                    for name, value in needles.items():
                        at = data.find(value)
                        if at >= 0:
                            found.setdefault(name, []).append((pid, start + at, region))
                if memory.failed and "r" in permissions:
                    refused.append((region, permissions, high - low))
    return found, num_bytes, refused


def _read_region(memory, low, high, step=1 << 20):
    """(address, bytes) of the parts that can be read and hold something; parts overlap."""
    memory.failed = False
    while low < high:
        try:
            memory.seek(low)
            data = memory.read(min(high - low, step + 64))
        except OSError:
            memory.failed = True
            data = b""
        if data.strip(b"\0"):
            yield low, data
        low += step


# -- the lab ------------------------------------------------------------------------------------

class Lab:
    """
    lab = Lab(tag)              tag: short and unique; interface and namespaces are named after it
    lab.start(...)              writes a configuration and runs the program with it
    lab.raw(), lab.reference()  peers in the other namespace
    """

    def __init__(self, tag):
        self.tag = str(tag)
        self.ns_c, self.ns_p = namespace_names(self.tag)
        self.ifname = f"cqi{self.tag}"
        assert len(self.ifname) <= 15, self.ifname
        self.dir = directory(self.tag)
        self.c = wire.Identity.generate()       # the C node: its secret is ours to give
        self.p = wire.Identity.generate()
        self.process = None
        self.pids = set()
        self.sockets = []
        self.children = []
        self.psk = None
        self.loop = None

    def __enter__(self):
        try:
            self._make_namespaces()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _make_namespaces(self):
        remove_lab(self.tag)
        os.mkdir(self.dir, 0o700)
        script = f"""netns add {self.ns_c}
netns add {self.ns_p}
link add cqv0 netns {self.ns_c} type veth peer name cqv1 netns {self.ns_p}
"""
        self._ip_batch(None, script)
        for ns, dev, addresses in ((self.ns_c, "cqv0", [f"{C_IP}/24", f"{C_IP6}/64"]),
                                   (self.ns_p, "cqv1", [f"{P_IP}/24", f"{P_IP2}/24",
                                                        f"{P_IP6}/64"])):
            lines = ["link set lo up", f"link set {dev} up"]
            lines += [f"addr add {a} dev {dev}" + (" nodad" if ":" in a else "")
                      for a in addresses]
            self._ip_batch(ns, "\n".join(lines) + "\n")

    def _ip_batch(self, namespace, script):
        command = ["ip"] + (["-n", namespace] if namespace else []) + ["-batch", "-"]
        run(*command, stdin=script)

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            child.stdout.close()
        self.children = []
        self.stop()
        for sock in self.sockets:
            sock.close()
        self.sockets = []
        remove_lab(self.tag)

    # -- the program -----------------------------------------------------------------------------

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="ascii") as file:
            file.write(text)
        return path

    def peer_section(self, identity=None, know_key=True, psk=None, endpoint=None, allowed=None,
                     name="python", **more):
        identity = identity or self.p
        lines = ["[Peer]", f"Name = {name}", f"PeerID = {identity.id_text}"]
        if know_key:
            path = self.write(f"{name}.pub", wire.b64(identity.public) + "\n")
            lines.append(f"PublicKeyFile = {path}")
        if psk:
            lines.append(f"PresharedKey = {wire.b64(psk)}")
        lines.append(f"AllowedIPs = {allowed or f'{P_IN}/32, {P_IN6}/128'}")
        if endpoint:
            host = f"[{endpoint[0]}]" if ":" in endpoint[0] else endpoint[0]
            lines.append(f"Endpoint = {host}:{endpoint[1]}")
        lines += [f"{key} = {value}" for key, value in more.items()]
        return "\n".join(lines) + "\n"

    def start(self, initiates=False, know_key=True, psk=None, suites=None, rotate=None,
              endpoint=None, sections=None, peer_options=None, arguments=None, wait=True):
        """`initiates`: the C node has the Python peer's endpoint. `sections` replaces the peers."""
        self.psk = psk
        if initiates and endpoint is None:
            endpoint = (P_IP, P_PORT)
        lines = ["[Interface]", f"PrivateKey = {wire.b64(self.c.k)}", f"ListenPort = {C_PORT}",
                 f"Address = {C_IN}/24, {C_IN6}/64"]
        if suites:
            lines.append(f"Suites = {suites}")
        if rotate:
            lines.append(f"RotateSecs = {rotate}")
        if sections is None:
            sections = [self.peer_section(know_key=know_key, psk=psk, endpoint=endpoint,
                                          **(peer_options or {}))]
        config = self.write(f"{self.ifname}.conf", "\n".join(lines + [""] + sections))
        self.spawn(arguments or ["run", config], wait)

    def spawn(self, arguments, wait=True, ifname=None):
        """Runs the program in its namespace with a state directory of its own."""
        state = os.path.join(self.dir, "state")
        os.makedirs(state, exist_ok=True)
        self.log_path = os.path.join(self.dir, "stderr")
        script = 'mount --bind "$1" /var/lib 2>/dev/null; shift; exec "$@"'
        with open(self.log_path, "ab") as log:
            # pylint: disable-next=consider-using-with
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.ns_c, "sh", "-c", script, "sh", state, PROGRAM]
                + arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=die_with_parent)
        self.pids.add(self.process.pid)
        if wait:
            self._wait_ready(self.ifname if ifname is None else ifname)

    def _wait_ready(self, ifname, seconds=15):
        """Until the port is bound and the interface has its route."""
        end = time.monotonic() + seconds
        port = f":{C_PORT:04X} "
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failure(f"the program ended with {self.process.returncode}\n{self.log()}")
            try:
                net = f"/proc/{self.process.pid}/net"
                bound = any(port in open(f"{net}/{table}", encoding="ascii").read()
                            for table in ("udp", "udp6"))
                routed = ifname in open(f"{net}/route", encoding="ascii").read()
            except OSError:
                bound = routed = False
            if bound and routed:
                time.sleep(0.1)
                self.pids.update(descendants(self.process.pid))
                return
            time.sleep(0.02)
        raise Failure(f"the program is not ready after {seconds} s\n{self.log()}")

    def processes(self):
        found = descendants(self.process.pid)
        self.pids.update(found)
        return found

    def stop(self, force=False):
        """Ends the program, politely first. Only processes below the one started here are ended."""
        if self.process is None:
            return None
        self.processes()
        code = self.process.poll()
        if code is None:
            self.process.send_signal(signal.SIGKILL if force else signal.SIGTERM)
            try:
                code = self.process.wait(5)
            except subprocess.TimeoutExpired:
                code = None
        for pid in self._left():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        self.pids = set()
        return code

    def _left(self):
        """Our processes that still run: same session as the one started, so no reused number."""
        for pid in self.pids:
            try:
                if os.getsid(pid) == self.process.pid or pid == self.process.pid:
                    os.kill(pid, 0)
                    yield pid
            except (ProcessLookupError, PermissionError):
                continue

    def log(self, lines=40):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except (OSError, AttributeError):
            return ""

    def inside(self, *command, wanted=0, timeout=30):
        return run("ip", "netns", "exec", self.ns_c, *command, wanted=wanted, timeout=timeout)

    def inside_start(self, *command):
        """A command that close() ends where it has not ended by itself."""
        # pylint: disable-next=consider-using-with
        child = subprocess.Popen(["ip", "netns", "exec", self.ns_c, *command],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 preexec_fn=die_with_parent)
        self.children.append(child)
        return child

    def traffic(self, seconds=60, target=P_IN):
        """The C node has packets for the peer all the time from now on."""
        return self.inside_start("ping", "-q", "-n", "-i", "0.5", "-w", str(seconds), target)

    def control(self, *command, wanted=0):
        return self.inside(PROGRAM, *command, wanted=wanted)

    def show(self):
        return json.loads(self.control("show", self.ifname, "json"))

    def counts(self):
        """Every number that `show` knows, as {"path/of/keys": number}."""
        out = {}

        def walk(value, path):
            if isinstance(value, dict):
                for key, inner in value.items():
                    walk(inner, f"{path}/{key}".lower())
            elif isinstance(value, list):
                for number, inner in enumerate(value):
                    walk(inner, f"{path}/{number}")
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                out[path] = value
        walk(self.show(), "")
        return out

    def counted(self, before, *words, at_least=1):
        """Some counter whose path has one of the words grew by at least that much."""
        after = self.counts()
        grown = {path: value - before.get(path, 0) for path, value in after.items()
                 if value > before.get(path, 0)}
        check(any(change >= at_least and any(w in path for w in words)
                  for path, change in grown.items()),
              f"no counter with {words} grew by {at_least}; grown: {grown}")

    # -- peers -----------------------------------------------------------------------------------

    def socket(self, address=(P_IP, P_PORT)):
        """A UDP socket in the peer's namespace."""
        with InNamespace(self.ns_p):
            sock = cryprq_ref.udp_socket(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sockets.append(sock)
        return sock

    def inner_socket(self, port=7777):
        """A UDP socket on the C node's inner address."""
        with InNamespace(self.ns_c):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((C_IN, port))
        self.sockets.append(sock)
        return sock

    def raw(self, address=(P_IP, P_PORT)):
        return Raw(self, self.socket(address))

    def reference(self, address=(P_IP, P_PORT), know_key=True, endpoint=None, **options):
        """(node, peer): an honest node with the C node as its peer; self.loop runs it."""
        self.loop = self.loop or cryprq_ref.UdpLoop()
        node = self.loop.node(self.p, self.socket(address), **options)
        host = C_IP6 if ":" in address[0] else C_IP
        peer = node.add_peer(self.c.id, public=self.c.public if know_key else None, psk=self.psk,
                             endpoint=endpoint or (host, C_PORT), name="c")
        return node, peer

    def wait(self, condition, what, seconds=10.0):
        check(self.loop.run(seconds, until=condition), f"no {what} within {seconds} s")

    def ping_from_c(self, count=3, interval=0.2, deadline=12, target=P_IN):
        """Runs ping in the C node's namespace while the loop runs; returns how many came back."""
        ping = self.inside_start("ping", "-n", "-c", str(count), "-i", str(interval), "-W", "3",
                                 "-w", str(deadline), target)
        self.loop.run(deadline + 5, until=lambda: ping.poll() is not None)
        output = ping.communicate(timeout=10)[0]
        found = re.search(r"(\d+) packets transmitted, (\d+) received", output)
        check(found, f"ping said {output!r}")
        return int(found.group(2))

    def ping_from_python(self, node, peer, count=3, interval=0.1, seconds=10.0):
        """Echo requests of the reference node; returns how many came back."""
        ident = int.from_bytes(os.urandom(2), "big")
        size = len(peer.packets_in)
        for seq in range(count):
            node.send_packet(peer, records.echo_packet(INNER_P, INNER_C, ident, seq, b"interop"),
                             time.monotonic())
            self.loop.run(interval)

        def back():
            echoes = [records.parse_echo(p) for p in peer.packets_in[size:]]
            return {e[2] for e in echoes if e and e[0] and e[1] == ident}
        self.loop.run(seconds, until=lambda: len(back()) == count)
        return len(back())


# -- a peer that does only what the test says ---------------------------------------------------

class Raw:
    """A socket with what came in, stamped by the kernel; the highest layer is bytes."""

    def __init__(self, lab, sock, to=(C_IP, C_PORT)):
        self.lab, self.sock, self.to = lab, sock, to
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setblocking(False)
        self.backlog = []                   # (kernel time, data)
        self.log = []                       # everything ever received
        self.largest_request = 0

    def send(self, data):
        """Handshake messages also set what an answer may weigh."""
        if data and data[0] < wire.DATA:
            self.largest_request = max(self.largest_request, len(data))
        self.sock.sendto(data, self.to)

    def _drain(self):
        while True:
            try:
                data, ancillary, _, source = self.sock.recvmsg(65535, 128)
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            stamp = time.time()
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanos = struct.unpack("qq", value[:16])
                    stamp = seconds + nanos / 1e9
            self.to_seen = source[:2]
            self.backlog.append((stamp, data))
            self.log.append((stamp, data))

    def receive(self, seconds=2.0, want=lambda data: True):
        """The next datagram that `want` likes (others are passed over), or None."""
        end = time.monotonic() + seconds
        while True:
            self._drain()
            while self.backlog:
                self.stamp, data = self.backlog.pop(0)
                if want(data):
                    return data
            left = end - time.monotonic()
            if left <= 0:
                return None
            select.select([self.sock], [], [], left)

    def expect(self, kind, seconds=3.0):
        data = self.receive(seconds, lambda d: d and d[0] == kind)
        if data is None:
            seen = [wire.TYPE_NAMES.get(d[0], d[0]) for _, d in self.log[-6:]]
            raise Failure(f"no {wire.TYPE_NAMES[kind]} within {seconds} s; last: {seen}")
        wire.check_header(data)
        return data

    def silent(self, seconds=0.5, but=()):
        """Nothing comes, except messages of the types in `but`."""
        data = self.receive(seconds, lambda d: not d or d[0] not in but)
        if data is not None:
            raise Failure(f"not silent: {wire.TYPE_NAMES.get(data[0], data[0])}, {len(data)} bytes")

    def collect(self, seconds):
        """All that comes in that time: [(time since the first call's start, data)]."""
        end = time.monotonic() + seconds
        out = []
        while time.monotonic() < end:
            data = self.receive(end - time.monotonic())
            if data is not None:
                out.append((self.stamp, data))
        return out

    def expect_data(self, session, wanted, seconds=2.0):
        """A DATA record of the session with these bytes inside must reach this socket."""
        data = self.receive(seconds, lambda d: session.ours(d) and d[0] == wire.DATA
                            and wanted in session.layer.open(d)[0])
        check(data is not None, f"no DATA here within {seconds} s")

    # -- handshakes ------------------------------------------------------------------------------

    def initiator(self, **options):
        options.setdefault("psk", self.lab.psk or wire.ZERO_PSK)
        return handshake.Initiator(self.lab.p, self.lab.c, **options)

    def take_cookie(self, initiator):
        """The cookie of the COOKIE that must come now for this INIT."""
        message = self.expect(wire.COOKIE)
        return wire.open_cookie(self.lab.c.id, message, initiator.mac1)

    def initiate(self, confirm=True, seconds=3.0, **options):
        """A whole handshake as initiator, with the cookie detour where one is demanded."""
        i = self.initiator(**options)
        self.send(i.init)
        answer = self.receive(seconds, lambda d: d[0] in (wire.REPLY, wire.COOKIE))
        check(answer is not None, f"neither REPLY nor COOKIE within {seconds} s")
        if answer[0] == wire.COOKIE:
            cookie = wire.open_cookie(self.lab.c.id, answer, i.mac1)
            i = self.initiator(cookie=cookie, **options)
            self.send(i.init)
            answer = self.expect(wire.REPLY, seconds)
        self.send(i.read_reply(answer))
        session = RawSession(self, i.read_accept(self.expect(wire.ACCEPT, seconds)), i.idx_i,
                             i.idx_r)
        session.initiator = i
        if confirm:
            session.keepalive()
            session.expect(None)
        return session

    def take_init(self, seconds=5.0):
        """The C node's next INIT, authenticated: a handshake.Responder."""
        r = handshake.Responder(self.lab.p, self.expect(wire.INIT, seconds))
        if r.initiator_id != self.lab.c.id:
            raise Failure("the INIT is not the C node's")
        r.authenticate(self.lab.c, self.lab.psk or wire.ZERO_PSK)
        return r

    def respond(self, seconds=5.0, suite=None, rotate=300, confirm=True):
        """A whole handshake as responder to the C node."""
        r = self.take_init(seconds)
        self.send(r.write_reply(suite or r.choose_suite(wire.ALL_SUITES), rotate))
        keys = r.read_offer(self.expect(wire.OFFER, seconds))
        self.send(r.accept)
        session = RawSession(self, keys, r.idx_r, r.idx_i)
        session.responder = r
        if confirm:
            session.expect(None)
            session.keepalive()
        return session


class RawSession:
    """Records on one session: nothing is sent by itself, nothing is answered."""

    def __init__(self, raw, keys, local_idx, remote_idx):
        self.raw, self.keys = raw, keys
        self.layer = records.RecordLayer(keys, local_idx, remote_idx)
        self.last = None

    def send(self, kind, plaintext, **options):
        record = self.layer.seal(kind, plaintext, **options)
        self.raw.send(record)
        return record

    def keepalive(self, **options):
        return self.send(wire.CONTROL, records.tlv(records.KEEPALIVE), **options)

    def ours(self, data):
        return (len(data) >= wire.RECORD_MIN and data[0] in (wire.DATA, wire.CONTROL)
                and data[4:8] == self.layer.local_idx)

    def receive(self, seconds=2.0):
        """(type, plaintext) of the next record on this session, or None."""
        data = self.raw.receive(seconds, self.ours)
        if data is None:
            return None
        wire.check_header(data)
        plaintext, self.counter = self.layer.open(data)
        return data[0], plaintext

    def expect(self, kind, seconds=3.0):
        """The plaintext of the next record of that type (None: of any)."""
        end = time.monotonic() + seconds
        while True:
            got = self.receive(max(end - time.monotonic(), 0))
            if got is None:
                raise Failure(f"no record of type {kind or 'any'} within {seconds} s")
            if kind in (None, got[0]):
                return got[1]

    def expect_tlv(self, kind, seconds=3.0, value=None):
        end = time.monotonic() + seconds
        while True:
            plaintext = self.expect(wire.CONTROL, max(end - time.monotonic(), 0))
            for found, content in records.parse_tlvs(plaintext):
                if found == kind and value in (None, content):
                    return content

    def no_tlv(self, kind, seconds=0.5):
        end = time.monotonic() + seconds
        while (got := self.receive(max(end - time.monotonic(), 0))) is not None:
            if got[0] == wire.CONTROL and any(k == kind for k, _ in records.parse_tlvs(got[1])):
                raise Failure(f"a control element of type {kind} came")

    def no_data(self, seconds=0.5):
        end = time.monotonic() + seconds
        while (got := self.receive(max(end - time.monotonic(), 0))) is not None:
            if got[0] == wire.DATA:
                raise Failure("DATA came")

    def ping_tlv(self, size=8, seconds=3.0, **options):
        """PING and its PONG."""
        token = os.urandom(8)
        self.send(wire.CONTROL, records.tlv(records.PING, token.ljust(size, b"\0")), **options)
        self.expect_tlv(records.PONG, seconds, token)

    def echo(self, payload=b"interop", seq=1, padding=None, **options):
        """An inner echo request; returns its ident."""
        ident = int.from_bytes(os.urandom(2), "big")
        packet = records.echo_packet(INNER_P, INNER_C, ident, seq, payload)
        plaintext = records.pad16(packet) if padding is None else packet + padding
        self.send(wire.DATA, plaintext, **options)
        return ident

    def expect_echo(self, ident, seconds=3.0):
        end = time.monotonic() + seconds
        while True:
            plaintext = self.expect(wire.DATA, max(end - time.monotonic(), 0))
            echo = records.parse_echo(records.inner_packet(plaintext))
            if echo and echo[0] and echo[1] == ident:
                return plaintext

    def works(self, **options):
        """Traffic passes in both directions."""
        return self.expect_echo(self.echo(**options))


def unique_tag(number):
    """At most 11 characters, unique among the labs of this machine at this time."""
    return f"{os.getpid() % 1000000}x{number}"
