"""Every command from submit to its one final reply: when to send it again, when to stop waiting for its fate.

Knows windows and replies, sends nothing itself. Times are host ns; the session converts device times before it calls.

Theory. A command is independent, absolute and idempotent, so it is simply sent again until it is answered or too close
to its start; the device answers a repeated id from memory. Reports of accepted commands (fired, missed) come in events
the device repeats until acknowledged. So a final reply needs a time-out only where the device or its report is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.messages import (
    DivertCommand,
    DuringTime,
    MissReason,
    NotFired,
    Refusal,
    Refused,
    Reply,
    Unanswered,
)
from firmware_bridge.wire import Divert

CAPACITY = 256
LAST_SEND_NS = 3_000_000  # before the start of the window: later than this the device would refuse it anyway
FATE_WAIT_NS = 1_000_000_000  # for a report that should be there
LOSS_WAIT_NS = 2_500_000_000  # for a device that may come back with its reports
LOSS_MEMORY = 0.98
_SCAN_NS = 50_000_000


@dataclass(slots=True)
class Pending:
    command: DivertCommand
    message: Divert  # fixed at submit: another reading of the clock would make it another command
    next_send_ns: int
    give_up_ns: int | None  # None: a count window the belt has not passed
    sends: int = 0
    accepted: bool = False
    cancelling: bool = False  # send no more
    cancelled: bool = False  # the device acknowledged the cancelling


class CommandBook:
    """What has been submitted and has no final reply yet; at most CAPACITY."""

    def __init__(self) -> None:
        self._unanswered: dict[int, Pending] = {}
        self._accepted: dict[int, Pending] = {}
        self._next_scan_ns = 0
        self.retries = 0
        self._sent = self._heard = 0.0
        self.nacks: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._unanswered) + len(self._accepted)

    def __contains__(self, command_id: int) -> bool:
        return command_id in self._unanswered or command_id in self._accepted

    def add(self, command: DivertCommand, message: Divert, now_ns: int) -> None:
        give_up_ns = command.window.end_ns + FATE_WAIT_NS if isinstance(command.window, DuringTime) else None
        self._unanswered[command.command_id] = Pending(command, message, now_ns, give_up_ns)

    def due(self, now_ns: int, retry_ns: int, soon_count: Callable[[], float | None]) -> list[Divert]:
        """What to send now. `soon_count` says where the belt will be in LAST_SEND_NS; asked only where it matters."""
        messages = []
        for pending in self._unanswered.values():
            if pending.next_send_ns > now_ns or pending.cancelling:
                continue
            if pending.sends and _too_close(pending.command, now_ns, soon_count):
                continue  # sent once at least: the device may have it, its report will say
            pending.next_send_ns = now_ns + retry_ns
            self.retries += pending.sends > 0
            self._sent = self._sent * LOSS_MEMORY + 1
            self._heard *= LOSS_MEMORY
            pending.sends += 1
            messages.append(pending.message)
        return messages

    def heard_answer(self) -> None:
        """Every send is answered, repetitions too: what is not was lost one way or the other."""
        self._heard += 1

    def loss(self) -> float:
        """Share of the last sends that were never answered."""
        return 1 - self._heard / self._sent if self._sent > 10 else 0.0

    def accepted(self, command_id: int) -> bool:
        """True when that is news."""
        pending = self._unanswered.pop(command_id, None)
        if pending is None:
            return False
        pending.accepted = True
        self._accepted[command_id] = pending
        return True

    def refused(self, command_id: int, refusal: Refusal, at_ns: int) -> list[Reply]:
        if self._unanswered.pop(command_id, None) is None:
            return []
        self.note_refusal(refusal)
        return [Refused(command_id, refusal, at_ns)]

    def note_refusal(self, refusal: Refusal) -> None:
        name = refusal.name.lower()
        self.nacks[name] = self.nacks.get(name, 0) + 1

    def ended(self, command_id: int) -> bool:
        """The device reported this command's end. True when it was still open: the caller replies."""
        found = self._accepted.pop(command_id, None) or self._unanswered.pop(command_id, None)
        return found is not None

    def cancel(self, now_ns: int) -> list[Reply]:
        """All of them. Never sent: answered here. Sent but not answered: sent no more, the device's report decides."""
        replies: list[Reply] = []
        for command_id, pending in list(self._unanswered.items()):
            if pending.sends == 0:
                del self._unanswered[command_id]
                replies.append(NotFired(command_id, MissReason.CANCELLED, now_ns))
            else:
                pending.cancelling = True
        return replies

    def cancel_acknowledged(self, now_ns: int) -> None:
        """Had the device one of these, its report is on the way."""
        for pending in self._unanswered.values():
            if pending.cancelling:
                pending.cancelled = True
                pending.give_up_ns = now_ns + FATE_WAIT_NS

    def expect_by(self, deadline_ns: int) -> None:
        """The device has nothing left to wait for (disarmed, or lost): every report is here by then, or never."""
        for pending in (*self._unanswered.values(), *self._accepted.values()):
            pending.give_up_ns = deadline_ns

    def forget(self, now_ns: int, reach_ns: int, reach_count: float | None) -> list[Reply]:
        """The device knows none of them any more. It was lost before `reach_ns`, the belt before `reach_count`."""
        replies: list[Reply] = []
        for pending in self._unanswered.values():
            replies.append(Unanswered(pending.command.command_id, accepted=False, at_ns=now_ns))
        for pending in self._accepted.values():
            replies.append(_after_restart(pending.command, now_ns, reach_ns, reach_count))
        self._unanswered.clear()
        self._accepted.clear()
        return replies

    @property
    def unanswered(self) -> bool:
        return bool(self._unanswered)

    def scan_due(self, now_ns: int) -> bool:
        return now_ns >= self._next_scan_ns

    def settle(self, now_ns: int, count: float | None) -> list[Reply]:
        """Final replies for commands whose report is overdue."""
        self._next_scan_ns = now_ns + _SCAN_NS
        replies: list[Reply] = []
        for group in (self._unanswered, self._accepted):
            for command_id, pending in list(group.items()):
                if pending.give_up_ns is None:
                    _wait_for_belt(pending, now_ns, count)
                elif pending.give_up_ns <= now_ns:
                    del group[command_id]
                    replies.append(_overdue(pending, now_ns))
        return replies


def _too_close(command: DivertCommand, now_ns: int, soon_count: Callable[[], float | None]) -> bool:
    if isinstance(command.window, DuringTime):
        return now_ns > command.window.start_ns - LAST_SEND_NS
    count = soon_count()
    return count is not None and count > command.window.start_count


def _wait_for_belt(pending: Pending, now_ns: int, count: float | None) -> None:
    window = pending.command.window
    if not isinstance(window, DuringTime) and count is not None and count > window.end_count:
        pending.give_up_ns = now_ns + FATE_WAIT_NS


def _overdue(pending: Pending, now_ns: int) -> Reply:
    if pending.cancelled and not pending.accepted:
        return NotFired(pending.command.command_id, MissReason.CANCELLED, now_ns)
    return Unanswered(pending.command.command_id, pending.accepted, now_ns)


def _after_restart(command: DivertCommand, now_ns: int, reach_ns: int, reach_count: float | None) -> Reply:
    """Not begun for certain: the restart ended it. Otherwise it may have fired."""
    window = command.window
    if isinstance(window, DuringTime):
        not_begun = window.start_ns > reach_ns
    else:
        not_begun = reach_count is not None and reach_count < window.start_count
    if not_begun:
        return NotFired(command.command_id, MissReason.REBOOT, now_ns)
    return Unanswered(command.command_id, accepted=True, at_ns=now_ns)
