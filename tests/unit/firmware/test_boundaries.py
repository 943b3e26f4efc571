"""What small changes to the core would break unnoticed elsewhere: exact limits, cadences, counters, and what HALs are told."""

from dataclasses import replace
from itertools import pairwise

import pytest

from firmware_bridge import wire
from firmware_bridge.codec import FrameReader
from firmware_bridge.messages import DeviceConfig, Refusal
from firmware_bridge.virtual_device import Pin, VirtualDevice
from tests.unit.firmware.rig import CONFIG, SESSION, Rig, config_with

NEVER = 2**64 - 1


def next_due_us(rig: Rig) -> int:
    return int(rig.device._c.sc_next_due_us(rig.device._core))


def next_edge_us(rig: Rig) -> int:
    return int(rig.device._c.sc_next_edge_us(rig.device._core))


def greeted(config: DeviceConfig = CONFIG) -> Rig:
    rig = Rig(config)
    rig.run(1)
    rig.hello()
    return rig


# --- the largest and smallest values that are still sound

WITHIN = [
    replace(CONFIG, lease_ms=100),
    replace(CONFIG, lease_ms=1000),
    replace(CONFIG, max_late_us=100_000),
    replace(CONFIG, max_late_us=0),
    replace(CONFIG, far_ms=600_000),
    replace(CONFIG, far_count=1 << 24),
    config_with(7, max_hold_us=60_000_000, min_hold_us=60_000_000, min_gap_us=60_000_000),
    config_with(7, opening_delay_us=1_000_000, closing_delay_us=1_000_000),
    config_with(7, min_gap_us=60_000_000, min_hold_us=0, max_hold_us=1),
    config_with(7, max_duty_permille=1),
]


@pytest.mark.parametrize("config", WITHIN)
def test_the_last_sound_configuration_is_taken(config: DeviceConfig) -> None:
    rig = greeted(config)
    reply = rig.configure()
    assert (reply.error, reply.gate) == (0, 255)
    assert rig.arm() == 0


def test_a_configuration_without_sound_gates_leaves_none_to_command() -> None:
    rig = greeted()
    rig.configure()
    rig.config = replace(CONFIG, lease_ms=5)
    assert rig.configure().error == 1
    assert rig.lease().config_crc == 0
    assert rig.arm() == 2


@pytest.mark.parametrize(("start", "answer"), [(0, Refusal.LATE.value), (-1, Refusal.BAD_ARGUMENT.value)])
def test_time_begins_at_zero(rig: Rig, start: int, answer: int) -> None:
    assert rig.answer(wire.Divert(1, 1, wire.MODE_TIME, start, 50_000), wire.Answer).answer == answer


def test_a_long_window_is_judged_by_its_length_not_by_where_it_lies(rig: Rig) -> None:
    now_us = rig.device.clock.device_us(rig.now_ns)
    rig.device._c.sc_encoder(rig.device._core, now_us, 9_000_000)
    assert rig.divert_count(1, 1, 9_000_500, 9_000_600) == 0


# --- counters and what is told


def test_the_status_counts_what_the_queue_can_still_take(rig: Rig) -> None:
    free = [rig.lease().queue_free]
    for n in range(1, 4):
        rig.divert_time(n, 1 << n, 400, 460)
        free.append(rig.lease().queue_free)
    assert free == [256, 255, 254, 253]


def test_frames_are_numbered_in_order(rig: Rig) -> None:
    reader = FrameReader()
    numbers = []
    for _ in range(300):
        rig.device.receive(rig.frame(wire.Sync(1)), rig.now_ns)
        reader.feed(rig.device.transmit())
        while (frame := reader.next_frame()) is not None:
            numbers.append(frame.seq)
    assert [(b - a) % 256 for a, b in pairwise(numbers)] == [1] * (len(numbers) - 1)


def test_an_edge_carries_the_count_of_its_moment(rig: Rig) -> None:
    rig.divert_time(1, 0b100, 200, 260)
    rig.run(300)
    assert [(edge.gate, edge.at_us, edge.count) for edge in rig.edges] == [(2, 188_000, 376), (2, 252_000, 504)]


def test_what_was_missed_is_told_with_the_moment_and_the_count_it_was_given_up_at(rig: Rig) -> None:
    rig.divert_time(1, 1, 400, 460)
    rig.run(150)
    rig.send(wire.Cancel(1))
    rig.run(160)
    assert [(e.on, e.off) for e in rig.events if e.kind == wire.EVENT_MISSED] == [(150_000, 300)]


