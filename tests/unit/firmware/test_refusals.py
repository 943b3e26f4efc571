"""What the device does not take, and what it has taken but could not do."""

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import MissReason, Refusal
from tests.unit.firmware.rig import WITHOUT_ENCODER, Rig, config_with


def late_edge_ms(rig: Rig) -> float:
    return rig.now_ms + 12.0  # a window that starts here has its output edge due now


@pytest.mark.parametrize(("late_us", "answer"), [(-500, 0), (0, 0), (1000, 0), (1001, Refusal.LATE.value)])
def test_late_is_refused_exactly_beyond_max_late(rig: Rig, late_us: int, answer: int) -> None:
    start = late_edge_ms(rig) - late_us / 1000
    assert rig.divert_time(1, 1, start, start + 60) == answer
    rig.run(rig.now_ms + 200)
    assert len(rig.pulses()) == (1 if answer == 0 else 0)


@pytest.mark.parametrize(
    ("late_counts", "answer"), [(0, 0), (1, 0), (5, Refusal.LATE.value), (150, Refusal.LATE.value)]
)
def test_late_in_counts_is_measured_in_time(rig: Rig, late_counts: int, answer: int) -> None:
    start = rig.device.count + 24 - late_counts
    assert rig.divert_count(1, 1, start, start + 120) == answer


def test_one_gate_of_a_mask_too_late_refuses_the_whole_mask() -> None:
    rig = Rig(config_with(1, opening_delay_us=40_000)).ready()
    assert rig.divert_time(1, 0b11, rig.now_ms + 30, rig.now_ms + 90) == Refusal.LATE.value
    assert rig.divert_time(2, 0b01, rig.now_ms + 30, rig.now_ms + 90) == 0
    rig.run(rig.now_ms + 200)
    assert {edge.gate for edge in rig.edges} == {0}


def test_a_command_that_became_late_in_the_queue_is_missed_and_never_fires(rig: Rig) -> None:
    """The device's own loop stalls over the due moment."""
    assert rig.divert_time(1, 1, 200, 260) == 0
    rig.device._c.sc_tick(rig.device._core, 190_500)
    rig.run(600)
    assert rig.edges == []
    assert rig.missed() == {1: MissReason.LATE}


def test_a_command_within_max_late_fires_and_says_how_late(rig: Rig) -> None:
    assert rig.divert_time(1, 1, 200, 260) == 0
    rig.device._c.sc_tick(rig.device._core, 188_700)
    rig.run(600)
    [fired] = [e for e in rig.events if e.kind == wire.EVENT_FIRED]
    assert (fired.on, fired.extra) == (188_700, 700)


def test_far_is_a_time_for_time_windows_and_a_distance_for_count_windows(rig: Rig) -> None:
    now = rig.now_ms
    assert rig.divert_time(1, 1, now + 10_000.0, now + 10_060) == 0
    assert rig.divert_time(2, 2, now + 10_000.1, now + 10_060) == Refusal.FAR.value
    assert rig.divert_count(3, 4, rig.device.count + 20_000, rig.device.count + 20_100) == 0
    assert rig.divert_count(4, 8, rig.device.count + 20_001, rig.device.count + 20_100) == Refusal.FAR.value


BAD = [
    ("no gate", wire.Divert(1, 0, 0, 200_000, 260_000)),
    ("a gate beyond the configured", wire.Divert(1, 1 << 8, 0, 200_000, 260_000)),
    ("a high gate", wire.Divert(1, 1 << 31 | 1, 0, 200_000, 260_000)),
    ("an unknown mode", wire.Divert(1, 1, 2, 200_000, 260_000)),
    ("an empty window", wire.Divert(1, 1, 0, 200_000, 200_000)),
    ("a window backwards", wire.Divert(1, 1, 0, 260_000, 200_000)),
    ("a time before boot", wire.Divert(1, 1, 0, -5, 260_000)),
    ("id zero", wire.Divert(0, 1, 0, 200_000, 260_000)),
    ("a count beyond reason", wire.Divert(1, 1, 1, -(1 << 60), 260)),
    ("an end beyond reason", wire.Divert(1, 1, 1, 300, (1 << 63) - 1)),
]


