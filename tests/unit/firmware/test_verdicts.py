"""Which answer a command gets, at the edge of every rule: windows against hold, gap and duty; far and late; memory of ids."""

from dataclasses import replace
from itertools import permutations

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import GateConfig, Refusal
from firmware_bridge.virtual_device import VirtualDevice
from tests.unit.firmware.bare import PLAIN, Bare, alike
from tests.unit.firmware.rig import CONFIG, Rig

SPACED = replace(PLAIN, min_gap_us=4_000)
LIMIT, LATE, BAD = Refusal.GATE_LIMIT.value, Refusal.LATE.value, Refusal.BAD_ARGUMENT.value


def armed(gate: GateConfig = SPACED, **changes: int) -> Bare:
    return Bare(alike(gate, **changes)).armed(1000)


def moving(gate: GateConfig = SPACED, **changes: int) -> Bare:
    """Armed, on a belt of one count in 1024 us, whose count 100 has just come at 102.4 ms."""
    bare = armed(gate, **changes)
    bare.counts(range(1024, 102_401, 1024))
    bare.tick(102_400)
    return bare


NOW = 102_400


def window(bare: Bare, command_id: int, start: float, end: float, in_counts: bool) -> int:
    """In ms from `NOW` or, at 1024 us each, in counts from 100."""
    if in_counts:
        return bare.divert_count(command_id, 1, 100 + round(start), 100 + round(end))
    return bare.divert_time(command_id, 1, (NOW + start * 1024) / 1000, (NOW + end * 1024) / 1000)


WINDOWS = [
    # (those before, the one asked, answer); the gap is 4 counts, the longest hold 200
    ([(20, 40)], (44, 60), 0),
    ([(20, 40)], (43, 60), LIMIT),
    ([(20, 40)], (41, 60), LIMIT),
    ([(20, 40)], (40, 60), 0),  # touches: one pulse
    ([(20, 40)], (30, 35), 0),  # inside
    ([(44, 60)], (20, 40), 0),
    ([(44, 60)], (20, 41), LIMIT),
    ([(44, 60)], (20, 44), 0),
    ([(20, 40), (60, 80)], (44, 56), 0),
    ([(20, 40), (60, 80)], (43, 56), LIMIT),
    ([(20, 40), (60, 80)], (44, 57), LIMIT),
    ([(20, 40), (60, 80)], (40, 60), 0),  # joins both: 20 .. 80
    ([(20, 40), (60, 80)], (39, 61), 0),
    ([(20, 120), (150, 219)], (120, 150), 0),  # 199 long
    ([(20, 120), (150, 220)], (120, 150), 0),  # 200
    ([(20, 120), (150, 221)], (120, 150), LIMIT),
    ([(20, 120), (110, 200)], (190, 220), 0),
    ([(20, 120), (110, 200)], (190, 221), LIMIT),
    ([(20, 120), (300, 400)], (190, 200), 0),
    ([(20, 40), (20, 120)], (119, 221), LIMIT),  # two that begin together: the longer one counts
    ([(20, 220)], (220, 221), LIMIT),
    ([(20, 220)], (224, 424), 0),
    ([(20, 220)], (224, 425), LIMIT),
    ([(224, 424)], (20, 220), 0),
    ([(224, 424)], (223, 260), LIMIT),
    # windows that keep the gap from the new one are not judged again against each other
    ([(20, 40), (300, 340), (400, 440)], (100, 140), 0),
]


@pytest.mark.parametrize("in_counts", [False, True], ids=["time", "counts"])
@pytest.mark.parametrize(("before", "asked", "answer"), WINDOWS)
def test_the_union_of_windows_is_judged_whatever_order_they_came_in(
    before: list[tuple[int, int]], asked: tuple[int, int], answer: int, in_counts: bool
) -> None:
    gate = replace(SPACED, max_hold_us=200 * 1024, min_gap_us=4 * 1024)
    for order in permutations(before):
        bare = moving(gate)
        for n, (start, end) in enumerate(order, 1):
            assert window(bare, n, start, end, in_counts) == 0
        assert window(bare, 9, *asked, in_counts) == answer


