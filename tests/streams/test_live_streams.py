"""Live streams served by ffmpeg, watched while they are cut, stalled, frozen, damaged and started again.

Every picture carries its number, so what is shown is judged by when it was painted, not by what the station believes. Bounds
are generous: `python -m tests.tools.streams` measures.
"""

from collections.abc import Iterator

import pytest

from station.capture.opencv_camera import OpenCVCamera
from station.clock import SystemClock
from station.errors import CameraError
from tests.streams.ffmpeg_source import FFMPEG, FFmpegCamera, Serve, free_port
from tests.streams.relay import Relay
from tests.streams.watching import Viewer, descriptors, native_threads

pytestmark = [
    pytest.mark.wall,
    pytest.mark.tool("ffmpeg"),
    pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed: nothing serves a live stream"),
]

SOON_S = 15.0  # the promise is 2 s after the source is back; this machine may be busy


@pytest.fixture
def camera() -> Iterator[FFmpegCamera]:
    """A network camera that listens on bare TCP; a relay dials it."""
    with FFmpegCamera(Serve.TCP) as running:
        yield running


@pytest.fixture
def relay(camera: FFmpegCamera) -> Iterator[Relay]:
    with Relay(camera.port) as between:
        assert between.flows.wait(SOON_S)
        yield between


def ready(camera: FFmpegCamera, url: str | None = None) -> Viewer:
    """Opened as soon as ffmpeg serves."""
    for _ in range(50):
        try:
            return Viewer(camera, url)
        except CameraError:
            SystemClock().sleep_ns(200_000_000)
    raise AssertionError("ffmpeg never served")


def clean(viewer: Viewer) -> bool:
    shown = viewer.shown
    return (shown.stale, shown.black, shown.repeated, shown.damaged) == (0, 0, 0, 0)


@pytest.mark.parametrize("serve", list(Serve))
def test_pictures_arrive_fresh_and_are_stamped_alike(serve: Serve) -> None:
    with FFmpegCamera(serve) as camera, ready(camera) as viewer:
        assert viewer.sees(30)
    assert clean(viewer)
    errors_ms = sorted(viewer.shown.stamp_errors_ms)
    assert errors_ms[-2] - errors_ms[1] < 100  # jitter; a hidden buffer of four frames would be 133 ms


def test_what_gathered_while_the_model_was_loaded_is_not_shown() -> None:
    with FFmpegCamera(Serve.UDP) as camera:
        viewer = ready(camera)
        SystemClock().sleep_ns(1_500_000_000)
        with viewer:
            assert viewer.sees(10)
    assert clean(viewer)


def test_a_cut_stream_is_noticed_and_found_again(camera: FFmpegCamera, relay: Relay) -> None:
    with ready(camera, relay.url) as viewer:
        assert viewer.sees(10)
        relay.cut()
        assert viewer.loses(1)
        assert "ended or stalled" in viewer.losses[0][1]
        relay.serve()
        assert viewer.sees(10, SOON_S)
    assert clean(viewer)
    assert len(viewer.returns) == 1


def test_a_stream_that_stalls_with_its_socket_open_is_lost_and_found_again(camera: FFmpegCamera, relay: Relay) -> None:
    with ready(camera, relay.url) as viewer:
        assert viewer.sees(10)
        relay.stalled = True
        assert viewer.loses(1)  # not after the thirty seconds that are OpenCV's own
        relay.stalled = False
        assert viewer.sees(10, SOON_S)
    assert clean(viewer)


def test_a_camera_that_is_killed_and_started_again_is_found_again() -> None:
    with FFmpegCamera(Serve.HTTP) as camera, ready(camera) as viewer:
        assert viewer.sees(10)
        camera.kill()
        assert viewer.loses(1)
        camera.start()
        assert viewer.sees(10, SOON_S)
    assert clean(viewer)


def test_a_frozen_camera_is_recognised_behind_a_coder_and_comes_back_by_itself(
    camera: FFmpegCamera, relay: Relay
) -> None:
    with ready(camera, relay.url) as viewer:
        assert viewer.sees(10)
        camera.freeze(True)
        SystemClock().sleep_ns(1_500_000_000)
        refused, repeated = viewer.refused, viewer.shown.repeated
        camera.freeze(False)
        assert viewer.sees(10, SOON_S)
    assert refused["frozen"] > 15
    assert repeated <= 10  # until the coder has no more to mend, it is another picture each time


def test_flipped_bytes_are_survived_and_leave_nothing_behind(camera: FFmpegCamera, relay: Relay) -> None:
    with ready(camera, relay.url) as viewer:
        assert viewer.sees(10)
        relay.flips_per_kb = 1.0
        viewer.sees(60, 5.0)  # as many as still come through
        assert viewer.crash is None
        relay.flips_per_kb = 0.0
        assert viewer.sees(30, SOON_S)  # the next key frame heals
        damaged = viewer.shown.damaged
        assert viewer.sees(20, SOON_S)
    assert viewer.shown.damaged == damaged
    assert viewer.shown.stale == 0


def test_twenty_cuts_leave_threads_and_files_as_they_were(camera: FFmpegCamera, relay: Relay) -> None:
    """Slow: each cut waits for the next key frame, twenty times."""
    with ready(camera, relay.url) as viewer:
        assert viewer.sees(5)
        relay.hang_up()
        assert viewer.loses(1)
        assert viewer.sees(5, SOON_S)
        before = (descriptors(), native_threads())
        for cut in range(2, 22):
            relay.hang_up()
            assert viewer.loses(cut)
            assert viewer.sees(2, SOON_S)
        after = (descriptors(), native_threads())
    assert after[0] <= before[0] + 1
    assert after[1] <= before[1] + 1
    assert clean(viewer)


@pytest.mark.parametrize("scheme", ["http", "tcp", "rtsp"])
def test_an_address_where_nobody_answers_is_one_error(scheme: str) -> None:
    with pytest.raises(CameraError, match="Check the address"):
        OpenCVCamera("camera0", f"{scheme}://127.0.0.1:{free_port()}/", SystemClock()).open()
