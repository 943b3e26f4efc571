"""Which detection is which track: pure arithmetic on footprints in belt coordinates. Knows no pixels and no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from station.datatypes import Detection

HullMm: TypeAlias = NDArray[np.float64]  # (N, 2): along, lateral
IMPOSSIBLE = 1e6
SIZE_WEIGHT = 0.3  # mm of cost per mm of difference in size: breaks ties, decides nothing alone


@dataclass(frozen=True, slots=True)
class Footprint:
    """An upright rectangle on the belt. A cut side lies at the frame's border; the item goes on beyond it."""

    from_mm: float
    to_mm: float
    left_mm: float
    right_mm: float
    cut_from: bool = False
    cut_to: bool = False

    @property
    def whole(self) -> bool:
        return not (self.cut_from or self.cut_to)

    @property
    def along_mm(self) -> float:
        return (self.from_mm + self.to_mm) / 2

    @property
    def lateral_mm(self) -> float:
        return (self.left_mm + self.right_mm) / 2

    @property
    def length_mm(self) -> float:
        return self.to_mm - self.from_mm

    @property
    def width_mm(self) -> float:
        return self.right_mm - self.left_mm

    @property
    def area_mm2(self) -> float:
        return max(self.length_mm, 0.0) * max(self.width_mm, 0.0)

    def moved(self, along_mm: float) -> Footprint:
        return Footprint(
            self.from_mm + along_mm, self.to_mm + along_mm, self.left_mm, self.right_mm, self.cut_from, self.cut_to
        )

    def grown(self, by_mm: float) -> Footprint:
        return Footprint(self.from_mm - by_mm, self.to_mm + by_mm, self.left_mm - by_mm, self.right_mm + by_mm)

    def clipped(self, from_mm: float, to_mm: float) -> Footprint:
        """The part between two belt coordinates: what the frame shows of it."""
        return Footprint(
            min(max(self.from_mm, from_mm), to_mm), max(min(self.to_mm, to_mm), from_mm), self.left_mm, self.right_mm
        )


@dataclass(frozen=True, slots=True)
class Sighting:
    """One detection, in belt coordinates."""

    footprint: Footprint
    hull_mm: HullMm
    detection: Detection


def overlap_mm2(a: Footprint, b: Footprint) -> float:
    # Most pairs are far apart: asked for every pair of a frame, so the way out is first and without a call.
    if a.from_mm >= b.to_mm or b.from_mm >= a.to_mm or a.left_mm >= b.right_mm or b.left_mm >= a.right_mm:
        return 0.0
    along = min(a.to_mm, b.to_mm) - max(a.from_mm, b.from_mm)
    across = min(a.right_mm, b.right_mm) - max(a.left_mm, b.left_mm)
    return along * across


def share_inside(inner: Footprint, outer: Footprint) -> float:
    """Which part of `inner` lies in `outer`."""
    overlap = overlap_mm2(inner, outer)
    return overlap / inner.area_mm2 if overlap > 0.0 else 0.0


def distance_mm(seen: Footprint, known: Footprint) -> float:
    """How far apart two views of one item would be. Only sides that neither view has cut off are compared."""
    gaps = []
    if not (seen.cut_from or known.cut_from):
        gaps.append(seen.from_mm - known.from_mm)
    if not (seen.cut_to or known.cut_to):
        gaps.append(seen.to_mm - known.to_mm)
    # Opposite ends may be one item if they reach each other.
    apart = max(0.0, max(seen.from_mm, known.from_mm) - min(seen.to_mm, known.to_mm))
    along = abs(sum(gaps) / len(gaps)) if gaps else apart
    return float(np.hypot(along, _across_mm(seen, known)))


def assign(seen: Sequence[Footprint], known: Sequence[Footprint], gates_mm: Sequence[float]) -> list[tuple[int, int]]:
    """Pairs (seen, known) of least total distance; a pair further apart than the known one's gate is none."""
    if not seen or not known:
        return []
    cost = np.full((len(seen), len(known)), IMPOSSIBLE)
    for row, item in enumerate(seen):
        for column, track in enumerate(known):
            if not _near(item, track, gates_mm[column]):
                continue
            apart = distance_mm(item, track)
            if apart <= gates_mm[column]:
                cost[row, column] = apart + _size_cost(item, track)
    rows, columns = linear_sum_assignment(cost)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if cost[r, c] < IMPOSSIBLE]


def _near(a: Footprint, b: Footprint, gate_mm: float) -> bool:
    """Cheap: two views of one item at least come near each other."""
    return (
        a.from_mm - gate_mm < b.to_mm
        and b.from_mm - gate_mm < a.to_mm
        and a.left_mm - gate_mm < b.right_mm
        and b.left_mm - gate_mm < a.right_mm
    )


def _across_mm(seen: Footprint, known: Footprint) -> float:
    """Sideways distance. Where one view may show only a corner, the narrower need only lie within the wider."""
    if not (seen.whole and known.whole):
        common = min(seen.right_mm, known.right_mm) - max(seen.left_mm, known.left_mm)
        if common >= 0.7 * min(seen.width_mm, known.width_mm):
            return 0.0
    return abs(seen.lateral_mm - known.lateral_mm)


def _size_cost(seen: Footprint, known: Footprint) -> float:
    if not (seen.whole and known.whole):
        return 0.0
    return SIZE_WEIGHT * (abs(seen.length_mm - known.length_mm) + abs(seen.width_mm - known.width_mm))
