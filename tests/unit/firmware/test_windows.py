"""When a gate turns on and off: windows in time and in counts, joined windows, masks."""

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import MissReason, Refusal
from tests.unit.firmware.rig import Rig, config_with
from tests.unit.firmware.timer_device import TimerDevice


@pytest.fixture(params=[None, TimerDevice], ids=["edges by ticks", "edges by a timer"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(device=request.param() if request.param else None).ready()


def test_a_time_window_is_led_by_opening_and_closing_delay(rig: Rig) -> None:
    assert rig.divert_time(1, 0b1, 200, 260) == 0
    rig.run(300)
    assert rig.pulses() == [(188.0, 252.0)]
    assert rig.fired() == [1]


def test_a_count_window_is_led_through_the_measured_rate(rig: Rig) -> None:
    assert rig.divert_count(1, 0b1, 500, 600) == 0  # at 2 counts/ms: 250 ms .. 300 ms
    rig.run(350)
    [(on, off)] = rig.pulses()
    assert on == pytest.approx(250 - 12, abs=0.01)
    assert off == pytest.approx(300 - 8, abs=0.01)


@pytest.mark.parametrize("counts_per_ms", [0.1, 0.5, 2.0, 7.0, 25.0])
def test_count_windows_hold_at_every_belt_speed(rig: Rig, counts_per_ms: float) -> None:
    rig.position_of = lambda ms: 200 + (ms - 100) * counts_per_ms
    rig.run(600)
    start = rig.device.count + round(100 * counts_per_ms)
    assert rig.divert_count(1, 0b1, start, start + round(60 * counts_per_ms)) == 0
    due_ms = 100 + (start - 200) / counts_per_ms
    rig.run(900)
    [(on, off)] = rig.pulses()
    assert on == pytest.approx(due_ms - 12, abs=0.2)
    assert off == pytest.approx(due_ms + round(60 * counts_per_ms) / counts_per_ms - 8, abs=0.2)
    assert rig.fired() == [1]


def test_overlapping_windows_join_into_one_pulse_and_each_command_reports(rig: Rig) -> None:
    assert rig.divert_time(1, 0b1, 200, 260) == 0
    assert rig.divert_time(2, 0b1, 240, 310) == 0
    rig.run(350)
    assert rig.pulses() == [(188.0, 302.0)]
    assert sorted(rig.fired()) == [1, 2]


def test_a_window_that_comes_while_the_gate_is_on_prolongs_it(rig: Rig) -> None:
    assert rig.divert_time(1, 0b1, 200, 260) == 0
    rig.run(230)
    assert rig.divert_time(2, 0b1, 250, 310) == 0
    rig.run(350)
    assert rig.pulses() == [(188.0, 302.0)]
    assert sorted(rig.fired()) == [1, 2]


def test_windows_that_touch_leave_no_edge_between_them(rig: Rig) -> None:
    # Output off of the first (260 - 8) is output on of the second (264 - 12).
    assert rig.divert_time(1, 0b1, 200, 260) == 0
    assert rig.divert_time(2, 0b1, 264, 300) == 0
    rig.run(350)
    assert rig.pulses() == [(188.0, 292.0)]


def test_a_mask_moves_all_its_gates_and_no_other(rig: Rig) -> None:
    assert rig.divert_time(1, 0b1010_0001, 200, 260) == 0
    rig.run(300)
    assert {edge.gate for edge in rig.edges} == {0, 5, 7}
    assert all(rig.pulses(gate) == [(188.0, 252.0)] for gate in (0, 5, 7))
    assert rig.fired() == [1]


def test_gates_of_one_mask_keep_their_own_delays() -> None:
    rig = Rig(config_with(1, opening_delay_us=20_000, closing_delay_us=2_000)).ready()
    assert rig.divert_time(1, 0b11, 200, 260) == 0
    rig.run(300)
    assert rig.pulses(0) == [(188.0, 252.0)]
    assert rig.pulses(1) == [(180.0, 258.0)]
    [event] = [e for e in rig.events if e.kind == wire.EVENT_FIRED]
    assert (event.on, event.off) == (180_000, 258_000)  # first gate on, last gate off


@pytest.mark.parametrize("count_mode", [False, True])
def test_a_command_fires_once_however_often_it_is_sent(rig: Rig, count_mode: bool) -> None:
    def send() -> int:
        return rig.divert_count(1, 1, 500, 600) if count_mode else rig.divert_time(1, 1, 250, 300)

    answers = []
    while rig.now_ms < 500:
        answers.append(send())
        rig.run(rig.now_ms + 20)
    assert set(answers) == {0}
    assert len(rig.pulses()) == 1
    assert rig.fired() == [1]


def test_fired_reports_the_edges_and_no_error_in_lock_step(rig: Rig) -> None:
    rig.divert_time(1, 0b1, 200, 260)
    rig.divert_count(2, 0b10, 500, 600)
    rig.run(400)
    reports = {e.id: e for e in rig.events if e.kind == wire.EVENT_FIRED}
    assert (reports[1].on, reports[1].off, reports[1].extra) == (188_000, 252_000, 0)
    [on, off] = [edge for edge in rig.edges if edge.gate == 1]
    assert (reports[2].on, reports[2].off, reports[2].extra) == (on.at_us, off.at_us, 0)


# --- belts that change their speed


def test_a_belt_that_speeds_up_still_meets_its_item(rig: Rig) -> None:
    """From 0.5 to 1.5 m/s: the item is where the counts say, not where the old speed said."""

    def position(ms: float) -> float:
        t = max(0.0, ms - 150)
        return 150.0 + min(t, 500) * 1.0 + min(t, 500) ** 2 * 0.002 + max(0.0, t - 500) * 3.0

    rig.position_of = position
    rig.run(160)
    assert rig.divert_count(1, 0b1, 700, 780) == 0
    rig.run(1000)
    [(on, off)] = rig.pulses()

    def at(count: int) -> float:
        return next(ms / 100 for ms in range(10_000, 100_000) if position(ms / 100) >= count)

    assert on + 12 == pytest.approx(at(700), abs=0.4)
    assert off + 8 == pytest.approx(at(780), abs=0.4)
    assert rig.fired() == [1]


def test_a_standing_belt_expires_nothing_and_fires_nothing(rig: Rig) -> None:
    rig.position_of = lambda ms: min(ms, 200.0) * 2.0
    assert rig.divert_count(1, 0b1, 600, 700) == 0
    rig.run(20_000, step_ms=50)
    assert rig.edges == []
    assert rig.missed() == {}
    rig.position_of = lambda ms: 400 + min((ms - 20_000) ** 2 * 0.001, 1000 + (ms - 21_000) * 2.0)
    rig.run(21_000)
    assert rig.fired() == [1]
    assert len(rig.pulses()) == 1


def test_a_gate_open_when_the_belt_stops_closes_at_maximum_hold_and_stays_closed(rig: Rig) -> None:
    rig.position_of = lambda ms: min(ms, 260.0) * 2.0
    assert rig.divert_count(1, 0b1, 500, 600) == 0
    rig.run(3000)
    [(on, off)] = rig.pulses()
    assert off == pytest.approx(on + 200, abs=0.001)
    assert rig.missed() == {1: MissReason.BELT_STOPPED}
    rig.position_of = lambda ms: 520 + max(0.0, ms - 3000) * 2.0
    rig.run(4000)
    assert len(rig.pulses()) == 1


def test_a_belt_that_restarts_within_maximum_hold_finishes_its_window(rig: Rig) -> None:
    rig.position_of = lambda ms: ms * 2.0 if ms < 260 else 520 + max(0.0, ms - 330) * 2.0
    assert rig.divert_count(1, 0b1, 500, 600) == 0
    rig.run(600)
    assert rig.fired() == [1]
    [(_, off)] = rig.pulses()
    assert off + 8 == pytest.approx(370, abs=1.0)


def test_dither_on_the_spot_is_no_motion_and_never_fires(rig: Rig) -> None:
    rig.position_of = lambda ms: min(ms, 243.0) * 2.0 if ms < 300 else 486 + 2.0 * (int(ms * 7) % 2)
    assert rig.divert_count(1, 0b1, 490, 600) == 0
    rig.run(240)
    before = list(rig.edges)
    rig.run(5000)
    assert len(rig.pulses()) <= 1
    assert len([edge for edge in rig.edges if edge.on]) <= 1
    assert before == rig.edges[: len(before)]


def test_a_belt_that_runs_back_and_returns_fires_each_command_once(rig: Rig) -> None:
    rig.position_of = lambda ms: 400 - abs(ms - 200) * 2 if ms < 300 else 200 + (ms - 300) * 2.0
    assert rig.divert_count(1, 0b1, 390, 480) in (0, Refusal.LATE.value)
    assert rig.divert_count(2, 0b10, 700, 780) == 0
    rig.run(800)
    assert len([edge for edge in rig.edges if edge.on and edge.gate == 0]) <= 1
    assert len(rig.pulses(1)) == 1
    assert 2 in rig.fired()


@pytest.mark.parametrize("stands_for_ms", [5, 60, 400])
def test_a_waiting_command_on_a_belt_that_stops_keeps_nobody_awake(stands_for_ms: float) -> None:
    rig = Rig().ready()  # a HAL that sleeps until the core says something is due
    rig.position_of = lambda ms: min(ms, 200.0) * 2.0
    assert rig.divert_count(1, 0b1, 460, 520) == 0
    rig.run(200 + stands_for_ms)
    wake_us = rig.device._c.sc_next_edge_us(rig.device._core)
    assert wake_us - rig.now_ms * 1000 >= 400
