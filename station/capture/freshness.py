"""Judges whether a frame can be trusted to be a new picture of the belt. Pure: knows frames, not cameras and not clocks.

A broken stream repeats its last frame at any rate, a dying camera sends black, a stuck one the same picture with new stamps.
Real sensors are noisy: two honest pictures of a standing belt still differ somewhere.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from station.datatypes import Frame

GRID = 16  # every n-th pixel in both directions is looked at: 4,000 of a million
BLACK_LEVEL = 12  # grey level under which nearly every pixel of a dead camera lies
FROZEN_FRAMES = 3  # identical in a row; one repetition may be a hiccup of the driver


class Freshness(Enum):
    OK = "ok"
    BLACK = "black"  # nothing but dark
    FROZEN = "frozen"  # the same picture again and again
    REPEATED = "repeated"  # the same picture once more
    STALE = "stale"  # captured no later than the one before, or too long ago


class FrameGuard:
    def __init__(self, stale_after_ns: int = 500_000_000) -> None:
        self._stale_after_ns = stale_after_ns
        self._last_sample: NDArray[np.uint8] | None = None
        self._last_captured_ns: int | None = None
        self._same = 0

    def judge(self, frame: Frame, now_ns: int | None = None) -> Freshness:
        """`now_ns`: also judge its age. Call once per frame, in order."""
        sample = frame.bgr[GRID // 2 :: GRID, GRID // 2 :: GRID].copy()
        same = self._last_sample is not None and np.array_equal(sample, self._last_sample)
        self._same = self._same + 1 if same else 0
        backwards = self._last_captured_ns is not None and frame.captured_ns <= self._last_captured_ns
        self._last_sample, self._last_captured_ns = sample, frame.captured_ns
        if backwards or (now_ns is not None and now_ns - frame.captured_ns > self._stale_after_ns):
            return Freshness.STALE
        if float(np.percentile(sample, 98)) < BLACK_LEVEL:
            return Freshness.BLACK
        if self._same >= FROZEN_FRAMES - 1:
            return Freshness.FROZEN
        return Freshness.REPEATED if same else Freshness.OK
