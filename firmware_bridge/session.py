"""One conversation with a device, armed work included. Bytes and host time in, bytes and replies out; no port, no thread.

Theory. states.NEXT is the whole life of a session. Everything sent is safe to send twice: commands are absolute and
carry ids, HELLO of a held session resumes it, requests are repeated until acknowledged, the lease carries a counter that
only the station's loop advances. So loss costs time and never meaning, and recovery is the same path as the start: greet,
compare the configuration's CRC, compare clocks, and wait to be armed *again*, for no loss re-arms by itself.
"""

from random import Random

from firmware_bridge import wire
from firmware_bridge.commands import CAPACITY, LAST_SEND_NS, LOSS_WAIT_NS, CommandBook
from firmware_bridge.conversation import MS, Conversation, SessionSettings, error_text
from firmware_bridge.diverts import in_device_terms
from firmware_bridge.errors import ConfigRefused, QueueFull
from firmware_bridge.messages import (
    Accepted,
    DeviceConfig,
    Disarmed,
    DisarmReason,
    DivertCommand,
    EncoderSilent,
    Refusal,
    Refused,
)
from firmware_bridge.reports import EventLog, disarm_reason, refusal_of
from firmware_bridge.states import IN_SESSION, NEXT, Input, State

LEASE_EVERY_NS = 50 * MS
LEASE_NOT_BEFORE_NS = 8 * MS  # a fast loop must not fill a slow line
ENCODER_SILENT_NS = 100 * MS
RETRY_AT_LEAST_NS = 8 * MS
RETRY_BAD_LINE_NS = 4 * MS
BAD_LINE = 0.2  # from this share of unanswered sends on, bytes are lost rather than late
BACKLOG_BYTES = 512  # above this no command is repeated: the line is the bottleneck, not the peer
MAX_BELT_ACCEL_MM_S2 = 10_000.0
_LATCHED = {5: DisarmReason.FAULT, 6: DisarmReason.ESTOP}  # errors of ARM that waiting does not mend


