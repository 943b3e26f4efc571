"""`--record`: the overlay as video, drawn and encoded on a thread of its own that may fall behind, never hold up.

Holds a few frames; when full, the oldest gives way and is counted. Knows the overlay and the video file; no threads: the app
calls `step` from a worker.
"""

from dataclasses import dataclass
from pathlib import Path

from station.channels import DropOldest
from station.datatypes import BgrImage
from station.panel.overlay import draw
from station.panel.snapshot import Snapshot
from station.record.video import VideoFile

WAITING_FRAMES = 8


@dataclass(frozen=True, slots=True)
class _Shot:
    camera_id: str
    bgr: BgrImage
    snapshot: Snapshot


class Filming:
    def __init__(self, directory: Path, fps: dict[str, float]) -> None:
        """`fps` per camera, as the video is to be played."""
        self._files = {camera_id: VideoFile(directory, f"overlay-{camera_id}", rate) for camera_id, rate in fps.items()}
        self._shots: dict[str, DropOldest[_Shot]] = {camera_id: DropOldest(WAITING_FRAMES) for camera_id in fps}

    def offer(self, camera_id: str, bgr: BgrImage, snapshot: Snapshot) -> None:
        """The frame must not be written to afterwards."""
        self._shots[camera_id].put(_Shot(camera_id, bgr, snapshot))

    def step(self, timeout_s: float = 0.05) -> None:
        """Write what waits, at most one frame per camera."""
        for camera_id, shots in self._shots.items():
            if not shots.wait(timeout_s):
                continue
            shot = shots.take_oldest()
            if shot is not None and camera_id in shot.snapshot.cameras:
                self._files[camera_id].write(draw(shot.bgr, shot.snapshot.cameras[camera_id], shot.snapshot))

    def close(self) -> list[Path]:
        """Write what still waits and end the files."""
        while any(shots.wait(0) for shots in self._shots.values()):
            self.step(0)
        for file in self._files.values():
            file.close()
        return [path for file in self._files.values() for path in file.files]

    @property
    def dropped(self) -> int:
        return sum(shots.dropped for shots in self._shots.values())
