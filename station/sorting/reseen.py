"""Items that had their outcome already when they are seen again under a new track: a new count epoch ends every track.

The places known before the epoch are carried on by the belt's last speed and compared with what is seen in the new counts.
Holds as long as the belt kept its speed over the gap (tens of milliseconds after a reboot). Knows places and times only.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from station.datatypes import Track
from station.sorting.scheduler import Motion

PLACE_MM = 15.0  # what two sightings of one item may differ by, besides half of the item itself


@dataclass(frozen=True, slots=True)
class _Place:
    along_mm: float  # belt coordinate in the new counts
    lateral_mm: float
    length_mm: float
    width_mm: float

    def holds(self, track: Track) -> bool:
        along_mm, lateral_mm = abs(track.along_mm - self.along_mm), abs(track.lateral_mm - self.lateral_mm)
        return along_mm <= self.length_mm / 2 + PLACE_MM and lateral_mm <= self.width_mm / 2 + PLACE_MM

    def distance_mm(self, track: Track) -> float:
        return abs(track.along_mm - self.along_mm) + abs(track.lateral_mm - self.lateral_mm)


class Reseen:
    """One camera's items of the epoch before. Empty as long as no epoch has ended."""

    def __init__(self) -> None:
        self._tracks: tuple[Track, ...] = ()
        self._motion: Motion | None = None
        self._places: list[_Place] = []

    def leave(self, tracks: Iterable[Track], motion: Motion) -> None:
        """The counts are void: `tracks` were in view at `motion`, and all have their outcome."""
        self._tracks, self._motion, self._places = tuple(tracks), motion, []

    def arrive(self, motion: Motion) -> None:
        """Where the belt is in the new counts; asked at every frame that has one of them, and used at the first."""
        left = self._motion
        if left is None:
            return
        gone_mm = left.speed_mm_s * (motion.at_ns - left.at_ns) / 1e9
        shift_mm = left.travel_mm + gone_mm - motion.travel_mm
        self._places = [
            _Place(track.along_mm + shift_mm, track.lateral_mm, track.length_mm, track.width_mm)
            for track in self._tracks
        ]
        self._tracks, self._motion = (), None

    def takes(self, track: Track) -> bool:
        """True when the new track is one of them; each is found again once."""
        here = [place for place in self._places if place.holds(track)]
        if not here:
            return False
        self._places.remove(min(here, key=lambda place: place.distance_mm(track)))
        return True
