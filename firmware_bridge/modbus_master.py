"""One Modbus RTU conversation: a request, its answer, silence. Bytes and host time in, bytes and answers out; no port.

Frames and their checks are pymodbus's. What it leaves to the caller is here: RTU carries no transaction number, so an answer
that comes too late would be taken for the next one's. After an unanswered request the line must therefore fall silent for as
long again before anything is asked, and what comes meanwhile is thrown away.
"""

from dataclasses import dataclass

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU, ReadHoldingRegistersRequest
from pymodbus.pdu.bit_message import ReadCoilsRequest, WriteMultipleCoilsRequest
from pymodbus.pdu.register_message import WriteSingleRegisterRequest

BITS_PER_CHAR = 11
SHORTEST_GAP_NS = 1_750_000  # 3.5 characters, and never less than this (Modbus over serial line, 2.5.1.1)


@dataclass(frozen=True, slots=True)
class Answer:
    registers: tuple[int, ...] = ()
    bits: tuple[bool, ...] = ()  # eight to a byte: more than were asked for
    error: int | None = None  # the board's exception code


class Master:
    def __init__(self, device_id: int, baud: int, answer_within_ns: int) -> None:
        self.outbox = bytearray()
        self.unanswered = 0
        self.round_trip_ns: int | None = None
        self._device_id = device_id
        self._framer = FramerRTU(DecodePDU(False))
        self._gap_ns = max(SHORTEST_GAP_NS, 35 * BITS_PER_CHAR * 100_000_000 // baud)
        self._answer_within_ns = answer_within_ns
        self._asked: ModbusPDU | None = None
        self._asked_ns = self._quiet_until_ns = 0
        self._heard = b""

    def restart(self) -> None:
        self.outbox.clear()
        self._asked, self._heard, self._quiet_until_ns = None, b"", 0

    def may_ask(self, now_ns: int) -> bool:
        return self._asked is None and now_ns >= self._quiet_until_ns

    @property
    def waiting(self) -> bool:
        return self._asked is not None

    def write_coils(self, first: int, bits: list[bool], now_ns: int) -> None:
        self._ask(WriteMultipleCoilsRequest(address=first, bits=bits, dev_id=self._device_id), now_ns)

    def read_coils(self, first: int, count: int, now_ns: int) -> None:
        self._ask(ReadCoilsRequest(address=first, count=count, dev_id=self._device_id), now_ns)

    def write_register(self, address: int, value: int, now_ns: int) -> None:
        self._ask(WriteSingleRegisterRequest(address=address, registers=[value], dev_id=self._device_id), now_ns)

    def read_register(self, address: int, now_ns: int) -> None:
        self._ask(ReadHoldingRegistersRequest(address=address, count=1, dev_id=self._device_id), now_ns)

    def _ask(self, request: ModbusPDU, now_ns: int) -> None:
        assert self.may_ask(now_ns)
        self.outbox += self._framer.buildFrame(request)
        self._asked, self._asked_ns, self._heard = request, now_ns, b""

    def receive(self, data: bytes, now_ns: int) -> Answer | None:
        """The answer to what was asked, once it is whole."""
        if self._asked is None:
            self._quiet_until_ns = max(self._quiet_until_ns, now_ns + self._gap_ns)
            return None
        self._heard += data
        try:
            used, heard = self._framer.handleFrame(self._heard, self._device_id, 0)
        except ModbusException:
            used, heard = len(self._heard), None
        self._heard = self._heard[used:]
        if heard is None or not self._answers(heard):
            return None
        self._asked = None
        self._quiet_until_ns = now_ns + self._gap_ns
        took_ns = now_ns - self._asked_ns
        self.round_trip_ns = took_ns if self.round_trip_ns is None else (7 * self.round_trip_ns + took_ns) // 8
        if isinstance(heard, ExceptionResponse):
            return Answer(error=heard.exception_code)
        return Answer(tuple(heard.registers), tuple(heard.bits))

    def _answers(self, heard: ModbusPDU) -> bool:
        asked = self._asked
        assert asked is not None
        if isinstance(heard, ExceptionResponse):
            return heard.function_code & 0x7F == asked.function_code
        if heard.function_code != asked.function_code:
            return False
        if isinstance(asked, ReadHoldingRegistersRequest):
            return len(heard.registers) == 1
        if isinstance(asked, ReadCoilsRequest):
            return len(heard.bits) >= asked.count  # some boards answer with all they have
        if isinstance(asked, WriteSingleRegisterRequest):
            return heard.address == asked.address and list(heard.registers) == list(asked.registers)
        return heard.address == asked.address and heard.count == asked.count

    def gave_up(self, now_ns: int) -> bool:
        """True once when the answer is overdue."""
        if self._asked is None or now_ns < self._asked_ns + self._answer_within_ns:
            return False
        self.unanswered += 1
        self._asked, self._heard = None, b""
        self.outbox.clear()
        self._quiet_until_ns = now_ns + self._answer_within_ns
        return True
