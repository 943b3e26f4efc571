"""A real camera through OpenCV: index, /dev path or stream URL. Knows its settings and where its stamps come from.

What was asked of a camera is read back; what it refused is said, not assumed. Hidden buffers are kept as short as the driver
allows, and the driver's own stamp is used where it is a sane monotonic one: an old frame then shows its age.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from station.capture.camera import CameraInfo
from station.clock import Clock
from station.datatypes import Frame
from station.errors import CameraError, CameraLost

STAMP_MAX_AGE_NS = 2_000_000_000
STAMP_MAX_AHEAD_NS = 5_000_000
READ_TIMEOUT_MS = 1000
OPEN_TIMEOUT_MS = 5000
FAILED_READS = 3  # in a row: the device is gone, not hiccuping


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """Asked for; None leaves the camera's own value."""

    width_px: int | None = None
    height_px: int | None = None
    fps: float | None = None
    exposure_ms: float | None = None


class OpenCVCamera:
    def __init__(self, camera_id: str, source: str, clock: Clock, settings: CameraSettings | None = None) -> None:
        self._camera_id = camera_id
        self._source = source
        self._clock = clock
        self._settings = settings or CameraSettings()
        self._device: cv2.VideoCapture | None = None
        self._frame_id = 0
        self._driver_stamps = False
        self._last_captured_ns = -1

    def open(self) -> CameraInfo:
        self.close()
        device = _opened(self._source)
        try:
            warnings = _apply(device, self._settings, is_stream=_is_url(self._source))
            frame = self._first_picture(device)
        except BaseException:
            device.release()
            raise
        self._device = device
        height, width = frame.shape[:2]
        return CameraInfo(
            camera_id=self._camera_id,
            source=self._source,
            width_px=width,
            height_px=height,
            fps=_nominal_fps(device, self._settings),
            live=True,
            stamp="driver" if self._driver_stamps else "grab",
            warnings=tuple(warnings),
        )

    def read(self) -> Frame | None:
        device = self._device
        if device is None:
            raise CameraLost(f"{self._source}: the camera is not open")
        for _ in range(FAILED_READS):
            if not device.grab():
                continue
            captured_ns = self._stamp(device)
            ok, picture = device.retrieve()
            if ok and picture is not None:
                self._frame_id += 1
                return Frame(self._camera_id, self._frame_id, captured_ns, np.asarray(picture, np.uint8))
        self.close()
        raise CameraLost(
            f"{self._source}: no frame came. Check its cable and power; the station keeps trying to reopen it."
        )

    def close(self) -> None:
        if self._device is not None:
            self._device.release()
            self._device = None

    def _first_picture(self, device: cv2.VideoCapture) -> cv2.typing.MatLike:
        """Also settles where stamps come from: the driver's must lie close to now, on our clock."""
        for _ in range(FAILED_READS):
            if not device.grab():
                continue
            driver_ns, now_ns = _driver_stamp_ns(device), self._clock.now_ns()
            ok, picture = device.retrieve()
            if ok and picture is not None:
                self._driver_stamps = _sane(driver_ns, now_ns)
                return picture
        raise CameraError(
            f"{self._source}: opened, but gives no picture. Another program may hold it, or the format is not supported; "
            "`station cameras` lists what is there."
        )

    def _stamp(self, device: cv2.VideoCapture) -> int:
        """Of the frame just grabbed. Never before the last one: a driver stamp that jumps back is not believed."""
        now_ns = self._clock.now_ns()
        driver_ns = _driver_stamp_ns(device) if self._driver_stamps else 0
        captured_ns = driver_ns if _sane(driver_ns, now_ns) and driver_ns > self._last_captured_ns else now_ns
        self._last_captured_ns = captured_ns
        return captured_ns


def _is_url(source: str) -> bool:
    return re.match(r"^[a-z][a-z0-9+.-]*://", source, re.IGNORECASE) is not None


def _opened(source: str) -> cv2.VideoCapture:
    if source.isdecimal():
        device = cv2.VideoCapture(int(source))
    elif _is_url(source):
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
        device = cv2.VideoCapture(source, cv2.CAP_FFMPEG, timeouts)
    else:
        if not Path(source).exists():
            raise CameraError(f"{source}: no such device. `station cameras` lists those that are there.")
        device = cv2.VideoCapture(source, cv2.CAP_V4L2)
    if not device.isOpened():
        device.release()
        remedy = (
            "Check the address and that the stream runs"
            if _is_url(source)
            else (
                "Check that it is plugged in, that no other program holds it and that you may read it (group `video`)"
            )
        )
        raise CameraError(f"{source}: cannot be opened as a camera. {remedy}; `station cameras` lists what is there.")
    return device


def _apply(device: cv2.VideoCapture, settings: CameraSettings, *, is_stream: bool) -> list[str]:
    """Ask, read back, and put into words what was refused. A stream has no settings of ours."""
    device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    asked = _asked(settings)
    if is_stream:
        return [
            f"{name} cannot be set on a stream: set it at the camera" for name, _, _ in asked if name == "exposure_ms"
        ]
    warnings = []
    if device.get(cv2.CAP_PROP_BUFFERSIZE) > 1:
        warnings.append("the driver keeps more than one frame: stamps tell their age")
    if settings.exposure_ms is not None:
        device.set(cv2.CAP_PROP_AUTO_EXPOSURE, 1)  # V4L2: manual
    for _, prop, value in asked:
        device.set(prop, value)
    for name, prop, value in asked:
        got = device.get(prop)
        if abs(got - value) > max(0.5, 0.02 * abs(value)):
            warnings.append(f"{name}: asked for {_shown(name, value)}, the camera gives {_shown(name, got)}")
    return warnings


def _asked(settings: CameraSettings) -> list[tuple[str, int, float]]:
    exposure = None if settings.exposure_ms is None else settings.exposure_ms * 10  # V4L2 counts 100 us
    wanted = [
        ("width_px", cv2.CAP_PROP_FRAME_WIDTH, settings.width_px),
        ("height_px", cv2.CAP_PROP_FRAME_HEIGHT, settings.height_px),
        ("fps", cv2.CAP_PROP_FPS, settings.fps),
        ("exposure_ms", cv2.CAP_PROP_EXPOSURE, exposure),
    ]
    return [(name, prop, float(value)) for name, prop, value in wanted if value is not None]


def _shown(name: str, value: float) -> str:
    return f"{value / 10:g}" if name == "exposure_ms" else f"{value:g}"


def _nominal_fps(device: cv2.VideoCapture, settings: CameraSettings) -> float:
    got = float(device.get(cv2.CAP_PROP_FPS))
    return got if 0 < got <= 1000 else settings.fps or 30.0


def _driver_stamp_ns(device: cv2.VideoCapture) -> int:
    """V4L2 gives the buffer's stamp (CLOCK_MONOTONIC) through POS_MSEC; other backends give a position in the stream."""
    return round(float(device.get(cv2.CAP_PROP_POS_MSEC)) * 1e6)


def _sane(driver_ns: int, now_ns: int) -> bool:
    return now_ns - STAMP_MAX_AGE_NS < driver_ns < now_ns + STAMP_MAX_AHEAD_NS and driver_ns > 0
