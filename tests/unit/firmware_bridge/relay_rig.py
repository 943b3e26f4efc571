"""A relay board in virtual time that answers with pymodbus's own server side, keeps a watchdog, and notes when relays moved."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU, ReadHoldingRegistersRequest
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadCoilsResponse,
    WriteMultipleCoilsRequest,
    WriteMultipleCoilsResponse,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersResponse,
    WriteSingleRegisterRequest,
    WriteSingleRegisterResponse,
)

from firmware_bridge.errors import PortError
from firmware_bridge.messages import (
    DeviceConfig,
    DivertCommand,
    DuringTime,
    Fired,
    GateConfig,
    LinkChanged,
    LinkState,
    NotFired,
    Refused,
    Reply,
    Unanswered,
)
from firmware_bridge.relay_board import RelayBoard
from firmware_bridge.relay_session import RelaySettings

MS = 1_000_000
WATCHDOG = 0x1120
GATE = GateConfig(0, 100_000, 2_000_000, 100_000, 50_000, 30_000, 1000)
CONFIG = DeviceConfig((GATE,) * 4, lease_ms=250, max_late_us=50_000, mm_per_count=None, far_ms=10_000, far_count=0)
SETTINGS = RelaySettings(watchdog_register=WATCHDOG, permit_relay=True)
Final = Refused | Fired | NotFired | Unanswered


@dataclass
class FakeBoard:
    """Implements link.Transport."""

    name: str = "board"
    registers: dict[int, int] = field(default_factory=lambda: {WATCHDOG: 0})
    relays: list[bool] = field(default_factory=lambda: [False] * 8)
    moves: list[tuple[int, int, bool]] = field(default_factory=list)  # ns, relay, on
    now_ns: int = 0
    latency_ns: int = 10 * MS
    lose: int = 0  # the next requests are done but not answered
    deaf: bool = False
    busy: bool = False  # refuses to switch
    plugged: bool = True
    forgets: bool = False  # takes the watchdog's time and keeps another
    opens: int = 0
    _heard: bytes = b""
    _said: list[tuple[int, bytes]] = field(default_factory=list)
    _last_ns: int = 0
    _framer: FramerRTU = field(default_factory=lambda: FramerRTU(DecodePDU(True)))

    def live_until(self, now_ns: int) -> None:
        self.now_ns = now_ns
        after_ns = self.registers.get(WATCHDOG, 0) * MS
        if after_ns and now_ns > self._last_ns + after_ns:
            self._switch(0, [False] * 8)

    def restart(self) -> None:
        self._switch(0, [False] * 8)
        self.registers[WATCHDOG] = 0

    def _switch(self, first: int, bits: Sequence[bool]) -> None:
        for relay, on in enumerate(bits, start=first):
            if self.relays[relay] != on:
                self.relays[relay] = on
                self.moves.append((self.now_ns, relay, on))

    def open(self) -> None:
        if not self.plugged:
            raise PortError("board: no such port")
        self.opens += 1

    def read(self) -> bytes:
        if not self.plugged:
            raise PortError("board: unplugged")
        said = b"".join(data for at_ns, data in self._said if at_ns <= self.now_ns)
        self._said = [each for each in self._said if each[0] > self.now_ns]
        return said

    def write(self, data: bytes) -> int:
        if not self.plugged:
            raise PortError("board: unplugged")
        self._heard += data
        used, request = self._framer.handleFrame(self._heard, 1, 0)
        self._heard = self._heard[used:]
        if request is not None and not self.deaf:
            self._last_ns = self.now_ns
            answer = self._do(request)
            if self.lose:
                self.lose -= 1
            else:
                self._said.append((self.now_ns + self.latency_ns, self._framer.buildFrame(answer)))
        return len(data)

    def _do(self, request: ModbusPDU) -> ModbusPDU:
        match request:
            case WriteMultipleCoilsRequest() if self.busy:
                return ExceptionResponse(request.function_code, ExcCodes.DEVICE_BUSY, device_id=1)
            case WriteMultipleCoilsRequest():
                self._switch(request.address, request.bits[: request.count])
                return WriteMultipleCoilsResponse(address=request.address, count=request.count, dev_id=1)
            case ReadCoilsRequest() if request.address + request.count <= len(self.relays):
                bits = self.relays[request.address : request.address + request.count]
                return ReadCoilsResponse(bits=bits, dev_id=1)
            case WriteSingleRegisterRequest() if request.address in self.registers:
                self.registers[request.address] = 0 if self.forgets else request.registers[0]
                return WriteSingleRegisterResponse(address=request.address, registers=request.registers, dev_id=1)
            case ReadHoldingRegistersRequest() if request.address in self.registers:
                return ReadHoldingRegistersResponse(registers=[self.registers[request.address]], dev_id=1)
            case _:
                return ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_ADDRESS, device_id=1)

    def wait(self, timeout_s: float) -> None:
        pass

    def close(self) -> None:
        pass


class RelayBench:
    def __init__(self, settings: RelaySettings = SETTINGS, config: DeviceConfig = CONFIG, **board: object) -> None:
        self.board = replace(FakeBoard(), **board)  # type: ignore[arg-type]
        self.controller = RelayBoard(self.board, settings)
        self.controller.configure(config)
        self.now_ns = 1_000 * MS
        self.leasing = self.rearm = True
        self.finals: dict[int, Final] = {}
        self.heard: list[Reply] = []
        self.commands = 0
        self._leases = 0

    def run(self, seconds: float) -> None:
        end_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < end_ns:
            self.now_ns += 2 * MS
            self.board.live_until(self.now_ns)
            for reply in self.controller.poll(self.now_ns):
                self._take(reply)
            if self.leasing:
                self._leases += 1
                self.controller.renew_lease(self._leases)

    def _take(self, reply: Reply) -> None:
        self.heard.append(reply)
        if isinstance(reply, LinkChanged) and reply.state is LinkState.READY and self.rearm:
            self.controller.arm()
        elif isinstance(reply, Refused | Fired | NotFired | Unanswered):
            assert reply.command_id not in self.finals, "a second final reply"
            self.finals[reply.command_id] = reply

    def submit(self, lead_ms: int = 300, hold_ms: int = 300, gate_mask: int = 1) -> int:
        self.commands += 1
        start_ns = self.now_ns + lead_ms * MS
        window = DuringTime(start_ns, start_ns + hold_ms * MS)
        self.controller.submit(DivertCommand(self.commands, gate_mask, window), self.now_ns)
        return self.commands

    def state(self) -> LinkState:
        return self.controller.status().state

    def is_on(self, relay: int) -> bool:
        return self.board.relays[relay]

    def tells_permit(self) -> bool:
        return self.controller.status().line_permit

    def said(self) -> str:
        return [reply.detail for reply in self.heard if isinstance(reply, LinkChanged)][-1]
