"""Which footprint is which, in belt millimetres."""

import pytest

from station.tracking.matching import Footprint, assign, distance_mm, share_inside


def box(along_mm: float, lateral_mm: float, length_mm: float = 80, width_mm: float = 60, **cut: bool) -> Footprint:
    half_l, half_w = length_mm / 2, width_mm / 2
    return Footprint(along_mm - half_l, along_mm + half_l, lateral_mm - half_w, lateral_mm + half_w, **cut)


@pytest.mark.parametrize(
    ("seen", "known", "expected_mm"),
    [
        pytest.param(box(103, 200), box(100, 204), 5.0, id="whole: distance of the middles"),
        pytest.param(
            Footprint(100, 140, 170, 230, cut_from=True), box(100, 200), 0.0, id="entering: only fronts count"
        ),
        pytest.param(Footprint(64, 90, 170, 230, cut_to=True), box(100, 200), 4.0, id="leaving: only rears count"),
        pytest.param(Footprint(100, 140, 180, 200, cut_from=True), box(100, 200), 0.0, id="a corner may be narrow"),
        pytest.param(Footprint(100, 140, 300, 320, cut_from=True), box(100, 200), 110.0, id="beside it is not it"),
    ],
)
def test_distance_compares_what_both_views_show(seen: Footprint, known: Footprint, expected_mm: float) -> None:
    assert distance_mm(seen, known) == pytest.approx(expected_mm)


def test_pairs_are_the_best_in_total_and_never_beyond_the_gate() -> None:
    known = [box(0, 100), box(0, 112), box(500, 100)]
    seen = [box(0, 111), box(0, 99), box(600, 100)]
    assert sorted(assign(seen, known, [20.0] * 3)) == [(0, 1), (1, 0)]


def test_size_breaks_a_tie() -> None:
    known = [box(0, 100, width_mm=60), box(0, 100, width_mm=30)]
    seen = [box(0, 100, width_mm=31), box(0, 100, width_mm=61)]
    assert sorted(assign(seen, known, [20.0] * 2)) == [(0, 1), (1, 0)]


def test_nothing_pairs_with_nothing() -> None:
    assert assign([], [box(0, 0)], [20.0]) == []
    assert assign([box(0, 0)], [], []) == []


def test_share_inside_is_of_the_inner_one() -> None:
    assert share_inside(box(0, 0, 20, 20), box(0, 0, 100, 100)) == 1.0
    assert share_inside(box(0, 0, 100, 100), box(0, 0, 20, 20)) == pytest.approx(0.04)
    assert share_inside(box(0, 0), box(500, 0)) == 0.0
