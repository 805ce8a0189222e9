#!/usr/bin/env python3
"""The page of the metrics server as it is sent: headers, what it shows without a script, its files, signing in. What a
browser makes of it is in test_dashboard.py. TAP."""

import base64
import gzip
import html.parser
import json
import re
import sys

import netns
import tunnel
from netns import check, equal
from tunnel import INNER4

TOKEN = "a-token-of-enough-characters"
POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'",
    "connect-src": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'", "form-action": "'none'",
    "require-trusted-types-for": "'script'", "trusted-types": "'none'",
}
# As far as a configuration allows them; the unit tests and the fuzzer go further.
HOSTILE = ("<script>alert(1)</script>", "</table></template><b>", "&lt;b&gt;", "`reboot`;$(reboot)", "<svg/onload>")
ASK = """
import base64, http.client, json, sys
host, port, method, path, headers = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], json.loads(sys.argv[5])
c = http.client.HTTPConnection(host, port, timeout=10)
c.request(method, path, headers=headers)
r = c.getresponse()
print(json.dumps([r.status, {k.lower(): v for k, v in r.getheaders()}, base64.b64encode(r.read()).decode()]))
"""


class Answer:
    def __init__(self, text):
        self.status, self.headers, body = json.loads(text)
        self.body = base64.b64decode(body)

    @property
    def text(self):
        return self.body.decode()


def ask(space, path, headers=None, method="GET", host="127.0.0.1", port=9464):
    return Answer(space.output(sys.executable, "-c", ASK, host, port, method, path, json.dumps(headers or {})))


def wait_served(space, headers=None, **where):
    def ready():
        try:
            return ask(space, "/readyz", headers, **where).status == 200
        except netns.Failure:
            return False

    netns.wait_until(ready, 10, "the metrics server to be ready")


class Reader(html.parser.HTMLParser):
    """Elements must be closed in the order in which they were opened; collects tables, links and texts."""

    VOID = ("meta", "link", "input", "br", "img")

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.tables, self.links, self.elements, self.ids = [], [], [], []
        self.words = {}
        self.feed(text)
        self.close()
        equal(self.open, [], "elements left open")

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        self.elements.append((tag, attrs))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        for name in ("href", "src"):
            if name in attrs:
                self.links.append(attrs[name])

    def handle_endtag(self, tag):
        check(self.open and self.open[-1] == tag, f"</{tag}> within {self.open}")
        self.open.pop()

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            if "template" not in self.open:
                self.tables[-1][-1][-1] += data
        if self.open:
            self.words.setdefault(self.open[-1], []).append(data)


def pair(scene, **options):
    a, b = tunnel.pair(scene, **options)
    wait_served(a.namespace)
    tunnel.must_ping(a.namespace, INNER4[1], count=3)
    return a, b


def policy_of(answer):
    parts = [part.strip().partition(" ") for part in answer.headers["content-security-policy"].split(";")]
    return {name: value for name, _, value in parts}


def headers(scene):
    a, _ = pair(scene)
    page = ask(a.namespace, "/")
    equal(page.status, 200, "status")
    equal(page.headers["content-type"], "text/html; charset=utf-8", "type")
    equal(policy_of(page), POLICY, "policy of the page")
    for name, wanted in (("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"),
                         ("referrer-policy", "no-referrer"), ("cache-control", "no-store"),
                         ("cross-origin-resource-policy", "same-origin"), ("cross-origin-opener-policy", "same-origin")):
        equal(page.headers[name], wanted, name)
    for ability in ("camera", "microphone", "geolocation", "usb"):
        check(f"{ability}=()" in page.headers["permissions-policy"], f"{ability} is not forbidden")
    head = ask(a.namespace, "/", method="HEAD")
    equal((head.status, head.body), (200, b""), "HEAD")
    equal(head.headers.keys(), page.headers.keys(), "headers of HEAD")
    check(abs(int(head.headers["content-length"]) - len(page.body)) < 100, "length of HEAD")
    for path in ("/metrics", "/api/v1/status", "/nothing"):
        check(policy_of(ask(a.namespace, path))["default-src"] == "'none'", f"policy of {path}")
    inline = re.search(rb"<script(?![^>]* src=)|<style|\son[a-z]+=|\sstyle=|javascript:", page.body)
    check(not inline, f"inline script or style: {inline}")


def without_script(scene):
    a, _ = pair(scene, first_peer={"Name": "far-end"})
    tunnel.rotate(a)
    a.namespace.ping("10.88.0.77", timeout=1)       # belongs to nobody
    netns.wait_until(lambda: tunnel.drops(a, "no_route") > 0, 5, "a drop")
    status = tunnel.status(a)
    text = ask(a.namespace, "/").text
    page = Reader(text)
    peers, drops = page.tables[0], page.tables[1]
    equal(len(peers), 2, "rows of peers")
    name, state, _, _, address, peer_id = peers[1]
    equal((name, address, peer_id), ("far-end", "192.0.2.2:51820", status["peers"][0]["peer_id"]), "the peer")
    check(re.fullmatch(r"Connected; keys \d+ s old, next rotation in \d+ (s|min)\.", state), state)
    equal({row[0]: int(row[1]) for row in drops[1:]}, {k: v for k, v in status["drops"].items() if v > 0}, "drops")
    check("Everything is connected." in text, "no headline")
    check(status["peer_id"] in text, "no peer ID of the node")
    equal(len(page.ids), len(set(page.ids)), "two elements with one id")
    for link in page.links:
        check(not re.match(r"[a-z]+:|//", link), f"a link to elsewhere: {link}")
        if not link.startswith("#"):
            equal(ask(a.namespace, "/" + link.removeprefix("./")).status, 200, link)
    equal([attrs["lang"] for tag, attrs in page.elements if tag == "html"], ["en"], "language")


