"""What crosses the controller's port, kept in the run's folder until so much is written: for a fault nobody can explain.

The link's thread hands chunks over and never waits for a disk; the recorder's thread writes them. Holds 20,000 chunks; when
full the newest is lost, and counted. Knows no messages: `station ports monitor wire.jsonl` reads them.
"""

from collections import deque
from pathlib import Path
from typing import TextIO

from firmware_bridge.trace import STATION_WIRE, capture_line

WAITING = 20_000
FILE = "wire.jsonl"


class WireLog:
    """Implements link.WireTap."""

    def __init__(self, folder: Path, limit_bytes: int, protocol: str = STATION_WIRE) -> None:
        self.lost = 0  # chunks; those beyond the limit are not meant
        self._waiting: deque[tuple[int, str, bytes]] = deque()
        self._left_bytes = limit_bytes
        self._protocol = protocol
        self._path = folder / FILE
        self._file: TextIO | None = None

    def __call__(self, now_ns: int, direction: str, data: bytes) -> None:
        if len(self._waiting) >= WAITING:
            self.lost += 1
        elif self._left_bytes > 0:
            self._waiting.append((now_ns, direction, data))

    def step(self, now_ns: int) -> None:
        """On the recorder's thread. A disk that is away costs what waited, never the run."""
        lines = [capture_line(*self._waiting.popleft(), self._protocol) for _ in range(len(self._waiting))]
        text = "".join(lines)[: max(0, self._left_bytes)]  # a reader takes a cut last line for the end
        if not text:
            return
        try:
            if self._file is None:
                self._file = self._path.open("w", encoding="ascii")
            self._file.write(text)
            self._file.flush()
        except OSError:
            self.lost += len(lines)
        else:
            self._left_bytes -= len(text)

    def close(self) -> None:
        self.step(0)
        if self._file is not None:
            self._file.close()
            self._file = None
