"""Perception without pictures, for soaks and scenarios: true positions, seeded confusion. Labelled "stub" in every report.

Keeps the contracts of a view and of a recogniser, so that everything behind them is the real station.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from station.datatypes import (
    BoxPx,
    Classification,
    Detection,
    EndedTrack,
    Frame,
    Look,
    OrientedBox,
    Track,
    TrackEnd,
)
from station.simulation.items import ORGANIC_LABEL, RECYCLABLE_LABEL
from station.simulation.line import VirtualLine
from station.simulation.renderer import PlacedItem
from station.simulation.truth import turned_outline_mm
from station.tracking.belt import even_travel_mm
from station.tracking.spotter import Compared, Spotted, TravelSource
from station.tracking.tracker import TrackIds, TrackUpdate

CLASSES = (ORGANIC_LABEL, RECYCLABLE_LABEL)
POSITION_SIGMA_MM = 1.0
SURE = 3.0  # logit of the label that is said
COMPARED_FRAMES = 4  # how often the pictures would say how far the belt has gone
COMPARED_SIGMA = 0.005  # and how well, of the travel


class StubSpotter:
    """Finds nothing, for there are no pictures: its eye knows where things lie. Takes belt travel from where a spotter does,

    and says of the belt's motion what its pictures would show.
    """

    def __init__(self, line: VirtualLine, start_ns: int, seed: int) -> None:
        self._line = line
        self._belt = line.config.belt
        self._start_ns = start_ns
        self._rng = Random(seed)
        self._frames = 0
        self._kept: tuple[Frame, float] | None = None

    def spot(self, frame: Frame) -> Spotted:
        travel_mm = self._travel_mm(frame)
        compared = None
        if self._frames % COMPARED_FRAMES == 0:
            compared, self._kept = self._compare(frame, travel_mm), (frame, travel_mm)
        self._frames += 1
        return Spotted(frame, (), None, travel_mm, None, 0.0, compared=compared)

    def _compare(self, frame: Frame, travel_mm: float) -> Compared | None:
        if self._kept is None or self._kept[0].belt_epoch != frame.belt_epoch:
            return None
        kept, kept_mm = self._kept
        belt = self._line.belt
        seen_mm = belt.position_mm(frame.captured_ns) - belt.position_mm(kept.captured_ns)
        source = TravelSource.CONFIGURED if self._belt.mm_per_count is None else TravelSource.ENCODER
        over_ns = frame.captured_ns - kept.captured_ns
        return Compared(source, over_ns, seen_mm * self._rng.gauss(1.0, COMPARED_SIGMA), travel_mm - kept_mm)

    def _travel_mm(self, frame: Frame) -> float:
        if self._belt.mm_per_count is not None:
            return (frame.belt_count or 0.0) * self._belt.mm_per_count
        assert self._belt.speed_m_s is not None
        return even_travel_mm(self._belt.speed_m_s, frame.captured_ns - self._start_ns)


@dataclass(slots=True)
class _Followed:
    track: Track
    item: PlacedItem
    error_mm: float  # of its place, the same in every frame


class StubEye:
    """Sees every item exactly where it lies, give or take a millimetre."""

    def __init__(self, line: VirtualLine, camera_id: str, seed: int, ids: TrackIds) -> None:
        self._line = line
        self._camera_id = camera_id
        self._ids = ids
        self._rng = Random(seed)
        self._followed: dict[int, _Followed] = {}
        self._last_ns: int | None = None
        self.travel_mm = 0.0
        self.speed_mm_s: float | None = None
        self.labels: dict[int, str] = {}

    def end_mm(self) -> float:
        return self._line.config.virtual.view_length_mm

    def see(self, spotted: Spotted) -> TrackUpdate:
        frame = spotted.frame
        self._move(spotted)
        visible = {item.item_id: item for item in self._line.visible_at(frame.captured_ns, self._camera_id)}
        belt_mm = self._line.belt.position_mm(frame.captured_ns)
        ended = []
        for item_id in [known for known in self._followed if self._gone(known, visible, belt_mm)]:
            ended.append(EndedTrack(self._followed.pop(item_id).track, TrackEnd.LEFT))
        for item_id, item in visible.items():
            if self._in_view(item, belt_mm):
                self._follow(item_id, item, frame, belt_mm)
        return TrackUpdate(tuple(known.track for known in self._followed.values()), tuple(ended))

    def restart(self) -> tuple[EndedTrack, ...]:
        ended = tuple(EndedTrack(known.track, TrackEnd.LOST) for known in self._followed.values())
        self._followed.clear()
        self._last_ns = None
        return ended

    def _move(self, spotted: Spotted) -> None:
        captured_ns = spotted.frame.captured_ns
        if self._last_ns is not None and captured_ns > self._last_ns:
            self.speed_mm_s = (spotted.travel_mm - self.travel_mm) * 1e9 / (captured_ns - self._last_ns)
        self.travel_mm, self._last_ns = spotted.travel_mm, captured_ns

    def _ends(self, item: PlacedItem, belt_mm: float) -> tuple[float, float]:
        along = [a for a, _ in turned_outline_mm(item)]
        return item.along_mm + belt_mm + min(along), item.along_mm + belt_mm + max(along)

    def _in_view(self, item: PlacedItem, belt_mm: float) -> bool:
        rear_mm, front_mm = self._ends(item, belt_mm)
        return front_mm > 20.0 and rear_mm < self.end_mm() - 5.0

    def _gone(self, item_id: int, visible: dict[int, PlacedItem], belt_mm: float) -> bool:
        item = visible.get(item_id)
        return item is None or not self._in_view(item, belt_mm)

    def _follow(self, item_id: int, item: PlacedItem, frame: Frame, belt_mm: float) -> None:
        known = self._followed.get(item_id)
        if known is None:
            track_id = self._ids.take()
            self.labels[track_id] = item.thing.label
            first_ns, sightings, error_mm = frame.captured_ns, 0, self._rng.gauss(0, POSITION_SIGMA_MM)
        else:
            track_id, first_ns, sightings = known.track.track_id, known.track.first_seen_ns, known.track.sightings
            error_mm = known.error_mm
        track = self._track(track_id, item, frame, belt_mm, (first_ns, sightings, error_mm))
        self._followed[item_id] = _Followed(track, item, error_mm)

    def _track(
        self, track_id: int, item: PlacedItem, frame: Frame, belt_mm: float, known: tuple[int, int, float]
    ) -> Track:
        first_ns, sightings, error_mm = known
        rear_mm, front_mm = self._ends(item, belt_mm)
        along_mm = item.along_mm + belt_mm - self.travel_mm + error_mm
        outline = turned_outline_mm(item)
        across = [b for _, b in outline]
        hull = np.array([[along_mm + a, item.lateral_mm + b] for a, b in outline])
        return Track(
            track_id=track_id,
            camera_id=self._camera_id,
            along_mm=along_mm,
            lateral_mm=item.lateral_mm,
            length_mm=front_mm - rear_mm,
            width_mm=max(across) - min(across),
            sigma_mm=POSITION_SIGMA_MM,
            first_seen_ns=first_ns,
            last_seen_ns=frame.captured_ns,
            sightings=sightings + 1,
            whole=rear_mm >= 0 and front_mm <= self.end_mm(),
            detection=_NOWHERE,
            hull_mm=hull,
        )


_NOWHERE = Detection(BoxPx(0, 0, 1, 1), OrientedBox(0, 0, 1, 1, 0), 1.0, True, np.zeros((3, 2), np.float32))


class StubRecogniser:
    """Says the true label, and another one in `confusion` of the items (the same item is always misread alike)."""

    classes = CLASSES

    def __init__(self, eyes: Sequence[StubEye], seed: int, confusion: float = 0.02) -> None:
        self._eyes = eyes
        self._seed = seed
        self._confusion = confusion

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        return [self._say(look) for look in looks]

    def _say(self, look: Look) -> Classification:
        label = next(eye.labels[look.track_id] for eye in self._eyes if look.track_id in eye.labels)
        if Random(self._seed * 1_000_003 + look.track_id).random() < self._confusion:
            label = CLASSES[1 - CLASSES.index(label)]
        logits = tuple(SURE if name == label else 0.0 for name in CLASSES)
        total = sum(np.exp(logits))
        chances = tuple(float(np.exp(logit) / total) for logit in logits)
        return Classification(look.track_id, look.frame.captured_ns, logits, chances, label)
