"""Network namespaces, nodes and TAP for the tests of this folder and for the demo (Python 3 standard library only).

    with netns.Lab("lifecycle") as lab:          # removes everything on every way out, signals included
        a, b = lab.namespace("a"), lab.namespace("b")
        lab.veth(a, "eth0", "10.9.0.1/24", b, "eth0", "10.9.0.2/24")
        node = lab.node(a, "wan0", config_text)  # writes DIR/wan0.conf with mode 0600
        node.run()                               # `cryprq run` in the foreground, waits until it is ready
        a.run("ping", "-c1", "10.8.0.2")

Names of namespaces hold this process's PID, so runs do not meet. Only processes started here are ended, by their PID.
"""

import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CRYPRQ = pathlib.Path(os.environ.get("CRYPRQ", ROOT / "build" / "cryprq")).resolve()
SKIP = 77


class Failure(Exception):
    """A check that did not hold; its text goes into the TAP output."""


class Skip(Exception):
    """What one case needs is not there; its text says what."""


# TAP


class Tap:
    """Numbered results on standard output; the plan stands at the end."""

    def __init__(self):
        self.number = 0
        self.failed = 0

    def result(self, good, title, *notes):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {title}", flush=True)
        for note in notes:
            for line in str(note).splitlines():
                print(f"# {line}", flush=True)
        return good

    def case(self, title, function, *arguments):
        """Runs one test function; an exception is its failure."""
        try:
            function(*arguments)
        except Skip as reason:
            self.skip(title, reason)
            return True
        except (Failure, subprocess.SubprocessError, OSError, AssertionError) as error:
            notes = [f"{type(error).__name__}: {error}"]
            for stream in ("stdout", "stderr"):
                if getattr(error, stream, None):
                    notes.append(getattr(error, stream))
            return self.result(False, title, *notes)
        return self.result(True, title)

    def skip(self, title, reason):
        self.number += 1
        print(f"ok {self.number} - {title} # SKIP {reason}", flush=True)

    def finish(self):
        """Prints the plan; the exit status."""
        print(f"1..{self.number}", flush=True)
        return 1 if self.failed else 0


def skip_all(reason):
    print(f"1..0 # SKIP {reason}", flush=True)
    sys.exit(SKIP)


def require(tools=("ip",)):
    """Skips the whole program unless namespaces and TUN can be used here."""
    if os.geteuid() != 0:
        skip_all("needs root")
    if not os.path.exists("/dev/net/tun"):
        skip_all("no /dev/net/tun")
    for tool in tools:
        if shutil.which(tool) is None:
            skip_all(f"needs {tool}")
    if not CRYPRQ.exists():
        skip_all(f"no program at {CRYPRQ}")
    name = f"cqp{os.getpid()}"
    probe = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, timeout=10)
    if probe.returncode != 0:
        skip_all(f"cannot make a network namespace: {probe.stderr.strip()}")
    subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=10)


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(found, wanted, what):
    if found != wanted:
        raise Failure(f"{what}: found {found!r}, wanted {wanted!r}")


def wait_until(condition, seconds, what, step=0.02):
    """Waits until condition() is true and gives its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s in vain: {what}")
        time.sleep(step)


# Processes


def process_state(pid):
    """The state letter of a process ('Z': ended, not waited for), or None."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[0]


def is_alive(pid):
    return process_state(pid) not in (None, "Z", "X")


def environment_of(pid):
    try:
        data = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    return dict(item.split(b"=", 1) for item in data.split(b"\0") if b"=" in item)


# The laboratory


