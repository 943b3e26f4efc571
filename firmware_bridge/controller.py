"""The contract of whatever moves the gates: a serial microcontroller, its virtual twin, a relay board.

Every method returns at once (no call may block over 50 ms) and may be called from any one thread at a time per method
group: `submit`, `cancel_all`, `arm`, `disarm`, `renew_lease` from the sort loop; `stop` from anywhere (it overtakes every
queue and can only disarm); `poll` from the thread that owns the port; `count_at` and `status` from anywhere.
"""

from collections.abc import Sequence
from typing import Protocol

from firmware_bridge.messages import Capabilities, CountAt, DeviceConfig, DivertCommand, LinkStatus, Reply


class Controller(Protocol):
    def configure(self, config: DeviceConfig) -> None:
        """Set what the device must hold before it may be armed; sent at every new session, checked by CRC."""

    def arm(self) -> None:
        """Ask to be armed; takes effect when the session is READY and the configuration matches. Only `machine` asks."""

    def renew_lease(self, counter: int) -> None:
        """The loop is alive: `counter` must have advanced. The link resends the latest counter, never advances it."""

    def submit(self, command: DivertCommand, now_ns: int) -> None:
        """Enqueue. Exactly one final reply follows: Refused, Fired, NotFired or Unanswered."""

    def cancel_all(self) -> None:
        """Cancel every window that has not begun; each answers NotFired(CANCELLED)."""

    def disarm(self) -> None:
        """Close gates after windows in progress are cut, drop line_permit."""

    def stop(self) -> None:
        """Outputs off at once."""

    def clear_fault(self) -> None:
        """The operator has looked: forget latched faults. What is still wrong is found again."""

    def set_permit(self, wanted: bool) -> None:
        """Ask for line_permit (feeder may run) while armed; it drops by itself with the lease."""

    def poll(self, now_ns: int) -> Sequence[Reply]:
        """Move bytes and time forward; return what has been heard since the last call."""

    def count_at(self, host_ns: int) -> CountAt | None:
        """Encoder count at a host moment (interpolated, or extrapolated at most 30 ms), None when it cannot be said."""

    def capabilities(self) -> Capabilities | None:
        """None until a session exists."""

    def status(self) -> LinkStatus: ...

    def close(self) -> None: ...
