"""Modbus RTU as text: whole frames however they are cut, both ways, and what is no frame is counted and not guessed at."""

import pytest
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadCoilsResponse, WriteMultipleCoilsRequest
from pymodbus.pdu.register_message import WriteSingleRegisterRequest, WriteSingleRegisterResponse

from firmware_bridge.modbus_trace import ModbusDecoder, describe
from firmware_bridge.trace import FROM_DEVICE, TO_DEVICE, Chunk

FRAMER = FramerRTU(DecodePDU(False))


def bytes_of(pdu: ModbusPDU) -> bytes:
    return FRAMER.buildFrame(pdu)


ASKED = WriteMultipleCoilsRequest(address=2, bits=[True, False, True], dev_id=7)
ANSWERED = ReadCoilsResponse(bits=[True] + [False] * 7, dev_id=7)
REFUSED = ExceptionResponse(6, 2, device_id=7)


@pytest.mark.parametrize(
    ("direction", "pdu", "words"),
    [
        (TO_DEVICE, ASKED, "> dev=7   WriteMultipleCoilsRequest address=2 count=3 bits=101"),
        (TO_DEVICE, ReadCoilsRequest(address=0, count=8, dev_id=7), "> dev=7   ReadCoilsRequest address=0 count=8"),
        (FROM_DEVICE, ANSWERED, "< dev=7   ReadCoilsResponse bits=10000000"),
        (FROM_DEVICE, REFUSED, "< dev=7   Exception function=6 code=2"),
        (
            TO_DEVICE,
            WriteSingleRegisterRequest(address=4384, registers=[250], dev_id=7),
            "> dev=7   WriteSingleRegisterRequest address=4384 registers=250",
        ),
        (
            FROM_DEVICE,
            WriteSingleRegisterResponse(address=4384, registers=[250], dev_id=7),
            "< dev=7   WriteSingleRegisterResponse address=4384 registers=250",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) == 1 else "",
)
def test_a_frame_is_one_line_whole_or_byte_by_byte(direction: str, pdu: ModbusPDU, words: str) -> None:
    frame = bytes_of(pdu)
    for pieces in ([frame], [frame[n : n + 1] for n in range(len(frame))]):
        decoder = ModbusDecoder()
        said = [each for n, piece in enumerate(pieces) for each in decoder.feed(Chunk(n * 10**6, direction, piece))]
        assert [describe(each, 0).split(maxsplit=1)[1] for each in said] == [words]
        assert decoder.damaged == 0


def test_two_frames_of_one_read_are_two_lines() -> None:
    decoder = ModbusDecoder()
    said = decoder.feed(Chunk(0, FROM_DEVICE, bytes_of(ANSWERED) + bytes_of(REFUSED)))
    assert [type(each.pdu).__name__ for each in said] == ["ReadCoilsResponse", "ExceptionResponse"]


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(bytes([*bytes_of(ANSWERED)[:-1], bytes_of(ANSWERED)[-1] ^ 1]), id="a wrong checksum"),
        pytest.param(b"\x07\x63\x00\x00\x00\x00", id="no such function"),
        pytest.param(b"AT+GMM\r\n", id="a modem probe"),
        pytest.param(bytes_of(ANSWERED)[:-2], id="cut short"),
    ],
)
def test_what_is_no_frame_is_counted_and_the_next_exchange_is_read(noise: bytes) -> None:
    decoder = ModbusDecoder()
    assert decoder.feed(Chunk(0, FROM_DEVICE, noise)) == []
    assert len(decoder.feed(Chunk(1, TO_DEVICE, bytes_of(ASKED)))) == 1
    assert len(decoder.feed(Chunk(2, FROM_DEVICE, bytes_of(ANSWERED)))) == 1
    assert decoder.damaged == 1
