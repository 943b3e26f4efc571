"""What became of every item and every command. One outcome for each, exactly once; the sum always balances.

    items.total = ejected + passed + missed + unconfirmed + in_flight

Knows the replies of a controller and the station's reasons. Knows no pictures, no gates, no clock: time is an argument.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from firmware_bridge.messages import (
    DivertCommand,
    Fired,
    MissReason,
    NotFired,
    Refusal,
    Refused,
    Reply,
    Unanswered,
)
from station.datatypes import (
    Belief,
    Decision,
    DecisionReason,
    ItemRecord,
    LookAt,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Track,
)

SETTLED_KEPT = 20_000

REFUSED_AS: dict[Refusal, OutcomeReason] = {
    Refusal.LATE: OutcomeReason.LATE,
    Refusal.FAR: OutcomeReason.REFUSED_FAR,
    Refusal.FULL: OutcomeReason.REFUSED_FULL,
    Refusal.GATE_LIMIT: OutcomeReason.REFUSED_GATE_LIMIT,
    Refusal.NOT_ARMED: OutcomeReason.REFUSED_NOT_ARMED,
    Refusal.ID_CONFLICT: OutcomeReason.REFUSED_OTHER,
    Refusal.BAD_ARGUMENT: OutcomeReason.REFUSED_OTHER,
}

NOT_FIRED_AS: dict[MissReason, tuple[OutcomeKind, OutcomeReason]] = {
    MissReason.LATE: (OutcomeKind.MISSED, OutcomeReason.LATE),
    MissReason.CANCELLED: (OutcomeKind.MISSED, OutcomeReason.SPEED),  # nothing else cancels: STOP settles items itself
    MissReason.DISARMED: (OutcomeKind.MISSED, OutcomeReason.LINK),
    MissReason.BELT_STOPPED: (OutcomeKind.UNCONFIRMED, OutcomeReason.BELT_STOPPED_IN_WINDOW),
    MissReason.REBOOT: (OutcomeKind.MISSED, OutcomeReason.LINK),
}


@dataclass(slots=True)
class _Open:
    """An item whose outcome is not known yet."""

    track: Track
    belief: Belief | None = None
    looks: tuple[LookAt, ...] = ()
    decision: Decision | None = None
    command: DivertCommand | None = None
    scheduled_ns: int | None = None
    last_useful_ns: int | None = None


class Ledger:
    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._by_command: dict[int, int] = {}
        self._settled_tracks: set[int] = set()
        self.by_outcome: Counter[OutcomeKind] = Counter()
        self.by_reason: Counter[tuple[OutcomeKind, OutcomeReason]] = Counter()
        self.by_label: Counter[str] = Counter()
        self.by_decision: Counter[DecisionReason] = Counter()

    # -- the life of an item ---------------------------------------------------------------------------------------

    def see(self, track: Track) -> bool:
        """An item is there, or has moved on. True when it is new."""
        entry = self._open.get(track.track_id)
        if entry is not None:
            entry.track = track
            return False
        if track.track_id in self._settled_tracks:
            return False
        self._open[track.track_id] = _Open(track)
        return True

    def known_already(self, track_id: int) -> None:
        """A new track of an item that has its outcome: it opens no second account."""
        self._remember_settled(track_id)

    def decide(self, decision: Decision, belief: Belief | None, looks: Sequence[LookAt]) -> None:
        entry = self._open[decision.track_id]
        entry.decision, entry.belief, entry.looks = decision, belief, tuple(looks)
        self.by_decision[decision.reason] += 1

    def command(self, track_id: int, command: DivertCommand, last_useful_ns: int | None) -> None:
        entry = self._open[track_id]
        entry.command, entry.last_useful_ns = command, last_useful_ns
        self._by_command[command.command_id] = track_id

    def enqueued(self, commands: Iterable[DivertCommand], at_ns: int) -> None:
        """The commands were handed to the link at `at_ns`."""
        for command in commands:
            track_id = self._by_command.get(command.command_id)
            if track_id is not None:
                self._open[track_id].scheduled_ns = at_ns

    def settle(
        self, track_id: int, kind: OutcomeKind, reason: OutcomeReason, now_ns: int, fire_error_us: int | None = None
    ) -> ItemRecord | None:
        """Give the item its one outcome. None when it has one already, or is unknown."""
        entry = self._open.pop(track_id, None)
        if entry is None:
            return None
        self._remember_settled(track_id)
        if entry.command is not None:
            self._by_command.pop(entry.command.command_id, None)
        self.by_outcome[kind] += 1
        self.by_reason[kind, reason] += 1
        if entry.belief is not None:
            self.by_label[entry.belief.label] += 1
        return _record(entry, Outcome(track_id, kind, reason, now_ns, fire_error_us, _slack_ms(entry)))

    def _remember_settled(self, track_id: int) -> None:
        """So that a late sighting opens no second account. Ids rise: very old ones cannot come again."""
        self._settled_tracks.add(track_id)
        if len(self._settled_tracks) > SETTLED_KEPT:
            newest = max(self._settled_tracks)
            self._settled_tracks = {known for known in self._settled_tracks if known > newest - SETTLED_KEPT // 2}

    # -- the controller's answers ----------------------------------------------------------------------------------

    def hear(self, reply: Reply, stopped: bool = False) -> ItemRecord | None:
        """Settle the item a final reply belongs to; every other reply changes nothing here.

        `stopped`: the outputs were stopped just now, so a device that is not armed is no matter of the link.
        """
        if not isinstance(reply, Refused | Fired | NotFired | Unanswered):
            return None
        track_id = self._by_command.get(reply.command_id)
        if track_id is None:
            return None
        match reply:
            case Refused(refusal=Refusal.NOT_ARMED, at_ns=at_ns) if stopped:
                return self.settle(track_id, OutcomeKind.MISSED, OutcomeReason.STOPPED, at_ns)
            case Refused(refusal=refusal, at_ns=at_ns):
                return self.settle(track_id, OutcomeKind.MISSED, REFUSED_AS[refusal], at_ns)
            case Fired(off_ns=off_ns, on_error_us=error_us):
                return self.settle(track_id, OutcomeKind.EJECTED, OutcomeReason.NONE, off_ns, error_us)
            case NotFired(reason=MissReason.DISARMED, at_ns=at_ns) if stopped:
                return self.settle(track_id, OutcomeKind.MISSED, OutcomeReason.STOPPED, at_ns)
            case NotFired(reason=miss, at_ns=at_ns):
                return self.settle(track_id, *NOT_FIRED_AS[miss], at_ns)
            case Unanswered(accepted=accepted, at_ns=at_ns):
                if accepted:
                    return self.settle(track_id, OutcomeKind.UNCONFIRMED, OutcomeReason.NO_REPORT, at_ns)
                return self.settle(track_id, OutcomeKind.MISSED, OutcomeReason.LINK, at_ns)

    # -- closing ---------------------------------------------------------------------------------------------------

    def is_open(self, track_id: int) -> bool:
        """The item is known and has no outcome yet."""
        return track_id in self._open

    def open_tracks(self) -> list[int]:
        return list(self._open)

    def undecided(self) -> list[Track]:
        return [entry.track for entry in self._open.values() if entry.decision is None]

    def gate_mask_of(self, track_id: int) -> int:
        """Gates that are to act for an item on its way; 0 for none."""
        entry = self._open.get(track_id)
        return entry.command.gate_mask if entry is not None and entry.command is not None else 0

    def close_all(self, reason: OutcomeReason, now_ns: int, kind: OutcomeKind = OutcomeKind.MISSED) -> list[ItemRecord]:
        """Every open item gets the same outcome: stop, a new count epoch, the end of a run."""
        records = [self.settle(track_id, kind, reason, now_ns) for track_id in self.open_tracks()]
        return [record for record in records if record is not None]

    @property
    def in_flight(self) -> int:
        return len(self._open)

    @property
    def total(self) -> int:
        return self.by_outcome.total() + self.in_flight


def _slack_ms(entry: _Open) -> float | None:
    if entry.scheduled_ns is None or entry.last_useful_ns is None:
        return None
    return (entry.last_useful_ns - entry.scheduled_ns) / 1e6


def _record(entry: _Open, outcome: Outcome) -> ItemRecord:
    return ItemRecord(
        track=replace(entry.track, detection=None),
        looks=len(entry.looks),
        probabilities=entry.belief.probabilities if entry.belief else None,
        decision=entry.decision,
        command=entry.command,
        scheduled_ns=entry.scheduled_ns,
        outcome=outcome,
        look_boxes=entry.looks,
    )
