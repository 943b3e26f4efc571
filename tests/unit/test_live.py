"""The station's threads, started and ended without a camera and without a controller."""

import gc
import os

import pytest

from firmware_bridge.serial_port import PortSettings, SerialTransport
from station.app import build_loop, open_serial_controller
from station.books import Books
from station.clock import SystemClock
from station.config import builtin_config
from station.errors import ControllerError
from station.live import LiveRun
from station.machine import Command, State
from station.record.recorder import Recorder
from station.simulation.stub import StubRecogniser


def test_the_collector_leaves_what_was_loaded_before_the_line_runs_alone_until_it_ends() -> None:
    clock, frozen_before = SystemClock(), gc.get_freeze_count()
    run = LiveRun(clock, Books(Recorder([]), 0), None)
    run.begin(build_loop(builtin_config("virtual"), {}, StubRecogniser((), seed=1), clock, auto_rearm=True), {})
    try:
        assert run.crash is None
        assert run.loop.machine.state is not State.STOPPED
        assert gc.get_freeze_count() > frozen_before + 10_000
    finally:
        run.finish()
    assert gc.get_freeze_count() == 0


def test_a_run_that_waits_for_a_person_stands_ready_and_starts_when_told() -> None:
    clock = SystemClock()
    run = LiveRun(clock, Books(Recorder([]), 0), None)
    loop = build_loop(builtin_config("virtual"), {}, StubRecogniser((), seed=1), clock, auto_rearm=True)
    run.begin(loop, {}, start=False)
    try:
        assert run.loop.machine.state is State.IDLE
        turns = run.loop.lease_counter
        assert run.wait_for(lambda: run.loop.lease_counter > turns + 3, 10.0)
        assert run.loop.machine.state is State.IDLE
        run.command(Command.START, "a person")
        assert run.wait_for(lambda: run.loop.machine.state is not State.IDLE, 10.0)
    finally:
        run.finish()


def test_a_port_that_another_station_holds_is_said_to_be_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.live.LINK_START_NS", 300_000_000)
    master, slave = os.openpty()
    port = os.ttyname(slave)
    holder = SerialTransport(port, PortSettings())
    holder.open()
    run = LiveRun(SystemClock(), Books(Recorder([]), 0), open_serial_controller(builtin_config("virtual"), port))
    try:
        with pytest.raises(ControllerError, match="in use by another program") as refused:
            run.open_link()
    finally:
        holder.close()
        os.close(master)
        os.close(slave)
    assert str(refused.value).startswith(f"{port}: in use by another program")
    assert str(refused.value).count(port) == 1
    assert refused.value.exit_code == 4
