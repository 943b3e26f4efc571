"""What the core makes of what a timer did between two ticks: which commands have begun, which are over, which were missed."""

from dataclasses import replace
from itertools import permutations

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import MissReason
from tests.unit.firmware.bare import PLAIN, Bare, alike, in_counts, in_time
from tests.unit.firmware.rig import CONFIG


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


@pytest.mark.parametrize("gates", [1, 8, 32])
def test_a_timer_may_move_every_gate_there_is(gates: int) -> None:
    bare = Bare(replace(CONFIG, gates=(PLAIN,) * gates)).armed(1000)
    every = (1 << gates) - 1
    assert bare.divert_time(1, every, 20, 40) == 0
    bare.moved(20_000, on=every)
    assert bare.device.outputs() == every
    bare.moved(40_000, off=every)
    bare.tick(40_000)
    assert [(e.on, e.off, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [(20_000, 40_000, 0)]


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
