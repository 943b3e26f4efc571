"""A real camera through OpenCV: index, /dev path or stream URL. Knows how to get at its newest frame and its moment.

Hidden buffers are drained at the start and whenever the reader came late: what waits there is old. Everything has an end: an
address that does not answer, a stream that stalls with the socket open, a driver that hangs.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from station.capture.camera import CameraInfo
from station.capture.settings import CameraSettings, apply
from station.capture.stamps import DriverStamps, StreamStamps, is_sane
from station.clock import Clock
from station.datatypes import Frame
from station.errors import CameraError, CameraLost

READ_TIMEOUT_MS = 1000
OPEN_TIMEOUT_MS = 5000  # joining a stream means waiting for its next key frame
FAILED_READS = 3  # in a row: the device is gone, not hiccuping
STAMPS_CHECKED = 3  # frames whose driver stamps must be sane and rising before any is believed
DRAIN_NS = 2_000_000_000
WAITED_SHARE = 0.5  # of a frame time: a grab that took this long waited for the camera, so nothing older is left
LATE_FRAMES = 2.5  # frame times between two reads: something has gathered meanwhile

# FFmpeg, through OpenCV. discardcorrupt: packets that are known to be incomplete are not decoded. fpsprobesize: it would
# read twenty frames to guess the rate before handing out the first. Timeouts (us) end the waits inside the protocols.
_FFMPEG_OPTIONS = (
    "rtsp_transport;tcp|fflags;discardcorrupt|fpsprobesize;2|timeout;1500000|rw_timeout;1500000|reorder_queue_size;0"
)
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _FFMPEG_OPTIONS)  # both are read when the first camera is opened
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")  # seconds; ten by default


@dataclass(slots=True)
class _Device:
    """An open capture and what is known of this connection."""

    capture: cv2.VideoCapture
    info: CameraInfo
    frame_ns: float  # between frames: nominal at first, then as they come
    driver: DriverStamps = field(default_factory=DriverStamps)
    stream: StreamStamps = field(default_factory=StreamStamps)
    last_read_ns: int | None = None  # None: nothing handed out yet, so the buffers are full

    def handed_out(self, now_ns: int) -> None:
        if self.last_read_ns is not None:
            interval_ns = min(now_ns - self.last_read_ns, 4 * self.frame_ns)
            self.frame_ns += (interval_ns - self.frame_ns) / 16
        self.last_read_ns = now_ns


class OpenCVCamera:
    def __init__(self, camera_id: str, source: str, clock: Clock, settings: CameraSettings | None = None) -> None:
        self._camera_id = camera_id
        self._source = source
        self._clock = clock
        self._settings = settings or CameraSettings()
        self._device: _Device | None = None
        self._frame_id = 0

    def open(self) -> CameraInfo:
        if self._device is not None and self._device.last_read_ns is None:
            return self._device.info
        self.close()
        capture = _opened(self._source)
        try:
            warnings = apply(capture, self._settings, is_stream=_is_url(self._source))
            height, width = self._first_picture(capture).shape[:2]
            stamp = self._stamps_of(capture)
        except BaseException:
            capture.release()
            raise
        fps = _nominal_fps(capture, self._settings)
        info = CameraInfo(self._camera_id, self._source, width, height, fps, True, stamp, tuple(warnings))
        self._device = _Device(capture, info, 1e9 / fps)
        return info

    def read(self) -> Frame | None:
        device = self._device
        if device is None:
            raise CameraLost(f"{self._source}: the camera is not open")
        for _ in range(1 if _is_url(self._source) else FAILED_READS):  # a stream that failed once has ended
            passed_over = self._grab_newest(device)
            if passed_over is None:
                continue
            captured_ns = self._captured_ns(device)
            ok, picture = device.capture.retrieve()
            if ok and picture is not None:
                self._frame_id += 1 + (passed_over if device.last_read_ns is not None else 0)
                device.handed_out(self._clock.now_ns())
                return Frame(self._camera_id, self._frame_id, captured_ns, np.asarray(picture, np.uint8))
        self.close()
        what = "the stream ended or stalled" if _is_url(self._source) else "no frame came"
        raise CameraLost(f"{self._source}: {what}. Check its cable and power; the station keeps trying to reopen it.")

    def close(self) -> None:
        if self._device is not None:
            self._device.capture.release()
            self._device = None

    def _grab_newest(self, device: _Device) -> int | None:
        """Grab; where frames may have gathered, go on until one had to be waited for. Returns how many were passed over."""
        began_ns = self._clock.now_ns()
        came_late = device.last_read_ns is None or began_ns - device.last_read_ns > LATE_FRAMES * device.frame_ns
        passed_over, before_ns = 0, began_ns
        while device.capture.grab():
            now_ns = self._clock.now_ns()
            waited = now_ns - before_ns >= WAITED_SHARE * device.frame_ns
            if not came_late or waited or now_ns - began_ns > DRAIN_NS:
                return passed_over
            self._captured_ns(device)  # its time counts, its picture does not
            passed_over, before_ns = passed_over + 1, now_ns
        return None

    def _captured_ns(self, device: _Device) -> int:
        """Of the frame just grabbed."""
        now_ns, told_ns = self._clock.now_ns(), _told_ns(device.capture)
        match device.info.stamp:
            case "driver":
                return device.driver.captured_ns(told_ns, now_ns)
            case "stream":
                return device.stream.captured_ns(told_ns, now_ns)
            case _:
                return now_ns

    def _first_picture(self, capture: cv2.VideoCapture) -> cv2.typing.MatLike:
        for _ in range(FAILED_READS):
            ok, picture = capture.read()
            if ok and picture is not None:
                return picture
        raise CameraError(
            f"{self._source}: opened, but gives no picture. Another program may hold it, or the format is not supported; "
            "`station cameras list` shows what is there."
        )

    def _stamps_of(self, capture: cv2.VideoCapture) -> str:
        """Where stamps will come from. A driver's must lie close to now, and rise."""
        if _is_url(self._source):
            return "stream" if _has_stream_times(capture) else "grab"
        told: list[int] = []
        for _ in range(STAMPS_CHECKED):
            if capture.grab() and is_sane(stamp_ns := _told_ns(capture), self._clock.now_ns()):
                told.append(stamp_ns)
        rising = all(later > earlier for earlier, later in pairwise(told))
        return "driver" if len(told) == STAMPS_CHECKED and rising else "grab"


