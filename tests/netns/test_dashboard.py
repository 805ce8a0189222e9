#!/usr/bin/env python3
"""The page of the metrics server in a browser: live values during a transfer, sorting and searching, a thousand peers,
a phone, the keyboard, signing in, and an accessibility check. Needs Chromium, and for the last one axe-core
(tools/fetch_web axe-core). TAP."""
# timeout: 240

import base64
import json
import os
import re
import subprocess
import sys
import time

import browser
import netns
import tunnel
from netns import check, equal
from tunnel import INNER4

URL = "http://127.0.0.1:9464/"
TOKEN = "a-token-of-enough-characters"
AXE = netns.ROOT / "build" / "deps" / "axe-core" / "axe.min.js"
MANY = 1000
MOST_LOAD_MS, MOST_STEP_MS = 6000, 400          # of a page with a thousand peers, on a busy machine
LIVE = "document.querySelectorAll('.peers tbody tr').length > 0"
UNITS = {"bit/s": 1, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9}


def open_live(chromium, url=URL, **options):
    page = chromium.page(url, **options)
    page.wait(LIVE)
    return page


def column(page, number):
    return page.evaluate(f"[...document.querySelectorAll('.peers tbody tr > :nth-child({number})')].map(e => e.innerText.trim())")


def bits(text):
    number, unit = text.split()
    return float(number.replace(",", "")) * UNITS[unit]


def no_problems(page, but=r"$^"):
    found = [problem for problem in page.problems() if not re.search(but, problem)]
    check(not found, f"the browser reports {found}")


# One tunnel


def shows_the_transfer(page, node):
    """What is shown agrees with `cryprq show` before and after."""
    before, began = tunnel.peer_status(node), time.monotonic()
    page.wait("document.querySelector('[data-is=tile-rx] small').innerText === 'Mbit/s'")
    shown = []
    for _ in range(3):
        time.sleep(1.1)
        shown.append(bits(page.text("[data-is=tile-tx]")))
    after, took = tunnel.peer_status(node), time.monotonic() - began
    real = 8 * (after["tx_bytes"] - before["tx_bytes"]) / took
    check(any(0.6 * real < value < 1.6 * real for value in shown), f"shown {shown}, really {real:.0f} bit/s")
    equal(column(page, 1), ["far-end"], "names")
    equal(column(page, 8), [after["endpoint"]], "addresses")
    total = column(page, 6)[0].split()
    real = after["tx_bytes"] / 1024 ** ["B", "KiB", "MiB", "GiB"].index(total[1])
    check(0.5 * real < float(total[0]) < 2 * real, f"sent {total}, really {real:.2f}")
    state = column(page, 2)[0]
    check(re.fullmatch(r"Connected; keys \d+ (s|min) old, next rotation in \d+ (s|min)\.", state), state)
    equal(page.text("[data-is=headline]"), "far-end is connected.", "headline")
    equal(page.evaluate("document.title"), "wan0 - CrypRQ", "title")


def shows_rotations_and_drops(page, node, space):
    tunnel.rotate(node)
    space.ping("10.88.0.77", timeout=1)
    page.wait("document.querySelectorAll('.key-marks')[0].getAttribute('d').split('M').length > 2")
    page.wait("document.querySelector('.drops').innerText.includes('no_route')")
    check("belongs to no peer" in page.text(".drops"), page.text(".drops"))
    number = sum(map(sum, (tunnel.status(node)["handshake_durations"][role] for role in ("initiator", "responder"))))
    page.wait(f"document.querySelector('[data-is=histogram] .note').innerText.startsWith('{number} handshakes')")


def opens_details(page, node):
    """By the keyboard alone."""
    page.evaluate("document.querySelector('.peers tbody button').focus()")
    page.key("Enter", 13, "\r")
    page.wait("document.querySelector('.details') !== null")
    for text in (tunnel.peer_status(node)["peer_id"], tunnel.session_of(node)["suite"], "10.88.0.2/32"):
        check(text in page.text(".details"), f"no {text} in the details")
    equal(page.evaluate("document.activeElement.getAttribute('aria-expanded')"), "true", "aria-expanded")
    time.sleep(1.5)                 # over a refresh
    equal(page.evaluate("document.activeElement.getAttribute('aria-expanded')"), "true", "focus after a refresh")


