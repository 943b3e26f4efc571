"""Chromium, a station to look at, and a link that can be slow. A machine without Chromium skips these tests visibly."""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.tools.slow_link import SlowLink

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="Chromium is not installed (apt install chromium)"))


@pytest.fixture(scope="module")  # ends with the module: Playwright keeps an event loop running in this thread
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


def until(page: Any, condition: str, timeout_s: float = 60) -> float:
    """Seconds until a JavaScript expression is true, patiently: a busy machine is no failure.

    (Playwright's own wait needs eval, which our page forbids.)
    """
    begun_s = time.monotonic()
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < begun_s + timeout_s, f"not within {timeout_s} s: {condition}"
        time.sleep(0.02)
    return time.monotonic() - begun_s


class FakeStation:
    """The process of fake_station.py and what it has said so far."""

    def __init__(self, options: dict[str, Any], state_dir: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(state_dir)}
        script = Path(__file__).with_name("fake_station.py")
        command = [sys.executable, str(script), json.dumps(options)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        self.said: list[dict[str, Any]] = []
        self._news: queue.Queue[dict[str, Any]] = queue.Queue()
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()
        first = self.wait_for(lambda said: "url" in said, 60)
        self.url: str = first["url"]
        self.panel_pid: int = first["pid"]
        self.port = urlsplit(self.url).port or 0
        self.token = self.url.split("token=")[1]

    def change(self, **values: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> dict[str, Any]:
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"the station did not say it within {timeout_s} s; it said {self.said[-5:]}"
            try:
                said = self._news.get(timeout=left_s)
            except queue.Empty:
                continue
            self.said.append(said)
            if wanted(said):
                return said

    def report(self) -> dict[str, Any]:
        self.change(report=True)
        return self.wait_for(lambda said: "watched" in said, 60)

    def end(self) -> None:
        if self.process.poll() is None:
            self.change(end=True)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self._ear.join(5)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._news.put(json.loads(line))


@pytest.fixture(scope="module")
def long_lived_station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStation]:
    station = FakeStation({"http": "127.0.0.1:0"}, tmp_path_factory.mktemp("run"))
    yield station
    station.end()


@pytest.fixture
def station(long_lived_station: FakeStation) -> FakeStation:
    """A running station that shows nothing special; shared, so nobody may kill it."""
    long_lived_station.change(forget=True)
    return long_lived_station


@pytest.fixture
def mortal_station(tmp_path: Path) -> Iterator[FakeStation]:
    station = FakeStation({"http": "127.0.0.1:0"}, tmp_path)
    yield station
    station.end()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open the page as an operator in a browser of its own (own cookies) and wait for the first picture."""
    contexts: list[Any] = []

    def open_it(url: str, *, width: int = 1366, height: int = 900, wait: bool = True) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(url)
        if wait:
            until(page, "window.stationPage?.live?.ages.length > 3", 60)
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture
def slow_link() -> Iterator[Callable[[int, float], SlowLink]]:
    links: list[SlowLink] = []

    def make(port: int, bytes_per_s: float) -> SlowLink:
        links.append(SlowLink(port, bytes_per_s))
        return links[-1]

    yield make
    for link in links:
        link.close()