@pytest.mark.parametrize("in_counts", [False, True], ids=["time", "counts"])
@pytest.mark.parametrize(("length", "answer"), [(9, LIMIT), (10, 0), (30, 0), (31, LIMIT)])
def test_a_window_is_as_long_as_the_gate_can_hold(length: int, answer: int, in_counts: bool) -> None:
    bare = moving(replace(SPACED, min_hold_us=10 * 1024, max_hold_us=30 * 1024))
    assert window(bare, 1, 20, 20 + length, in_counts) == answer


@pytest.mark.parametrize("in_counts", [False, True], ids=["time", "counts"])
@pytest.mark.parametrize(
    ("opening", "closing", "answer"), [(8, 8, 0), (9, 8, LIMIT), (8, 7, LIMIT), (0, 0, 0), (19, 18, LIMIT)]
)
def test_hold_is_judged_by_the_output_not_by_the_window(
    opening: int, closing: int, answer: int, in_counts: bool
) -> None:
    gate = replace(
        SPACED,
        opening_delay_us=opening * 1024,
        closing_delay_us=closing * 1024,
        max_hold_us=30 * 1024,
        min_hold_us=30 * 1024,
    )
    assert window(moving(gate), 1, 20, 50, in_counts) == answer


@pytest.mark.parametrize(("start", "answer"), [(40, 0), (30, 0), (20, 0), (41, LIMIT), (16, 0), (17, LIMIT)])
def test_a_window_no_longer_than_its_delays_is_a_pulse_of_no_length(start: int, answer: int) -> None:
    """It joins what it touches, and owes the gap to what it does not."""
    bare = armed(replace(SPACED, closing_delay_us=10_000))
    assert bare.divert_time(1, 1, 20, 50) == 0  # output 20 .. 40
    assert bare.divert_time(2, 1, start, start + 10) == answer


@pytest.mark.parametrize("asked_in_counts", [False, True], ids=["ask in time", "ask in counts"])
@pytest.mark.parametrize(
    ("before", "asked", "answer"),
    [
        ((20, 40), (44, 60), 0),
        ((20, 40), (43, 60), LIMIT),
        ((44, 60), (20, 40), 0),
        ((44, 60), (20, 41), LIMIT),
        ((20, 120), (100, 220), 0),
        ((20, 120), (100, 221), LIMIT),
        ((100, 220), (20, 110), 0),
        ((101, 221), (20, 110), LIMIT),
    ],
)
def test_windows_in_time_and_in_counts_are_judged_in_one_unit(
    before: tuple[int, int], asked: tuple[int, int], answer: int, asked_in_counts: bool
) -> None:
    bare = moving(replace(SPACED, max_hold_us=200 * 1024, min_gap_us=4 * 1024))
    assert window(bare, 1, *before, not asked_in_counts) == 0
    assert window(bare, 2, *asked, asked_in_counts) == answer


@pytest.mark.parametrize("in_counts", [False, True], ids=["time", "counts"])
@pytest.mark.parametrize(("start", "answer"), [(13, LIMIT), (14, 0), (15, 0)])
def test_the_gap_is_owed_to_the_pulse_before_too(start: int, answer: int, in_counts: bool) -> None:
    """Which ended 8 counts ago."""
    bare = moving(replace(SPACED, min_gap_us=22 * 1024))
    assert bare.divert_time(1, 1, 110, 102.4 + 1.024 * 12) == 0
    bare.tick(110_000)
    bare.counts(range(NOW + 1024, NOW + 20 * 1024 + 1, 1024), 101)
    bare.tick(NOW + 12 * 1024)
    assert len(bare.edges) == 2  # off at count 112
    bare.tick(NOW + 20 * 1024)
    if in_counts:
        assert bare.divert_count(2, 1, 120 + start, 150) == answer
    else:
        assert bare.divert_time(2, 1, (NOW + (20 + start) * 1024) / 1000, 200) == answer


