"""A headless Chromium, driven over the DevTools protocol through a pipe, for the tests of the metrics server's page
and for its screenshots (Python 3 standard library only).

    with browser.Browser(namespace) as chromium:
        page = chromium.page("http://127.0.0.1:9464/", width=1280, height=900, dark=True)
        page.wait("document.querySelector('h1') !== null")
        page.evaluate("document.title")
        page.screenshot(path)
"""

import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

import netns

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-gpu",
           "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
           "--disable-extensions", "--disable-sync", "--mute-audio", "--hide-scrollbars", "--force-device-scale-factor=1")


def program():
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """Ended at the latest when the laboratory closes."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.number = 0
        self.buffer = b""
        self.events = []
        self.process = None

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="profile.", dir=self.namespace.lab.directory)
        pipes = [*os.pipe(), *os.pipe()]
        # Out of the way of 3 and 4, which the browser reads and writes.
        their_in, self.out, self.inp, their_out = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in pipes)
        for fd in pipes:
            os.close(fd)
        script = f'exec "$@" 3<&{their_in} 4>&{their_out}'
        self.process = self.namespace.popen("bash", "-c", script, "bash", program(), *OPTIONS,
                                            f"--user-data-dir={self.profile}", "about:blank",
                                            pass_fds=(their_in, their_out), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                            env={"HOME": self.profile})
        os.close(their_in)
        os.close(their_out)
        self.call("Browser.getVersion", seconds=30)
        return self

    def __exit__(self, *unused):
        try:
            self.call("Browser.close", seconds=5)
        except netns.Failure:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        os.close(self.inp)
        os.close(self.out)
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, session=None, seconds=20, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        try:
            while data:
                data = data[os.write(self.out, data):]
        except OSError as error:
            raise netns.Failure(f"the browser is gone: {error}") from error
        deadline = time.monotonic() + seconds
        while True:
            answer = self.receive(deadline, method)
            if answer.get("id") == self.number:
                netns.check("error" not in answer, f"{method}: {answer.get('error')}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def receive(self, deadline, what):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            netns.check(left > 0 and select.select([self.inp], [], [], left)[0], f"the browser does not answer: {what}")
            data = os.read(self.inp, 1 << 20)
            netns.check(data, "the browser ended")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(line)

    def page(self, url, width=1280, height=900, dark=False, phone=False, scripts=True, headers=None, scale=1):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)       # also behind others
        page.look(width, height, dark, phone, scale)
        if not scripts:
            page.call("Emulation.setScriptExecutionDisabled", value=True)
        if headers:
            page.call("Network.setExtraHTTPHeaders", headers=headers)
        page.call("Page.navigate", url=url)
        return page


class Page:
    def __init__(self, browser, session):
        self.browser = browser
        self.session = session

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def look(self, width, height, dark=False, phone=False, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=phone)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def evaluate(self, expression, seconds=20):
        """The value of a JavaScript expression; a promise is waited for."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True,
                         seconds=seconds)
        netns.check("exceptionDetails" not in done, f"{expression}: {done.get('exceptionDetails')}")
        return done["result"].get("value")

    def wait(self, expression, seconds=15):
        return netns.wait_until(lambda: self.evaluate(expression), seconds, expression, step=0.05)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def key(self, name, code, text=""):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code,
                      text=text if kind == "keyDown" else "")

    def type(self, text):
        self.call("Input.insertText", text=text)

    def problems(self):
        """What the browser reported of this page so far: exceptions, refused loads, errors of the console."""
        found = []
        for event in self.browser.events:
            params = event.get("params", {})
            if event.get("sessionId") != self.session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"])[:400])
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(params["args"])[:400])
        return found

    def screenshot(self, path, full=False):
        options = {"captureBeyondViewport": True} if full else {}
        data = self.call("Page.captureScreenshot", format="png", **options)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))
