"""Modbus RTU as text: chunks of a live line or of a capture in, one line per request or answer out.

An RTU frame says neither where it begins nor which way it goes: the direction comes with the chunk, the beginning is the
first byte after the other side has spoken. Frames and checks are pymodbus's. Knows nothing of relays' meaning.
"""

from dataclasses import dataclass

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from firmware_bridge.trace import FROM_DEVICE, TO_DEVICE, Chunk

_VALUES = ("address", "count", "registers", "bits")


@dataclass(frozen=True, slots=True)
class Said:
    at_ns: int  # when its last byte came
    direction: str
    pdu: ModbusPDU


class ModbusDecoder:
    """Chunks in, whole frames out, each direction on its own."""

    def __init__(self) -> None:
        self._framers = {TO_DEVICE: FramerRTU(DecodePDU(True)), FROM_DEVICE: FramerRTU(DecodePDU(False))}
        self._pieces = {TO_DEVICE: b"", FROM_DEVICE: b""}
        self.damaged = 0

    def feed(self, chunk: Chunk) -> list[Said]:
        other = FROM_DEVICE if chunk.direction == TO_DEVICE else TO_DEVICE
        if self._pieces[other]:  # half a frame, and the other side speaks
            self._pieces[other] = b""
            self.damaged += 1
        piece, said = self._pieces[chunk.direction] + chunk.data, []
        while piece and (size := self._size(chunk.direction, piece)) is not None:
            pdu = self._whole(chunk.direction, piece[:size])
            piece = piece[size:]
            if pdu is None:
                self.damaged += 1
                piece = b""  # where the next one begins cannot be told before the line falls silent
                break
            said.append(Said(chunk.at_ns, chunk.direction, pdu))
        self._pieces[chunk.direction] = piece
        return said

    def _size(self, direction: str, piece: bytes) -> int | None:
        """Of the frame at its beginning; None: not whole yet. What is no frame is all of it."""
        if len(piece) < 4:
            return None
        kind = self._framers[direction].decoder.lookupPduClass(piece)
        if kind is None:
            return len(piece)
        try:
            size = kind.calculateRtuFrameSize(piece)
        except ModbusException:  # a kind that pymodbus knows by name only
            return len(piece)
        return size if size and size <= len(piece) else None

    def _whole(self, direction: str, frame: bytes) -> ModbusPDU | None:
        try:
            return self._framers[direction].handleFrame(frame, 0, 0)[1]
        except ModbusException:
            return None


def describe(said: Said, since_ns: int = 0) -> str:
    """One line: time in ms, direction, device, name and values."""
    head = f"{(said.at_ns - since_ns) / 1e6:12.3f} {said.direction} dev={said.pdu.dev_id:<3}"
    pdu = said.pdu
    if isinstance(pdu, ExceptionResponse):
        return f"{head} Exception function={pdu.function_code & 0x7F} code={pdu.exception_code}"
    values = [(name, getattr(pdu, name)) for name in _VALUES]
    asked = said.direction == TO_DEVICE
    words = [f"{name}={_text(value)}" for name, value in values if value or (asked and name == "address")]
    return f"{head} {type(pdu).__name__} {' '.join(words)}"


def _text(value: object) -> str:
    if isinstance(value, list):
        bits = all(isinstance(each, bool) for each in value)
        return "".join("1" if each else "0" for each in value) if bits else ",".join(str(each) for each in value)
    return str(value)
