"""The wire of a run on disk: read again by the monitor and lived again by a session; bounded; never in the link's way."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_bridge.loopback import SteppedController
from firmware_bridge.messages import Fired
from firmware_bridge.relay_board import RelayBoard
from firmware_bridge.session import Session
from firmware_bridge.trace import MODBUS, read_capture, replay
from station.cli.ports_commands import ports
from station.record.wire_log import FILE, WAITING, WireLog
from tests.unit.firmware_bridge.bench import CONFIG, MS, Bench
from tests.unit.firmware_bridge.relay_rig import CONFIG as RELAY_CONFIG
from tests.unit.firmware_bridge.relay_rig import SETTINGS, FakeBoard

MIB = 1 << 20


def test_a_run_that_fired_is_lived_again_from_its_file(tmp_path: Path) -> None:
    log = WireLog(tmp_path, MIB)
    bench = Bench()
    bench.controller = SteppedController(bench.cable, bench.session, log)
    bench.controller.configure(CONFIG)
    bench.run(0.5)
    log.step(bench.now_ns)
    command_id = bench.submit(bench.ahead())
    bench.run(0.3)
    log.close()
    assert isinstance(bench.finals[command_id], Fired)
    fired = [reply for reply in replay(read_capture(tmp_path / FILE), Session()) if isinstance(reply, Fired)]
    assert [reply.command_id for reply in fired] == [command_id]
    assert log.lost == 0


def test_a_relay_boards_wire_is_read_as_modbus(tmp_path: Path) -> None:
    log, board = WireLog(tmp_path, MIB, MODBUS), FakeBoard()
    controller = RelayBoard(board, SETTINGS, log)
    controller.configure(RELAY_CONFIG)
    for at_ns in range(MS, 300 * MS, 2 * MS):
        board.live_until(at_ns)
        controller.poll(at_ns)
    log.close()
    result = CliRunner().invoke(ports, ["monitor", str(tmp_path / FILE)])
    assert "WriteMultipleCoilsRequest" in result.stdout
    assert "WriteSingleRegisterResponse address=4384 registers=250" in result.stdout
    assert result.exit_code == 0, result.stderr


def test_it_ends_at_its_limit_and_what_is_there_is_readable(tmp_path: Path) -> None:
    log = WireLog(tmp_path, 1000)
    for n in range(200):
        log(n, "<", bytes(20))
        log.step(n)
    log.close()
    assert (tmp_path / FILE).stat().st_size == 1000
    assert 10 <= len(list(read_capture(tmp_path / FILE))) < 20
    assert log.lost == 0, "beyond the limit nothing is meant to be kept"


def test_a_disk_that_is_away_costs_chunks_and_nothing_else(tmp_path: Path) -> None:
    log = WireLog(tmp_path / "not there", MIB)
    log(1, ">", b"\x01")
    log.step(1)
    assert log.lost == 1
    (tmp_path / "not there").mkdir()
    log(2, ">", b"\x02")
    log.close()
    assert [chunk.data for chunk in read_capture(tmp_path / "not there" / FILE)] == [b"\x02"]


@pytest.mark.parametrize("beyond", [0, 5])
def test_a_writer_that_hangs_is_not_waited_for(beyond: int, tmp_path: Path) -> None:
    log = WireLog(tmp_path, 100 * MIB)
    for n in range(WAITING + beyond):
        log(n, "<", b"")
    assert log.lost == beyond
