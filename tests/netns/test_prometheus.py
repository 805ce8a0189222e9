#!/usr/bin/env python3
"""Debian's Prometheus scrapes a loaded pair of nodes: rules and metrics pass promtool, every query of the dashboard
returns data, alerts fire and clear. TAP. `scripts/prometheus.sh` gets the program; without it this is skipped.
"""

import json
import re
import shutil
import subprocess
import sys

import monitoring
import netns
import tunnel
from netns import check, equal
from tunnel import INNER4, OUTER4

UNPACKED = netns.ROOT / "build" / "tools" / "prometheus" / "usr" / "bin"
PORT = 9464
TOKEN = "a-token-of-enough-characters"
# All of the rules' times, for a test of seconds: windows hold five scrapes.
WINDOW = "5s"
ASK = """
import json, sys, urllib.error, urllib.parse, urllib.request
answers = []
for path, query in json.load(sys.stdin):
    url = "http://127.0.0.1:9090" + path + ("?" + urllib.parse.urlencode({"query": query}) if query else "")
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answers.append(json.load(answer))
    except OSError as error:
        text = error.read().decode() if isinstance(error, urllib.error.HTTPError) else str(error)
        answers.append({"status": "error", "error": text})
print(json.dumps(answers))
"""


def find_tool(name):
    unpacked = UNPACKED / name
    return str(unpacked) if unpacked.exists() else shutil.which(name)


class Prometheus:
    """A server of its own in a namespace, with the project's configuration and rules made quick."""

    def __init__(self, namespace, folder):
        self.namespace = namespace
        folder.mkdir()
        (folder / "token").write_text(TOKEN)
        config = (monitoring.PROMETHEUS / "prometheus.yml").read_text()
        config = config.replace("15s", "1s").replace('"127.0.0.1:9464"', ", ".join(f'"{a}:{PORT}"' for a in OUTER4))
        config = config.replace("    # authorization:\n    #   credentials_file: /etc/prometheus/cryprq.token",
                                f"    authorization:\n      credentials_file: {folder}/token")
        check("credentials_file: /tmp" in config or str(folder) in config, "the example has no authorization any more")
        (folder / "prometheus.yml").write_text(config)
        (folder / "cryprq.rules.yml").write_text(quick_rules(monitoring.RULES.read_text()))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = namespace.popen(
                find_tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                "--web.listen-address=127.0.0.1:9090", "--storage.tsdb.retention.time=1h", stdout=log, stderr=log)

    def ask(self, *questions):
        """The answers to (path, query or None)."""
        return json.loads(self.namespace.output(sys.executable, "-c", ASK, stdin=json.dumps(questions), timeout=60))

    def query(self, *expressions):
        """For each expression its samples, [(labels, value)]."""
        found = []
        for expression, answer in zip(expressions, self.ask(*(("/api/v1/query", e) for e in expressions))):
            check(answer["status"] == "success", f"{expression}: {answer.get('error')}")
            found.append([(s["metric"], float(s["value"][1])) for s in answer["data"]["result"]])
        return found

    def firing(self):
        """{(name of the alert, instance)}"""
        answer = self.ask(("/api/v1/alerts", None))[0]
        alerts = answer.get("data", {}).get("alerts", [])
        return {(a["labels"]["alertname"], a["labels"].get("instance", "").partition(":")[0]) for a in alerts
                if a["state"] == "firing"}

    def wait_until(self, condition, seconds, what):
        try:
            return netns.wait_until(condition, seconds, what, step=0.25)
        except netns.Failure as failure:
            raise netns.Failure(f"{failure}\n{self.log.read_text()[-1500:]}") from failure


def quick_rules(text):
    text = re.sub(r"\[\d+[mh]\]( offset \d+m)?", f"[{WINDOW}]", text)
    return re.sub(r"^(\s+for:) .*$", r"\1 1s", text, flags=re.MULTILINE)


def filled_in(expression):
    for name, value in (("$__rate_interval", WINDOW), ("$__range", "30s"), ("$interface", ".*"), ("$instance", ".*"),
                        ("$peer", ".*")):
        expression = expression.replace(name, value)
    check("$" not in re.sub(r'"\$1"', "", expression), f"a variable is left in {expression}")
    return expression


# The programs' own checks


