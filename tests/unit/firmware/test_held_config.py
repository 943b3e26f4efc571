"""What a device holds can be read back, value by value, whatever it is doing; reading changes nothing."""

from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import DeviceConfig, GateConfig
from tests.unit.firmware.rig import CONFIG, Rig

ERROR_ARGUMENT = 1
EACH_ITS_OWN = replace(
    CONFIG,
    gates=tuple(
        GateConfig(n % 2, 2_000 + n, 200_000 + n, 4_000 + n, 12_000 + n, 8_000 + n, 1000 - n) for n in range(8)
    ),
    lease_ms=345,
    max_late_us=1_234,
    mm_per_count=0.123456,
    far_ms=9_876,
    far_count=54_321,
)


def held(rig: Rig, config: DeviceConfig) -> None:
    """Every value is the wanted one."""
    for gate in wire.gate_messages(config):
        assert rig.answer(wire.ReadConfig(gate.gate), wire.HeldGate) == wire.HeldGate(*gate)
    commit = wire.commit_message(config)
    assert rig.answer(wire.ReadConfig(wire.NO_GATE), wire.HeldCommon) == wire.HeldCommon(*commit)


def greeted(config: DeviceConfig = CONFIG) -> Rig:
    rig = Rig(config)
    rig.run(1)
    rig.hello()
    return rig


def test_every_value_is_read_back_as_it_was_sent() -> None:
    rig = greeted(EACH_ITS_OWN)
    assert rig.configure().error == 0
    held(rig, EACH_ITS_OWN)


def test_an_armed_device_says_what_it_holds_and_stays_armed() -> None:
    rig = Rig(CONFIG).ready()
    held(rig, CONFIG)
    assert rig.device.armed
    assert rig.lease().config_crc == wire.commit_message(CONFIG).crc


def test_before_any_configuration_all_is_nothing() -> None:
    rig = greeted()
    assert rig.answer(wire.ReadConfig(0), wire.HeldGate) == wire.HeldGate(0, 0, 0, 0, 0, 0, 0, 0)
    assert rig.answer(wire.ReadConfig(wire.NO_GATE), wire.HeldCommon) == wire.HeldCommon(0, 0, 0, 0, 0, 0, 0)


def test_a_gate_that_was_sent_and_not_committed_is_held_without_a_crc() -> None:
    rig = greeted(EACH_ITS_OWN)
    assert rig.configure().error == 0
    gate = wire.gate_messages(EACH_ITS_OWN)[4]._replace(min_gap_us=77)
    assert rig.answer(gate, wire.Ack).error == 0
    assert rig.answer(wire.ReadConfig(4), wire.HeldGate) == wire.HeldGate(*gate)
    assert rig.answer(wire.ReadConfig(wire.NO_GATE), wire.HeldCommon).crc == 0


@pytest.mark.parametrize("gate", [8, 9, 254])
def test_a_gate_that_there_is_not_is_a_bad_argument(gate: int) -> None:
    rig = greeted()
    assert [type(message) for message in rig.send(wire.ReadConfig(gate))] == [wire.Ack]
    assert rig.heard[-1] == wire.Ack(wire.type_of(wire.ReadConfig), rig.seq, ERROR_ARGUMENT)


@pytest.mark.parametrize("payload", [b"", b"\0\0"])
def test_a_question_of_another_length_is_a_bad_argument(payload: bytes) -> None:
    rig = greeted()
    kind = wire.type_of(wire.ReadConfig)
    assert [message for message in rig.send_frame(kind, payload)] == [wire.Ack(kind, rig.seq, ERROR_ARGUMENT)]
