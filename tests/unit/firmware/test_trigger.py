"""The camera's trigger output: an even pace, each pulse told with its number, its device time and the belt's count."""

import struct
from itertools import pairwise

import pytest

from firmware_bridge import wire
from tests.unit.firmware.rig import SESSION, Rig

TRIGGER = 0x0E


def trigger(rig: Rig, period_us: int, pulse_us: int = 200) -> int:
    acks = [m for m in rig.send_frame(TRIGGER, struct.pack("<II", period_us, pulse_us)) if isinstance(m, wire.Ack)]
    assert [ack.acked_type for ack in acks] == [TRIGGER]
    return acks[0].error


def pulses(rig: Rig) -> list[wire.Event]:
    return [event for event in rig.events if event.kind == wire.EVENT_TRIGGER]


def test_each_pulse_is_told_with_its_number_its_time_and_the_belts_count(rig: Rig) -> None:
    assert trigger(rig, 33_333) == 0
    rig.run(300)
    told = pulses(rig)
    assert [e.id for e in told] == list(range(1, 8))
    assert [e.on for e in told] == [100_000 + 33_333 * n for n in range(7)]
    assert [e.off for e in told] == [e.on * 2 // 1000 for e in told]  # two counts per ms


def test_it_runs_whether_armed_or_not_and_stops_when_told() -> None:
    rig = Rig()
    rig.run(1)
    rig.hello()
    assert trigger(rig, 10_000) == 0
    rig.run(45.5)
    assert trigger(rig, 0, 0) == 0
    rig.run(200)
    assert [e.on for e in pulses(rig)] == [1_000 + 10_000 * n for n in range(5)]
    assert trigger(rig, 20_000) == 0
    rig.run(215)
    assert [e.id for e in pulses(rig)][5:] == [6]


@pytest.mark.parametrize(
    ("period_us", "pulse_us", "error"),
    [
        (999, 100, 1),
        (1_000, 999, 0),
        (1_000, 1_000, 1),
        (10_000_000, 10, 0),
        (10_000_001, 10, 1),
        (10_000, 9, 1),
        (0, 0, 0),
    ],
)
def test_a_pace_no_camera_could_keep_is_refused(rig: Rig, period_us: int, pulse_us: int, error: int) -> None:
    assert trigger(rig, period_us, pulse_us) == error


def test_a_refused_pace_leaves_the_old_one(rig: Rig) -> None:
    trigger(rig, 10_000)
    assert trigger(rig, 10_000, 9) == 1
    rig.run(149)
    assert len(pulses(rig)) == 5


def test_the_message_has_one_length_only(rig: Rig) -> None:
    assert [m.error for m in rig.send_frame(TRIGGER, bytes(7)) if isinstance(m, wire.Ack)] == [1]
    assert [m.error for m in rig.send_frame(TRIGGER + 1, b"") if isinstance(m, wire.Ack)] == [7]


def test_a_new_session_begins_without_a_trigger(rig: Rig) -> None:
    trigger(rig, 10_000)
    rig.run(120)
    rig.alive = False
    rig.send(wire.Stop())
    rig.hello(SESSION + 1)
    rig.events.clear()
    rig.run(300)
    assert pulses(rig) == []


def test_pulses_no_one_takes_never_displace_the_report_of_a_command() -> None:
    rig = Rig().ready()
    rig.acknowledging = False
    assert rig.divert_time(1, 1, 900, 950) == 0
    trigger(rig, 1_000)
    rig.run(800)  # 700 pulses, a ring of 512
    status = rig.lease()
    assert status.events_lost == 0
    rig.acknowledging = True
    rig.run(1000)
    assert rig.fired() == [1]
    numbers = [e.id for e in pulses(rig)]
    assert numbers == sorted(set(numbers))
    assert max(b - a for a, b in pairwise(numbers)) > 100, "the numbers show the hole"


def level(rig: Rig) -> int:
    return int(rig.device._c.sc_trigger(rig.device._core))


def test_the_output_is_high_for_the_pulse_and_keeps_its_pace_after_a_stall(rig: Rig) -> None:
    trigger(rig, 10_000, 2_000)
    rig.run(111.9, step_ms=0.1)
    assert level(rig) == 1
    rig.run(112.0, step_ms=0.1)
    assert level(rig) == 0
    rig.device._c.sc_tick(rig.device._core, 157_500)  # the loop slept through four pulses
    rig.now_ns = rig.device.clock.boot_ns + 157_500_000
    rig.run(165)
    assert [e.on for e in pulses(rig)] == [100_000, 110_000, 157_500, 160_000]


def test_a_new_pace_ends_the_pulse_that_is_on(rig: Rig) -> None:
    trigger(rig, 10_000, 5_000)
    rig.run(101)
    assert level(rig) == 1
    trigger(rig, 0, 0)
    assert level(rig) == 0
