"""A port that may be lost at any moment and is opened again, later and later. Knows no protocol.

The owner's thread calls `wait`, `take` and the opening; `write` may be called by whoever holds the owner's lock. A port that
breaks under a write of another thread is only noted there: the owner drops it with its next poll.
"""

from typing import Protocol

from firmware_bridge.errors import PortError

MS = 1_000_000
FIRST_BACK_OFF_NS = 250 * MS
LONGEST_BACK_OFF_NS = 500 * MS  # so that a cable that is back is used within 2 s, greeting and clock included


class Transport(Protocol):
    """A way to move bytes that can be lost and opened again. Nothing here blocks over 50 ms except `wait` and `open`."""

    name: str

    def open(self) -> None:
        """Raises PortError."""

    def read(self) -> bytes:
        """What has arrived; empty if nothing. Raises PortError when the port is gone."""

    def write(self, data: bytes) -> int:
        """How many of the bytes were taken. Raises PortError when the port is gone."""

    def wait(self, timeout_s: float) -> None:
        """Return when something can be read, or after the timeout."""

    def close(self) -> None:
        """Never raises."""


class KeptPort:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._read = bytearray()
        self._next_open_ns = 0
        self._back_off_ns = FIRST_BACK_OFF_NS
        self.is_open = False
        self.closed = False  # for good
        self.broken: str | None = None
        """Why it is no longer of use; what a read or a write met."""

    @property
    def name(self) -> str:
        return self._transport.name

    # ---- the owner's thread

    def wait(self, timeout_s: float) -> None:
        """Sleep until bytes come, at most `timeout_s`, and take them in."""
        if not self._read:  # what came with the last look waits for nobody
            self._transport.wait(timeout_s)
        self.take_in()

    def take_in(self) -> None:
        if not self.is_open:
            return
        try:
            self._read += self._transport.read()
        except PortError as error:
            self.broken = str(error)

    def arrived(self) -> bytes:
        """Everything taken in since the last call."""
        arrived, self._read = bytes(self._read), bytearray()
        return arrived

    def may_open(self, now_ns: int) -> bool:
        return not self.is_open and not self.closed and now_ns >= self._next_open_ns

    def open(self, now_ns: int) -> None:
        """Without the owner's lock: the operating system may take its time. Raises PortError, to be tried again later."""
        try:
            self._transport.open()
        except PortError:
            self._next_open_ns = now_ns + self._back_off_ns
            self._back_off_ns = min(2 * self._back_off_ns, LONGEST_BACK_OFF_NS)
            raise

    # ---- under the owner's lock

    def opened(self) -> None:
        self.is_open, self.broken = True, None

    def drop(self, now_ns: int, was_of_use: bool) -> None:
        """Let go of it until it may be opened again; soon, if somebody had answered there."""
        self._transport.close()
        self.is_open, self.broken = False, None
        self._read.clear()
        if was_of_use:
            self._back_off_ns = FIRST_BACK_OFF_NS
        self._next_open_ns = now_ns + self._back_off_ns

    def write_from(self, outbox: bytearray) -> bytes:
        """Takes out of the outbox what the port takes now, and returns it; the rest waits for the next call."""
        if not outbox or not self.is_open or self.broken is not None:
            return b""
        try:
            taken = self._transport.write(bytes(outbox))
        except PortError as error:
            self.broken = str(error)
            return b""
        written = bytes(outbox[:taken])
        del outbox[:taken]
        return written

    def close(self) -> None:
        """For good."""
        self.closed, self.is_open = True, False
        self._transport.close()
