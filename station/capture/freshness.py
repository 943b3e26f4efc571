"""Judges whether a frame can be trusted to be a new picture of the belt. Pure: knows frames, not cameras and not clocks.

A broken stream repeats its last frame at any rate, a dying camera sends black, a stuck one the same picture with new stamps,
a decoder without its reference paints what it misses in one flat colour, a camera that was away may come back with another
size. Real sensors are noisy: two honest pictures of a standing belt still differ somewhere. A stuck camera behind a video coder
differs too, by what the coder still mends.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from station.datatypes import Frame, SizePx

GRID = 16  # every n-th pixel in both directions is looked at: 4,000 of a million
BLACK_LEVEL = 12  # grey level under which nearly every pixel of a dead camera lies
FROZEN_FRAMES = 3  # identical in a row; one repetition may be a hiccup of the driver
MENDED_MEAN, MENDED_MAX = 0.5, 6  # levels a coder changes in a picture that stands; measured 0.4 and 4
UNDECODED = np.array([[130, 130, 130], [128, 128, 128], [0, 135, 0], [0, 154, 0]])  # BGR of empty YUV, by its range
UNDECODED_ROWS = 0.06  # of all rows, each of one such colour from edge to edge; light does not do that
PATIENCE_NS = 2_000_000_000
MAX_PATIENCE_NS = 60_000_000_000


class Freshness(Enum):
    OK = "ok"
    BLACK = "black"  # nothing but dark
    FROZEN = "frozen"  # the same picture again and again
    REPEATED = "repeated"  # the same picture once more
    STALE = "stale"  # captured no later than the one before, or too long ago
    CORRUPT = "corrupt"  # part of it could not be decoded
    RESIZED = "resized"  # of another size than the millimetres hold for


class FrameGuard:
    def __init__(self, stale_after_ns: int = 500_000_000, size_px: SizePx | None = None) -> None:
        """`size_px`: what every picture must have; None: any size."""
        self._stale_after_ns = stale_after_ns
        self._size_px = size_px
        self._last_sample: NDArray[np.uint8] | None = None
        self._last_captured_ns: int | None = None
        self._repeats = 0  # of the last picture that was really another one

    def judge(self, frame: Frame, now_ns: int | None = None) -> Freshness:
        """`now_ns`: also judge its age. Call once per frame, in order."""
        sample = frame.bgr[GRID // 2 :: GRID, GRID // 2 :: GRID].copy()
        repeated = self._is_repeated(sample)
        backwards = self._last_captured_ns is not None and frame.captured_ns <= self._last_captured_ns
        self._last_sample, self._last_captured_ns = sample, frame.captured_ns
        if self._size_px is not None and self._size_px != frame.size_px:
            return Freshness.RESIZED
        if backwards or (now_ns is not None and now_ns - frame.captured_ns > self._stale_after_ns):
            return Freshness.STALE
        if float(np.percentile(sample, 98)) < BLACK_LEVEL:
            return Freshness.BLACK
        if _is_half_decoded(sample):
            return Freshness.CORRUPT
        if not repeated:
            return Freshness.OK
        return Freshness.FROZEN if self._repeats >= FROZEN_FRAMES - 1 else Freshness.REPEATED

    def _is_repeated(self, sample: NDArray[np.uint8]) -> bool:
        """Exactly as before, or so nearly that after an exact repetition it can only be a coder at work."""
        last = self._last_sample
        if last is None or last.shape != sample.shape:
            self._repeats = 0
            return False
        difference = np.abs(sample.astype(np.int16) - last)
        if not difference.any():
            self._repeats += 1
        elif difference.max() > MENDED_MAX or difference.mean() > MENDED_MEAN:
            self._repeats = 0
        return self._repeats > 0


class Patience:
    """How long a live source may give nothing usable before it is opened anew. Doubles while that does not help."""

    def __init__(self) -> None:
        self._limit_ns = PATIENCE_NS
        self._since_ns: int | None = None

    def is_over(self, verdict: Freshness, now_ns: int) -> bool:
        if verdict is Freshness.OK:
            self._limit_ns, self._since_ns = PATIENCE_NS, None
            return False
        if self._since_ns is None:
            self._since_ns = now_ns
        if now_ns - self._since_ns < self._limit_ns:
            return False
        self._limit_ns, self._since_ns = min(2 * self._limit_ns, MAX_PATIENCE_NS), None
        return True


def _is_half_decoded(sample: NDArray[np.uint8]) -> bool:
    flat = (sample == sample[:, :1]).all(axis=(1, 2))
    if not flat.any():
        return False
    colours = sample[flat, 0]
    empty = (colours[:, None] == UNDECODED).all(axis=2).any(axis=1)
    return int(empty.sum()) > UNDECODED_ROWS * len(sample)
