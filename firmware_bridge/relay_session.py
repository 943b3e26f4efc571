"""One conversation with a Modbus relay board: everything off, watchdog programmed and read back, then the plan's relays.

Bytes and host time in, bytes and replies out: no port, no thread. Theory: every write carries all relays at once, so a write
that is repeated changes nothing and the newest is the whole truth. One is due at every edge of the plan and several times per
lease; between them the board's own watchdog lets every relay drop when this process is silent. A board without one would
hold its last outputs for ever: it is never armed. A write that may have come after the watchdog's time opens nothing again;
a board that restarts between two writes cannot be told from one that did not until its watchdog is read (each second): within
that time it may open a gate once more inside the same window, and has no watchdog should the cable go too.
"""

from dataclasses import dataclass
from enum import Enum, auto

from firmware_bridge.errors import ConfigRefused
from firmware_bridge.messages import DeviceConfig, Disarmed, DisarmReason, LinkChanged, LinkState, Reply
from firmware_bridge.modbus_master import Answer, Master
from firmware_bridge.relay_plan import RelayPlan

MS = 1_000_000
SLOW_HOLD_MS = 100  # a gate that must act shorter than this is no slow flap
LEAST_LATE_MS = 20  # one exchange at 9600 baud
FIRST_TRANSIT_NS = 40 * MS  # until one has been measured
LOST_AFTER = 3  # unanswered requests in a row
CHECK_EVERY_NS = 1000 * MS
EDGE_NEAR_NS = 80 * MS  # an exchange must not be under way when a write is due
REFUSED_PAUSE_NS = 250 * MS
_OFF_LINE = (LinkState.CLOSED, LinkState.GREETING, LinkState.LOST)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    device_id: int = 1
    baud: int = 9600
    first_coil: int = 0  # gate g is relay first_coil + g
    permit_relay: bool = False  # the relay after the gates' is line_permit
    watchdog_register: int | None = None  # holding register of its timeout; None: the board has none
    watchdog_unit_ms: int = 1
    answer_within_ms: int = 100


class Ask(Enum):
    """What the request under way is about."""

    RELAYS = auto()
    PROGRAM = auto()
    CHECK = auto()


