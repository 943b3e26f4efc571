"""The pulse foretold for a timer that moves the outputs between two ticks, by the clock and by counts."""

from dataclasses import replace
from itertools import permutations

import pytest

from tests.unit.firmware.bare import PLAIN, Bare, Moment, Pulse, alike, in_counts, in_time

# --- windows in time


def test_a_pulse_is_foretold_from_now_with_its_delays() -> None:
    gate = replace(PLAIN, opening_delay_us=3_000, closing_delay_us=1_000)
    bare = in_time((20, 40), gate=gate)
    assert bare.plan() == Pulse(Moment(16_000), Moment(38_000))
    assert bare.plan(us=16_500) == Pulse(Moment(500), Moment(22_500))
    assert bare.plan(us=17_400) == Pulse(Moment(-400), Moment(21_600))
    assert bare.plan(gate=1) is None


@pytest.mark.parametrize(("start_ms", "seen"), [(61.0, True), (61.001, False), (120.0, False)])
def test_what_begins_more_than_60_ms_ahead_is_out_of_sight(start_ms: float, seen: bool) -> None:
    assert (in_time((start_ms, start_ms + 50)).plan() is not None) == seen


@pytest.mark.parametrize(("end_ms", "off_us"), [(61.0, 60_000), (61.001, 219_000), (150.0, 219_000)])
def test_an_end_out_of_sight_is_at_maximum_hold_until_it_comes_in_sight(end_ms: float, off_us: int) -> None:
    assert in_time((20, end_ms)).plan() == Pulse(Moment(19_000), Moment(off_us))


def test_maximum_hold_counts_from_when_the_gate_went_on() -> None:
    bare = in_time((20, 200), (190, 219))
    bare.tick(20_500)
    assert bare.plan(us=100_500) == Pulse(None, Moment(120_000))
    assert bare.plan(us=180_000) == Pulse(None, Moment(39_000))
    assert bare.plan(us=250_000) == Pulse(None, Moment(-31_000))


def test_a_pulse_of_exactly_maximum_hold_is_planned_whole() -> None:
    assert in_time((20, 40), gate=replace(PLAIN, max_hold_us=20_000)).plan() == Pulse(Moment(19_000), Moment(39_000))


def test_moments_long_past_are_clipped_to_a_thousand_seconds() -> None:
    bare = in_time((20, 40))
    assert bare.plan(us=1_000_020_000) == Pulse(Moment(-1_000_000_000), Moment(-999_980_000))
    assert bare.plan(us=1_000_020_001) == Pulse(Moment(-1_000_000_000), Moment(-999_980_001))
    assert bare.plan(us=5_000_000_000) == Pulse(Moment(-1_000_000_000), Moment(-1_000_000_000))


@pytest.mark.parametrize(("begun_us", "off_us"), [(20_000, 40_000), (20_300, 40_300), (20_999, 40_999)])
def test_minimum_hold_counts_from_when_it_began(begun_us: int, off_us: int) -> None:
    gate = replace(PLAIN, min_hold_us=20_000)
    bare = in_time((20, 40), gate=gate)
    assert bare.plan(us=21_000) == Pulse(Moment(-1000), Moment(19_000))
    bare.tick(begun_us)
    assert bare.plan(us=30_000) == Pulse(None, Moment(off_us - 30_000))


SETS = [
    ([(10, 20), (15, 30)], 30),
    ([(10, 20), (20, 30)], 30),  # they touch
    ([(10, 20), (21, 30)], 20),
    ([(10, 30), (12, 15)], 30),
    ([(10, 20), (18, 28), (28, 40), (45, 50)], 40),
    ([(10, 12), (11, 14), (13, 16), (15, 18)], 18),
    ([(10, 12), (10, 16), (10, 14)], 16),
]


@pytest.mark.parametrize(("windows", "end_ms"), SETS)
def test_windows_that_touch_are_one_pulse_in_whatever_order_they_came(
    windows: list[tuple[float, float]], end_ms: float
) -> None:
    for order in permutations(windows):
        assert in_time(*order).plan(us=2000) == Pulse(Moment(8000), Moment(round(end_ms * 1000) - 2000)), order


def test_a_window_of_an_open_gate_joins_those_that_touch_it() -> None:
    for order in permutations([(10, 30), (25, 40), (41, 50)]):
        bare = in_time(*order)
        bare.tick(10_000)
        assert bare.plan(us=12_000) == Pulse(None, Moment(28_000))


def test_what_has_begun_comes_first_whatever_was_planned_before_it() -> None:
    bare = in_time((10, 30), (40, 50))
    assert bare.divert_time(9, 2, 65, 70) == 0
    bare.tick(10_000)
    assert bare.plan(gate=1, us=12_000) == Pulse(Moment(53_000), Moment(58_000))
    assert bare.plan(us=12_000) == Pulse(None, Moment(18_000))


@pytest.mark.parametrize(
    ("late_us", "gap_us", "planned"),
    # the pulse before ended `late_us` late; the next is due 4 ms after its planned end
    [(0, 4_000, 0), (1, 4_000, 1), (1000, 4_000, 1000), (1000, 3_000, 0), (1000, 3_500, 500)],
)
def test_a_gate_that_owes_its_gap_is_planned_for_when_it_may(late_us: int, gap_us: int, planned: int) -> None:
    bare = in_time((8, 18), (22, 52), gate=replace(PLAIN, min_hold_us=10_000, min_gap_us=gap_us))
    bare.tick(8_000 + late_us)
    bare.tick(18_000 + late_us)
    assert len(bare.edges) == 2
    assert bare.plan(us=20_000) == Pulse(Moment(2_000 + planned), Moment(32_000))


