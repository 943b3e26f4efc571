"""Bin to gates and window. The only place where a decision becomes a command.

Theory of operation. All gates of a bin stand on one line across the belt (else the configuration is refused), at `at_mm` on the
station axis. A point of an item at belt coordinate x feels the gate when the belt's travel is at_mm - x, so a window in belt
coordinates is a window of travel, hence of encoder counts (or, without an encoder, of time at constant speed). The window is
the item's own extent over the chosen gates plus its position's uncertainty at both ends, never an enlarged constant: extra
air hits neighbours.

Neighbour protection. An item with at least half of its footprint covered is diverted. Among contiguous gate choices and
trimmed windows the one that covers most of the target is taken, as long as no protected neighbour is covered beyond
`max_neighbour_cover`. When that leaves less than `min_cover` of the target: policy "purity" gives the target up
(missed: neighbour), policy "recovery" fires all the same.

Knows nothing of valve delays (the device's business), of the wire, or of labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.messages import DivertCommand, DuringCount, DuringTime, Window
from station.config import StationConfig
from station.datatypes import OutcomeReason, Track
from station.sorting.footprint import Footprint, Mm, covered, footprint_of, share

TRIMS = (0.0, 0.12, 0.24, 0.36)  # parts of the item's length a window may give up at either end
RATE_SHARE = 0.98  # the device measures the belt's rate a little differently, and slower means longer
WORTHWHILE = 0.06  # a gate that holds less of the target stays shut
KEEP_BEHIND_MM = 500.0  # windows this far past the gates can touch nothing any more
OUTLINE_MM = 10.0  # an outline, seen once, may stick out of the size that many sightings settled by this much


@dataclass(frozen=True, slots=True)
class Motion:
    """Where the belt is now: `travel_mm` at `at_ns`, moving at `speed_mm_s`."""

    at_ns: int
    travel_mm: float
    speed_mm_s: float


@dataclass(frozen=True, slots=True)
class Planned:
    command: DivertCommand | None
    reason: OutcomeReason  # NONE with a command
    last_useful_ns: int | None  # enqueueing later than this is too late
    cover: float
    neighbour_cover: float


@dataclass(frozen=True, slots=True)
class _Choice:
    mask: int
    start_mm: float
    end_mm: float
    cover: float
    neighbour_cover: float


@dataclass(frozen=True, slots=True)
class _Scheduled:
    mask: int
    start_mm: float  # belt coordinates, upstream end
    end_mm: float


class Scheduler:
    """Remembers the windows it has given out, in belt coordinates, until they are past the gates."""

    def __init__(self, config: StationConfig) -> None:
        self._sort = config.sort
        self._gates = config.gates
        self._mm_per_count = config.belt.mm_per_count
        self._lead_ms = config.link.lead_ms
        self._from_mm = np.array([gate.from_mm for gate in self._gates])
        self._to_mm = np.array([gate.to_mm for gate in self._gates])
        self._scheduled: list[_Scheduled] = []
        self._next_id = 1

    def plan(self, target: Track, bin_name: str, neighbours: Sequence[Track], motion: Motion) -> Planned:
        """One command for `target`, or the reason why there is none. `neighbours` are the items to be spared."""
        gates = self._sort.bins[bin_name].gates
        at_mm = self._gates[gates[0]].at_mm
        if target.length_mm > min(self._gates[g].max_hold_ms for g in gates) / 1000 * max(motion.speed_mm_s, 1.0):
            return Planned(None, OutcomeReason.TOO_LONG, None, 0.0, 0.0)
        self._forget(at_mm - motion.travel_mm)
        footprint = footprint_of(target)
        room_mm = (self._longest_mm(gates, motion.speed_mm_s) - target.length_mm) / 2
        margin_mm = min(self._sort.margin_mm + 2 * target.sigma_mm, room_mm)
        spared = self._spared(footprint, self._touched(footprint, gates), neighbours, margin_mm)
        choice = self._choose(footprint, gates, spared, margin_mm)
        if choice is None:
            return Planned(None, OutcomeReason.NEIGHBOUR, None, 0.0, 0.0)
        divertible = choice.cover >= self._sort.min_cover
        if not divertible or (self._sort.policy == "purity" and not self._spares(choice)):
            return Planned(None, OutcomeReason.NEIGHBOUR, None, choice.cover, choice.neighbour_cover)
        start_mm, end_mm = self._joined(choice, motion.speed_mm_s)
        command = DivertCommand(self._next_id, choice.mask, self._window(at_mm, start_mm, end_mm, motion))
        self._next_id += 1
        self._scheduled.append(_Scheduled(choice.mask, start_mm, end_mm))
        return Planned(
            command,
            OutcomeReason.NONE,
            self._last_useful_ns(at_mm - end_mm, gates, motion),
            choice.cover,
            choice.neighbour_cover,
        )

    def _longest_mm(self, gates: Sequence[int], speed_mm_s: float) -> float:
        """The longest window a gate's output may be on for: margins give way before a whole item is refused."""
        on_ms = min(
            self._gates[g].max_hold_ms - max(self._gates[g].opening_delay_ms - self._gates[g].closing_delay_ms, 0)
            for g in gates
        )
        return RATE_SHARE * on_ms / 1000 * max(speed_mm_s, 1.0) - 2 * (self._mm_per_count or 0.0)

    def forget_all(self) -> None:
        """The device's queue was cancelled or a new count epoch began."""
        self._scheduled.clear()

    # -- choosing ------------------------------------------------------------------------------------------------

    def _spared(
        self, target: Footprint, acting: Sequence[int], neighbours: Sequence[Track], margin_mm: float
    ) -> list[tuple[Footprint, Mm]]:
        """Neighbours a window for `target` could reach, each with what is covered of it already."""
        if not acting:
            return []
        around_mm = max(margin_mm, 0.0) + OUTLINE_MM
        low, high = float(target.lo_mm.min()) - around_mm, float(target.hi_mm.max()) + around_mm
        # A gate acts over its whole width, however little of it the target needs: one flap may span the belt.
        left = min(float(self._from_mm[g]) for g in acting) - OUTLINE_MM
        right = max(float(self._to_mm[g]) for g in acting) + OUTLINE_MM
        near = []
        for track in neighbours:
            if abs(track.along_mm - (low + high) / 2) > (high - low) / 2 + track.length_mm / 2:
                continue
            if track.lateral_mm + track.width_mm / 2 < left or track.lateral_mm - track.width_mm / 2 > right:
                continue
            footprint = footprint_of(track)
            already = np.zeros_like(footprint.lo_mm)
            for window in self._scheduled:
                already += covered(footprint, self._inside(footprint, window.mask), window.start_mm, window.end_mm)
            near.append((footprint, already))
        return near

    def _choose(
        self, target: Footprint, gates: Sequence[int], spared: list[tuple[Footprint, Mm]], margin_mm: float
    ) -> _Choice | None:
        full = self._full(target, gates, margin_mm)
        if full is None:
            return None
        # Every other candidate is a part of the full one: what the full one does not hurt, none will.
        touched = [item for item in spared if self._hurt(item, full) > self._sort.max_neighbour_cover]
        if not touched:
            return self._judged(full, target, spared)
        candidates = (self._judged(part, target, touched) for part in self._parts(target, gates, margin_mm))
        return max(candidates, key=self._rank)

    def _judged(self, window: _Scheduled, target: Footprint, spared: list[tuple[Footprint, Mm]]) -> _Choice:
        lengths = covered(target, self._inside(target, window.mask), window.start_mm, window.end_mm)
        hurt = max((self._hurt(item, window) for item in spared), default=0.0)
        return _Choice(window.mask, window.start_mm, window.end_mm, share(target, lengths), hurt)

    def _rank(self, choice: _Choice) -> tuple[bool, bool, float, float]:
        """What the policy holds dearest first, then covering up to `want_cover`, then hurting and spending least."""
        spares, diverts = self._spares(choice), choice.cover >= self._sort.min_cover
        dearest = (spares, diverts) if self._sort.policy == "purity" else (diverts, spares)
        enough = round(min(choice.cover, self._sort.want_cover), 2)
        return (*dearest, enough, -choice.neighbour_cover - 0.001 * choice.mask.bit_count())

    def _spares(self, choice: _Choice) -> bool:
        return choice.neighbour_cover <= self._sort.max_neighbour_cover

    def _hurt(self, item: tuple[Footprint, Mm], window: _Scheduled) -> float:
        footprint, already = item
        new = covered(footprint, self._inside(footprint, window.mask), window.start_mm, window.end_mm)
        return share(footprint, already + new) if new.any() else 0.0

    def _touched(self, target: Footprint, gates: Sequence[int]) -> list[int]:
        """Gates of the bin that reach the target, from left to right."""
        touched = [g for g in gates if self._inside(target, 1 << g).any()]
        return sorted(touched, key=lambda g: float(self._from_mm[g]))

    def _full(self, target: Footprint, gates: Sequence[int], margin_mm: float) -> _Scheduled | None:
        """All gates that hold a worthwhile part of the target, over its whole length there."""
        whole = target.hi_mm - target.lo_mm
        mask = 0
        for g in self._touched(target, gates):
            if share(target, np.where(self._inside(target, 1 << g), whole, 0.0)) >= WORTHWHILE:
                mask |= 1 << g
        if mask == 0:
            return None
        inside = self._inside(target, mask)
        return _Scheduled(
            mask, float(target.lo_mm[inside].min()) - margin_mm, float(target.hi_mm[inside].max()) + margin_mm
        )

    def _parts(self, target: Footprint, gates: Sequence[int], margin_mm: float) -> Iterator[_Scheduled]:
        """Contiguous gate choices, each with its window trimmed at either end."""
        touched = self._touched(target, gates)
        for first in range(len(touched)):
            for last in range(first, len(touched)):
                mask = sum(1 << g for g in touched[first : last + 1])
                inside = self._inside(target, mask)
                low, high = float(target.lo_mm[inside].min()), float(target.hi_mm[inside].max())
                for cut_low, cut_high in product(TRIMS, TRIMS):
                    start_mm = low - margin_mm if cut_low == 0 else low + cut_low * (high - low)
                    end_mm = high + margin_mm if cut_high == 0 else high - cut_high * (high - low)
                    yield _Scheduled(mask, start_mm, end_mm)

    def _inside(self, footprint: Footprint, mask: int) -> NDArray[np.bool_]:
        inside = np.zeros(footprint.lateral_mm.shape, dtype=np.bool_)
        for g in range(len(self._gates)):
            if mask >> g & 1:
                inside |= (footprint.lateral_mm >= self._from_mm[g]) & (footprint.lateral_mm < self._to_mm[g])
        return inside

    # -- windows -------------------------------------------------------------------------------------------------

    def _joined(self, choice: _Choice, speed_mm_s: float) -> tuple[float, float]:
        """Stretch a window to meet one on the same gate that is nearer than the gate can close and open again."""
        start_mm, end_mm = choice.start_mm, choice.end_mm
        gates = [gate for g, gate in enumerate(self._gates) if choice.mask >> g & 1]
        gap_ms = max(2 * gate.min_gap_ms + max(gate.opening_delay_ms - gate.closing_delay_ms, 0) for gate in gates)
        gap_mm = gap_ms / 1000 * speed_mm_s
        for window in self._scheduled:
            if not window.mask & choice.mask:
                continue
            if 0 < start_mm - window.end_mm < gap_mm:
                start_mm = window.end_mm
            if 0 < window.start_mm - end_mm < gap_mm:
                end_mm = window.start_mm
        return start_mm, end_mm

    def _window(self, at_mm: float, start_mm: float, end_mm: float, motion: Motion) -> Window:
        """Belt coordinates -> travel (the downstream end arrives first) -> counts or host time."""
        first_travel, last_travel = at_mm - end_mm, at_mm - start_mm
        if self._mm_per_count is not None:
            return DuringCount(int(first_travel // self._mm_per_count), int(-(-last_travel // self._mm_per_count)))
        return DuringTime(_when_ns(first_travel, motion), _when_ns(last_travel, motion))

    def _last_useful_ns(self, first_travel_mm: float, gates: Sequence[int], motion: Motion) -> int | None:
        if motion.speed_mm_s < 1.0:
            return None  # a standing belt is never too late
        ahead_ms = max(self._gates[g].opening_delay_ms for g in gates) + self._lead_ms
        return _when_ns(first_travel_mm, motion) - round(ahead_ms * 1e6)

    def _forget(self, coordinate_at_gate_mm: float) -> None:
        """Items at the gate now have this belt coordinate; larger ones have passed."""
        self._scheduled = [w for w in self._scheduled if w.start_mm < coordinate_at_gate_mm + KEEP_BEHIND_MM]


def _when_ns(travel_mm: float, motion: Motion) -> int:
    return motion.at_ns + round((travel_mm - motion.travel_mm) / max(motion.speed_mm_s, 1.0) * 1e9)
