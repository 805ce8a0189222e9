"""Measuring one step of a plan: which program, which part, and what it takes here."""

import os
import subprocess

import netns
import tunnel
from bench import core, links, nodes, peers, tools, tunnelpart

# Errors of a single step: it is reported, and the others go on.
ERRORS = (core.Failed, netns.Failure, subprocess.SubprocessError, OSError, ValueError, LookupError)
NEEDED = ("ip", "ss", "ping", "iperf3")


class Session:
    """Holds what all steps share: the laboratory, programs by subject, effort."""

    def __init__(self, lab, programs, effort, progress, only=None, long=False):
        self.lab = lab
        self.programs = programs            # {subject: path}, of those that are CrypRQ
        self.effort = effort
        self.progress = progress
        self.only = only
        self.long = long
        self.namespaces = can_use_namespaces()
        lab.processes = tools.PROCESSES

    def measure(self, step):
        if step["part"] == "tunnel":
            return self.in_scene(lambda scene: tunnelpart.measure(self.opener(step["subject"]), scene, self.effort))
        program = self.programs[step["subject"]]
        found = core.run(program, step["part"], self.effort, self.only)
        if self.namespaces is None and self.only is None:
            found += self.on_nodes(program, step)
        return found

    def on_nodes(self, program, step):
        """The part's measurements of real nodes."""
        part, found = step["part"], []
        if part == "handshake":
            found += self.in_scene(lambda scene: nodes.handshake(program, scene, self.effort))
        elif part == "rotation":
            found += self.in_scene(lambda scene: nodes.rotation(program, scene, self.effort))
            if self.long and step["round"] == 0:
                found += self.in_scene(lambda scene: nodes.rhythm(program, scene, self.progress))
        elif part == "memory":
            found += self.in_scene(lambda scene: nodes.memory(program, scene, self.effort))
        return found

    def opener(self, subject):
        if subject == "plain":
            return links.plain
        if subject in self.programs:
            return lambda scene: links.cryprq(self.programs[subject], scene)
        return peers.OPENERS[subject]

    def in_scene(self, function):
        """Calls function(scene) and takes the scene down, whatever came of it."""
        scene = tunnel.Scene(self.lab, tunnel.tag_of(next(tunnel.TAGS)) + "x")
        try:
            return function(scene)
        except ERRORS as error:
            logs = scene.logs()
            raise netns.Failure(f"{error}{': ' + logs[-1] if logs else ''}") from error
        finally:
            scene.end_nodes()
            scene.close()
            # Whoever was ended with the scene need not be looked after any more.
            tools.PROCESSES[:] = [process for process in tools.PROCESSES if process.poll() is None]


def can_use_namespaces():
    """None, or why not."""
    if os.geteuid() != 0:
        return "it takes root"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    try:
        tools.need(*NEEDED)
    except tools.Missing as error:
        return str(error)
    return None
