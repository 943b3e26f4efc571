"""The way from an open port to READY and back: greeting, configuration, clock, silence. Knows nothing of commands.

Bytes and host time in, bytes and replies out: no port, no thread, no clock. session.py builds the armed work on it.
"""

from dataclasses import dataclass
from random import Random

from firmware_bridge import wire
from firmware_bridge.clocksync import ClockSync, CountHistory
from firmware_bridge.codec import Frame, FrameReader, encode_frame
from firmware_bridge.errors import ProtocolError
from firmware_bridge.handshake import Configuring, Greeting
from firmware_bridge.messages import LinkChanged, Reply
from firmware_bridge.reports import EMPTY_VIEW, RoundTrips, View
from firmware_bridge.requests import Requests
from firmware_bridge.states import IN_SESSION, LINK_STATE, NEXT, Input, State

MS = 1_000_000
HELLO_EVERY_NS = 200 * MS
SYNC_EVERY_NS = 100 * MS
SYNC_QUICKLY_NS = 40 * MS
QUICK_SYNCS = 8
SILENT_NS = 250 * MS
RECONFIGURE_NS = 500 * MS
OUTBOX_BYTES = 4096
FTDI_LIKE_US = 8_000


@dataclass(frozen=True, slots=True)
class SessionSettings:
    sync_bound_us: int = 500
    """A wider clock bound does not allow arming; 2000 suits the wall-time twin on a busy desk."""


