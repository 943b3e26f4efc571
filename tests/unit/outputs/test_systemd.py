"""The service's line to systemd, on a real datagram socket: what is said, when the watchdog is fed, and who hears nothing."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from station.errors import ConfigError
from station.outputs.systemd import Systemd

WATCHDOG = {"WATCHDOG_USEC": "15000000"}


class Manager:
    """What systemd holds: the other end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager_at() -> Iterator[Callable[[str], Manager]]:
    made: list[Manager] = []

    def manager(address: str) -> Manager:
        made.append(Manager(address))
        return made[-1]

    yield manager
    for one in made:
        one.close()


@pytest.fixture
def manager(tmp_path: Path, manager_at: Callable[[str], Manager]) -> Manager:
    return manager_at(str(tmp_path / "notify"))


@pytest.mark.parametrize("address", ["{folder}/notify", "@station-{pid}"], ids=["a path", "an abstract name"])
def test_a_service_is_ready_works_and_stops(tmp_path: Path, manager_at: Callable[[str], Manager], address: str) -> None:
    manager = manager_at(address.format(folder=tmp_path, pid=os.getpid()))
    service = Systemd({"NOTIFY_SOCKET": manager.address})
    service.ready()
    service.working(1, "Execute\n 12 items")
    service.stopping()
    assert manager.heard() == ["READY=1", "STATUS=Execute 12 items", "STOPPING=1"]


def test_the_watchdog_is_fed_only_while_the_loop_turns(manager: Manager) -> None:
    service = Systemd({"NOTIFY_SOCKET": manager.address, **WATCHDOG})
    for turns in (50, 100, 100, 100, 150):
        service.working(turns, "Execute")
    fed = ["WATCHDOG=1" in words for words in manager.heard()]
    assert fed == [True, True, False, False, True]


def test_a_watchdog_meant_for_another_process_is_not_fed(manager: Manager) -> None:
    service = Systemd({"NOTIFY_SOCKET": manager.address, "WATCHDOG_PID": str(os.getpid() + 1), **WATCHDOG})
    service.working(1, "Execute")
    assert manager.heard() == ["STATUS=Execute"]


def test_a_watchdog_faster_than_the_station_speaks_is_refused(manager: Manager) -> None:
    with pytest.raises(ConfigError, match=r"WatchdogSec is 2 s.*3 s or more"):
        Systemd({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"})


def test_outside_a_service_nothing_is_said_and_nothing_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[object]()
    monkeypatch.setattr(socket, "socket", lambda *how: opened.append(how))
    service = Systemd({"WATCHDOG_USEC": "1000"})
    service.ready()
    service.working(1, "Execute")
    service.stopping()
    assert opened == []


def test_a_manager_that_is_gone_or_reads_nothing_does_not_hold_the_station_up(manager: Manager) -> None:
    service = Systemd({"NOTIFY_SOCKET": manager.address, **WATCHDOG})
    for turns in range(2000):  # far more than a socket holds
        service.working(turns, "Execute")
    assert 0 < len(manager.heard()) < 2000
    manager.close()
    service.working(2001, "Execute")


@pytest.mark.wall
def test_a_station_tells_its_service_manager_from_start_to_end(tmp_path: Path, manager: Manager) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    _, encoded = cv2.imencode(".png", np.full((80, 120, 3), 90, np.uint8))
    for number in range(1000):
        (pictures / f"{number:03}.png").write_bytes(encoded.tobytes())
    running = subprocess.Popen(
        [sys.executable, "-m", "station", "run", "--camera", str(pictures), "--http", "off"],
        env={**os.environ, "NOTIFY_SOCKET": manager.address, **WATCHDOG},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    heard: list[str] = []
    while running.poll() is None and not any(words.startswith("WATCHDOG=1\nSTATUS=") for words in heard):
        time.sleep(0.05)
        heard += manager.heard()
    running.terminate()
    assert running.wait(60) == 0
    heard += manager.heard()
    assert heard[0] == "READY=1"
    assert heard[-1] == "STOPPING=1"
    assert any("WATCHDOG=1" in words for words in heard[1:-1])
