"""On the microsecond: lease, faults, gaps, duty, and when the core must be called again."""

from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import MissReason
from firmware_bridge.virtual_device import Pin
from tests.unit.firmware.bare import NO_COUNT, PLAIN, SECOND, Bare, alike
from tests.unit.firmware.rig import CONFIG, GATE, SESSION, config_with

# --- lease


@pytest.mark.parametrize("lease_ms", [100, 250, 1000])
def test_the_lease_ends_on_its_microsecond_after_arming_and_after_each_renewal(lease_ms: int) -> None:
    bare = Bare(replace(CONFIG, lease_ms=lease_ms)).armed(1000)
    assert bare.next_edge_us == 1000 + lease_ms * 1000
    bare.tick(1000 + lease_ms * 1000 - 1, renewing=False)
    assert bare.device.armed
    bare.lease()
    renewed_us = bare.now_us + lease_ms * 1000
    assert bare.next_edge_us == renewed_us
    bare.tick(renewed_us - 1, renewing=False)
    assert bare.device.armed
    bare.tick(renewed_us, renewing=False)
    assert (bare.device.armed, bare.device.disarm_reason) == (False, 4)


def test_arming_again_renews_no_lease() -> None:
    bare = Bare().armed(1000)
    bare.at(101_000)
    assert bare.arm() == 0
    bare.tick(251_000, renewing=False)
    assert not bare.device.armed


@pytest.mark.parametrize(
    ("counter", "advances"), [(5, False), (6, True), (4, False), (5 + 2**31 - 1, True), (5 + 2**31, False), (0, False)]
)
def test_a_counter_has_advanced_while_it_is_less_than_half_its_range_ahead(counter: int, advances: bool) -> None:
    bare = Bare().armed(1000)
    bare.lease(counter=5)
    before = bare.next_edge_us
    bare.at(2000).lease(counter=counter)
    assert bare.next_edge_us == before + (1000 if advances else 0)


def test_any_counter_is_an_advance_for_a_new_session() -> None:
    bare = Bare().armed(1000)
    bare.lease(counter=2**31 + 9)
    bare.send(wire.Disarm())
    bare.hello(SESSION + 1)
    assert bare.arm() == 0
    assert bare.at(9000).lease(counter=0, permit=True).permit
    assert bare.next_edge_us == 9000 + 250_000


def test_no_crc_arms_a_device_that_holds_no_configuration() -> None:
    bare = Bare()
    bare.at(1000).hello()
    for crc in (0, 1, wire.commit_message(CONFIG).crc):
        assert bare.answer(wire.Arm(crc, True), wire.Ack).error == 2
    assert not bare.device.armed


@pytest.mark.parametrize("gates", [1, 3, 7])
def test_the_level_of_a_gate_that_is_not_configured_stays_low(gates: int) -> None:
    every = alike(replace(PLAIN, safe_level=1))
    bare = Bare(every)
    bare.at(1000).hello()
    for gate in wire.gate_messages(every):
        assert bare.answer(gate, wire.Ack).error == 0
    assert bare.answer(wire.commit_message(replace(every, gates=every.gates[:gates])), wire.ConfigReply).error == 0
    assert bare.device.levels == (1 << gates) - 1


def test_a_refused_number_of_gates_leaves_none_whose_level_could_be_driven() -> None:
    bare = Bare(alike(replace(PLAIN, safe_level=1))).armed(1000)
    bare.send(wire.Stop())
    assert bare.device.levels == 0xFF
    for gates in (9, 33, 255):
        commit = wire.commit_message(CONFIG)._replace(gates=gates)
        assert bare.answer(commit, wire.ConfigReply) == wire.ConfigReply(0, 1, 255)
        assert (bare.device.levels, bare._c.sc_configured(bare._core)) == (0, 0)


def test_disarming_is_told_with_its_moment_its_count_and_a_status_of_itself() -> None:
    bare = Bare().armed(1000)
    bare.count(1500, 77)
    said = bare.at(2000).send(wire.Stop())
    statuses = [m for m in said if isinstance(m, wire.Status)]
    assert [(s.armed, s.permit, s.disarm_reason, s.now_us, s.belt_count) for s in statuses] == [
        (False, False, 3, 2000, 77)
    ]
    bare.tick(2000)
    assert [(e.id, e.on, e.off, e.extra) for e in bare.told(wire.EVENT_DISARMED)] == [(0, 2000, 77, 3)]
    assert bare.arm() == 0
    assert bare.lease().disarm_reason == 0


# --- faults


@pytest.mark.parametrize(("belt_says_us", "count_us"), [(5_000, 90_000), (90_000, 5_000), (90_000, 90_000)])
def test_an_encoder_may_be_silent_for_250_ms_of_a_running_belt(belt_says_us: int, count_us: int) -> None:
    bare = Bare().armed(1000)
    for us in sorted({belt_says_us, count_us}):
        bare.at(us)
        if us == count_us:
            bare.count(us, 1)
        if us == belt_says_us:
            bare.device.set_input(Pin.BELT_RUNNING, True, bare.now_ns)
    bare.tick(340_000)
    assert bare.device.armed
    bare.tick(340_001)
    bare.tick(340_002)
    assert [(e.id, e.on, e.off, e.extra) for e in bare.told(wire.EVENT_FAULT)] == [(0, 340_001, 1, 1)]
    assert (bare.device.disarm_reason, bare.lease().faults) == (6, 1)


