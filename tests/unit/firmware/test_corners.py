"""Rare ways through the core that no story of the other files takes."""

from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import DisarmReason, MissReason
from firmware_bridge.virtual_device import Pin, VirtualDevice
from tests.unit.firmware.rig import CONFIG, MS, SESSION, WITHOUT_ENCODER, Rig, config_with

ERROR_ARGUMENT, ERROR_CRC, ERROR_ARMED = 1, 2, 3


def test_a_hello_without_a_session_number_is_not_answered() -> None:
    rig = Rig()
    rig.run(1)
    assert rig.send(wire.Hello(wire.VERSION, 0, 7)) == []


def test_strangers_are_greeted_at_most_every_50_ms() -> None:
    rig = Rig()
    rig.run(1)
    answered = []
    for ms in (1, 20, 49, 60, 105, 120):
        rig.run(ms)
        answered.append(len(rig.send_frame(wire.type_of(wire.Sync), bytes(8), session=0xBAD)))
    assert answered == [1, 0, 0, 1, 0, 1]


def test_hello_inside_a_session_is_void_and_a_hello_of_wrong_length_is_foreign(rig: Rig) -> None:
    hello = wire.encode(wire.Hello(wire.VERSION, 0x77, 1))
    before = rig.lease().foreign
    assert rig.send_frame(wire.type_of(wire.Hello), hello) == []
    assert rig.send_frame(wire.type_of(wire.Hello), hello + b"x", session=0) == []
    assert rig.lease().foreign == before + 1
    assert rig.device.armed


def test_a_frame_without_a_session_is_foreign_to_a_device_that_has_one(rig: Rig) -> None:
    before = rig.lease().foreign
    assert rig.send_frame(wire.type_of(wire.Stop), b"", session=0) == []
    assert rig.lease().foreign == before + 1


def test_disarming_twice_says_so_once_and_faults_are_not_cleared_while_armed(rig: Rig) -> None:
    assert rig.answer(wire.ClearFault(), wire.Ack).error == ERROR_ARMED
    rig.send(wire.Disarm())
    rig.send(wire.Disarm())
    rig.run(rig.now_ms + 20)
    assert [e.extra for e in rig.events if e.kind == wire.EVENT_DISARMED] == [DisarmReason.HOST.value]


def test_inputs_may_repeat_themselves_and_an_e_stop_of_a_disarmed_device_only_blocks_arming(rig: Rig) -> None:
    rig.send(wire.Disarm())
    for level in (True, True, False):
        rig.device.set_input(Pin.BELT_RUNNING, level, rig.now_ns)
        rig.device.set_input(Pin.ESTOP, level, rig.now_ns)
        assert rig.arm() == (6 if level else 0)
    rig.run(rig.now_ms + 20)
    assert [e.id for e in rig.events if e.kind == wire.EVENT_INPUT] == [1, 0] * 3


def test_the_belt_may_be_said_to_run_long_before_its_first_count(rig: Rig) -> None:
    rig.position_of = lambda ms: 200.0
    rig.run(400)
    rig.device.set_input(Pin.BELT_RUNNING, True, rig.now_ns)
    rig.run(600)
    assert rig.device.armed  # 250 ms from now on, not from the last count
    rig.run(700)
    assert [e.extra for e in rig.events if e.kind == wire.EVENT_FAULT] == [1]


def test_a_running_belt_without_an_encoder_is_no_fault() -> None:
    rig = Rig(WITHOUT_ENCODER).ready()
    rig.device.set_input(Pin.BELT_RUNNING, True, rig.now_ns)
    rig.position_of = lambda ms: 200.0
    rig.run(1000)
    assert rig.device.armed


def test_a_device_without_an_encoder_never_speaks_of_one() -> None:
    rig = Rig(WITHOUT_ENCODER, device=VirtualDevice(has_encoder=False)).ready()
    rig.device.set_input(Pin.BELT_RUNNING, True, rig.now_ns)
    rig.run(600)
    assert rig.divert_count(1, 1, 500, 600) == 7
    assert not [m for m in rig.heard if isinstance(m, wire.Encoder)]


def test_gates_the_device_does_not_have_are_refused() -> None:
    rig = Rig()
    rig.run(1)
    rig.hello()
    gate = wire.gate_messages(CONFIG)[0]
    assert rig.answer(gate._replace(gate=8), wire.Ack).error == ERROR_ARGUMENT
    commit = wire.commit_message(CONFIG)
    assert rig.answer(commit._replace(gates=9), wire.ConfigReply).error == ERROR_ARGUMENT
    assert rig.answer(commit._replace(crc=commit.crc ^ 1), wire.ConfigReply).error in (ERROR_ARGUMENT, ERROR_CRC)


