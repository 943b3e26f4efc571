"""The only place that reads a clock. Knows host monotonic and UTC time; knows nothing of device or belt time."""

import time
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Host monotonic time (CLOCK_MONOTONIC), ns."""

    def utc_ns(self) -> int:
        """Wall-clock time, ns since 1970. For people and records, never for timing."""

    def sleep_ns(self, duration_ns: int) -> None:
        """Let `duration_ns` pass."""


class SystemClock:
    def now_ns(self) -> int:
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        return time.time_ns()

    def sleep_ns(self, duration_ns: int) -> None:
        if duration_ns > 0:
            time.sleep(duration_ns / 1e9)


class ManualClock:
    """Time that passes only when told to: tests and the virtual line."""

    def __init__(self, now_ns: int = 0, utc_at_zero_ns: int = 1_767_225_600_000_000_000) -> None:
        self._now_ns = now_ns
        self._utc_at_zero_ns = utc_at_zero_ns

    def now_ns(self) -> int:
        return self._now_ns

    def utc_ns(self) -> int:
        return self._utc_at_zero_ns + self._now_ns

    def sleep_ns(self, duration_ns: int) -> None:
        self.advance_ns(duration_ns)

    def advance_ns(self, duration_ns: int) -> None:
        if duration_ns < 0:
            raise ValueError(f"time cannot go back by {-duration_ns} ns")
        self._now_ns += duration_ns

    def advance_ms(self, duration_ms: float) -> None:
        self.advance_ns(round(duration_ms * 1e6))

    def set_ns(self, now_ns: int) -> None:
        self.advance_ns(now_ns - self._now_ns)