@pytest.mark.parametrize(("start_ms", "answer"), [(63.999, LIMIT), (64.0, 0)])
@pytest.mark.parametrize("asked_ms", [60.5, 63.0, 63.999])
def test_the_gap_of_a_closed_gate_is_kept_to_the_microsecond(start_ms: float, answer: int, asked_ms: float) -> None:
    bare = armed()
    assert bare.divert_time(1, 1, 20, 60) == 0
    bare.ticks([20_000, 60_000, round(asked_ms * 1000)])
    assert bare.divert_time(2, 1, start_ms, 90) == answer


@pytest.mark.parametrize(("start", "answer"), [(60, 0), (56, 0), (55.999, LIMIT), (52, LIMIT)])
def test_a_gap_that_two_others_do_not_keep_is_not_held_against_a_third(start: float, answer: int) -> None:
    """A slow pass made the first end 0.7 ms late, so the second will wait for its gap; what joins the second is refused."""
    bare = armed(replace(SPACED, min_hold_us=10_000))
    assert bare.divert_time(1, 1, 8, 18) == 0
    assert bare.divert_time(2, 1, 22, 52) == 0
    bare.ticks([8_700, 18_700, 19_000])
    assert bare.divert_time(3, 1, start, start + 10) == answer


def test_a_gap_that_is_over_is_owed_to_nobody() -> None:
    bare = armed()
    assert bare.divert_time(1, 1, 20, 60) == 0
    bare.ticks([20_000, 60_000, 64_000])
    assert bare.divert_time(2, 1, 63.5, 90) == 0  # half a millisecond late, which is allowed


def test_a_pulse_that_began_late_is_judged_by_when_it_began() -> None:
    bare = armed(replace(SPACED, max_hold_us=100_000))
    assert bare.divert_time(1, 1, 20, 60) == 0
    bare.tick(20_800)
    assert bare.divert_time(2, 1, 50, 120.001) == LIMIT  # from its window's begin, 20 ms
    assert bare.divert_time(3, 1, 50, 120) == 0


def test_a_pulse_that_began_early_is_judged_by_when_it_began() -> None:
    """Joined to another that has ended: the gate has been on for longer than the window that is left."""
    bare = armed(replace(SPACED, max_hold_us=100_000))
    assert bare.divert_time(1, 1, 20, 60) == 0
    assert bare.divert_time(2, 1, 50, 90) == 0
    bare.ticks([20_000, 50_000, 60_000])
    bare.tick(61_000)
    assert bare.fired() == [1]
    assert bare.divert_time(3, 1, 80, 120.001) == LIMIT
    assert bare.divert_time(4, 1, 80, 120) == 0


@pytest.mark.parametrize(("end", "answer"), [(228, 0), (229, LIMIT)])
def test_a_pulse_under_way_is_judged_in_counts_too(end: int, answer: int) -> None:
    bare = moving(replace(SPACED, max_hold_us=128 * 1024))
    assert bare.divert_count(1, 1, 100, 120) == 0
    assert bare.divert_count(2, 1, 118, 140) == 0
    bare.tick(NOW)
    bare.counts(range(NOW + 1024, NOW + 24 * 1024 + 1, 1024), 101)
    for us in (NOW + 18 * 1024, NOW + 20 * 1024, NOW + 24 * 1024):
        bare.tick(us)
    assert bare.fired() == [1]
    assert bare.divert_count(3, 1, 130, end) == answer


# --- duty


@pytest.mark.parametrize(("permille", "long_us", "answer"), [
    (1, 10_000, 0), (1, 10_001, LIMIT), (10, 100_000, 0), (10, 100_001, LIMIT), (999, 9_990_000, 0), (999, 9_990_001, LIMIT),
    (1000, 20_000_000, 0),
])  # fmt: skip
def test_duty_is_a_part_of_ten_seconds(permille: int, long_us: int, answer: int) -> None:
    bare = armed(replace(SPACED, max_duty_permille=permille, max_hold_us=60_000_000), far_ms=600_000)
    assert bare.divert_time(1, 1, 20, 20 + long_us / 1000) == answer


