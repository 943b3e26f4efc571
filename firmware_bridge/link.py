"""A serial microcontroller behind the Controller contract: moves bytes between a transport and a session.

The owner's thread alternates `wait(timeout)` and `poll(now_ns)`, taking `now_ns` after `wait` returned: bytes are read in
`wait` and stamped in `poll`, so a stamp is never earlier than the byte, and the clock bound stays a bound. Every other
method may be called from another thread; each takes a short lock and writes at once if the port takes it.
"""

import threading
from collections.abc import Callable, Sequence

from firmware_bridge.conversation import MS, SessionSettings
from firmware_bridge.errors import PortError
from firmware_bridge.kept_port import KeptPort, Transport
from firmware_bridge.messages import Capabilities, CountAt, DeviceConfig, DivertCommand, LinkStatus, Reply
from firmware_bridge.reports import EMPTY_VIEW, fault_names
from firmware_bridge.session import Session
from firmware_bridge.states import IN_SESSION, LINK_STATE

WAIT_S = 0.005  # for the owner's `wait`: bytes end it early; commands do not wait for it
REOPEN_AFTER_NS = 3000 * MS  # of silence on an open port; longer than a bootloader waits

WireTap = Callable[[int, str, bytes], None]
"""(now_ns, ">" to the device or "<" from it, bytes), called for everything that crosses the port."""


class SerialController:
    """Implements controller.Controller."""

    def __init__(self, transport: Transport, session: Session | None = None, tap: WireTap | None = None) -> None:
        self._port = KeptPort(transport)
        self._session = session or Session(SessionSettings())
        self._tap = tap
        self._lock = threading.RLock()
        self._now_ns = 0
        self._opened_ns = 0
        self._view = EMPTY_VIEW
        self.reconnects = 0

    # ---- the owner's thread

    def wait(self, timeout_s: float) -> None:
        """Sleep until bytes come, at most `timeout_s`, and take them in."""
        self._port.wait(timeout_s)

    def poll(self, now_ns: int) -> Sequence[Reply]:
        """`now_ns`: read after `wait` returned."""
        self._now_ns = max(self._now_ns, now_ns)
        if self._port.may_open(now_ns):
            self._try_open(now_ns)
        arrived = self._port.arrived()
        with self._lock:
            session = self._session
            if arrived:
                self._trace("<", arrived)
                session.receive(arrived, now_ns)
            if self._port.broken is not None or self._silent_too_long(now_ns):
                self._drop_port(now_ns, self._port.broken or "the port is open but nobody answers: opening it again")
            session.tick(now_ns)
            self._flush()
            self._view = session.view()
            return session.take_replies()

    def _try_open(self, now_ns: int) -> None:
        try:
            self._port.open(now_ns)
        except PortError as error:
            with self._lock:
                self._session.port_refused(now_ns, str(error))
            return
        with self._lock:
            self._port.opened()
            self._opened_ns = now_ns
            self._session.opened(now_ns)

    def _silent_too_long(self, now_ns: int) -> bool:
        if not self._port.is_open or self._session.state in IN_SESSION:
            return False
        return now_ns - max(self._opened_ns, self._session.heard_ns) > REOPEN_AFTER_NS

    def _drop_port(self, now_ns: int, why: str) -> None:
        was_of_use = self._session.heard_ns > self._opened_ns
        self._port.drop(now_ns, was_of_use)
        self.reconnects += was_of_use
        self._session.closed(now_ns, why)

    # ---- any thread, under the lock

    def _flush(self) -> None:
        written = self._port.write_from(self._session.outbox)
        if written:
            self._trace(">", written)

    def _trace(self, direction: str, data: bytes) -> None:
        if self._tap is not None:
            self._tap(self._now_ns, direction, data)

    # ---- the contract

    def configure(self, config: DeviceConfig) -> None:
        with self._lock:
            self._session.configure(config, self._now_ns)

    def arm(self) -> None:
        with self._lock:
            self._session.arm()

    def renew_lease(self, counter: int) -> None:
        with self._lock:
            self._session.renew_lease(counter)
            self._session.send_lease(self._now_ns)
            self._flush()

    def submit(self, command: DivertCommand, now_ns: int) -> None:
        """Raises QueueFull beyond 256 commands without a final reply."""
        with self._lock:
            self._session.submit(command, now_ns)
            self._flush()

    def cancel_all(self) -> None:
        with self._lock:
            self._session.cancel_all(self._now_ns)

    def disarm(self) -> None:
        with self._lock:
            self._session.disarm()

    def stop(self) -> None:
        with self._lock:
            self._session.stop()
            self._flush()

    def set_permit(self, wanted: bool) -> None:
        with self._lock:
            self._session.set_permit(wanted)

    def clear_fault(self) -> None:
        """After the operator's reset: forget latched faults that are gone."""
        with self._lock:
            self._session.clear_fault()

    def set_trigger(self, period_us: int, pulse_us: int) -> None:
        """The camera's trigger output, where the board has one; 0 ends it."""
        with self._lock:
            self._session.set_trigger(period_us, pulse_us)

    def count_at(self, host_ns: int) -> CountAt | None:
        return self._view.count_at(host_ns)

    def capabilities(self) -> Capabilities | None:
        return self._session.greeting.capabilities()

    def status(self) -> LinkStatus:
        with self._lock:
            session, heard = self._session, self._session.status
            peer = session.greeting.peer
            return LinkStatus(
                state=LINK_STATE[session.state],
                timing="device",
                retries=session.commands.retries,
                nacks=dict(session.commands.nacks),
                sync_bound_us=session.bound_us(self._now_ns),
                round_trip_us=session.round_trips.median_us(),
                queue_free=heard.queue_free if heard else None,
                crc_errors=session.reader.damaged + (heard.crc_errors if heard else 0),
                reconnects=self.reconnects,
                boot_id=peer.boot_id if peer else None,
                line_permit=bool(heard and heard.permit and session.state in IN_SESSION),
                port=self._port.name,
                events_lost=heard.events_lost if heard else 0,
                faults=fault_names(heard.faults) if heard else (),
                foreign=session.foreign + (heard.foreign if heard else 0),
            )

    def close(self) -> None:
        """Outputs off if that can still be said, then lets go of the port. One more `poll` gives the last replies."""
        with self._lock:
            if self._port.is_open and self._session.state in IN_SESSION:
                self._session.stop()
                self._flush()
            self._port.close()
            self._session.closed(self._now_ns, "closed")
            self._session.abandon(self._now_ns)
