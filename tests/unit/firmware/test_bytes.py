"""To the byte: what fits a frame and the link's buffer, what is kept free in it, how the event ring runs round."""

import ctypes
from itertools import product
from zlib import crc32

import pytest

from firmware_bridge import wire
from firmware_bridge.codec import Frame, encode_frame
from tests.unit.firmware.bare import Bare
from tests.unit.firmware.rig import SESSION

TX, RESERVE = 16_384, 1024
FRAMING = 6 + 4 + 3  # head, CRC, and COBS with its two zeros
SYNC_R, ACK, ENCODER, STATUS = FRAMING + 32, FRAMING + 3, FRAMING + 16, FRAMING + 41


def cobs(raw: bytes) -> bytes:
    return b"".join(bytes([len(run) + 1]) + run for run in raw.split(b"\0"))


def framed(body: bytes, behind: bytes = b"") -> bytes:
    return b"\0" + cobs(body + crc32(body).to_bytes(4, "little") + behind) + b"\0"


def head(kind: int, session: int = SESSION) -> bytes:
    return bytes([kind, 7]) + session.to_bytes(4, "little")


def taken(bare: Bare, data: bytes) -> tuple[list[wire.Message], int, int]:
    """What is answered, and by how much the counters for damaged and for foreign frames rise."""
    before = bare.lease()
    said = bare.send_bytes(data)
    after = bare.lease()
    return said, after.crc_errors - before.crc_errors, after.foreign - before.foreign


# --- one frame


@pytest.mark.parametrize("length", [0, 1, 40, 85, 86])
def test_the_longest_frame_has_96_bytes(length: int) -> None:
    assert taken(Bare().armed(), framed(head(0x60) + b"x" * length)) == ([wire.Ack(0x60, 7, 7)], 0, 0)


@pytest.mark.parametrize("length", [87, 88, 150, 244])
def test_a_longer_frame_is_a_damaged_one_and_costs_only_itself(length: int) -> None:
    bare = Bare().armed()
    assert taken(bare, framed(head(0x60) + b"x" * length)) == ([], 1, 0)
    assert taken(bare, framed(head(0x60))) == ([wire.Ack(0x60, 7, 7)], 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        framed(head(0x60) + b"x" * 86, behind=b"x"),  # what would fit is a whole frame
        framed(head(0x60), behind=b"x" * 86 + b"\x0a"),  # and so are its first ten bytes
        framed(head(0x60), behind=b"x"),
    ],
)
def test_a_whole_frame_with_something_behind_it_is_a_damaged_one(data: bytes) -> None:
    assert taken(Bare().armed(), data) == ([], 1, 0)


@pytest.mark.parametrize("length", range(6))
def test_a_frame_without_a_whole_head_is_damaged_even_under_its_crc(length: int) -> None:
    assert taken(Bare().armed(), framed(head(0x0A)[:length])) == ([], 1, 0)


@pytest.mark.parametrize(
    ("data", "damaged"),
    [
        (b"\0", 0),
        (b"\0" * 50, 0),
        (b"\x01\0", 1),
        (b"\0\x05ab\0", 1),  # a run that is cut
        (b"\0\xff" + b"y" * 254 + b"\0", 1),
        (framed(head(0x60))[:-1] + b"\x02z\0", 1),
        (framed(head(0x60))[1:], 0),  # no zero in front: it is whole all the same
        (framed(head(0x60) + bytes(20)), 0),
        (framed(head(0x60) + bytes(range(40))), 0),
    ],
)
def test_damage_is_counted_once_a_frame_and_silence_is_none(data: bytes, damaged: int) -> None:
    assert taken(Bare().armed(), data)[1:] == (damaged, 0)


