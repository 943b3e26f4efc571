import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pytest

from station.datatypes import BgrImage
from station.errors import ConfigError
from station.panel.filming import WAITING_FRAMES, Filming
from station.panel.pictures import PictureWriter
from station.panel.snapshot import SeenCamera, Snapshot
from station.panel.window import _Showing, check_display, window_main

SNAPSHOT = Snapshot(made_ns=0, state="EXECUTE", cameras={"camera0": SeenCamera("camera0", 0)})


@pytest.mark.parametrize(
    ("environ", "platform", "possible"),
    [
        pytest.param({}, "linux", False, id="bare server"),
        pytest.param({"DISPLAY": ""}, "linux", False, id="empty"),
        pytest.param({"DISPLAY": ":0"}, "linux", True, id="X"),
        pytest.param({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True, id="Wayland"),
        pytest.param({}, "darwin", True, id="elsewhere"),
    ],
)
def test_a_window_is_refused_politely_without_a_screen(environ: dict[str, str], platform: str, possible: bool) -> None:
    if possible:
        check_display(environ, platform)
        return
    with pytest.raises(ConfigError, match="--http"):
        check_display(environ, platform)


def test_the_window_draws_acknowledges_and_ends_when_it_is_closed() -> None:
    ours, theirs = multiprocessing.Pipe()
    shown: list[tuple[str, BgrImage]] = []
    ended: list[str] = []

    def show(title: str, picture: BgrImage) -> bool:
        shown.append((title, picture))
        return len(shown) < 2

    window = threading.Thread(target=lambda: ended.append(window_main("Station", theirs, show)))
    window.start()
    writer = PictureWriter()
    frame = np.full((800, 1280, 3), 90, np.uint8)
    ours.send(_Showing("camera0", writer.write(frame), SNAPSHOT))
    assert ours.recv() == "camera0"
    ours.send(_Showing("camera0", writer.write(frame), SNAPSHOT))
    window.join(10.0)
    writer.close()
    ours.close()
    assert ended == ["closed"]
    assert [title for title, _ in shown] == ["Station camera0"] * 2
    assert (shown[0][1][100:] == 90).all()


def test_the_window_ends_with_the_station() -> None:
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    assert window_main("Station", theirs, lambda title, picture: True) == "ended"


def test_filming_writes_what_it_can_and_counts_what_it_drops(tmp_path: Path) -> None:
    filming = Filming(tmp_path, {"camera0": 30.0})
    frame = np.full((80, 120, 3), 90, np.uint8)
    for _ in range(WAITING_FRAMES + 3):
        filming.offer("camera0", frame, SNAPSHOT)
    filming.step()
    files = filming.close()
    assert [path.name for path in files] == ["overlay-camera0.mkv"]
    assert filming.dropped == 3
    assert filming._files["camera0"].frames == WAITING_FRAMES
