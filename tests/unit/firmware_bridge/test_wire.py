"""Layouts: every message survives the wire, wrong lengths do not, and the golden bytes hold the layout still."""

import pytest

from firmware_bridge import wire
from firmware_bridge.codec import MAX_DECODED
from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import DeviceConfig, GateConfig

EVENT = wire.Event(wire.EVENT_FIRED, 0, 7, 1_000_000, 1_040_000, -3)

GOLDEN: list[tuple[wire.Message, int, str]] = [
    (wire.Hello(1, 0x11223344, 5), 0x01, "014433221105000000"),
    (
        wire.ConfigGate(2, 1, 2000, 200_000, 3000, 12_000, 8000, 900),
        0x02,
        "0201d0070000400d0300b80b0000e02e0000401f00008403",
    ),
    (
        wire.ConfigCommit(8, 250, 1000, 500_000, 10_000, 20_000, 0xAABBCCDD),
        0x03,
        "08fa00e803000020a1070010270000204e0000ddccbbaa",
    ),
    (wire.Arm(0xAABBCCDD, True), 0x04, "ddccbbaa01"),
    (wire.Lease(9, True, False), 0x05, "090000000100"),
    (wire.Sync(2**40), 0x06, "0000000000010000"),
    (wire.Divert(3, 0x80, 1, -2, 500), 0x07, "030000008000000001fefffffffffffffff401000000000000"),
    (wire.Cancel(0), 0x08, "00000000"),
    (wire.Disarm(), 0x09, ""),
    (wire.Stop(), 0x0A, ""),
    (wire.EventAck(12), 0x0B, "0c000000"),
    (wire.ClearFault(), 0x0C, ""),
    (wire.ReadConfig(255), 0x0D, "ff"),
    (wire.Trigger(20_000, 500), 0x0E, "204e0000f4010000"),
    (
        wire.HelloReply(
            1, 5, 6, b"\x01\x02\x03\x04\x05\x06\x07\x08", 7, wire.SCHEMA_HASH, 8, True, 256, 1024, 512, 1, 9, 10
        ),
        0x81,
        "0105000000060000000102030405060708" + "07000000e47e0b7f0801000100040002010900" + "00000a00000000000000",
    ),
    (wire.Ack(4, 200, 2), 0x82, "04c802"),
    (wire.ConfigReply(1, 1, 3), 0x83, "010000000103"),
    (
        wire.HeldGate(2, 1, 2000, 200_000, 3000, 12_000, 8000, 900),
        0x84,
        "0201d0070000400d0300b80b0000e02e0000401f00008403",
    ),
    (
        wire.Status(9, True, False, 4, 2, 0x81, 255, 3, 1, 2, 0xAABBCCDD, 2**33, -5),
        0x85,
        "09000000010004020081000000ff000300010002" + "00ddccbbaa0000000002000000fbffffffffffffff",
    ),
    (wire.SyncReply(1, 2, 3, -4), 0x86, "010000000000000002000000000000000300000000000000fcffffffffffffff"),
    (wire.Answer(3, 1, 4), 0x87, "03000000010400000000000000"),
    (
        wire.HeldCommon(8, 250, 1000, 500_000, 10_000, 20_000, 0xAABBCCDD),
        0x88,
        "08fa00e803000020a1070010270000204e0000ddccbbaa",
    ),
    (wire.Events(5, (EVENT,)), 0x90, "05000000010100070000004042" + "0f000000000080de0f0000000000fdffffff"),
    (wire.Encoder(-1, 2), 0x91, "ffffffffffffffff0200000000000000"),
]


@pytest.mark.parametrize(
    ("message", "kind", "payload"), GOLDEN, ids=[type(message).__name__ for message, _, _ in GOLDEN]
)
def test_layouts_stand_still(message: wire.Message, kind: int, payload: str) -> None:
    assert wire.type_of(type(message)) == kind
    assert wire.encode(message).hex() == payload
    assert wire.decode(kind, bytes.fromhex(payload)) == message


@pytest.mark.parametrize("kind", sorted([layout[0] for layout in wire.LAYOUT.values()]))
def test_a_payload_of_another_length_is_refused(kind: int) -> None:
    size = next(layout.size for number, layout in wire.LAYOUT.values() if number == kind)
    for wrong in {size + 1, max(0, size - 1)} - {size}:
        with pytest.raises(ProtocolError):
            wire.decode(kind, bytes(wrong))


@pytest.mark.parametrize(
    "payload", [b"", b"\0\0\0\0", b"\0\0\0\0\x04", b"\0\0\0\0\x01" + bytes(25), b"\0\0\0\0\x02" + bytes(26)]
)
def test_events_must_say_how_many_they_are(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        wire.decode(0x90, payload)


def test_every_message_has_golden_bytes() -> None:
    assert {type(message) for message, _, _ in GOLDEN} == {*wire.LAYOUT, wire.Events}


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ProtocolError, match="0x42"):
        wire.decode(0x42, b"")


def test_the_longest_message_fits_a_frame() -> None:
    longest = max(
        len(wire.encode(wire.Events(1, (EVENT,) * wire.MAX_EVENTS))), *(s.size for _, s in wire.LAYOUT.values())
    )
    assert longest + 10 <= MAX_DECODED


def test_the_configuration_crc_covers_every_value() -> None:
    gate = GateConfig(0, 2000, 200_000, 3000, 12_000, 8000, 900)
    config = DeviceConfig((gate,) * 2, 250, 1000, 0.5, 10_000, 20_000)
    others = [
        DeviceConfig((gate,), 250, 1000, 0.5, 10_000, 20_000),
        DeviceConfig((gate,) * 2, 251, 1000, 0.5, 10_000, 20_000),
        DeviceConfig((gate,) * 2, 250, 1001, 0.5, 10_000, 20_000),
        DeviceConfig((gate,) * 2, 250, 1000, None, 10_000, 20_000),
        DeviceConfig((gate,) * 2, 250, 1000, 0.5, 10_001, 20_000),
        DeviceConfig((gate,) * 2, 250, 1000, 0.5, 10_000, 20_001),
        *(
            DeviceConfig((gate, GateConfig(**changed)), 250, 1000, 0.5, 10_000, 20_000)
            for changed in (
                {name: getattr(gate, name) + (name == touched) for name in GateConfig.__slots__}
                for touched in GateConfig.__slots__
            )
        ),
    ]
    crcs = {wire.commit_message(each).crc for each in [config, *others]}
    assert len(crcs) == len(others) + 1
