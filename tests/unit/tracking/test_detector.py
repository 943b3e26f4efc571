"""Items found on a rendered belt that moves, is dirty, and is lit unevenly."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from station.config import DetectorConfig
from station.datatypes import Detection, Frame
from station.tracking.detector import Detector, union_of

MM_PER_PX = 600 / 1280
MakeScene = Callable[..., Any]


def detector() -> Detector:
    return Detector(DetectorConfig(), MM_PER_PX)


def found_in(frames: Iterable[Frame], step_mm: float) -> list[list[Detection]]:
    eye = detector()
    return [eye.find(frame, step_mm) for frame in frames]


@pytest.mark.parametrize(("seed", "speed_mm_s"), [(1, 1000.0), (2, 2500.0), (3, 300.0)])
def test_an_empty_belt_with_texture_seam_and_stains_is_empty(
    make_scene: MakeScene, seed: int, speed_mm_s: float
) -> None:
    scene = make_scene(seed, speed_mm_s)
    assert sum(len(found) for found in found_in(scene.frames(60), speed_mm_s / 30)) == 0


def test_every_item_is_found_once_where_it_lies(make_scene: MakeScene) -> None:
    scene = make_scene(4, rows=6)
    looked_at = 0
    for number, found in enumerate(found_in(scene.frames(40), 1000 / 30)):
        travel_mm = number * 1000 / 30
        for item in scene.items:
            at_mm = item.along_mm + travel_mm
            if not 85 < at_mm < 290:
                continue
            looked_at += 1
            near = [
                d
                for d in found
                if abs(d.extent.cy_px * MM_PER_PX - at_mm) < 25
                and abs(d.extent.cx_px * MM_PER_PX - item.lateral_mm) < 25
            ]
            assert len(near) == 1, item.thing.name
            assert near[0].whole
    assert looked_at > 60


def test_an_item_cut_by_the_view_is_not_whole(make_scene: MakeScene) -> None:
    scene = make_scene(4, rows=1)
    found = detector().find(scene.frame(3, travel_mm=92.0), 33.0)
    assert found
    assert not any(d.whole for d in found)


def test_an_item_that_stops_with_the_belt_stays_visible(make_scene: MakeScene) -> None:
    scene = make_scene(5, rows=1)
    eye = detector()
    for number in range(9):
        eye.find(scene.frame(number), 1000 / 30)
    counts = [len(eye.find(scene.frame(number, travel_mm=267.0), 0.0)) for number in range(9, 99)]
    assert set(counts) == {3}


def test_an_item_that_jams_on_a_moving_belt_stays_visible(make_scene: MakeScene) -> None:
    scene = make_scene(6)
    eye = detector()
    counts = []
    for number in range(70):
        frame = scene.frame(number)
        if number >= 10:
            frame.bgr[300:420, 500:640] = (40, 160, 220)
        counts.append(len(eye.find(frame, 1000 / 30)))
    assert set(counts[10:]) == {1}


@pytest.mark.parametrize("gain", [0.6, 0.85, 1.2])
def test_a_lamp_that_changes_makes_no_items(make_scene: MakeScene, gain: float) -> None:
    scene = make_scene(7)
    eye = detector()
    for number in range(40):
        frame = scene.frame(number)
        if number >= 20:
            frame.bgr[:] = np.clip(frame.bgr * gain, 0, 255).astype(np.uint8)
        assert eye.find(frame, 1000 / 30) == []


def test_a_machine_part_that_never_moves_is_learnt(make_scene: MakeScene) -> None:
    scene = make_scene(8)
    eye = detector()
    for number in range(40):
        frame = scene.frame(number)
        frame.bgr[200:500, 600:660] = (30, 30, 200)
        last = eye.find(frame, 1000 / 30)
    assert last == []


def test_a_faint_grey_card_is_found(make_scene: MakeScene) -> None:
    scene = make_scene(9)
    eye = detector()
    for number in range(20):
        frame = scene.frame(number)
        if number >= 15:
            top = round((number - 15) * 1000 / 30 / MM_PER_PX) + 20
            frame.bgr[top : top + 180, 500:700] = int(np.median(frame.bgr)) + 40
        found = eye.find(frame, 1000 / 30)
        assert len(found) == (number >= 15)
    assert sorted((found[0].extent.length_px, found[0].extent.width_px)) == pytest.approx([180, 200], abs=10)


def test_pieces_join_into_one_detection(make_scene: MakeScene) -> None:
    scene = make_scene(4, rows=1)
    pieces = detector().find(scene.frame(8), 33.0)
    joined = union_of(pieces)
    assert joined.box_px.left == min(p.box_px.left for p in pieces)
    assert joined.box_px.right == max(p.box_px.right for p in pieces)
    assert joined.area_px == pytest.approx(sum(p.area_px for p in pieces))
