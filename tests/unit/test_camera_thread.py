"""One camera's thread without its thread: what it hands on, what it counts, and that it waits for nobody."""

from dataclasses import replace

import numpy as np
import pytest

from station.camera_thread import CameraNews, CameraThread
from station.capture.camera import Camera, CameraInfo
from station.clock import ManualClock
from station.datatypes import Frame, SizePx
from station.errors import CameraLost
from station.tracking.spotter import Spotted

FRAME_NS = 33_000_000


class Pictures:
    """A camera of so many different frames, then lost until it is opened again (live) or at its end (recorded)."""

    def __init__(self, clock: ManualClock, frames: int, live: bool) -> None:
        self._clock = clock
        self._frames = frames
        self._live = live
        self._given = 0
        self._opened = 0

    def open(self) -> CameraInfo:
        self._opened += 1
        return CameraInfo("camera0", "test", 64, 64, 30.0, live=self._live, stamp="driver")

    def read(self) -> Frame | None:
        self._clock.advance_ns(FRAME_NS)
        if self._given >= self._frames and self._opened == 1:
            if self._live:
                raise CameraLost("unplugged")
            return None
        self._given += 1
        bgr = np.random.default_rng(self._given).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        return Frame("camera0", self._given, self._clock.now_ns(), bgr)

    def close(self) -> None: ...


class Searching:
    """Takes 20 ms for a frame."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.searched: list[int] = []

    def spot(self, frame: Frame) -> Spotted:
        self._clock.advance_ms(20)
        self.searched.append(frame.frame_id)
        return Spotted(frame, (), None, 0.0, None, 0.0)


def counted(frame: Frame) -> Frame | None:
    return replace(frame, belt_count=1.0, belt_epoch=1)


def thread(
    clock: ManualClock, camera: Camera, news: list[str], place: bool = True, size_px: SizePx | None = None
) -> CameraThread:
    told = CameraNews(lambda: news.append("ready"), lambda _, why: news.append(why), lambda *_: news.append("back"))
    made = CameraThread("camera0", camera, camera.open(), clock, counted if place else lambda _: None, told, size_px)
    made.spotter = Searching(clock)
    return made


def test_the_newest_frame_is_handed_on_searched_and_with_what_that_took() -> None:
    clock, news = ManualClock(), list[str]()
    made = thread(clock, Pictures(clock, 5, live=True), news)
    for _ in range(4):
        made.body()
    newest = made.caught.take_newest()
    assert newest is not None
    assert newest.spotted is not None
    assert newest.frame.frame_id == 4
    assert (newest.frame.belt_count, newest.frame.belt_epoch) == (1.0, 1)
    assert newest.spotted.spent_ns == 20_000_000
    assert (made.tally.captured, made.dropped) == (4, 3)
    assert news == ["ready"] * 4


def test_a_frame_without_a_place_on_the_belt_is_shown_to_people_and_never_searched() -> None:
    clock, news = ManualClock(), list[str]()
    made = thread(clock, Pictures(clock, 5, live=True), news, place=False)
    made.body()
    caught = made.caught.take_newest()
    assert caught is not None
    assert caught.spotted is None
    assert isinstance(made.spotter, Searching)
    assert made.spotter.searched == []
    assert made.tally.stale == 1


def test_pictures_of_another_size_than_the_scale_holds_for_are_never_searched() -> None:
    clock, news = ManualClock(), list[str]()
    made = thread(clock, Pictures(clock, 5, live=True), news, size_px=(128, 64))
    made.body()
    assert made.caught.take_newest() is None
    assert (made.tally.captured, made.tally.stale, made.poor) == (1, 1, 1)
    assert made.trouble == "pictures have another size: 64x64 px, calibrated for 128x64"
    assert made.newest_ns == 0


def test_a_recording_waits_until_its_frame_has_been_taken() -> None:
    clock, news = ManualClock(), list[str]()
    made = thread(clock, Pictures(clock, 3, live=False), news)
    seen = []
    while not made.ended:
        made.body()
        made.body()
        caught = made.caught.take_newest()
        seen += [caught.frame.frame_id] if caught is not None else []
    assert seen == [1, 2, 3]
    assert made.dropped == 0


@pytest.mark.parametrize("frames", [0, 2])
def test_a_camera_that_goes_away_is_told_once_and_is_back_with_its_first_picture(frames: int) -> None:
    clock, news = ManualClock(), list[str]()
    made = thread(clock, Pictures(clock, frames, live=True), news)
    for _ in range(frames + 2):  # its frames, the loss, the opening
        made.body()
    assert news == ["ready"] * frames + ["unplugged"]
    made.body()
    made.body()
    assert news == ["ready"] * frames + ["unplugged", "back", "ready", "ready"]