@pytest.mark.parametrize("message", [m for _, m in BAD], ids=[name for name, _ in BAD])
def test_a_bad_argument_is_refused_and_changes_nothing(rig: Rig, message: wire.ToDevice) -> None:
    assert rig.answer(message, wire.Answer).answer == Refusal.BAD_ARGUMENT.value
    rig.run(400)
    assert rig.edges == []


@pytest.mark.parametrize("start", [(1 << 63) - 2, 1 << 62, 1 << 40])
def test_times_near_the_end_of_the_clock_are_far_not_wrapped(rig: Rig, start: int) -> None:
    assert rig.answer(wire.Divert(1, 1, 0, start, (1 << 63) - 1), wire.Answer).answer == Refusal.FAR.value


def test_count_windows_need_an_encoder() -> None:
    rig = Rig(WITHOUT_ENCODER).ready()
    assert rig.divert_count(1, 1, 500, 600) == Refusal.BAD_ARGUMENT.value
    assert rig.divert_time(2, 1, 250, 300) == 0


def test_a_full_queue_refuses_and_what_it_holds_still_fires(rig: Rig) -> None:
    depth = 256
    # Windows of eight gates, side by side, far enough apart for the minimum gap.
    answers = [rig.divert_time(n + 1, 1 << n % 8, 300 + n // 8 * 30, 320 + n // 8 * 30) for n in range(depth + 3)]
    assert answers == [0] * depth + [Refusal.FULL.value] * 3
    rig.run(1500)
    assert sorted(rig.fired()) == list(range(1, depth + 1))
    assert rig.divert_time(1000, 1, 1600, 1660) == 0


def test_nothing_is_taken_before_arming() -> None:
    rig = Rig()
    rig.run(1)
    rig.hello()
    rig.configure()
    rig.run(50)
    assert rig.divert_time(1, 1, 200, 260) == Refusal.NOT_ARMED.value


def test_the_same_id_with_other_arguments_conflicts_and_the_first_stands(rig: Rig) -> None:
    assert rig.divert_time(7, 1, 200, 260) == 0
    assert rig.divert_time(7, 1, 200, 261) == Refusal.ID_CONFLICT.value
    assert rig.divert_time(7, 2, 200, 260) == Refusal.ID_CONFLICT.value
    assert rig.divert_time(7, 1, 200, 260) == 0
    rig.run(400)
    assert rig.pulses(0) == [(188.0, 252.0)]
    assert rig.pulses(1) == []


def test_a_refusal_is_remembered_too(rig: Rig) -> None:
    """A duplicate of a refused frame must not be taken after the host was told no."""
    far = rig.now_ms + 10_050
    assert rig.divert_time(1, 1, far, far + 60) == Refusal.FAR.value
    rig.run(rig.now_ms + 100)
    assert rig.divert_time(1, 1, far, far + 60) == Refusal.FAR.value


def test_ids_are_remembered_at_least_as_long_as_announced_and_queued_ones_always(rig: Rig) -> None:
    assert rig.divert_time(1, 1, rig.now_ms + 9000, rig.now_ms + 9060) == 0
    start = rig.now_ms + 9000
    for n in range(1100):
        rig.divert_time(100 + n, 0, 1, 2)
    assert rig.divert_time(1, 1, start, start + 60) == 0
    rig.run(start + 200, step_ms=50)
    assert rig.pulses() == [(start - 12, start + 52)]
    assert rig.fired() == [1]


# --- gate limits


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ((200, 260), (270, 330), 0),  # gap of outputs: 258 - 252 = 6 ms
        ((200, 260), (268, 330), 0),  # exactly the minimum gap
        ((200, 260), (267, 330), Refusal.GATE_LIMIT.value),
        ((200, 260), (264, 330), 0),  # they join
        ((300, 360), (200, 292), 0),  # the earlier one comes later
        ((300, 360), (200, 293), Refusal.GATE_LIMIT.value),
        ((200, 300), (300, 395), 0),  # union just under maximum hold (200 ms)
        ((200, 300), (300, 397), Refusal.GATE_LIMIT.value),
    ],
)
@pytest.mark.parametrize("count_mode", [False, True])
def test_the_union_of_windows_keeps_hold_and_gap(
    rig: Rig, first: tuple[int, int], second: tuple[int, int], answer: int, count_mode: bool
) -> None:
    def send(n: int, window: tuple[int, int]) -> int:
        # At 2 counts/ms a window in ms is twice the counts.
        return rig.divert_count(n, 1, 2 * window[0], 2 * window[1]) if count_mode else rig.divert_time(n, 1, *window)

    assert send(1, first) == 0
    assert send(2, second) == answer
    rig.run(600)
    assert sorted(rig.fired()) == ([1, 2] if answer == 0 else [1])


