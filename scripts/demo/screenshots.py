#!/usr/bin/env python3
"""Pictures of the metrics server's page, of a node with real peers and traffic; scripts/screenshots.sh is the way to
call it. Python 3 standard library only."""

import argparse
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "netns"))

# pylint: disable=wrong-import-position
import browser
import netns
import tunnel

URL = "http://127.0.0.1:9464/"
ROTATE_SECS = 120
# Name, the Mbit/s that it sends and receives, and for how many seconds it does and rests (0: it never rests).
BRANCHES = (
    ("berlin-office", (38, 12), 0, 0),
    ("lisbon-office", (8, 21), 0, 0),
    ("warehouse", (3, 6), 0, 0),
    ("build-farm", (2, 55), 6, 9),
    ("backup", (48, 1), 11, 13),
    ("laptop-ana", (1, 3), 2, 3),
    ("laptop-tom", None, 0, 0),
)
MISSING = "phone-ines"          # never switched on
LATE = "branch-oslo"            # has another peer ID than the one configured
SHOTS = (
    ("light", {"width": 1280, "height": 1000, "scale": 1.5}),
    ("dark", {"width": 1280, "height": 1000, "scale": 1.5, "dark": True}),
    ("phone", {"width": 390, "height": 844, "scale": 2, "phone": True}),
    ("phone-dark", {"width": 390, "height": 844, "scale": 2, "phone": True, "dark": True}),
)


class Scene:
    """A hub, its branches, and traffic between them."""

    def __init__(self, lab):
        self.lab = lab
        self.hub = lab.namespace("hub")
        self.nodes = []
        self.loads = []

    def add(self, number, branch, hub_id):
        """A branch in a namespace of its own; what the hub's configuration says of it."""
        name = branch[0]
        key = tunnel.Identity()
        space = self.lab.namespace(f"b{tunnel.tag_of(number)}")
        self.lab.veth(self.hub, f"port{number}", f"10.9.{number}.1/24", space, "eth0", f"10.9.{number}.2/24")
        inner = f"10.88.0.{number + 10}"
        config = tunnel.interface(key, f"{inner}/24", RotateSecs=ROTATE_SECS) + tunnel.peer(
            hub_id, "10.88.0.0/24", Endpoint=f"10.9.{number}.1:{tunnel.PORT}", PersistentKeepalive=10)
        self.nodes.append((self.lab.node(space, "wan0", config), branch))
        return tunnel.peer(key.id, f"{inner}/32", Name=name)

    def build(self):
        key = tunnel.Identity()
        config = tunnel.interface(key, "10.88.0.1/24", ListenPort=tunnel.PORT, RotateSecs=ROTATE_SECS)
        config += "".join(self.add(i, branch, key.id) for i, branch in enumerate(BRANCHES))
        config += tunnel.peer(tunnel.Identity().id, "10.88.0.100/32", Name=MISSING)
        config += tunnel.peer(tunnel.Identity().id, "10.88.0.101/32", Name=LATE, Endpoint="10.9.0.2:51999",
                              PersistentKeepalive=10)
        self.node = self.lab.node(self.hub, "wan0", config)
        tunnel.start(self.node)

    def begin(self):
        """Branches come one after the other, so that their rotations do not fall together."""
        for node, branch in self.nodes:
            tunnel.start(node)
            tunnel.must_ping(node.namespace, "10.88.0.1")
            if branch[1]:
                self.load(node.namespace, branch)
            time.sleep(3)
        self.hub.popen("ping", "-n", "-i", "0.7", "10.88.0.77", stdout=subprocess.DEVNULL)   # belongs to nobody

    def load(self, space, branch):
        _, rates, on, off = branch
        for rate, flags in zip(rates, ("", "-R")):
            port = 5201 + len(self.loads)
            self.hub.popen("iperf3", "-s", "-p", port, stdout=subprocess.DEVNULL)
            time.sleep(0.3)
            send = f"iperf3 -c 10.88.0.1 -p {port} {flags} -b {rate}M -t {on or 900} >/dev/null 2>&1"
            self.loads.append(space.popen("sh", "-c", f"while :; do {send}; sleep {off or 1}; done"))


def shoot(scene, folder, wait):
    folder.mkdir(parents=True, exist_ok=True)
    with browser.Browser(scene.hub) as chromium:
        pages = [(name, chromium.page(URL, **options)) for name, options in SHOTS]
        for seconds in range(wait, 0, -10):
            print(f"screenshots: {seconds} s of traffic to come", file=sys.stderr, flush=True)
            time.sleep(min(10, seconds))
        for name, page in pages:
            page.call("Page.bringToFront")
            time.sleep(2.5)
            for suffix, full in (("", False), ("-whole", True)):
                path = folder / f"dashboard-{name}{suffix}.png"
                page.screenshot(path, full)
                print(path)
        bad = [problem for _, page in pages for problem in page.problems()]
        netns.check(not bad, f"the browser reports {bad}")
        plain = chromium.page(URL, width=1280, height=1000, scripts=False)
        time.sleep(1)
        plain.screenshot(folder / "dashboard-plain-whole.png", True)
        print(folder / "dashboard-plain-whole.png")


def main():
    parser = argparse.ArgumentParser(description="Pictures of the metrics server's page.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=130, help="of traffic before the pictures (130)")
    options = parser.parse_args()
    if browser.program() is None:
        sys.exit("screenshots: needs chromium: apt-get install chromium")
    with netns.Lab("screenshots") as lab:
        scene = Scene(lab)
        scene.build()
        scene.begin()
        shoot(scene, options.folder, options.seconds)


if __name__ == "__main__":
    main()
