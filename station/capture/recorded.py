"""Frames from a file or a folder of pictures, with their own times: what was recorded is seen again as it was.

Stamps count from the moment of opening plus the recording's own time, so a recording behaves like a camera whose clock is
right. Paced, it also takes as long as it took. Knows nothing of live devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from station.capture.camera import CameraInfo
from station.clock import Clock
from station.datatypes import BgrImage, Frame
from station.errors import CameraError

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
DEFAULT_FPS = 30.0
NS_PER_MS = 1_000_000
SHORTFALL = 0.9  # fewer than this share of the frames a file promises: it was cut off


@dataclass(frozen=True, slots=True)
class _Still:
    at_ns: int  # since the recording's start
    bgr: BgrImage


class RecordedCamera:
    def __init__(
        self, camera_id: str, source: str | Path, clock: Clock, *, paced: bool = False, fps: float | None = None
    ) -> None:
        self._camera_id = camera_id
        self._path = Path(source)
        self._clock = clock
        self._paced = paced
        self._fps = fps  # beats what the file says
        self._stills: Iterator[_Still] | None = None
        self._next: _Still | None = None
        self._video: cv2.VideoCapture | None = None
        self._started_ns = 0
        self._frame_id = 0
        self.shortfall: str | None = None  # in words, when a file ended before its time

    def open(self) -> CameraInfo:
        self.close()
        self.shortfall = None
        stills, fps = self._folder() if self._path.is_dir() else self._file()
        first = next(stills, None)
        if first is None:
            raise CameraError(
                f"{self._path}: no frame can be read from it. It is damaged, cut off or no video; try another file."
            )
        self._stills, self._next = stills, first
        self._started_ns = self._clock.now_ns()
        height, width = first.bgr.shape[:2]
        return CameraInfo(self._camera_id, str(self._path), width, height, fps, live=False, stamp="recorded")

    def read(self) -> Frame | None:
        still = self._next
        if still is None or self._stills is None:
            return None
        self._next = next(self._stills, None)
        captured_ns = self._started_ns + still.at_ns
        if self._paced:
            self._clock.sleep_ns(captured_ns - self._clock.now_ns())
        self._frame_id += 1
        return Frame(self._camera_id, self._frame_id, captured_ns, still.bgr)

    def close(self) -> None:
        self._stills, self._next = None, None
        if self._video is not None:
            self._video.release()
            self._video = None

    def _file(self) -> tuple[Iterator[_Still], float]:
        if not self._path.is_file():
            raise CameraError(
                f"{self._path}: no such file or folder. Give a video, a folder of pictures, a camera index or a URL."
            )
        if self._path.suffix.lower() in PICTURES:
            return iter([_Still(0, self._picture(self._path))]), self._fps or DEFAULT_FPS
        video = cv2.VideoCapture(str(self._path))
        if not video.isOpened():
            video.release()
            raise CameraError(
                f"{self._path}: not a video that can be read. It is damaged or of an unknown format; convert it to MP4."
            )
        told = float(video.get(cv2.CAP_PROP_FPS))
        fps = self._fps or (told if 0 < told <= 1000 else DEFAULT_FPS)
        self._video = video
        return self._frames_of(video, fps), fps

    def _frames_of(self, video: cv2.VideoCapture, fps: float) -> Iterator[_Still]:
        promised = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        count = 0
        while True:
            ok, picture = video.read()
            if not ok or picture is None:
                break
            yield _Still(round(count * 1e9 / fps), np.asarray(picture, np.uint8))
            count += 1
        if 0 < count < SHORTFALL * promised:
            self.shortfall = f"{self._path}: ended after {count} of {promised} frames; the file is cut off or damaged"

    def _folder(self) -> tuple[Iterator[_Still], float]:
        paths = sorted(p for p in self._path.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
        if not paths:
            kinds = " ".join(sorted(PICTURES))
            raise CameraError(f"{self._path}: a folder without pictures. Put some in ({kinds}) or give a video file.")
        fps = self._fps or DEFAULT_FPS
        return self._pictures(paths, _times_ns(paths, fps)), fps

    def _pictures(self, paths: list[Path], times_ns: list[int]) -> Iterator[_Still]:
        for path, at_ns in zip(paths, times_ns, strict=True):
            yield _Still(at_ns, self._picture(path))

    def _picture(self, path: Path) -> BgrImage:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise CameraError(f"{path}: not a readable picture. Remove it from the folder or replace it.")
        return np.asarray(picture, np.uint8)


def _times_ns(paths: list[Path], fps: float) -> list[int]:
    """From names that are times in whole milliseconds (`1700000000123.png`), else one frame time apart."""
    stems = [path.stem for path in paths]
    if len(stems) > 1 and all(stem.isdecimal() and len(stem) >= 13 for stem in stems):
        times = [int(stem) * NS_PER_MS for stem in stems]
        if all(b > a for a, b in pairwise(times)):
            return [at - times[0] for at in times]
    return [round(index * 1e9 / fps) for index in range(len(paths))]
