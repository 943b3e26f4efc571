import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from station.config import CameraConfig, StationConfig, builtin_config, changed
from station.errors import CameraError, CameraLost
from station.simulation.camera import FrameRingWriter, LockStepCamera, SharedMemoryCamera
from station.simulation.faults import Fault
from station.simulation.line import LineOptions, VirtualLine

SMALL = CameraConfig(width_px=320, height_px=200, mm_per_px=600 / 320)
S = 1_000_000_000


def small_config() -> StationConfig:
    return changed(builtin_config("virtual"), virtual={"width_px": 320, "height_px": 200})


def line(*faults: Fault, for_s: float = 2.0, seed: int = 4) -> VirtualLine:
    made = VirtualLine(small_config(), LineOptions(seed=seed, for_s=for_s, faults=faults), start_ns=0)
    made.begin_feed(S)
    return made


def test_lock_step_frames_come_on_the_grid_until_the_belt_has_run_out() -> None:
    virtual = line()
    camera = LockStepCamera(virtual, SMALL, start_ns=0)
    assert camera.open().stamp == "simulated"
    frames = []
    while (frame := camera.read()) is not None:
        frames.append(frame)
    assert [frame.frame_id for frame in frames] == list(range(len(frames)))
    assert [frame.captured_ns for frame in frames[:4]] == [0, 33333333, 66666667, 100000000]
    gone_ns = virtual.gone_ns()
    assert gone_ns is not None
    assert gone_ns > frames[-1].captured_ns > gone_ns - S / 29
    assert gone_ns > 3 * S + 1.375 * S  # the last item was fed at 3 s and had to travel to the gates


def test_two_lines_of_one_seed_give_the_same_pictures_and_another_seed_others() -> None:
    a, b, c = line(), line(), line(seed=5)
    b.frame_at(3 * S)
    frames = [made.frame_at(2 * S) for made in (a, b, c)]
    assert frames[0] is not None
    assert frames[1] is not None
    assert frames[2] is not None
    np.testing.assert_array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_a_camera_fault_takes_its_frames_away_and_their_numbers_with_them() -> None:
    camera = LockStepCamera(line(Fault("camera", 0.5, 0.5)), SMALL, start_ns=0)
    frames = [camera.read() for _ in range(70)]
    gaps = [b.frame_id - a.frame_id for a, b in pairwise(frames) if a is not None and b is not None]
    assert sorted(gaps)[-2:] == [1, 16]


def test_the_feed_ends_in_time_and_nothing_stays_on_the_belt() -> None:
    virtual = line()
    gone_ns = virtual.gone_ns()
    assert gone_ns is not None
    rows = virtual.truth([], gone_ns)
    assert len(rows) == pytest.approx(20, abs=2)
    assert not any(row.on_belt for row in rows)
    assert {row.bin for row in rows} == {"residue"}
    assert virtual.visible_at(gone_ns) == []


def test_a_stopped_feed_lays_nothing_more() -> None:
    virtual = line(for_s=100.0)
    virtual.stop_feed(2 * S)
    assert len(virtual.fed()) == pytest.approx(10, abs=2)


def test_visible_items_are_those_in_view_whatever_was_asked_before() -> None:
    virtual = line()
    late = {item.item_id for item in virtual.visible_at(3 * S)}
    early = {item.item_id for item in virtual.visible_at(round(1.3 * S))}
    assert {item.item_id for item in line().visible_at(round(1.3 * S))} == early
    assert early != late


@pytest.fixture
def ring(tmp_path: Path) -> FrameRingWriter:
    return FrameRingWriter(f"station-test-{os.getpid()}", tmp_path / "bell", 320, 200)


def write(ring: FrameRingWriter, frame_id: int) -> None:
    ring.slot(frame_id)[:] = frame_id
    ring.publish(frame_id, 1000 + frame_id)


def test_pictures_cross_shared_memory_newest_first_and_each_once(ring: FrameRingWriter, tmp_path: Path) -> None:
    camera = SharedMemoryCamera(f"station-test-{os.getpid()}", tmp_path / "bell", SMALL, 30.0)
    try:
        write(ring, 0)
        camera.open()
        write(ring, 1)
        frame = camera.read()
        assert frame is not None
        assert (frame.frame_id, frame.captured_ns, int(frame.bgr.min()), int(frame.bgr.max())) == (1, 1001, 1, 1)
        ring.slot(2)[:] = 99  # half written: nobody may see it
        with pytest.raises(CameraLost):
            camera.read()
        ring.publish(2, 1002)
        again = camera.read()
        assert again is not None
        assert again.frame_id == 2
        assert int(frame.bgr.max()) == 1  # the first picture was copied out
    finally:
        camera.close()
        ring.close()


def test_a_reader_that_was_killed_is_followed_by_one_that_reads_on(ring: FrameRingWriter, tmp_path: Path) -> None:
    name = f"station-test-{os.getpid()}"
    try:
        for frame_id in range(3):
            write(ring, frame_id)
            camera = SharedMemoryCamera(name, tmp_path / "bell", SMALL, 30.0)
            camera.open()
            frame = camera.read()
            assert frame is not None
            assert frame.frame_id == frame_id
            camera.close()
    finally:
        ring.close()


def test_a_line_that_is_not_there_or_draws_another_size_is_named(ring: FrameRingWriter, tmp_path: Path) -> None:
    name = f"station-test-{os.getpid()}"
    other = CameraConfig(width_px=640, height_px=400, mm_per_px=1.0)
    wrong_size = SharedMemoryCamera(name, tmp_path / "bell", other, 30.0)
    try:
        with pytest.raises(CameraError, match="320 x 200"):
            wrong_size.open()
    finally:
        wrong_size.close()
        ring.close()
    with pytest.raises(CameraError, match="gives no pictures"):
        SharedMemoryCamera("station-test-none", tmp_path / "bell", SMALL, 30.0).open()
