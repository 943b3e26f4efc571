"""SortLoop.step: what the cameras spotted and replies in, commands and outcomes out. Read this first.

Runs per frame and at least every 20 ms without frames. Pure in the sense that matters: no thread, no port, no file; time is
an argument (the clock is only asked how long recognition took). Pictures are searched for items before (`tracking.spotter`,
in each camera's thread); the caller submits the commands and reports when it did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from firmware_bridge.messages import Disarmed, DisarmReason, DivertCommand, LinkChanged, LinkState, Reply
from station.clock import Clock
from station.config import StationConfig
from station.datatypes import Decision, ItemRecord, OutcomeKind, OutcomeReason, Track
from station.deciding import Deciding, Permission, decisions_of
from station.items import Items
from station.machine import CONTROLLER_FAULTS, Actions, Command, Conditions, Machine
from station.perception import Eye, Perception, Recogniser
from station.sorting.ledger import Ledger
from station.tracking.spotter import Spotted

Wishes: TypeAlias = tuple[tuple[Command, str], ...]  # of operators: what, and who asked


@dataclass(frozen=True, slots=True)
class Controls:
    """What the world outside the pictures says."""

    commands: Wishes = ()
    link: LinkState | None = None  # None: observing only
    fault: str | None = None
    recorder_full: bool = False  # there is no room to account for further items
    alive: tuple[str, ...] = ()  # cameras that gave a frame, also one that could not be placed on the belt
    camera_words: str = ""  # what is the matter with the cameras
    live: bool = False  # the next frame comes whether this step has ended or not


@dataclass(frozen=True, slots=True)
class StepResult:
    commands: tuple[DivertCommand, ...]
    command_tracks: tuple[int, ...]  # the item of each command
    records: tuple[ItemRecord, ...]  # items that got their outcome
    births: tuple[Track, ...]  # items that were not known before
    decisions: tuple[Decision, ...]
    actions: Actions
    lease_counter: int
    tracks: tuple[Track, ...]
    beliefs: Mapping[int, tuple[str, float]]  # label and confidence of the tracks, as far as they have any
    looks: int  # classified in this step
    spent_ns: Mapping[str, int]  # wall time of the stages; zero in virtual time
    state_changed: bool  # or entered anew: a person took a hold over
    unarmed_ns: int = 0  # for how long the machine has wanted an armed controller in vain


class SortLoop:
    def __init__(
        self,
        config: StationConfig,
        eyes: Mapping[str, Eye],
        recogniser: Recogniser,
        machine: Machine,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._items = Items()
        self._perception = Perception(config, eyes, recogniser, self._items)
        self._deciding = Deciding(config, self._items, clock)
        self._lease_counter = 0
        self._restarted = False  # the controller, since the last step
        self._found: str | None = None  # a fault by the controller, since the last step
        self.machine = machine

    def step(self, now_ns: int, spotted: Sequence[Spotted], replies: Sequence[Reply], controls: Controls) -> StepResult:
        """One turn: hear, follow, look, recognise, decide, schedule. At most one frame per camera."""
        self._lease_counter += 1
        before = self.machine.state, self.machine.since_ns
        marks_ns = [self._clock.now_ns()]
        heard = self._hear(replies, controls.commands, now_ns)
        followed = self._perception.follow(spotted)
        births = self._deciding.enter(followed)
        looks = self._perception.choose_looks(spotted, controls.live)
        marks_ns.append(self._clock.now_ns())
        self._perception.recognise(looks, now_ns)
        marks_ns.append(self._clock.now_ns())
        self._perception.looked(looks, marks_ns[2] - marks_ns[1])
        actions, stopped = self._move_machine(now_ns, controls)
        permission = self._permission(controls.link)
        decided, lost = self._deciding.decide(self._perception.due(now_ns), permission)
        sent, settled = self._deciding.schedule(decided, self._perception.motion, permission, now_ns)
        self._deciding.forget_passed(self._perception.motion)
        marks_ns.append(self._clock.now_ns())
        return StepResult(
            commands=tuple(one.command for one in sent),
            command_tracks=tuple(one.track_id for one in sent),
            records=(*heard, *stopped, *lost, *settled),
            births=tuple(births),
            decisions=decisions_of(decided),
            actions=actions,
            lease_counter=self._lease_counter,
            tracks=self._items.shown(),
            beliefs=self._items.beliefs(),
            looks=len(looks),
            spent_ns=_spent_ns(spotted, marks_ns),
            state_changed=(self.machine.state, self.machine.since_ns) != before,
            unarmed_ns=self.machine.unarmed_ns(now_ns),
        )

    @property
    def lease_counter(self) -> int:
        """How often it has turned."""
        return self._lease_counter

    def enqueued(self, commands: Sequence[DivertCommand], at_ns: int) -> None:
        """The caller has handed the commands to the link."""
        self.ledger.enqueued(commands, at_ns)

    @property
    def ledger(self) -> Ledger:
        return self._deciding.ledger

    def model_trouble(self, now_ns: int) -> str | None:
        """Why recognition fails now, in words; None when it works."""
        return self._perception.model_trouble(now_ns)

    @property
    def speed_mm_s(self) -> float | None:
        """Belt speed as last seen."""
        return self._perception.speed_mm_s

    @property
    def speed_trouble(self) -> str:
        """Without an encoder: by how much the configured speed is off, in words; empty when it is not, or nobody sorts."""
        return self._perception.speed_trouble if self.machine.takes_decisions else ""

    @property
    def encoder_stands(self) -> bool:
        """The counts stand while the pictures show the belt moving."""
        return self._perception.encoder_stands

    @property
    def jammed(self) -> tuple[int, ...]:
        """Items that stand still on the moving belt, as last seen."""
        return tuple(track_id for ids in tuple(self._perception.jammed.values()) for track_id in ids)

    def decision_of(self, track_id: int) -> Decision | None:
        item = self._items.get(track_id)
        return item.decision if item is not None else None

    def finish(self, now_ns: int) -> list[ItemRecord]:
        """The run is over: what is still open cannot be known any more."""
        return self.ledger.close_all(OutcomeReason.RUN_ENDED, now_ns, OutcomeKind.UNCONFIRMED)

    # -- what crosses the stages -------------------------------------------------------------------------------------

    def _hear(self, replies: Sequence[Reply], wishes: Wishes, now_ns: int) -> list[ItemRecord]:
        reasons = [reply.reason for reply in replies if isinstance(reply, Disarmed)]
        self._found = next((CONTROLLER_FAULTS[reason] for reason in reasons if reason in CONTROLLER_FAULTS), None)
        self._restarted = any(isinstance(reply, LinkChanged) and reply.new_boot for reply in replies)
        # A STOP goes to the outputs first: what they drop is heard in the turn in which the machine is told, or before.
        asked = any(command in (Command.STOP, Command.ABORT) for command, _ in wishes)
        stopped = asked or DisarmReason.STOP in reasons or self._found is not None
        records = self._deciding.hear(replies, stopped)
        if self._restarted:
            self._perception.begin_epoch()
            records += self._deciding.cancel_all(OutcomeReason.LINK, now_ns)
        return records

    def _move_machine(self, now_ns: int, controls: Controls) -> tuple[Actions, list[ItemRecord]]:
        seen = self._perception
        seen.note_alive(controls.alive, now_ns)
        for command, who in controls.commands:
            self.machine.command(command, now_ns, who)
        conditions = Conditions(
            link=controls.link,
            cameras_live=seen.cameras_live(now_ns),
            camera_words=controls.camera_words,
            restarted=self._restarted,
            belt_stands=seen.belt_stands,
            speed_off=bool(seen.speed_trouble),
            fault=controls.fault or self._found or seen.encoder_fault,
            recorder_full=controls.recorder_full,
            model_trouble=seen.model_trouble(now_ns),
        )
        actions = self.machine.step(now_ns, conditions)
        if actions.cancel:
            self._deciding.forget_windows()
        if actions.clear_fault:
            self._perception.trust_encoder()
        if not actions.stop:
            return actions, []
        lost = seen.encoder_fault is not None  # the place of everything on its way
        return actions, self._deciding.cancel_all(OutcomeReason.POSITION if lost else OutcomeReason.STOPPED, now_ns)

    def _permission(self, link: LinkState | None) -> Permission:
        """Whether commands may be sent now, or the outcome of those who would have wanted one."""
        refusal = None
        if link is None:
            refusal = OutcomeReason.DRY_RUN
        elif not self.machine.takes_decisions:
            refusal = OutcomeReason.STOPPED if self.machine.stopped else OutcomeReason.NOT_PERMITTED
        elif link is not LinkState.ARMED:
            refusal = OutcomeReason.LINK
        elif self.machine.speed_off:
            refusal = OutcomeReason.SPEED
        return Permission(refusal, 0 if link is None else self.machine.started_ns)


def _spent_ns(spotted: Sequence[Spotted], marks_ns: Sequence[int]) -> dict[str, int]:
    """By stage; detection is the camera threads' share of it."""
    began, followed, recognised, decided = marks_ns
    return {
        "detect": max((seen.spent_ns for seen in spotted), default=0),
        "track": followed - began,
        "recognise": recognised - followed,
        "decide": decided - recognised,
    }
