"""Arming, lease, STOP, E-stop, faults, reboot: whatever happens, silence is safe and every command is accounted for."""

from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import DeviceConfig, DisarmReason, MissReason
from firmware_bridge.virtual_device import Pin
from tests.tools.soak_record import HostileClock, RecordedDevice
from tests.unit.firmware.rig import CONFIG, Rig, config_with

ERROR_ARGUMENT, ERROR_CRC, ERROR_ARMED, ERROR_FAULT, ERROR_ESTOP = 1, 2, 3, 5, 6
ERROR_TYPE, ERROR_BEGUN, ERROR_UNKNOWN_ID = 7, 8, 9


def disarms(rig: Rig) -> list[DisarmReason]:
    return [DisarmReason(e.extra) for e in rig.events if e.kind == wire.EVENT_DISARMED]


def queue_three(rig: Rig) -> None:
    """One acting, two waiting."""
    rig.divert_time(1, 0b1, 200, 260)
    rig.divert_time(2, 0b10, 400, 460)
    rig.divert_count(3, 0b100, 1000, 1100)
    rig.run(220)
    assert rig.device.outputs() == 0b1


def assert_all_reported(rig: Rig, reason: DisarmReason) -> None:
    assert disarms(rig) == [reason]
    assert rig.missed() == dict.fromkeys((1, 2, 3), MissReason.DISARMED)
    assert rig.device.outputs() == 0
    assert not rig.device.permit
    rig.run(rig.now_ms + 800)
    assert len(rig.edges) == 2  # nothing of it fires later


def test_it_boots_disarmed_with_outputs_off() -> None:
    rig = Rig()
    rig.run(50)
    assert (rig.device.armed, rig.device.permit, rig.device.outputs()) == (False, False, 0)
    assert rig.device.disarm_reason == DisarmReason.BOOT.value


def test_a_lease_that_runs_out_closes_everything_on_the_microsecond(rig: Rig) -> None:
    queue_three(rig)
    rig.alive = False
    last = rig.now_ms
    rig.divert_time(4, 0b1000, 300, 495)  # a gate that would be open at the end of the lease
    rig.run(last + 400)
    [off] = [edge for edge in rig.edges if edge.gate == 3 and not edge.on]
    assert off.at_us == round((last + 250) * 1000)
    assert disarms(rig) == [DisarmReason.LEASE]
    assert rig.fired() == [1, 2]
    assert rig.missed() == {3: MissReason.DISARMED, 4: MissReason.DISARMED}
    assert not rig.device.permit


def test_only_an_advanced_counter_renews_the_lease(rig: Rig) -> None:
    rig.alive = False
    start = rig.now_ms
    while rig.now_ms < start + 240:
        rig.lease(counter=rig.lease_counter)
        rig.run(rig.now_ms + 20)
    assert rig.device.armed
    rig.run(start + 260)
    assert disarms(rig) == [DisarmReason.LEASE]


@pytest.mark.parametrize(
    "message", [wire.Sync(1), wire.EventAck(0), wire.Cancel(0), wire.Arm(0, True)], ids=lambda m: type(m).__name__
)
def test_nothing_but_a_lease_renews_it(rig: Rig, message: wire.ToDevice) -> None:
    rig.alive = False
    start = rig.now_ms
    if isinstance(message, wire.Arm):
        message = message._replace(crc=wire.commit_message(rig.config).crc)
    for n in range(25):
        rig.send(message)
        rig.divert_time(100 + n, 1, rig.now_ms + 5000, rig.now_ms + 5050)
        rig.run(rig.now_ms + 10)
    rig.run(start + 260)
    assert disarms(rig) == [DisarmReason.LEASE]
    assert not rig.device.armed


@pytest.mark.parametrize("start_us", [0, 2**64 - 2_000_000], ids=["early", "over the end of the clock"])
def test_a_clock_that_leaps_ahead_ends_the_lease(start_us: int) -> None:
    device = RecordedDevice(HostileClock(0, 0.0, start_us))
    rig = Rig(device=device).ready()
    assert rig.divert_count(1, 0b1, 500, 600) == 0
    rig.run(245)
    assert rig.device.outputs() == 1
    device.jump(3_600_000_000)
    rig.run(247)
    assert rig.device.outputs() == 0
    assert not rig.device.armed


