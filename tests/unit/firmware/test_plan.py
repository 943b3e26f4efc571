"""The pulse foretold for a timer that moves the outputs between two ticks, and what comes of what the timer then did."""

from dataclasses import replace
from itertools import permutations

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import GateConfig, MissReason
from tests.unit.firmware.bare import PLAIN, Bare, Moment, Pulse, alike


def in_time(*windows_ms: tuple[float, float], gate: GateConfig = PLAIN, **changes: int) -> Bare:
    """Armed at 1 ms, with windows on gate 0 numbered from 1; nothing has ticked."""
    bare = Bare(alike(gate, **changes)).armed(1000)
    for n, (start, end) in enumerate(windows_ms, 1):
        assert bare.divert_time(n, 1, start, end) == 0
    return bare


def in_counts(*windows: tuple[int, int], gate: GateConfig = PLAIN, **changes: int) -> Bare:
    """Armed, on a belt of one count in 4096 us whose count 100 has just come."""
    bare = Bare(alike(gate, **changes)).armed(1000)
    bare.counts(range(4096, 409_601, 4096))
    bare.tick(409_600)
    for n, (start, end) in enumerate(windows, 1):
        assert bare.divert_count(n, 1, start, end) == 0
    return bare


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


# --- what the timer did


@pytest.mark.parametrize("late_us", [0, 1, 300, 1000])
def test_a_moved_gate_begins_the_command_that_was_due(late_us: int) -> None:
    bare = in_time((20, 40))
    bare.tick(19_000)
    assert bare.next_edge_us == 20_000
    bare.moved(20_000 + late_us, on=1)
    assert bare.device.outputs() == 1
    assert bare.next_edge_us == 0  # the end of it is to be looked for
    bare.moved(40_000, off=1)
    bare.tick(40_500)
    assert bare.edge_us() == [20_000 + late_us, 40_000]
    assert [(e.id, e.on, e.off, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [
        (1, 20_000 + late_us, 40_000, late_us)
    ]


@pytest.mark.parametrize(("moved_us", "begins"), [(21_000, True), (21_001, False), (19_000, True), (18_999, False)])
def test_a_gate_moved_more_than_max_late_off_begins_nothing(moved_us: int, begins: bool) -> None:
    bare = in_time((20, 40))
    bare.moved(moved_us, on=1)
    assert bare.device.outputs() == 1  # it did move, and is turned off again with the next plan
    bare.moved(39_500, off=1)
    bare.tick(45_000)
    bare.tick(45_000)
    assert bare.fired() == ([1] if begins else [])
    if begins:
        assert [e.extra for e in bare.told(wire.EVENT_FIRED)] == [max(0, moved_us - 20_000)]
    else:
        assert bare.missed() == {1: MissReason.LATE}


def test_all_that_were_due_begin_and_what_comes_later_does_not() -> None:
    for order in permutations([(19.2, 40.0), (20.0, 41.0), (20.5, 42.0)]):
        bare = in_time(*order)
        bare.moved(20_100, on=1)
        bare.moved(41_500, off=1)
        bare.tick(41_600)
        told = {order[e.id - 1]: e.extra for e in bare.told(wire.EVENT_FIRED)}
        assert {k: told[k] for k in ((19.2, 40.0), (20.0, 41.0))} == {(19.2, 40.0): 900, (20.0, 41.0): 100}
        third = [e for e in bare.told(wire.EVENT_MISSED) + bare.told(wire.EVENT_FIRED) if order[e.id - 1][0] == 20.5]
        assert len(third) == 1


def test_a_gate_moved_early_begins_the_next_command_alone() -> None:
    """A rounding of the timer: of several that come within max_late the first is meant."""
    for order in permutations([(20.2, 40.0), (20.5, 41.0), (20.9, 42.0), (30.0, 43.0)]):
        bare = in_time(*order)
        bare.moved(20_000, on=1)
        bare.tick(20_100)  # by the clock none of the others is due yet
        on = {order[n - 1][0]: n for n in range(1, 5)}
        assert bare.answer(wire.Cancel(on[20.2]), wire.Ack).error == 8  # begun
        assert [bare.answer(wire.Cancel(on[start]), wire.Ack).error for start in (20.5, 20.9, 30.0)] == [0, 0, 0]
        bare.moved(40_000, off=1)
        bare.tick(40_000)
        assert [(e.on, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [(20_000, 0)]


@pytest.mark.parametrize(("second_ms", "begins"), [(19.999, True), (20.0, True), (20.001, False)])
def test_due_is_due_to_the_microsecond(second_ms: float, begins: bool) -> None:
    for order in permutations([(20.0, 40.0), (second_ms, 41.0)]):
        bare = in_time(*order)
        bare.moved(20_000, on=1)
        errors = {window[1]: bare.answer(wire.Cancel(n), wire.Ack).error for n, window in enumerate(order, 1)}
        assert errors == {40.0: 8, 41.0: 8 if begins else 0}


def test_a_cancelled_command_begins_no_more() -> None:
    bare = in_time((20.5, 41), (20, 40))
    bare.send(wire.Cancel(2))
    bare.moved(20_100, on=1)
    assert bare.answer(wire.Cancel(1), wire.Ack).error == 8  # it was the next one


def test_a_command_that_is_due_is_preferred_to_one_that_comes() -> None:
    for order in permutations([(19.9, 40.0), (20.5, 41.0)]):
        bare = in_time(*order)
        bare.moved(20_000, on=1)
        later = 1 + order.index((20.5, 41.0))
        assert bare.answer(wire.Cancel(later), wire.Ack).error == 0


@pytest.mark.parametrize(
    ("off_us", "fires"), [(40_000, True), (39_000, True), (38_999, False), (30_000, False), (41_500, True)]
)
def test_a_gate_turned_off_too_early_misses_its_command(off_us: int, fires: bool) -> None:
    bare = in_time((20, 40))
    bare.moved(20_000, on=1).moved(off_us, off=1)
    assert bare.device.outputs() == 0
    bare.tick(42_000)
    assert (bare.fired(), bare.missed()) == (([1], {}) if fires else ([], {1: MissReason.LATE}))
    told = bare.told(wire.EVENT_FIRED) + bare.told(wire.EVENT_MISSED)
    assert [e.off if fires else e.on for e in told] == [off_us]


@pytest.mark.parametrize(("off_us", "reason"), [(50_000, MissReason.BELT_STOPPED), (49_999, MissReason.LATE)])
def test_a_gate_turned_off_at_maximum_hold_has_lost_its_belt(off_us: int, reason: MissReason) -> None:
    bare = Bare(alike(replace(PLAIN, max_hold_us=30_000))).armed(1000)
    bare.counts(range(1000, 20_001, 1000))
    bare.tick(20_000)
    assert bare.divert_count(1, 1, 20, 45) == 0
    bare.moved(20_000, on=1)
    bare.counts(range(22_000, 48_001, 2000), 21)  # half as fast now: the end of it is 22 ms away
    bare.moved(off_us, off=1)
    bare.tick(51_000)
    assert bare.missed() == {1: reason}


def test_of_several_commands_only_those_that_are_over_end_as_fired() -> None:
    bare = in_time((20, 40), (25, 40.9), (30, 50), (60, 70))
    bare.moved(20_000, on=1)
    for us in (25_000, 30_000):
        bare.tick(us)
    bare.moved(40_000, off=1)
    bare.tick(40_000)
    assert (sorted(bare.fired()), bare.missed()) == ([1, 2], {3: MissReason.LATE})
    assert bare.answer(wire.Cancel(4), wire.Ack).error == 0


def test_a_mask_ends_when_the_last_of_its_gates_has_moved() -> None:
    bare = Bare(alike()).armed(1000)
    assert bare.divert_time(1, 0b1000_0101, 20, 40) == 0
    bare.moved(20_000, on=0b101).moved(20_400, on=0b1000_0000)
    assert bare.device.outputs() == 0b1000_0101
    bare.moved(39_900, off=0b1000_0001)
    assert bare.device.outputs() == 0b100
    assert bare.answer(wire.Cancel(1), wire.Ack).error == 8  # one gate of it still acts
    bare.moved(40_300, off=0b100)
    bare.tick(40_400)
    assert [(e.on, e.off, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [(20_000, 40_300, 400)]


def test_what_moves_on_and_off_at_once_is_off_and_a_repeated_move_changes_nothing() -> None:
    bare = in_time((20, 40))
    bare.moved(20_000, on=1, off=1)
    assert bare.device.outputs() == 0
    bare.moved(20_100, on=1).moved(20_200, on=1)
    bare.moved(40_000, off=1).moved(40_100, off=1)
    bare.tick(40_200)
    assert bare.edge_us() == [20_100, 40_000]
    assert [(e.on, e.off, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [(20_100, 40_000, 100)]


def test_moves_told_after_a_disarming_are_void() -> None:
    bare = in_time((20, 40))
    bare.at(19_000).send(wire.Stop())
    bare.moved(20_000, on=1)
    assert bare.device.outputs() == 0
    bare.tick(20_000)
    assert (bare.edges, bare.fired(), bare.missed()) == ([], [], {1: MissReason.DISARMED})


def test_a_move_in_counts_is_judged_by_where_the_belt_was_then() -> None:
    bare = in_counts((104, 110))
    bare.counts([413_696, 417_792, 421_888], 101)
    bare.moved(409_600 + 4 * 4096, on=1)  # count 104, which has not been told yet
    bare.count(425_984, 104).tick(425_984)
    bare.counts(range(430_080, 450_560, 4096), 105)
    bare.moved(409_600 + 10 * 4096, off=1)
    bare.tick(450_560)
    assert [(e.on, e.off, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [(425_984, 450_560, 0)]