def pauses(page):
    page.evaluate("document.querySelector('[data-is=pause]').click()")
    before = page.text("[data-is=tile-tx-note]")
    time.sleep(2.2)
    equal(page.text("[data-is=tile-tx-note]"), before, "a figure while paused")
    page.evaluate("document.querySelector('[data-is=pause]').click()")
    page.wait(f"document.querySelector('[data-is=tile-tx-note]').innerText !== {json.dumps(before)}")


def fits_a_phone(chromium):
    for width in (360, 390, 768):
        page = open_live(chromium, width=width, height=780, phone=width < 500)
        page.evaluate("document.querySelector('.peers tbody button').click()")
        time.sleep(1.3)
        equal(page.evaluate("document.documentElement.scrollWidth"), width, "width of the page")
        wide = page.evaluate("[...document.querySelectorAll('#app *')].filter(e => !e.closest('svg, .sr, .skip, thead') && "
                             "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className || e.tagName)")
        equal(wide, [], f"what does not fit into {width} pixels")
        no_problems(page)
        page.call("Page.close")


def draws(chromium, blocked, selector):
    """A chart is on the canvas, with or without uPlot."""
    page = chromium.page("about:blank")
    page.call("Network.setBlockedURLs", urls=[blocked] if blocked else [])
    page.call("Page.navigate", url=URL)
    page.wait(LIVE)
    page.wait(f"document.querySelector('[data-is=chart-throughput] {selector}') !== null")
    time.sleep(2.5)
    drawn = page.evaluate("""(() => {
        const c = document.querySelector('[data-is=chart-throughput] canvas');
        const colours = new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer));
        return colours.size;
    })()""")
    check(drawn > 3, f"{drawn} colours on the chart")
    no_problems(page, "uplot" if blocked else r"$^")
    page.call("Page.close")


def without_scripts(chromium, node):
    page = chromium.page(URL, scripts=False)
    page.wait("document.readyState === 'complete'")
    text = page.text("body")
    for part in ("Everything is connected.", "far-end", "Connected; keys ", tunnel.peer_status(node)["peer_id"]):
        check(part in text, f"no {part} without scripts")
    page.call("Page.close")