def test_the_lease_counter_may_wrap(rig: Rig) -> None:
    rig.alive = False
    for counter in (2**31 - 2, 2**32 - 4, 2**32 - 1, 0, 1):
        rig.lease(counter=counter)
        rig.run(rig.now_ms + 200)
        assert rig.device.armed, counter


@pytest.mark.parametrize(("message", "reason"), [(wire.Stop(), DisarmReason.STOP), (wire.Disarm(), DisarmReason.HOST)])
def test_stop_and_disarm_act_at_once_and_report_every_command(
    rig: Rig, message: wire.ToDevice, reason: DisarmReason
) -> None:
    queue_three(rig)
    assert rig.answer(message, wire.Ack).error == 0
    assert rig.device.outputs() == 0
    [off] = rig.device.edges()
    assert (off.gate, off.on, off.at_us) == (0, False, 220_000)
    rig.edges.append(off)
    rig.run(230)
    assert_all_reported(rig, reason)


def test_a_lease_that_no_longer_wants_arming_disarms(rig: Rig) -> None:
    queue_three(rig)
    rig.alive = False
    status = rig.lease(armed=False)
    assert (status.armed, status.permit, status.disarm_reason) == (False, False, DisarmReason.HOST.value)
    rig.run(230)
    assert_all_reported(rig, DisarmReason.HOST)


def test_an_old_lease_neither_disarms_nor_renews(rig: Rig) -> None:
    status = rig.lease(armed=False, counter=rig.lease_counter - 3)
    assert status.armed


def test_permit_follows_the_lease_and_the_same_counter_can_only_drop_it(rig: Rig) -> None:
    rig.alive = False
    assert rig.lease(permit=True).permit
    assert not rig.lease(permit=False, counter=rig.lease_counter).permit
    assert not rig.lease(permit=True, counter=rig.lease_counter).permit
    rig.lease_counter += 1
    assert rig.lease(permit=True, counter=rig.lease_counter).permit
    assert not rig.lease(permit=False).permit
    assert rig.device.armed


def test_an_e_stop_clears_everything_and_holds_off_arming_until_released(rig: Rig) -> None:
    queue_three(rig)
    rig.device.set_input(Pin.ESTOP, True, rig.now_ns)
    assert rig.device.outputs() == 0
    rig.run(230)
    assert_all_reported(rig, DisarmReason.ESTOP)
    assert rig.arm() == ERROR_ESTOP
    rig.device.set_input(Pin.ESTOP, False, rig.now_ns)
    assert not rig.device.armed
    assert rig.arm() == 0
    levels = [(e.id, e.extra) for e in rig.events if e.kind == wire.EVENT_INPUT]
    rig.run(rig.now_ms + 20)
    assert (Pin.ESTOP, 1) in levels


def test_a_photo_eye_edge_is_reported_with_its_time_and_count(rig: Rig) -> None:
    rig.run(140)
    rig.device.set_input(Pin.PHOTO_EYE, True, rig.now_ns)
    rig.run(160)
    [event] = [e for e in rig.events if e.kind == wire.EVENT_INPUT]
    assert (event.id, event.on, event.off, event.extra) == (Pin.PHOTO_EYE, 140_000, 280, 1)


def test_a_silent_encoder_on_a_running_belt_is_a_latched_fault(rig: Rig) -> None:
    rig.device.set_input(Pin.BELT_RUNNING, True, rig.now_ns)
    rig.run(300)
    assert rig.device.armed
    rig.position_of = lambda ms: 600.0
    rig.run(700)
    assert disarms(rig) == [DisarmReason.FAULT]
    assert [e.extra for e in rig.events if e.kind == wire.EVENT_FAULT] == [1]
    assert rig.arm() == ERROR_FAULT
    assert rig.answer(wire.ClearFault(), wire.Ack).error == 0
    assert rig.arm() == 0


def test_a_standing_belt_that_is_not_said_to_run_is_no_fault(rig: Rig) -> None:
    rig.position_of = lambda ms: 200.0
    rig.run(3000)
    assert rig.device.armed


def test_cancel_takes_back_what_has_not_begun(rig: Rig) -> None:
    queue_three(rig)
    assert rig.answer(wire.Cancel(2), wire.Ack).error == 0
    assert rig.answer(wire.Cancel(1), wire.Ack).error == ERROR_BEGUN
    assert rig.answer(wire.Cancel(99), wire.Ack).error == ERROR_UNKNOWN_ID
    rig.run(700)
    assert sorted(rig.fired()) == [1, 3]
    assert rig.missed() == {2: MissReason.CANCELLED}


