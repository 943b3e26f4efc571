"""Any bytes, split anywhere, with anything around them: whole frames come out, nothing else does."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.codec import MAX_DECODED, Frame, FrameReader, cobs_decode, cobs_encode, decode_block, encode_frame

MAX_PAYLOAD = MAX_DECODED - 10
FRAMES = st.builds(
    Frame,
    type=st.integers(0, 255),
    seq=st.integers(0, 255),
    session=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=MAX_PAYLOAD),
)
NOISE = st.binary(max_size=300)


def read_all(reader: FrameReader) -> list[Frame]:
    frames = []
    while (frame := reader.next_frame()) is not None:
        frames.append(frame)
    return frames


def read_in_pieces(stream: bytes, cuts: list[int]) -> list[Frame]:
    reader = FrameReader()
    frames = []
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        reader.feed(stream[start:end])
        frames += read_all(reader)
    return frames


@given(st.binary(max_size=MAX_DECODED))
def test_cobs_hides_every_zero_and_gives_back_the_bytes(data: bytes) -> None:
    block = cobs_encode(data)
    assert 0 not in block
    assert cobs_decode(block) == data


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 2000), max_size=20))
def test_frames_come_out_whole_however_the_stream_is_split(frames: list[Frame], cuts: list[int]) -> None:
    assert read_in_pieces(b"".join(map(encode_frame, frames)), cuts) == frames


@given(st.lists(st.tuples(NOISE, FRAMES), max_size=6), NOISE)
def test_noise_between_frames_swallows_none_of_them(pairs: list[tuple[bytes, Frame]], tail: bytes) -> None:
    stream = b"".join(noise + encode_frame(frame) for noise, frame in pairs) + tail
    assert read_in_pieces(stream, []) == [frame for _, frame in pairs]


@given(st.binary(max_size=4000), st.lists(st.integers(0, 4000), max_size=20))
def test_noise_alone_gives_no_frame_and_fills_no_memory(noise: bytes, cuts: list[int]) -> None:
    assert read_in_pieces(noise, cuts) == []


def test_a_line_of_noise_without_zeros_is_not_kept() -> None:
    reader = FrameReader()
    for _ in range(1000):
        reader.feed(b"\x55" * 100)
    assert len(reader._open) <= MAX_DECODED + 1
    reader.feed(encode_frame(Frame(1, 2, 3, b"x")))
    assert read_all(reader) == [Frame(1, 2, 3, b"x")]
    assert reader.damaged == 1


@given(FRAMES, st.data())
def test_a_cut_frame_costs_only_itself(frame: Frame, data: st.DataObject) -> None:
    encoded = encode_frame(frame)
    cut = data.draw(st.integers(1, len(encoded) - 2))
    after = Frame(7, 7, 7, b"after")
    assert read_in_pieces(encoded[:cut] + encode_frame(after), []) == [after]


@pytest.mark.parametrize("payload", [b"", b"\x00" * 8, bytes(range(1, 41)), b"\xff" * MAX_PAYLOAD])
def test_every_one_and_two_bit_error_is_caught(payload: bytes) -> None:
    encoded = bytearray(encode_frame(Frame(0x07, 1, 0xDEADBEEF, payload)))
    bits = range(8, 8 * (len(encoded) - 1))  # within the zeros
    accepted = 0
    for first in bits:
        encoded[first // 8] ^= 1 << first % 8
        accepted += len(read_in_pieces(bytes(encoded), []))
        for second in range(first + 1, min(first + 24, bits.stop)):
            encoded[second // 8] ^= 1 << second % 8
            accepted += len(read_in_pieces(bytes(encoded), []))
            encoded[second // 8] ^= 1 << second % 8
        encoded[first // 8] ^= 1 << first % 8
    assert accepted == 0


@given(st.binary(min_size=10, max_size=200))
def test_a_random_block_is_no_frame(block: bytes) -> None:
    frame = decode_block(block)
    assert frame is None or encode_frame(frame)[1:-1] == block


def test_a_payload_too_long_for_a_small_board_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="at most 86"):
        encode_frame(Frame(1, 0, 0, bytes(MAX_PAYLOAD + 1)))
