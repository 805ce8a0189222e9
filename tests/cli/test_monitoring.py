#!/usr/bin/env python3
"""Holds contrib/grafana and contrib/prometheus to their forms, to docs/metrics.md and docs/operations.md and to the code,
without Grafana and Prometheus. TAP; Python's standard library only.

    tests/cli/test_monitoring.py
"""

import copy
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "netns"))

import monitoring       # noqa: E402

PANEL_TYPES = {"stat", "timeseries", "heatmap", "table"}
UNITS = {"short", "s", "bps", "pps", "ops", "cpm", "bytes", "percentunit", "dateTimeFromNow"}
VARIABLE_TYPES = {"query", "datasource"}
BUILT_IN = {"__rate_interval", "__range", "__interval"}
BOARD_MEMBERS = {
    "annotations": dict, "description": str, "editable": bool, "fiscalYearStartMonth": int, "graphTooltip": int,
    "id": type(None), "links": list, "panels": list, "refresh": str, "schemaVersion": int, "style": str, "tags": list,
    "templating": dict, "time": dict, "timepicker": dict, "timezone": str, "title": str, "uid": str, "version": int,
    "weekStart": str,
}
PANEL_MEMBERS = {"datasource": dict, "description": str, "fieldConfig": dict, "gridPos": dict, "id": int, "options": dict,
                 "targets": list, "title": str, "type": str}
TARGET_MEMBERS = {"datasource": dict, "editorMode": str, "expr": str, "format": str, "instant": bool,
                  "legendFormat": str, "range": bool, "refId": str}
SEVERITIES = {"critical", "warning", "info"}


def members(where, found, wanted, optional=()):
    problems = [f"{where}: no {name}" for name in wanted if name not in found]
    problems += [f"{where}: unknown member {name}" for name in found if name not in wanted and name not in optional]
    return problems + [f"{where}: {name} is a {type(found[name]).__name__}" for name, kind in wanted.items()
                       if name in found and not isinstance(found[name], kind)]


# The dashboard


def grid_problems(board):
    problems, taken = [], {}
    for panel in board["panels"]:
        grid, title = panel["gridPos"], panel["title"]
        problems += members(f"{title}: gridPos", grid, {"h": int, "w": int, "x": int, "y": int})
        if not (grid["h"] > 0 and 0 < grid["w"] <= 24 and 0 <= grid["x"] <= 24 - grid["w"] and grid["y"] >= 0):
            problems.append(f"{title}: is outside of the grid: {grid}")
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                other = taken.setdefault((x, y), title)
                if other is not title:
                    problems.append(f"{title}: overlaps {other} at {x}, {y}")
    rows = {y for _, y in taken}
    problems += [f"nothing in row {y} of the grid" for y in range(max(rows)) if y not in rows]
    return problems


def field_problems(title, config):
    problems = members(f"{title}: fieldConfig", config, {"defaults": dict, "overrides": list})
    unit = config["defaults"].get("unit", "short")
    units = [unit] + [p["value"] for o in config["overrides"] for p in o["properties"] if p["id"] == "unit"]
    problems += [f"{title}: unknown unit {u}" for u in units if u not in UNITS]
    limits = config["defaults"].get("thresholds")
    if limits is not None:
        values = [step["value"] for step in limits["steps"]]
        if limits["mode"] not in ("absolute", "percentage") or values[0] is not None or values[1:] != sorted(values[1:]):
            problems.append(f"{title}: thresholds {limits}")
    for override in config["overrides"]:
        problems += members(f"{title}: override", override, {"matcher": dict, "properties": list})
    return problems


def panel_problems(panel):
    title = panel.get("title", f"panel {panel.get('id')}")
    problems = members(title, panel, PANEL_MEMBERS, optional=("transformations",))
    if panel["type"] not in PANEL_TYPES:
        problems.append(f"{title}: unknown type {panel['type']}")
    if not panel["description"].endswith("."):
        problems.append(f"{title}: no description")
    problems += field_problems(title, panel["fieldConfig"])
    refs = [target.get("refId") for target in panel["targets"]]
    if refs != [chr(ord("A") + i) for i in range(len(refs))] or not refs:
        problems.append(f"{title}: queries are called {refs}")
    for target in panel["targets"]:
        problems += members(f"{title}: query", target, TARGET_MEMBERS)
        if target["format"] not in ("time_series", "table", "heatmap") or target["instant"] == target["range"]:
            problems.append(f"{title}: {target['format']}, instant {target['instant']}, range {target['range']}")
        if (target["format"] == "heatmap") != (panel["type"] == "heatmap"):
            problems.append(f"{title}: format {target['format']} in a {panel['type']}")
    return problems


