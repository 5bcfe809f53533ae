"""A headless Chromium, spoken to in the DevTools protocol over two pipes: nothing but Python's own library is needed.

What the tests want of it: a page, its clicks and keys, its pictures, and all that it asked for and complained of.
"""

import base64
import contextlib
import fcntl
import json
import os
import selectors
import shutil
import subprocess
import tempfile
import time

PROGRAMS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


def find_chromium():
    return next((path for path in map(shutil.which, [os.environ.get("CHROMIUM", ""), *PROGRAMS]) if path), None)


class Browser:
    def __init__(self, program):
        self.folder = tempfile.TemporaryDirectory(prefix="cairn-browser-", ignore_cleanup_errors=True)
        pipes = [*os.pipe(), *os.pipe()]
        # The browser wants its ends as 3 and 4: none of ours may be in their way.
        their_in, self.out, self.inward, their_out = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in pipes)
        for fd in pipes:
            os.close(fd)
        flags = ["--headless", "--remote-debugging-pipe", f"--user-data-dir={self.folder.name}", "--no-first-run", "--disable-gpu",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 "--hide-scrollbars", "--force-color-profile=srgb", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        command = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out} {their_in}<&- {their_out}>&-'
        self.process = subprocess.Popen(["bash", "-c", command, program, *flags], pass_fds=[their_in, their_out],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(their_in)
        os.close(their_out)
        os.set_blocking(self.inward, False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.inward, selectors.EVENT_READ)
        self.bytes, self.number, self.answers, self.pages = b"", 0, {}, {}

    def pump(self, seconds):
        """Reads what has come, waiting for it for at most so long."""
        if self.selector.select(seconds):
            with contextlib.suppress(BlockingIOError):
                got = os.read(self.inward, 1 << 20)
                if not got:
                    raise RuntimeError(f"chromium ended: {self.process.wait()}")
                self.bytes += got
        *messages, self.bytes = self.bytes.split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            elif message.get("sessionId") in self.pages:
                self.pages[message["sessionId"]].heard(message["method"], message["params"])

    def send(self, method, parameters=None, session=None, timeout=120):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters or {}, **({"sessionId": session} if session else {})}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + timeout
        while self.number not in self.answers:
            if time.monotonic() > until:
                raise TimeoutError(f"chromium did not answer {method}")
            self.pump(1)
        answer = self.answers.pop(self.number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def page(self, **settings):
        context = self.send("Target.createBrowserContext")["browserContextId"]  # of its own storage
        target = self.send("Target.createTarget", {"url": "about:blank", "browserContextId": context})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        return Page(self, session, **settings)

    def close(self):
        with contextlib.suppress(Exception):
            self.send("Browser.close", timeout=10)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.selector.close()
        os.close(self.out)
        os.close(self.inward)
        self.folder.cleanup()


class Page:
    def __init__(self, browser, session, width=1280, height=800, dark=False, mobile=False):
        self.browser, self.session = browser, session
        self.requests, self.complaints = [], []
        browser.pages[session] = self
        for domain in ["Page", "Runtime", "Network", "Log"]:
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile})
        self.prefer(dark)

    def send(self, method, parameters=None):
        return self.browser.send(method, parameters, self.session)

    def heard(self, method, event):
        if method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(argument.get("value", argument.get("description"))) for argument in event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")

    def prefer(self, dark, less_motion=True):
        self.send("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if less_motion else "no-preference"}]})

    def open(self, url):
        self.send("Page.navigate", {"url": url})
        self.wait("document.readyState === 'complete'")

    def run(self, script):
        """The value of an expression; promises are waited for."""
        answer = self.send("Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True, "userGesture": True})
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails'].get('exception', {}).get('description')}")
        return answer["result"].get("value")

    def wait(self, condition, timeout=90):
        until = time.monotonic() + timeout
        while not self.run(f"!!({condition})"):
            if time.monotonic() > until:
                raise TimeoutError(f"waited in vain for: {condition}\n{self.complaints}\n{self.text()[:3000]}")
            self.browser.pump(0.05)

    def text(self, selector="body"):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def place(self, selector):
        """The middle of an element, scrolled into view."""
        return self.run(f"""(() => {{ const it = document.querySelector({json.dumps(selector)}); it.scrollIntoView({{block: "center"}});
            const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()""")

    def mouse(self, kind, x, y, **more):
        self.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})

    def click(self, selector):
        x, y = self.place(selector)
        for kind in ["mousePressed", "mouseReleased"]:
            self.mouse(kind, x, y, button="left", clickCount=1)

    def drag(self, selector, dx, dy):
        x, y = self.place(selector)
        self.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
        for step in range(1, 5):
            self.mouse("mouseMoved", x + dx * step / 4, y + dy * step / 4, button="left", buttons=1)
        self.mouse("mouseReleased", x + dx, y + dy, button="left", clickCount=1)

    def type(self, selector, text):
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.send("Input.insertText", {"text": text})

    def press(self, key):
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        event = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0].upper())), **({"text": text} if text else {})}
        self.send("Input.dispatchKeyEvent", {"type": "keyDown", **event})
        self.send("Input.dispatchKeyEvent", {"type": "keyUp", **event})

    def picture(self, path, whole=False):
        data = self.send("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
