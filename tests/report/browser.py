"""A headless Chromium driven by its DevTools protocol: opens a file, says what it logged and what it asked for."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import websocket

BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
ENDPOINT = re.compile(r"DevTools listening on (ws://\S+)")
START_S = 60.0


class Browser:
    """One browser with one page; `logged` and `requested` grow as it works.

    Args:
        profile: an empty folder of its own.
    """

    def __init__(self, profile: Path) -> None:
        assert BINARY is not None
        log = profile / "stderr.txt"
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [BINARY, *FLAGS, f"--user-data-dir={profile / 'profile'}", "about:blank"],
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self.logged: list[str] = []
        self.requested: list[str] = []
        self._number = 0
        self._socket: Any = None
        try:
            self._socket = websocket.create_connection(self._endpoint(log), timeout=60)
            targets = self._send("Target.getTargets")["targetInfos"]
            page = next(target["targetId"] for target in targets if target["type"] == "page")
            self._session: str | None = None
            self._session = self._send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self._send(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def _endpoint(self, log: Path) -> str:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            found = ENDPOINT.search(log.read_text(errors="replace"))
            if found:
                return found[1]
            time.sleep(0.05)
        raise RuntimeError(f"the browser did not start: {log.read_text(errors='replace')[-2000:]}")

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._number > 1 and getattr(self, "_session", None):
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        kind, content = event.get("method"), event.get("params", {})
        if kind == "Runtime.exceptionThrown":
            details = content["exceptionDetails"]
            self.logged.append(f"{details['text']} {details.get('exception', {}).get('description', '')}")
        elif kind == "Runtime.consoleAPICalled" and content["type"] in ("error", "warning", "assert"):
            self.logged.append(f"{content['type']}: {[argument.get('value') for argument in content['args']]}")
        elif kind == "Log.entryAdded" and content["entry"]["level"] in ("error", "warning"):
            self.logged.append(content["entry"]["text"])
        elif kind == "Network.requestWillBeSent":
            self.requested.append(content["request"]["url"])
        elif kind == "Page.loadEventFired":
            self._loaded = True

    def open(self, path: Path, *, width: int, height: int = 900, dark: bool = False, scale: float = 1) -> None:
        """Open a file in a window of this size, and wait until its scripts have run."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])
        self._send("Page.navigate", url=path.resolve().as_uri())
        deadline = time.monotonic() + START_S
        while self.evaluate("document.readyState") != "complete":
            assert time.monotonic() < deadline, "the page did not load"
            time.sleep(0.05)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        answer = self._send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, expression: str) -> Any:
        """The value of an expression once it is true."""
        deadline = time.monotonic() + START_S
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"{expression} did not become true"
            time.sleep(0.05)
        return value

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse there."""
        self._send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, *, whole: bool = False) -> bytes:
        """The window, or the whole page, as PNG."""
        answer = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        """End the browser."""
        if self._socket is not None:
            self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()
