"""From items that are due to commands and outcomes: the sort program decides, the scheduler plans, the ledger keeps account.

Knows no pictures and no states: whether anything may be sent now is an argument.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from firmware_bridge.messages import DivertCommand, Reply
from station.clock import Clock
from station.config import StationConfig
from station.datatypes import Decision, ItemRecord, OutcomeKind, OutcomeReason, Track, TrackEnd
from station.items import Item, Items
from station.perception import Followed
from station.sorting.ledger import Ledger
from station.sorting.rules import decide, wants_gate
from station.sorting.scheduler import Motion, Scheduler

NO_GATE_AT_MM = 10_000.0  # observing without gates: how far items are remembered

Motions = Mapping[str, Motion]  # by camera


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether commands may be sent in this step."""

    refusal: OutcomeReason | None  # why not; None: they may
    started_ns: int | None  # when the machine was started; None: not yet


@dataclass(frozen=True, slots=True)
class Sent:
    command: DivertCommand
    track_id: int


class Deciding:
    def __init__(self, config: StationConfig, items: Items, clock: Clock) -> None:
        self._sort = config.sort
        self._items = items
        self._clock = clock
        self._waiting: list[Item] = []  # decided for a gate before the machine was started
        self._gate_at_mm = max((gate.at_mm for gate in config.gates), default=NO_GATE_AT_MM)
        self.ledger = Ledger()
        self.scheduler = Scheduler(config)

    # -- stages, in order --------------------------------------------------------------------------------------------

    def hear(self, replies: Sequence[Reply], stopped: bool) -> list[ItemRecord]:
        return _given(self.ledger.hear(reply, stopped) for reply in replies)

    def enter(self, followed: Followed) -> list[Track]:
        """Open an account for every item not met before; returns those."""
        for track_id in followed.known_already:
            self.ledger.known_already(track_id)
        return [track for track in followed.met if self.ledger.see(track)]

    def decide(self, due: Sequence[Item], permission: Permission) -> tuple[list[Item], list[ItemRecord]]:
        """Items with a decision to carry out, and those that have their outcome without one."""
        decided: list[Item] = []
        records: list[ItemRecord | None] = []
        now_ns = self._clock.now_ns()
        for item in due:
            track_id = item.track.track_id
            item.decision = decide(track_id, item.belief, self._sort, now_ns)
            if item.belief is None and item.gone is TrackEnd.LOST:
                records.append(self._settle(item, OutcomeKind.UNCONFIRMED, OutcomeReason.LOST_TRACK, now_ns))
            elif item.belief is None and _was_there(item.track, permission.started_ns):
                records.append(self._settle(item, OutcomeKind.MISSED, OutcomeReason.UNSEEN_AT_START, now_ns))
            else:
                item.gated = wants_gate(item.decision, self._sort)
                if self.ledger.is_open(track_id):
                    self.ledger.decide(item.decision, item.belief, item.looks)
                    decided.append(item)
        return decided, _given(records)

    def schedule(
        self, decided: Sequence[Item], motions: Motions, permission: Permission, now_ns: int
    ) -> tuple[list[Sent], list[ItemRecord]]:
        """A command for each item that wants a gate, or the reason why there is none."""
        sent: list[Sent] = []
        records = self._settle_waiting(motions, permission, now_ns)
        for item in decided:
            if not item.gated:
                records.append(self._settle(item, OutcomeKind.PASSED, OutcomeReason.NONE, now_ns))
            elif permission.refusal is OutcomeReason.NOT_PERMITTED and permission.started_ns is None:
                self._waiting.append(item)
            elif permission.refusal is not None:
                records.append(self._settle(item, OutcomeKind.MISSED, permission.refusal, now_ns))
            else:
                command, refusal = self._plan(item, motions[item.track.camera_id])
                if command is None:
                    records.append(self._settle(item, OutcomeKind.MISSED, refusal, now_ns))
                else:
                    sent.append(Sent(command, item.track.track_id))
        return sent, _given(records)

    # -- what others ask ---------------------------------------------------------------------------------------------

    def cancel_all(self, reason: OutcomeReason, now_ns: int) -> list[ItemRecord]:
        """The device's queue is cancelled: every open item is missed for this reason."""
        self.scheduler.forget_all()
        self._waiting.clear()
        return self.ledger.close_all(reason, now_ns)

    def forget_windows(self) -> None:
        """The device is told to cancel what has not begun; for each item its own answer decides."""
        self.scheduler.forget_all()

    def forget_passed(self, motions: Motions) -> None:
        self._items.forget_passed({camera: self._gate_at_mm - motion.travel_mm for camera, motion in motions.items()})

    # -- inside ------------------------------------------------------------------------------------------------------

    def _plan(self, item: Item, motion: Motion) -> tuple[DivertCommand | None, OutcomeReason]:
        assert item.decision is not None
        planned = self.scheduler.plan(item.track, item.decision.bin_name, self._spared(item), motion)
        if planned.command is not None:
            self.ledger.command(item.track.track_id, planned.command, planned.last_useful_ns)
        return planned.command, planned.reason

    def _spared(self, target: Item) -> list[Track]:
        """Every other item that is not itself meant for a gate, as far as is known now."""
        return [item.track for item in self._items if item is not target and not self._is_meant_for_a_gate(item)]

    def _is_meant_for_a_gate(self, item: Item) -> bool:
        if item.decision is not None:
            return item.gated
        return item.belief is not None and wants_gate(decide(0, item.belief, self._sort, 0), self._sort)

    def _settle_waiting(self, motions: Motions, permission: Permission, now_ns: int) -> list[ItemRecord | None]:
        """Items past the decision line before START: unseen at start if they were still on their way then."""
        records: list[ItemRecord | None] = []
        staying: list[Item] = []
        for item in self._waiting:
            if permission.started_ns is not None:
                records.append(self._settle(item, OutcomeKind.MISSED, OutcomeReason.UNSEEN_AT_START, now_ns))
            elif self._is_past_gates(item, motions, now_ns):
                records.append(self._settle(item, OutcomeKind.MISSED, OutcomeReason.NOT_PERMITTED, now_ns))
            else:
                staying.append(item)
        self._waiting = staying
        return records

    def _is_past_gates(self, item: Item, motions: Motions, now_ns: int) -> bool:
        motion = motions[item.track.camera_id]
        travel_mm = motion.travel_mm + motion.speed_mm_s * (now_ns - motion.at_ns) / 1e9
        return item.track.along_mm - item.track.length_mm / 2 + travel_mm > self._gate_at_mm

    def _settle(self, item: Item, kind: OutcomeKind, reason: OutcomeReason, now_ns: int) -> ItemRecord | None:
        return self.ledger.settle(item.track.track_id, kind, reason, now_ns)


def _was_there(track: Track, started_ns: int | None) -> bool:
    """On the belt before START; without a look it lay where it could not be seen whole any more."""
    return started_ns is None or track.first_seen_ns <= started_ns


def _given(records: Iterable[ItemRecord | None]) -> list[ItemRecord]:
    return [record for record in records if record is not None]


def decisions_of(items: Iterable[Item]) -> tuple[Decision, ...]:
    return tuple(item.decision for item in items if item.decision is not None)