def hostile_names(scene):
    key = netns.Identity()
    config = tunnel.interface(key, "10.88.0.1/24")
    for i, name in enumerate(HOSTILE):
        config += tunnel.peer(netns.Identity().id, f"10.88.1.{i}/32", Name=name)
    for i in range(220):
        config += tunnel.peer(netns.Identity().id, f"10.88.2.{i}/32")
    node = scene.node(scene.namespace("a"), config)
    tunnel.start(node)
    wait_served(node.namespace)
    text = ask(node.namespace, "/").text
    page = Reader(text)
    equal(tuple(row[0] for row in page.tables[0][1:len(HOSTILE) + 1]), HOSTILE, "names")
    equal(len(page.tables[0]), 201, "rows")
    check(f"and {220 + len(HOSTILE) - 200} more" in text, "how many more")
    scripts = [attrs for tag, attrs in page.elements if tag == "script"]
    check(all(attrs.get("src", "").startswith("assets/") for attrs in scripts), scripts)
    check(not [1 for tag, _ in page.elements if tag in ("svg", "b")], "an element made by a name")
    names = [peer["name"] for peer in json.loads(ask(node.namespace, "/api/v1/status").text)["peers"]]
    equal(tuple(names[:len(HOSTILE)]), HOSTILE, "names in the status")


def assets(scene):
    a, _ = pair(scene)
    links = [link for link in Reader(ask(a.namespace, "/").text).links if link.startswith("assets/")]
    script = ask(a.namespace, "/assets/app.js").text
    links += [f"assets/{name}" for name in re.findall(r'from "\./([a-z.]+)"', script)]
    check(len(links) >= 8, links)
    for path in sorted({f"/{link}" for link in links}):
        check(not re.search(rb"https?://(?!www\.w3\.org|github\.com/leeoniya)", ask(a.namespace, path).body),
              f"{path} names another host")
    for path in ("/assets/app.css", "/assets/app.js"):
        plain = ask(a.namespace, path)
        packed = ask(a.namespace, path, {"Accept-Encoding": "br, gzip"})
        equal((plain.status, packed.status), (200, 200), path)
        equal((plain.headers.get("content-encoding"), packed.headers["content-encoding"]), (None, "gzip"), path)
        equal(gzip.decompress(packed.body), plain.body, f"{path} unpacked")
        for answer, encoding in ((plain, "identity"), (packed, "gzip")):
            equal((answer.headers["cache-control"], answer.headers["vary"]), ("no-cache", "Accept-Encoding"), path)
            tag = answer.headers["etag"]
            again = ask(a.namespace, path, {"If-None-Match": tag, "Accept-Encoding": encoding})
            equal((again.status, again.body, again.headers["etag"]), (304, b"", tag), f"{path} again")
            other = ask(a.namespace, path, {"If-None-Match": '"x"', "Accept-Encoding": encoding})
            equal((other.status, other.body), (200, answer.body), f"{path} with another tag")
        check(plain.headers["etag"] != packed.headers["etag"], f"{path}: one tag for two forms")
        head = ask(a.namespace, path, method="HEAD")
        equal((head.status, head.body, head.headers["content-length"]), (200, b"", str(len(plain.body))), f"HEAD {path}")
        equal(ask(a.namespace, path, {"Host": "evil.example"}).status, 403, f"{path} under another name")
        equal(ask(a.namespace, path, method="POST").status, 405, f"POST {path}")
    equal(ask(a.namespace, "/assets/").status, 404, "the folder")
    equal(ask(a.namespace, "/assets/../metrics").status, 404, "a way out of the folder")


def signing_in(scene):
    spaces = tunnel.cable(scene)
    outer = tunnel.OUTER4[0]
    peer = netns.Identity().id
    config = tunnel.interface(netns.Identity(), "10.88.0.1/24", MetricsAddress=f"{outer}:9000", MetricsToken=TOKEN)
    node = scene.node(spaces[0], config + tunnel.peer(peer, "10.88.0.2/32", Name="secret-name"))
    tunnel.start(node)
    good, where = {"Authorization": f"Bearer {TOKEN}"}, {"host": outer, "port": 9000}
    wait_served(spaces[1], good, **where)
    for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}):
        locked = ask(spaces[1], "/", wrong, **where)
        equal((locked.status, locked.headers["www-authenticate"]), (401, 'Bearer realm="cryprq"'), "without a token")
        equal(policy_of(locked), POLICY, "policy of the page that asks for it")
        for told in ("secret-name", peer, "wan0", "10.88", "0.1.0", TOKEN):
            check(told not in locked.text, f"{told} is told to whoever asks")
        Reader(locked.text)
    equal(ask(spaces[1], f"/?token={TOKEN}", **where).status, 401, "a token in the address")
    equal(ask(spaces[1], "/assets/app.js", **where).status, 200, "the script that asks for it")
    page = ask(spaces[1], "/", good, **where)
    check(page.status == 200 and "secret-name" in page.text, "the page with the token")
    check(TOKEN not in page.text, "the token is in the page")


CASES = [
    ("the page has strict headers, and nothing inline", headers),
    ("without a script it is a table that agrees with `cryprq show`", without_script),
    ("hostile names stay text; of many peers some are listed", hostile_names),
    ("its files come packed or not, with tags, from this server alone", assets),
    ("without the token it tells nothing and asks for the token", signing_in),
]


def main():
    netns.require(("ip", "ping"))
    tap = netns.Tap()
    with netns.Lab("page") as lab:
        tunnel.run_cases(lab, tap, CASES, jobs=4)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
