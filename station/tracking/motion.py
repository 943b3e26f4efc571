"""How far the belt moved between two frames, from the pictures alone: for sources without an encoder, and to check one.

Compares what moves (texture and items, the machine taken out) line by line along the travel. Knows no items and no clock.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

ACROSS_BINS = 40
MIN_MATCH = 0.35  # correlation below which a displacement is a guess
SURE_MATCH = 0.6
MIN_OVERLAP = 0.2  # of the view that both frames must share
REMEMBERED = 9
WAYS = ((True, True), (True, False), (False, True), (False, False))
CLEAR_SHIFT_PX = 1.0
ENOUGH_VOTES = 4
CELL_ROWS = 8
CHANGED_LEVELS = 4.0  # of grey, in the mean of a cell: beyond noise and faint grain
CHANGED_CELLS = 4  # a small item that moved changes more, where it was and where it is


@dataclass(frozen=True, slots=True)
class Motion:
    shift_px: float  # along the travel, in pixels of the reduced picture
    match: float  # correlation, 0..1


class DirectionFinder:
    """Which way the belt runs in a picture that nobody has described: feed the first frames' residuals."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._change: NDArray[np.float32] | None = None
        self._votes: Counter[tuple[bool, bool]] = Counter()  # (along rows, forward)

    def see(self, residual: NDArray[np.float32]) -> tuple[bool, bool] | None:
        """(along rows, forward) once enough frames agree."""
        before, self._before = self._before, residual.copy()
        if before is None or before.shape != residual.shape:
            return None
        # What changed is followed, not what is there: a machine not yet learnt stands in every picture.
        change, last_change = residual - before, self._change
        self._change = change
        if last_change is None or last_change.shape != change.shape:
            return None
        motions = [(displacement(coarse_lines(last_change, *way), coarse_lines(change, *way)), way) for way in WAYS]
        ahead = [(m.match, way) for m, way in motions if m.match >= SURE_MATCH and m.shift_px >= CLEAR_SHIFT_PX]
        if ahead:
            self._votes[max(ahead)[1]] += 1
        way, votes = self._votes.most_common(1)[0] if self._votes else (None, 0)
        return way if votes >= ENOUGH_VOTES and votes > 0.7 * self._votes.total() else None


class BeltMotion:
    """Feed every frame's residual; speeds are remembered so that one bad match moves nothing."""

    def __init__(self, along_rows: bool, forward: bool) -> None:
        self._along_rows = along_rows
        self._forward = forward  # travel grows with the picture's coordinate
        self._before: NDArray[np.float32] | None = None
        self._speeds: deque[float] = deque(maxlen=REMEMBERED)
        self.sure_mm: float | None = None  # travel between the last two pictures, where they match without doubt
        self.still = False  # nothing in the last two was at another place

    def see(self, residual: NDArray[np.float32], mm_per_pixel: float, step_ns: int) -> float | None:
        """Travel since the last picture in mm; where nothing on the belt tells it, what the last speeds make likely."""
        lines, before = coarse_lines(residual, self._along_rows, self._forward), self._before
        self._before, self.sure_mm, self.still = lines, None, False
        if before is None or before.shape != lines.shape or step_ns <= 0:
            return None
        motion = displacement(before, lines)
        travelled_mm = motion.shift_px * mm_per_pixel
        speed_mm_s = travelled_mm * 1e9 / step_ns
        usual = self.speed_mm_s
        # What stands in the picture (a jam, dirt) matches itself, however the belt runs: only stillness throughout is sure.
        self.still = not _changed(before, lines)
        if motion.match >= SURE_MATCH and (abs(motion.shift_px) >= CLEAR_SHIFT_PX or self.still):
            self.sure_mm = travelled_mm
        if motion.match >= MIN_MATCH:
            self._speeds.append(speed_mm_s)
            # A weak match far from the usual speed is a chance one; it counts in the median, not at once.
            if motion.match >= SURE_MATCH or usual is None or abs(speed_mm_s - usual) <= 0.3 * abs(usual):
                return travelled_mm
        return None if usual is None else usual * step_ns / 1e9

    @property
    def speed_mm_s(self) -> float | None:
        return float(np.median(self._speeds)) if len(self._speeds) >= 2 else None


def _changed(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Of `coarse_lines`: whether anything is at another place."""
    rows, across = before.shape
    cells = cv2.resize(after - before, (across, max(1, rows // CELL_ROWS)), interpolation=cv2.INTER_AREA)
    return int((np.abs(cells) > CHANGED_LEVELS).sum()) >= CHANGED_CELLS


def coarse_lines(residual: NDArray[np.float32], along_rows: bool, forward: bool) -> NDArray[np.float32]:
    """(along, across), travel downwards, coarse across the belt."""
    plane = residual if along_rows else residual.T
    if not forward:
        plane = plane[::-1]
    size = (min(ACROSS_BINS, plane.shape[1]), plane.shape[0])
    coarse = cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(coarse, -40, 40), np.float32)


def displacement(before: NDArray[np.float32], after: NDArray[np.float32]) -> Motion:
    """By how many rows `after` lies further down than `before`, to a fraction, with the correlation there."""
    rows = before.shape[0]
    size = cv2.getOptimalDFTSize(2 * rows)
    a, b = before - before.mean(), after - after.mean()
    spectrum = np.conj(np.fft.rfft(a, size, axis=0)) * np.fft.rfft(b, size, axis=0)
    correlation = np.fft.irfft(spectrum.sum(axis=1), size)
    reach = int(rows * (1 - MIN_OVERLAP))
    back = reach // 8  # a belt hardly runs backwards
    lags = np.arange(-back, reach + 1)
    strength = (
        np.concatenate([[0.0], np.cumsum((a * a).sum(axis=1))]),
        np.concatenate([[0.0], np.cumsum((b * b).sum(axis=1))]),
    )
    first, last = np.clip(-lags, 0, rows), rows - np.clip(lags, 0, rows)
    shared_a = strength[0][last] - strength[0][first]
    shared_b = strength[1][last + lags] - strength[1][first + lags]
    total = np.sqrt(strength[0][-1] * strength[1][-1]) + 1e-6
    # A small overlap may match by chance: it must carry its share of the picture's contrast.
    match = correlation[lags] / np.maximum(np.sqrt(np.maximum(shared_a * shared_b, 0.0)), 0.15 * total)
    best = int(np.argmax(match))
    return Motion(float(lags[best]) + _peak(match, best), float(match[best]))


def _peak(values: NDArray[np.float64], at: int) -> float:
    """Top of the parabola through a maximum and its neighbours, relative to it."""
    if at in (0, len(values) - 1):
        return 0.0
    before, top, after = values[at - 1 : at + 2]
    bend = before - 2 * top + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
