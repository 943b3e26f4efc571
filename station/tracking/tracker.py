"""One track per item: follows items along the belt, in millimetres. Knows no pictures, no labels, no gates.

An item lies still on the belt, so its belt coordinate is the prediction: nothing is extrapolated in time, and dropped frames
or a changing speed cannot mix items up. A track counts as an item (`tracks`) once it came in over the upstream edge or was
carried along by the belt; what never moves with the belt is part of the machine or, once an item, a jam. Where views overlap,
what lies in another camera's lane is followed too, for what it hides, but it is the other camera's item.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from station.datatypes import Detection, EndedTrack, Frame, Track, TrackEnd
from station.tracking.belt import BeltMap
from station.tracking.detector import union_of
from station.tracking.known import KnownItem
from station.tracking.matching import Footprint, Sighting, assign, distance_mm, share_inside

GATE_MM = 18.0  # plus what the belt position may be off; clear items are 20 mm and a body apart
ENTRY_MM = 30.0  # an item first seen this far in may have come in since the last frame
CARRIED_MM = 40.0  # of travel together with the belt prove a thing that was there from the start
JAM_MM = 80.0  # of belt passing under an item that stands still
PIECE_MM = 8.0  # pieces may stick out of the known footprint by this much
MISSES_TO_FORGET = 2  # frames in a row without an unconfirmed one
MISSES_TO_LOSE = 3
LONG_SHARE = 0.6  # of the view
COVERED = 0.7  # share of a footprint under a detection that tells: it is in there


class TrackIds:
    """Ids of one station: shared by its cameras, never reused."""

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def take(self) -> int:
        self._next += 1
        return self._next - 1


@dataclass(frozen=True, slots=True)
class Lane:
    """One camera's strip of belt, half open: of two that meet exactly one holds an item."""

    from_mm: float = -math.inf
    to_mm: float = math.inf

    def holds(self, lateral_mm: float) -> bool:
        return self.from_mm <= lateral_mm < self.to_mm


WHOLE_BELT = Lane()


@dataclass(frozen=True, slots=True)
class TrackUpdate:
    tracks: tuple[Track, ...]  # items on the belt in view now, seen or predicted
    ended: tuple[EndedTrack, ...]
    jammed: tuple[int, ...] = field(default=())  # ids of items that stand still on the moving belt
    void: bool = False  # the frame's count is of a boot that is over: it tells nothing of the belt, either


