"""What a camera really does, measured on cameras that do known things."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from station.capture.camera import CameraInfo
from station.clock import ManualClock
from station.commissioning.camera_checks import camera_findings, judge, stable_name, video_devices
from station.commissioning.camera_probe import CameraProbe, camera_from, one_picture, probe
from station.commissioning.findings import Verdict
from station.config import CameraConfig
from station.datatypes import BgrImage, Frame
from station.errors import CameraError


class KnownCamera:
    """Gives a frame every 40 ms, each already 12 ms old when it is handed over."""

    def __init__(
        self, clock: ManualClock, level: int = 120, warnings: tuple[str, ...] = (), frames: int = 1000
    ) -> None:
        self._clock = clock
        self._level = level
        self._warnings = warnings
        self._left = frames
        self._rng = np.random.default_rng(1)
        self.is_open = False

    def open(self) -> CameraInfo:
        self.is_open = True
        return CameraInfo("camera0", "known", 64, 48, 30.0, True, "driver", self._warnings)

    def read(self) -> Frame | None:
        if self._left == 0:
            return None
        self._left -= 1
        self._clock.advance_ms(40)
        low, high = max(0, self._level - 8), min(256, self._level + 8)
        picture: BgrImage = self._rng.integers(low, high, (48, 64, 3), dtype=np.uint8)
        return Frame("camera0", 1000 - self._left, self._clock.now_ns() - 12_000_000, picture)

    def close(self) -> None:
        self.is_open = False


def measured(level: int = 120, warnings: tuple[str, ...] = ()) -> CameraProbe:
    clock = ManualClock()
    return probe(KnownCamera(clock, level, warnings), clock, 2_000_000_000)


def test_rate_and_age_are_those_the_camera_has_and_not_those_it_promises() -> None:
    seen = measured()
    assert seen.fps == pytest.approx(25)
    assert seen.age_p50_ms == pytest.approx(12)
    assert seen.age_p99_ms == pytest.approx(12)
    assert seen.frames == 40  # 50 in 2 s, the first 10 settle the exposure
    assert seen.freshness == {"ok": 40}


def test_the_camera_is_closed_also_when_it_fails() -> None:
    clock = ManualClock()
    camera = KnownCamera(clock, frames=5)
    with pytest.raises(CameraError, match="fewer than two frames"):
        probe(camera, clock, 2_000_000_000)
    assert not camera.is_open


@pytest.mark.parametrize(
    ("seen", "config", "check"),
    [
        pytest.param(measured(), CameraConfig(width_px=64, height_px=64, fps=25), "camera size", id="size"),
        pytest.param(measured(), CameraConfig(width_px=64, height_px=64, fps=30), "camera rate", id="rate"),
        pytest.param(measured(level=8), None, "camera light", id="dark"),
        pytest.param(measured(level=250), None, "camera light", id="glaring"),
        pytest.param(
            measured(warnings=("fps: asked for 60, the camera gives 25",)), None, "camera settings", id="refused"
        ),
    ],
)
def test_what_would_spoil_sorting_is_found(seen: CameraProbe, config: CameraConfig | None, check: str) -> None:
    finding = next(finding for finding in judge(seen, config) if finding.check == check)
    assert finding.verdict is not Verdict.PASS
    assert finding.fix


def test_a_good_camera_gives_no_further_finding() -> None:
    assert list(judge(measured(), None)) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), 100 + number, np.uint8))
    return tmp_path


def test_a_recording_is_probed_like_a_camera_but_its_age_means_nothing(folder: Path) -> None:
    clock = ManualClock()
    seen = probe(camera_from(str(folder), clock), clock, 2_000_000_000)
    assert (seen.frames, seen.age_p50_ms, seen.info.live) == (4, None, False)
    assert "ok" in seen.freshness
    assert one_picture(camera_from(str(folder), clock)).bgr[0, 0, 0] == 100


@pytest.mark.parametrize("source", ["/dev/no-such-camera", "no-such-file.avi", "rtsp://127.0.0.1:1/none"])
def test_no_camera_is_one_finding_with_a_fix(source: str) -> None:
    (finding,) = camera_findings(source, ManualClock(), None)
    assert finding.verdict is Verdict.FAIL
    assert source in finding.message
    assert finding.fix


def test_video_devices_are_listed_once_with_their_lasting_name(tmp_path: Path) -> None:
    for name, index in (("video0", "0"), ("video1", "1"), ("video10", "0")):
        node = tmp_path / "sys/class/video4linux" / name
        node.mkdir(parents=True)
        (node / "index").write_text(index)
        (node / "name").write_text("Belt camera\n")
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    by_id = tmp_path / "dev/v4l/by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-Belt_42-index0").symlink_to("../../video10")
    first, second = video_devices(tmp_path)
    assert (first["device"], first["stable"]) == ("/dev/video0", "")
    assert (second["device"], second["stable"]) == ("/dev/video10", "/dev/v4l/by-id/usb-Belt_42-index0")
    assert second["name"] == "Belt camera"
    assert video_devices(tmp_path / "nothing") == []
    names = [
        stable_name(source, tmp_path) for source in ("10", "/dev/video10", "0", "77", "rtsp://camera/", "film.avi")
    ]
    assert names == ["/dev/v4l/by-id/usb-Belt_42-index0"] * 2 + [None] * 4


def test_an_age_that_leaves_out_the_cameras_own_delay_says_so() -> None:
    assert "constant delay is not in it" not in measured().text
    streamed = replace(measured(), info=replace(measured().info, stamp="stream"))
    assert "constant delay is not in it" in streamed.text
