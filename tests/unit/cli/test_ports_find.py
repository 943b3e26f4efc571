"""`station ports find`: which ports are greeted unasked, what `--all` adds, and what a stranger hears.

Each port is a pseudo-terminal: behind one the firmware's core in its own process, behind the other a drive that only listens.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_bridge.serial_port import PortInfo
from station.cli.ports_commands import ports

RUN = CliRunner()
BOARD, STRANGER = (0x2341, 0x0043), (0x0B67, 0x555E)


class Listener:
    """A device that takes what comes and says nothing."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        self.name = os.ttyname(self._slave)

    def heard(self) -> bytes:
        try:
            return os.read(self._master, 65536)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[str]:
    """The port of the simulated device."""
    link = tmp_path / "device.port"
    words = [sys.executable, "-m", "firmware_bridge.virtual_device", "--link", str(link), "--gates", "8"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not link.exists():
        assert time.monotonic() < deadline, "the simulated device did not start"
        time.sleep(0.02)
    yield str(link)
    process.terminate()
    process.communicate(timeout=10)


def plugged(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, tuple[int, int] | None]) -> None:
    """These ports and no others are on this computer; None: a port of the mainboard, not on USB."""
    there = []
    for device, ids in found:
        vid, pid = ids or (None, None)
        there.append(PortInfo(device, None, vid, pid, serial_number=None, description="", latency_timer_ms=None))
    monkeypatch.setattr("firmware_bridge.serial_port.list_serial_ports", lambda: there)


def rows_of(*flags: str) -> tuple[int, list[dict[str, object]], str]:
    result = RUN.invoke(ports, ["find", "--json", *flags])
    return result.exit_code, json.loads(result.stdout)["ports"], result.stderr


@pytest.mark.wall
def test_a_stranger_hears_nothing_unless_all_are_asked(
    monkeypatch: pytest.MonkeyPatch, controller: str, listener: Listener
) -> None:
    plugged(monkeypatch, (controller, BOARD), (listener.name, STRANGER))
    code, rows, said = rows_of()
    assert code == 0
    assert [(row["device"], row["controller"]) for row in rows] == [(controller, True)]
    assert listener.heard() == b""
    assert "1 USB ports are not known as boards and were not asked; --all asks them too" in said

    code, rows, said = rows_of("--all")
    assert code == 0
    assert [(row["device"], row["controller"]) for row in rows] == [(controller, True), (listener.name, False)]
    assert rows[0]["gates"] == 8
    assert listener.heard() != b""
    assert "were not asked" not in said


@pytest.mark.wall
def test_a_controller_behind_an_unknown_identity_is_found_with_all_alone(
    monkeypatch: pytest.MonkeyPatch, controller: str
) -> None:
    plugged(monkeypatch, (controller, STRANGER))
    code, rows, said = rows_of()
    assert (code, rows) == (4, [])
    assert "--all asks them too" in said
    assert "no controller answers" in said

    code, rows, _ = rows_of("--all")
    assert code == 0
    assert [(row["device"], row["controller"]) for row in rows] == [(controller, True)]


def test_a_port_of_the_mainboard_is_not_asked_even_with_all(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    plugged(monkeypatch, (listener.name, None))
    code, rows, said = rows_of("--all")
    assert (code, rows) == (4, [])
    assert listener.heard() == b""
    assert "no controller answers on any USB port" in said
