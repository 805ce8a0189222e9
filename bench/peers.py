"""Tunnels of other programs, to compare with: each as its documentation sets up two ends, with the MTU that ours has.

They come from Debian's packages, unpacked by scripts/peers.sh below build/peers; nothing of them is installed. What they
write (keys, certificates, configuration) stays in the scene's directory.
"""

import os
import secrets
import socket
import subprocess
import time

import netns
import tunnel
from bench import tools, x25519
from bench.links import MTU, SECONDS_TO_START, Link

NAMES = ("wireguard-go", "openvpn", "fastd", "nebula")
PORT = 51900
QUEUE = 2000                    # of the interface, as CrypRQ and others set it themselves


def fetch(names):
    """Downloads and unpacks what is not there yet."""
    done = subprocess.run([tools.ROOT / "scripts" / "peers.sh", *names], check=False)
    if done.returncode != 0:
        raise tools.Missing("the packages to compare with could not be fetched")


def version(name):
    return (tools.PEERS / name / "VERSION").read_text(encoding="ascii").strip()


class Peer:
    """One program of a package, run in the namespaces of a scene."""

    def __init__(self, name, scene):
        self.root = tools.PEERS / name / "root"
        self.scene = scene
        self.spaces = tunnel.cable(scene)
        self.directory = scene.lab.directory / f"{name}-{scene.tag}"
        self.directory.mkdir()
        self.logs = []

    def program(self, *names):
        for name in names:
            if (self.root / name).exists():
                return self.root / name
        raise tools.Missing(f"{names[0]} is not in the package")

    def env(self):
        libraries = [self.root / folder / f"{os.uname().machine}-linux-gnu" for folder in ("usr/lib", "lib")]
        return {"LD_LIBRARY_PATH": ":".join(str(folder) for folder in libraries if folder.is_dir())}

    def start(self, end, *command, env=None):
        """Starts one end; gives the process, which `ip netns exec` has become by the time that it answers."""
        path = self.directory / f"{end}.log"
        self.logs.append(path)
        with path.open("ab") as log:
            return self.spaces[end].popen(*command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env={**self.env(), **(env or {})})

    def wait_for(self, process, condition, what):
        def held():
            if process.poll() is not None:
                raise netns.Failure(f"{what}: ended with {process.returncode}: {self.log_tail()}")
            return condition()

        netns.wait_until(held, SECONDS_TO_START, what)

    def log_tail(self):
        return " | ".join(line for path in self.logs for line in path.read_text(errors="replace").splitlines()[-4:])

    def wait_for_device(self, process, end, device):
        self.wait_for(process, lambda: self.spaces[end].run("ip", "link", "show", "dev", device,
                                                            check_status=False).returncode == 0, f"{device} to appear")

    def configure_device(self, end, device, mtu=MTU):
        space = self.spaces[end]
        space.run("ip", "link", "set", device, "mtu", mtu, "txqueuelen", QUEUE, "up")
        space.run("ip", "addr", "replace", f"{tunnel.INNER4[end]}/24", "dev", device)

    def link(self, processes):
        return Link(self.spaces, tunnel.INNER4, pids=tuple((process.pid,) for process in processes))


def wireguard_go(scene):
    peer = Peer("wireguard-go", scene)
    keys = [secrets.token_bytes(32) for _ in (0, 1)]
    processes = []
    for end in (0, 1):
        # Its control sockets are in one folder for the whole machine, whatever the namespace.
        device = f"cqb{os.getpid() % 100000}{scene.tag[:3]}{end}"
        process = peer.start(end, peer.program("usr/bin/wireguard-go"), "-f", device,
                             env={"LOG_LEVEL": "error", "WG_PROCESS_FOREGROUND": "1"})
        control = f"/var/run/wireguard/{device}.sock"
        peer.wait_for(process, lambda path=control: os.path.exists(path), "wireguard-go's control socket")
        lines = [f"private_key={keys[end].hex()}", f"listen_port={PORT}",
                 f"public_key={x25519.multiply(keys[1 - end]).hex()}",
                 f"endpoint={tunnel.OUTER4[1 - end]}:{PORT}", f"allowed_ip={tunnel.INNER4[1 - end]}/32"]
        answer = tell_wireguard(control, lines)
        netns.check("errno=0" in answer, f"wireguard-go: {answer.strip()}")
        peer.configure_device(end, device)
        processes.append(process)
    return peer.link(processes)


def tell_wireguard(path, lines):
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(5)
        control.connect(path)
        control.sendall("\n".join(["set=1", *lines, "", ""]).encode())
        return control.recv(4096).decode()


def make_certificate(peer, name):
    """A self-signed one; (key file, certificate file, fingerprint)."""
    tools.need("openssl")
    key, certificate = peer.directory / f"{name}.key", peer.directory / f"{name}.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True, timeout=20)
    text = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"], check=True,
                          capture_output=True, text=True, timeout=20).stdout
    return key, certificate, text.strip().rpartition("=")[2]


