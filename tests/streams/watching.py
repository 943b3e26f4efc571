"""A viewer of a live stream as the station is one: the capture part, and a judge who knows when each picture was painted."""

import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from station.capture.camera import CameraInfo
from station.capture.opencv_camera import OpenCVCamera
from station.capture.source import FrameSource, SourceNews
from station.clock import SystemClock
from station.datatypes import Frame
from station.worker import Worker
from tests.streams.clock_picture import is_damaged, number_in
from tests.streams.ffmpeg_source import FFmpegCamera

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it would fill the screen with what these tests do to it
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

STALE_MS = 500.0  # as the frame guard has it


@dataclass(slots=True)
class Shown:
    """What came out of capture, by the pictures' own numbers."""

    count: int = 0
    ages_ms: list[float] = field(default_factory=list)  # painted to shown
    stamp_errors_ms: list[float] = field(default_factory=list)  # painted to captured_ns
    stale: int = 0
    black: int = 0
    repeated: int = 0  # the same number once more: a frozen or repeated picture
    damaged: int = 0
    last: int | None = None


class Viewer:
    """A context: a source under its own worker, from the first opening on."""

    def __init__(self, camera: FFmpegCamera, url: str | None = None) -> None:
        self._camera = camera
        clock = SystemClock()
        self._device = OpenCVCamera("camera0", url or camera.url, clock)
        self.shown = Shown()
        self.losses: list[tuple[int, str]] = []  # moment (ns), why
        self.returns: list[int] = []  # moments (ns)
        self.crash: BaseException | None = None
        self.first_after_ns = 0  # when the first fresh frame after the last loss was shown
        self._fresh = threading.Condition()
        self.source = FrameSource(self._device, self._device.open(), clock, SourceNews(self._lost, self._back))
        self._worker = Worker("viewer", self._turn, self._crashed)

    def __enter__(self) -> "Viewer":
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._worker.stop(15)
        self._device.close()
        assert self.crash is None, self.crash

    def sees(self, frames: int, timeout_s: float = 10.0) -> bool:
        """So many more fresh frames were shown in time."""
        wanted = self.shown.count + frames
        with self._fresh:
            return self._fresh.wait_for(lambda: self.shown.count >= wanted, timeout_s)

    def loses(self, losses: int, timeout_s: float = 10.0) -> bool:
        with self._fresh:
            return self._fresh.wait_for(lambda: len(self.losses) >= losses, timeout_s)

    @property
    def refused(self) -> Counter[str]:
        return Counter({verdict.value: count for verdict, count in self.source.refused.items()})

    def _turn(self) -> None:
        frame = self.source.fresh()
        if frame is not None:
            with self._fresh:
                self._judge(frame)
                self._fresh.notify_all()

    def _judge(self, frame: Frame) -> None:
        shown, now_ns = self.shown, time.monotonic_ns()
        shown.count += 1
        self.first_after_ns = self.first_after_ns or now_ns
        shown.black += float(frame.bgr.mean()) < 10
        number = number_in(frame.bgr)
        painted_ns = self._camera.painted_ns.get(number) if number is not None else None
        if painted_ns is None or is_damaged(frame.bgr):
            shown.damaged += 1
            return
        shown.repeated += number == shown.last
        shown.last = number
        shown.ages_ms.append((now_ns - painted_ns) / 1e6)
        shown.stamp_errors_ms.append((frame.captured_ns - painted_ns) / 1e6)
        shown.stale += shown.ages_ms[-1] > STALE_MS

    def _lost(self, _: str, why: str) -> None:
        with self._fresh:
            self.losses.append((time.monotonic_ns(), why))
            self.first_after_ns = 0
            self._fresh.notify_all()

    def _back(self, _: CameraInfo, away_ns: int) -> None:
        self.returns.append(time.monotonic_ns())

    def _crashed(self, _: str, error: BaseException) -> None:
        self.crash = error


def descriptors() -> int:
    """Open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir())) if os.path.isdir("/proc/self/fd") else 0


def native_threads() -> int:
    """Threads of this process, also those Python does not know."""
    return len(list(Path("/proc/self/task").iterdir())) if os.path.isdir("/proc/self/task") else 0
