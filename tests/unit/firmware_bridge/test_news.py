"""What the device tells without being asked: inputs, faults, trigger pulses, lost events, another host's doings."""

import itertools

import pytest

from firmware_bridge import wire
from firmware_bridge.codec import Frame, encode_frame
from firmware_bridge.messages import (
    DeviceFault,
    Disarmed,
    FaultRaised,
    InputChanged,
    LinkChanged,
    LinkState,
    TriggerGiven,
    Unanswered,
)
from firmware_bridge.virtual_device import Pin
from tests.unit.firmware_bridge.bench import CONFIG, MS, Bench


def armed() -> Bench:
    bench = Bench()
    bench.run(0.5)
    assert bench.is_in(LinkState.ARMED)
    return bench


@pytest.mark.parametrize("pin", [Pin.ESTOP, Pin.BELT_RUNNING, Pin.PHOTO_EYE, 7])
def test_an_input_is_told_with_its_moment_and_its_count(pin: int) -> None:
    bench = armed()
    for level in (True, False):
        bench.device.set_input(pin, level, bench.now_ns)
        moment_ns = bench.now_ns
        bench.run(0.05)
        told = bench.told(InputChanged)[-1]
        assert isinstance(told, InputChanged)
        assert (told.pin, told.level) == (pin, level)
        assert abs(told.at_ns - moment_ns) < MS
        assert abs(told.count - bench.belt(moment_ns)) <= 2


def test_a_fault_is_told_by_name_and_stays_in_the_status_until_cleared() -> None:
    bench = armed()
    bench.device.set_input(Pin.BELT_RUNNING, True, bench.now_ns)
    still = bench.belt(bench.now_ns)
    bench.cable._position_of = lambda host_ns: still  # the shaft of the encoder is broken
    bench.rearm = False
    bench.run(0.5)
    (told,) = bench.told(FaultRaised)
    assert isinstance(told, FaultRaised)
    assert told.fault is DeviceFault.ENCODER_SILENT
    assert bench.controller.status().faults == ("encoder_silent",)
    assert not bench.armed()
    bench.controller.arm()
    bench.run(0.2)
    assert any("a fault is latched" in r.detail for r in bench.heard if isinstance(r, LinkChanged))
    bench.device.set_input(Pin.BELT_RUNNING, False, bench.now_ns)
    bench.controller.clear_fault()
    bench.run(0.2)
    assert bench.controller.status().faults == ()
    bench.controller.arm()
    bench.run(0.2)
    assert bench.armed()


def test_trigger_pulses_are_told_with_number_moment_and_count() -> None:
    bench = armed()
    bench.controller.set_trigger(20_000, 500)
    bench.run(1.0)
    pulses = [reply for reply in bench.heard if isinstance(reply, TriggerGiven)]
    assert [pulse.number for pulse in pulses] == list(range(1, len(pulses) + 1))
    assert len(pulses) >= 48
    for first, second in itertools.pairwise(pulses):
        assert abs(second.at_ns - first.at_ns - 20 * MS) < MS
    assert all(abs(pulse.count - bench.belt(pulse.at_ns)) <= 2 for pulse in pulses)
    bench.controller.set_trigger(0, 0)
    bench.run(0.1)
    before = len(bench.told(TriggerGiven))
    bench.run(0.5)
    assert len(bench.told(TriggerGiven)) == before


def test_a_refused_trigger_is_said() -> None:
    bench = armed()
    bench.controller.set_trigger(20_000, 20_000)
    bench.run(0.1)
    assert any("camera trigger" in r.detail for r in bench.heard if isinstance(r, LinkChanged))


def greet_as(bench: Bench, session: int, config: bool = False) -> None:
    """Another host takes the device while nobody has it armed."""
    frames = [Frame(0x01, 0, 0, wire.encode(wire.Hello(wire.VERSION, session, 99)))]
    if config:
        frames.append(Frame(0x02, 1, session, wire.encode(wire.gate_messages(CONFIG)[0]._replace(max_hold_us=1000))))
    for frame in frames:
        bench.cable.to_device.inject(encode_frame(frame), bench.now_ns)


def test_a_device_that_was_another_hosts_in_between_is_met_anew() -> None:
    """Our session number is taken up again, yet the device has forgotten all of it: its events begin at 1."""
    bench = armed()
    bench.run(1.0, every_ms=10, submit=lambda _: bench.ahead())
    bench.rearm = False
    open_ones = [bench.submit(bench.ahead(lead_ms=700)) for _ in range(3)]
    bench.run(0.02)
    bench.cable.from_device.faults = type(bench.cable.from_device.faults)(drop=1.0)
    bench.controller.stop()
    bench.run(0.02)
    greet_as(bench, 0xBAD)
    bench.run(0.02)
    bench.cable.from_device.faults = type(bench.cable.from_device.faults)()
    bench.rearm = True
    bench.run(3.0)
    assert any("another host" in r.detail for r in bench.heard if isinstance(r, LinkChanged))
    assert bench.is_in(LinkState.ARMED)
    assert bench.finals.keys() == bench.commands.keys()
    assert all(type(bench.finals[each]).__name__ in ("NotFired", "Unanswered") for each in open_ones)
    fresh = [bench.submit(bench.ahead()) for _ in range(5)]
    bench.run(0.5)
    assert not any(isinstance(bench.finals[each], Unanswered) for each in fresh)


def test_a_configuration_changed_behind_our_back_is_noticed_and_sent_again() -> None:
    bench = armed()
    bench.rearm = False
    bench.controller.disarm()
    bench.run(0.1)
    assert bench.is_in(LinkState.READY)
    session = bench.session.greeting.session_id
    gate = wire.gate_messages(CONFIG)[0]._replace(max_hold_us=1000)
    bench.cable.to_device.inject(encode_frame(Frame(0x02, 1, session, wire.encode(gate))), bench.now_ns)
    bench.run(0.3)
    said = [r.detail for r in bench.heard if isinstance(r, LinkChanged)]
    assert any("sending it again" in detail for detail in said)
    assert bench.is_in(LinkState.READY)
    bench.controller.arm()
    bench.run(0.1)
    assert bench.armed(), "held again, by CRC"
    assert bench.told(Disarmed)


def test_foreign_frames_are_counted_for_the_operator() -> None:
    bench = armed()
    before = bench.controller.status().foreign
    for _ in range(5):
        frame = Frame(0x05, 0, 0xBAD, wire.encode(wire.Lease(1, True, True)))
        bench.cable.to_device.inject(encode_frame(frame), bench.now_ns)
    bench.run(0.2)
    assert bench.controller.status().foreign == before + 5
    assert bench.armed()
