"""Demonstrations that were left running: remembered in a folder, ended later."""

import json
import os
import pathlib
import shutil
import subprocess

import netns

FOLDER = pathlib.Path("/run/cryprq-demo")


def start_time(pid):
    """What tells a process from a later one with the same PID."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def remember(lab):
    """Takes the laboratory out of the hands of this process."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    entry = {
        "namespaces": [namespace.name for namespace in lab.namespaces],
        "directory": str(lab.directory),
        "nodes": [{"namespace": node.namespace.name, "name": node.name, "env": node.env,
                   "processes": [(pid, start_time(pid)) for pids in node.pids().values() for pid in pids]}
                  for node in lab.nodes],
        "program": str(netns.CRYPRQ),
    }
    (FOLDER / f"{os.getpid()}.json").write_text(json.dumps(entry))
    lab.closed = True


def is_same(pid, started):
    try:
        return netns.is_alive(pid) and start_time(pid) == started
    except OSError:
        return False


def end(entry):
    """Ends one of them; gives what would not go."""
    problems = []
    for node in entry["nodes"]:
        command = ["ip", "netns", "exec", node["namespace"], entry["program"], "down", node["name"]]
        done = subprocess.run(command, env={**os.environ, **node["env"]}, capture_output=True, text=True, timeout=30,
                              check=False)
        if done.returncode != 0:
            problems.append(done.stderr.strip())
        for pid, started in node["processes"]:
            if is_same(pid, started):
                os.kill(pid, 9)
                problems.append(f"process {pid} had to be killed")
    for name in entry["namespaces"]:
        done = subprocess.run(["ip", "netns", "del", name], capture_output=True, text=True, timeout=10, check=False)
        if done.returncode != 0:
            problems.append(done.stderr.strip())
    shutil.rmtree(entry["directory"], ignore_errors=True)
    return problems


def stop_all():
    """`--stop`; gives the exit status."""
    paths = sorted(FOLDER.glob("*.json"))
    status = 0
    for path in paths:
        problems = end(json.loads(path.read_text()))
        path.unlink()
        for problem in problems:
            print(f"  {problem}")
        status = 1 if problems else status
    print(f"{len(paths)} demonstration{'' if len(paths) == 1 else 's'} ended" if paths else "nothing was left running")
    if FOLDER.exists() and not any(FOLDER.iterdir()):
        FOLDER.rmdir()
    return status
