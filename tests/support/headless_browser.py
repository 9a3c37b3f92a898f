"""A real browser without a window, driven through Chromium's DevTools pipe, for which nothing has to be installed but it.

It waits on conditions, never for a length of time.
"""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

NAMES = ("chromium", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests often run as root in a container, where Chromium refuses its sandbox
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card, for meshes
    "--remote-debugging-pipe",
)
# Everything in the page, also inside the shadow roots of which TensorBoard's dashboards are made.
LIBRARY = """
window.all = (selector, root = document) => {
  const found = [...root.querySelectorAll(selector)];
  for (const one of root.querySelectorAll('*')) if (one.shadowRoot) found.push(...all(selector, one.shadowRoot));
  return found;
};
window.words = (root = document.body) => {
  if (!root) return '';
  let text = '';
  for (const node of root.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) text += node.textContent + ' ';
    if (node.nodeType !== Node.ELEMENT_NODE || ['STYLE', 'SCRIPT', 'NOSCRIPT', 'TEMPLATE'].includes(node.tagName)) continue;
    if (node.shadowRoot) text += words(node.shadowRoot) + ' ';
    text += words(node) + ' ';
  }
  return text.replace(/\\s+/g, ' ');
};
window.until = (condition, milliseconds) => new Promise(resolve => {
  const end = performance.now() + milliseconds;
  const look = () => {
    let value;
    try { value = condition(); } catch (error) { value = null; }
    if (value || performance.now() > end) resolve(value); else setTimeout(look, 50);
  };
  look();
});
"""


def find_browser() -> str | None:
    """The path of a Chromium on this machine."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One page of a headless Chromium; a context manager that ends the browser and all its processes.

    Args:
        program: the Chromium to start.
        profile: an empty folder for its files.
        size: width and height of the page in pixels.
    """

    def __init__(self, program: str, profile: Path, size: tuple[int, int] = (1400, 900)) -> None:
        self._number = 0
        their_input, self._commands = os.pipe()
        self._answers, their_output = os.pipe()
        # DevTools reads file descriptor 3 and writes 4, whatever numbers the pipes have here.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (their_input, their_output)]

        def connect() -> None:
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        window = f"--window-size={size[0]},{size[1]}"
        self._process = subprocess.Popen(
            [program, *FLAGS, window, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(3, 4),
            preexec_fn=connect,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (their_input, their_output, *high):
            os.close(end)
        self._rest = b""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")
        self._call("Page.addScriptToEvaluateOnNewDocument", source=LIBRARY)
        width, height = size
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(BrokenPipeError, EOFError):
            self._call("Browser.close")
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def open(self, url: str) -> None:
        """Load a page anew."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression says (a promise: what it comes to)."""
        said = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in said:
            raise RuntimeError(said["exceptionDetails"])
        return said["result"].get("value")

    def until(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true; AssertionError with the page's words if it never is."""
        came = self.value(f"until(() => Boolean({condition}), {1000 * seconds})")
        assert came, f"not on the page: {condition}; there is: {self.value('words()')[:2000]}"

    def until_seen(self, element: str, holds: Callable[[np.ndarray], bool], seconds: float = 60) -> None:
        """Scroll to an element and look at it, RGB [H, W, 3] uint8, until that `holds`; AssertionError if it never does."""
        self.until(element)
        self.value(f"{element}.scrollIntoView({{block: 'center'}})")
        box = f"(r => [r.top, r.bottom, r.left, r.right].map(Math.round))({element}.getBoundingClientRect())"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            top, bottom, left, right = (max(0, edge) for edge in self.value(box))
            if holds(self.screenshot()[top:bottom, left:right]):
                return
        raise AssertionError(f"{element} is on the page, but not as expected")

    def screenshot(self) -> np.ndarray:
        """What is seen, RGB [H, W, 3] uint8."""
        file = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        return cv2.cvtColor(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command, wait for its answer; what the page tells meanwhile is not looked at."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session") and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._answers, 1 << 20)
            if not more:
                raise EOFError("the browser has ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
