"""Ports and controllers as a plant has them: made-up device files, and the firmware's own core behind a wire in memory."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from firmware_bridge.loopback import DeviceTransport, SteppedController, WireFaults
from firmware_bridge.virtual_device import VirtualDevice
from station.clock import ManualClock
from station.commissioning.findings import Finding, Verdict
from station.commissioning.port_checks import controller_findings, port_findings, relay_findings
from station.config import StationConfig, builtin_config, changed
from tests.unit.firmware_bridge.relay_rig import WATCHDOG, FakeBoard


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dev/serial/by-id").mkdir(parents=True)
    (tmp_path / "dev/ttyUSB0").touch()
    (tmp_path / "dev/serial/by-id/usb-Station_0001-if00").symlink_to("../../ttyUSB0")
    return tmp_path


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_a_missing_device_is_told_and_nothing_else(root: Path) -> None:
    (finding,) = port_findings("/dev/ttyACM7", root)
    assert finding.verdict is Verdict.FAIL
    assert "/dev/ttyACM7" in finding.message


def test_a_number_that_may_change_is_warned_of_with_the_lasting_name(root: Path) -> None:
    finding = by_check(list(port_findings("/dev/ttyUSB0", root)))["port name"]
    assert finding.verdict is Verdict.WARN
    assert "/dev/serial/by-id/usb-Station_0001-if00" in finding.fix
    lasting = by_check(list(port_findings("/dev/serial/by-id/usb-Station_0001-if00", root)))["port name"]
    assert lasting.verdict is Verdict.PASS


def test_a_port_without_rights_names_its_group(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    finding = by_check(list(port_findings("/dev/ttyUSB0", root)))["port"]
    assert finding.verdict is Verdict.FAIL
    assert finding.fix.startswith("sudo usermod -aG ")


@pytest.mark.parametrize(("timer_ms", "verdict"), [("16", Verdict.WARN), ("1", Verdict.PASS)])
def test_the_ftdi_latency_timer_is_read_through_the_lasting_name(root: Path, timer_ms: str, verdict: Verdict) -> None:
    sysfs = root / "sys/bus/usb-serial/devices/ttyUSB0"
    sysfs.mkdir(parents=True)
    (sysfs / "latency_timer").write_text(timer_ms + "\n")
    finding = by_check(list(port_findings("/dev/serial/by-id/usb-Station_0001-if00", root)))["latency timer"]
    assert finding.verdict is verdict
    assert verdict is Verdict.PASS or "/sys/bus/usb-serial/devices/ttyUSB0/latency_timer" in finding.fix


class TimedController(SteppedController):
    """Waiting takes the time it says."""

    def __init__(self, transport: DeviceTransport, clock: ManualClock) -> None:
        super().__init__(transport)
        self._clock = clock

    def wait(self, timeout_s: float) -> None:
        super().wait(timeout_s)
        self._clock.advance_ms(timeout_s * 1000)


def greet(gates: int = 8, encoder: bool = True, *, latency_us: int = 100, plugged: bool = True) -> dict[str, Finding]:
    clock = ManualClock()
    device = VirtualDevice(gates=gates, has_encoder=encoder)
    transport = DeviceTransport(device, lambda ns: ns / 1e6, WireFaults(latency_ns=latency_us * 1000))
    if not plugged:
        transport.unplug()
    controller = TimedController(transport, clock)
    findings = by_check(list(controller_findings(controller, clock, builtin_config("station"))))
    assert not device.armed
    controller.close()
    return findings


def test_a_good_controller_passes_with_its_figures() -> None:
    findings = greet()
    assert {check: finding.verdict for check, finding in findings.items()} == dict.fromkeys(
        ("controller", "clock bound", "outputs"), Verdict.PASS
    )
    assert "8 gates, encoder" in findings["controller"].message


def test_nobody_at_the_other_end_is_told_within_the_time() -> None:
    findings = greet(plugged=False)
    assert findings["controller"].verdict is Verdict.FAIL
    assert "cable" in findings["controller"].message


def test_a_slow_wire_leaves_a_bound_too_wide_to_arm() -> None:
    findings = greet(latency_us=8000)
    assert findings["clock bound"].verdict is Verdict.FAIL
    assert "max_sync_bound_us = 500" in findings["clock bound"].message


@pytest.mark.parametrize(("gates", "encoder", "words"), [(4, True, "8 gates are configured"), (8, False, "no encoder")])
def test_a_board_that_cannot_hold_the_configuration_is_found(gates: int, encoder: bool, words: str) -> None:
    finding = greet(gates, encoder)["outputs"]
    assert finding.verdict is Verdict.FAIL
    assert words in finding.message


def test_a_line_without_encoder_needs_none() -> None:
    config = changed(builtin_config("station"), belt={"mm_per_count": None, "speed_m_s": 1.0})
    clock = ManualClock()
    controller = TimedController(DeviceTransport(VirtualDevice(has_encoder=False), lambda ns: 0.0), clock)
    findings = by_check(list(controller_findings(controller, clock, config)))
    assert findings["outputs"].verdict is Verdict.PASS
    controller.close()


def test_firmware_of_another_protocol_is_told_to_be_flashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core itself answers; this program has another schema than the one the core was built with."""
    monkeypatch.setattr("firmware_bridge.wire.SCHEMA_HASH", 0x12345678)
    findings = greet()
    assert findings["controller"].verdict is Verdict.FAIL
    assert "schema" in findings["controller"].message
    assert "flash the firmware" in findings["controller"].fix


@dataclass
class TimedBoard(FakeBoard):
    """Waiting takes the time it says."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(1))

    def wait(self, timeout_s: float) -> None:
        self.clock.advance_ms(timeout_s * 1000)
        self.live_until(self.clock.now_ns())


def with_relays(register: int = WATCHDOG) -> StationConfig:
    config = builtin_config("station")
    relay = {"watchdog_register": register, "watchdog_unit_ms": 10}
    return changed(config, link=config.link.model_dump() | {"relay": relay})


def test_a_relay_board_is_read_and_left_as_it_was() -> None:
    board = TimedBoard(registers={WATCHDOG: 25_000}, relays=[True] * 16)
    (finding,) = relay_findings(board, with_relays(), board.clock)
    assert finding.verdict is Verdict.PASS, finding
    assert "holds 250000 ms" in finding.message
    assert board.moves == []
    assert (board.relays, board.registers) == ([True] * 16, {WATCHDOG: 25_000})


@pytest.mark.parametrize(
    ("board", "register", "words"),
    [
        ({"deaf": True}, WATCHDOG, "nobody answers as Modbus device 1 at 9600 baud"),
        ({}, 7, "no watchdog at register 7 (Modbus exception 2)"),
        ({"relays": [False] * 4}, WATCHDOG, "no relays 0 to 7"),
        ({"plugged": False}, WATCHDOG, "no such port"),
    ],
    ids=["silent", "another register", "four relays", "unplugged"],
)
def test_a_relay_board_that_cannot_serve_is_found(board: dict[str, object], register: int, words: str) -> None:
    asked = TimedBoard(**({"relays": [False] * 16} | board))  # type: ignore[arg-type]
    (finding,) = relay_findings(asked, with_relays(register), asked.clock)
    assert finding.verdict is Verdict.FAIL
    assert words in finding.message
