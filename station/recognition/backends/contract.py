"""What every engine that computes the model offers: looks as bytes in, logits out, in a few fixed batch sizes.

A new shape can stall an engine for seconds, so batches are split into sizes that were warmed at the start. Knows
nothing of cameras, items or temperatures.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from station.errors import ModelError

BgrBatch: TypeAlias = NDArray[np.uint8]  # (N, S, S, 3), OpenCV channel order
Logits: TypeAlias = NDArray[np.float32]  # (N, C), not yet divided by the temperature
Infer: TypeAlias = Callable[[BgrBatch], Logits]  # of one fixed N

SIZES = (1, 2, 4, 8, 16)


class Backend(Protocol):
    @property
    def name(self) -> str:
        """Engine and number format: "openvino-bf16"."""

    @property
    def device(self) -> str:
        """ "cpu", "cuda:0" """

    def run(self, batch: BgrBatch) -> Logits:
        """Logits of any number of looks, in order. Raises ModelError."""


class FixedSizes:
    """A backend made of one compiled function per batch size."""

    def __init__(self, name: str, device: str, infer: Mapping[int, Infer], *, pads: bool) -> None:
        self.name = name
        self.device = device
        self.pads = pads
        self._infer = dict(infer)
        self.sizes = tuple(sorted(infer))

    def run(self, batch: BgrBatch) -> Logits:
        parts = []
        first = 0
        for count, size in split(len(batch), self.sizes, pads=self.pads):
            parts.append(self._run_one(batch[first : first + count], size))
            first += count
        if not parts:
            raise ValueError("a batch without looks")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run_one(self, looks: BgrBatch, size: int) -> Logits:
        count = len(looks)
        if count < size:
            looks = np.concatenate([looks, np.zeros((size - count, *looks.shape[1:]), np.uint8)])
        try:
            logits = self._infer[size](looks)[:count]
        except (RuntimeError, MemoryError) as error:  # what torch, CUDA and OpenVINO raise
            raise ModelError(f"{self.name} on {self.device} failed: {in_one_line(error)}") from error
        if not np.isfinite(logits).all():
            raise ModelError(f"{self.name} on {self.device} answered with numbers that are not finite.")
        return logits


def in_one_line(error: BaseException) -> str:
    """An engine's page of complaint as a line for people: torch says the cause first, OpenVINO last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    chosen = [lines[0], lines[-1]] if len(lines) > 1 else lines
    return " ... ".join(line[:160] for line in chosen)


def split(looks: int, sizes: tuple[int, ...], *, pads: bool) -> list[tuple[int, int]]:
    """`looks` as (looks in this call, size of this call), over rising `sizes` that begin with 1.

    With `pads`, the rest goes into the smallest size that holds it: right where a call costs more than idle rows (GPU).
    Without, no row is ever idle: right where every row costs the same (CPU).
    """
    calls = []
    left = looks
    while left > 0:
        fitting = [size for size in sizes if size <= left]
        roomy = [size for size in sizes if size >= left]
        size = roomy[0] if pads and roomy else fitting[-1]
        calls.append((min(left, size), size))
        left -= size
    return calls