class Namespace:
    def __init__(self, lab, label):
        self.lab = lab
        self.label = label
        self.name = f"cq{os.getpid()}{label}"

    def command(self, *command):
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def run(self, *command, check_status=True, timeout=30, env=None, stdin=None):
        """Runs a program to its end; gives the completed process."""
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, **(env or {})}, input=stdin, cwd=self.lab.directory)
        if check_status and done.returncode != 0:
            raise Failure(f"{self.label}: {' '.join(map(str, command))}: exit {done.returncode}: "
                          f"{(done.stderr or done.stdout).strip()}")
        return done

    def output(self, *command, **options):
        return self.run(*command, **options).stdout

    def popen(self, *command, **options):
        """Starts a program that the laboratory ends at the latest when it closes."""
        env = {**os.environ, **options.pop("env", {})}
        process = subprocess.Popen(self.command(*command), env=env, cwd=self.lab.directory, **options)
        self.lab.processes.append(process)
        return process

    def sysctl(self, name, value):
        # Through the namespace's own view of /proc/sys/net.
        self.run("sh", "-c", f"echo {value} > /proc/sys/{name.replace('.', '/')}")

    def use_name_server(self, address):
        """Programs started here from now on ask this name server (`ip netns exec` puts the file into place)."""
        folder = pathlib.Path("/etc/netns") / self.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(f"nameserver {address}\n")

    def ping(self, address, count=1, timeout=5, size=None):
        """Whether an answer came within timeout seconds."""
        command = ["ping", "-n", "-i", "0.2", "-c", count, "-w", timeout]
        if size is not None:
            command += ["-s", size]
        return self.run(*command, address, check_status=False, timeout=timeout + 5).returncode == 0

    def snapshot(self):
        """Everything that a node may have changed here: links, addresses, routes, rules, nftables."""
        parts = [self.output("ip", "-o", "link"), self.output("ip", "-o", "addr")]
        for family in ("-4", "-6"):
            parts += [self.output("ip", family, "rule"), self.output("ip", family, "route", "show", "table", "all")]
        if shutil.which("nft"):
            parts.append(self.output("nft", "list", "ruleset"))
        parts.append(self.output("cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark"))
        # Lifetimes and caches count by themselves.
        lines = [line for part in parts for line in part.splitlines()]
        return sorted(" ".join(w for w in line.split() if not w.endswith("sec")) for line in lines)