class Session(Conversation):
    def __init__(self, settings: SessionSettings | None = None, rng: Random | None = None) -> None:
        super().__init__(settings or SessionSettings(), rng or Random())
        self.commands = CommandBook()
        self.status: wire.Status | None = None
        self._events = EventLog()
        self._want_armed = False
        self._want_permit = False
        self._armed_us = 0  # device time of the newest STATUS that said armed
        self._lease_counter = 0
        self._lease_is_news = False
        self._next_lease_ns = self._lease_not_before_ns = 0
        self._encoder_heard_ns = 0
        self._encoder_silent = False
        self._reach_ns = 0
        self._reach_count: float | None = None

    # ---- what the station wants

    def configure(self, config: DeviceConfig, now_ns: int) -> None:
        if self.state is State.ARMED:
            raise ConfigRefused("the device is armed: disarm it before it is configured")
        self.configuring.want(config)
        if config.mm_per_count is not None:
            self.belt.max_accel = MAX_BELT_ACCEL_MM_S2 / config.mm_per_count
        if (self.state, Input.RECONFIGURE) in NEXT:
            self._next_configure_ns = now_ns
            self._go(Input.RECONFIGURE, now_ns, "another configuration is wanted")

    def arm(self) -> None:
        if self.configuring.wanted is None:
            raise ConfigRefused("no gate configuration: configure() comes before arm()")
        self._want_armed = True

    def disarm(self) -> None:
        self._forget_arming()
        self.requests.ask(wire.Disarm())

    def stop(self) -> None:
        """Overtakes what is not yet on the wire: a frame cut in the middle is thrown away by the device."""
        self._forget_arming()
        self.outbox.clear()
        stop = wire.Stop()
        self.requests.ask(stop)
        if self.state in IN_SESSION:
            self.requests.sent(stop, self._send(stop))

    def set_permit(self, wanted: bool) -> None:
        self._want_permit = wanted
        self._lease_is_news = True

    def renew_lease(self, counter: int) -> None:
        self._lease_counter = counter & 0xFFFFFFFF
        self._lease_is_news = True

    def submit(self, command: DivertCommand, now_ns: int) -> None:
        if len(self.commands) >= CAPACITY:
            raise QueueFull(f"{CAPACITY} commands wait for their end: the link cannot keep up with the scheduler")
        may = self.state is State.ARMED and self._want_armed and command.command_id not in self.commands
        outcome = in_device_terms(command, self.clock.fit) if may else self._why_not(command)
        if isinstance(outcome, Refusal):
            self.commands.note_refusal(outcome)
            self._replies.append(Refused(command.command_id, outcome, now_ns))
        else:
            self.commands.add(command, outcome, now_ns)
            self._send_commands(now_ns)

    def _why_not(self, command: DivertCommand) -> Refusal:
        return Refusal.ID_CONFLICT if command.command_id in self.commands else Refusal.NOT_ARMED

    def cancel_all(self, now_ns: int) -> None:
        self._replies += self.commands.cancel(now_ns)
        self.requests.ask(wire.Cancel(0))

    def abandon(self, now_ns: int) -> None:
        """The link is given up: whatever has no final reply gets one now."""
        self._replies += self.commands.forget(now_ns, now_ns, None)

    def clear_fault(self) -> None:
        self.requests.ask(wire.ClearFault())

    def set_trigger(self, period_us: int, pulse_us: int) -> None:
        """Pulses of the camera trigger, told as TriggerGiven; 0 ends them. They end with the session too."""
        self.requests.ask(wire.Trigger(period_us, pulse_us))

    # ---- time

    def tick(self, now_ns: int) -> None:
        super().tick(now_ns)
        if self.state in IN_SESSION:
            if (
                self.state is State.READY
                and self._want_armed
                and not self.requests.waiting(wire.Arm, wire.Disarm, wire.Stop)
            ):
                self.requests.ask(wire.Arm(self.configuring.crc, self._want_permit))
            self.send_lease(now_ns)
            self._send_commands(now_ns)
            self._watch_encoder(now_ns)
        if self.commands.scan_due(now_ns):
            self._replies += self.commands.settle(now_ns, self._count_at(now_ns))

    def send_lease(self, now_ns: int) -> None:
        if self.state not in IN_SESSION:
            return
        at_once = self._lease_is_news and now_ns >= self._lease_not_before_ns
        if at_once or now_ns >= self._next_lease_ns:
            self._lease_is_news = False
            self._next_lease_ns = now_ns + LEASE_EVERY_NS
            self._lease_not_before_ns = now_ns + LEASE_NOT_BEFORE_NS
            self._send(wire.Lease(self._lease_counter, self._want_armed, self._want_permit))

    def _send_commands(self, now_ns: int) -> None:
        # A CANCEL sent again would take newer commands with it: they wait for its acknowledgement.
        may_send = self.state in (State.READY, State.ARMED) and not self.requests.waiting(wire.Cancel)
        if not self.commands.unanswered or not may_send:
            return
        if len(self.outbox) < BACKLOG_BYTES:
            round_trip_ns = max(RETRY_AT_LEAST_NS, 1250 * self.round_trips.p99_us())
            retry_ns = RETRY_BAD_LINE_NS if self.commands.loss() > BAD_LINE else round_trip_ns
            for divert in self.commands.due(now_ns, retry_ns, lambda: self._count_at(now_ns + LAST_SEND_NS)):
                self._send(divert)

    def _watch_encoder(self, now_ns: int) -> None:
        peer = self.greeting.peer
        silent_ns = now_ns - self._encoder_heard_ns
        if peer is None or not peer.has_encoder or silent_ns < ENCODER_SILENT_NS or self._encoder_silent:
            return
        self._encoder_silent = True
        self._replies.append(EncoderSilent(silent_ns // MS, now_ns))

    def _count_at(self, host_ns: int) -> float | None:
        found = self.view().count_at(host_ns)
        return None if found is None else found.count

    # ---- arming and loss

    def _forget_arming(self) -> None:
        self._want_armed = self._want_permit = False
        self._lease_is_news = True
        self.requests.drop(wire.Arm)

    def _disarmed(self, reason: DisarmReason, at_ns: int, now_ns: int) -> None:
        self._forget_arming()
        self.commands.expect_by(now_ns + LOSS_WAIT_NS)
        self._replies.append(Disarmed(reason, at_ns))
        self._go(Input.DISARMED, now_ns, f"disarmed: {reason.name.lower()}")

    def _go(self, what: Input, now_ns: int, detail: str, new_boot: bool = False) -> None:
        was_armed = self.state is State.ARMED
        super()._go(what, now_ns, detail, new_boot)
        if was_armed and what is Input.UNSYNCED:
            self.disarm()
            self._replies.append(Disarmed(DisarmReason.HOST, now_ns))

    def _lost(self, what: Input, now_ns: int) -> None:
        self._forget_arming()
        self.commands.expect_by(now_ns + LOSS_WAIT_NS)
        # No farther can the device have got: a silent one lives until its lease ends, a restarted one is no more.
        config = self.configuring.wanted
        lease_ms = config.lease_ms if config and what is not Input.RESTARTED else 0
        opening_us = max((gate.opening_delay_us for gate in config.gates), default=0) if config else 0
        self._reach_ns = now_ns + lease_ms * MS + opening_us * 1000
        self._reach_count = self.view().farthest_count(self._reach_ns)

    def _met(self, now_ns: int, fresh: bool) -> None:
        """A device that kept our session may still be armed; the station has been told LOST and must arm again."""
        self._encoder_heard_ns, self._encoder_silent, self.status = now_ns, False, None
        self.requests.ask(wire.Disarm())
        if fresh:
            self._events.restart()
            self._armed_us = 0
            self._replies += self.commands.forget(now_ns, self._reach_ns, self._reach_count)

    # ---- hearing

    def _on_message(self, message: wire.Message, now_ns: int) -> None:
        match message:
            case wire.Encoder():
                self._encoder_heard_ns, self._encoder_silent = now_ns, False
                self.belt.add(message.at_us, message.belt_count)
                self._view = None
            case wire.Status():
                self._on_status(message, now_ns)
            case wire.Answer():
                self._on_answer(message, now_ns)
            case wire.Events() if self._events.begun_anew(message):
                self._forgotten(now_ns, "another host had the device in between: it holds nothing of ours any more")
            case wire.Events():
                for event in self._events.fresh(message):
                    self._on_event(event, now_ns)
                self._send(wire.EventAck(self._events.newest))
            case wire.Ack():
                self._on_ack(message, now_ns)
            case _:
                super()._on_message(message, now_ns)

    def _on_status(self, status: wire.Status, now_ns: int) -> None:
        self.status = status
        if not self.configuring.held_by(status.config_crc) and (self.state, Input.RECONFIGURE) in NEXT:
            self._reconfigure(status.config_crc, now_ns)
        if status.armed:
            self._armed_us = status.now_us
            if self.state is State.READY and not self._want_armed and not self.requests.waiting(wire.Disarm):
                self.requests.ask(wire.Disarm())
        elif self.state is State.ARMED:
            self._disarmed(disarm_reason(status.disarm_reason), self._host_ns(status.now_us, now_ns), now_ns)

    def _reconfigure(self, held_crc: int, now_ns: int) -> None:
        """Somebody else has configured the device since: it is not armed before it holds ours again."""
        if self.greeting.peer is not None:
            self.greeting.peer = self.greeting.peer._replace(config_crc=held_crc)
        self._next_configure_ns = now_ns
        self.requests.drop(wire.Arm)
        detail = (
            f"the device holds configuration {held_crc:08x}, wanted is {self.configuring.crc:08x}: sending it again"
        )
        self._go(Input.RECONFIGURE, now_ns, detail)

    def _on_answer(self, answer: wire.Answer, now_ns: int) -> None:
        at_ns = self._host_ns(answer.now_us, now_ns)
        self.commands.heard_answer()
        if answer.answer == 0:
            if self.commands.accepted(answer.command_id):
                self._replies.append(Accepted(answer.command_id, at_ns))
        else:
            self._replies += self.commands.refused(answer.command_id, refusal_of(answer.answer), at_ns)

    def _on_event(self, event: wire.Event, now_ns: int) -> None:
        if event.kind == wire.EVENT_FIRED:
            if self.commands.ended(event.id):
                self._replies.append(self.view().fired(event, now_ns))
        elif event.kind == wire.EVENT_MISSED:
            if self.commands.ended(event.id):
                self._replies.append(self.view().not_fired(event, now_ns))
        elif event.kind == wire.EVENT_DISARMED and self.state is State.ARMED and event.on >= self._armed_us:
            self._disarmed(disarm_reason(event.extra), self._host_ns(event.on, now_ns), now_ns)
        elif (news := self.view().news(event, now_ns)) is not None:
            self._replies.append(news)

    def _on_ack(self, ack: wire.Ack, now_ns: int) -> None:
        match self.requests.acknowledged(ack):
            case wire.Arm():
                self._on_arm_ack(ack.error, now_ns)
            case wire.Cancel():
                self.commands.cancel_acknowledged(now_ns)
            case wire.ConfigGate() as request:
                self._on_config_ack(request, ack.error, now_ns)
            case wire.Trigger() if ack.error:
                self._say(now_ns, f"the device gives no camera trigger: {error_text(ack.error)}")
            case wire.ConfigCommit():
                self._complain(now_ns, f"the device refuses the configuration: {error_text(ack.error)}")
            case _:
                pass

    def _on_arm_ack(self, error: int, now_ns: int) -> None:
        if self.state is not State.READY:
            return
        if error:
            self._forget_arming()
            if error in _LATCHED:
                self._replies.append(Disarmed(_LATCHED[error], now_ns))
            self._say(now_ns, f"the device refuses to be armed: {error_text(error)}")
        else:
            self._go(Input.ARMED, now_ns, "armed")

    def _host_ns(self, device_us: int, now_ns: int) -> int:
        return self.view().host_ns(device_us, now_ns)
