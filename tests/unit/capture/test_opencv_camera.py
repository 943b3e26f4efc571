"""The real camera behind a stand-in for cv2.VideoCapture: settings read back, stamps believed or not, loss and return."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from station.capture.opencv_camera import OpenCVCamera
from station.capture.settings import CameraSettings
from station.clock import ManualClock
from station.errors import CameraError, CameraLost

SECOND = 1_000_000_000


class Device:
    """A V4L2 camera as OpenCV shows it; `refuses` keeps its own values."""

    def __init__(
        self, clock: ManualClock, *, refuses: dict[int, float] | None = None, age_ms: float | None = 20.0
    ) -> None:
        self.clock = clock
        self.values = {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_BUFFERSIZE: 4.0}
        self.refuses = refuses or {}
        self.age_ms = age_ms
        self.opened = True
        self.gives = True
        self.released = False
        self.waiting = 0  # frames in hidden buffers: they are had at once

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, prop: int, value: float) -> bool:
        self.values[prop] = self.refuses.get(prop, value)
        return prop not in self.refuses

    def get(self, prop: int) -> float:
        if prop == cv2.CAP_PROP_POS_MSEC:
            return 0.0 if self.age_ms is None else self.clock.now_ns() / 1e6 - self.age_ms
        return self.values.get(prop, 0.0)

    def grab(self) -> bool:
        self.clock.advance_ms(2 if self.waiting else 33)
        self.waiting = max(0, self.waiting - 1)
        return self.gives

    def read(self) -> tuple[bool, object]:
        return self.retrieve() if self.grab() else (False, None)

    def retrieve(self) -> tuple[bool, object]:
        return self.gives, np.full((48, 64, 3), 90, np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100 * SECOND)


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def plug_in(*devices: Device) -> None:
        waiting = list(devices)
        monkeypatch.setattr(cv2, "VideoCapture", lambda *_: waiting.pop(0))

    return plug_in


def test_the_drivers_stamp_is_used_where_it_is_sane(clock: ManualClock, plug: Callable[..., None]) -> None:
    plug(Device(clock, age_ms=20))
    camera = OpenCVCamera("camera0", "0", clock)
    assert camera.open().stamp == "driver"
    frame = camera.read()
    assert frame is not None
    assert clock.now_ns() - frame.captured_ns == pytest.approx(20_000_000, abs=1000)


@pytest.mark.parametrize(
    "age_ms",
    [
        pytest.param(None, id="the backend gives none"),
        pytest.param(90_000.0, id="a position in the stream, not a time"),
        pytest.param(-500.0, id="from the future"),
    ],
)
def test_a_strange_stamp_is_replaced_by_the_grab(
    clock: ManualClock, plug: Callable[..., None], age_ms: float | None
) -> None:
    plug(Device(clock, age_ms=age_ms))
    camera = OpenCVCamera("camera0", "0", clock)
    assert camera.open().stamp == "grab"
    frame = camera.read()
    assert frame is not None
    assert frame.captured_ns == clock.now_ns()


def test_what_the_camera_refuses_is_said(clock: ManualClock, plug: Callable[..., None]) -> None:
    plug(Device(clock, refuses={cv2.CAP_PROP_FPS: 15.0, cv2.CAP_PROP_BUFFERSIZE: 4.0}))
    settings = CameraSettings(width_px=64, fps=60, exposure_ms=1.5)
    info = OpenCVCamera("camera0", "0", clock, settings).open()
    assert info.warnings == (
        "the driver keeps more than one frame: stamps tell their age",
        "fps: asked for 60, the camera gives 15",
    )
    assert info.fps == 15


def test_fixed_light_is_asked_for_with_its_automatics_off_and_read_back(
    clock: ManualClock, plug: Callable[..., None]
) -> None:
    device = Device(clock, refuses={cv2.CAP_PROP_GAIN: 64.0, cv2.CAP_PROP_AUTO_WB: 1.0})
    plug(device)
    settings = CameraSettings(exposure_ms=1.5, gain=8, white_balance_k=4600)
    info = OpenCVCamera("camera0", "0", clock, settings).open()
    assert device.values[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
    assert device.values[cv2.CAP_PROP_EXPOSURE] == 15
    assert info.warnings == (
        "automatic white balance: cannot be switched off; the camera goes on changing it",
        "gain: asked for 8, the camera gives 64",
    )


def test_of_a_stream_no_light_can_be_asked(clock: ManualClock, plug: Callable[..., None]) -> None:
    plug(Device(clock))
    settings = CameraSettings(width_px=64, exposure_ms=1.5, gain=8)
    info = OpenCVCamera("camera0", "http://camera/", clock, settings).open()
    assert info.warnings == (
        "exposure_ms cannot be set on a stream: set it at the camera",
        "gain cannot be set on a stream: set it at the camera",
    )


def test_what_waits_in_hidden_buffers_is_passed_over(clock: ManualClock, plug: Callable[..., None]) -> None:
    device = Device(clock)
    plug(device)
    camera = OpenCVCamera("camera0", "0", clock)
    camera.open()
    device.waiting = 4
    first = camera.read()
    assert first is not None
    assert (first.frame_id, device.waiting) == (1, 0)  # what gathered before the first is nobody's loss
    clock.advance_ms(200)
    device.waiting = 4
    late = camera.read()
    assert late is not None
    assert (late.frame_id, device.waiting) == (6, 0)
    device.waiting = 1
    in_time = camera.read()
    assert in_time is not None
    assert in_time.frame_id == 7


def test_a_source_that_never_makes_one_wait_is_not_drained_for_ever(
    clock: ManualClock, plug: Callable[..., None]
) -> None:
    device = Device(clock)
    plug(device)
    camera = OpenCVCamera("camera0", "0", clock)
    camera.open()
    device.waiting = 1_000_000
    before_ns = clock.now_ns()
    assert camera.read() is not None
    assert clock.now_ns() - before_ns < 2.1 * SECOND


def test_a_driver_whose_stamps_stand_still_is_stamped_at_the_grab(
    clock: ManualClock, plug: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(clock)
    monkeypatch.setattr(device, "get", lambda prop: 99_990.0 if prop == cv2.CAP_PROP_POS_MSEC else 30.0)
    plug(device)
    assert OpenCVCamera("camera0", "0", clock).open().stamp == "grab"


@pytest.mark.parametrize(
    ("fourcc", "stamp"), [pytest.param("h264", "stream", id="video"), pytest.param("MJPG", "grab", id="pictures")]
)
def test_a_stream_is_stamped_by_its_own_times_where_it_has_any(
    clock: ManualClock, plug: Callable[..., None], fourcc: str, stamp: str
) -> None:
    device = Device(clock)
    device.values[cv2.CAP_PROP_FOURCC] = int.from_bytes(fourcc.encode(), "little")
    plug(device)
    assert OpenCVCamera("camera0", "http://camera/", clock).open().stamp == stamp


def test_frames_are_numbered_and_stamps_rise(clock: ManualClock, plug: Callable[..., None]) -> None:
    plug(Device(clock))
    camera = OpenCVCamera("camera0", "0", clock)
    camera.open()
    frames = [camera.read() for _ in range(4)]
    assert [f.frame_id for f in frames if f] == [1, 2, 3, 4]
    stamps = [f.captured_ns for f in frames if f]
    assert stamps == sorted(set(stamps))


def test_opening_twice_before_the_first_frame_is_one_opening(clock: ManualClock, plug: Callable[..., None]) -> None:
    first, second = Device(clock), Device(clock)
    plug(first, second)
    camera = OpenCVCamera("camera0", "0", clock)
    assert camera.open() == camera.open()
    assert not first.released
    camera.read()
    camera.open()
    assert first.released


def test_a_camera_that_stops_is_lost_and_comes_back_by_open(clock: ManualClock, plug: Callable[..., None]) -> None:
    first, second = Device(clock), Device(clock)
    plug(first, second)
    camera = OpenCVCamera("camera0", "0", clock)
    camera.open()
    before = camera.read()
    first.gives = False
    with pytest.raises(CameraLost, match="no frame"):
        camera.read()
    assert first.released
    with pytest.raises(CameraLost, match="not open"):
        camera.read()
    camera.open()
    after = camera.read()
    assert before is not None
    assert after is not None
    assert after.frame_id > before.frame_id


def test_a_camera_that_cannot_be_opened_names_the_remedy(clock: ManualClock, plug: Callable[..., None]) -> None:
    closed, dumb = Device(clock), Device(clock)
    closed.opened, dumb.gives = False, False
    plug(closed, dumb)
    with pytest.raises(CameraError, match="plugged in"):
        OpenCVCamera("camera0", "0", clock).open()
    with pytest.raises(CameraError, match="gives no picture"):
        OpenCVCamera("camera0", "0", clock).open()
    assert closed.released
    assert dumb.released


def test_a_missing_device_is_named(clock: ManualClock) -> None:
    with pytest.raises(CameraError, match="/dev/video-none: no such device"):
        OpenCVCamera("camera0", "/dev/video-none", clock).open()
