"""Bytes: framing against garbage, events until acknowledged, encoder and sync messages, announced sizes."""

from pathlib import Path
from random import Random
from zlib import crc32

import pytest

import firmware_bridge.firmware
from firmware_bridge import wire
from firmware_bridge.codec import Frame, encode_frame
from firmware_bridge.messages import Refusal
from firmware_bridge.virtual_device import Edge
from tests.unit.firmware.rig import Rig
from tests.unit.firmware_bridge.test_wire import GOLDEN


def test_hello_announces_what_the_build_can_hold() -> None:
    rig = Rig()
    rig.run(1)
    reply = rig.hello()
    assert (reply.version, reply.nonce, reply.gates, reply.has_encoder) == (wire.VERSION, 0xABCD, 8, True)
    assert (reply.queue_depth, reply.id_memory, reply.event_ring) == (256, 1024, 512)
    assert reply.schema_hash == crc32(b"station-wire/1 r3")
    assert (reply.uid, reply.boot_id, reply.reset_cause) == ((0x5EED).to_bytes(8, "little"), 1, 1)
    assert reply.firmware_hash != 0
    assert reply.config_crc == 0


def test_sync_echoes_and_stamps(rig: Rig) -> None:
    rig.run(123)
    assert rig.answer(wire.Sync(2**63 + 5), wire.SyncReply) == wire.SyncReply(2**63 + 5, 123_000, 123_000, 246)


def test_encoder_messages_come_faster_than_100_hz_and_are_exact(rig: Rig) -> None:
    rig.heard.clear()
    rig.run(1100)
    samples = [m for m in rig.heard if isinstance(m, wire.Encoder)]
    assert len(samples) >= 100
    for sample in samples:
        assert sample.at_us == sample.belt_count * 500
    assert [s.at_us for s in samples] == sorted({s.at_us for s in samples})


def test_a_standing_belt_keeps_reporting_its_count(rig: Rig) -> None:
    rig.position_of = lambda ms: 200.0
    rig.run(200)
    rig.heard.clear()
    rig.run(1200)
    samples = [m for m in rig.heard if isinstance(m, wire.Encoder)]
    assert len(samples) >= 100
    assert {s.belt_count for s in samples} == {200}
    assert samples[-1].at_us > 1_180_000


def test_events_are_resent_every_10_ms_until_acknowledged(rig: Rig) -> None:
    rig.acknowledging = False
    rig.divert_time(1, 1, 200, 260)
    rig.run(260)
    rig.heard.clear()
    rig.run(360)
    resent = [m for m in rig.heard if isinstance(m, wire.Events)]
    assert 9 <= len(resent) <= 11
    assert len({m.first_seq for m in resent}) == 1
    rig.send(wire.EventAck(resent[0].first_seq))
    rig.heard.clear()
    rig.run(460)
    assert not [m for m in rig.heard if isinstance(m, wire.Events)]


@pytest.mark.parametrize("seq", [0, 50, 2**31, 2**32 - 1])
def test_a_senseless_acknowledgement_loses_nothing(rig: Rig, seq: int) -> None:
    rig.acknowledging = False
    rig.divert_time(1, 1, 200, 260)
    rig.run(240)
    rig.send(wire.EventAck(seq))
    rig.acknowledging = True
    rig.run(300)
    assert rig.fired() == [1]


def test_unacknowledged_reports_are_never_lost_new_commands_are_refused_instead(rig: Rig) -> None:
    """The host takes no reports for a long while: what was accepted stays reportable."""
    rig.acknowledging = False
    accepted, refused = [], 0
    for n in range(1, 700):
        answer = rig.divert_time(n, 1 << n % 8, rig.now_ms + 20, rig.now_ms + 24)
        if answer == 0:
            accepted.append(n)
        refused += answer == Refusal.FULL.value
        rig.run(rig.now_ms + 10)
    assert refused > 100
    assert len(accepted) > 480
    assert rig.lease().events_lost == 0
    rig.acknowledging = True
    rig.run(rig.now_ms + 2500)
    assert sorted([*rig.fired(), *rig.missed()]) == accepted


def test_a_photo_eye_that_chatters_cannot_crowd_out_reports(rig: Rig) -> None:
    rig.acknowledging = False
    rig.divert_time(1, 1, 600, 660)
    for n in range(3000):
        rig.device.set_input(2, bool(n % 2), rig.now_ns)
    rig.run(800)
    assert rig.lease().events_lost == 0
    rig.acknowledging = True
    rig.run(3500)
    assert rig.fired() == [1]


