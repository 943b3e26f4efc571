"""The core as a small board runs it: a slow main loop, and a timer interrupt that moves the pins. Its edges are the pins'."""

import ctypes
import math

from firmware_bridge.virtual_device import Edge, VirtualDevice

ROWS = 4096
SLOW_US = 3000


class TimerDevice(VirtualDevice):
    """Its edges are those of the pins."""

    def __init__(self, loop_us: int = SLOW_US) -> None:
        super().__init__()
        self._memory_of_board = (ctypes.c_uint64 * (self._c.timer_board_size() // 8 + 1))()
        self._board = ctypes.addressof(self._memory_of_board)
        self._pin_rows = (ctypes.c_int64 * (3 * ROWS))()
        self._c.timer_board_init(self._board, loop_us)

    def advance(self, now_ns: int, position_counts: float) -> None:
        if self._position is None:
            self._epoch = math.floor(position_counts)
            self._position = position_counts
        start, end = self._position - self._epoch, position_counts - self._epoch
        from_us, to_us = self.clock.device_us(self._now_ns), self.clock.device_us(now_ns)
        self._waiting |= self._c.timer_board_advance(self._board, self._core, from_us, to_us, start, end)
        self._now_ns, self._position = now_ns, position_counts

    def edges(self) -> list[Edge]:
        super().edges()  # the core's own record is not what is judged here
        n = self._c.timer_board_edges(self._board, self._pin_rows)
        rows = self._pin_rows[: 3 * n]
        return [
            Edge(gate, bool(on), at_us, self.clock.host_ns(at_us), 0)
            for gate, on, at_us in zip(rows[0::3], rows[1::3], rows[2::3], strict=True)
        ]
