"""What contrib/grafana and contrib/prometheus hold, read for the tests (Python 3 standard library only)."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DASHBOARD = ROOT / "contrib" / "grafana" / "cryprq.json"
PROMETHEUS = ROOT / "contrib" / "prometheus"
RULES = PROMETHEUS / "cryprq.rules.yml"
# What every target of Prometheus has without being asked.
OWN_METRICS = {"up", "scrape_duration_seconds"}


def dashboard():
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def panels(board):
    """All panels, those of collapsed rows included; rows themselves are left out."""
    found = []
    for panel in board["panels"]:
        found += panel.get("panels", []) if panel["type"] == "row" else [panel]
    return found


def targets(board):
    """(title of the panel, target) of every query."""
    return [(panel["title"], target) for panel in panels(board) for target in panel["targets"]]


def metrics_in(expression):
    """The names of metrics in an expression of PromQL: words that are no function, keyword, label or text."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    text = re.sub(r"\{[^}]*\}", "{}", text)
    text = re.sub(r"\[[^\]]*\]", "[]", text)
    text = re.sub(r"\b(on|ignoring|by|without|group_left|group_right)\s*\([^)]*\)", " ", text)
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b(?!\s*\()", text)
    return {word for word in words if word not in ("and", "or", "unless", "bool", "offset") and "_" in word or word == "up"}


def rule_blocks(text):
    """[{"alert" or "record": name, "expr": ..., ...}] of a file of rules, which is written in a plain form of YAML."""
    rules = []
    for block in re.split(r"^      - ", text, flags=re.MULTILINE)[1:]:
        block = block.split("\n\n  - name:")[0]
        rule = dict(re.findall(r"^ *(\w+): *(\S.*)$", block, re.MULTILINE))
        multi = re.search(r"^        expr: \|-\n((?:          .*\n?)+)", block, re.MULTILINE)
        if multi:
            rule["expr"] = "\n".join(line[10:] for line in multi.group(1).splitlines())
        rules.append({key: value.strip("\"'") if key != "expr" else value.strip("'") for key, value in rule.items()})
    return rules


def documented_metrics(text):
    """{name: type} of the tables in docs/metrics.md."""
    return {m.group(1): m.group(2) for m in re.finditer(r"^\| `([a-z_]+)` \| (\w+) \|", text, re.MULTILINE)}


def family(metric, documented):
    """The metric that a series belongs to: histograms have three each."""
    short = re.sub(r"_(bucket|sum|count)$", "", metric)
    return short if documented.get(short) == "histogram" else metric