@pytest.mark.parametrize(("gap_us", "waits_us"), [(4_000, 0), (4_001, 1), (5_000, 1000), (5_001, None), (7_000, None)])
def test_a_gap_that_would_make_it_too_late_is_no_pulse(gap_us: int, waits_us: int | None) -> None:
    """Eight counts were 8 ms when it was taken; the belt doubles its speed, so they are 4."""
    bare = Bare(alike(replace(PLAIN, min_gap_us=gap_us))).armed(1000)
    bare.counts(range(1000, 100_001, 1000))
    bare.tick(100_000)
    assert bare.divert_count(1, 1, 105, 110) == 0
    assert bare.divert_count(2, 1, 118, 130) == 0
    us = 100_000
    for n in range(101, 111):
        us += 1000
        bare.count(us, n).tick(us)
    for n in range(111, 119):
        us += 500
        bare.count(us, n)
    plan = bare.plan(us=us)  # its window has begun: 118 is reached
    assert plan is None if waits_us is None else plan is not None and plan.on == Moment(waits_us)


def test_minimum_hold_follows_a_begin_that_waits_for_its_gap() -> None:
    bare = in_time((8, 18), (22, 32), gate=replace(PLAIN, min_hold_us=10_000, min_gap_us=4_000))
    bare.tick(8_600)
    bare.tick(18_600)
    assert bare.plan(us=20_000) == Pulse(Moment(2_600), Moment(12_600))


# --- windows in counts


def test_a_pulse_in_counts_has_its_moments_and_the_counts_below_which_nothing_moves() -> None:
    bare = in_counts((104, 110))
    assert bare.plan() == Pulse(Moment(4 * 4096, below=103), Moment(10 * 4096, below=109))
    # time since the newest count is taken off
    assert bare.plan(us=410_600) == Pulse(Moment(4 * 4096 - 1000, below=103), Moment(10 * 4096 - 1000, below=109))


@pytest.mark.parametrize(
    ("opening_us", "in_us", "below"),
    # the output leads count 104 by a part of a count; an edge in the first eighth waits for the count before only
    [
        (0, 16_384, 103),
        (16, 16_368, 103),
        (2048, 14_336, 103),
        (3584, 12_800, 103),
        (3600, 12_784, 102),
        (4080, 12_304, 102),
    ],
)
def test_an_edge_within_a_count_waits_for_its_count(opening_us: int, in_us: int, below: int) -> None:
    bare = in_counts((104, 110), gate=replace(PLAIN, opening_delay_us=opening_us))
    plan = bare.plan()
    assert plan is not None
    assert plan.on == Moment(in_us, below)


@pytest.mark.parametrize("position", [104, 105, 200])
def test_what_the_belt_has_passed_is_due_now(position: int) -> None:
    bare = in_counts((104, 150))
    bare.count(409_700, position)
    plan = bare.plan(us=409_700)
    assert plan is not None
    assert plan.on == Moment(0)


def test_dithered_back_the_moment_counts_from_now() -> None:
    bare = in_counts((104, 110))
    bare.count(409_700, 99)
    assert bare.plan(us=410_600) == Pulse(Moment(5 * 4096, below=103), Moment(11 * 4096, below=109))


def test_on_a_standing_belt_nothing_is_foretold_and_an_open_gate_closes_at_maximum_hold() -> None:
    bare = in_counts((102, 110), (120, 130))
    assert bare.plan(us=409_600 + 150_001) is None
    bare = in_counts((101, 110))
    bare.count(413_696, 101).tick(413_696)
    assert bare.device.outputs() == 1
    assert bare.plan(us=413_696 + 150_001) == Pulse(None, Moment(200_000 - 150_001))


def test_a_pulse_in_counts_of_exactly_maximum_hold_ends_by_the_clock() -> None:
    bare = in_counts((104, 110), gate=replace(PLAIN, max_hold_us=6 * 4096))
    assert bare.plan() == Pulse(Moment(4 * 4096, below=103), Moment(10 * 4096))


def test_a_pulse_in_counts_of_exactly_minimum_hold_still_waits_for_its_count() -> None:
    bare = in_counts((104, 110), gate=replace(PLAIN, min_hold_us=6 * 4096))
    assert bare.plan() == Pulse(Moment(4 * 4096, below=103), Moment(10 * 4096, below=109))


def test_counts_below_zero_and_beyond_16_bits_keep_their_low_bits() -> None:
    for first in (-70_000, -3, 65_530, 2**40):
        bare = Bare(alike()).armed(1000)
        bare.counts(range(4096, 409_601, 4096), first - 99)
        bare.tick(409_600)
        assert bare.divert_count(1, 1, first + 4, first + 10) == 0
        assert bare.plan() == Pulse(
            Moment(4 * 4096, below=(first + 3) % 65_536), Moment(10 * 4096, below=(first + 9) % 65_536)
        )


@pytest.mark.parametrize("ahead", [2**22, 2**23, 2**23 + 1, 2**24 - 1, 2**24])
def test_a_window_at_the_far_end_of_all_counts_is_out_of_sight(ahead: int) -> None:
    bare = Bare(alike(far_count=2**24, far_ms=600_000)).armed(1000)
    bare.counts(range(2, 100_001))
    bare.tick(100_000)
    assert bare.divert_count(1, 1, 99_999 + ahead, 99_999 + ahead + 50) == 0
    assert bare.plan() is None