def test_a_belt_that_stops_and_starts_again_gives_its_encoder_new_time() -> None:
    bare = Bare().armed(1000)
    bare.device.set_input(Pin.BELT_RUNNING, True, bare.now_ns)
    bare.at(200_000).device.set_input(Pin.BELT_RUNNING, False, bare.now_ns)
    bare.tick(600_000 - 400_000)
    for us in range(300_000, 700_000, 100_000):
        bare.tick(us)
    bare.device.set_input(Pin.BELT_RUNNING, True, bare.now_ns)
    bare.tick(800_000)
    bare.tick(850_000)
    assert bare.device.armed
    bare.tick(850_001)
    assert not bare.device.armed


@pytest.mark.parametrize("gate", [0, 1, 5, 7])
def test_a_stuck_output_is_a_fault_after_two_milliseconds_and_only_once(gate: int) -> None:
    bare = Bare().armed(1000)

    def differs(us: int, gates: int) -> None:
        bare.at(us)
        bare._c.sc_output_differs(bare._core, gates, us)

    differs(5000, 0)
    differs(6999, 1 << gate | 1 << 7)
    assert bare.lease().faults == 0
    differs(7000, 1 << gate | 1 << 7)
    assert bare.lease().faults == 2
    for us in (7001, 9500, 20_000):
        differs(us, 1 << gate)
    bare.tick(20_000)
    assert [(e.id, e.on, e.extra) for e in bare.told(wire.EVENT_FAULT)] == [(gate, 7000, 2)]
    assert bare.answer(wire.ClearFault(), wire.Ack).error == 0
    differs(21_999, 1 << gate)  # from the clearing, not from the first time
    assert bare.lease().faults == 0
    differs(22_000, 1 << gate)
    assert bare.lease().faults == 2


def test_two_faults_stand_side_by_side_until_both_are_cleared() -> None:
    bare = Bare().armed(1000)
    bare.device.set_input(Pin.BELT_RUNNING, True, bare.now_ns)
    bare.tick(251_001)
    bare._c.sc_output_differs(bare._core, 0, 252_000)
    bare._c.sc_output_differs(bare._core, 2, 254_000)
    assert bare.lease().faults == 3
    assert bare.answer(wire.ClearFault(), wire.Ack).error == 0
    assert bare.lease().faults == 0


# --- gap and hold at run time


def test_a_gate_that_was_never_on_owes_no_gap() -> None:
    bare = Bare(config_with(0, min_gap_us=60 * SECOND)).armed(1000)
    assert bare.divert_time(1, 1, 20, 60) == 0
    bare.ticks([8_000, 52_000])
    assert bare.edge_us() == [8_000, 52_000]


