"""A station's side of a hostile line in virtual time: host, wire, device, belt, and a second host that speaks uninvited.

Does what it is told, remembers every reply, and checks while it lives what can only be checked then (that no command is
answered twice, that the clock bound holds). What happens when is drawn in soak_life; what it means is said in soak_judge.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from firmware_bridge import wire
from firmware_bridge.codec import FrameReader, encode_frame
from firmware_bridge.conversation import SessionSettings
from firmware_bridge.errors import QueueFull
from firmware_bridge.loopback import DeviceTransport, SteppedController, WireFaults
from firmware_bridge.messages import (
    DivertCommand,
    DuringTime,
    Fired,
    LinkChanged,
    LinkState,
    NotFired,
    Refused,
    Reply,
    Unanswered,
    Window,
)
from firmware_bridge.session import Session
from firmware_bridge.virtual_device import Edge, PositionOf
from tests.tools.soak_record import HostileClock, RecordedDevice
from tests.unit.firmware_bridge.bench import BOOT_NS, CONFIG, MS

Final = Refused | Fired | NotFired | Unanswered
POLL_NS = 5 * MS
STEP_NS = 2 * MS
SYNC_BOUND_US = 5000
INTRUDER_IDS = 1 << 30


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `from_ns` on the belt moves with constant acceleration."""

    from_ns: int
    counts: float
    counts_per_s: float
    accel: float


class Belt:
    """Counts at any moment; stretches are added as life goes on."""

    def __init__(self, counts_per_s: float) -> None:
        self.stretches = [Stretch(0, 0.0, counts_per_s, 0.0)]
        self._starts = [0]

    def at(self, host_ns: int) -> float:
        stretch = self._stretch(host_ns)
        s = (host_ns - stretch.from_ns) * 1e-9
        return stretch.counts + (stretch.counts_per_s + 0.5 * stretch.accel * s) * s

    def speed(self, host_ns: int) -> float:
        stretch = self._stretch(host_ns)
        return stretch.counts_per_s + stretch.accel * (host_ns - stretch.from_ns) * 1e-9

    def turn(self, from_ns: int, accel: float) -> None:
        """Another acceleration from then on; what was planned for later is off."""
        self._add(Stretch(from_ns, self.at(from_ns), self.speed(from_ns), accel))

    def _add(self, stretch: Stretch) -> None:
        while self._starts[-1] >= stretch.from_ns > 0:
            self._starts.pop()
            self.stretches.pop()
        self.stretches.append(stretch)
        self._starts.append(stretch.from_ns)

    def go(self, from_ns: int, counts_per_s: float, accel: float) -> int:
        """Another speed from then on; returns when it is reached."""
        change = counts_per_s - self.speed(from_ns)
        self.turn(from_ns, accel if change > 0 else -accel)
        reached_ns = from_ns + max(1, round(abs(change) / accel * 1e9))
        self._add(Stretch(reached_ns, self.at(reached_ns), counts_per_s, 0.0))
        return reached_ns

    def was_steady(self, from_ns: int, to_ns: int) -> bool:
        """It moved forward all the time between."""
        around = [from_ns, to_ns, *[ns for ns in self._starts if from_ns < ns < to_ns]]
        return all(self.speed(ns) > 0 for ns in around)

    def _stretch(self, host_ns: int) -> Stretch:
        return self.stretches[bisect_right(self._starts, host_ns) - 1]


class HostileTransport(DeviceTransport):
    """Lets another listen, and lets the host see the device's time shifted."""

    def __init__(self, device: RecordedDevice, position_of: PositionOf, faults: WireFaults, seed: int) -> None:
        super().__init__(device, position_of, faults, seed)
        self.sense_us = 0
        self.overheard: bytearray | None = None
        self.said: deque[bytes] = deque(maxlen=400)  # by any host, for those who repeat it
        self._liar = FrameReader()

    @property
    def lived_ns(self) -> int:
        """How far the device has got: what is done to it now happens then."""
        return self._now_ns

    def write(self, data: bytes) -> int:
        self.said.append(data)
        return super().write(data)

    def read(self) -> bytes:
        data = super().read()
        if self.overheard is not None:
            self.overheard += data
        if not data or not self.sense_us:
            return data
        self._liar.feed(data)
        told = bytearray()
        while (frame := self._liar.next_frame()) is not None:
            message = _shifted(wire.decode(frame.type, frame.payload), self.sense_us)
            told += encode_frame(type(frame)(frame.type, frame.seq, frame.session, wire.encode(message)))
        return bytes(told)


def _shifted(message: wire.Message, by_us: int) -> wire.Message:
    def moved(us: int) -> int:
        return (us + by_us) % 2**64

    match message:
        case wire.SyncReply():
            return message._replace(t2_us=moved(message.t2_us), t3_us=moved(message.t3_us))
        case wire.Answer() | wire.Status() | wire.HelloReply():
            return message._replace(now_us=moved(message.now_us))
        case wire.Encoder():
            return message._replace(at_us=moved(message.at_us))
        case wire.Events():
            return wire.Events(message.first_seq, tuple(e._replace(on=moved(e.on)) for e in message.events))
        case _:
            return message