def test_to_cancel_everything_is_no_error_where_there_is_nothing(rig: Rig) -> None:
    assert rig.answer(wire.Cancel(0), wire.Ack).error == 0
    assert rig.answer(wire.Cancel(1), wire.Ack).error == ERROR_UNKNOWN_ID


def test_cancel_of_everything_leaves_what_has_begun(rig: Rig) -> None:
    queue_three(rig)
    assert rig.answer(wire.Cancel(0), wire.Ack).error == 0
    rig.run(700)
    assert rig.fired() == [1]
    assert rig.missed() == {2: MissReason.CANCELLED, 3: MissReason.CANCELLED}


def test_arming_needs_the_committed_configuration() -> None:
    rig = Rig()
    rig.run(1)
    rig.hello()
    assert rig.arm() == ERROR_CRC
    rig.configure()
    assert rig.answer(wire.Arm(123, True), wire.Ack).error == ERROR_CRC
    assert rig.arm() == 0
    assert rig.device.armed


def test_configuration_is_refused_while_armed_and_stands(rig: Rig) -> None:
    gate = wire.gate_messages(rig.config)[0]
    assert rig.answer(gate, wire.Ack).error == ERROR_ARMED
    commit = wire.commit_message(rig.config)
    assert rig.answer(commit, wire.ConfigReply) == wire.ConfigReply(commit.crc, ERROR_ARMED, 255)
    assert rig.lease().config_crc == commit.crc


def test_touching_one_gate_after_commit_voids_the_whole_configuration(rig: Rig) -> None:
    rig.send(wire.Disarm())
    gate = wire.gate_messages(rig.config)[0]
    assert rig.answer(gate, wire.Ack).error == 0
    assert rig.arm() == ERROR_CRC
    assert rig.lease().config_crc == 0


WRONG = [
    ("safe level", 2, {"safe_level": 2}),
    ("no maximum hold", 0, {"max_hold_us": 0, "min_hold_us": 0}),
    ("endless hold", 0, {"max_hold_us": 60_000_001}),
    ("minimum above maximum", 3, {"min_hold_us": 300_000}),
    ("endless gap", 3, {"min_gap_us": 60_000_001}),
    ("opening delay", 7, {"opening_delay_us": 1_000_001}),
    ("closing delay", 7, {"closing_delay_us": 1_000_001}),
    ("no duty", 1, {"max_duty_permille": 0}),
    ("duty above one", 1, {"max_duty_permille": 1001}),
]


