"""The rungs of truth: what stands behind the link in one and the same suite, and what each may be held to.

library   the core in virtual time, in this process          exact, bit for bit
simavr    the ATmega328P image, cycle by cycle                exact, at the speed of its own loop and of 250 kbaud
process   the core's own loop behind a pseudo-terminal        wall time: function, and an operating system's delays
qemu      the core bare on a Cortex-M3, emulated              a smoke test: the emulator's clock leaps
port      whatever is at --port                               a board; what needs a hand is skipped there
"""

from dataclasses import dataclass
from typing import Protocol

from firmware_bridge.kept_port import Transport

MS = 1_000_000
MM_PER_COUNT = 0.5


@dataclass(frozen=True, slots=True)
class Tolerances:
    sync_bound_us: int  # the link arms below this bound of the two clocks
    max_late_us: int  # as the device is configured
    edge_us: int  # from an edge of the device's own record to its due moment, beyond the clock bound that was stated
    edge_counts: float  # the same for windows in counts
    lease_ms: int
    dead_ms: float  # after the lease of a host that died: all outputs off
    patience_s: float = 8.0
    announced: tuple[int, int, bool] | None = None  # gates, queue depth, encoder; None: whatever it says


TOLERANCES = {
    "library": Tolerances(500, 1_000, 5, 2, 250, 5, announced=(8, 256, True)),
    "simavr": Tolerances(10_000, 5_000, 100, 4, 250, 5, announced=(4, 4, True)),
    "process": Tolerances(20_000, 50_000, 50_000, 60, 300, 60, announced=(8, 256, True)),
    "qemu": Tolerances(100_000, 100_000, 0, 0, 1000, 0, patience_s=30.0, announced=(8, 64, False)),
    "port": Tolerances(20_000, 50_000, 0, 0, 300, 0),
}


@dataclass(frozen=True, slots=True)
class GateEdge:
    """One output changed: from the device's own record, on the host's clock."""

    gate: int
    on: bool
    at_ns: int
    count: float


class Rung(Protocol):
    name: str

    @property
    def transport(self) -> Transport: ...

    def now_ns(self) -> int: ...

    def sleep(self, seconds: float) -> None:
        """Time passes and the host does nothing."""

    def end(self) -> None: ...


class Recorded(Rung, Protocol):
    """It writes down what its outputs did and when, and can be handled."""

    def edges(self) -> list[GateEdge]:
        """All since the beginning, in order."""

    def clock_pairs(self) -> list[tuple[int, int]]:
        """Moments as device us since boot and as host ns, both true: the newest last."""

    def set_estop(self, pressed: bool) -> None: ...

    def reboot(self) -> None: ...

    def unplug(self, seconds: float) -> None:
        """Returns at once; the cable is back after that time."""
