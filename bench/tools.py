"""Where things are, and the programs that the benchmarks use: this package's own, and those of the system."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUTPUT = pathlib.Path(os.environ.get("CRYPRQ_BENCHMARK_DIR") or ROOT / "build" / "benchmark").resolve()
PEERS = ROOT / "build" / "peers"
LOAD = ROOT / "bench" / "load.c"
CONGESTION = pathlib.Path("/proc/sys/net/ipv4/tcp_available_congestion_control")

# What has been started and not been waited for; the laboratory ends it.
PROCESSES = []


class Missing(Exception):
    """Something that is needed is not there; the text says what, and what to do."""


def python(module):
    """The command for a module of this package as a program of its own."""
    return [sys.executable, "-B", "-m", module]


def python_env():
    return {"PYTHONPATH": str(ROOT)}


def need(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise Missing(f"{', '.join(missing)} not found: scripts/setup.sh installs what the benchmarks need")


def load():
    """The traffic generator, built when its source has changed."""
    digest = hashlib.sha256(LOAD.read_bytes()).hexdigest()[:16]
    program = OUTPUT / "tools" / f"load-{digest}"
    if not program.exists():
        compiler = os.environ.get("CC", "cc")
        need(compiler.split()[0])
        program.parent.mkdir(parents=True, exist_ok=True)
        new = program.with_suffix(f".{os.getpid()}")
        command = [*compiler.split(), "-O2", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wconversion", "-Wshadow",
                   "-Wvla", "-o", str(new), str(LOAD), "-lpthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing(f"{LOAD.name} does not compile: {done.stderr.strip()}")
        new.rename(program)
    return program


def congestion_control():
    """iperf3's options for cubic, where the kernel lets one choose: others pace for a path that this is not."""
    available = CONGESTION.read_text(encoding="ascii").split() if CONGESTION.exists() else []
    return ["-C", "cubic"] if "cubic" in available else []
