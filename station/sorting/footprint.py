"""Footprints on the belt and how much of one a gate window covers. Pure geometry in millimetres; knows no time, no gate list.

A footprint is sampled across the belt: at each lateral sample the convex outline is one interval along the belt. That is
exact for convex outlines up to the sampling step, and turns coverage into a few vector operations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from station.datatypes import Track

STEP_MM = 3.0

Mm = NDArray[np.float64]  # (K,) millimetres


@dataclass(frozen=True, slots=True)
class Footprint:
    lateral_mm: Mm  # (K,) samples across the belt
    lo_mm: Mm  # (K,) upstream end of the outline at that sample, belt coordinate
    hi_mm: Mm  # (K,) downstream end

    @property
    def area(self) -> float:
        """In units of one sample strip; only ratios of areas are used."""
        return float(np.sum(self.hi_mm - self.lo_mm))


def footprint_of(track: Track) -> Footprint:
    """Outline of a track in belt coordinates; its upright rectangle when no outline is known."""
    if track.hull_mm is not None and len(track.hull_mm) >= 3:
        return _of_polygon(track.hull_mm)
    half_along, half_across = track.length_mm / 2, max(track.width_mm / 2, STEP_MM)
    lateral = _samples(track.lateral_mm - half_across, track.lateral_mm + half_across)
    return Footprint(
        lateral,
        np.full(lateral.shape, track.along_mm - half_along),
        np.full(lateral.shape, track.along_mm + half_along),
    )


def covered(footprint: Footprint, inside: NDArray[np.bool_], start_mm: float, end_mm: float) -> Mm:
    """Length covered at each sample (K,) by a window [start, end] (belt coordinates) over the samples `inside` its gates."""
    overlap = np.minimum(footprint.hi_mm, end_mm) - np.maximum(footprint.lo_mm, start_mm)
    return np.where(inside, np.maximum(overlap, 0.0), 0.0)


def share(footprint: Footprint, lengths: Mm) -> float:
    """Covered part of the footprint, 0..1; overlapping windows count once at most."""
    area = footprint.area
    if area <= 0:
        return 0.0
    return float(np.sum(np.minimum(lengths, footprint.hi_mm - footprint.lo_mm)) / area)


def _samples(low: float, high: float) -> Mm:
    count = max(2, round((high - low) / STEP_MM))
    step = (high - low) / count
    return np.asarray(low + step * (np.arange(count) + 0.5), np.float64)


def _of_polygon(outline: Mm) -> Footprint:
    """`outline` (N, 2): along, lateral; convex."""
    along, across = outline[:, 0], outline[:, 1]
    lateral = _samples(float(across.min()), float(across.max()))
    next_along, next_across = np.roll(along, -1), np.roll(across, -1)
    rise = next_across - across
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (lateral[:, None] - across[None, :]) / rise[None, :]
    crosses = (rise[None, :] != 0) & (part >= 0) & (part <= 1)
    crossing = along[None, :] + np.where(crosses, part, 0.0) * (next_along - along)[None, :]
    lo = np.where(crosses, crossing, np.inf).min(axis=1)
    hi = np.where(crosses, crossing, -np.inf).max(axis=1)
    return Footprint(lateral, lo, hi)
