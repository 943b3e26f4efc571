"""What the tracker knows of one item: its sightings, and the place and size that follow from them. Decides nothing.

The two ends of an item are estimated apart, each from the sightings that showed it: an item that enters shows its front,
one that leaves its rear, and one longer than the view still gets a length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from station.datatypes import Track
from station.tracking.matching import Footprint, HullMm, Sighting

KEPT_SIGHTINGS = 24
SIGHTING_SIGMA_MM = 1.2  # of one whole sighting, as far as sightings differ
SHAPE_SIGMA_MM = 0.8  # shadow, outline: the same in every sighting, so it does not average away
UNSEEN_END_SIGMA_MM = 25.0  # as long as only one end was seen


@dataclass(slots=True)
class _Ends:
    """Positions seen of the four sides."""

    rear: deque[float]
    front: deque[float]
    left: deque[float]
    right: deque[float]


class KnownItem:
    def __init__(self, track_id: int, camera_id: str, sighting: Sighting, now_ns: int, entered: bool) -> None:
        self.track_id = track_id
        self.camera_id = camera_id
        self.entered = entered  # came over the upstream edge, as items do
        self.ours: bool | None = None  # lies in its camera's lane; None: not judged yet
        self.jam_mm = 0.0  # belt travel during which it stood still
        self.carried_mm = 0.0  # belt travel during which it moved along
        self.followed = 0  # sightings in which an end of it was where the belt should have carried it
        self.missed = 0  # frames in a row that should have shown it
        self.merged = False
        self.sightings = 0
        self.first_seen_ns = now_ns
        self.last_seen_ns = now_ns
        self.seen_now: Sighting | None = None
        self.hull_mm: HullMm = sighting.hull_mm
        self.ever_whole = False
        self.last_travel_mm: float | None = None
        self._ends = _empty_ends()
        self._fallback = sighting.footprint
        self.footprint = sighting.footprint

    def see(self, sighting: Sighting, now_ns: int, travel_mm: float, *, trust: bool = True) -> None:
        """Take a sighting in; without `trust` (merged with a neighbour) it counts but moves nothing."""
        if self.last_travel_mm is not None and _share_an_end(sighting.footprint, self.footprint):
            self.carried_mm += travel_mm - self.last_travel_mm
            self.followed += 1
        self.last_travel_mm = travel_mm
        self.last_seen_ns = now_ns
        self.seen_now = sighting
        self.sightings += 1
        self.missed = 0
        if trust:
            self._take(sighting)

    def miss(self) -> None:
        self.seen_now = None
        self.missed += 1

    def stood_still(self, sighting: Sighting, now_ns: int, travel_mm: float) -> None:
        """It is where it was in the picture although the belt moved on: its belt coordinate is a new one."""
        slipped_mm = travel_mm - (self.last_travel_mm if self.last_travel_mm is not None else travel_mm)
        self.jam_mm += slipped_mm
        self._forget(sighting)
        self.last_travel_mm = travel_mm
        self.see(sighting, now_ns, travel_mm)

    def restart(self, sighting: Sighting, now_ns: int, travel_mm: float) -> None:
        """What was seen so far was only a piece of it."""
        self._forget(sighting)
        self.see(sighting, now_ns, travel_mm)

    def sigma_mm(self, position_bound_mm: float) -> float:
        whole = min(len(self._ends.rear), len(self._ends.front))
        if whole == 0:
            return UNSEEN_END_SIGMA_MM
        return float(np.sqrt(SHAPE_SIGMA_MM**2 + SIGHTING_SIGMA_MM**2 / whole + position_bound_mm**2))

    def track(self, position_bound_mm: float) -> Track:
        place = self.footprint
        seen = self.seen_now
        hull = self.hull_mm + np.array(
            [place.along_mm - (self.hull_mm[:, 0].min() + self.hull_mm[:, 0].max()) / 2, 0.0]
        )
        return Track(
            track_id=self.track_id,
            camera_id=self.camera_id,
            along_mm=place.along_mm,
            lateral_mm=place.lateral_mm,
            length_mm=place.length_mm,
            width_mm=place.width_mm,
            sigma_mm=self.sigma_mm(position_bound_mm),
            first_seen_ns=self.first_seen_ns,
            last_seen_ns=self.last_seen_ns,
            sightings=self.sightings,
            whole=bool(seen and seen.footprint.whole and not self.merged),
            detection=seen.detection if seen else None,
            hull_mm=hull,
            merged=self.merged,
        )

    @property
    def confirmed(self) -> bool:
        """It counts as an item, and as one of this camera."""
        return self.ours is True

    @property
    def rear_seen(self) -> int:
        """In how many sightings its upstream end was in the picture."""
        return len(self._ends.rear)

    def _forget(self, sighting: Sighting) -> None:
        """Place and size start anew."""
        self._ends = _empty_ends()
        self.ever_whole = False
        self._fallback = sighting.footprint

    def _take(self, sighting: Sighting) -> None:
        seen = sighting.footprint
        if not seen.cut_from:
            self._ends.rear.append(seen.from_mm)
        if not seen.cut_to:
            self._ends.front.append(seen.to_mm)
        if seen.whole:
            if not self.ever_whole:
                self._ends.left.clear()
                self._ends.right.clear()
            self.ever_whole = True
            self.hull_mm = sighting.hull_mm
        if seen.whole or not self.ever_whole:
            self._ends.left.append(seen.left_mm)
            self._ends.right.append(seen.right_mm)
        if not self.ever_whole:
            self._fallback = _hull_of(self._fallback, seen)
            if sighting.footprint.area_mm2 >= 0.95 * self._fallback.area_mm2:
                self.hull_mm = sighting.hull_mm
        self.footprint = self._settled()

    def _settled(self) -> Footprint:
        ends, known = self._ends, self._fallback
        rear = _middle(ends.rear) if ends.rear else known.from_mm
        front = _middle(ends.front) if ends.front else known.to_mm
        # A part seen only cut shows no more than its widest view; a whole one its typical view.
        left = _middle(ends.left) if self.ever_whole else min(ends.left, default=known.left_mm)
        right = _middle(ends.right) if self.ever_whole else max(ends.right, default=known.right_mm)
        return Footprint(rear, max(front, rear + 1.0), left, right, not ends.rear, not ends.front)


def _empty_ends() -> _Ends:
    return _Ends(*(deque(maxlen=KEPT_SIGHTINGS) for _ in range(4)))


def _middle(values: Iterable[float]) -> float:
    """Mean of what lies near the median: one bad outline does not move it."""
    seen = sorted(values)
    median = (seen[(len(seen) - 1) // 2] + seen[len(seen) // 2]) / 2
    near = [value for value in seen if abs(value - median) <= 4.0]
    return sum(near) / len(near) if near else median


def _hull_of(a: Footprint, b: Footprint) -> Footprint:
    return Footprint(
        min(a.from_mm, b.from_mm),
        max(a.to_mm, b.to_mm),
        min(a.left_mm, b.left_mm),
        max(a.right_mm, b.right_mm),
        a.cut_from and b.cut_from,
        a.cut_to and b.cut_to,
    )


def _share_an_end(a: Footprint, b: Footprint) -> bool:
    """What goes through the whole view tells nothing of its motion."""
    return not (a.cut_from or b.cut_from) or not (a.cut_to or b.cut_to)