def transfer(scene):
    a, b = tunnel.pair(scene, first_peer={"Name": "far-end"})
    tunnel.must_ping(a.namespace, INNER4[1])
    b.namespace.popen("iperf3", "-s", stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    a.namespace.popen("iperf3", "-c", INNER4[1], "-b", "20M", "-t", "200", "--bidir", stdout=subprocess.DEVNULL)
    with browser.Browser(a.namespace) as chromium:
        page = open_live(chromium)
        shows_the_transfer(page, a)
        shows_rotations_and_drops(page, a, a.namespace)
        opens_details(page, a)
        pauses(page)
        no_problems(page)
        fits_a_phone(chromium)
        uplot = page.evaluate("typeof uPlot === 'function'")
        if uplot:
            draws(chromium, None, ".uplot canvas")
        draws(chromium, "*uplot.js", ".plot > canvas")
        without_scripts(chromium, a)
        page.call("Page.bringToFront")
        a.stop()
        page.wait("!document.querySelector('[data-is=banner]').hidden")
        check("is the interface still up?" in page.text("[data-is=banner]"), page.text("[data-is=banner]"))
        return [f"charts by {'uPlot' if uplot else 'the page itself'}"]


# Many peers


def random_id():
    return base64.b64encode(os.urandom(32)).decode()


def many_config():
    config = tunnel.interface(tunnel.Identity(), "10.88.0.1/16", MetricsPeers=1)
    for i in range(MANY - 2):
        config += tunnel.peer(random_id(), f"10.88.{i // 250}.{i % 250 + 2}/32",
                              Name=f"peer-{i:04}")
    for i, name in enumerate(("<script>window.pwned++</script>", "zz-</td><script>window.pwned++</script>")):
        config += tunnel.peer(random_id(), f"10.88.200.{i}/32", Name=name)
    return config


STEP = """
(async () => {
    const begun = performance.now();
    %s;
    document.body.offsetHeight;
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - begun;
})()
"""


def timed(page, statement):
    took = page.evaluate(STEP % statement)
    check(took < MOST_STEP_MS, f"{statement} took {took:.0f} ms")
    return took


def search(page, text):
    return timed(page, f"const s = document.querySelector('[data-is=search]'); s.value = {json.dumps(text)}; "
                       "s.dispatchEvent(new Event('input'))")


def click_head(page, title):
    return timed(page, f"[...document.querySelectorAll('thead button')].find(b => b.innerText.trim().startsWith('{title}')).click()")


def sorting(page):
    click_head(page, "Name")
    equal(column(page, 1)[1:4], ["peer-0000", "peer-0001", "peer-0002"], "by name")
    took = click_head(page, "Name")
    equal(column(page, 1)[1], "peer-0997", "by name, the other way")
    sorts = page.evaluate("[...document.querySelectorAll('thead th')].map(e => e.getAttribute('aria-sort'))")
    equal(sorts, ["descending"] + ["none"] * 7, "aria-sort")
    for title in ("State", "Receiving", "Sending", "Received", "Sent", "Keys", "Address"):
        click_head(page, title)
    click_head(page, "Name")
    return took


def searching(page):
    took = search(page, "peer-0777")
    equal(column(page, 1), ["peer-0777"], "names found")
    equal(page.text("[data-is=peers-count]"), "1 of 1,000 peers", "how many")
    search(page, "10.88.2.9/32")
    equal(column(page, 1), ["peer-0507"], "who has an address")
    search(page, "no such peer")
    equal((column(page, 1), page.text("[data-is=peers-count]")), ([], "No peer matches."), "none")
    search(page, "")
    return took


def paging(page):
    equal(len(column(page, 1)), 50, "rows")
    equal(page.text("[data-is=peers-count]"), "1 to 50 of 1,000 peers", "how many")
    for _ in range(19):
        timed(page, "document.querySelector('[data-is=page-on]').click()")
    equal(page.text("[data-is=page-text]"), "Page 20 of 20", "the last page")
    check(page.evaluate("document.querySelector('[data-is=page-on]').disabled"), "there is a page after the last")
    timed(page, "document.querySelector('[data-is=page-back]').click()")
    return max(timed(page, f"scrollTo(0, {y})") for y in (0, 800, 1600, 2400, 0))


POLLS = "performance.getEntriesByType('resource').filter(e => e.name.includes('status')).map(e => e.duration)"


def many(scene):
    node = scene.node(scene.namespace("a"), many_config())
    tunnel.start(node)
    with browser.Browser(node.namespace) as chromium:
        page = chromium.page("about:blank")
        begun = time.monotonic()
        page.call("Page.navigate", url=URL)
        page.wait("document.querySelectorAll('.peers tbody tr').length === 50")
        load = 1000 * (time.monotonic() - begun)
        check(load < MOST_LOAD_MS, f"{load:.0f} ms until the peers were there")
        found, sorted_in, scroll = searching(page), sorting(page), paging(page)
        search(page, "pwned")
        equal(sorted(column(page, 1)), ["<script>window.pwned++</script>",
                                        "zz-</td><script>window.pwned++</script>"], "names that are markup")
        search(page, "")
        polls = page.wait(f"{POLLS}.length > 3 && {POLLS}")
        equal(page.evaluate("typeof window.pwned"), "undefined", "a script in a name ran")
        no_problems(page)
        return [f"{MANY} peers: {load:.0f} ms to the table, search {found:.0f} ms, sort {sorted_in:.0f} ms, scroll "
                f"{scroll:.0f} ms, a poll {sorted(polls)[len(polls) // 2]:.0f} ms"]


# A token


def explains_trouble(page, node):
    """There is no way to the peer: the page says so, and what to run."""
    page.wait("document.querySelector('[data-is=headline]').innerText === 'far-end has trouble.'")
    words = tunnel.peer_status(node)["explanation"]
    wanted = r"No answer for \d+ s: this machine has no route to the endpoint of the peer\. Run `cryprq diagnose wan0 far-end`\."
    check(re.fullmatch(wanted, words), words)
    for selector in ("[data-is=subline]", ".c-state"):
        page.wait(f"/no route to the endpoint/.test(document.querySelector('{selector}').innerText)")
        equal(page.text(f"{selector} code"), "cryprq diagnose wan0 far-end", "the command")
    for state, names in (("connected", []), ("trouble", ["far-end"]), ("", ["far-end"])):
        page.evaluate(f"document.querySelector('[name=state][value=\"{state}\"]').click()")
        equal(column(page, 1), names, f"peers in the state {state!r}")


def signing_in(scene):
    space = scene.namespace("a")
    config = tunnel.interface(tunnel.Identity(), "10.88.0.1/24", MetricsToken=TOKEN)
    node = scene.node(space, config + tunnel.peer(tunnel.Identity().id, "10.88.0.2/32", Name="far-end",
                                                  Endpoint="192.0.2.99:51820", PersistentKeepalive=1))
    tunnel.start(node)
    with browser.Browser(space) as chromium:
        page = chromium.page(URL)
        page.wait("document.activeElement?.id === 'token'")
        page.type("wrong-token-of-enough-characters")
        page.key("Enter", 13, "\r")
        page.wait("document.querySelector('#sign-in-error').innerText.includes('does not know')")
        page.type(TOKEN)
        page.key("Enter", 13, "\r")
        page.wait(LIVE)
        equal(column(page, 1), ["far-end"], "names")
        page.call("Page.reload")
        page.wait(LIVE)
        equal(page.evaluate("[location.href, document.cookie, localStorage.length]"), [URL, "", 0], "where the token is not")
        check(TOKEN not in page.evaluate("performance.getEntries().map(e => e.name).join()"), "the token is in an address")
        explains_trouble(page, node)
        other = chromium.page(URL)
        other.wait("document.activeElement?.id === 'token'")     # another tab does not have it
        page.evaluate("document.querySelector('[data-is=sign-out]').click()")
        page.wait("document.activeElement?.id === 'token'")
        equal(page.evaluate("sessionStorage.length"), 0, "what is kept after signing out")
        no_problems(page, "401")
        if AXE.exists():
            accessible(other, "signing in")


# Accessibility


def accessible(page, what):
    """axe finds nothing; contrast is among what it looks at."""
    page.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
    results = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => ({violations: r.violations.map(v => "
                            "[v.id, v.help, v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + ' ' + n.failureSummary)]),"
                            " passed: r.passes.map(p => p.id)}))", seconds=60)
    check(not results["violations"], f"{what}: {json.dumps(results['violations'], indent=1)}")
    check({"color-contrast", "document-title"} <= set(results["passed"]), f"{what}: only {results['passed']}")


def accessibility(scene):
    a, _ = tunnel.pair(scene, first_peer={"Name": "far-end"})
    tunnel.must_ping(a.namespace, INNER4[1])
    a.namespace.ping("10.88.0.77", timeout=1)
    with browser.Browser(a.namespace) as chromium:
        for name, options in (("light", {}), ("dark", {"dark": True}),
                              ("phone", {"width": 360, "height": 780, "phone": True, "dark": True})):
            page = chromium.page("about:blank", **options)
            page.call("Page.setBypassCSP", enabled=True)        # for axe, which is not the page's
            page.call("Page.navigate", url=URL)
            page.wait(LIVE)
            page.evaluate("document.querySelector('.peers tbody button').click()")
            time.sleep(2.2)
            accessible(page, name)
            page.call("Page.close")


CASES = [
    ("during a transfer it shows what `cryprq show` says, on a phone and without scripts too", transfer),
    ("a thousand peers are searched, sorted and scrolled at once; their names stay text", many),
    ("a token is asked for, kept in the tab and forgotten", signing_in),
]
AXE_CASE = ("axe finds nothing: light, dark, phone", accessibility)


def main():
    netns.require(("ip", "ping", "iperf3"))
    if browser.program() is None:
        netns.skip_all("no Chromium: apt-get install chromium")
    tap = netns.Tap()
    if not AXE.exists():
        tap.skip(AXE_CASE[0], "no axe-core: tools/fetch_web axe-core")
    with netns.Lab("dashboard") as lab:
        tunnel.run_cases(lab, tap, CASES + [AXE_CASE] * AXE.exists(), jobs=2)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
