"""A whole view on rendered belts: every item once, at its place, with or without an encoder."""

from collections.abc import Callable
from typing import Any

import pytest

from station.config import BeltConfig, CameraConfig, DetectorConfig
from station.datatypes import EndedTrack, TrackEnd
from station.tracking.tracker import TrackIds
from station.tracking.view import TravelSource, View, ViewConfig

MakeScene = Callable[..., Any]
ENCODER = BeltConfig(width_mm=600, max_speed_m_s=3.5, mm_per_count=0.5)
CONSTANT = BeltConfig(width_mm=600, max_speed_m_s=3.5, speed_m_s=1.0)
CAMERA = CameraConfig(mm_per_px=600 / 1280)


def view(belt: BeltConfig = ENCODER, **more: bool) -> View:
    return View(ViewConfig(CAMERA, belt, DetectorConfig(), **more), TrackIds())


@pytest.mark.parametrize(
    ("belt", "counted", "from_picture", "source"),
    [
        pytest.param(ENCODER, True, False, TravelSource.ENCODER, id="encoder"),
        pytest.param(CONSTANT, False, False, TravelSource.CONFIGURED, id="constant speed"),
        pytest.param(CONSTANT, False, True, TravelSource.PICTURE, id="speed from the pictures"),
    ],
)
def test_every_item_is_followed_once_and_left_where_it_lies(
    make_scene: MakeScene, belt: BeltConfig, counted: bool, from_picture: bool, source: TravelSource
) -> None:
    scene = make_scene(21, rows=5)
    eye = view(belt, speed_from_picture=from_picture)
    looks: dict[int, int] = {}
    ended: list[EndedTrack] = []
    for frame in scene.frames(48, counted=counted):
        update = eye.see(frame)
        ended += update.ended
        for look in eye.looks(update, frame):
            looks[look.track_id] = looks.get(look.track_id, 0) + 1
    left = [e.track for e in ended if e.end is TrackEnd.LEFT]
    assert eye.source is source
    assert eye.speed_mm_s == pytest.approx(1000, rel=0.03)
    assert len(left) == len(scene.items)
    assert not [e for e in ended if e.end is TrackEnd.LOST]
    # Pictures alone find the speed within the first frames, while the belt already moves: a common offset remains.
    offset = min((t.along_mm - scene.items[0].along_mm for t in left), key=abs) if from_picture else 0.0
    for item in scene.items:
        near = [
            t
            for t in left
            if abs(t.along_mm - offset - item.along_mm) < 30 and abs(t.lateral_mm - item.lateral_mm) < 30
        ]
        assert len(near) == 1, item.thing.name
        assert looks[near[0].track_id] >= 4


def test_the_pictures_check_the_encoder(make_scene: MakeScene) -> None:
    scene, eye = make_scene(22, 2000.0, rows=3), view()
    for frame in scene.frames(46):
        eye.see(frame)
    assert eye.source is TravelSource.ENCODER
    assert eye.picture_speed_mm_s == pytest.approx(2000, rel=0.03)


def test_lost_frames_cost_no_identity(make_scene: MakeScene) -> None:
    scene, eye = make_scene(23, rows=4), view()
    ended: list[EndedTrack] = []
    for number, frame in enumerate(scene.frames(48)):
        if number % 7 not in (3, 4, 5):
            ended += eye.see(frame).ended
    assert len([e for e in ended if e.end is TrackEnd.LEFT]) == len(scene.items)


def test_a_new_encoder_epoch_ends_what_was_followed(make_scene: MakeScene) -> None:
    scene, eye = make_scene(24, rows=1), view()
    for frame in scene.frames(8):
        update = eye.see(frame)
    followed = {track.track_id for track in update.tracks}
    assert len(followed) == 3
    assert {ended.track.track_id for ended in eye.restart()} == followed


def test_a_picture_nobody_described_is_understood(make_scene: MakeScene) -> None:
    scene = make_scene(25, rows=4)
    eye = view(CONSTANT, speed_from_picture=True, find_direction=True)
    seen: set[int] = set()
    for frame in scene.frames(40, counted=False):
        turned = frame.bgr[:, ::-1].transpose(1, 0, 2)[:, ::-1].copy()  # now the belt runs to the left
        update = eye.see(type(frame)(frame.camera_id, frame.frame_id, frame.captured_ns, turned))
        seen |= {track.track_id for track in update.tracks}
    assert eye.belt is not None
    assert eye.belt.direction.value == "left"
    assert len(seen) >= 8
