"""`station ports ping` and `monitor` of a relay board: it is read, never switched, and what cannot be armed says why."""

import json
from pathlib import Path

import pytest
from pymodbus.pdu.bit_message import ReadCoilsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest
from typer.testing import CliRunner

from station.cli.ports_commands import ports
from tests.unit.firmware_bridge.relay_rig import WATCHDOG
from tests.unit.firmware_bridge.relay_server import BAUD, RelayServer, a_device

CONFIG = (Path(__file__).parents[3] / "configs" / "virtual.toml").read_text()
RUN = CliRunner()


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration in the working directory that describes the board."""
    (tmp_path / "station.toml").write_text(
        f"{CONFIG}\n[link.relay]\nwatchdog_register = {WATCHDOG}\nwatchdog_unit_ms = 10\nbaud = {BAUD}\n"
    )
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unconfigured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.mark.wall
def test_ping_reads_relays_and_watchdog_and_labels_them_host_timed(configured: None) -> None:
    with RelayServer(a_device(16, WATCHDOG)) as board:
        result = RUN.invoke(ports, ["ping", f"relay:{board.port}", "--for", "1s", "--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == 0, result.stderr
    assert (report["schema"], report["timing"], report["may_arm"]) == ("station.ping.relay/1", "host", True)
    assert (report["relays"], report["watchdog_register"], report["watchdog_ms"]) == ("00000000", WATCHDOG, 0)
    assert report["answered"] > 1
    assert 0 < report["round_trip_p50_us"] <= report["round_trip_p99_us"]
    assert {type(pdu) for pdu in board.understood} == {ReadCoilsRequest, ReadHoldingRegistersRequest}, "it only reads"


@pytest.mark.wall
def test_a_board_without_that_register_is_told_by_its_exception(configured: None) -> None:
    with RelayServer(a_device(16, None)) as board:
        result = RUN.invoke(ports, ["ping", f"relay:{board.port}", "--for", "500ms", "--json"])
    assert result.exit_code == 4
    assert f"no watchdog at register {WATCHDOG} (Modbus exception 2)" in result.stderr
    assert json.loads(result.stdout)["relays"] == "00000000"


@pytest.mark.wall
def test_without_a_configuration_it_is_asked_as_most_boards_are_and_may_not_be_armed(unconfigured: None) -> None:
    with RelayServer(a_device(16, WATCHDOG)) as board:
        result = RUN.invoke(ports, ["ping", f"relay:{board.port}", "--for", "500ms", "--baud", str(BAUD)])
    assert result.exit_code == 4
    assert "device 1, 8 relays from coil 0" in result.stderr
    assert "no watchdog register is configured" in result.stderr
    assert any(line.split() == ["relays", "00000000"] for line in result.stdout.splitlines())


@pytest.mark.wall
def test_where_nobody_answers_the_address_and_speed_are_named(configured: None) -> None:
    with RelayServer(a_device(16, WATCHDOG)) as board:
        board.deaf.set()
        result = RUN.invoke(ports, ["ping", f"relay:{board.port}", "--for", "500ms", "--json"])
    assert result.exit_code == 4
    assert f"nobody answers as Modbus device 1 at {BAUD} baud" in result.stderr
    assert json.loads(result.stdout)["unanswered"] > 0


@pytest.mark.parametrize("command", ["ping", "monitor"])
def test_a_port_that_is_not_there_is_a_controller_error(command: str, configured: None) -> None:
    result = RUN.invoke(ports, [command, "relay:/dev/ttyNOWHERE9", "--for", "100ms"])
    assert result.exit_code == 4
    assert "no such port" in result.stderr


@pytest.mark.wall
def test_monitor_shows_questions_and_answers_and_reads_its_capture_again(configured: None, tmp_path: Path) -> None:
    capture = tmp_path / "wire.jsonl"
    with RelayServer(a_device(16, WATCHDOG)) as board:
        words = ["monitor", f"relay:{board.port}", "--for", "500ms", "--save", str(capture)]
        live = RUN.invoke(ports, words)
    assert live.exit_code == 0, live.stderr
    assert "> dev=1   ReadCoilsRequest address=0 count=8" in live.stdout
    assert "< dev=1   ReadCoilsResponse bits=00000000" in live.stdout
    assert f"> dev=1   ReadHoldingRegistersRequest address={WATCHDOG} count=1" in live.stdout
    assert "< dev=1   ReadHoldingRegistersResponse registers=0" in live.stdout
    again = RUN.invoke(ports, ["monitor", str(capture)])
    assert again.exit_code == 0
    assert again.stdout == live.stdout