class Intruder:
    """A second host on the same line with a session of its own, that greets, arms and commands if it is let."""

    def __init__(self, seed: int) -> None:
        self.session = Session(SessionSettings(SYNC_BOUND_US), Random(seed))
        self.session.configure(CONFIG, 0)
        self._leases = 0
        self._ids = INTRUDER_IDS

    def turn(self, cable: HostileTransport, now_ns: int) -> None:
        session = self.session
        if session.state is session.state.CLOSED:
            session.opened(now_ns)
        heard, cable.overheard = bytes(cable.overheard or b""), bytearray()
        session.receive(heard, now_ns)
        session.arm()
        self._leases += 1
        session.renew_lease(self._leases)
        if self._leases % 4 == 0 and len(session.commands) < 50:
            self._ids += 1
            window = DuringTime(now_ns + 60 * MS, now_ns + 100 * MS)
            session.submit(DivertCommand(self._ids, 1 << self._ids % 8, window), now_ns)
        session.tick(now_ns)
        session.take_replies()
        if cable.plugged:
            cable.to_device.inject(bytes(session.outbox), now_ns)
        session.outbox.clear()


class World:
    def __init__(self, seed: int, faults: WireFaults, belt: Belt, clock: HostileClock, count_start: int) -> None:
        self.seed, self.belt = seed, belt
        self.device = RecordedDevice(clock, count_start)
        self.cable = HostileTransport(self.device, belt.at, faults, seed)
        self.now_ns = BOOT_NS
        self.leasing = True
        self.clock_trusted = True
        self.state = LinkState.CLOSED
        self.commands: dict[int, DivertCommand] = {}
        self.finals: dict[int, Final] = {}
        self.orphans: set[int] = set()  # of a host that was killed: nobody is left to be told
        self.sessions: set[int] = set()  # ours
        self.heard: list[Reply] = []
        self.edges: list[Edge] = []
        self.device_stalls: list[tuple[int, int]] = []
        self.clock_leaps: list[int] = []  # of the device's own clock
        self.broken: list[str] = []
        self.intruder: Intruder | None = None
        self._counter = 0
        self._next_arm_ns = 0
        self._hosts = 0
        self._jumps = 0
        self.start_host()

    def start_host(self) -> None:
        """A new process; what the last one had open stays without an end."""
        self.orphans |= self.commands.keys() - self.finals.keys()
        self._hosts += 1
        self.session = Session(SessionSettings(SYNC_BOUND_US), Random(f"{self.seed}/{self._hosts}"))
        self.controller = SteppedController(self.cable, self.session, step_ns=STEP_NS)
        self.controller.configure(CONFIG)
        self.cable.close()
        self.state = LinkState.CLOSED
        self.clock_trusted = True

    def run(self, seconds: float) -> None:
        end_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < end_ns:
            self.now_ns += POLL_NS
            self.poll()

    def stall(self, milliseconds: int) -> None:
        """The host's process does not run; wire and device do."""
        end_ns = self.now_ns + milliseconds * MS
        while self.now_ns < end_ns:
            self.now_ns += STEP_NS
            self.cable.advance(self.now_ns)
        self.controller._lived_ns = self.now_ns
        self.poll()

    def poll(self) -> None:
        self._take(self.controller.poll(self.now_ns))
        self.sessions.add(self.session.greeting.session_id)
        if self.leasing and self.state is LinkState.READY and self.now_ns >= self._next_arm_ns:
            self._next_arm_ns = self.now_ns + 100 * MS
            self.controller.arm()  # again if a stop has come in between
        if self.leasing:
            self._counter += 1
            self.controller.renew_lease(self._counter)
        self.edges += self.device.edges()
        if self.intruder is not None:
            self.intruder.turn(self.cable, self.now_ns)

    def _take(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            self.heard.append(reply)
            if isinstance(reply, LinkChanged):
                self.state = reply.state
            elif isinstance(reply, Refused | Fired | NotFired | Unanswered):
                if reply.command_id in self.finals:
                    self.broken.append(f"command {reply.command_id} has a second final reply: {reply}")
                self.finals[reply.command_id] = reply

    def submit(self, window: Window, gate_mask: int) -> int | None:
        command_id = len(self.commands) + 1
        command = DivertCommand(command_id, gate_mask, window)
        try:
            self.controller.submit(command, self.now_ns)
        except QueueFull:
            return None  # the caller is told at once: nothing was begun
        self.commands[command_id] = command
        self._check_clock(command)
        return command_id

    def _check_clock(self, command: DivertCommand) -> None:
        """The window as sent lies within the published bound of the one that was wanted."""
        pending = self.session.commands._unanswered.get(command.command_id)
        fit, window = self.session.clock.fit, command.window
        self.clock_trusted |= self.session.clock.jumps > self._jumps and not self.cable.sense_us
        if pending is None or fit is None or not isinstance(window, DuringTime) or not self.clock_trusted:
            return
        off_ns = abs(self.device.clock.host_ns(pending.message.start) - window.start_ns)
        bound_ns = fit.bound_ns(window.start_ns)
        if off_ns > bound_ns + 2000:
            self.broken.append(f"command {command.command_id}: {off_ns} ns off, the clock bound says {bound_ns:.0f} ns")

    def clock_stepped(self) -> None:
        self.clock_trusted = False
        self._jumps = self.session.clock.jumps

    def count(self) -> float:
        """What a station would know: the newest encoder count, carried on."""
        found = self.controller.count_at(self.now_ns)
        return float("nan") if found is None else found.count