@pytest.mark.parametrize(("gate", "changes"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_gate_is_named(gate: int, changes: dict[str, int]) -> None:
    rig = Rig(config_with(gate, **changes))
    rig.run(1)
    rig.hello()
    assert rig.configure() == wire.ConfigReply(0, ERROR_ARGUMENT, gate)


BEYOND = [
    replace(CONFIG, lease_ms=99),
    replace(CONFIG, lease_ms=1001),
    replace(CONFIG, max_late_us=100_001),
    replace(CONFIG, far_ms=600_001),
    replace(CONFIG, far_count=(1 << 24) + 1),
    replace(CONFIG, gates=()),
]


@pytest.mark.parametrize("config", BEYOND)
def test_limits_of_the_common_configuration(config: DeviceConfig) -> None:
    rig = Rig(config)
    rig.run(1)
    rig.hello()
    assert rig.configure() == wire.ConfigReply(0, ERROR_ARGUMENT, 255)


def test_safe_level_one_means_the_pin_is_high_at_rest() -> None:
    rig = Rig(config_with(0, safe_level=1)).ready()
    assert rig.device.levels == 0b1
    rig.divert_time(1, 0b11, 200, 260)
    rig.run(220)
    assert (rig.device.outputs(), rig.device.levels) == (0b11, 0b10)


# --- sessions and reboots


def test_a_reboot_drops_outputs_and_everything_it_knew(rig: Rig) -> None:
    queue_three(rig)
    boot = rig.device.boot_id
    rig.device.reboot(rig.now_ns)
    [off] = rig.device.edges()
    assert (off.gate, off.on, off.at_us) == (0, False, 220_000)
    rig.alive = False
    assert rig.answer(wire.Sync(1), wire.HelloReply).nonce == 0  # it says at once that it does not know us
    rig.run(300)
    assert rig.edges[-1].at_us == 188_000
    assert rig.hello().boot_id == boot + 1
    assert rig.arm() == ERROR_CRC
    assert rig.device.disarm_reason == DisarmReason.BOOT.value


def test_frames_of_another_session_are_ignored_and_counted(rig: Rig) -> None:
    before = rig.lease().foreign
    heard = rig.send_frame(wire.type_of(wire.Stop), b"", session=0xBAD)
    assert heard == []
    assert rig.device.armed
    assert rig.lease().foreign == before + 1


def test_another_host_is_ignored_while_the_owner_is_alive(rig: Rig) -> None:
    owner = rig.session
    rig.session = 0
    assert rig.send(wire.Hello(wire.VERSION, 0x77, 1)) == []
    rig.session = owner
    assert rig.lease().armed
    rig.alive = False
    rig.run(rig.now_ms + 300)
    assert rig.hello(0x77).config_crc == wire.commit_message(rig.config).crc  # configuration survives a session


def test_the_same_session_resumes_and_hears_what_it_missed(rig: Rig) -> None:
    rig.divert_time(1, 1, 200, 260)
    rig.run(210)
    rig.device.unplug()
    rig.alive = False
    rig.run(700)
    rig.device.replug()
    rig.device.receive(rig.frame(wire.EventAck(rig.events_seen)), rig.now_ns)
    seen = rig.events_seen
    rig.hello()
    rig.events_seen = seen
    rig.run(760)
    assert rig.fired() == [1]
    assert disarms(rig) == [DisarmReason.LEASE]
    assert rig.divert_time(1, 1, 200, 260) == 0  # still known


def test_a_new_session_starts_empty(rig: Rig) -> None:
    rig.divert_time(1, 1, 200, 260)
    rig.acknowledging = False
    rig.alive = False
    rig.run(700)
    rig.acknowledging = True
    rig.hello(0x1234)
    rig.events.clear()
    rig.run(720)
    assert [e.kind for e in rig.events] == [wire.EVENT_BOOT]


def test_unknown_types_and_wrong_lengths_are_answered_and_change_nothing(rig: Rig) -> None:
    for kind, payload, error in [(0x60, b"", ERROR_TYPE), (0x00, b"", ERROR_TYPE), (0x0A, b"x", ERROR_ARGUMENT)]:
        assert rig.send_frame(kind, payload) == [wire.Ack(kind, rig.seq, error)]
    assert rig.device.armed


def says_differs(rig: Rig, gates: int, until_ms: float) -> None:
    """The HAL's readback, once a millisecond."""
    while rig.now_ms < until_ms:
        rig.run(rig.now_ms + 1, step_ms=1)
        rig.device._c.sc_output_differs(rig.device._core, gates, round(rig.now_ms * 1000))


def test_an_output_that_does_not_follow_is_a_latched_fault_that_names_its_gate(rig: Rig) -> None:
    queue_three(rig)
    says_differs(rig, 0, rig.now_ms + 3)
    says_differs(rig, 0b100, rig.now_ms + 3)
    assert rig.device.outputs() == 0
    says_differs(rig, 0b100, rig.now_ms + 10)
    assert_all_reported(rig, DisarmReason.FAULT)
    assert [(e.id, e.extra) for e in rig.events if e.kind == wire.EVENT_FAULT] == [(2, 2)]
    assert rig.arm() == ERROR_FAULT
    says_differs(rig, 0, rig.now_ms + 1)
    assert rig.answer(wire.ClearFault(), wire.Ack).error == 0
    assert rig.arm() == 0


def test_a_pin_may_take_a_moment_to_follow(rig: Rig) -> None:
    says_differs(rig, 0, rig.now_ms + 1)
    for _ in range(20):
        says_differs(rig, 0b1, rig.now_ms + 1)
        says_differs(rig, 0, rig.now_ms + 1)
    assert rig.device.armed
    assert rig.lease().faults == 0


def test_before_a_configuration_the_pins_are_not_ours_and_differ_from_nothing() -> None:
    rig = Rig()
    rig.run(1)
    rig.hello()
    says_differs(rig, 0b1111, 50)
    assert rig.lease().faults == 0
