"""The contract of a source of frames. Real (opencv_camera), recorded (recorded) and simulated (simulation.camera) keep it."""

from dataclasses import dataclass, field
from typing import Protocol

from station.datatypes import Frame, SizePx


@dataclass(frozen=True, slots=True)
class CameraInfo:
    camera_id: str
    source: str  # as the person gave it
    width_px: int
    height_px: int
    fps: float  # nominal
    live: bool  # frames come in their own time; a recording waits to be read
    stamp: str  # where captured_ns comes from: "driver", "stream", "grab", "recorded", "simulated"
    warnings: tuple[str, ...] = field(default=())  # settings asked for and refused, in words

    @property
    def size_px(self) -> SizePx:
        return self.width_px, self.height_px


class Camera(Protocol):
    def open(self) -> CameraInfo:
        """Open or reopen the source; one that is open and has not been read from stays as it is. Raises CameraError."""

    def read(self) -> Frame | None:
        """Block for the next frame (at most about one second). None: a recording has ended. Raises CameraLost.

        A gap in `frame_id` says how many frames were passed over to get to the newest.
        """

    def close(self) -> None: ...
