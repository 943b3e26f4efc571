"""The microcontroller as a twin: the firmware's own C core, in lock-step here or as a process of its own.

`VirtualDevice` is the core in virtual time: the caller owns the clock and the belt and moves both forward; every edge falls
on its due microsecond. `python -m firmware_bridge.virtual_device` is the same core in wall time behind a pseudo-terminal:
Python only enters the C loop and stays out of the timing path. Knows nothing of the wire; bytes pass through.
"""

import ctypes
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from firmware_bridge.firmware.load import load_core

EDGE_ROWS: Final = 256
TRANSMIT_BYTES: Final = 16384
LONGEST_EVEN_STEP_NS: Final = 5_000_000
"""The belt counts as moving evenly over at most this long."""

EDGES_WAIT: Final = 1
BYTES_WAIT: Final = 2

PositionOf = Callable[[int], float]
"""Belt position in encoder counts, with its fraction, at a host moment in ns. Whole numbers work but blur the measured rate."""


class Pin(IntEnum):
    ESTOP = 0
    BELT_RUNNING = 1
    PHOTO_EYE = 2


class ResetCause(IntEnum):
    UNKNOWN = 0
    POWER = 1
    PIN = 2
    WATCHDOG = 3
    SOFTWARE = 4


@dataclass(frozen=True, slots=True)
class Edge:
    """One output changed. From the device's own record."""

    gate: int
    on: bool
    at_us: int  # device clock, since boot
    at_ns: int  # the same moment on the host's clock
    count: int  # since boot


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """The device's microseconds since boot against the host's nanoseconds."""

    boot_ns: int = 0
    drift_ppm: float = 0.0

    def device_us(self, host_ns: int) -> int:
        since_ns = host_ns - self.boot_ns
        return (since_ns + round(since_ns * self.drift_ppm * 1e-6)) // 1000

    def host_ns(self, device_us: int) -> int:
        """The first host nanosecond at which `device_us` is reached."""
        host_ns = self.boot_ns + math.ceil(device_us * 1000 / (1.0 + self.drift_ppm * 1e-6))
        while self.device_us(host_ns) < device_us:
            host_ns += 1
        while self.device_us(host_ns - 1) >= device_us:
            host_ns -= 1
        return host_ns