class Tracker:
    def __init__(self, camera_id: str, belt: BeltMap, ids: TrackIds, lane: Lane = WHOLE_BELT) -> None:
        self._camera_id = camera_id
        self._belt = belt
        self._ids = ids
        self._lane = lane
        self._known: list[KnownItem] = []
        self._fused: list[KnownItem] = []  # in this frame, of those that counted as items
        self._last_travel_mm: float | None = None

    def update(
        self, detections: Sequence[Detection], frame: Frame, travel_mm: float, bound_mm: float = 0.5
    ) -> TrackUpdate:
        """`travel_mm`: belt travel at the frame's capture; `bound_mm`: by how much it may be off against the last frame."""
        now_ns = frame.captured_ns
        self._fused = []
        for item in self._known:
            item.seen_now, item.merged = None, False
        seen = self._joined([self._sight(detection, travel_mm) for detection in detections], travel_mm)
        left = self._follow(seen, now_ns, travel_mm, bound_mm)
        left = self._explain(left, seen, now_ns, travel_mm)
        for sighting in left:
            self._begin(sighting, now_ns, travel_mm)
        for item in self._known:
            if item.seen_now is None and self._should_show(item, travel_mm):
                item.miss()
            self._confirm(item)
        fused = [EndedTrack(item.track(bound_mm), TrackEnd.LOST) for item in self._fused]
        ended = [*fused, *self._end(travel_mm, bound_mm)]
        self._last_travel_mm = travel_mm
        alive = [item for item in self._known if item.confirmed]
        jammed = tuple(item.track_id for item in alive if item.jam_mm >= JAM_MM)
        return TrackUpdate(tuple(item.track(bound_mm) for item in alive), tuple(ended), jammed)

    def forget(self, bound_mm: float = 0.5) -> tuple[EndedTrack, ...]:
        """End every track as lost: the belt position is no longer known (new encoder epoch, camera back after a loss)."""
        ended = tuple(EndedTrack(item.track(bound_mm), TrackEnd.LOST) for item in self._known if item.confirmed)
        self._known.clear()
        self._last_travel_mm = None
        return ended

    def _sight(self, detection: Detection, travel_mm: float) -> Sighting:
        hull = self._belt.to_mm(detection.hull_px)
        hull[:, 0] -= travel_mm
        near, far = self._window(travel_mm)
        from_mm, to_mm = float(hull[:, 0].min()), float(hull[:, 0].max())
        edge_mm = 2.0 * self._belt.mm_per_px
        cut_from = not detection.whole and from_mm - near <= edge_mm
        cut_to = not detection.whole and far - to_mm <= edge_mm
        place = Footprint(from_mm, to_mm, float(hull[:, 1].min()), float(hull[:, 1].max()), cut_from, cut_to)
        return Sighting(place, hull, detection)

    def _window(self, travel_mm: float) -> tuple[float, float]:
        """Belt coordinates at the view's upstream and downstream edge."""
        return self._belt.start_mm - travel_mm, self._belt.start_mm + self._belt.view_length_mm - travel_mm

    def _visible(self, place: Footprint, travel_mm: float) -> Footprint:
        return place.clipped(*self._window(travel_mm))

    def _joined(self, seen: list[Sighting], travel_mm: float) -> list[Sighting]:
        """Pieces that lie together in a known item's footprint are that item."""
        for item in self._known:
            if not item.ever_whole or len(seen) < 2:
                continue
            room = item.footprint.grown(PIECE_MM)
            pieces = [s for s in seen if share_inside(s.footprint, room) > 0.9]
            if len(pieces) > 1:
                whole = self._sight(union_of([piece.detection for piece in pieces]), travel_mm)
                seen = [s for s in seen if s not in pieces] + [whole]
        return seen

    def _follow(self, seen: list[Sighting], now_ns: int, travel_mm: float, bound_mm: float) -> list[Sighting]:
        """Assign sightings to tracks; returns those that found none."""
        gates = [GATE_MM + 3 * bound_mm + (0.0 if item.ever_whole else PIECE_MM) for item in self._known]
        pairs = assign([s.footprint for s in seen], [item.footprint for item in self._known], gates)
        for row, column in pairs:
            self._known[column].see(seen[row], now_ns, travel_mm)
        matched = {row for row, _ in pairs}
        return [sighting for row, sighting in enumerate(seen) if row not in matched]

    def _explain(self, left: list[Sighting], seen: Sequence[Sighting], now_ns: int, travel_mm: float) -> list[Sighting]:
        """Sightings that are no new item: a merger, a piece, an item that stands still. Returns the rest."""
        rest = []
        for sighting in left:
            inside = [item for item in self._known if item.seen_now is None and self._lies(item, sighting, travel_mm)]
            still = self._standing(sighting, travel_mm)
            if len(inside) > 1 and not any(item.rear_seen for item in inside):
                whole, *pieces = sorted(inside, key=lambda item: not item.confirmed)  # what has an account keeps it
                whole.restart(sighting, now_ns, travel_mm)
                self._fuse(pieces)
            elif len(inside) > 1:
                for item in inside:
                    item.merged = True
                    item.see(sighting, now_ns, travel_mm, trust=False)
            elif inside:
                inside[0].restart(sighting, now_ns, travel_mm)
            elif still is not None:
                still.stood_still(sighting, now_ns, travel_mm)
            elif not any(_is_piece(sighting, item) for item in self._known):
                rest.append(sighting)
        self._mark_mergers(seen, now_ns, travel_mm)
        return rest

    def _lies(self, item: KnownItem, sighting: Sighting, travel_mm: float) -> bool:
        """Whether the item lies under a sighting that was not close enough to be assigned to it."""
        shown = self._visible(item.footprint, travel_mm)
        return share_inside(shown, sighting.footprint) > COVERED or _is_piece(sighting, item)

    def _mark_mergers(self, seen: Sequence[Sighting], now_ns: int, travel_mm: float) -> None:
        """A track that vanished under another's detection is merged with it; both stay, but for two tips of one item."""
        for item in [item for item in self._known if item.seen_now is None]:
            place = self._visible(item.footprint, travel_mm)
            over = next((s for s in seen if share_inside(place, s.footprint) > COVERED), None)
            if over is None or place.length_mm < PIECE_MM:
                continue
            others = [other for other in self._known if other.seen_now is over]
            if not item.rear_seen and all(other.rear_seen <= 1 for other in others):
                self._fuse([item])
                continue
            item.see(over, now_ns, travel_mm, trust=False)
            for one in (item, *others):
                one.merged = True

    def _fuse(self, pieces: Sequence[KnownItem]) -> None:
        """Tips that came into view apart turned out to be one item's.

        Nearly always before either counted as an item (see `_confirm`). Tips too long to wait for have an account each by
        then. It cannot be taken back, so that of all but one ends as lost: what became of it is the other's to tell. Kept
        side by side as merged, both would stay without a look, and leave before their rears, for a third track to begin there.
        """
        self._known = [item for item in self._known if item not in pieces]
        self._fused += [item for item in pieces if item.confirmed]

    def _standing(self, sighting: Sighting, travel_mm: float) -> KnownItem | None:
        """The unmatched track that was seen at the same place in the picture one frame ago."""
        for item in self._known:
            if item.seen_now is not None or item.last_travel_mm is None:
                continue
            slipped = item.footprint.moved(item.last_travel_mm - travel_mm)
            if distance_mm(sighting.footprint, slipped) < GATE_MM / 2 and travel_mm != item.last_travel_mm:
                return item
        return None

    def _begin(self, sighting: Sighting, now_ns: int, travel_mm: float) -> None:
        entered = False
        if self._last_travel_mm is not None:
            came_mm = sighting.footprint.to_mm - self._window(travel_mm)[0]
            step_mm = travel_mm - self._last_travel_mm
            entered = step_mm > 0 and came_mm <= step_mm + ENTRY_MM and not sighting.footprint.cut_to
        item = KnownItem(self._ids.take(), self._camera_id, sighting, now_ns, entered)
        item.see(sighting, now_ns, travel_mm)
        self._known.append(item)

    def _should_show(self, item: KnownItem, travel_mm: float) -> bool:
        shown = self._visible(item.footprint, travel_mm)
        return shown.length_mm > 0.6 * item.footprint.length_mm

    def _confirm(self, item: KnownItem) -> None:
        # Two tips may yet be one item: it counts once its rear has come in, or when it is too long to wait for that.
        long = item.footprint.length_mm > LONG_SHARE * self._belt.view_length_mm
        one_item = item.followed > 0 and (item.rear_seen > 0 or long)
        carried = one_item and item.carried_mm >= CARRIED_MM
        proven = (item.ever_whole or one_item) if item.entered else carried
        if proven and item.ours is None:  # judged once: on the border its middle trembles from frame to frame
            item.ours = self._lane.holds(item.footprint.lateral_mm)

    def _end(self, travel_mm: float, bound_mm: float) -> Iterable[EndedTrack]:
        ended: list[EndedTrack] = []
        staying: list[KnownItem] = []
        for item in self._known:
            gone = self._visible(item.footprint, travel_mm).length_mm <= 0.0
            gone = gone or (
                item.seen_now is None and not self._should_show(item, travel_mm) and self._past(item, travel_mm)
            )
            if item.confirmed and gone:
                end = TrackEnd.LOST if item.missed >= MISSES_TO_LOSE else TrackEnd.LEFT
                ended.append(EndedTrack(item.track(bound_mm), end))
            elif not item.confirmed and (gone or item.missed >= MISSES_TO_FORGET):
                ended.append(EndedTrack(item.track(bound_mm), TrackEnd.NOISE))
            else:
                staying.append(item)
        self._known = staying
        return ended

    def _past(self, item: KnownItem, travel_mm: float) -> bool:
        """Its rest lies at the downstream edge, not at the upstream one (a belt may run back a little)."""
        near, far = self._window(travel_mm)
        return item.footprint.along_mm > (near + far) / 2


def _is_piece(sighting: Sighting, item: KnownItem) -> bool:
    return share_inside(sighting.footprint, item.footprint.grown(PIECE_MM)) > 0.9
