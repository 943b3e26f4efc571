from pathlib import Path

import cv2
import numpy as np
import pytest

from station.datatypes import BgrImage
from station.errors import ConfigError
from station.record.video import VideoFile


def picture(grey: int, width_px: int = 64) -> BgrImage:
    return np.full((48, width_px, 3), grey, np.uint8)


def greys(path: Path) -> list[int]:
    video = cv2.VideoCapture(str(path))
    found: list[int] = []
    while True:
        there, bgr = video.read()
        if not there:
            return found
        found.append(round(float(bgr.mean())))


def test_what_is_written_can_be_played_back_in_order(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "new", "overlay", 30.0)
    for grey in (20, 120, 220):
        video.write(picture(grey))
    video.close()
    assert video.frames == 3
    assert greys(video.files[0]) == pytest.approx([20, 120, 220], abs=6)


def test_pictures_of_another_size_begin_a_further_file(tmp_path: Path) -> None:
    video = VideoFile(tmp_path, "overlay", 30.0)
    for width_px in (64, 64, 96):
        video.write(picture(100, width_px))
    video.close()
    assert [(path.name, len(greys(path))) for path in video.files] == [("overlay.mkv", 2), ("overlay-2.mkv", 1)]


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--record"):
        VideoFile(tmp_path / "file" / "below", "overlay", 30.0).write(picture(1))