def test_a_configuration_under_another_crc_is_refused() -> None:
    rig = Rig()
    rig.run(1)
    rig.hello()
    assert rig.configure().error == 0
    commit = wire.commit_message(CONFIG)
    assert rig.answer(commit._replace(crc=commit.crc ^ 1), wire.ConfigReply) == wire.ConfigReply(0, ERROR_CRC, 255)
    assert rig.arm() == ERROR_CRC


def test_events_beyond_the_ring_are_counted(rig: Rig) -> None:
    """Nothing that was accepted is lost so: these are disarmings nobody acknowledges."""
    rig.acknowledging = False
    for _ in range(600):
        rig.send(wire.Disarm())
        assert rig.arm() == 0
    assert rig.lease().events_lost > 50


def test_edges_a_hal_does_not_take_are_counted(rig: Rig) -> None:
    for n in range(1, 560):
        rig.divert_time(n, 1, rig.now_ms + 20, rig.now_ms + 24)
        rig.now_ns += 20 * MS
        rig.device._c.lockstep_advance(rig.device._core, (rig.now_ns - 20 * MS) // 1000, rig.now_ns // 1000, 0.0, 0.0)
        rig.lease()
    assert rig.device.edges_lost > 50


def test_a_leap_of_the_clock_ends_what_was_running_and_forgets_the_duty() -> None:
    rig = Rig(config_with(0, max_duty_permille=100)).ready()
    assert rig.divert_time(1, 1, 200, 260) == 0
    rig.run(220)
    rig.device._c.sc_tick(rig.device._core, 3_600_000_000)
    assert rig.device.outputs() == 0
    assert not rig.device.armed


def test_dither_back_over_the_edge_waits_for_the_next_count(rig: Rig) -> None:
    rig.position_of = lambda ms: min(ms, 238.2) * 2.0 if ms < 240 else 475.0
    assert rig.divert_count(1, 0b1, 500, 600) == 0
    rig.run(237)
    rig.position_of = lambda ms: 475.0 - (1.0 if ms > 238 else 0.0)
    rig.run(300)
    rig.position_of = lambda ms: 474.0 + max(0.0, ms - 300) * 2.0
    rig.run(600)
    assert len([e for e in rig.edges if e.on]) <= 1
    assert [*rig.fired(), *rig.missed()] == [1]


def test_a_window_in_counts_longer_than_any_belt_is_refused(rig: Rig) -> None:
    assert rig.divert_count(1, 1, 500, 500 + (1 << 24) + 1) == 4


def test_a_cancelled_command_leaves_the_others_of_its_gate(rig: Rig) -> None:
    assert rig.divert_time(1, 1, 300, 340) == 0
    assert rig.divert_time(2, 1, 400, 440) == 0
    rig.send(wire.Cancel(1))
    rig.run(500)
    assert (rig.fired(), rig.missed()) == ([2], {1: MissReason.CANCELLED})


@pytest.mark.parametrize("gates", [1, 32])
def test_any_number_of_gates_from_one_to_all(gates: int) -> None:
    rig = Rig(replace(CONFIG, gates=CONFIG.gates[:1] * gates), device=VirtualDevice(gates=gates)).ready()
    assert rig.session == SESSION
    assert rig.divert_time(1, 1 << (gates - 1), 200, 260) == 0
    rig.run(300)
    assert [(e.gate, e.on) for e in rig.edges] == [(gates - 1, True), (gates - 1, False)]


def test_a_command_that_comes_while_the_belt_has_dithered_back_waits_for_the_next_count() -> None:
    rig = Rig(config_with(0, opening_delay_us=12_250)).ready()  # 24.5 counts of lead: the edge lies between two counts
    rig.position_of = lambda ms: ms * 2.0 if ms < 239 else 475.2
    rig.run(238.0)
    assert rig.device.count == 476
    rig.run(239.5)
    assert rig.device.count == 475
    assert rig.divert_count(1, 0b1, 500, 600) == 0
    rig.run(300)
    assert rig.edges == []
    rig.position_of = lambda ms: 475.2 + max(0.0, ms - 300) * 2.0
    rig.run(600)
    assert [*rig.fired(), *rig.missed()] == [1]