class Conversation:
    def __init__(self, settings: SessionSettings, rng: Random) -> None:
        self.settings = settings
        self.state = State.CLOSED
        self.outbox = bytearray()
        self.greeting = Greeting(rng)
        self.configuring = Configuring()
        self.requests = Requests()
        self.clock = ClockSync()
        self.belt = CountHistory()
        self.round_trips = RoundTrips()
        self.reader = FrameReader()
        self.foreign = 0  # frames of another session or that version 1 does not know
        self._replies: list[Reply] = []
        self._view: View | None = EMPTY_VIEW
        self._seq = 0
        self.heard_ns = 0
        self._next_hello_ns = self._next_sync_ns = self._next_configure_ns = 0
        self._problem = ""  # said once

    # ---- what the link does

    def opened(self, now_ns: int) -> None:
        self.outbox.clear()
        self.reader.restart()
        self._next_hello_ns = now_ns
        self._go(Input.OPENED, now_ns, "port open, greeting the device")

    def closed(self, now_ns: int, why: str) -> None:
        self.outbox.clear()
        if self.state is not State.CLOSED:
            self._go(Input.CLOSED, now_ns, why)

    def receive(self, data: bytes, now_ns: int) -> None:
        """`now_ns`: not before the last of these bytes was read. The clock bound rests on it."""
        self.reader.feed(data)
        while (frame := self.reader.next_frame()) is not None:
            self._hear(frame, now_ns)

    def tick(self, now_ns: int) -> None:
        """Does what is due. Calls further apart than a few ms cost punctuality only."""
        if self.state in (State.GREETING, State.LOST):
            self._greet(now_ns)
        elif self.state in IN_SESSION:
            if now_ns - self.heard_ns > SILENT_NS:
                self._go(Input.SILENT, now_ns, f"no answer for {(now_ns - self.heard_ns) // MS} ms")
                return
            self._watch_clock(now_ns)
            self._configure_step(now_ns)
            for message in self.requests.due(now_ns):
                self.requests.sent(message, self._send(message))

    def take_replies(self) -> list[Reply]:
        replies, self._replies = self._replies, []
        return replies

    def view(self) -> View:
        if self._view is None:
            self._view = View(self.clock.fit, self.belt.snapshot())
        return self._view

    def port_refused(self, now_ns: int, why: str) -> None:
        """The port cannot be opened; it will be tried again."""
        self._complain(now_ns, why)

    # ---- states

    def _go(self, what: Input, now_ns: int, detail: str, new_boot: bool = False) -> None:
        before, self.state = self.state, NEXT[self.state, what]
        if before in IN_SESSION and self.state is State.LOST:
            self._next_hello_ns = now_ns
            self._lost(what, now_ns)
        if LINK_STATE[before] is not LINK_STATE[self.state] or new_boot:
            self._say(now_ns, detail, new_boot)

    def _say(self, now_ns: int, detail: str, new_boot: bool = False) -> None:
        self._replies.append(LinkChanged(LINK_STATE[self.state], now_ns, detail, new_boot))

    def _complain(self, now_ns: int, problem: str) -> None:
        """Something a person must cure keeps the state from advancing: say it once."""
        if problem != self._problem:
            self._problem = problem
            self._say(now_ns, problem)

    def _lost(self, what: Input, now_ns: int) -> None:
        """The device is silent, gone or restarted. For the session to extend."""

    def _met(self, now_ns: int, fresh: bool) -> None:
        """The device answered. For the session to extend."""

    # ---- sending

    def _send(self, message: wire.ToDevice, session: int | None = None) -> int:
        """Returns the frame's sequence number."""
        seq = self._seq
        self._seq = (seq + 1) & 0xFF
        session = self.greeting.session_id if session is None else session
        if len(self.outbox) > OUTBOX_BYTES:
            return seq  # a line that takes no bytes: lost before the wire, and sent again like anything lost on it
        self.outbox += encode_frame(Frame(wire.type_of(type(message)), seq, session, wire.encode(message)))
        return seq

    def _greet(self, now_ns: int) -> None:
        if now_ns >= self._next_hello_ns:
            self._next_hello_ns = now_ns + HELLO_EVERY_NS
            self._send(self.greeting.hello(), session=0)

    def _watch_clock(self, now_ns: int) -> None:
        if now_ns >= self._next_sync_ns:
            quick = self.clock.exchanges < QUICK_SYNCS or self.state is State.SYNCING
            self._next_sync_ns = now_ns + (SYNC_QUICKLY_NS if quick else SYNC_EVERY_NS)
            self._send(wire.Sync(now_ns))
        bound_us = self.bound_us(now_ns)
        if self.state is State.SYNCING:
            if bound_us is not None and bound_us <= self.settings.sync_bound_us:
                self._problem = ""
                self._go(Input.SYNCED, now_ns, f"clock known within {bound_us} us")
            elif self.clock.exchanges > 2 * QUICK_SYNCS:
                self._complain(now_ns, self._why_unsynced())
        elif self.state in (State.READY, State.ARMED) and (
            bound_us is None or bound_us > 2 * self.settings.sync_bound_us
        ):
            self._go(Input.UNSYNCED, now_ns, "the device's clock jumped or is no longer known well enough")

    def bound_us(self, now_ns: int) -> int | None:
        return None if self.clock.fit is None else int(self.clock.fit.bound_ns(now_ns) / 1000) + 1

    def _why_unsynced(self) -> str:
        fastest_us = self.round_trips.fastest_us() or 0
        limit = f"the device's clock is not known within {self.settings.sync_bound_us} us"
        if fastest_us > FTDI_LIKE_US:
            return (
                f"{limit}: the fastest answer took {fastest_us / 1000:.1f} ms. An FTDI adapter does that with its latency "
                "timer at 16 ms: set it to 1 (station ports ping names the file and the udev rule). A board with a slow loop "
                "(ATmega328P) does it for good: link.max_sync_bound_us = 10000"
            )
        return f"{limit}: the fastest answer took {fastest_us / 1000:.1f} ms; is this computer overloaded?"

    # ---- configuring

    def _configure_step(self, now_ns: int) -> None:
        peer = self.greeting.peer
        if self.state is not State.CONFIGURING or peer is None or now_ns < self._next_configure_ns:
            return
        if self.requests.waiting(wire.Disarm):
            return  # an armed device refuses every configuration
        self._next_configure_ns = now_ns + RECONFIGURE_NS
        misfit = self.configuring.misfit(peer)
        if misfit is not None:
            self._complain(now_ns, misfit)
        elif self.configuring.held_by(peer.config_crc):
            self._configured(now_ns)
        elif self.configuring.begins_comparing(peer):
            self._compare(now_ns)
        else:
            self.configuring.comparison = None
            self.configuring.start()
            self._send_configuration()

    def _compare(self, now_ns: int) -> None:
        """Asks for what the device holds, one answer after the other; what differs is said, then it is configured."""
        comparison = self.configuring.comparison
        if comparison is None:
            return
        self._next_configure_ns = now_ns + RECONFIGURE_NS
        question = comparison.next_message()
        if question is not None:
            self.requests.ask(question)
        elif self.configuring.refused:
            self._complain(now_ns, self.configuring.compared())
        else:
            self._say(now_ns, self.configuring.compared())
            self._next_configure_ns = now_ns

    def _send_configuration(self) -> None:
        message = self.configuring.next_message()
        if message is not None:
            self.requests.ask(message)

    def _configured(self, now_ns: int) -> None:
        self._problem = ""
        self._go(Input.CONFIGURED, now_ns, "configuration held, comparing clocks")

    def _on_config_ack(self, request: wire.ConfigGate, error: int, now_ns: int) -> None:
        if self.state is not State.CONFIGURING:
            return
        if error:
            why = self.configuring.why_refused(error, request.gate)
            self._complain(now_ns, f"the device refuses the configuration: {why}")
        else:
            self._next_configure_ns = now_ns + RECONFIGURE_NS
            self._send_configuration()

    def _on_config(self, reply: wire.ConfigReply, now_ns: int) -> None:
        self.requests.drop(wire.ConfigCommit)
        peer = self.greeting.peer
        if self.state is not State.CONFIGURING or peer is None:
            return
        self.greeting.peer = peer = peer._replace(config_crc=reply.crc)
        if self.configuring.begins_explaining(peer, reply.error):
            self._compare(now_ns)
        elif reply.error:
            why = self.configuring.why_refused(reply.error, reply.gate)
            self._complain(now_ns, f"the device refuses the configuration: {why}")
        elif self.configuring.held_by(reply.crc):
            self._configured(now_ns)

    def _on_held(self, held: wire.HeldGate | wire.HeldCommon, now_ns: int) -> None:
        self.requests.drop(wire.ReadConfig)
        if self.state is State.CONFIGURING and self.configuring.comparison is not None:
            self.configuring.comparison.take(held)
            self._compare(now_ns)

    # ---- hearing

    def _hear(self, frame: Frame, now_ns: int) -> None:
        try:
            message = wire.decode(frame.type, frame.payload)
            if isinstance(message, wire.HelloReply):
                self.heard_ns = max(self.heard_ns, now_ns if self.greeting.is_answer(message) else 0)
                self._on_hello(message, now_ns)
            elif frame.session != self.greeting.session_id or self.state not in IN_SESSION:
                self.foreign += 1
            else:
                self.heard_ns = now_ns
                self._on_message(message, now_ns)
        except ProtocolError as error:
            self.foreign += 1
            if self.state in (State.GREETING, State.LOST):
                self._complain(now_ns, str(error))

    def _on_hello(self, reply: wire.HelloReply, now_ns: int) -> None:
        if self.state in IN_SESSION:
            ours = self.greeting.is_answer(reply)
            if reply.nonce == 0 or (ours and self.greeting.is_another(reply)):
                self._forgotten(now_ns, "the device has restarted and does not know this session")
            elif not ours:
                self.foreign += 1  # an answer to somebody else's HELLO, or to an older one of ours
        elif self.state is not State.CLOSED and self.greeting.is_answer(reply):
            self._meet(reply, now_ns)

    def _forgotten(self, now_ns: int, why: str) -> None:
        self.greeting.restart()
        self._go(Input.RESTARTED, now_ns, why)

    def _meet(self, reply: wire.HelloReply, now_ns: int) -> None:
        new_boot, fresh = self.greeting.meet(reply)
        if new_boot:
            self.clock.reset()
            self.belt.reset()
            self._view = None
        self.requests.drop(wire.ConfigGate)
        self.requests.drop(wire.ConfigCommit)
        self.requests.drop(wire.ReadConfig)
        self.configuring.comparison = None
        self._next_sync_ns = self._next_configure_ns = self.heard_ns = now_ns
        self._problem = ""
        self._met(now_ns, fresh)
        self._go(Input.GREETED, now_ns, f"device {reply.uid.hex()}, {reply.gates} gates", new_boot)

    def _on_message(self, message: wire.Message, now_ns: int) -> None:
        if isinstance(message, wire.SyncReply):
            self.round_trips.add(message, now_ns)
            if not self.clock.add(message.t1_ns, message.t2_us, message.t3_us, now_ns):
                self.belt.reset()  # its samples are stamped by the clock of before
            self._view = None
        elif isinstance(message, wire.ConfigReply):
            self._on_config(message, now_ns)
        elif isinstance(message, wire.HeldGate | wire.HeldCommon):
            self._on_held(message, now_ns)


def error_text(error: int) -> str:
    return wire.ERRORS.get(error, f"error {error}")