def test_all_that_is_queued_counts_towards_duty() -> None:
    bare = armed(replace(SPACED, max_duty_permille=10))
    for n in range(4):
        assert bare.divert_time(n + 1, 1, 20 + n * 30, 40 + n * 30) == 0
    assert bare.divert_time(8, 1, 200, 220.001) == LIMIT
    assert bare.divert_time(9, 1, 200, 220) == 0
    assert bare.divert_time(10, 1, 30, 40) == 0  # inside another: no more on time
    assert bare.divert_time(11, 0b10, 300, 350) == 0  # another gate's own


@pytest.mark.parametrize(("used_ms", "answer"), [(99.98, 0), (100, 0)])
def test_a_used_up_duty_leaves_nothing(used_ms: float, answer: int) -> None:
    bare = armed(replace(SPACED, max_duty_permille=10))
    assert bare.divert_time(1, 1, 20, 20 + used_ms) == answer
    bare.ticks([20_000, round((20 + used_ms) * 1000)])
    left_us = round(100_000 - used_ms * 1000)
    assert bare.divert_time(2, 1, 200, 200 + (left_us + 1) / 1000) == LIMIT
    if left_us:
        assert bare.divert_time(3, 1, 200, 200 + left_us / 1000) == 0


def test_a_used_up_duty_still_takes_a_window_of_no_length() -> None:
    bare = armed(replace(SPACED, max_duty_permille=10, closing_delay_us=10_000))
    assert bare.divert_time(1, 1, 20, 130) == 0
    bare.ticks([20_000, 120_000])
    assert bare.divert_time(2, 1, 200, 210.001) == LIMIT
    assert bare.divert_time(3, 1, 200, 210) == 0


def test_a_gate_that_was_on_longer_than_its_duty_may_not_open_again() -> None:
    """A belt that stopped kept it open to its maximum hold."""
    bare = moving(replace(SPACED, max_duty_permille=10, max_hold_us=150_000))
    assert bare.divert_count(1, 1, 101, 130) == 0
    bare.count(NOW + 1024, 101).tick(NOW + 1024)
    bare.tick(NOW + 1024 + 150_000)
    assert len(bare.edges) == 2
    assert bare.divert_time(2, 1, 300, 301) == LIMIT


# --- where no rate is known


def test_on_a_belt_that_never_moved_counts_are_taken_unmeasured_and_time_is_judged_without_them() -> None:
    bare = armed()
    assert bare.divert_count(1, 1, 20, 100_000) == 0
    assert bare.divert_count(2, 1, 10_001, 10_002) == 0
    assert bare.divert_time(3, 1, 20, 221) == LIMIT
    assert bare.divert_time(4, 1, 20, 220) == 0
    assert bare.divert_time(5, 1, 222, 230) == LIMIT


def test_a_standing_belt_is_judged_by_its_last_motion() -> None:
    for silent_us in (0, 150_001, 10**6):
        bare = moving(replace(SPACED, max_hold_us=200 * 1024))
        bare.tick(NOW + silent_us)
        assert bare.divert_count(1, 1, 120, 321) == LIMIT
        assert bare.divert_count(2, 1, 120, 320) == 0
    bare = moving(replace(SPACED, max_hold_us=200 * 1024))
    bare.count(NOW + 500_000, 101).tick(NOW + 500_000)  # one count again: not a rate yet
    assert bare.divert_count(1, 1, 120, 321) == LIMIT
    bare.count(NOW + 500_100, 90).tick(NOW + 500_100)  # turned round
    assert bare.divert_count(2, 1, 120, 321) == LIMIT


# --- late, far, and arguments


@pytest.mark.parametrize("gate", [0, 3, 7])
@pytest.mark.parametrize(("late_us", "answer"), [(0, 0), (1000, 0), (1001, LATE)])
def test_late_is_judged_for_each_gate_by_its_own_delay(gate: int, late_us: int, answer: int) -> None:
    gates = [SPACED] * 8
    gates[gate] = replace(SPACED, opening_delay_us=30_000)
    bare = Bare(replace(CONFIG, gates=tuple(gates))).armed(1000)
    assert bare.at(50_000).divert_time(1, 0xFF, 80 - late_us / 1000, 120) == answer
    assert bare.divert_time(2, 0xFF & ~(1 << gate), 80 - late_us / 1000, 120) == 0


