"""A browser that a test drives: Chromium by its DevTools protocol, over two pipes, so that no port is opened.

It keeps everything that it complains of and every request that a page makes, for the test to look at.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import subprocess
import time

from browsing import CHROMIUM, OPTIONS

PATIENCE_S = 120


@contextlib.contextmanager
def browser(directory):
    """A browser with one page, until the end of the block."""
    (to_read, to_write), (from_read, from_write) = os.pipe(), os.pipe()

    def hand_over():
        reading, writing = os.dup(to_read), os.dup(from_write)  # above 4, whatever these were
        os.dup2(reading, 3)
        os.dup2(writing, 4)

    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={directory / 'driven'}", "--remote-debugging-pipe", "about:blank"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=hand_over,  # noqa: PLW1509 - there is one thread
        close_fds=False,
    )
    os.close(to_read)
    os.close(from_write)
    try:
        yield Page(to_write, from_read)
    finally:
        os.close(to_write)  # it ends by itself then
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_read)


class Page:
    """The browser's one page."""

    def __init__(self, writing, reading):
        self._writing, self._reading = writing, reading
        self._numbers, self._buffer, self._session = itertools.count(1), b"", None
        self.complaints = []
        """What was written to the console, thrown, or refused by the page's policy."""
        self.requests = []
        """Addresses that it asked for, the page itself too."""
        targets = self.ask("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        """Send a command and return what it answers."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, file):
        """Show a file, and wait until it is loaded."""
        self.ask("Page.navigate", url=file.as_uri())
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def value(self, expression):
        """Evaluate an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression):
        """Wait until an expression holds."""
        end = time.monotonic() + PATIENCE_S
        while not self.value(expression):
            assert time.monotonic() < end, expression

    def look(self, *, width=1280, height=900, scheme="light", media="screen"):
        """Choose the size of the window, the scheme of colours, the medium."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def picture(self, file, *, height=None):
        """Write a picture of the window, or of so much of the page from its top."""
        whole = {}
        if height:
            width = self.value("innerWidth")
            clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            whole = {"captureBeyondViewport": True, "clip": clip}
        file.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", **whole)["data"]))

    def paper(self, file):
        """Print to a file, as the page asks to be printed."""
        self.ask("Emulation.setEmulatedMedia", media="")
        answer = self.ask("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    def press(self, key):
        """Press a key, and let it go."""
        code = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)
            text = {}

    def _next(self):
        """Return the next message, and keep what tells of complaints and requests."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reading], [], [], PATIENCE_S)
            assert ready, "the browser says nothing"
            part = os.read(self._reading, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(raw)
        method, told = message.get("method"), message.get("params")
        if method in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}:
            self.complaints.append(told)
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        return message
