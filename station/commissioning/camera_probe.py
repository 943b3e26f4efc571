"""Measures what a camera really does: rate, evenness, age of its pictures, light and sharpness. Any source will do.

Knows the contract of a camera, and how a source given by a person is told apart. Draws nothing, decides nothing.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from station.capture.camera import Camera, CameraInfo
from station.capture.freshness import FrameGuard, Freshness
from station.capture.opencv_camera import OpenCVCamera
from station.capture.recorded import RecordedCamera
from station.capture.settings import CameraSettings
from station.clock import Clock
from station.config import CameraConfig
from station.datatypes import BgrImage, Frame
from station.errors import CameraError

SETTLING_FRAMES = 10  # exposure and buffers settle first; they are read and not counted
DARK_LEVEL = 25.0  # mean grey below which a belt is underexposed
GLARING_LEVEL = 235.0
UNSEEN_DELAY = "since it could be grabbed; the camera's own constant delay is not in it"


@dataclass(frozen=True, slots=True)
class CameraProbe:
    """The figures of one probe. Times in ms; ages only of live sources, whose stamps mean something now."""

    info: CameraInfo
    frames: int
    fps: float
    interval_p50_ms: float
    interval_p99_ms: float
    age_p50_ms: float | None
    age_p99_ms: float | None
    freshness: dict[str, int]
    brightness: float  # mean grey level, 0..255
    sharpness: float  # variance of the Laplacian of the grey picture; compare with the same belt when it was sharp
    last: BgrImage

    def to_json(self) -> dict[str, Any]:
        info = self.info
        return {
            "source": info.source,
            "camera_id": info.camera_id,
            "width_px": info.width_px,
            "height_px": info.height_px,
            "nominal_fps": info.fps,
            "measured_fps": round(self.fps, 3),
            "live": info.live,
            "stamp": info.stamp,
            "refused_settings": list(info.warnings),
            "frames": self.frames,
            "interval_ms": {"p50": round(self.interval_p50_ms, 3), "p99": round(self.interval_p99_ms, 3)},
            "age_ms": None
            if self.age_p50_ms is None or self.age_p99_ms is None
            else {"p50": round(self.age_p50_ms, 3), "p99": round(self.age_p99_ms, 3)},
            "freshness": self.freshness,
            "brightness": round(self.brightness, 1),
            "sharpness": round(self.sharpness, 1),
        }

    @property
    def _age_text(self) -> str:
        if self.age_p50_ms is None:
            return ""
        words = f"; age when handed over {self.age_p50_ms:.1f} ms median, {self.age_p99_ms:.1f} ms p99"
        return words if self.info.stamp == "driver" else words + f" ({UNSEEN_DELAY})"

    @property
    def text(self) -> str:
        info = self.info
        lines = [
            f"{info.source}: {info.width_px}x{info.height_px} px, {self.frames} frames, {self.fps:.2f} fps "
            f"(nominal {info.fps:g})",
            f"  between frames: {self.interval_p50_ms:.1f} ms median, {self.interval_p99_ms:.1f} ms p99",
            f"  stamps: {info.stamp}" + self._age_text,
            f"  picture: brightness {self.brightness:.0f} of 255, sharpness {self.sharpness:.0f}, "
            + ", ".join(f"{count} {word}" for word, count in self.freshness.items()),
        ]
        return "\n".join([*lines, *(f"  refused: {warning}" for warning in info.warnings)])


def camera_from(
    source: str, clock: Clock, config: CameraConfig | None = None, *, paced: bool = False, camera_id: str = "camera0"
) -> Camera:
    """An index, a /dev path or an address is a live camera; a file or folder is a recording (`paced`: in its own time)."""
    camera_id = config.id if config else camera_id
    live = source.isdecimal() or source.startswith("/dev/") or re.match(r"^[A-Za-z][A-Za-z0-9+.-]*://", source)
    if live:
        return OpenCVCamera(camera_id, source, clock, _settings(config) if config else None)
    if not Path(source).exists():
        raise CameraError(f"{source}: no such file, folder or device. `station cameras list` shows the cameras here.")
    return RecordedCamera(camera_id, source, clock, paced=paced)


def _settings(config: CameraConfig) -> CameraSettings:
    return CameraSettings(
        width_px=config.width_px,
        height_px=config.height_px,
        fps=config.fps,
        exposure_ms=config.exposure_ms,
        gain=config.gain,
        white_balance_k=config.white_balance_k,
    )


def probe(camera: Camera, clock: Clock, duration_ns: int) -> CameraProbe:
    """Read for `duration_ns`, or to the end of a recording. Raises CameraError."""
    info = camera.open()
    try:
        return _measure(camera, clock, info, clock.now_ns() + duration_ns)
    finally:
        camera.close()


def one_picture(camera: Camera) -> Frame:
    """A picture after the exposure has settled; of a recording the first. Raises CameraError."""
    info = camera.open()
    try:
        frame = camera.read()
        for _ in range(SETTLING_FRAMES if info.live else 0):
            frame = camera.read() or frame
        if frame is None:
            raise CameraError(f"{info.source}: it gives no picture")
        return frame
    finally:
        camera.close()


def _measure(camera: Camera, clock: Clock, info: CameraInfo, until_ns: int) -> CameraProbe:
    guard, freshness = FrameGuard(), Counter[str]()
    captured_ns: list[int] = []
    ages_ns: list[int] = []
    last: Frame | None = None
    settling = SETTLING_FRAMES if info.live else 0
    while clock.now_ns() < until_ns or len(captured_ns) < 2:
        frame = camera.read()
        if frame is None:
            break
        now_ns = clock.now_ns()
        last = frame
        if settling > 0:
            settling -= 1
            continue
        captured_ns.append(frame.captured_ns)
        ages_ns.append(now_ns - frame.captured_ns)
        freshness[guard.judge(frame).value] += 1
    if last is None or len(captured_ns) < 2:
        raise CameraError(f"{info.source}: fewer than two frames came; there is nothing to measure")
    intervals_ms = np.diff(captured_ns) / 1e6
    ages_ms = np.array(ages_ns) / 1e6
    grey = cv2.cvtColor(last.bgr, cv2.COLOR_BGR2GRAY)
    return CameraProbe(
        info=info,
        frames=len(captured_ns),
        fps=1000 / float(intervals_ms.mean()) if intervals_ms.mean() > 0 else 0.0,
        interval_p50_ms=float(np.percentile(intervals_ms, 50)),
        interval_p99_ms=float(np.percentile(intervals_ms, 99)),
        age_p50_ms=float(np.percentile(ages_ms, 50)) if info.live else None,
        age_p99_ms=float(np.percentile(ages_ms, 99)) if info.live else None,
        freshness={word.value: freshness[word.value] for word in Freshness if freshness[word.value]},
        brightness=float(grey.mean()),
        sharpness=float(cv2.Laplacian(grey, cv2.CV_32F).var()),
        last=last.bgr,
    )
