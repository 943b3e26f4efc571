"""Gate physics: when a gate really stands open, and how much of a passing item it catches.

Pure functions of the device's edges, the belt's motion and the items' outlines; knows no commands and no station.
`tests/tools/recount.py` repeats this arithmetic with nothing but the standard library, so keep it plain.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from station.config import StationConfig
from station.simulation.belt import BeltProfile

Point: TypeAlias = tuple[float, float]  # (along_mm, lateral_mm)
Span: TypeAlias = tuple[float, float]  # from, to: belt positions in mm


@dataclass(frozen=True, slots=True)
class Edge:
    """One change of one gate's output, as the device recorded it."""

    gate: int
    on: bool
    t_ns: int  # host monotonic


@dataclass(frozen=True, slots=True)
class GatePhysics:
    at_mm: float  # belt travel from the frame's upper edge to the gates
    strips_mm: tuple[Span, ...]  # lateral reach of each gate
    opens_ns: int
    closes_ns: int
    jitter_ns: int
    diverted_cover: float
    drift_sigma_mm: float


def physics_of(config: StationConfig) -> GatePhysics:
    line = config.virtual
    pitch_mm = line.gate_pitch_mm
    return GatePhysics(
        at_mm=line.view_length_mm + line.gate_beyond_view_mm,
        strips_mm=tuple((pitch_mm * gate, pitch_mm * (gate + 1)) for gate in range(line.gates)),
        opens_ns=round(line.gate_opens_ms * 1e6),
        closes_ns=round(line.gate_closes_ms * 1e6),
        jitter_ns=round(line.gate_jitter_ms * 1e6),
        diverted_cover=line.diverted_cover,
        drift_sigma_mm=line.drift_sigma_mm,
    )


def chance_of(*key: object) -> float:
    """A fair number in [0, 1) that belongs to the key: the same in any order, on any machine."""
    digest = hashlib.blake2b(":".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2.0**64


def drift_mm(seed: int, item_id: int, sigma_mm: float) -> Point:
    """How far the item has moved on the belt between camera and gate (Box-Muller on two fair numbers)."""
    radius = sigma_mm * math.sqrt(-2.0 * math.log(1.0 - chance_of("drift", seed, item_id, 0)))
    turn = 2.0 * math.pi * chance_of("drift", seed, item_id, 1)
    return radius * math.cos(turn), radius * math.sin(turn)


def open_spans(
    edges: Iterable[Edge], belt: BeltProfile, physics: GatePhysics, seed: int, end_ns: int
) -> dict[int, list[Span]]:
    """For each gate the stretches of belt travel during which it stood open, joined and in order."""
    spans: dict[int, list[Span]] = {}
    opened_ns: dict[int, int] = {}
    numbers: dict[int, int] = {}
    for edge in sorted(edges, key=lambda edge: (edge.t_ns, edge.gate)):
        number = numbers[edge.gate] = numbers.get(edge.gate, -1) + 1
        jitter_ns = round(physics.jitter_ns * (2.0 * chance_of("edge", seed, edge.gate, number) - 1.0))
        if edge.on:
            opened_ns.setdefault(edge.gate, edge.t_ns + physics.opens_ns + jitter_ns)
        elif edge.gate in opened_ns:
            closed_ns = edge.t_ns + physics.closes_ns + jitter_ns
            _add_span(spans, edge.gate, belt, opened_ns.pop(edge.gate), closed_ns)
    for gate, from_ns in opened_ns.items():
        _add_span(spans, gate, belt, from_ns, end_ns)
    return spans


def _add_span(spans: dict[int, list[Span]], gate: int, belt: BeltProfile, from_ns: int, to_ns: int) -> None:
    if to_ns <= from_ns:  # too short a pulse: the gate never got open
        return
    from_mm, to_mm = belt.position_mm(from_ns), belt.position_mm(to_ns)
    row = spans.setdefault(gate, [])
    if row and from_mm <= row[-1][1]:
        row[-1] = (row[-1][0], max(row[-1][1], to_mm))
    else:
        row.append((from_mm, to_mm))


def covered(outline_mm: Sequence[Point], spans: Mapping[int, Sequence[Span]], physics: GatePhysics) -> dict[int, float]:
    """Which part of the outline passes each gate while that is open. Gates that catch nothing are left out."""
    whole_mm2 = area_mm2(outline_mm)
    first = physics.at_mm - max(along for along, _ in outline_mm)  # belt travel at which its front edge arrives
    last = physics.at_mm - min(along for along, _ in outline_mm)
    caught: dict[int, float] = {}
    for gate, (left_mm, right_mm) in enumerate(physics.strips_mm):
        for from_mm, to_mm in spans.get(gate, ()):
            if to_mm <= first or from_mm >= last:
                continue
            inside = clipped(outline_mm, (physics.at_mm - to_mm, physics.at_mm - from_mm), (left_mm, right_mm))
            caught[gate] = caught.get(gate, 0.0) + area_mm2(inside) / whole_mm2
    return {gate: share for gate, share in caught.items() if share > 0}


def area_mm2(outline_mm: Sequence[Point]) -> float:
    twice = 0.0
    for index, (x, y) in enumerate(outline_mm):
        next_x, next_y = outline_mm[(index + 1) % len(outline_mm)]
        twice += x * next_y - next_x * y
    return abs(twice) / 2.0


def clipped(outline_mm: Sequence[Point], along_mm: Span, lateral_mm: Span) -> list[Point]:
    """The part of the outline inside an upright rectangle (Sutherland-Hodgman, one side after the other)."""
    shape = list(outline_mm)
    for axis, (low, high) in ((0, along_mm), (1, lateral_mm)):
        shape = _cut(shape, axis, low, keep_above=True)
        shape = _cut(shape, axis, high, keep_above=False)
    return shape


def _cut(shape: list[Point], axis: int, limit: float, *, keep_above: bool) -> list[Point]:
    kept: list[Point] = []
    for index, end in enumerate(shape):
        start = shape[index - 1]
        starts_in = (start[axis] >= limit) == keep_above
        ends_in = (end[axis] >= limit) == keep_above
        if starts_in != ends_in:
            share = (limit - start[axis]) / (end[axis] - start[axis])
            kept.append((start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
        if ends_in:
            kept.append(end)
    return kept