def variable_problems(board):
    known = [variable["name"] for variable in board["templating"]["list"]]
    problems = [f"variable {name} twice" for name in known if known.count(name) > 1]
    problems += [f"variable {v['name']}: type {v['type']}" for v in board["templating"]["list"]
                 if v["type"] not in VARIABLE_TYPES]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"]))) - {"1"}
    for i, variable in enumerate(board["templating"]["list"]):
        earlier = set(re.findall(r"\$\{?(\w+)", json.dumps(variable.get("query", "")) + json.dumps(
            variable.get("datasource", ""))))
        problems += [f"variable {variable['name']} needs {name}, which is not before it" for name in earlier
                     if name not in known[:i]]
        used |= earlier
    problems += [f"${name} is no variable" for name in used - set(known) - BUILT_IN]
    return problems + [f"variable {name} is not used" for name in set(known) - used]


def balance_problems(where, expression):
    stack, pairs = [], {")": "(", "]": "[", "}": "{"}
    for character in re.sub(r'"(?:[^"\\]|\\.)*"', "", expression):
        if character in "([{":
            stack.append(character)
        elif character in pairs and (not stack or stack.pop() != pairs[character]):
            return [f"{where}: brackets of {expression}"]
    return [f"{where}: brackets of {expression}"] if stack else []


def board_problems(board):
    problems = members("dashboard", board, BOARD_MEMBERS)
    ids = [panel["id"] for panel in board["panels"]] + [p["id"] for panel in board["panels"]
                                                        for p in panel.get("panels", [])]
    problems += [f"panel id {i} twice" for i in set(ids) if ids.count(i) > 1]
    if not re.fullmatch(r"[a-zA-Z0-9_-]{8,40}", board["uid"]):
        problems.append(f"uid {board['uid']}")
    problems += grid_problems(board) + variable_problems(board)
    for panel in monitoring.panels(board):
        problems += panel_problems(panel)
    for title, target in monitoring.targets(board):
        problems += balance_problems(title, target["expr"])
        if target["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            problems.append(f"{title}: datasource {target['datasource']}")
    return problems


# Names


def code_metrics():
    """Names of all metrics in the sources, with what their types add."""
    suffixes = {"COUNTER": "_total", "INFO": "_info", "GAUGE": "", "HISTOGRAM": ""}
    text = "".join(path.read_text() for path in sorted((ROOT / "src" / "node").glob("metrics*.c")))
    return {name + suffixes[kind] for name, kind in re.findall(r'\{\s*"([a-z_]+)",\s*CQ_METRIC_(\w+)', text)}


def name_problems(expressions, documented, code):
    problems = [f"{name}: in the code alone" for name in code - set(documented)]
    problems += [f"{name}: in docs/metrics.md alone" for name in set(documented) - code]
    for where, expression in expressions:
        names = monitoring.metrics_in(expression)
        if not names:
            problems.append(f"{where}: no metric in {expression}")
        for name in names - monitoring.OWN_METRICS:
            family = monitoring.family(name, documented)
            if family not in documented or family not in code or (family == name and documented[name] == "histogram"):
                problems.append(f"{where}: there is no {name}")
    return problems


def label_problems(expressions, text):
    """Labels in selectors and in by (...) that no metric has."""
    known = {"job", "instance", "le", "who"} | {label for row in re.findall(r"^\| `[a-z_]+` \| \w+ \| ([^|]*) \|", text,
                                                                           re.MULTILINE)
                                               for label in re.findall(r"`([a-z_]+)`", row)}
    problems = []
    for where, expression in expressions:
        labels = {label for inner in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*[=!]",
                                                                                                  inner)}
        for inner in re.findall(r"\b(?:on|by|without|group_left)\s*\(([^)]*)\)", expression):
            labels |= set(re.findall(r"\w+", inner))
        problems += [f"{where}: no metric has a label {label}" for label in labels - known]
    return problems


# Rules


def rule_problems(rules, operations):
    problems = []
    headings = {line[4:].strip() for line in operations.splitlines() if line.startswith("### Cryprq")}
    names = [rule["alert"] for rule in rules if "alert" in rule]
    problems += [f"{name}: twice" for name in set(names) if names.count(name) > 1]
    problems += [f"{name}: no heading in docs/operations.md" for name in set(names) - headings]
    problems += [f"{name}: in docs/operations.md alone" for name in headings - set(names)]
    for rule in rules:
        name = rule.get("alert", rule.get("record"))
        problems += balance_problems(name, rule["expr"])
        if "record" in rule:
            continue
        problems += [f"{name}: no {part}" for part in ("summary", "description") if not rule.get(part)]
        if rule.get("severity") not in SEVERITIES:
            problems.append(f"{name}: severity {rule.get('severity')}")
        if rule.get("runbook_url") != f"operations.md#{name.lower()}":
            problems.append(f"{name}: runbook_url {rule.get('runbook_url')}")
    return problems


