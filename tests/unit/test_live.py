"""The station's threads, started and ended without a camera and without a controller."""

import gc
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from firmware_bridge.serial_port import PortSettings, SerialTransport
from station.app import build_eyesight, build_loop, open_serial_controller, spotters_of, views_of
from station.books import Books
from station.capture.camera import CameraInfo
from station.clock import Clock, SystemClock
from station.config import CameraConfig, builtin_config, changed
from station.datatypes import Frame
from station.errors import CameraError, CameraLost, ControllerError
from station.events import EventKind
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


class Pictures:
    """A camera that opens with 80 by 64 pixels and then gives a quarter of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._given = 0
        self.is_open = False

    def open(self) -> CameraInfo:
        self.is_open = True
        return CameraInfo("camera0", "/dev/video9", 80, 64, 30.0, live=True, stamp="driver")

    def read(self) -> Frame | None:
        self._clock.sleep_ns(10_000_000)
        self._given += 1
        bgr = np.random.default_rng(self._given).integers(60, 120, (32, 40, 3), dtype=np.uint8)
        return Frame("camera0", self._given, self._clock.now_ns(), bgr)

    def close(self) -> None:
        self.is_open = False


@pytest.mark.parametrize(
    ("described", "refused"),
    [
        pytest.param({"mm_per_px": 0.5}, True, id="a scale for another size"),
        pytest.param({"homography": ((0, 1, 0), (1, 0, 0), (0, 0, 1))}, True, id="a calibration for another size"),
        pytest.param({"mm_per_px": 0.5, "width_px": 80, "height_px": 80}, True, id="one side is another"),
        pytest.param({"mm_per_px": 0.5, "width_px": 80, "height_px": 64}, False, id="the scale's own size"),
        pytest.param({}, False, id="no scale: the belt fills any picture"),
    ],
)
def test_a_camera_whose_millimetres_would_not_hold_is_no_start(described: dict[str, Any], refused: bool) -> None:
    clock = SystemClock()
    run, camera = LiveRun(clock, Books(Recorder([]), 0), None), Pictures(clock)
    try:
        if refused:
            with pytest.raises(CameraError, match="/dev/video9: it gives pictures of 80x64 px") as told:
                run.open_cameras({"camera0": camera}, [CameraConfig(**described)])
            assert told.value.exit_code == 3
        else:
            run.open_cameras({"camera0": camera}, [CameraConfig(**described)])
        assert camera.is_open
    finally:
        run.finish()
    assert not camera.is_open


class PluggedInAgain(Pictures):
    """Lost at once, and opened again it does not take the exposure any more."""

    def open(self) -> CameraInfo:
        warnings = ("exposure_ms: asked for 1, the camera gives 33",) if self._given else ()
        return replace(super().open(), warnings=warnings)

    def read(self) -> Frame | None:
        frame = super().read()
        if self._given == 1:
            raise CameraLost("unplugged")
        return frame


def begun(camera: Pictures, clock: Clock, described: dict[str, Any]) -> LiveRun:
    config = changed(builtin_config("virtual"), cameras=[described])
    run, eyesight = LiveRun(clock, Books(Recorder([]), 0), None), build_eyesight(config, clock.now_ns())
    run.open_cameras({"camera0": camera}, config.cameras)
    loop = build_loop(config, views_of(eyesight), StubRecogniser((), seed=1), clock, auto_rearm=True)
    run.begin(loop, spotters_of(eyesight))
    return run


def test_what_a_camera_refuses_when_it_is_back_is_told() -> None:
    clock = SystemClock()
    run = begun(PluggedInAgain(clock), clock, {})
    try:
        assert run.wait_for(lambda: run.newest_frame_ns("camera0") > 0, 10.0)
    finally:
        run.finish()
    told = [event for event in run.books.happened if event.what is EventKind.CAMERA_BACK]
    assert [event.detail["words"] for event in told] == ["exposure_ms: asked for 1, the camera gives 33"]


def test_pictures_that_change_their_size_while_it_runs_are_not_used_and_it_is_said_why() -> None:
    clock = SystemClock()
    run = begun(Pictures(clock), clock, {"mm_per_px": 7.5, "width_px": 80, "height_px": 64})
    try:
        assert run.wait_for(lambda: run.camera_trouble("camera0") != "" or run.newest_frame_ns("camera0") > 0, 10.0)
        assert run.camera_trouble("camera0") == "pictures have another size: 40x32 px, calibrated for 80x64"
        assert run.newest_frame_ns("camera0") == 0
    finally:
        run.finish()


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
