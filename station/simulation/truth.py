"""What really happened: where each item landed, and how the station's tracks match the items that were there.

Pure functions of raw records only - edges, belt motion, items, rows of items.jsonl; never of station objects.
Definitions: ARCHITECTURE, "Records", Truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from station.intervals import wilson
from station.simulation.belt import BeltProfile
from station.simulation.gates import Edge, GatePhysics, Point, Span, covered, drift_mm, open_spans
from station.simulation.renderer import PlacedItem

RELATED_MM = 12.0  # a middle this far outside the other's rectangle still belongs to it


@dataclass(frozen=True, slots=True)
class ItemTruth:
    """One row of truth.jsonl."""

    item_id: int
    label: str
    name: str
    along_mm: float
    lateral_mm: float
    angle_deg: float
    length_mm: float
    width_mm: float
    outline_mm: tuple[Point, ...]  # turned as it lies, from its middle: along, lateral
    drift_mm: Point
    passed_ns: int | None  # when its middle met the gates
    on_belt: bool  # had not wholly passed the gates when the record ended
    cover: dict[int, float]  # gate: part of it that passed while the gate was open
    bin: str

    def row(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> ItemTruth:
        values = dict(row)
        values["outline_mm"] = tuple((float(a), float(b)) for a, b in row["outline_mm"])
        values["drift_mm"] = (float(row["drift_mm"][0]), float(row["drift_mm"][1]))
        values["cover"] = {int(gate): float(share) for gate, share in row["cover"].items()}
        return ItemTruth(**values)


@dataclass(frozen=True, slots=True)
class TrackSeen:
    """What a row of items.jsonl says, in belt coordinates of the truth."""

    track_id: int
    along_mm: float
    lateral_mm: float
    length_mm: float  # along the belt
    width_mm: float  # across
    aimed: bool  # a command for it was accepted and acted, or may have acted
    ejected: bool


@dataclass(frozen=True, slots=True)
class Matching:
    item_of_track: dict[int, int]
    merged: tuple[int, ...]  # item ids
    unseen: tuple[int, ...]
    split: tuple[int, ...]  # track ids
    phantom: tuple[int, ...]


def turned_outline_mm(item: PlacedItem) -> tuple[Point, ...]:
    """The outline as it lies on the belt, from its middle: (along, lateral). Turns like `renderer.turned_sprite`."""
    cos, sin = math.cos(math.radians(item.angle_deg)), math.sin(math.radians(item.angle_deg))
    return tuple((round(y * cos - x * sin, 2), round(x * cos + y * sin, 2)) for x, y in item.thing.outline_mm())


@dataclass(frozen=True, slots=True)
class GateRecord:
    """All that decides where an item lands, beside the item: what the gates did, and where they throw."""

    edges: tuple[Edge, ...]
    belt: BeltProfile
    physics: GatePhysics
    bin_of_gate: Mapping[int, str]
    unactuated_bin: str
    seed: int
    end_ns: int


def land_items(items: Iterable[PlacedItem], record: GateRecord) -> list[ItemTruth]:
    spans = open_spans(record.edges, record.belt, record.physics, record.seed, record.end_ns)
    return [_land(item, spans, record) for item in items]


def _land(item: PlacedItem, spans: Mapping[int, Sequence[Span]], record: GateRecord) -> ItemTruth:
    physics = record.physics
    outline = turned_outline_mm(item)
    drift = drift_mm(record.seed, item.item_id, physics.drift_sigma_mm)
    along, lateral = item.along_mm + drift[0], item.lateral_mm + drift[1]
    placed = [(along + a, lateral + b) for a, b in outline]
    cover = covered(placed, spans, physics)
    return ItemTruth(
        item_id=item.item_id,
        label=item.thing.label,
        name=item.thing.name,
        along_mm=round(item.along_mm, 3),
        lateral_mm=round(item.lateral_mm, 3),
        angle_deg=round(item.angle_deg, 3),
        length_mm=round(item.thing.length_mm, 2),
        width_mm=round(item.thing.width_mm, 2),
        outline_mm=outline,
        drift_mm=drift,
        passed_ns=record.belt.time_ns(physics.at_mm - along),
        on_belt=min(a for a, _ in placed) + record.belt.position_mm(record.end_ns) < physics.at_mm,
        cover={gate: round(share, 4) for gate, share in cover.items()},
        bin=landed_bin(cover, record.bin_of_gate, record.unactuated_bin, physics.diverted_cover),
    )


def landed_bin(cover: Mapping[int, float], bin_of_gate: Mapping[int, str], unactuated_bin: str, enough: float) -> str:
    """Diverted is what open gates cover by `enough`; it goes where the gates that hold most of it send it."""
    if sum(cover.values()) < enough:
        return unactuated_bin
    by_bin: dict[str, float] = {}
    for gate, share in cover.items():
        name = bin_of_gate.get(gate, unactuated_bin)
        by_bin[name] = by_bin.get(name, 0.0) + share
    return max(sorted(by_bin), key=lambda name: by_bin[name])


# -- tracks against items -------------------------------------------------------------------------------------------


def match_tracks(items: Sequence[ItemTruth], tracks: Sequence[TrackSeen]) -> Matching:
    """One to one, nearest first, among pairs that lie on each other. The rest: merged, unseen, split, phantom."""
    pairs = sorted(
        (math.hypot(item.along_mm - track.along_mm, item.lateral_mm - track.lateral_mm), track.track_id, item.item_id)
        for track, item in _related(items, tracks)
    )
    item_of_track: dict[int, int] = {}
    taken: set[int] = set()
    for _, track_id, item_id in pairs:
        if track_id not in item_of_track and item_id not in taken:
            item_of_track[track_id] = item_id
            taken.add(item_id)
    touched_items = {item_id for _, _, item_id in pairs}
    touched_tracks = {track_id for _, track_id, _ in pairs}
    left_items = [item.item_id for item in items if item.item_id not in taken]
    left_tracks = [track.track_id for track in tracks if track.track_id not in item_of_track]
    return Matching(
        item_of_track,
        merged=tuple(item for item in left_items if item in touched_items),
        unseen=tuple(item for item in left_items if item not in touched_items),
        split=tuple(track for track in left_tracks if track in touched_tracks),
        phantom=tuple(track for track in left_tracks if track not in touched_tracks),
    )


def _related(items: Sequence[ItemTruth], tracks: Sequence[TrackSeen]) -> list[tuple[TrackSeen, ItemTruth]]:
    """Pairs of which one's middle lies in the other's upright rectangle."""
    ordered = sorted(items, key=lambda item: item.along_mm)
    halves = {item.item_id: _half_extent_mm(item) for item in items}
    found = []
    first = 0
    for track in sorted(tracks, key=lambda track: track.along_mm):
        reach = 300.0 + track.length_mm
        while first < len(ordered) and ordered[first].along_mm < track.along_mm - 1000.0:
            first += 1
        for item in ordered[first:]:
            if item.along_mm > track.along_mm + reach:
                break
            along, lateral = abs(item.along_mm - track.along_mm), abs(item.lateral_mm - track.lateral_mm)
            half_along, half_lateral = halves[item.item_id]
            in_item = along <= half_along + RELATED_MM and lateral <= half_lateral + RELATED_MM
            in_track = along <= track.length_mm / 2 + RELATED_MM and lateral <= track.width_mm / 2 + RELATED_MM
            if in_item or in_track:
                found.append((track, item))
    return found


def _half_extent_mm(item: ItemTruth) -> Point:
    return max(abs(a) for a, _ in item.outline_mm), max(abs(b) for _, b in item.outline_mm)


# -- the report's block -----------------------------------------------------------------------------------------------


def truth_block(
    items: Sequence[ItemTruth],
    tracks: Sequence[TrackSeen],
    target_labels: Sequence[str],
    product_bin: str,
    unactuated_bin: str,
) -> dict[str, Any]:
    """Everything under "truth" in the run report, but `model_alone`."""
    landed = [item for item in items if not item.on_belt]
    matching = match_tracks(landed, tracks)
    track_of_item = {item_id: track_id for track_id, item_id in matching.item_of_track.items()}
    by_id = {track.track_id: track for track in tracks}
    co_ejected = misaimed = 0
    by_bin: dict[str, dict[str, int]] = {}
    for item in landed:
        bin_ = by_bin.setdefault(item.bin, {})
        bin_[item.label] = bin_.get(item.label, 0) + 1
        track = by_id.get(track_of_item.get(item.item_id, -1))
        diverted = item.bin != unactuated_bin
        co_ejected += diverted and not (track is not None and track.aimed)
        misaimed += not diverted and track is not None and track.ejected
    return {
        "target_labels": list(target_labels),
        "product_bin": product_bin,
        "fed": len(items),
        "matched": len(matching.item_of_track),
        "merged": len(matching.merged),
        "split": len(matching.split),
        "unseen": len(matching.unseen),
        "phantom": len(matching.phantom),
        "on_belt": len(items) - len(landed),
        "co_ejected": co_ejected,
        "misaimed": misaimed,
        "by_bin": by_bin,
        **sorting_rates([(item.label, item.bin) for item in landed], target_labels, product_bin),
    }


def lane_block(
    items: Sequence[ItemTruth], strip_mm: Span, target_labels: Sequence[str], product_bin: str
) -> dict[str, Any]:
    """The same rates for the items that lay on one camera's strip of belt."""
    landed = [item for item in items if strip_mm[0] <= item.lateral_mm < strip_mm[1] and not item.on_belt]
    return {
        "fed": len(landed),
        **sorting_rates([(item.label, item.bin) for item in landed], target_labels, product_bin),
    }


def sorting_rates(
    landed: Sequence[tuple[str, str]], target_labels: Sequence[str], product_bin: str
) -> dict[str, dict[str, float | None]]:
    """Purity, recovery and false-eject rate of (label, bin) pairs, each with its Wilson interval."""
    product = [label in target_labels for label, bin_ in landed if bin_ == product_bin]
    targets = sum(label in target_labels for label, _ in landed)
    hits = sum(product)
    return {
        "purity": rate(hits, len(product)),
        "recovery": rate(hits, targets),
        "false_eject_rate": rate(len(product) - hits, len(landed) - targets),
    }


def rate(k: int, n: int) -> dict[str, float | None]:
    """A share with its bounds; null where nothing was counted."""
    share = wilson(k, n)
    bounds: tuple[float | None, ...] = (share.value, share.low, share.high) if n else (None, None, None)
    return {"value": bounds[0], "low": bounds[1], "high": bounds[2], "k": k, "n": n}
