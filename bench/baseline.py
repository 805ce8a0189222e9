"""Baselines: a program and what it measured, kept under a name below build/benchmark/baselines."""

import json
import re
import shutil

from bench import tools

FOLDER = tools.OUTPUT / "baselines"


class Unknown(Exception):
    """There is no such baseline."""


def folder_of(name):
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}", name):
        raise Unknown(f"not a name for a baseline: {name!r}")
    return FOLDER / name


def save(name, program, results):
    """Keeps the program itself: figures of another day are no measure, so a comparison runs both anew."""
    folder = folder_of(name)
    new = folder.with_name(f".{name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    shutil.copy2(program, new / "cryprq")
    (new / "results.json").write_text(json.dumps(results), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    return folder


def names():
    return sorted(path.name for path in FOLDER.glob("*") if (path / "cryprq").exists() and path.name[0] != ".")


def load(name):
    """(the program, what is known of it)."""
    folder = folder_of(name)
    if not (folder / "cryprq").exists():
        known = ", ".join(names()) or "none yet"
        raise Unknown(f"no baseline {name}; there are: {known} (--save-baseline makes one)")
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return folder / "cryprq", {key: results.get(key) for key in ("when", "commit", "dirty", "program")}
