"""Frames in and out of a byte stream: COBS between zeros, CRC-32 over type, sequence, session and payload.

Knows no message, no time, no port. Bytes in, frames out, None for "need more"; garbage costs at most the frame it hit.
"""

from collections import deque
from dataclasses import dataclass
from struct import Struct
from zlib import crc32

MAX_DECODED = 96
"""Longest frame before COBS: a small board's receive buffer."""

_HEAD = Struct("<BBI")
_CRC = Struct("<I")
_OVERHEAD = _HEAD.size + _CRC.size
_CODE = [bytes((n + 1,)) for n in range(255)]  # of a run of n bytes without a zero
_MAX_BLOCK = MAX_DECODED + 1  # COBS adds one byte to anything shorter than 254


@dataclass(frozen=True, slots=True)
class Frame:
    type: int
    seq: int  # the sender's counter, for diagnosis
    session: int
    payload: bytes


def cobs_encode(data: bytes) -> bytes:
    """Free of zeros. Only for data without 254 bytes in a row that are not zero, which MAX_DECODED guarantees."""
    return b"".join([_CODE[len(run)] + run for run in data.split(b"\x00")])


def cobs_decode(block: bytes) -> bytes | None:
    """None when `block` cannot have come from `cobs_encode`."""
    runs = []
    at, end = 0, len(block)
    while at < end:
        step = block[at]
        if step == 0 or at + step > end:
            return None
        runs.append(block[at + 1 : at + step])
        at += step
    return b"\x00".join(runs)


def encode_frame(frame: Frame) -> bytes:
    body = _HEAD.pack(frame.type, frame.seq, frame.session) + frame.payload
    if len(body) + _CRC.size > MAX_DECODED:
        raise ValueError(f"payload of {len(frame.payload)} bytes: at most {MAX_DECODED - _OVERHEAD} fit a frame")
    return b"\x00" + cobs_encode(body + _CRC.pack(crc32(body))) + b"\x00"


def decode_block(block: bytes) -> Frame | None:
    """The frame between two zeros, or None when it is damaged."""
    data = cobs_decode(block)
    if data is None or len(data) < _OVERHEAD:
        return None
    body = data[: -_CRC.size]
    if crc32(body) != _CRC.unpack_from(data, len(body))[0]:
        return None
    kind, seq, session = _HEAD.unpack_from(body)
    return Frame(kind, seq, session, body[_HEAD.size :])


class FrameReader:
    """Takes bytes as they come, split anywhere, and gives whole undamaged frames.

    `damaged` counts what stood between two zeros and was no frame: cut, corrupted, too long, or not ours at all.
    """

    def __init__(self) -> None:
        self._open = bytearray()  # since the last zero
        self._blocks: deque[bytes] = deque()
        self._overlong = False
        self.damaged = 0

    def feed(self, data: bytes) -> None:
        *closed, rest = data.split(b"\x00")
        for piece in closed:
            self._extend(piece)
            self._close()
        self._extend(rest)

    def next_frame(self) -> Frame | None:
        while self._blocks:
            frame = decode_block(self._blocks.popleft())
            if frame is not None:
                return frame
            self.damaged += 1
        return None

    def restart(self) -> None:
        """Another stream begins: forget the half frame of the last."""
        self._open.clear()
        self._blocks.clear()
        self._overlong = False

    def _extend(self, piece: bytes) -> None:
        if self._overlong or len(self._open) + len(piece) > _MAX_BLOCK:
            # No frame is this long: remember that, not the bytes. A line of noise must not fill the memory.
            self._overlong = True
            self._open.clear()
        else:
            self._open += piece

    def _close(self) -> None:
        if self._overlong:
            self.damaged += 1
            self._overlong = False
        elif self._open:
            self._blocks.append(bytes(self._open))
            self._open.clear()
