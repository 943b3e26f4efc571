"""An off-the-shelf Modbus RTU relay board behind the Controller contract: host-timed and labelled so, slow flaps only.

Moves bytes between a transport and a relay session, as link.py does for a microcontroller, and keeps the same rules: the
owner's thread alternates `wait` and `poll`, every other method may be called from another thread and blocks nothing.
"""

import threading
from collections.abc import Sequence

from firmware_bridge.errors import ConfigRefused, PortError
from firmware_bridge.kept_port import KeptPort, Transport
from firmware_bridge.link import WireTap
from firmware_bridge.messages import (
    Capabilities,
    CountAt,
    DeviceConfig,
    DisarmReason,
    DivertCommand,
    LinkState,
    LinkStatus,
    Refusal,
    Refused,
    Reply,
)
from firmware_bridge.relay_plan import CAPACITY
from firmware_bridge.relay_session import RelaySession, RelaySettings


class RelayBoard:
    """Implements controller.Controller, with `wait` like SerialController."""

    def __init__(self, transport: Transport, settings: RelaySettings, tap: WireTap | None = None) -> None:
        self._port, self._settings = KeptPort(transport), settings
        self._session = RelaySession(settings, transport.name)
        self._tap = tap
        self._lock = threading.RLock()
        self._now_ns = 0
        self._nacks: dict[str, int] = {}

    # ---- the owner's thread

    def wait(self, timeout_s: float) -> None:
        """Sleep until bytes come or an edge is due, at most `timeout_s`."""
        with self._lock:
            plan = self._session.plan
            edge_ns = plan.next_edge_ns(self._now_ns) if plan is not None else None
        if edge_ns is not None:
            timeout_s = min(timeout_s, (edge_ns - self._now_ns) * 1e-9)
        self._port.wait(timeout_s)

    def poll(self, now_ns: int) -> Sequence[Reply]:
        self._now_ns = max(self._now_ns, now_ns)
        if self._port.may_open(now_ns):
            self._try_open(now_ns)
        self._port.take_in()
        arrived = self._port.arrived()
        with self._lock:
            session = self._session
            if self._port.broken is not None:
                why = self._port.broken
                self._port.drop(now_ns, was_of_use=True)
                session.lost(now_ns, why)
            elif arrived:
                self._trace("<", arrived)
                session.receive(arrived, now_ns)
            session.tick(now_ns)
            self._speak()
            replies, session.replies = session.replies, []
        return replies

    def _try_open(self, now_ns: int) -> None:
        try:
            self._port.open(now_ns)
        except PortError:
            return
        with self._lock:
            self._port.opened()
            self._session.opened(now_ns)

    def _speak(self) -> None:
        """Ask what is due and write what the port takes now."""
        if self._port.is_open and self._port.broken is None:
            self._session.speak(self._now_ns)
            self._trace(">", self._port.write_from(self._session.master.outbox))

    def _trace(self, direction: str, data: bytes) -> None:
        if self._tap is not None and data:
            self._tap(self._now_ns, direction, data)

    # ---- the contract

    def configure(self, config: DeviceConfig) -> None:
        with self._lock:
            self._session.configure(config)

    def arm(self) -> None:
        with self._lock:
            if self._session.config is None:
                raise ConfigRefused("no gate configuration: configure() comes before arm()")
            self._session.want_armed = True

    def renew_lease(self, counter: int) -> None:
        with self._lock:
            self._session.renew_lease(counter, self._now_ns)

    def submit(self, command: DivertCommand, now_ns: int) -> None:
        """Beyond 64 commands without an end it is refused FULL, as a device would."""
        with self._lock:
            session = self._session
            refusal: Refusal | None = Refusal.NOT_ARMED
            if session.state is LinkState.ARMED and session.want_armed and session.plan is not None:
                refusal = session.plan.take(command, now_ns, session.transit_ns())
            if refusal is not None:
                name = refusal.name.lower()
                self._nacks[name] = self._nacks.get(name, 0) + 1
                session.replies.append(Refused(command.command_id, refusal, now_ns))

    def cancel_all(self) -> None:
        with self._lock:
            if self._session.plan is not None:
                self._session.replies += self._session.plan.cancel(self._now_ns)

    def disarm(self) -> None:
        with self._lock:
            self._session.disarm(DisarmReason.HOST, self._now_ns)
            self._speak()

    def stop(self) -> None:
        """Relays off with the next write. One under way must be answered first: the line carries one at a time."""
        with self._lock:
            self._session.disarm(DisarmReason.STOP, self._now_ns)
            self._speak()

    def clear_fault(self) -> None:
        """It latches none."""

    def set_permit(self, wanted: bool) -> None:
        with self._lock:
            self._session.want_permit = wanted

    def count_at(self, host_ns: int) -> CountAt | None:
        """No encoder."""
        return None

    def capabilities(self) -> Capabilities | None:
        with self._lock:
            config, state = self._session.config, self._session.state
        if config is None or state in (LinkState.CLOSED, LinkState.GREETING):
            return None
        uid = f"modbus {self._settings.device_id}"
        return Capabilities("host", False, len(config.gates), CAPACITY, CAPACITY, 0, uid, "relay board")

    def status(self) -> LinkStatus:
        with self._lock:
            session = self._session
            trip_ns = session.master.round_trip_ns
            return LinkStatus(
                state=session.state,
                timing="host",
                retries=session.master.unanswered,
                nacks=dict(self._nacks),
                sync_bound_us=None,  # there is no other clock
                round_trip_us=None if trip_ns is None else trip_ns // 1000,
                queue_free=None if session.plan is None else CAPACITY - len(session.plan),
                crc_errors=0,
                reconnects=session.losses,
                boot_id=None,
                line_permit=self._settings.permit_relay and bool(session.written and session.written[-1]),
                port=self._port.name,
            )

    def close(self) -> None:
        """Relays off if that can still be said. One more `poll` gives the last replies."""
        with self._lock:
            self.stop()
            self._port.close()