class RelaySession:
    def __init__(self, settings: RelaySettings, name: str) -> None:
        self.master = Master(settings.device_id, settings.baud, settings.answer_within_ms * MS)
        self.plan: RelayPlan | None = None
        self.config: DeviceConfig | None = None
        self.state = LinkState.CLOSED
        self.replies: list[Reply] = []
        self.want_armed = self.want_permit = False
        self.losses = 0
        self._settings, self._name = settings, name
        self._setup: list[Ask] = []
        self._asked = Ask.RELAYS
        self._image_ns = 0  # of the write under way
        self._fed_ns = 0  # when the last write left that is known to have fed the board's watchdog
        self._writing: list[bool] = []
        self.written: list[bool] | None = None  # what the last acknowledged write said
        self._not_before_ns = self._next_write_ns = self._next_check_ns = 0
        self._missed = 0
        self._watchdog_holds = False
        self._lease_counter: int | None = None
        self._renewed_ns = 0
        self._said = ""

    # ---- what the station wants

    def configure(self, config: DeviceConfig) -> None:
        if self.state is LinkState.ARMED:
            raise ConfigRefused("the board is armed: disarm it before it is configured")
        check(config)
        self.config, self.plan = config, RelayPlan(config)
        self._begin()

    def renew_lease(self, counter: int, now_ns: int) -> None:
        if counter != self._lease_counter:
            self._lease_counter, self._renewed_ns = counter, now_ns

    def disarm(self, reason: DisarmReason, now_ns: int) -> None:
        self._forget_arming(now_ns, lost=False)
        if self.state is LinkState.ARMED:
            self.replies.append(Disarmed(reason, now_ns))
            self._say(now_ns, LinkState.READY, f"disarmed: {reason.name.lower()}")

    def transit_ns(self) -> int:
        """What a write and its acknowledgement take."""
        return self.master.round_trip_ns or FIRST_TRANSIT_NS

    # ---- the port

    def opened(self, now_ns: int) -> None:
        self.master.restart()
        self._begin()
        if self.state is LinkState.CLOSED:
            self._say(now_ns, LinkState.GREETING, "port open")

    def lost(self, now_ns: int, why: str) -> None:
        """Nobody can say what the board did with what it had been told."""
        self.master.restart()
        self._begin()
        if self.state in _OFF_LINE:
            return
        was_armed = self.state is LinkState.ARMED
        self._forget_arming(now_ns, lost=True)
        if was_armed:
            self.replies.append(Disarmed(DisarmReason.LEASE, now_ns))
        self.losses += 1
        self._say(now_ns, LinkState.LOST, why)

    def receive(self, data: bytes, now_ns: int) -> None:
        answer = self.master.receive(data, now_ns)
        if answer is not None:
            self._missed = 0
            self._answered(answer, now_ns)

    def tick(self, now_ns: int) -> None:
        if self.master.gave_up(now_ns):
            self._missed += 1
            self._next_write_ns = now_ns
            if self._missed >= LOST_AFTER:
                self.lost(now_ns, f"{LOST_AFTER} requests in a row were not answered")
        self._watch_lease(now_ns)
        if self.plan is not None:
            if self.state is LinkState.ARMED and now_ns + self.transit_ns() >= self._fed_ns + self._watchdog_ns():
                self.replies += self.plan.interrupted(now_ns)
            self.replies += self.plan.late(now_ns, self.transit_ns())

    def speak(self, now_ns: int) -> None:
        """The next request, if the line is free and one is due."""
        if self.config is None or now_ns < self._not_before_ns or not self.master.may_ask(now_ns):
            return
        asked = self._next(now_ns)
        if asked is not None:
            self._asked = asked
            self._ask(asked, now_ns)

    # ---- asking

    def _begin(self) -> None:
        self._setup = self._whole_setup()
        self.written, self._missed, self._watchdog_holds, self._not_before_ns = None, 0, False, 0

    def _whole_setup(self) -> list[Ask]:
        known = self._settings.watchdog_register is not None
        return [Ask.RELAYS, Ask.PROGRAM, Ask.CHECK] if known else [Ask.RELAYS]

    def _next(self, now_ns: int) -> Ask | None:
        if self._setup:
            return self._setup[0]
        if self._image(now_ns) != self.written or now_ns >= self._next_write_ns:
            return Ask.RELAYS
        edge_ns = self.plan.next_edge_ns(self._image_ns) if self.plan is not None else None
        if edge_ns is not None and edge_ns <= now_ns:
            return Ask.RELAYS  # a window that joins another moves no relay, but its command must be acknowledged too
        quiet = edge_ns is None or edge_ns > now_ns + EDGE_NEAR_NS
        return Ask.CHECK if self._watchdog_holds and quiet and now_ns >= self._next_check_ns else None

    def _ask(self, asked: Ask, now_ns: int) -> None:
        settings, config = self._settings, self.config
        assert config is not None
        if asked is Ask.RELAYS:
            self._writing, self._image_ns = self._image(now_ns), now_ns
            self._next_write_ns = now_ns + config.lease_ms * MS // 4
            self.master.write_coils(settings.first_coil, self._writing, now_ns)
            if self.plan is not None and self.state is LinkState.ARMED:
                self.plan.sent(now_ns)
            return
        assert settings.watchdog_register is not None
        if asked is Ask.PROGRAM:
            self.master.write_register(settings.watchdog_register, self._watchdog_value(), now_ns)
        else:
            self._next_check_ns = now_ns + CHECK_EVERY_NS
            self.master.read_register(settings.watchdog_register, now_ns)

    def _image(self, now_ns: int) -> list[bool]:
        assert self.config is not None
        armed = self.state is LinkState.ARMED
        on = self.plan.gates_on(now_ns) if armed and self.plan is not None else frozenset()
        image = [gate in on for gate in range(len(self.config.gates))]
        return [*image, armed and self.want_permit] if self._settings.permit_relay else image

    def _watchdog_value(self) -> int:
        assert self.config is not None
        return -(-self.config.lease_ms // self._settings.watchdog_unit_ms)

    def _watchdog_ns(self) -> int:
        return self._watchdog_value() * self._settings.watchdog_unit_ms * MS

    # ---- hearing

    def _answered(self, answer: Answer, now_ns: int) -> None:
        if self._asked is Ask.RELAYS:
            if answer.error is not None:
                self._setup = self._setup or self._whole_setup()  # trusted again from its first greeting on
                self._refuse(now_ns, f"the board refuses to switch its relays (Modbus exception {answer.error})")
                return
            self.written, self._fed_ns = self._writing, self._image_ns
            if self.plan is not None and self.state is LinkState.ARMED:
                self.replies += self.plan.acknowledged(self._image_ns, now_ns)
        elif answer.error is not None:
            self._setup.clear()
            register = self._settings.watchdog_register
            self._refuse(now_ns, f"no watchdog at register {register} (Modbus exception {answer.error})")
            return
        elif self._asked is Ask.CHECK and answer.registers[0] != self._watchdog_value():
            self._watchdog_differs(answer.registers[0], now_ns)
            return
        self._step(now_ns)

    def _watchdog_differs(self, said: int, now_ns: int) -> None:
        if self._watchdog_holds:
            self.lost(now_ns, "its watchdog is no longer as programmed: the board was restarted")
            return
        self._setup.clear()
        self._refuse(now_ns, f"the watchdog register says {said} after {self._watchdog_value()} was written")

    def _step(self, now_ns: int) -> None:
        if not self._setup:
            return
        self._setup.pop(0)
        if self._setup:
            return
        self._watchdog_holds = self._asked is Ask.CHECK
        if self._watchdog_holds:
            self._say(now_ns, LinkState.READY, "a relay board, timed by this computer; its watchdog is programmed")
        else:
            self._refuse(now_ns, "no watchdog register is configured (link.relay.watchdog_register)")

    def _refuse(self, now_ns: int, what: str) -> None:
        if self.state is LinkState.ARMED:
            self.disarm(DisarmReason.OUTPUT, now_ns)
        self._watchdog_holds = False
        self._not_before_ns = now_ns + REFUSED_PAUSE_NS
        because = "without a watchdog its relays stay as they are when this computer falls silent"
        self._say(now_ns, LinkState.SYNCING, f"{what}; it is not armed: {because}")

    # ---- arming

    def _watch_lease(self, now_ns: int) -> None:
        if self.config is None:
            return
        alive = self._lease_counter is not None and now_ns - self._renewed_ns <= self.config.lease_ms * MS
        if self.state is LinkState.READY and self.want_armed and alive:
            self._say(now_ns, LinkState.ARMED, "armed, timed by this computer")
        elif self.state is LinkState.ARMED and not alive:
            self.disarm(DisarmReason.LEASE, now_ns)

    def _forget_arming(self, now_ns: int, lost: bool) -> None:
        self.want_armed = self.want_permit = False
        if self.plan is not None:
            self.replies += self.plan.disarmed(now_ns, lost)

    def _say(self, now_ns: int, state: LinkState, detail: str) -> None:
        if (state, detail) == (self.state, self._said):
            return
        self.state, self._said = state, detail
        self.replies.append(LinkChanged(state, now_ns, f"{self._name}: {detail}"))


def check(config: DeviceConfig) -> None:
    """Refuses what a relay board cannot keep."""
    for number, gate in enumerate(config.gates):
        if gate.safe_level != 0:
            raise ConfigRefused(
                f"gate {number}: safe_level 1 on a relay board: its watchdog lets every relay drop. "
                "Wire the flap to the normally closed contact and set safe_level = 0."
            )
        if gate.min_hold_us < SLOW_HOLD_MS * 1000:
            raise ConfigRefused(
                f"gate {number}: min_hold_ms {gate.min_hold_us / 1000:g} on a relay board: this computer times it, within "
                f"tens of milliseconds. Slow flaps only: min_hold_ms of {SLOW_HOLD_MS} or more."
            )
    if config.max_late_us < LEAST_LATE_MS * 1000:
        raise ConfigRefused(
            f"link.max_late_us {config.max_late_us} on a relay board: one exchange takes longer; "
            f"{LEAST_LATE_MS * 1000} or more."
        )
    if config.mm_per_count is not None:
        raise ConfigRefused("belt.mm_per_count on a relay board: it has no encoder input. Give belt.speed_m_s instead.")
