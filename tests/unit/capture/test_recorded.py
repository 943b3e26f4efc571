"""Recordings seen again with their own times; what cannot be read says so in one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from station.capture.recorded import RecordedCamera
from station.clock import ManualClock
from station.datatypes import Frame
from station.errors import CameraError

WIDTH, HEIGHT = 64, 48


def write_video(path: Path, frames: int, fps: float = 20.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((HEIGHT, WIDTH, 3), 5 * number, np.uint8))
    writer.release()
    return path


def write_picture(path: Path, level: int = 50) -> Path:
    assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), level, np.uint8))
    return path


def read_all(camera: RecordedCamera) -> list[Frame]:
    frames = []
    while (frame := camera.read()) is not None:
        frames.append(frame)
    return frames


def test_a_video_keeps_its_own_times(tmp_path: Path) -> None:
    clock = ManualClock(5_000)
    camera = RecordedCamera("camera0", write_video(tmp_path / "belt.avi", 6), clock)
    info = camera.open()
    frames = read_all(camera)
    assert (info.width_px, info.height_px, info.live, info.stamp) == (WIDTH, HEIGHT, False, "recorded")
    assert info.fps == pytest.approx(20)
    assert [frame.frame_id for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert [frame.captured_ns for frame in frames] == [5_000 + 50_000_000 * n for n in range(6)]
    assert clock.now_ns() == 5_000
    assert camera.shortfall is None


def test_paced_it_takes_as_long_as_it_took(tmp_path: Path) -> None:
    clock = ManualClock()
    camera = RecordedCamera("camera0", write_video(tmp_path / "belt.avi", 6), clock, paced=True)
    camera.open()
    times_ns = [clock.now_ns() for _ in range(6) if camera.read()]
    assert times_ns == [50_000_000 * n for n in range(6)]


def test_it_can_be_opened_again_from_its_start(tmp_path: Path) -> None:
    camera = RecordedCamera("camera0", write_video(tmp_path / "belt.avi", 4), ManualClock())
    camera.open()
    camera.read()
    camera.open()
    assert len(read_all(camera)) == 4
    camera.close()
    assert camera.read() is None


def test_a_truncated_video_ends_and_says_so(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.avi", 30)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    camera = RecordedCamera("camera0", cut, ManualClock())
    camera.open()
    frames = read_all(camera)
    assert 0 < len(frames) < 30
    assert camera.shortfall == f"{cut}: ended after {len(frames)} of 30 frames; the file is cut off or damaged"


@pytest.mark.parametrize(
    ("names", "times_ms"),
    [
        pytest.param(["b.png", "a.png", "c.png"], [0, 100, 200], id="in order of names, one frame time apart"),
        pytest.param(["1700000000123.png", "1700000000156.png"], [0, 33], id="names that are milliseconds"),
        pytest.param(["1700000000123.png", "x.png"], [0, 100], id="not all names are times"),
    ],
)
def test_a_folder_of_pictures_is_a_recording(tmp_path: Path, names: list[str], times_ms: list[int]) -> None:
    for name in names:
        write_picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    camera = RecordedCamera("camera0", tmp_path, ManualClock(), fps=10.0)
    camera.open()
    assert [frame.captured_ns for frame in read_all(camera)] == [ms * 1_000_000 for ms in times_ms]


def test_one_picture_is_a_recording_of_one_frame(tmp_path: Path) -> None:
    camera = RecordedCamera("camera0", write_picture(tmp_path / "one.png"), ManualClock())
    camera.open()
    assert len(read_all(camera)) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda folder: folder / "missing.avi", "no such file", id="missing"),
        pytest.param(lambda folder: folder, "without pictures", id="empty folder"),
        pytest.param(lambda folder: _written(folder / "text.avi", b"not a video"), "damaged", id="not a video"),
        pytest.param(lambda folder: _written(folder / "bad.png", b"text"), "not a readable picture", id="no picture"),
    ],
)
def test_what_cannot_be_read_is_a_camera_error_with_a_remedy(tmp_path: Path, make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(CameraError, match=words):
        RecordedCamera("camera0", make(tmp_path), ManualClock()).open()


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