class VirtualDevice:
    """Moments are host nanoseconds and must not go back. Positions are encoder counts on the caller's own belt."""

    def __init__(
        self,
        *,
        gates: int = 8,
        has_encoder: bool = True,
        clock: DeviceClock | None = None,
        uid: int = 0x5EED,
        boot_id: int = 1,
        library: str | None = None,
    ) -> None:
        self._c = load_core(library)
        self._memory = (ctypes.c_uint64 * (self._c.sc_size() // 8 + 1))()
        self._core = ctypes.addressof(self._memory)
        self._rows = (ctypes.c_int64 * (4 * EDGE_ROWS))()
        self._out = ctypes.create_string_buffer(TRANSMIT_BYTES)
        self._gates, self._has_encoder, self._uid = gates, has_encoder, uid
        self._edges: list[Edge] = []
        self._waiting = 0
        self.clock = clock or DeviceClock()
        self.unplugged = False
        """The cable: while true nothing is received and what is sent is lost."""
        self.boot_id = boot_id
        self._boot(self.clock.boot_ns, ResetCause.POWER)

    def _boot(self, now_ns: int, cause: ResetCause) -> None:
        self._now_ns = now_ns
        self._position: float | None = None  # on the caller's belt; known with the first advance after a boot
        self._epoch = 0
        self._c.sc_init(self._core, self._uid, self.boot_id, cause, self._gates, self._has_encoder)

    def reboot(self, now_ns: int, cause: ResetCause = ResetCause.WATCHDOG) -> None:
        """Outputs fall at once, counts and microseconds begin again, everything is forgotten."""
        on, at_us = self.outputs(), self.clock.device_us(now_ns)
        self._collect()
        count = self._c.sc_count(self._core)
        self._edges += [Edge(g, False, at_us, now_ns, count) for g in range(self._gates) if on >> g & 1]
        self.boot_id += 1
        self.clock = DeviceClock(now_ns, self.clock.drift_ppm)
        self._boot(now_ns, cause)

    def receive(self, data: bytes, now_ns: int) -> None:
        if self.unplugged or not data:
            return
        self._c.sc_receive(self._core, data, len(data), self.clock.device_us(now_ns))
        self._waiting |= EDGES_WAIT | BYTES_WAIT

    def transmit(self) -> bytes:
        if not self._waiting & BYTES_WAIT:
            return b""
        self._waiting &= ~BYTES_WAIT
        n = self._c.sc_transmit(self._core, self._out, TRANSMIT_BYTES)
        return b"" if self.unplugged else ctypes.string_at(self._out, n)

    def unplug(self) -> None:
        self.unplugged = True

    def replug(self) -> None:
        self._c.sc_link_reset(self._core)
        self.unplugged = False

    def set_input(self, pin: int, level: bool, now_ns: int) -> None:
        self._c.sc_set_input(self._core, pin, level, self.clock.device_us(now_ns))
        self._waiting |= EDGES_WAIT | BYTES_WAIT

    def advance(self, now_ns: int, position_counts: float) -> None:
        """The belt has moved evenly to `position_counts` since the last advance; whatever was due on the way has happened."""
        if self._position is None:
            self._epoch = math.floor(position_counts)
            self._position = position_counts
        start, end = self._position - self._epoch, position_counts - self._epoch
        from_us, to_us = self.clock.device_us(self._now_ns), self.clock.device_us(now_ns)
        self._waiting |= self._c.lockstep_advance(self._core, from_us, to_us, start, end)
        self._now_ns, self._position = now_ns, position_counts

    def advance_to(self, now_ns: int, position_of: PositionOf) -> None:
        """`advance` over any time on a belt that changes its speed."""
        if self._position is None:
            self.advance(self._now_ns, position_of(self._now_ns))
        while self._now_ns < now_ns:
            step_ns = min(now_ns, self._now_ns + LONGEST_EVEN_STEP_NS)
            self.advance(step_ns, position_of(step_ns))

    def next_due_ns(self) -> int | None:
        """When the core has to be ticked again if neither bytes nor counts come; None: never."""
        due_us: int = self._c.sc_next_due_us(self._core)
        return None if due_us > 1 << 62 else max(self._now_ns, self.clock.host_ns(due_us))

    def _collect(self) -> None:
        while n := self._c.sc_take_edges(self._core, self._rows, EDGE_ROWS):
            rows = self._rows[: 4 * n]
            for gate, on, at_us, count in zip(rows[0::4], rows[1::4], rows[2::4], rows[3::4], strict=True):
                self._edges.append(Edge(gate, bool(on), at_us, self.clock.host_ns(at_us), count))

    def edges(self) -> list[Edge]:
        """Since the last call, in order."""
        if self._waiting & EDGES_WAIT:
            self._waiting &= ~EDGES_WAIT
            self._collect()
        taken, self._edges = self._edges, []
        return taken

    def outputs(self) -> int:
        """Bit per gate that acts now."""
        return int(self._c.sc_outputs(self._core))

    @property
    def levels(self) -> int:
        return int(self._c.sc_levels(self._core))

    @property
    def armed(self) -> bool:
        return bool(self._c.sc_armed(self._core))

    @property
    def permit(self) -> bool:
        return bool(self._c.sc_permit(self._core))

    @property
    def disarm_reason(self) -> int:
        return int(self._c.sc_disarm_reason(self._core))

    @property
    def count(self) -> int:
        """Encoder count since boot."""
        return int(self._c.sc_count(self._core))

    @property
    def edges_lost(self) -> int:
        return int(self._c.sc_edges_lost(self._core))


def main(arguments: list[str] | None = None) -> int:
    """Becomes the device: see hal/posix/device_main.c for its arguments and the lines it reads on stdin."""
    words = [word.encode() for word in ["virtual_device", *(sys.argv[1:] if arguments is None else arguments)]]
    return int(load_core().posix_run(len(words), (ctypes.c_char_p * len(words))(*words)))


if __name__ == "__main__":
    sys.exit(main())
