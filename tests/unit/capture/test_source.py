"""A source that is read, judged and opened anew: only fresh pictures come out, and every other one is counted."""

import numpy as np
import pytest

from station.capture.camera import CameraInfo
from station.capture.freshness import Freshness
from station.capture.source import FrameSource, SourceNews, check_size
from station.clock import ManualClock
from station.datatypes import BgrImage, Frame, SizePx
from station.errors import CameraError, CameraLost

MS = 1_000_000
SIZE_PX = (128, 96)


def belt(number: int) -> BgrImage:
    return np.random.default_rng(number).integers(60, 120, (96, 128, 3)).astype(np.uint8)


class Script:
    """A camera that does what it is told, one word per frame time."""

    def __init__(self, clock: ManualClock, words: str, live: bool = True) -> None:
        self.clock = clock
        self.words = words.split()
        self.opened = 0
        self.is_open = False
        self.info = CameraInfo("camera0", "script", 128, 96, 30.0, live, "driver")
        self._frame_id = 0
        self._picture = belt(0)

    def open(self) -> CameraInfo:
        self.clock.advance_ms(33)
        if self.words and self.words[0] == "away":
            self.words.pop(0)
            raise CameraError("away")
        self.opened += 1
        self.is_open = True
        return self.info

    def read(self) -> Frame | None:
        assert self.is_open, "read after close"
        self.clock.advance_ms(33)
        if not self.words:
            return None
        word = self.words.pop(0)
        if word in ("cut", "away"):
            raise CameraLost("cut")
        self._frame_id += 5 if word == "skip" else 1
        if word != "same":
            self._picture = belt(self._frame_id)
        picture = np.zeros_like(self._picture) if word == "black" else self._picture
        picture = picture[::2, ::2] if word == "small" else picture
        age_ns = 800 * MS if word == "old" else 20 * MS
        return Frame("camera0", self._frame_id, self.clock.now_ns() - age_ns, picture)

    def close(self) -> None:
        self.is_open = False


class Told:
    def __init__(self) -> None:
        self.words: list[str] = []

    def news(self) -> SourceNews:
        return SourceNews(lambda _, why: self.words.append(why), lambda _, ns: self.words.append(f"back {ns // MS}"))


def played(
    words: str, live: bool = True, size_px: SizePx | None = SIZE_PX
) -> tuple[FrameSource, list[int], Told, Script]:
    clock, told = ManualClock(10_000 * MS), Told()
    camera = Script(clock, words, live)
    source = FrameSource(camera, camera.open(), clock, told.news(), size_px)
    shown: list[int] = []
    while not source.ended:
        frame = source.fresh()
        shown += [frame.frame_id] if frame is not None else []
    return source, shown, told, camera


@pytest.mark.parametrize(
    ("words", "shown", "refused"),
    [
        pytest.param("ok ok ok", [1, 2, 3], {}, id="good"),
        pytest.param("ok black ok", [1, 3], {Freshness.BLACK: 1}, id="black"),
        pytest.param("ok same same same ok", [1, 5], {Freshness.REPEATED: 1, Freshness.FROZEN: 2}, id="frozen"),
        pytest.param("ok old ok", [1, 3], {Freshness.STALE: 1}, id="late"),
        pytest.param("ok small small ok", [1, 4], {Freshness.RESIZED: 2}, id="another size"),
    ],
)
def test_only_fresh_pictures_come_out(words: str, shown: list[int], refused: dict[Freshness, int]) -> None:
    source, seen, told, _ = played(words)
    assert seen == shown
    assert dict(source.refused) == refused
    assert source.captured == len(seen) + source.refused.total()
    assert told.words == []


def test_frames_left_in_the_cameras_buffers_are_counted() -> None:
    source, seen, _, _ = played("ok ok skip ok")
    assert (seen, source.passed_over, source.captured) == ([1, 2, 7, 8], 4, 8)


def test_a_lost_camera_is_tried_until_it_is_back_and_both_are_told_once() -> None:
    source, seen, told, camera = played("ok ok cut away away ok ok")
    assert seen == [1, 2, 3, 4]
    assert told.words[0] == "cut"
    assert len(told.words) == 2
    assert camera.opened == 2
    assert source.passed_over == 0


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("ok cut cut cut ok ok", id="it opens and gives nothing"),
        pytest.param("ok cut away cut black ok", id="nor a picture"),
        pytest.param("ok cut " + "same " * 70 + "ok ok", id="nor a new one for long"),
        pytest.param("ok cut " + "small " * 70 + "ok ok", id="with pictures of another size"),
    ],
)
def test_a_camera_is_back_with_its_first_picture_and_not_when_it_opens(words: str) -> None:
    _, _, told, camera = played(words)
    assert camera.opened >= 2
    assert told.words[0] == "cut"
    assert len(told.words) == 2
    assert int(told.words[1].removeprefix("back ")) >= 66


def test_what_was_missed_while_it_was_away_is_no_drop_of_ours() -> None:
    source, seen, _, _ = played("ok cut skip ok")
    assert (seen, source.passed_over) == ([1, 6, 7], 0)


@pytest.mark.parametrize(
    ("word", "why"),
    [("same", "pictures are frozen"), ("small", "pictures have another size: 64x48 px, calibrated for 128x96")],
)
def test_a_camera_that_gives_nothing_usable_is_opened_anew(word: str, why: str) -> None:
    source, seen, told, camera = played("ok " + f"{word} " * 70 + "ok ok")
    assert camera.opened == 2
    assert told.words[0] == f"script: {why}; opening it anew"
    assert seen[0] == 1
    assert len(seen) == 3
    assert source.trouble == ""


def test_why_pictures_are_not_used_is_known_while_it_lasts() -> None:
    clock = ManualClock(10_000 * MS)
    camera = Script(clock, "ok black ok")
    source = FrameSource(camera, camera.open(), clock, Told().news())
    troubles = [(source.fresh() is not None, source.trouble) for _ in range(3)]
    assert troubles == [(True, ""), (False, "pictures are black"), (True, "")]


def test_a_recording_is_taken_as_it_is() -> None:
    source, seen, _, _ = played("ok same same black old small ok", live=False)
    assert len(seen) == 7
    assert source.refused.total() == 0


def test_where_nobody_measured_a_scale_any_size_will_do() -> None:
    source, seen, _, camera = played("ok small ok", size_px=None)
    assert seen == [1, 2, 3]
    assert source.refused.total() == 0
    check_size(camera.info, None)


@pytest.mark.parametrize("size_px", [(1280, 96), (128, 720), (96, 128)])
def test_a_source_of_another_size_than_its_scale_holds_for_is_refused_with_both_sizes(size_px: SizePx) -> None:
    info = CameraInfo("left", "rtsp://belt", 128, 96, 30.0, True, "stream")
    check_size(info, SIZE_PX)
    wanted = f"rtsp://belt: .*128x96 px, cameras.left .*{size_px[0]}x{size_px[1]}.*width_px.*calibrate belt.*or make"
    with pytest.raises(CameraError, match=wanted):
        check_size(info, size_px)