def _is_url(source: str) -> bool:
    return re.match(r"^[a-z][a-z0-9+.-]*://", source, re.IGNORECASE) is not None


def _opened(source: str) -> cv2.VideoCapture:
    if source.isdecimal():
        capture = cv2.VideoCapture(int(source))
    elif _is_url(source):
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, _stream_parameters())
    else:
        if not Path(source).exists():
            raise CameraError(f"{source}: no such device. `station cameras list` shows those that are there.")
        capture = cv2.VideoCapture(source, cv2.CAP_V4L2)
    if not capture.isOpened():
        capture.release()
        remedy = (
            "Check the address and that the stream runs: `ffplay ADDRESS` or a browser should show it."
            if _is_url(source)
            else (
                "Check that it is plugged in, that no other program holds it and that you may read it (group `video`); "
                "`station cameras list` shows what is there."
            )
        )
        raise CameraError(f"{source}: cannot be opened as a camera. {remedy}")
    return capture


def _stream_parameters() -> list[int]:
    """One decoding thread: with n of them FFmpeg holds back n - 1 frames, half a second on a computer with 16 cores."""
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    return [*timeouts, cv2.CAP_PROP_N_THREADS, 1]


def _has_stream_times(capture: cv2.VideoCapture) -> bool:
    """Pictures over HTTP (MJPEG) carry no time; FFmpeg then counts frames at a rate it made up."""
    return int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True) != b"MJPG"


def _nominal_fps(capture: cv2.VideoCapture, settings: CameraSettings) -> float:
    got = float(capture.get(cv2.CAP_PROP_FPS))
    return got if 0 < got <= 1000 else settings.fps or 30.0


def _told_ns(capture: cv2.VideoCapture) -> int:
    """V4L2: the buffer's stamp on CLOCK_MONOTONIC. FFmpeg: the time in the stream, from its beginning."""
    return round(float(capture.get(cv2.CAP_PROP_POS_MSEC)) * 1e6)
