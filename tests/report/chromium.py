"""A small DevTools client: a real headless Chromium, real mouse and keyboard events, no library."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Enter": 13,
    "Escape": 27,
    "Tab": 9,
}


class Chromium:
    """One browser with one page. Commands go through a pipe (DevTools protocol, JSON ended by a zero byte)."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="mdiff-chromium-")
        child_reads, self._write = _pipe()
        self._read, child_writes = _pipe()
        arguments = [str(PROGRAM), *FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$@" 3<&{child_reads} 4>&{child_writes}', "bash", *arguments],
            pass_fds=(child_reads, child_writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(child_reads)
        os.close(child_writes)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.problems: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.requests: list[str] = []

    def close(self) -> None:
        """End the browser and remove its profile."""
        self._session = None
        try:
            self.send("Browser.close")
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired, TimeoutError):
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; a failed one is a RuntimeError."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a file and wait until its script is done; `requests` are the addresses that it asked for."""
        self.problems.clear()
        self.requests.clear()
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=path.resolve().as_uri() + fragment)
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:800])
        return answer["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """Return the text of every element that matches."""
        return self.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(n => n.textContent)")

    def text(self, selector: str) -> str:
        """Return the text of the first element that matches."""
        return self.texts(selector)[0]

    def click(self, selector: str, number: int = 0) -> None:
        """Press and release the mouse in the middle of an element that is in sight; an error where it is covered."""
        find = f"document.querySelectorAll({json.dumps(selector)})[{number}]"
        self.evaluate(f"{find}.scrollIntoView({{block: 'center', inline: 'center'}})")
        box = (
            f"(() => {{ const b = {find}.getBoundingClientRect(); return [b.left + b.width/2, b.top + b.height/2] }})()"
        )
        x, y = self.evaluate(box)
        if not self.evaluate(f"(n => {find}.contains(n) || n.contains({find}))(document.elementFromPoint({x}, {y}))"):
            raise RuntimeError(f"{selector} is covered at {x}, {y}")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a select, as a user's choice reports it."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(
            f"{find}.value = {json.dumps(value)}; {find}.dispatchEvent(new Event('change', {{bubbles: true}}))"
        )

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            code = {"windowsVirtualKeyCode": KEYS[key], "code": key}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, **code, **(text if kind == "keyDown" else {}))

    def type(self, text: str) -> None:
        """Enter text where the focus is."""
        self.send("Input.insertText", text=text)

    def view(self, width: int = 1280, height: int = 900, *, dark: bool = False, mobile: bool = False) -> None:
        """Set the size of the window, the colour scheme, and whether it is a phone."""
        scale = 2 if mobile else 1
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """Write what is in sight as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], 60)[0]:
                raise TimeoutError("the browser does not answer")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise OSError("the browser is gone")
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer = json.loads(message)
        self._note(answer)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what went wrong on the page, and what it asked the network for."""
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(parameters["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(parameters["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are well above the numbers 3 and 4 that the browser expects its own at."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
