"""`port = "relay:..."`: a relay board is built from [link.relay], and what it cannot keep is a configuration error."""

from typing import Any

import pytest

from firmware_bridge.relay_board import RelayBoard
from station.app import open_relay_board
from station.clock import ManualClock
from station.config import StationConfig, builtin_config
from station.errors import ConfigError
from station.run import _controller

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
