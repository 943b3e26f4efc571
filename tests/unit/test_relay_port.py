"""`port = "relay:..."`: a relay board is built from [link.relay], and what it cannot keep is a configuration error."""

from typing import Any

import pytest
from pymodbus.pdu.bit_message import WriteMultipleCoilsRequest

from firmware_bridge.relay_board import RelayBoard
from station.app import device_config, open_relay_board
from station.clock import ManualClock, SystemClock
from station.commissioning.doctor import _relay_board
from station.commissioning.findings import Verdict
from station.commissioning.link_bench import ControllerBench, exercise_gates
from station.config import StationConfig, builtin_config
from station.errors import ConfigError
from station.run import _controller
from tests.unit.firmware_bridge.relay_rig import WATCHDOG
from tests.unit.firmware_bridge.relay_server import BAUD, RelayServer, a_device

SLOW = {"min_hold_ms": 150.0, "max_hold_ms": 2000.0}


def line(link: dict[str, Any], gate: dict[str, Any] | None = None, encoder: bool = False) -> StationConfig:
    config = builtin_config("virtual")
    belt = config.belt if encoder else config.belt.model_copy(update={"mm_per_count": None, "speed_m_s": 0.5})
    gates = tuple(each.model_copy(update=SLOW if gate is None else gate) for each in config.gates)
    whole = config.model_dump() | {"belt": belt.model_dump(), "gate_bar": None}
    whole["gate"] = [each.model_dump() for each in gates]
    whole["link"] = config.link.model_dump() | {"max_late_us": 50_000} | link
    return StationConfig.model_validate(whole)


def test_a_relay_port_gets_a_relay_board() -> None:
    controller = _controller(line({"relay": {"watchdog_register": 0x1120}}), "relay:/dev/ttyUSB7", ManualClock())
    assert isinstance(controller, RelayBoard)
    assert controller.status().port == "/dev/ttyUSB7"
    assert controller.status().timing == "host"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (line({}), r"without \[link.relay\]"),
        (line({"relay": {}}, gate={"min_hold_ms": 5.0}), "Slow flaps only"),
        (line({"relay": {}}, gate={**SLOW, "safe_level": 1}), "normally closed"),
        (line({"relay": {}, "max_late_us": 1000}), "max_late_us"),
        (line({"relay": {}}, encoder=True), "no encoder"),
    ],
    ids=["no section", "fast gates", "safe level 1", "too prompt", "encoder"],
)
def test_what_a_relay_board_cannot_keep_stops_the_start(config: StationConfig, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_relay_board(config, "/dev/ttyUSB7")


@pytest.mark.parametrize(
    ("link", "verdict", "words"),
    [
        ({}, Verdict.FAIL, "no [link.relay]"),
        ({"relay": {}}, Verdict.FAIL, "never be armed"),
        ({"relay": {"watchdog_register": 7}}, Verdict.PASS, "watchdog at register 7"),
    ],
    ids=["no section", "no watchdog", "whole"],
)
def test_doctor_judges_a_relay_board_without_touching_it(link: dict[str, Any], verdict: Verdict, words: str) -> None:
    finding = _relay_board(line(link))
    assert finding.verdict is verdict
    assert words in finding.message


def test_the_gates_of_a_relay_board_are_exercised_like_any_others() -> None:
    """A few seconds of wall time against pymodbus's own server."""
    config = line({"relay": {"watchdog_register": WATCHDOG, "baud": BAUD}, "lease_ms": 1000})
    with RelayServer(a_device(16, WATCHDOG)) as server:
        bench = ControllerBench(open_relay_board(config, server.port), SystemClock())
        [result] = exercise_gates(bench, device_config(config), [2], 1)
        bench.close()
    assert result.commanded == 1
    assert result.fired == 1 or result.failures, "on a busy computer it may be late, and then it says so"
    images = [list(pdu.bits) for pdu in server.understood if isinstance(pdu, WriteMultipleCoilsRequest)]
    opened = [image for image in images if any(image)]
    assert all(image[2] and sum(image) == 1 for image in opened)
    assert opened or not result.fired
