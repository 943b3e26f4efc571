"""pymodbus's own Modbus RTU server behind a pseudo-terminal, in two threads: the server, and the wire between both ends."""

import asyncio
import os
import select
import threading
import tty
from types import TracebackType

from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

BAUD = 115_200


def a_device(coils: int, watchdog_register: int | None) -> SimDevice:
    off = [SimData(0, values=[False] * coils, datatype=DataType.BITS)]
    registers = [
        SimData(1 if watchdog_register is None else watchdog_register, values=[0], datatype=DataType.REGISTERS)
    ]
    return SimDevice(1, simdata=(off, off, registers, registers))


class RelayServer:
    """`port` is where the board is; `understood` every request that the server could read; `deaf`: nothing reaches it."""

    def __init__(self, device: SimDevice) -> None:
        self._device = device
        self._ours, self._theirs = os.openpty(), os.openpty()
        for _, slave in (self._ours, self._theirs):
            tty.setraw(slave)
        self.port = os.ttyname(self._ours[1])
        self.understood: list[ModbusPDU] = []
        self.deaf = threading.Event()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._serve), threading.Thread(target=self._carry)]

    def __enter__(self) -> "RelayServer":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        for fd in (*self._ours, *self._theirs):
            os.close(fd)

    def _note(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not sending:
            self.understood.append(pdu)
        return pdu

    def _serve(self) -> None:
        asyncio.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        port = os.ttyname(self._theirs[1])
        server = ModbusSerialServer(self._device, port=port, baudrate=BAUD, trace_pdu=self._note)
        await server.serve_forever(background=True)
        while not self._stopping.is_set():
            await asyncio.sleep(0.02)
        await server.shutdown()  # type: ignore[no-untyped-call]

    def _carry(self) -> None:
        other_end = {self._ours[0]: self._theirs[0], self._theirs[0]: self._ours[0]}
        while not self._stopping.is_set():
            for fd in select.select(list(other_end), [], [], 0.02)[0]:
                carried = os.read(fd, 4096)
                if not self.deaf.is_set():
                    os.write(other_end[fd], carried)