def openvpn(scene):
    peer = Peer("openvpn", scene)
    ends = [make_certificate(peer, f"end{end}") for end in (0, 1)]
    processes = []
    for end in (0, 1):
        key, certificate, _ = ends[end]
        roles = ["--tls-client", "--remote", tunnel.OUTER4[1]] if end == 0 else ["--tls-server", "--dh", "none"]
        processes.append(peer.start(
            end, peer.program("usr/sbin/openvpn"), "--dev", "tun0", "--dev-type", "tun", "--disable-dco",
            "--proto", "udp4", "--port", PORT, *roles, "--key", key, "--cert", certificate,
            "--peer-fingerprint", ends[1 - end][2], "--data-ciphers", "AES-256-GCM", "--cipher", "AES-256-GCM",
            "--ifconfig", tunnel.INNER4[end], tunnel.INNER4[1 - end], "--tun-mtu", MTU, "--txqueuelen", QUEUE,
            "--sndbuf", 0, "--rcvbuf", 0, "--keepalive", 10, 60, "--verb", 1))
    for end in (0, 1):
        peer.wait_for_device(processes[end], end, "tun0")
    return peer.link(processes)


def fastd(scene):
    peer = Peer("fastd", scene)
    program = peer.program("usr/bin/fastd")

    def ask(*arguments, text=None):
        return subprocess.run([program, *arguments], input=text, check=True, capture_output=True, text=True, timeout=20,
                              env={**os.environ, **peer.env()}).stdout.strip()

    keys = [ask("--generate-key", "--machine-readable") for _ in (0, 1)]
    public = []
    for end in (0, 1):
        config = peer.directory / f"secret{end}.conf"
        config.write_text(f'secret "{keys[end]}";\n', encoding="ascii")
        public.append(ask("--config", config, "--show-key", "--machine-readable"))
    processes = []
    for end in (0, 1):
        config = peer.directory / f"fastd{end}.conf"
        remote = f'  remote {tunnel.OUTER4[1]}:{PORT};\n' if end == 0 else ""
        config.write_text(
            f'log level warn;\nmode tun;\ninterface "tun0";\nmtu {MTU};\nmethod "salsa2012+umac";\n'
            f'bind {tunnel.OUTER4[end]}:{PORT};\nsecret "{keys[end]}";\n'
            f'peer "other" {{\n  key "{public[1 - end]}";\n{remote}}}\n', encoding="ascii")
        processes.append(peer.start(end, program, "--config", config))
    for end in (0, 1):
        peer.wait_for_device(processes[end], end, "tun0")
        peer.configure_device(end, "tun0")
    return peer.link(processes)


NEBULA = """pki: {{ca: {folder}/ca.crt, cert: {folder}/end{end}.crt, key: {folder}/end{end}.key}}
static_host_map: {{"{other}": ["{remote}:{port}"]}}
lighthouse: {{am_lighthouse: false, hosts: []}}
listen: {{host: "{own}", port: {port}, batch: 64, read_buffer: 10485760, write_buffer: 10485760}}
punchy: {{punch: false}}
tun: {{dev: tun0, mtu: {mtu}, tx_queue: {queue}}}
logging: {{level: warning}}
firewall:
  outbound: [{{port: any, proto: any, host: any}}]
  inbound: [{{port: any, proto: any, host: any}}]
"""


def nebula(scene):
    peer = Peer("nebula", scene)
    certify = peer.program("usr/bin/nebula-cert")

    def run(*arguments):
        subprocess.run([certify, *arguments], check=True, capture_output=True, timeout=20, cwd=peer.directory,
                       env={**os.environ, **peer.env()})

    run("ca", "-name", "benchmark", "-duration", "48h")
    processes = []
    for end in (0, 1):
        run("sign", "-name", f"end{end}", "-ip", f"{tunnel.INNER4[end]}/24")
    # It asks for the real clock in its certificates.
    time.sleep(1.1)
    for end in (0, 1):
        config = peer.directory / f"end{end}.yml"
        config.write_text(NEBULA.format(folder=peer.directory, end=end, other=tunnel.INNER4[1 - end],
                                        remote=tunnel.OUTER4[1 - end], own=tunnel.OUTER4[end], port=PORT, mtu=MTU,
                                        queue=QUEUE), encoding="ascii")
        processes.append(peer.start(end, peer.program("usr/bin/nebula"), "-config", config))
    for end in (0, 1):
        peer.wait_for_device(processes[end], end, "tun0")
    return peer.link(processes)


OPENERS = {"wireguard-go": wireguard_go, "openvpn": openvpn, "fastd": fastd, "nebula": nebula}
