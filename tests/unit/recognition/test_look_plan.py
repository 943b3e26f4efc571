"""Which items are looked at: in what order, how many, and what gives way when time is short."""

import pytest

from station.recognition.look_plan import LookPace, Offer, choose

FRAME_NS = 33_000_000


@pytest.mark.parametrize(
    ("offers", "wanted"),
    [
        pytest.param([Offer(1, 0, 9)], [1], id="the first look when first whole"),
        pytest.param([Offer(1, 1, 5)], [], id="not in the middle of its way"),
        pytest.param([Offer(1, 1, 1), Offer(2, 2, 0)], [2, 1], id="again in its last frames"),
        pytest.param([Offer(1, 3, 0)], [], id="never more than it may have"),
        pytest.param([Offer(1, 1, 0), Offer(2, 0, 9)], [2, 1], id="who has none goes first"),
        pytest.param([Offer(1, 2, 0), Offer(2, 1, 0)], [2, 1], id="a second look goes before a third"),
    ],
)
def test_looks_are_taken_early_and_late(offers: list[Offer], wanted: list[int]) -> None:
    assert choose(offers, max_looks=3, at_most=16) == wanted


@pytest.mark.parametrize(
    ("fitting", "wanted"),
    [
        pytest.param(None, [5, 1, 2, 3, 4], id="time for all"),
        pytest.param(3, [5, 1, 2], id="third looks give way"),
        pytest.param(1, [5, 1], id="but no item leaves with one look for want of time"),
    ],
)
def test_when_time_is_short_the_least_urgent_looks_give_way(fitting: int | None, wanted: list[int]) -> None:
    offers = [Offer(4, 2, 0), Offer(3, 2, 0), Offer(2, 2, 0), Offer(1, 1, 0), Offer(5, 0, 7)]
    assert choose(offers, max_looks=3, at_most=16, fitting=fitting) == wanted


def test_an_item_seen_whole_only_once_is_looked_at_however_little_time_there_is() -> None:
    offers = [Offer(number, 0, 0) for number in range(6)]
    assert choose(offers, max_looks=3, at_most=16, fitting=2) == [0, 1, 2, 3, 4, 5]
    assert choose(offers, max_looks=3, at_most=4, fitting=2) == [0, 1, 2, 3]


def test_as_many_looks_fit_as_the_last_ones_allow() -> None:
    pace, fitting = LookPace(FRAME_NS), list[int | None]()
    for spent_ns in (20_000_000, 40_000_000, 4_000_000):
        for _ in range(60):
            pace.took(4, spent_ns)
        fitting.append(pace.fitting)
    assert fitting == [4, 2, 22]


def test_a_step_without_looks_and_looks_that_cost_nothing_say_nothing() -> None:
    pace = LookPace(FRAME_NS)
    pace.took(0, 5_000_000)
    pace.took(3, 0)
    assert pace.fitting is None