def test_a_command_that_is_still_queued_is_never_taken_twice(rig: Rig) -> None:
    start = rig.now_ms + 9000
    assert rig.divert_time(1, 1, start, start + 60) == 0
    for n in range(2100):
        rig.divert_time(100 + n, 0, 1, 2)
    assert rig.divert_time(1, 1, start, start + 60) == 0
    assert rig.divert_time(1, 2, start, start + 60) == Refusal.ID_CONFLICT.value
    assert rig.lease().queue_free == 255
    rig.run(start + 200, step_ms=50)
    assert rig.fired() == [1]


def test_the_newest_1024_answers_are_remembered_and_older_ones_are_not(rig: Rig) -> None:
    for n in range(1, 1026):
        assert rig.divert_time(n, 0, 1, 2) == Refusal.BAD_ARGUMENT.value
    assert rig.divert_time(2, 0, 1, 3) == Refusal.ID_CONFLICT.value
    assert rig.divert_time(1, 0, 1, 3) == Refusal.BAD_ARGUMENT.value  # forgotten: judged anew


def test_why_it_was_reset_is_told_twice(rig: Rig) -> None:
    rig.alive = False
    rig.device.reboot(rig.now_ns)
    rig.run(rig.now_ms + 1)
    rig.events.clear()
    assert rig.hello().reset_cause == 3
    rig.run(rig.now_ms + 20)
    assert [(e.kind, e.extra) for e in rig.events] == [(wire.EVENT_BOOT, 3)]


def test_a_stranger_who_wants_an_armed_device_is_counted_and_a_new_owner_starts_its_lease_at_zero(rig: Rig) -> None:
    before = rig.lease().foreign
    hello = wire.encode(wire.Hello(wire.VERSION, SESSION + 1, 1))
    assert rig.send_frame(wire.type_of(wire.Hello), hello, session=0) == []
    assert rig.lease().foreign == before + 1
    rig.alive = False
    rig.send(wire.Stop())
    rig.hello(SESSION + 1)
    assert rig.arm() == 0
    assert [m.counter for m in rig.send(wire.Stop()) if isinstance(m, wire.Status)] == [0]
    rig.lease_counter = -1
    assert rig.lease(counter=0).counter == 0


def test_the_permit_rises_with_arming() -> None:
    rig = greeted()
    rig.configure()
    assert rig.arm(permit=True) == 0
    assert rig.device.permit
    assert rig.arm(permit=False) == 0
    assert not rig.device.permit


def test_any_gate_may_be_safe_when_high() -> None:
    rig = Rig(config_with(5, safe_level=1)).ready()
    assert rig.device.levels == 0b100000


def test_saying_again_that_the_belt_runs_gives_a_silent_encoder_no_more_time(rig: Rig) -> None:
    rig.device.set_input(Pin.BELT_RUNNING, True, rig.now_ns)
    rig.run(200)
    rig.position_of = lambda ms: 400.0
    for ms in range(250, 700, 50):
        rig.run(ms)
        rig.device.set_input(Pin.BELT_RUNNING, True, rig.now_ns)
    rig.run(720)
    [fault] = [e for e in rig.events if e.kind == wire.EVENT_FAULT]
    assert fault.extra == 1
    assert 450_000 <= fault.on <= 460_000


@pytest.mark.parametrize(("after_us", "faults"), [(1_999, 0), (2_000, 2)])
def test_a_pin_has_two_milliseconds_to_follow(rig: Rig, after_us: int, faults: int) -> None:
    now_us = rig.device.clock.device_us(rig.now_ns)
    rig.device._c.sc_output_differs(rig.device._core, 0, now_us)
    rig.device._c.sc_output_differs(rig.device._core, 0b1, now_us + after_us)
    rig.now_ns += after_us * 1000
    rig.hear()
    assert rig.lease().faults == faults


# --- cadences, and when a HAL must be back


def test_the_encoder_is_told_every_8_ms_and_with_the_moment_of_its_count(rig: Rig) -> None:
    rig.heard.clear()
    rig.run(180, step_ms=1)
    told = [m for m in rig.heard if isinstance(m, wire.Encoder)]
    assert len(told) == 10
    assert {b.at_us - a.at_us for a, b in pairwise(told)} == {8_000}
    assert all(m.belt_count * 500 == m.at_us for m in told)


def test_a_new_session_hears_of_the_encoder_at_once() -> None:
    rig = Rig()
    rig.run(500)
    rig.hello()
    rig.heard.clear()
    rig.run(501)
    assert any(isinstance(m, wire.Encoder) for m in rig.heard)


