"""What `tests.tools.page` measures on: a running demo, a browser that looks at it, and what its device wrote down."""

import http.client
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
BROWSER_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Demo:
    """`station demo` in a folder of its own; its page, its commands, its report."""

    def __init__(self, folder: Path, name: str, *flags: str) -> None:
        folder.mkdir(exist_ok=True)
        self.out = folder / name
        words = [sys.executable, "-m", "station", "demo", "--json", "--out", name, *flags]
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": paths}
        self.process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._printed: queue.Queue[str] = queue.Queue()
        self._report: list[str] = []
        self._ears = [
            threading.Thread(target=self._listen, args=(self.process.stderr, self._printed.put), daemon=True),
            threading.Thread(target=self._listen, args=(self.process.stdout, self._report.append), daemon=True),
        ]
        for ear in self._ears:
            ear.start()
        self.url = self.token = ""

    def wait_for_page(self, timeout_s: float = 180) -> str:
        """The printed address; afterwards the line sorts."""
        address = re.compile(r"http://\S+#token=(\S+)")
        found = self.wait_for_line(address, timeout_s)
        self.url, self.token = found[0], found[1]
        until("sorting", lambda: self.state().get("machine", {}).get("state") == "Execute", 60)
        return self.url

    def wait_for_line(self, pattern: re.Pattern[str], timeout_s: float) -> re.Match[str]:
        deadline_s = time.monotonic() + timeout_s
        said: list[str] = []
        while time.monotonic() < deadline_s and (self.process.poll() is None or not self._printed.empty()):
            try:
                said.append(self._printed.get(timeout=0.2))
            except queue.Empty:
                continue
            if found := pattern.search(said[-1]):
                return found
        raise SystemExit(f"the demo never said {pattern.pattern!r}; it said: {''.join(said[-10:])}")

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """One request as anybody could make it; underscores in header names become dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def state(self) -> dict[str, Any]:
        try:
            return self.ask("GET", "/api/v1/state")[1]
        except (OSError, http.client.HTTPException):
            return {}  # the page's process is on its way

    def items(self) -> int:
        return int((self.state().get("counts") or {}).get("total") or 0)

    def command(self, name: str) -> None:
        form = {"X_Station": "1", "Content_Type": "application/json", "Authorization": f"Bearer {self.token}"}
        status, answer = self.ask("POST", "/api/v1/commands", json.dumps({"command": name}), **form)
        if status != 202:
            raise SystemExit(f"{name}: {status} {answer}")

    def sort_again(self) -> None:
        """After a STOP: until the device is armed again."""
        for name, wanted in (("reset", "Idle"), ("start", "Execute")):
            self.command(name)
            until(wanted, lambda wanted=wanted: self.state()["machine"]["state"] == wanted, 60)
        until("armed", lambda: (self.state().get("link") or {}).get("state") == "armed", 60)

    def panel_pid(self) -> int:
        """The page's own process: the child of the station that calls itself so."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                facts = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            except OSError:
                continue
            if facts["Name"] == "station-panel" and int(facts["PPid"]) == self.process.pid:
                return int(status.parent.name)
        raise SystemExit("the page has no process of its own")

    def device_rows(self, name: str = "device") -> list[dict[str, Any]]:
        path = self.out / f"{name}.jsonl"
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def end(self, timeout_s: float = 120) -> dict[str, Any]:
        """Terminate it (unless it has ended) and take its report. SIGINT may be ignored where a script runs us aside."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait(timeout_s)

    def wait(self, timeout_s: float) -> dict[str, Any]:
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("the demo did not end") from None
        for ear in self._ears:
            ear.join(5)
        return dict(json.loads("".join(self._report)))

    @staticmethod
    def _listen(pipe: Any, take: Any) -> None:
        for line in pipe:
            take(line)


def until(what: str, done: Any, timeout_s: float) -> float:
    """Seconds until it was so."""
    begun_s = time.monotonic()
    while not done():
        if time.monotonic() > begun_s + timeout_s:
            raise SystemExit(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.02)
    return time.monotonic() - begun_s


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("Chromium is not installed (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def look(browser: Any, url: str) -> Any:
    """Open the page and wait for pictures."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    until("a picture in the browser", lambda: page.evaluate("(window.stationPage?.live?.drawings.length ?? 0) > 5"), 60)
    return page


def page_clock_ms(page: Any) -> float:
    """What to add to the page's performance.now() to have the host's monotonic clock, ms; by the quickest of many asks."""
    offers = []
    for _ in range(30):
        before_ns = time.monotonic_ns()
        page_ms = page.evaluate("performance.now()")
        after_ns = time.monotonic_ns()
        offers.append((after_ns - before_ns, (before_ns + after_ns) / 2e6 - page_ms))
    return float(min(offers)[1])


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """A machine with something else to do."""
    spin = "while True: sum(range(10000))"
    others = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
