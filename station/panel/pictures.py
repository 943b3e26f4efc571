"""Pictures from the station process to the panel process: two slots per camera in shared memory, overwritten in turn.

Nobody waits for anybody: the reader checks the slot's number before and after it has used the pixels, and throws away what
was overwritten meanwhile. Knows nothing of JPEG, pipes or browsers.
"""

from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from station.datatypes import BgrImage

SLOTS = 2
HEADER_BYTES = 64  # the first 8: number of the picture in the slot, 0 while it is being written


@dataclass(frozen=True, slots=True)
class PicturePlace:
    """Where one picture lies; crosses the pipe as JSON."""

    memory: str
    offset: int
    number: int
    height_px: int
    width_px: int

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PicturePlace":
        return cls(**{key: values[key] for key in ("memory", "offset", "number", "height_px", "width_px")})


class PictureWriter:
    """One camera's slots, owned by the station process. The memory is made for the first picture's size."""

    def __init__(self) -> None:
        self._memory: SharedMemory | None = None
        self._slot_bytes = 0
        self._number = 0

    def write(self, bgr: BgrImage) -> PicturePlace:
        height_px, width_px = bgr.shape[:2]
        memory = self._memory
        if memory is None or HEADER_BYTES + height_px * width_px * 3 > self._slot_bytes:
            memory = self._make(HEADER_BYTES + height_px * width_px * 3)
        self._number += 1
        place = PicturePlace(
            memory.name, self._number % SLOTS * self._slot_bytes, self._number, int(height_px), int(width_px)
        )
        view = PictureView(memory, place)
        view.number[0] = 0
        np.copyto(view.bgr, bgr)
        view.number[0] = self._number
        return place

    def close(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory.unlink()
            self._memory = None

    def _make(self, slot_bytes: int) -> SharedMemory:
        self.close()
        self._slot_bytes = -(-slot_bytes // HEADER_BYTES) * HEADER_BYTES
        self._memory = SharedMemory(create=True, size=SLOTS * self._slot_bytes)
        return self._memory


class PictureView:
    """One slot seen as numbers; gone before its memory is closed."""

    def __init__(self, memory: SharedMemory, place: PicturePlace) -> None:
        shape = (place.height_px, place.width_px, 3)
        self._expected = place.number
        self.number: NDArray[np.uint64] = np.ndarray((1,), np.uint64, memory.buf, place.offset)
        self.bgr: BgrImage = np.ndarray(shape, np.uint8, memory.buf, place.offset + HEADER_BYTES)

    @property
    def intact(self) -> bool:
        """The pixels are still those of the picture that was asked for."""
        return int(self.number[0]) == self._expected


class PictureReader:
    """The panel's side: opens each memory once and looks at pictures without copying them."""

    def __init__(self) -> None:
        self._memories: dict[str, SharedMemory] = {}

    def view(self, camera_id: str, place: PicturePlace) -> PictureView | None:
        """None when the memory is gone: the station has ended or made a larger one."""
        memory = self._memories.get(camera_id)
        if memory is None or memory.name != place.memory:
            self._forget(camera_id)
            try:
                memory = SharedMemory(name=place.memory)
            except FileNotFoundError:
                return None
            self._memories[camera_id] = memory
        return PictureView(memory, place)

    def close(self) -> None:
        for camera_id in list(self._memories):
            self._forget(camera_id)

    def _forget(self, camera_id: str) -> None:
        memory = self._memories.pop(camera_id, None)
        if memory is not None:
            memory.close()
