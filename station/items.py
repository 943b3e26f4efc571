"""What the loop remembers of each item, from birth until it is past the gates. One owner: the sort loop.

Values and their lookup only; stages fill them in: perception (track, looks, opinions, belief), deciding (decision, gated).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from station.datatypes import Belief, Classification, Decision, LookAt, Track, TrackEnd

PASSED_MM = 1000.0  # behind the gates no window can touch an item any more


@dataclass(slots=True)
class Item:
    track: Track
    looks: list[LookAt] = field(default_factory=list)
    opinions: list[Classification] = field(default_factory=list)
    belief: Belief | None = None  # of all opinions so far
    decision: Decision | None = None
    gated: bool = False  # decided for a bin that is reached only by making a gate act
    gone: TrackEnd | None = None


class Items:
    def __init__(self) -> None:
        self._by_track: dict[int, Item] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._by_track.values())

    def get(self, track_id: int) -> Item | None:
        return self._by_track.get(track_id)

    def meet(self, track: Track) -> bool:
        """Enter or refresh an item. True when it is new."""
        item = self._by_track.get(track.track_id)
        if item is None:
            self._by_track[track.track_id] = Item(track)
            return True
        if item.decision is None or item.gone is None:
            item.track = track
        return False

    def in_view(self, camera_id: str) -> list[Track]:
        return [item.track for item in self if item.gone is None and item.track.camera_id == camera_id]

    def shown(self) -> tuple[Track, ...]:
        """Tracks in the view of any camera."""
        return tuple(item.track for item in self if item.gone is None)

    def beliefs(self) -> dict[int, tuple[str, float]]:
        """Label and confidence of the tracks in view, as far as they have any."""
        return {
            item.track.track_id: (item.belief.label, item.belief.confidence)
            for item in self
            if item.gone is None and item.belief is not None
        }

    def forget_passed(self, coordinate_at_gates_mm: Mapping[str, float]) -> None:
        """Drop what is far past the gates (by camera: the belt coordinate that is there now), and what was none."""
        self._by_track = {
            track_id: item
            for track_id, item in self._by_track.items()
            if item.gone is not TrackEnd.NOISE and not _is_past(item, coordinate_at_gates_mm)
        }

    def clear(self) -> None:
        self._by_track.clear()


def _is_past(item: Item, coordinate_at_gates_mm: Mapping[str, float]) -> bool:
    at_gates_mm = coordinate_at_gates_mm.get(item.track.camera_id)
    return item.decision is not None and at_gates_mm is not None and item.track.along_mm > at_gates_mm + PASSED_MM