class Node:
    """One interface of the program under test, with run-time and state directories of its own."""

    def __init__(self, namespace, name, config, directory):
        self.namespace = namespace
        self.name = name
        self.directory = directory
        self.runtime = directory / "run"
        self.state = directory / "state"
        self.config = directory / f"{name}.conf"
        self.log = directory / f"{name}.log"
        self.process = None
        self.program = CRYPRQ       # that runs the node
        self.client = CRYPRQ        # that its commands are given with
        self.env = {"CRYPRQ_RUNTIME_DIR": str(self.runtime), "CRYPRQ_STATE_DIR": str(self.state),
                    "CRYPRQ_LOG": "debug"}
        for folder in (self.runtime, self.state):
            folder.mkdir(mode=0o755, exist_ok=True)
        self.state.chmod(0o700)
        if config is not None:
            self.write_config(config)

    def write_config(self, text, mode=0o600):
        self.config.touch(mode=0o600)
        self.config.write_text(text)
        self.config.chmod(mode)

    def cryprq(self, *arguments, check_status=True, timeout=30):
        """A command of the program to its end."""
        return self.namespace.run(self.client, *arguments, env=self.env, check_status=check_status, timeout=timeout)

    def path(self, suffix):
        return self.runtime / f"{self.name}{suffix}"

    def log_text(self):
        return self.log.read_text() if self.log.exists() else ""

    def start(self, *arguments):
        """`cryprq run` without waiting for anything."""
        with self.log.open("ab") as log:
            self.process = self.namespace.popen(self.program, "run", *(arguments or [self.config]), env=self.env,
                                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.process

    def is_ready(self):
        return "event=ready" in self.log_text()

    def run(self, seconds=10):
        """`cryprq run` in the foreground of a process of ours; returns when the interface is ready."""
        self.log.unlink(missing_ok=True)
        process = self.start()

        def ready():
            if process.poll() is not None:
                raise Failure(f"{self.name}: ended with {process.returncode}: {self.log_text().strip()}")
            return self.is_ready()

        wait_until(ready, seconds, f"{self.name} to become ready")
        return self

    def stop(self, seconds=15):
        """SIGTERM; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def up(self, **options):
        return self.cryprq("up", self.config, **options)

    def down(self, **options):
        return self.cryprq("down", self.name, **options)

    def pids(self):
        """PIDs of this node's processes by what they are: monitor, node, keeper (told by their environment)."""
        found = {}
        for folder in pathlib.Path("/proc").iterdir():
            if not folder.name.isdigit() or not is_alive(int(folder.name)):
                continue
            try:
                comm = (folder / "comm").read_text().strip()
            except OSError:
                continue
            if not comm.startswith("cryprq-"):
                continue
            env = environment_of(int(folder.name))
            if env.get(b"CRYPRQ_RUNTIME_DIR") == str(self.runtime).encode():
                found.setdefault(comm.removeprefix("cryprq-"), []).append(int(folder.name))
        return found

    def kill(self, *kinds):
        """kill -9 of the named processes."""
        pids = self.pids()
        victims = [pid for kind in kinds for pid in pids.get(kind, [])]
        check(len(victims) >= len(kinds), f"processes {kinds} of {self.name}: found {pids}")
        # Stopped first, so that none of them notices the end of another and takes leave of its peers.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in victims:
                os.kill(pid, number)
        for pid in victims:
            wait_until(lambda pid=pid: not is_alive(pid), 5, f"{pid} to end")

    def leftovers(self):
        """Files in the run-time directory and processes that are still there."""
        files = sorted(p.name for p in self.runtime.iterdir()) if self.runtime.exists() else []
        return files, self.pids()


class Lab:
    """Owns namespaces, nodes, processes and a temporary directory."""

    def __init__(self, title):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"cryprq-{title}."))
        self.directory.chmod(0o755)
        self.namespaces = []
        self.nodes = []
        self.processes = []
        self.closed = False

    def __enter__(self):
        atexit.register(self.close)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.on_signal)
        return self

    def __exit__(self, *unused):
        self.close()

    def on_signal(self, number, _frame):
        self.close()
        os._exit(128 + number)

    def namespace(self, label):
        namespace = Namespace(self, label)
        subprocess.run(["ip", "netns", "add", namespace.name], check=True, capture_output=True, timeout=10)
        self.namespaces.append(namespace)
        namespace.run("ip", "link", "set", "lo", "up")
        return namespace

    def veth(self, a, a_device, a_addresses, b, b_device, b_addresses, mtu=1500):
        """Joins two namespaces by a cable; addresses are "192.0.2.1/24" or several, separated by spaces."""
        subprocess.run(["ip", "link", "add", a_device, "netns", a.name, "type", "veth", "peer", "name", b_device,
                        "netns", b.name], check=True, capture_output=True, timeout=10)
        for namespace, device, addresses in ((a, a_device, a_addresses), (b, b_device, b_addresses)):
            for address in addresses.split():
                flags = ["nodad"] if ":" in address else []
                namespace.run("ip", "addr", "add", address, "dev", device, *flags)
            # No link-local address comes later by itself, so that snapshots hold only what was done on purpose.
            namespace.run("ip", "link", "set", device, "addrgenmode", "none", "mtu", mtu, "up")
        for namespace, device in ((a, a_device), (b, b_device)):
            wait_until(lambda n=namespace, d=device: "state UP" in n.output("ip", "link", "show", "dev", d), 5,
                       f"{device} to come up")

    def node(self, namespace, name, config=None):
        directory = self.directory / f"{namespace.label}-{name}"
        directory.mkdir(mode=0o755)
        node = Node(namespace, name, config, directory)
        self.nodes.append(node)
        return node

    def close(self):
        if self.closed:
            return
        self.closed = True
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + 5
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait(5)
        for node in self.nodes:
            for pids in node.pids().values():
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "del", namespace.name], capture_output=True, timeout=10)
            shutil.rmtree(pathlib.Path("/etc/netns") / namespace.name, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir("/etc/netns")
        if os.environ.get("CRYPRQ_KEEP_LAB"):
            print(f"# kept {self.directory}", flush=True)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


# Keys and configurations


def genkey():
    return subprocess.run([CRYPRQ, "genkey"], check=True, capture_output=True, text=True, timeout=10).stdout.strip()


def genpsk():
    return subprocess.run([CRYPRQ, "genpsk"], check=True, capture_output=True, text=True, timeout=10).stdout.strip()


def peer_id(key):
    """The 44 characters that other people configure."""
    return subprocess.run([CRYPRQ, "pubkey"], input=key + "\n", check=True, capture_output=True, text=True,
                          timeout=10).stdout.strip()


class Identity:
    def __init__(self):
        self.key = genkey()
        self.id = peer_id(self.key)


def interface(key, address, **options):
    """An [Interface] section; options are its other lines, lists for repeated ones."""
    return section("Interface", PrivateKey=key, Address=address, **options)


def peer(public_id, allowed_ips, **options):
    return section("Peer", PeerID=public_id, AllowedIPs=allowed_ips, **options)


def section(title, **lines):
    text = f"[{title}]\n"
    for name, value in lines.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            text += f"{name} = {item}\n"
    return text + "\n"
