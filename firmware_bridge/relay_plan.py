"""What the relays of a host-timed board should do at a moment, and what became of each command.

Pure: no bytes, no port, no clock. A relay's true moment is not known: it lies between sending and acknowledgement, and
the later of the two is what is reported.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from firmware_bridge.messages import (
    DeviceConfig,
    DivertCommand,
    DuringTime,
    Fired,
    MissReason,
    NotFired,
    Refusal,
    Refused,
    Unanswered,
)

CAPACITY = 64
DUTY_OVER_NS = 10_000_000_000

Final = Refused | Fired | NotFired | Unanswered
Span = tuple[int, int]
"""on, off: host ns."""


@dataclass(slots=True)
class Planned:
    command_id: int
    spans: dict[int, Span]  # per gate
    sent: bool = False  # a write that switches it on has left: the board may have acted on it
    on_acked_ns: int | None = None

    @property
    def on_ns(self) -> int:
        return min(on for on, _ in self.spans.values())

    @property
    def off_ns(self) -> int:
        return max(off for _, off in self.spans.values())

    def holds_at(self, at_ns: int) -> list[int]:
        return [gate for gate, (on, off) in self.spans.items() if on <= at_ns < off]


class RelayPlan:
    """At most CAPACITY commands without an end."""

    def __init__(self, config: DeviceConfig) -> None:
        self._config = config
        self._planned: dict[int, Planned] = {}
        self._past: list[deque[Span]] = [deque() for _ in config.gates]  # of the last DUTY_OVER_NS

    def __len__(self) -> int:
        return len(self._planned)

    # ---- taking commands

    def take(self, command: DivertCommand, now_ns: int, transit_ns: int) -> Refusal | None:
        """None: it is planned. `transit_ns`: what a write and its acknowledgement take."""
        window, config = command.window, self._config
        if command.command_id in self._planned:
            return Refusal.ID_CONFLICT
        if not isinstance(window, DuringTime) or not _is_sound(command, len(config.gates)):
            return Refusal.BAD_ARGUMENT
        if len(self._planned) >= CAPACITY:
            return Refusal.FULL
        if window.start_ns > now_ns + config.far_ms * 1_000_000:
            return Refusal.FAR
        planned = Planned(command.command_id, self._spans(command.gate_mask, window))
        if planned.on_ns < now_ns + transit_ns:
            return Refusal.LATE
        if any(self._breaks_a_limit(gate, span, now_ns) for gate, span in planned.spans.items()):
            return Refusal.GATE_LIMIT
        self._planned[command.command_id] = planned
        return None

    def _spans(self, gate_mask: int, window: DuringTime) -> dict[int, Span]:
        gates = [(n, gate) for n, gate in enumerate(self._config.gates) if gate_mask >> n & 1]
        return {
            n: (window.start_ns - gate.opening_delay_us * 1000, window.end_ns - gate.closing_delay_us * 1000)
            for n, gate in gates
        }

    def _breaks_a_limit(self, gate: int, span: Span, now_ns: int) -> bool:
        limits, past = self._config.gates[gate], self._past[gate]
        while past and past[0][1] < now_ns - DUTY_OVER_NS:
            past.popleft()
        planned = [each.spans[gate] for each in self._planned.values() if gate in each.spans]
        spans = _joined([*past, *planned, span])
        if span[1] - span[0] < limits.min_hold_us * 1000:
            return True
        if any(off - on > limits.max_hold_us * 1000 for on, off in spans):
            return True
        gaps = [after[0] - before[1] for before, after in pairwise(spans)]
        if any(gap < limits.min_gap_us * 1000 for gap in gaps):
            return True
        allowed_ns = DUTY_OVER_NS * limits.max_duty_permille // 1000
        return any(_held_within(spans, off - DUTY_OVER_NS, off) > allowed_ns for _, off in spans)

    # ---- time

    def late(self, now_ns: int, transit_ns: int) -> list[Final]:
        """Ends for commands whose relay could not be known to be on in time any more; they are not switched on again."""
        finals: list[Final] = []
        for planned in list(self._planned.values()):
            if (
                planned.on_acked_ns is not None
                or now_ns + transit_ns <= planned.on_ns + self._config.max_late_us * 1000
            ):
                continue
            if planned.sent:
                if now_ns <= planned.on_ns + self._config.max_late_us * 1000:
                    continue  # its acknowledgement may be on the way
                finals.append(Unanswered(planned.command_id, accepted=True, at_ns=now_ns))
            else:
                finals.append(NotFired(planned.command_id, MissReason.LATE, now_ns))
            self._forget(planned)
        return finals

    def gates_on(self, at_ns: int) -> frozenset[int]:
        return frozenset(gate for planned in self._planned.values() for gate in planned.holds_at(at_ns))

    def next_edge_ns(self, after_ns: int) -> int | None:
        edges = (ns for each in self._planned.values() for span in each.spans.values() for ns in span)
        return min((ns for ns in edges if ns > after_ns), default=None)

    def sent(self, at_ns: int) -> None:
        """A write of what `gates_on(at_ns)` says has left."""
        for planned in self._planned.values():
            planned.sent = planned.sent or bool(planned.holds_at(at_ns))

    def acknowledged(self, at_ns: int, heard_ns: int) -> list[Final]:
        """The board did what `gates_on(at_ns)` says."""
        finals: list[Final] = []
        for planned in list(self._planned.values()):
            if planned.on_acked_ns is None and planned.holds_at(at_ns):
                planned.on_acked_ns = heard_ns
            elif at_ns >= planned.off_ns and planned.on_acked_ns is not None:
                error_us = (planned.on_acked_ns - planned.on_ns) // 1000
                finals.append(Fired(planned.command_id, planned.on_acked_ns, heard_ns, 0, 0, error_us))
                self._forget(planned)
        return finals

    # ---- ends

    def cancel(self, now_ns: int) -> list[Final]:
        """All that have not begun."""
        unbegun = [each for each in self._planned.values() if not each.sent]
        for planned in unbegun:
            del self._planned[planned.command_id]
        return [NotFired(each.command_id, MissReason.CANCELLED, now_ns) for each in unbegun]

    def interrupted(self, now_ns: int) -> list[Final]:
        """The board may have let its relays drop: what had begun is over, for to go on would be to open twice."""
        begun = [each for each in self._planned.values() if each.sent]
        for planned in begun:
            self._forget(planned)
        return [Unanswered(each.command_id, accepted=True, at_ns=now_ns) for each in begun]

    def disarmed(self, now_ns: int, lost: bool) -> list[Final]:
        """Nothing goes on. `lost`: nobody can say what the board did with what it had been told."""
        finals: list[Final] = []
        for planned in list(self._planned.values()):
            if lost and planned.sent:
                finals.append(Unanswered(planned.command_id, accepted=True, at_ns=now_ns))
            else:
                finals.append(NotFired(planned.command_id, MissReason.DISARMED, now_ns))
            self._forget(planned)
        return finals

    def _forget(self, planned: Planned) -> None:
        del self._planned[planned.command_id]
        if planned.sent:
            for gate, span in planned.spans.items():
                self._past[gate].append(span)


def _is_sound(command: DivertCommand, gates: int) -> bool:
    window = command.window
    assert isinstance(window, DuringTime)
    return 0 < command.gate_mask < 1 << gates and 0 < command.command_id < 2**32 and window.end_ns > window.start_ns


def _joined(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for on, off in sorted(spans):
        if joined and on <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(off, joined[-1][1]))
        else:
            joined.append((on, off))
    return joined


def _held_within(spans: list[Span], from_ns: int, to_ns: int) -> int:
    return sum(max(0, min(off, to_ns) - max(on, from_ns)) for on, off in spans)