def test_after_exactly_the_minimum_gap_a_gate_opens_without_waiting() -> None:
    bare = Bare().armed(1000)
    assert bare.divert_time(1, 1, 20, 60) == 0
    assert bare.divert_time(2, 1, 68, 100) == 0
    bare.ticks([8_000, 52_000, 56_000])
    assert bare.edge_us() == [8_000, 52_000, 56_000]
    bare.tick(92_000)
    bare.tick(92_000)
    assert [(e.id, e.on, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [(1, 8_000, 0), (2, 56_000, 0)]


@pytest.mark.parametrize("late_us", [0, 1, 999, 1000])
def test_a_gate_that_owes_its_gap_opens_as_soon_as_it_may(late_us: int) -> None:
    """The pulse before began late in a slow pass and kept its minimum hold, so it ended as much later."""
    bare = Bare(alike(replace(GATE, min_hold_us=10_000))).armed(1000)
    assert bare.divert_time(1, 1, 20, 26) == 0  # output 8 .. 18
    assert bare.divert_time(2, 1, 34, 60) == 0  # output 22 .. 52
    bare.tick(8_000 + late_us)
    bare.tick(18_000 + late_us)
    assert bare.edge_us() == [8_000 + late_us, 18_000 + late_us]
    bare.tick(22_000)
    assert (bare.next_edge_us, bare.wake_count) == (22_000 + late_us if late_us else 52_000, NO_COUNT)
    bare.tick(22_000 + late_us)
    assert bare.edge_us()[2:] == [22_000 + late_us]
    bare.tick(52_000)
    bare.tick(52_000)
    assert [e.extra for e in bare.told(wire.EVENT_FIRED)] == [late_us, late_us]


@pytest.mark.parametrize("slow_pass_us", [0, 300])
def test_a_wait_for_the_gap_that_would_be_too_long_ends_as_missed_when_it_is_too_late(slow_pass_us: int) -> None:
    """A belt that doubles its speed between two pulses: 8 counts were 8 ms and are 4; the gap of 7 ms is 3 ms short."""
    bare = Bare(alike(replace(GATE, opening_delay_us=0, closing_delay_us=0, min_gap_us=7_000))).armed(1000)
    bare.counts(range(1000, 100_001, 1000))
    bare.tick(100_000)
    assert bare.divert_count(1, 1, 105, 110) == 0
    assert bare.divert_count(2, 1, 118, 130) == 0
    us = 100_000
    for n in range(101, 111):
        us += 1000
        bare.count(us, n).tick(us)
    assert bare.edge_us() == [105_000, 110_000]
    for n in range(111, 119):
        us += 500
        bare.count(us, n)
        if n < 118 or not slow_pass_us:
            bare.tick(us)
    bare.tick(114_000 + slow_pass_us)
    too_late_us = 115_002 if slow_pass_us else 115_001  # to a part of a count, 2 us here
    assert bare.next_edge_us == too_late_us
    bare.tick(115_000)
    assert bare.next_edge_us == too_late_us
    bare.count(115_000, 120).tick(115_001)
    bare.tick(115_001)
    assert bare.missed() == {2: MissReason.LATE}
    assert [e.on for e in bare.told(wire.EVENT_MISSED)] == [115_001]


@pytest.mark.parametrize("hold_us", [20_000, 60 * SECOND])
def test_maximum_hold_ends_a_pulse_on_its_microsecond_when_the_belt_has_stopped(hold_us: int) -> None:
    bare = Bare(alike(replace(PLAIN, max_hold_us=hold_us))).armed(1000)
    bare.counts(range(1000, 100_001, 1000))
    bare.tick(100_000)
    assert bare.divert_count(1, 0b1, 101, 110) == 0
    bare.count(101_000, 101).tick(101_000)
    assert bare.edge_us() == [101_000]
    end_us = 101_000 + hold_us
    bare.tick(end_us - 1)
    assert bare.device.outputs() & 1
    assert bare.next_edge_us == min(end_us, bare.now_us + 250_000)
    bare.tick(end_us)
    bare.tick(end_us)
    assert bare.edge_us() == [101_000, end_us]
    assert bare.missed()[1] is MissReason.BELT_STOPPED
    assert [(e.on, e.off) for e in bare.told(wire.EVENT_MISSED) if e.id == 1] == [(end_us, 101)]


@pytest.mark.parametrize("late_us", [0, 1, 900, 5_000])
def test_a_window_that_begins_on_an_open_gate_is_never_late(late_us: int) -> None:
    bare = Bare(alike()).armed(1000)
    assert bare.divert_time(1, 1, 20, 60) == 0
    assert bare.divert_time(2, 1, 40, 80) == 0
    bare.ticks([20_000, 40_000 + late_us, 60_000, 80_000, 80_001])
    assert bare.edge_us() == [20_000, 80_000]
    assert [(e.id, e.on, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [(1, 20_000, 0), (2, 40_000 + late_us, 0)]


def stopped_and_leapt(to: int) -> Bare:
    """On a belt that stands at count 100, with a window from 104 to 108; then the next that is heard of is this count."""
    bare = Bare(alike()).armed(1000)
    bare.counts(range(1000, 100_001, 1000))
    bare.tick(100_000)
    assert bare.divert_count(1, 1, 104, 108) == 0
    bare.tick(280_000)
    bare.count(300_000, to).tick(300_000)
    return bare


def test_nothing_begins_on_a_belt_whose_rate_is_not_known_again() -> None:
    bare = stopped_and_leapt(104)
    assert bare.device.outputs() == 0
    bare.count(301_000, 105).tick(301_000)  # now it is: a count, 1 ms, since 104
    bare.count(304_000, 108).tick(304_000)
    bare.tick(304_000)
    assert [(e.on, e.off, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [(301_000, 304_000, 1000)]


def test_a_window_that_a_standing_belt_has_leapt_over_is_missed_when_the_belt_moves() -> None:
    bare = stopped_and_leapt(120)
    bare.tick(420_000)
    assert (bare.fired(), bare.missed()) == ([], {})
    bare.count(430_000, 121).tick(430_000)
    bare.tick(430_000)
    assert (bare.fired(), bare.missed(), bare.edges) == ([], {1: MissReason.LATE}, [])


def test_a_late_begin_still_keeps_the_minimum_hold() -> None:
    bare = Bare(config_with(0, min_hold_us=40_000)).armed(1000)
    assert bare.divert_time(1, 1, 20, 56) == 0  # output 8 .. 48
    bare.tick(8_700)
    assert bare.next_edge_us == 48_000
    bare.tick(48_000)
    assert (bare.next_edge_us, bare.wake_count) == (48_700, NO_COUNT)
    bare.tick(48_699)
    assert bare.device.outputs() == 1
    bare.tick(48_700)
    bare.tick(48_700)
    assert [(e.on, e.off, e.extra) for e in bare.told(wire.EVENT_FIRED)] == [(8_700, 48_700, 700)]
