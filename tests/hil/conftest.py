"""One suite for whatever answers at a serial port: by default the real core behind a pseudo-terminal, with --port a board.

Functional only: windows are generous, because a desk and an operating system are in between.
"""

import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from firmware_bridge.conversation import SessionSettings
from firmware_bridge.link import SerialController
from firmware_bridge.messages import (
    DeviceConfig,
    DivertCommand,
    Fired,
    GateConfig,
    LinkChanged,
    LinkState,
    NotFired,
    Refused,
    Reply,
    Unanswered,
    Window,
)
from firmware_bridge.serial_port import SerialTransport
from firmware_bridge.session import Session

MS = 1_000_000
MM_PER_COUNT = 0.5
SPEED_MM_S = 400.0
R = TypeVar("R", bound=Reply)


class Twin:
    """The device as a process of its own, with a belt that runs."""

    def __init__(self, folder: Path) -> None:
        profile = folder / "belt"
        segment = struct.pack("<Qddd", time.monotonic_ns(), 0.0, SPEED_MM_S, 0.0)
        header = b"STNBELT1" + struct.pack("<IIdd", 0, 1, MM_PER_COUNT, 0.0)
        profile.write_bytes(header + segment + bytes(32 * 255))
        self.edges_file = folder / "edges.jsonl"
        self._process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "firmware_bridge.virtual_device", "--profile", str(profile)),
                *("--edges", str(self.edges_file), "--link", str(folder / "port")),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port: str = json.loads(self._process.stdout.readline())["port"]

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def edges(self) -> list[dict[str, int]]:
        return [json.loads(line) for line in self.edges_file.read_text().splitlines()]

    def end(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=5)


class Driver:
    """The station's link thread and its loop, in the test's own thread."""

    def __init__(self, port: str) -> None:
        self.transport = SerialTransport(port)
        self.controller = SerialController(self.transport, Session(SessionSettings(sync_bound_us=20_000)))
        self.leasing = True
        self.heard: list[Reply] = []
        self.finals: dict[int, Reply] = {}
        self._counter = 0
        self._ids = 0

    def turn(self) -> None:
        self.controller.wait(0.002)
        for reply in self.controller.poll(time.monotonic_ns()):
            self.heard.append(reply)
            if isinstance(reply, Refused | Fired | NotFired | Unanswered):
                assert reply.command_id not in self.finals, "a second final reply"
                self.finals[reply.command_id] = reply
        if self.leasing:
            self._counter += 1
            self.controller.renew_lease(self._counter)

    def until(self, done: Callable[[], bool], timeout_s: float = 8.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, (
                f"not within {timeout_s} s; link: {self.controller.status()}, heard {self.heard[-5:]}"
            )
            self.turn()

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.turn()

    def reach(self, state: LinkState, timeout_s: float = 8.0) -> None:
        self.until(lambda: self.controller.status().state is state, timeout_s)

    def arm(self) -> None:
        self.controller.configure(config_for(self))
        self.reach(LinkState.READY)
        self.controller.arm()
        self.reach(LinkState.ARMED)

    def submit(self, window: Window, gate: int = 0, command_id: int | None = None) -> int:
        self._ids += 1
        command = DivertCommand(self._ids if command_id is None else command_id, 1 << gate, window)
        self.controller.submit(command, time.monotonic_ns())
        return command.command_id

    def final(self, command_id: int, timeout_s: float = 8.0) -> Reply:
        self.until(lambda: command_id in self.finals, timeout_s)
        return self.finals[command_id]

    def told(self, kind: type[R]) -> list[R]:
        return [reply for reply in self.heard if isinstance(reply, kind)]

    def link_states(self) -> list[LinkState]:
        return [reply.state for reply in self.told(LinkChanged)]


def config_for(driver: Driver) -> DeviceConfig:
    """As many gates as the device has, at most eight."""
    driver.until(lambda: driver.controller.capabilities() is not None)
    capabilities = driver.controller.capabilities()
    assert capabilities is not None
    gate = GateConfig(0, 2000, 500_000, 2000, 5000, 5000, 1000)
    mm_per_count = MM_PER_COUNT if capabilities.has_count else None
    return DeviceConfig((gate,) * min(8, capabilities.gates), 250, 50_000, mm_per_count, 10_000, 20_000)


@pytest.fixture
def twin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Twin | None]:
    """None when a real board is tested."""
    if request.config.getoption("--port"):
        yield None
        return
    twin = Twin(tmp_path)
    yield twin
    twin.end()


@pytest.fixture
def port(request: pytest.FixtureRequest, twin: Twin | None) -> str:
    return twin.port if twin is not None else str(request.config.getoption("--port"))


@pytest.fixture
def driver(port: str) -> Iterator[Driver]:
    driver = Driver(port)
    yield driver
    driver.controller.close()


@pytest.fixture
def only_twin(twin: Twin | None) -> Twin:
    """For what a hand would have to do on a board."""
    if twin is None:
        pytest.skip("needs a device that can be unplugged and restarted by the test")
    return twin