def promtool(*arguments, **options):
    done = subprocess.run([find_tool("promtool"), *arguments], capture_output=True, text=True, timeout=60, check=False,
                          **options)
    equal(done.returncode, 0, f"promtool {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def rules_pass(_scene):
    promtool("check", "rules", "--lint-fatal", str(monitoring.RULES))
    promtool("check", "config", str(monitoring.PROMETHEUS / "prometheus.yml"))
    promtool("test", "rules", "cryprq.rules.test.yml", cwd=monitoring.PROMETHEUS)


def metrics_pass(scene):
    a, _ = tunnel.pair(scene)
    tunnel.must_ping(a.namespace, INNER4[1])
    text = a.namespace.output("curl", "-sS", f"http://127.0.0.1:{PORT}/metrics")
    equal(promtool("check", "metrics", input=text), "", "promtool check metrics")


# A server


def loaded_pair(scene):
    """Two nodes with traffic, rotations and drops, and a Prometheus beside the first."""
    options = [{"MetricsAddress": f"{address}:{PORT}", "MetricsToken": TOKEN} for address in OUTER4]
    a, b = tunnel.pair(scene, first=options[0], second=options[1], first_peer={"Name": "far"})
    server = Prometheus(a.namespace, scene.lab.directory / f"{scene.tag}-prometheus")
    tunnel.must_ping(a.namespace, INNER4[1])
    stream = tunnel.Stream((a.namespace, b.namespace), INNER4, rate=300, size=600)
    stream.go()
    a.namespace.popen("sh", "-c", f"while sleep 0.7; do {netns.CRYPRQ} rotate {a.name}; done", env=a.env,
                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.wait_until(lambda: len(samples(server, "up == 1")) == 2, 20, "both nodes to be scraped")
    return a, b, server


def samples(server, expression):
    answer = server.ask(("/api/v1/query", expression))[0]
    return answer.get("data", {}).get("result", [])


def every_panel_has_data(scene):
    a, _, server = loaded_pair(scene)
    server.wait_until(lambda: len(samples(server, f"rate(cryprq_rotations_total[{WINDOW}]) > 0")) >= 2, 20, "rotations")
    board = monitoring.dashboard()
    queries = [(title, filled_in(target["expr"])) for title, target in monitoring.targets(board)]
    queries += [(a["name"], filled_in(a["expr"]).replace(" > 0", "")) for a in board["annotations"]["list"] if "expr" in a]
    found = server.query(*(expression for _, expression in queries))
    empty = [f"{title}: {expression}" for (title, expression), values in zip(queries, found)
             if not any(value == value for _, value in values)]
    equal(empty, [], "queries without data")
    for variable in board["templating"]["list"]:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        check(match or variable["type"] == "datasource", f"variable {variable['name']}")
        if match:
            values = {labels.get(match.group(2)) for labels, _ in server.query(filled_in(match.group(1)))[0]}
            check(values and None not in values, f"variable {variable['name']}: {values}")
    # What a panel says is what the node says.
    (_, sessions), = server.query('sum(cryprq_peer_sessions{name="far"})')[0]
    check(sessions >= 1, f"{sessions} sessions")
    age = server.query('max(cryprq_key_age_seconds{name="far"})')[0][0][1]
    check(age < 10, f"keys of {age} s, though they are rotated all the time")
    sent = server.query('cryprq_packets_total{name="far",direction="tx"}')[0][0][1]
    shown = tunnel.peer_status(a)["tx_packets"]
    check(0 < sent <= shown < sent + 3000, f"{sent} packets sent, of the {shown} that show has a moment later")
    records = [rule["record"] for rule in monitoring.rule_blocks(monitoring.RULES.read_text()) if "record" in rule]
    equal([name for name, values in zip(records, server.query(*records)) if not values], [], "rules without a result")
    return [f"{len(queries)} queries, {sum(map(len, found))} series"]


def alerts_fire_and_clear(scene):
    a, b, server = loaded_pair(scene)
    answer = server.ask(("/api/v1/rules", None))[0]
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    server.wait_until(lambda: all(rule["health"] == "ok" for group in
                                  server.ask(("/api/v1/rules", None))[0]["data"]["groups"] for rule in group["rules"]),
                      10, "all rules to be evaluated")
    equal(len(rules), len(monitoring.rule_blocks(monitoring.RULES.read_text())), "rules that the server has")
    server.wait_until(lambda: not server.firing() - {("CryprqProcessorBusy", address) for address in OUTER4}, 20,
                      "silence while all is well")
    stray = a.namespace.popen("ping", "-q", "-i", "0.1", "10.88.0.77", stdout=subprocess.DEVNULL)
    server.wait_until(lambda: ("CryprqPacketsDropped", OUTER4[0]) in server.firing(), 20, "CryprqPacketsDropped")
    check(("CryprqPacketsDropped", OUTER4[1]) not in server.firing(), "it is told of the other node as well")
    stray.terminate()
    stray.wait(5)
    server.wait_until(lambda: ("CryprqPacketsDropped", OUTER4[0]) not in server.firing(), 20, "its end")
    equal(b.stop(), 0, "exit status")
    server.wait_until(lambda: ("CryprqDown", OUTER4[1]) in server.firing(), 20, "CryprqDown")
    tunnel.start(b)
    server.wait_until(lambda: ("CryprqDown", OUTER4[1]) not in server.firing(), 20, "its end")
    notes = [f"{len(rules)} rules; CryprqPacketsDropped and CryprqDown fired and cleared"]
    return notes


def main():
    netns.require(("ip", "ping", "curl"))
    if find_tool("prometheus") is None or find_tool("promtool") is None:
        netns.skip_all("no Prometheus here: scripts/prometheus.sh gets it")
    tap = netns.Tap()
    with netns.Lab("prometheus") as lab:
        tunnel.run_cases(lab, tap, [
            ("promtool: rules, their tests, the example of a configuration", rules_pass),
            ("promtool: metrics", metrics_pass),
            ("every query of the dashboard returns data", every_panel_has_data),
            ("alerts fire and clear", alerts_fire_and_clear),
        ], jobs=2)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
