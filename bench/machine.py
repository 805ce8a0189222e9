"""What the figures depend on besides the program: the machine, what else it does, and which checkout this is."""

import dataclasses
import hashlib
import os
import pathlib
import platform
import re
import subprocess

from bench import tools


def read(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def processor():
    text = read("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    family = [re.search(rf"^{key}\s*: (\d+)$", text, re.MULTILINE) for key in ("cpu family", "model", "stepping")]
    numbers = "/".join(match.group(1) for match in family if match)
    return (model.group(1) if model else platform.machine()) + (f" (family/model/stepping {numbers})" if numbers else "")


def features():
    """Those that the cryptography's speed depends on."""
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", read("/proc/cpuinfo"), re.MULTILINE)
    wanted = ("aes", "pclmulqdq", "pmull", "vaes", "vpclmulqdq", "avx2", "avx512f", "sha_ni", "hypervisor")
    return [flag for flag in wanted if flags and flag in flags.group(1).split()]


def governor():
    found = {read(path) for path in pathlib.Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(found)) or "none that this system can see"


def mitigations():
    return [path.name for path in sorted(pathlib.Path("/sys/devices/system/cpu/vulnerabilities").glob("*"))
            if read(path).startswith("Mitigation")]


def memory_gb():
    found = re.search(r"^MemTotal:\s+(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    return round(int(found.group(1)) / 1e6, 1) if found else 0


def describe():
    return {"cpu": processor(), "cores": os.cpu_count(), "features": features(), "governor": governor(),
            "memory_gb": memory_gb(), "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
            "system": dict(re.findall(r'^(\w+)="?(.*?)"?$', read("/etc/os-release"), re.MULTILINE)).get("PRETTY_NAME", ""),
            "mitigations": mitigations()}


def machine_id(machine):
    """The same for runs that may stand in one history."""
    words = [str(machine[key]) for key in ("cpu", "cores", "kernel", "memory_gb")]
    return hashlib.sha256("|".join(words).encode()).hexdigest()[:12]


def load():
    """Processes that run or want to, the average of the last minute."""
    words = read("/proc/loadavg").split()
    return float(words[0]) if words else 0.0


@dataclasses.dataclass
class CpuTimes:
    """Of the whole machine, in ticks."""

    busy: int
    idle: int
    stolen: int

    @classmethod
    def now(cls):
        words = [int(word) for word in read("/proc/stat").split("\n", 1)[0].split()[1:9]]
        return cls(sum(words[:3]) + words[5] + words[6], words[3] + words[4], words[7])

    def since(self, before):
        """(busy CPUs, share of time that the host took)."""
        busy, idle, stolen = (getattr(self, key) - getattr(before, key) for key in ("busy", "idle", "stolen"))
        total = max(1, busy + idle + stolen)
        return busy / total * os.cpu_count(), stolen / total


def checkout():
    """(short commit, whether files differ from it); empty outside a repository."""
    def git(*arguments):
        try:
            return subprocess.run(["git", "-C", tools.ROOT, *arguments], capture_output=True, text=True, check=False,
                                  timeout=20).stdout.strip()
        except OSError:
            return ""

    return git("rev-parse", "--short", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
