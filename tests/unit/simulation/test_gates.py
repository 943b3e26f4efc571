import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.config import builtin_config
from station.simulation.belt import cruising
from station.simulation.gates import (
    Edge,
    GatePhysics,
    area_mm2,
    clipped,
    covered,
    drift_mm,
    open_spans,
    physics_of,
)

MS = 1_000_000
BELT = cruising(0, 1000.0)  # 1 mm per ms
STRIPS = tuple((75.0 * gate, 75.0 * (gate + 1)) for gate in range(8))
PHYSICS = GatePhysics(1375.0, STRIPS, 12 * MS, 8 * MS, 0, 0.5, 3.0)
SQUARE = [(-40.0, 10.0), (40.0, 10.0), (40.0, 65.0), (-40.0, 65.0)]  # along, lateral: within gate 0


def pulse(gate: int, on_ms: int, off_ms: int) -> list[Edge]:
    return [Edge(gate, True, on_ms * MS), Edge(gate, False, off_ms * MS)]


def test_the_reference_line_has_eight_gates_a_metre_beyond_the_frame() -> None:
    physics = physics_of(builtin_config("virtual"))
    assert physics.at_mm == 1375.0
    assert physics.strips_mm == STRIPS
    assert (physics.opens_ns, physics.closes_ns, physics.jitter_ns) == (12 * MS, 8 * MS, MS)


@pytest.mark.parametrize(
    ("edges", "spans"),
    [
        pytest.param(pulse(0, 100, 200), {0: [(112.0, 208.0)]}, id="opens 12 ms and closes 8 ms later"),
        pytest.param(pulse(0, 100, 103), {}, id="too short to open at all"),
        pytest.param(pulse(2, 100, 150) + pulse(2, 152, 200), {2: [(112.0, 158.0), (164.0, 208.0)]}, id="two pulses"),
        pytest.param(pulse(1, 100, 150) + pulse(1, 145, 200), {1: [(112.0, 158.0)]}, id="an on while on is none"),
        pytest.param([Edge(3, True, 900 * MS)], {3: [(912.0, 1000.0)]}, id="still open at the end"),
        pytest.param([Edge(3, False, 900 * MS)], {}, id="an off without an on"),
    ],
)
def test_a_gate_stands_open_a_little_after_its_output(edges: list[Edge], spans: dict[int, object]) -> None:
    assert open_spans(edges, BELT, PHYSICS, seed=1, end_ns=1000 * MS) == spans


def test_jitter_is_at_most_a_millisecond_and_belongs_to_the_edge() -> None:
    physics = GatePhysics(1375.0, STRIPS, 12 * MS, 8 * MS, MS, 0.5, 3.0)
    edges = [edge for k in range(300) for edge in pulse(0, 100 * k, 100 * k + 50)]
    spans = open_spans(edges, BELT, physics, seed=5, end_ns=0)[0]
    late = np.array([span[0] - (100 * k + 12) for k, span in enumerate(spans)])
    assert np.abs(late).max() <= 1.0
    assert late.std() > 0.4
    assert spans == open_spans(list(reversed(edges)), BELT, physics, seed=5, end_ns=0)[0]


def test_drift_is_normal_with_the_stated_sigma() -> None:
    drifts = np.array([drift_mm(3, item, 3.0) for item in range(4000)])
    assert drifts.std(axis=0) == pytest.approx([3.0, 3.0], rel=0.05)
    assert np.abs(drifts.mean(axis=0)).max() < 0.2
    assert drift_mm(3, 17, 3.0) == drift_mm(3, 17, 3.0)


@pytest.mark.parametrize(
    ("span", "share"),
    [
        ((1335.0, 1415.0), 1.0),
        ((1335.0, 1375.0), 0.5),
        ((1375.0, 1415.0), 0.5),
        ((1395.0, 1500.0), 0.25),
        ((1415.0, 1500.0), 0.0),
    ],
)
def test_what_passes_an_open_gate_is_covered(span: tuple[float, float], share: float) -> None:
    cover = covered(SQUARE, {0: [span]}, PHYSICS)
    assert sum(cover.values()) == pytest.approx(share)


def test_the_front_of_an_item_meets_the_gate_first() -> None:
    """A triangle whose point leads: an early, short opening catches little of it, a late one much."""
    triangle = [(60.0, 40.0), (0.0, 5.0), (0.0, 70.0)]  # its point lies downstream
    early = covered(triangle, {0: [(1315.0, 1335.0)]}, PHYSICS)
    late = covered(triangle, {0: [(1355.0, 1375.0)]}, PHYSICS)
    assert early[0] == pytest.approx(1 / 9)
    assert late[0] == pytest.approx(5 / 9)


def test_each_gate_catches_only_its_own_strip() -> None:
    wide = [(-20.0, 60.0), (20.0, 60.0), (20.0, 90.0), (-20.0, 90.0)]
    everywhere = {gate: [(0.0, 9999.0)] for gate in range(8)}
    assert covered(wide, everywhere, PHYSICS) == pytest.approx({0: 0.5, 1: 0.5})
    assert covered(wide, {1: [(0.0, 9999.0)]}, PHYSICS) == pytest.approx({1: 0.5})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(min_value=0.3, max_value=1.0), min_size=5, max_size=24),
    st.tuples(st.floats(-50, 0), st.floats(5, 60)),
    st.tuples(st.floats(-60, 10), st.floats(20, 70)),
)
def test_clipping_any_star_shape_keeps_the_area_a_grid_counts(
    radii: list[float], along: tuple[float, float], lateral: tuple[float, float]
) -> None:
    turns = [2 * math.pi * k / len(radii) for k in range(len(radii))]
    shape = [(50 * r * math.cos(t), 50 * r * math.sin(t)) for r, t in zip(radii, turns, strict=True)]
    part = area_mm2(clipped(shape, along, lateral)) if clipped(shape, along, lateral) else 0.0
    a, b = np.meshgrid(np.arange(-50, 50) + 0.5, np.arange(-50, 50) + 0.5)
    inside = np.zeros(a.shape, bool)
    for (x0, y0), (x1, y1) in zip(shape, shape[1:] + shape[:1], strict=True):
        crosses = (y0 > b) != (y1 > b)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (a < (x1 - x0) * (b - y0) / (y1 - y0) + x0)
    window = (a >= along[0]) & (a <= along[1]) & (b >= lateral[0]) & (b <= lateral[1])
    assert part == pytest.approx(float((inside & window).sum()), abs=120)  # a border of 1 mm cells