def drop_problems(expressions):
    known = set(re.findall(r'\bX\(\w+,\s*"(\w+)"', (ROOT / "src/base/drop.h").read_text().replace("\\\n", " ")))
    found = {reason for _, expression in expressions for text in re.findall(r'reason=~?"([^"]*)"', expression)
             for reason in text.split("|")}
    return [f"there is no drop reason {reason}" for reason in found - known]


# Each kind of mistake, made on purpose


def broken_boards(board):
    def change(function):
        changed = copy.deepcopy(board)
        function(changed, monitoring.panels(changed)[0])
        return changed

    return {
        "an id twice": change(lambda b, p: p.update(id=b["panels"][-1]["id"])),
        "an overlap": change(lambda b, p: p["gridPos"].update(w=p["gridPos"]["w"] + 1)),
        "a panel outside": change(lambda b, p: b["panels"][-1]["gridPos"].update(x=1)),
        "a hole": change(lambda b, p: b["panels"][-1]["gridPos"].update(y=500)),
        "an unknown type": change(lambda b, p: p.update(type="graph")),
        "an unknown unit": change(lambda b, p: p["fieldConfig"]["defaults"].update(unit="furlong")),
        "thresholds out of order": change(lambda b, p: p["fieldConfig"]["defaults"]["thresholds"]["steps"].reverse()),
        "an unknown variable": change(lambda b, p: p["targets"][0].update(expr="up{x=~\"$nothing\"}")),
        "a variable less": change(lambda b, p: b["templating"]["list"].pop(1)),
        "a bracket": change(lambda b, p: p["targets"][0].update(expr=p["targets"][0]["expr"] + ")")),
        "a missing member": change(lambda b, p: p.pop("description") and p.update(description="")),
        "no query": change(lambda b, p: p.update(targets=[])),
    }


def unnoticed(board, expressions, documented, code, rules, operations):
    missed = [what for what, changed in broken_boards(board).items() if not board_problems(changed)]
    name, expression = expressions[0]
    if not name_problems([(name, expression + " + cryprq_nothing")], documented, code):
        missed.append("an unknown metric")
    if not name_problems([], {**documented, "cryprq_x": "gauge"}, code):
        missed.append("a metric in the document alone")
    if not rule_problems([{**rules[0], "severity": "bad"}, *rules[1:]], operations):
        missed.append("an unknown severity")
    if not rule_problems(rules[1:], operations):
        missed.append("a runbook without an alert")
    if not label_problems([(name, "x{colour=\"y\"}")], ""):
        missed.append("an unknown label")
    return missed


def main():
    text = monitoring.DASHBOARD.read_text(encoding="utf-8")
    board = json.loads(text)
    rules = monitoring.rule_blocks(monitoring.RULES.read_text(encoding="utf-8"))
    metrics_text = (ROOT / "docs/metrics.md").read_text()
    operations = (ROOT / "docs/operations.md").read_text()
    documented, code = monitoring.documented_metrics(metrics_text), code_metrics()
    expressions = [(title, target["expr"]) for title, target in monitoring.targets(board)]
    expressions += [(a["name"], a["expr"]) for a in board["annotations"]["list"] if "expr" in a]
    in_rules = [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in rules]
    alerts = [rule for rule in rules if "alert" in rule]
    results = [
        ("the dashboard is formatted", [] if text == json.dumps(board, indent=2, ensure_ascii=False) + "\n" else
         ["write it with json.dumps(..., indent=2, ensure_ascii=False)"]),
        ("the dashboard has the form of Grafana's schema", board_problems(board)),
        (f"the metrics of {len(expressions)} queries and {len(rules)} rules are in docs/metrics.md and the code",
         name_problems(expressions + in_rules, documented, code)),
        ("their labels are", label_problems(expressions + in_rules, metrics_text)),
        ("their drop reasons are in the code", drop_problems(expressions + in_rules)),
        (f"{len(alerts)} alerts have their annotations and a runbook", rule_problems(rules, operations)),
        ("every mistake is noticed", unnoticed(board, expressions, documented, code, rules, operations)),
    ]
    for number, (title, problems) in enumerate(results, 1):
        print(f"{'not ok' if problems else 'ok'} {number} - {title}")
        for problem in problems:
            print(f"# {problem}")
    print(f"1..{len(results)}")
    return 1 if any(problems for _, problems in results) else 0


if __name__ == "__main__":
    sys.exit(main())
