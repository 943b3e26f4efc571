"""The camera over the virtual belt, as the station's camera contract: in lock-step, or through shared memory.

Knows how pictures cross; what is on them is the line's business. Wall time: the line process fills a few slots of
shared memory and rings a named pipe; a killed station leaves both as they are and a new one reads on.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from station.capture.camera import CameraInfo
from station.config import CameraConfig
from station.datatypes import Frame
from station.errors import CameraError, CameraLost
from station.simulation.line import VirtualLine

BgrImage = NDArray[np.uint8]

SLOTS = 4  # a reader has three frame times to copy one out
READ_TIMEOUT_S = 1.0
_MAGIC = b"STNFRAM1"
_HEADER = struct.Struct("<8sIIIIQ")  # magic, width, height, slots, 0, newest frame id + 1
_SLOT = struct.Struct("<QQQ")  # sequence (odd while written), frame id, captured_ns
_HEADER_BYTES = 4096


class LockStepCamera:
    """Virtual time: `read` gives the next frame on the nominal grid, whatever the clock says."""

    def __init__(self, line: VirtualLine, config: CameraConfig, start_ns: int) -> None:
        self._line = line
        self._config = config
        self._start_ns = start_ns
        self._next = 0

    def open(self) -> CameraInfo:
        return _info(self._config, self._line.config.virtual.fps)

    def captured_ns(self, frame_id: int) -> int:
        return self._start_ns + round(frame_id * 1e9 / self._line.config.virtual.fps)

    def read(self) -> Frame | None:
        """The next frame; frames that a camera fault swallows are skipped, their numbers with them."""
        gone_ns = self._line.gone_ns()
        while True:
            frame_id, self._next = self._next, self._next + 1
            captured_ns = self.captured_ns(frame_id)
            if gone_ns is not None and captured_ns > gone_ns:
                return None
            bgr = self._line.frame_at(captured_ns)
            if bgr is not None:
                return Frame(self._config.id, frame_id, captured_ns, bgr)

    def close(self) -> None:
        return None


def _info(config: CameraConfig, fps: float) -> CameraInfo:
    return CameraInfo(config.id, "virtual", config.width_px, config.height_px, fps, live=True, stamp="simulated")


class FrameRingWriter:
    """The line's end: publish a picture without ever waiting for a reader."""

    def __init__(self, name: str, bell: Path, width_px: int, height_px: int) -> None:
        self._frame_bytes = width_px * height_px * 3
        size = _HEADER_BYTES + SLOTS * (_HEADER_BYTES + self._frame_bytes)
        self._memory = SharedMemory(name, create=True, size=size)
        self._shape = (height_px, width_px, 3)
        _HEADER.pack_into(self._buffer, 0, _MAGIC, width_px, height_px, SLOTS, 0, 0)
        os.mkfifo(bell)
        # Read and write: opening never waits for the other end, and a vanished reader raises nothing.
        self._bell = os.open(bell, os.O_RDWR | os.O_NONBLOCK)

    @property
    def _buffer(self) -> memoryview:
        buffer = self._memory.buf
        assert buffer is not None
        return buffer

    def slot(self, frame_id: int) -> BgrImage:
        """Where this frame's pixels go. Marks the slot as being written until `publish`."""
        at = _slot_at(frame_id, self._frame_bytes)
        sequence, _, _ = _SLOT.unpack_from(self._buffer, at)
        _SLOT.pack_into(self._buffer, at, sequence | 1, frame_id, 0)
        return np.frombuffer(self._buffer, np.uint8, self._frame_bytes, at + _HEADER_BYTES).reshape(self._shape)

    def publish(self, frame_id: int, captured_ns: int) -> None:
        at = _slot_at(frame_id, self._frame_bytes)
        sequence, _, _ = _SLOT.unpack_from(self._buffer, at)
        _SLOT.pack_into(self._buffer, at, sequence, frame_id, captured_ns)
        struct.pack_into("<Q", self._buffer, at, sequence + 1)
        struct.pack_into("<Q", self._buffer, _HEADER.size - 8, frame_id + 1)
        with contextlib.suppress(BlockingIOError):  # nobody has listened for a long time
            os.write(self._bell, b"\n")

    def close(self) -> None:
        os.close(self._bell)
        with contextlib.suppress(BufferError):  # a slot is still referred to; the memory goes with the process
            self._memory.close()
        self._memory.unlink()


def _slot_at(frame_id: int, frame_bytes: int) -> int:
    return _HEADER_BYTES + frame_id % SLOTS * (_HEADER_BYTES + frame_bytes)


class SharedMemoryCamera:
    """The station's end. `captured_ns` is the middle of the exposure on the host's monotonic clock."""

    def __init__(self, name: str, bell: Path, config: CameraConfig, fps: float) -> None:
        self._name = name
        self._bell_path = bell
        self._config = config
        self._fps = fps
        self._memory: SharedMemory | None = None
        self._bell = -1
        self._seen = -1  # newest frame id handed out

    def open(self) -> CameraInfo:
        self.close()
        try:
            # The line owns the memory. Attaching registers it with this process' tracker, which would remove it at exit.
            self._memory = SharedMemory(self._name)
            resource_tracker.unregister(f"/{self._name}", "shared_memory")
            self._bell = os.open(self._bell_path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            self.close()
            raise CameraError(
                f"virtual camera: the line process gives no pictures ({error}). Start it again."
            ) from error
        magic, width_px, height_px, _, _, _ = _HEADER.unpack_from(self._memory.buf or b"")
        if magic != _MAGIC or (width_px, height_px) != (self._config.width_px, self._config.height_px):
            raise CameraError(
                f"virtual camera: the line draws {width_px} x {height_px} px, the configuration says "
                f"{self._config.width_px} x {self._config.height_px}. Make cameras.width_px and height_px agree with it."
            )
        return _info(self._config, self._fps)

    def read(self) -> Frame | None:
        while self._memory is not None:
            frame = self._newest()
            if frame is not None:
                return frame
            ready, _, _ = select.select([self._bell], [], [], READ_TIMEOUT_S)
            if not ready:
                raise CameraLost(f"{self._config.id}: no frame for {READ_TIMEOUT_S:g} s")
            _drain(self._bell)
        raise CameraLost(f"{self._config.id}: not open")

    def _newest(self) -> Frame | None:
        memory = self._memory.buf if self._memory is not None else None
        if memory is None:
            return None
        frame_id = int(struct.unpack_from("<Q", memory, _HEADER.size - 8)[0]) - 1
        if frame_id <= self._seen:
            return None
        self._seen = frame_id
        shape = (self._config.height_px, self._config.width_px, 3)
        frame_bytes = shape[0] * shape[1] * 3
        at = _slot_at(frame_id, frame_bytes)
        before = _SLOT.unpack_from(memory, at)
        bgr = np.frombuffer(memory, np.uint8, frame_bytes, at + _HEADER_BYTES).reshape(shape).copy()
        if before[0] % 2 or _SLOT.unpack_from(memory, at) != before:
            return None  # overtaken by the writer while copying: a newer one is on its way
        return Frame(self._config.id, frame_id, int(before[2]), bgr)

    def close(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1


def _drain(bell: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while len(os.read(bell, 4096)) == 4096:
            pass
