"""The panel as a process: it comes, it obeys, it dies, it comes back, and it never holds up the station."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from station.config import PanelConfig
from station.errors import ConfigError
from station.panel.process import PanelProcess

pytestmark = [pytest.mark.wall, pytest.mark.timeout(300)]
PATIENCE_S = 60


class Bench:
    """A panel with its parent's side in the test: a list of stops, and a plain HTTP client."""

    def __init__(self) -> None:
        self.stops: list[tuple[str, str]] = []
        self.crashes: list[tuple[str, BaseException]] = []
        self.panel = PanelProcess(
            PanelConfig(http="127.0.0.1:0"),
            "Line 3",
            on_stop=lambda command, who: self.stops.append((command, who)),
            on_crash=lambda name, error: self.crashes.append((name, error)),
        )
        url = self.panel.start()
        self.port = urlsplit(url).port or 0
        self.token = url.split("#token=")[1]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {"X-Station": "1", "Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def until(self, done: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline_s
            time.sleep(0.02)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = Bench()
    yield made
    made.panel.close()
    assert made.crashes == []


def test_it_shows_obeys_and_ends_without_a_trace(bench: Bench) -> None:
    frame = np.zeros((80, 120, 3), np.uint8)

    def shown() -> bool:
        bench.panel.publish({"machine": {"state": "Execute"}}, {"camera0": frame})
        return bool(bench.ask("GET", "/api/v1/state")[1].get("machine") == {"state": "Execute"})

    bench.until(shown)
    assert bench.ask("POST", "/api/v1/commands", {"command": "hold"})[0] == 202
    bench.until(lambda: [c["command"] for c in bench.panel.commands()] == ["hold"])
    assert bench.ask("POST", "/api/v1/commands", {"command": "stop"})[0] == 202
    assert bench.ask("POST", "/api/v1/commands", {"command": "abort"})[0] == 202
    bench.until(lambda: bench.stops == [("stop", "terminal at 127.0.0.1"), ("abort", "terminal at 127.0.0.1")])
    assert bench.panel.commands() == []
    assert bench.panel.token_file is not None
    assert bench.panel.token_file.stat().st_mode & 0o077 == 0
    pid = bench.panel.pid
    assert pid is not None
    bench.panel.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", bench.port), timeout=1):
        pass


def test_a_killed_panel_comes_back_on_the_same_address_with_the_same_token(bench: Bench) -> None:
    assert bench.ask("GET", "/api/v1/session")[1] == {"role": "operator"}
    first = bench.panel.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    bench.until(lambda: bench.panel.restarts == 1)
    assert bench.panel.pid != first
    assert bench.ask("POST", "/api/v1/commands", {"command": "stop"})[0] == 202
    bench.until(lambda: len(bench.stops) == 1)


def test_publishing_to_a_hanging_panel_does_not_wait(bench: Bench) -> None:
    bench.ask("GET", "/api/v1/session")
    pid = bench.panel.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    big = {"text": "x" * 200_000}  # more than a pipe holds
    for _ in range(5):  # each turn would hang if anything waited for the panel
        bench.panel.publish(big, {})
        time.sleep(0.12)
    os.kill(pid, signal.SIGCONT)


def test_an_address_in_use_is_said_with_a_way_out(bench: Bench) -> None:
    other = PanelProcess(PanelConfig(http=f"127.0.0.1:{bench.port}"), "Line 4", on_stop=lambda command, who: None)
    with pytest.raises(ConfigError, match="--http"):
        other.start()


def test_an_address_others_can_reach_is_refused_without_a_token_file() -> None:
    with pytest.raises(ConfigError, match="token_file"):
        PanelProcess(PanelConfig(http="0.0.0.0:0"), "Line 3", on_stop=lambda command, who: None).start()