def test_a_hal_may_sleep_until_the_next_thing_that_is_due() -> None:
    rig = Rig()
    rig.run(1)
    assert (next_due_us(rig), next_edge_us(rig)) == (NEVER, NEVER)
    rig.hello()
    rig.run(1.001)
    assert next_due_us(rig) == 9_000  # the encoder's report
    rig.configure()
    rig.arm()
    rig.run(2)
    assert next_edge_us(rig) == 1_001 + 250_000  # the lease
    assert rig.divert_time(1, 1, 100, 160) == 0
    rig.run(3)
    assert next_edge_us(rig) == 88_000
    rig.acknowledging = False
    rig.send(wire.Cancel(0))
    assert next_due_us(rig) == 0  # an event to tell


def test_a_pulled_cable_voids_half_a_frame_and_what_was_not_sent(rig: Rig) -> None:
    rig.device.receive(rig.frame(wire.Stop())[:9], rig.now_ns)
    rig.device.receive(rig.frame(wire.Sync(1)), rig.now_ns)  # an answer waits
    before = rig.lease().crc_errors
    rig.device.receive(rig.frame(wire.Stop())[:9], rig.now_ns)
    rig.device.receive(rig.frame(wire.Sync(2)), rig.now_ns)
    rig.device._c.sc_link_reset(rig.device._core)
    assert rig.device.transmit() == b""
    rig.device.receive(rig.frame(wire.Stop())[:9], rig.now_ns)
    rig.device._c.sc_link_reset(rig.device._core)
    assert rig.answer(wire.Sync(3), wire.SyncReply).t1_ns == 3
    assert rig.lease().crc_errors == before + 1
    assert rig.device.armed


# --- a belt that changes its speed


@pytest.mark.parametrize("acceleration", [-8.0, -4.0, 4.0, 8.0], ids=lambda a: f"{a:+.0f} counts/ms/s")
def test_edges_keep_to_a_belt_that_speeds_up_or_slows_down(acceleration: float) -> None:
    """At an edge the belt is one lead, at its speed of that moment, before the window: to 0.1 ms at 2 to 4 m/s/s."""
    rig = Rig().ready()
    rate = acceleration / 1000  # counts per ms per ms
    rig.position_of = lambda ms: 200 + 2 * (ms - 100) + rate * (ms - 100) ** 2 / 2 if ms > 100 else ms * 2
    starts = [330, 410]
    for n, start in enumerate(starts, 1):
        assert rig.divert_count(n, 1 << n, start, start + 60) == 0
    rig.run(500)
    for n, start in enumerate(starts, 1):
        ahead = (us / 1000 for us in range(100_000, 500_000))
        moment = next(ms for ms in ahead if rig.position_of(ms) + 12 * (2 + rate * (ms - 100)) >= start)
        [(on, _)] = rig.pulses(n)
        assert on == pytest.approx(moment, abs=0.1)


def test_a_belt_that_slows_suddenly_is_believed_at_once() -> None:
    """No count for longer than the rate allows: the position is not carried on, nothing fires early."""
    rig = Rig().ready()
    rig.position_of = lambda ms: ms * 2.0 if ms < 200 else 400 + (ms - 200) * 0.05
    assert rig.divert_count(1, 1, 430, 460) == 0
    rig.run(195)
    rig.alive = True
    rig.run(1500)
    [(on, _)] = rig.pulses()
    assert on == pytest.approx(200 + 30 / 0.05 - 12, abs=21)  # one count is 20 ms now


def test_duty_is_one_gates_own_and_pulses_across_its_parts_count_whole() -> None:
    rig = Rig(config_with(1, max_duty_permille=50)).ready()  # 500 ms in 10 s, kept in parts of one second
    for n in range(1, 6):
        at = 950 + (n - 1) * 1000  # every pulse lies across the end of a part
        rig.run(at - 50, step_ms=50)
        assert rig.divert_time(n, 0b10, at + 12, at + 108) == 0
        assert rig.divert_time(50 + n, 0b100, at + 12, at + 108) == 0
    rig.run(6000, step_ms=50)
    assert rig.divert_time(10, 0b10, 6112, 6120) == Refusal.GATE_LIMIT.value
    assert rig.divert_time(11, 0b100, 6112, 6208) == 0
    rig.run(10_900, step_ms=50)
    assert rig.divert_time(12, 0b10, 11_000, 11_096) == Refusal.GATE_LIMIT.value
    rig.run(12_100, step_ms=50)
    assert rig.divert_time(13, 0b10, 12_200, 12_260) == 0


def test_more_gates_than_a_build_has_are_not_believed() -> None:
    for asked, has in ((31, 31), (32, 32), (33, 32), (255, 32)):
        rig = Rig(device=VirtualDevice(gates=asked))
        rig.run(1)
        assert rig.hello().gates == has
