"""`--display`: the overlay in a window, in a process of its own that may stall or die without the line noticing.

A picture is sent only when the window has drawn the one before, so nothing queues and nothing blocks. Knows no browser.
"""

import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Literal

import cv2

from station.datatypes import BgrImage
from station.errors import ConfigError
from station.panel.overlay import draw
from station.panel.pictures import PicturePlace, PictureReader, PictureWriter
from station.panel.snapshot import Snapshot

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
_KEYS_TO_CLOSE = (ord("q"), 27)  # q, Esc

Show = Callable[[str, BgrImage], bool]  # title, picture -> False when the person closed the window


@dataclass(frozen=True, slots=True)
class _Showing:
    camera_id: str
    place: PicturePlace
    snapshot: Snapshot


def check_display(environ: Mapping[str, str], platform: str) -> None:
    """Refuse where a window cannot be opened: there OpenCV ends the whole process. Raises ConfigError."""
    if platform.startswith("linux") and not any(environ.get(name) for name in DISPLAYS):
        raise ConfigError(
            "--display needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY is set. Run it from a desktop session "
            "(or `ssh -X`), or leave --display out and open the page that --http serves."
        )


class OverlayWindow:
    """The station's side. One window per camera."""

    def __init__(self, title: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=window_main, args=(title, theirs), daemon=True)
        self._writers: dict[str, PictureWriter] = {}
        self._ready: set[str] = set()
        self._closed = False
        self._process.start()
        theirs.close()

    def show(self, camera_id: str, bgr: BgrImage, snapshot: Snapshot) -> bool:
        """Show this, unless the last picture of that camera is still being drawn. Never blocks. False: window closed."""
        self._hear()
        first = camera_id not in self._writers
        if self._closed or not (first or camera_id in self._ready):
            return not self._closed
        writer = self._writers.setdefault(camera_id, PictureWriter())
        self._ready.discard(camera_id)
        try:
            self._pipe.send(_Showing(camera_id, writer.write(bgr), snapshot))
        except OSError:
            self._closed = True
        return not self._closed

    def close(self) -> None:
        self._closed = True
        self._pipe.close()
        self._process.join(2.0)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(1.0)
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def _hear(self) -> None:
        try:
            while not self._closed and self._pipe.poll():
                self._ready.add(self._pipe.recv())
        except (EOFError, OSError):
            self._closed = True


def window_main(title: str, pipe: Connection, show: Show | None = None) -> Literal["closed", "ended"]:
    """The window's process: draw what comes until the person closes the window or the station ends."""
    shown = show or _show
    reader = PictureReader()
    try:
        while True:
            showing: _Showing = pipe.recv()
            view = reader.view(showing.camera_id, showing.place)
            camera = showing.snapshot.cameras.get(showing.camera_id)
            if view is not None and camera is not None:
                picture = draw(view.bgr, camera, showing.snapshot)
                intact = view.intact
                del view
                if intact and not shown(f"{title} {showing.camera_id}", picture):
                    return "closed"
            pipe.send(showing.camera_id)
    except (EOFError, OSError, KeyboardInterrupt):
        return "ended"
    finally:
        reader.close()
        pipe.close()


def _show(title: str, picture: BgrImage) -> bool:
    cv2.imshow(title, picture)
    pressed = cv2.waitKey(1) & 0xFF
    return pressed not in _KEYS_TO_CLOSE and cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1