def test_every_single_bit_flip_of_a_frame_is_refused(rig: Rig) -> None:
    good = encode_frame(Frame(0x0A, 9, rig.session, b""))  # STOP: would be plain to see
    for bit in range(len(good) * 8):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        rig.send_bytes(b"\x00" + bytes(damaged) + b"\x00")
        whole = any(part == good.strip(b"\x00") for part in bytes(damaged).split(b"\x00"))
        assert rig.device.armed or whole, bit
        if not rig.device.armed:
            assert rig.arm() == 0


def test_a_frame_cut_anywhere_costs_only_itself(rig: Rig) -> None:
    stop = encode_frame(Frame(0x0A, 9, rig.session, b""))
    sync = encode_frame(Frame(0x06, 9, rig.session, bytes(8)))
    for cut in range(1, len(stop) - 1):
        heard = rig.send_bytes(stop[:cut] + sync)
        assert [type(m) for m in heard] == [wire.SyncReply], cut
    assert rig.device.armed


def test_bytes_may_come_one_by_one(rig: Rig) -> None:
    heard: list[wire.Message] = []
    for byte in encode_frame(Frame(0x06, 9, rig.session, bytes(range(8)))):
        heard += rig.send_bytes(bytes([byte]))
    assert [type(m) for m in heard] == [wire.SyncReply]


def test_garbage_is_counted_and_harmless(rig: Rig) -> None:
    random = Random(1)
    before = rig.lease().crc_errors
    for _ in range(2000):
        rig.send_bytes(random.randbytes(random.randint(1, 300)))
    rig.send_bytes(b"\x00")
    assert rig.lease().crc_errors > before
    assert rig.device.armed
    assert rig.edges == []


def test_mutated_commands_never_act(rig: Rig) -> None:
    random = Random(2)
    good = rig.frame(wire.Divert(1, 1, 0, 200_000, 260_000))
    for _ in range(5000):
        damaged = bytearray(good)
        for _ in range(random.randint(1, 6)):
            damaged[random.randrange(1, len(damaged) - 1)] ^= random.randint(1, 255)
        if bytes(damaged) != good:
            rig.send_bytes(bytes(damaged))
    rig.run(400)
    assert rig.edges == []
    assert rig.device.armed


def test_a_host_that_never_reads_costs_answers_not_gates(rig: Rig) -> None:
    start = rig.now_ms
    for n in range(1, 200):
        rig.device.receive(
            rig.frame(wire.Divert(n, 1, 0, round((start + 30 * n) * 1000), round((start + 30 * n + 8) * 1000))),
            rig.now_ns,
        )
    for n in range(300):
        rig.device.receive(rig.frame(wire.Lease(1000 + n, True, True)), rig.now_ns)
        rig.now_ns += 20_000_000
        rig.device.advance_to(rig.now_ns, lambda ns: ns / 500_000)
    edges = rig.device.edges()
    assert len([edge for edge in edges if edge.on]) == 199


def test_two_runs_of_the_same_bytes_are_identical() -> None:
    def once() -> tuple[list[Edge], list[wire.Message]]:
        rig = Rig().ready()
        random = Random(5)
        for n in range(1, 60):
            rig.divert_count(
                n, random.randint(1, 255), rig.device.count + random.randint(100, 900), rig.device.count + 950
            )
            rig.run(rig.now_ms + random.randint(1, 40))
        return rig.edges, rig.heard

    assert once() == once()


def golden_frames() -> list[tuple[str, bytes]]:
    path = Path(firmware_bridge.firmware.__file__).parent / "fuzz/frames.txt"
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    return [(name, bytes.fromhex(data)) for name, data in lines]


def test_the_fuzzers_golden_frames_are_what_the_host_writes() -> None:
    """One file for both languages: the host's own golden payloads, framed. For a new message add the line said here."""
    expected = [
        (type(message).__name__, encode_frame(Frame(kind, 7, 0x51, bytes.fromhex(payload)))[1:-1])
        for message, kind, payload in GOLDEN
    ]
    assert golden_frames() == expected, "\n".join(f"{name} {data.hex()}" for name, data in expected)


@pytest.mark.parametrize(("name", "data"), golden_frames(), ids=[name for name, _ in golden_frames()])
def test_the_core_takes_every_golden_frame(rig: Rig, name: str, data: bytes) -> None:
    before = rig.lease()
    rig.send_bytes(b"\0" + data + b"\0")
    after = rig.lease()
    assert after.crc_errors == before.crc_errors
    assert after.foreign == before.foreign + 1, f"{name} is well formed and of session 0x51"