@pytest.mark.parametrize(("width_ms", "answer"), [(196, 0), (196.001, 4), (1.9, 0), (1.899, 4)])
def test_a_single_window_keeps_minimum_and_maximum_hold(width_ms: float, answer: int) -> None:
    rig = Rig(config_with(0, opening_delay_us=8_000, closing_delay_us=4_000, min_hold_us=5_900)).ready()
    assert rig.divert_time(1, 1, 200, 200 + width_ms) == answer


def test_a_refused_gate_refuses_the_whole_mask(rig: Rig) -> None:
    assert rig.divert_time(1, 0b01, 200, 260) == 0
    assert rig.divert_time(2, 0b11, 267, 330) == Refusal.GATE_LIMIT.value
    rig.run(500)
    assert {edge.gate for edge in rig.edges} == {0}


def test_the_gap_after_a_pulse_that_has_ended_counts_too(rig: Rig) -> None:
    assert rig.divert_time(1, 1, 200, 260) == 0
    rig.run(253)
    assert rig.divert_time(2, 1, 267, 320) == Refusal.GATE_LIMIT.value
    assert rig.divert_time(3, 1, 268, 320) == 0


def test_a_gate_that_is_on_counts_its_whole_pulse_towards_maximum_hold(rig: Rig) -> None:
    assert rig.divert_time(1, 1, 200, 250) == 0
    assert rig.divert_time(2, 1, 240, 340) == 0
    rig.run(260)  # the first command has ended, the pulse has not
    assert rig.divert_time(3, 1, 330, 397) == Refusal.GATE_LIMIT.value
    assert rig.divert_time(4, 1, 330, 396) == 0
    rig.run(500)
    assert rig.pulses() == [(188.0, 388.0)]


def test_duty_over_ten_seconds_is_kept() -> None:
    rig = Rig(config_with(0, max_duty_permille=50)).ready()  # 500 ms in 10 s
    taken = [rig.divert_time(n, 1, 200 + n * 300, 296 + n * 300) for n in range(1, 9)]  # 100 ms each
    assert taken == [0] * 5 + [Refusal.GATE_LIMIT.value] * 3
    rig.run(5000, step_ms=50)
    assert rig.divert_time(20, 1, 5100, 5196) == Refusal.GATE_LIMIT.value
    rig.run(13_000, step_ms=50)
    assert rig.divert_time(21, 1, 13_100, 13_196) == 0


def test_time_and_count_windows_on_one_gate_join_too(rig: Rig) -> None:
    assert rig.divert_time(1, 1, 200, 300) == 0
    assert rig.divert_count(2, 1, 2 * 290, 2 * 397) == Refusal.GATE_LIMIT.value
    assert rig.divert_count(3, 1, 2 * 290, 2 * 380) == 0
    assert rig.divert_time(4, 1, 370, 400) == Refusal.GATE_LIMIT.value
    rig.run(600)
    assert rig.pulses() == [pytest.approx((188.0, 372.0), abs=0.01)]
