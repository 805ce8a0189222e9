"""The build without encryption that shows what the tunnel costs beside it; never installed, below build/benchmark."""

import os
import subprocess

from bench import tools

FOLDER = tools.OUTPUT / "null"
OPTION, TARGET = "null_suite", "cryprq-null"


def build(progress):
    """Gives the program, built anew where sources have changed."""
    if f"option('{OPTION}'" not in (tools.ROOT / "meson_options.txt").read_text(encoding="utf-8"):
        raise tools.Missing(f"these sources have no build without encryption (option {OPTION})")
    progress.note("building the program without encryption")
    commands = [["ninja", "-C", FOLDER, "--quiet", TARGET]]
    if not (FOLDER / "build.ninja").exists():
        commands.insert(0, ["meson", "setup", FOLDER, tools.ROOT, f"-D{OPTION}=true", "-Dtests=disabled"])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        if done.returncode != 0:
            raise tools.Missing(f"the build without encryption failed: {(done.stdout + done.stderr).strip()[-500:]}")
    return FOLDER / TARGET
