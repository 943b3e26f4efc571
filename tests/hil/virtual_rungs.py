"""Rungs in virtual time: the core in this process, and the AVR image in simavr. Waiting lets their time pass."""

import ctypes
from ctypes import c_uint32, c_uint64, c_void_p

from firmware_bridge.errors import PortError
from firmware_bridge.loopback import DeviceTransport
from firmware_bridge.virtual_device import DeviceClock, Pin, VirtualDevice
from tests.hil.rungs import GateEdge
from tests.unit.firmware.avr_board import CYCLES_PER_US, Board

STEP_NS = 100_000  # bytes are heard within this of their arrival
BORN_NS = 1_000_000_000
DRIFT_PPM = 40.0
COUNTS_PER_S = 2000


class LibraryRung(DeviceTransport):
    """Its own transport, whose `wait` is the only clock there is."""

    name = "library"

    def __init__(self) -> None:
        super().__init__(VirtualDevice(clock=DeviceClock(BORN_NS, DRIFT_PPM)), _belt)
        self.transport = self
        self._time_ns = BORN_NS
        self._plug_ns: int | None = None
        self._edges: list[GateEdge] = []

    def now_ns(self) -> int:
        return self._time_ns

    def sleep(self, seconds: float) -> None:
        self._live(self._time_ns + round(seconds * 1e9))

    def wait(self, timeout_s: float) -> None:
        until_ns = self._time_ns + round(timeout_s * 1e9)
        while self._time_ns < until_ns:
            self._live(min(until_ns, self._time_ns + STEP_NS))
            arrival_ns = self.next_arrival_ns()
            if arrival_ns is not None and arrival_ns <= self._time_ns:
                return

    def _live(self, now_ns: int) -> None:
        self._time_ns = now_ns
        if self._plug_ns is not None and now_ns >= self._plug_ns:
            self._plug_ns = None
            self.plug()
        self.advance(now_ns)
        self._edges += [GateEdge(e.gate, e.on, e.at_ns, e.count) for e in self.device.edges()]

    def edges(self) -> list[GateEdge]:
        return self._edges

    def clock_pairs(self) -> list[tuple[int, int]]:
        moments_ns = range(self._time_ns - 1_000_000_000, self._time_ns, 10_000_000)
        return [(self.device.clock.device_us(at_ns), at_ns) for at_ns in moments_ns]

    def set_estop(self, pressed: bool) -> None:
        self.device.set_input(Pin.ESTOP, pressed, self._time_ns)

    def reboot(self) -> None:
        self.device.reboot(self._time_ns)

    def unplug(self, seconds: float) -> None:  # type: ignore[override]
        super().unplug()
        self._plug_ns = self._time_ns + round(seconds * 1e9)

    def end(self) -> None:
        self.close()


def _belt(host_ns: int) -> float:
    return (host_ns - BORN_NS) * 1e-9 * COUNTS_PER_S


class SimavrRung:
    """The host's nanoseconds are simavr's cycles, on a crystal that is a little fast."""

    name = "simavr"
    gates = 4

    def __init__(self) -> None:
        self.transport = self
        self._board = Board()
        self._c, self._rig = self._board._c, self._board._rig
        self._c.rig_estop.argtypes = [c_void_p, ctypes.c_int]
        self._c.rig_reset.argtypes = [c_void_p]
        for name in ("rig_first_step", "rig_timer_begun"):
            getattr(self._c, name).restype = c_uint64
        self._heard = b""
        self._buffer = ctypes.create_string_buffer(1 << 16)
        self._edges: list[GateEdge] = []
        self._plug_ns = 0
        self._open = False
        self.sleep(0.06)  # it has configured itself before anybody greets it

    # ---- time

    def now_ns(self) -> int:
        return self._host_ns(int(self._c.rig_cycle(self._rig)))

    def _host_ns(self, cycle: float) -> int:
        return BORN_NS + round(cycle * 1000 / CYCLES_PER_US / (1 + DRIFT_PPM * 1e-6))

    def sleep(self, seconds: float) -> None:
        self._run(round(seconds * 1e6 * CYCLES_PER_US))

    def _run(self, cycles: int) -> None:
        count_cycles = CYCLES_PER_US * 1_000_000 // COUNTS_PER_S
        until = int(self._c.rig_cycle(self._rig)) + cycles
        assert self._c.rig_run(self._rig, c_uint64(until), c_uint32(count_cycles)) == 2, "the board crashed"
        n = self._c.rig_hear(self._rig, self._buffer, 1 << 16)
        if self._plugged:
            self._heard += self._buffer.raw[:n]
        rows = (ctypes.c_int64 * 3000)()
        for i in range(self._c.rig_edges(self._rig, rows, 1000)):
            pin, level, cycle = rows[3 * i : 3 * i + 3]
            if pin < self.gates:
                count = (cycle - self._c.rig_first_step(self._rig)) / count_cycles + 1
                self._edges.append(GateEdge(pin, bool(level), self._host_ns(cycle), count))

    # ---- Transport

    @property
    def _plugged(self) -> bool:
        return self._open and self.now_ns() >= self._plug_ns

    def open(self) -> None:
        if self.now_ns() < self._plug_ns:
            raise PortError("simavr: the cable is out")
        self._open = True

    def read(self) -> bytes:
        self._must_be_plugged()
        heard, self._heard = self._heard, b""
        return heard

    def write(self, data: bytes) -> int:
        self._must_be_plugged()
        self._c.rig_send(self._rig, data, len(data))
        return len(data)

    def wait(self, timeout_s: float) -> None:
        until_ns = self.now_ns() + round(timeout_s * 1e9)
        while not self._heard and self.now_ns() < until_ns:
            self._run(STEP_NS * CYCLES_PER_US // 1000)

    def close(self) -> None:
        self._open = False
        self._heard = b""

    def _must_be_plugged(self) -> None:
        if not self._plugged:
            raise PortError("simavr: the cable is out")

    # ---- the hand

    def edges(self) -> list[GateEdge]:
        """Turning a pin into an output at rest is none."""
        return [edge for n, edge in enumerate(self._edges) if edge.on or self._was_on(n)]

    def _was_on(self, n: int) -> bool:
        before = [edge.on for edge in self._edges[:n] if edge.gate == self._edges[n].gate]
        return bool(before) and before[-1]

    def clock_pairs(self) -> list[tuple[int, int]]:
        now, second = int(self._c.rig_cycle(self._rig)), 1_000_000 * CYCLES_PER_US
        begun = int(self._c.rig_timer_begun(self._rig))
        cycles = range(max(begun, now - second), now, second // 100)
        return [((cycle - begun) // CYCLES_PER_US, self._host_ns(cycle)) for cycle in cycles]

    def set_estop(self, pressed: bool) -> None:
        self._c.rig_estop(self._rig, int(pressed))

    def reboot(self) -> None:
        self._c.rig_reset(self._rig)

    def unplug(self, seconds: float) -> None:
        self._plug_ns = self.now_ns() + round(seconds * 1e9)

    def end(self) -> None:
        self.close()
