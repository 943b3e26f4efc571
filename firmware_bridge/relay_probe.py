"""What a relay board answers, asked without switching a relay and without programming anything: it only ever reads.

Bytes and host time in, bytes and figures out: no port, no thread. Says how long an exchange takes, how the relays stand and
what the watchdog register holds; whether the watchdog works is known only once it has been programmed (relay_session.py).
"""

from collections import deque
from enum import Enum, auto

from firmware_bridge.modbus_master import Answer, Master
from firmware_bridge.relay_session import MS, RelaySettings

KEPT = 1000  # round trips


class Ask(Enum):
    RELAYS = auto()
    WATCHDOG = auto()


class RelayProbe:
    """Alternates between the two questions for as long as it is ticked."""

    def __init__(self, settings: RelaySettings, relays: int) -> None:
        self.settings = settings
        self.relays: tuple[bool, ...] | None = None  # from the first gate's on; None: not answered
        self.watchdog_ms: int | None = None
        self.exceptions: dict[Ask, int] = {}  # Modbus exception code of the last answer
        self.answered = 0
        self.trips_us: deque[int] = deque(maxlen=KEPT)
        self._count = relays
        self._master = Master(settings.device_id, settings.baud, settings.answer_within_ms * MS)
        self._asked, self._asked_ns = Ask.WATCHDOG, 0

    @property
    def outbox(self) -> bytearray:
        return self._master.outbox

    @property
    def unanswered(self) -> int:
        return self._master.unanswered

    def tick(self, now_ns: int) -> None:
        """Gives a late answer up, and asks the next question when the line is free."""
        self._master.gave_up(now_ns)
        if not self._master.may_ask(now_ns):
            return
        register = self.settings.watchdog_register
        both = register is not None and self._asked is Ask.RELAYS
        self._asked, self._asked_ns = Ask.WATCHDOG if both else Ask.RELAYS, now_ns
        if register is not None and both:
            self._master.read_register(register, now_ns)
        else:
            self._master.read_coils(self.settings.first_coil, self._count, now_ns)

    def receive(self, data: bytes, now_ns: int) -> None:
        answer = self._master.receive(data, now_ns)
        if answer is None:
            return
        self.answered += 1
        self.trips_us.append((now_ns - self._asked_ns) // 1000)
        self._note(answer)

    def _note(self, answer: Answer) -> None:
        if answer.error is not None:
            self.exceptions[self._asked] = answer.error
            return
        self.exceptions.pop(self._asked, None)
        if self._asked is Ask.RELAYS:
            self.relays = answer.bits[: self._count]
        else:
            self.watchdog_ms = answer.registers[0] * self.settings.watchdog_unit_ms

    def trouble(self) -> str:
        """Why it could not be armed, as far as reading tells; empty: nothing speaks against it."""
        register = self.settings.watchdog_register
        if self.answered == 0:
            return f"nobody answers as Modbus device {self.settings.device_id} at {self.settings.baud} baud"
        if Ask.RELAYS in self.exceptions:
            last = self.settings.first_coil + self._count - 1
            return f"no relays {self.settings.first_coil} to {last} (Modbus exception {self.exceptions[Ask.RELAYS]})"
        if register is None:
            return "no watchdog register is configured (link.relay.watchdog_register): without one it is never armed"
        if Ask.WATCHDOG in self.exceptions:
            return f"no watchdog at register {register} (Modbus exception {self.exceptions[Ask.WATCHDOG]})"
        if self.relays is None or self.watchdog_ms is None:
            return "it answers only some of the questions: a damaged line, or two devices with one address"
        return ""