@pytest.mark.parametrize(("after_us", "answer"), [(0, 0), (1000, 0), (1003, 0), (1004, LATE), (1023, LATE)])
def test_late_in_counts_is_the_time_since_the_belt_was_there(after_us: int, answer: int) -> None:
    """In parts of 1/256 count, which are 4 us here."""
    bare = moving(max_late_us=1000)
    bare.at(NOW + after_us)
    assert bare.divert_count(1, 1, 100, 150) == answer


@pytest.mark.parametrize(("parts", "answer"), [(256, 0), (257, LATE)])
def test_late_by_the_smallest_part_of_a_count_on_a_slow_belt(parts: int, answer: int) -> None:
    """A part of a count takes 391 us here, and 300 are allowed."""
    bare = armed(replace(SPACED, opening_delay_us=round(parts * 100_000 / 256) + 5, max_hold_us=10**6), max_late_us=300)
    bare.counts(range(100_000, 2_000_001, 100_000))
    bare.tick(2_000_000)
    assert bare.divert_count(1, 1, 21, 22) == answer


@pytest.mark.parametrize("far_ms", [100, 10_000, 600_000])
@pytest.mark.parametrize(("over_us", "answer"), [(0, 0), (1, Refusal.FAR.value)])
def test_far_is_a_time_to_the_microsecond(far_ms: int, over_us: int, answer: int) -> None:
    bare = armed(far_ms=far_ms)
    start_us = 1000 + far_ms * 1000 + over_us
    assert bare.answer(wire.Divert(1, 1, 0, start_us, start_us + 9000), wire.Answer).answer == answer


@pytest.mark.parametrize(("over", "answer"), [(0, 0), (1, Refusal.FAR.value)])
def test_far_is_a_distance_to_the_count(over: int, answer: int) -> None:
    bare = moving(far_count=5000)
    assert bare.divert_count(1, 1, 5100 + over, 5150 + over) == answer


@pytest.mark.parametrize(
    ("start", "end", "answer"),
    [
        (-(2**48), 50, BAD),
        (-(2**48) + 1, -(2**48) + 50, LATE),
        (2**48 - 50, 2**48 - 1, Refusal.FAR.value),
        (2**48 - 50, 2**48, BAD),
        (200, 200, BAD),
        (200, 201, 0),
    ],
)
def test_counts_have_48_bits(start: int, end: int, answer: int) -> None:
    assert moving().divert_count(1, 1, start, end) == answer


@pytest.mark.parametrize(("longer", "answer"), [(0, 0), (1, LIMIT)])
def test_no_window_is_longer_than_24_bits_of_counts(longer: int, answer: int) -> None:
    """On a belt that never moved, where nothing else limits it. A window in time may be as long as its gate can hold."""
    assert armed().divert_count(1, 1, 200, 200 + 2**24 + longer) == answer
    long = armed(replace(SPACED, max_hold_us=60_000_000))
    assert long.divert_time(1, 1, 20, 20 + 2**24 / 1000 + 1) == 0


@pytest.mark.parametrize("gates", [1, 7, 8, 9, 31, 32])
def test_a_mask_names_only_configured_gates(gates: int) -> None:
    rig = Rig(replace(CONFIG, gates=(SPACED,) * gates), device=VirtualDevice(gates=32))
    rig.run(1)
    rig.hello()
    assert rig.configure().error == 0
    assert rig.arm() == 0
    assert rig.divert_time(1, 1 << (gates - 1), 50, 60) == 0
    assert rig.divert_time(2, (1 << gates) - 1, 80, 90) == 0
    if gates < 32:
        assert rig.divert_time(3, 1 << gates, 120, 130) == BAD
        assert rig.divert_time(4, 1 << 31, 120, 130) == BAD
        assert rig.divert_time(5, 1 << gates | 1, 120, 130) == BAD