def test_half_a_frame_before_the_cable_was_pulled_does_not_touch_the_next() -> None:
    """Cut where a run, a code byte and a broken frame are under way."""
    sync = framed(head(0x06) + bytes(8))
    for half in (b"\0\x09abc", b"\0\x03ab", b"\0" + b"\xff" * 200, b"\0\x01\x01\x01"):
        bare = Bare().armed()
        before = bare.lease().crc_errors
        bare.device.receive(half, bare.now_ns)
        bare._c.sc_link_reset(bare._core)
        assert [type(m) for m in bare.send_bytes(sync[1:])] == [wire.SyncReply]
        assert bare.lease().crc_errors == before


def test_counters_of_damaged_and_foreign_frames_stay_at_their_end() -> None:
    bare = Bare().armed()
    bare.device.receive(b"\x01\0" * 70_000, bare.now_ns)
    assert bare.lease().crc_errors == 65_535
    bare.device.receive(framed(head(0x0A, session=5)) * 66_000, bare.now_ns)
    assert bare.lease().foreign == 65_535


# --- the buffer towards the link


def filled(free: int, has_encoder: bool = True) -> Bare:
    """A device whose buffer has just this room; nothing has been read."""
    bare = Bare(has_encoder=has_encoder)
    bare.at(1000).hello()
    bare.configure()
    used = TX - free
    sync, ack = framed(head(0x06) + bytes(8)), framed(head(0x60))
    n = next(n for n in range(used // SYNC_R, -1, -1) if (used - n * SYNC_R) % ACK == 0)
    bare.device.receive(sync * n + ack * ((used - n * SYNC_R) // ACK), bare.now_ns)
    return bare


def raw(bare: Bare, most: int = 2 * TX) -> bytes:
    out = ctypes.create_string_buffer(most)
    return ctypes.string_at(out, bare._c.sc_transmit(bare._core, out, most))


@pytest.mark.parametrize(
    ("message", "size"),
    [(wire.Sync(1), SYNC_R), (wire.Lease(1, False, False), STATUS), (wire.Cancel(0), ACK)],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.parametrize("missing", [0, 1])
def test_an_answer_is_given_while_it_fits_to_the_byte(message: wire.ToDevice, size: int, missing: int) -> None:
    bare = filled(size - missing)
    bare.device.receive(bare.frame(message), bare.now_ns)
    sent = raw(bare)
    assert len(sent) == (TX - size + missing if missing else TX)
    assert sent.endswith(b"\0")
    assert raw(bare) == b""


@pytest.mark.parametrize("missing", [0, 1])
def test_a_greeting_is_given_while_it_fits_to_the_byte(missing: int) -> None:
    size = FRAMING + 46
    bare = filled(size - missing)
    bare.session = 0
    bare.device.receive(bare.frame(wire.Hello(1, SESSION, 1)), bare.now_ns)
    assert len(raw(bare)) == (TX - size + missing if missing else TX)


@pytest.mark.parametrize(("over", "told"), [(0, True), (-1, False)])
def test_encoder_samples_leave_room_for_answers(over: int, told: bool) -> None:
    bare = filled(RESERVE + ENCODER + over)
    bare.device.receive(bare.frame(wire.EventAck(1)), bare.now_ns)  # no event waits
    bare._c.sc_tick(bare._core, bare.now_us)
    assert len(raw(bare)) == TX - RESERVE - (0 if told else ENCODER + over)


@pytest.mark.parametrize(("over", "told"), [(0, True), (-1, False)])
def test_events_leave_room_for_answers(over: int, told: bool) -> None:
    batch = FRAMING + 5 + 26  # BOOT alone
    bare = filled(RESERVE + batch + over, has_encoder=False)
    bare._c.sc_tick(bare._core, bare.now_us)
    assert len(raw(bare)) == TX - RESERVE - (0 if told else batch + over)
    bare._c.sc_tick(bare._core, bare.now_us)
    assert len(raw(bare)) == (0 if told else batch)  # what found no room goes out with the next tick that has some


def test_bytes_may_be_taken_in_any_portions_and_the_buffer_runs_round() -> None:
    """Five times its size, in pieces of many lengths: every frame comes whole and in order."""
    bare = Bare().armed()
    raw(bare)
    wanted, got = 0, b""
    for n, portion in product(range(25), (1, 44, 45, 46, 1000, 3000)):
        for _ in range(15 if n else 40):
            wanted += 1
            bare.device.receive(bare.frame(wire.Sync(wanted)), bare.now_ns)
        got += raw(bare, portion)
        assert bare._c.sc_waiting(bare._core) >> 1 & 1
    while piece := raw(bare, 777):
        got += piece
    assert bare._c.sc_waiting(bare._core) == 0
    bare._reader.feed(got)
    numbers = []
    while (frame := bare._reader.next_frame()) is not None:
        reply = wire.decode(frame.type, frame.payload)
        assert isinstance(reply, wire.SyncReply)
        numbers.append(reply.t1_ns)
    assert numbers == list(range(1, wanted + 1))


def test_the_host_is_told_what_waits() -> None:
    bare = Bare().armed()
    assert bare._c.sc_waiting(bare._core) == 0
    bare.device.receive(bare.frame(wire.Divert(1, 1, 0, 12_000, 60_000)), bare.now_ns)
    assert bare._c.sc_waiting(bare._core) == 2
    answer = FRAMING + 13
    assert len(raw(bare, answer - 1)) == answer - 1
    assert bare._c.sc_waiting(bare._core) == 2  # for a single byte, too
    assert raw(bare) == b"\0"
    assert bare._c.sc_waiting(bare._core) == 0
    bare.tick_gates()
    assert bare._c.sc_waiting(bare._core) == 1
    bare.device.receive(bare.frame(wire.Sync(1)), bare.now_ns)
    assert bare._c.sc_waiting(bare._core) == 3


# --- sessions


def test_a_stranger_is_greeted_again_after_exactly_50_ms() -> None:
    bare = Bare()
    answered = []
    for us in (0, 1, 49_999, 50_000, 99_999, 100_000, 100_001):
        answered.append(len(bare.at(us).send_frame(0x06, bytes(8), session=0xBAD)))
    assert answered == [1, 0, 0, 1, 0, 1, 0]


def test_a_greeting_is_of_no_session_and_all_else_is_of_the_one_it_founded() -> None:
    bare = Bare()
    for message in (wire.Hello(1, SESSION, 1), wire.Hello(1, SESSION, 2), wire.Sync(1), wire.Cancel(0)):
        bare.session = 0 if isinstance(message, wire.Hello) else SESSION
        bare.device.receive(bare.frame(message), bare.now_ns)
    bare._reader.feed(raw(bare))
    frames = [bare._reader.next_frame() for _ in range(4)]
    assert [(f.type, f.session) for f in frames if f] == [(0x81, 0), (0x81, 0), (0x86, SESSION), (0x82, SESSION)]


def test_without_a_session_nothing_is_obeyed_not_even_what_is_of_no_session() -> None:
    bare = Bare()
    for n, kind in enumerate([*range(0x02, 0x0E), 0x60]):
        said = bare.at(n * 50_000).send_frame(kind, b"", session=0)
        assert [m.nonce for m in said if isinstance(m, wire.HelloReply)] == [0]
        assert len(said) == 1
    bare.hello()
    assert bare.lease().foreign == 13


def test_what_went_before_a_session_is_not_told_in_it() -> None:
    bare = Bare()
    bare.blink_eye(5)
    assert bare.tick(500) == []
    bare.at(1000).hello()
    bare.tick(1000)
    assert [(e.kind, e.id, e.on, e.extra) for e in bare.events] == [(wire.EVENT_BOOT, 1, 1000, 1)]


def test_a_frame_is_written_as_the_host_would_read_it() -> None:
    bare = Bare()
    bare.at(1000).hello()
    bare.seq = 8
    bare.device.receive(bare.frame(wire.Sync(3)), bare.now_ns)
    payload = (3).to_bytes(8, "little") + (1000).to_bytes(8, "little") * 2 + bytes(8)
    assert raw(bare) == encode_frame(Frame(0x86, 1, SESSION, payload))
