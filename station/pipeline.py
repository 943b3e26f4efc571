"""SortLoop.step: frames and replies in, commands and outcomes out. Read this first.

Runs per frame and at least every 20 ms without frames. Pure in the sense that matters: no thread, no port, no file; time is
an argument (the clock is only asked how long recognition took). The caller submits the commands and reports when it did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from firmware_bridge.messages import DivertCommand, LinkChanged, LinkState, Reply
from station.clock import Clock
from station.config import StationConfig
from station.datatypes import (
    Belief,
    Classification,
    Decision,
    EndedTrack,
    Frame,
    ItemRecord,
    Look,
    LookAt,
    OutcomeKind,
    OutcomeReason,
    Track,
    TrackEnd,
)
from station.errors import ModelError
from station.machine import Actions, Command, Conditions, Machine, State
from station.recognition.look_plan import Offer, choose
from station.recognition.voting import fuse
from station.sorting.ledger import Ledger
from station.sorting.reseen import Reseen
from station.sorting.rules import decide, wants_gate
from station.sorting.scheduler import Motion, Scheduler
from station.tracking.tracker import TrackUpdate

CAMERA_SILENT_NS = 500_000_000
STANDING_MM_S = 10.0
FRAME_OVERDUE_NS = 20_000_000
MODEL_REST_NS = 1_000_000_000
FRAMES_LEFT_STANDING = 1_000_000


class Eye(Protocol):
    """One camera's view state (tracking.view), or the stub of a labelled soak."""

    travel_mm: float  # belt travel at the last frame's capture
    speed_mm_s: float | None

    def see(self, frame: Frame) -> TrackUpdate: ...

    def restart(self) -> Sequence[EndedTrack]: ...

    def end_mm(self) -> float:
        """Downstream edge of the view on the station axis."""


class Recogniser(Protocol):
    """recognition.classifier, or the stub of a labelled soak."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def classify(self, looks: Sequence[Look]) -> list[Classification]: ...


@dataclass(frozen=True, slots=True)
class Controls:
    """What the world outside the pictures says."""

    commands: tuple[tuple[Command, str], ...] = ()  # and who asked
    link: LinkState | None = None  # None: observing only
    fault: str | None = None
    recorder_full: bool = False  # there is no room to account for further items
    alive: tuple[str, ...] = ()  # cameras that gave a frame, also one that could not be placed on the belt
    camera_words: str = ""  # what is the matter with the cameras


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
    state_changed: bool
    unarmed_ns: int = 0  # for how long the machine has wanted an armed controller in vain


@dataclass(slots=True)
class _Item:
    """What the loop remembers of an item from birth until it is past the gates."""

    track: Track
    looks: list[LookAt] = field(default_factory=list)
    opinions: list[Classification] = field(default_factory=list)
    decision: Decision | None = None
    gated: bool = False
    gone: TrackEnd | None = None
    belief: Belief | None = None  # of the opinions so far


class SortLoop:
    def __init__(
        self,
        config: StationConfig,
        eyes: Mapping[str, Eye],
        recogniser: Recogniser,
        machine: Machine,
        clock: Clock,
    ) -> None:
        self._config = config
        self._eyes = eyes
        self._recogniser = recogniser
        self._clock = clock
        self.machine = machine
        self.ledger = Ledger()
        self.scheduler = Scheduler(config)
        self._items: dict[int, _Item] = {}
        self._motion: dict[str, Motion] = {}
        self._reseen = {camera_id: Reseen() for camera_id in eyes}
        self._last_frame_ns: dict[str, int] = {}
        self._period_ns = {camera.id: round(1e9 / camera.fps) for camera in config.cameras}
        self._lease_counter = 0
        self._model_trouble: str | None = None
        self._model_failed_ns = 0
        self._restarted = False
        self._started_ns: int | None = None
        self._gate_at_mm = max((gate.at_mm for gate in config.gates), default=10_000.0)

    def step(self, now_ns: int, frames: Sequence[Frame], replies: Sequence[Reply], controls: Controls) -> StepResult:
        """One turn: hear, see, look, decide, schedule. At most one frame per camera."""
        self._started_ns = now_ns if self._started_ns is None else self._started_ns
        self._lease_counter += 1
        state_before = self.machine.state
        began_ns = self._clock.now_ns()
        records = self._hear(replies, now_ns)
        births, ended = self._see(frames, now_ns)
        looks = self._look(frames)
        seen_ns = self._clock.now_ns()
        self._keep(*self._recognise(looks, now_ns))
        recognised_ns = self._clock.now_ns()
        actions = self._move_machine(now_ns, controls, records)
        due = self._due(now_ns, ended)
        decisions = self._decide(due, records)
        commands = self._schedule(decisions, now_ns, controls, records)
        self._forget_passed()
        return StepResult(
            commands=tuple(command for command, _ in commands),
            command_tracks=tuple(track_id for _, track_id in commands),
            records=tuple(records),
            births=tuple(births),
            decisions=tuple(item.decision for item in decisions if item.decision),
            actions=actions,
            lease_counter=self._lease_counter,
            tracks=tuple(item.track for item in self._items.values() if item.gone is None),
            beliefs=self._beliefs(),
            looks=len(looks),
            spent_ns={
                "track": seen_ns - began_ns,
                "recognise": recognised_ns - seen_ns,
                "decide": self._clock.now_ns() - recognised_ns,
            },
            state_changed=self.machine.state is not state_before,
            unarmed_ns=self.machine.unarmed_ns(now_ns),
        )

    def enqueued(self, commands: Sequence[DivertCommand], at_ns: int) -> None:
        """The caller has handed the commands to the link."""
        self.ledger.enqueued(commands, at_ns)

    def model_trouble(self, now_ns: int) -> str | None:
        """Why recognition fails now, in words; None when it works."""
        return self._model_trouble if now_ns - self._model_failed_ns < MODEL_REST_NS else None

    @property
    def speed_mm_s(self) -> float | None:
        """Belt speed as last seen."""
        return max((motion.speed_mm_s for motion in self._motion.values()), default=None)

    def decision_of(self, track_id: int) -> Decision | None:
        item = self._items.get(track_id)
        return item.decision if item is not None else None

    def finish(self, now_ns: int) -> list[ItemRecord]:
        """The run is over: what is still open cannot be known any more."""
        return self.ledger.close_all(OutcomeReason.RUN_ENDED, now_ns, OutcomeKind.UNCONFIRMED)

    # -- stages, in order --------------------------------------------------------------------------------------------

    def _hear(self, replies: Sequence[Reply], now_ns: int) -> list[ItemRecord]:
        records = []
        self._restarted = any(isinstance(reply, LinkChanged) and reply.new_boot for reply in replies)
        for reply in replies:
            record = self.ledger.hear(reply)
            if record is not None:
                records.append(record)
            if isinstance(reply, LinkChanged) and reply.new_boot:
                records += self._new_count_epoch(now_ns)
        return records

    def _see(self, frames: Sequence[Frame], now_ns: int) -> tuple[list[Track], list[EndedTrack]]:
        births: list[Track] = []
        ended: list[EndedTrack] = []
        for frame in frames:
            self._last_frame_ns[frame.camera_id] = frame.captured_ns
            eye = self._eyes[frame.camera_id]
            update = eye.see(frame)
            self._motion[frame.camera_id] = Motion(frame.captured_ns, eye.travel_mm, eye.speed_mm_s or 0.0)
            self._reseen[frame.camera_id].arrive(self._motion[frame.camera_id])
            for track in update.tracks:
                births += self._meet(track)
            for end in update.ended:
                if end.end is not TrackEnd.NOISE:
                    births += self._meet(end.track)
                ended.append(end)
        return births, ended

    def _look(self, frames: Sequence[Frame]) -> list[Look]:
        by_camera = {frame.camera_id: frame for frame in frames}
        seen: dict[int, tuple[Track, Frame]] = {}
        for item in self._items.values():
            frame = by_camera.get(item.track.camera_id)
            fresh = frame is not None and item.track.last_seen_ns == frame.captured_ns
            if frame is not None and fresh and item.track.whole and not item.track.merged and item.decision is None:
                seen[item.track.track_id] = (item.track, frame)
        offers = [
            Offer(track_id, len(self._items[track_id].looks), self._frames_left(track, frame.captured_ns))
            for track_id, (track, frame) in seen.items()
        ]
        recognition = self._config.recognition
        looks = []
        for track_id in choose(offers, recognition.max_looks, recognition.max_looks_per_step):
            track, frame = seen[track_id]
            if track.detection is not None:
                looks.append(Look(track_id, frame, track.detection.extent))
        return looks

    def _recognise(self, looks: list[Look], now_ns: int) -> tuple[list[Look], list[Classification]]:
        """Opinions on the looks. A failing model costs looks, not the loop: the machine holds until it has had a rest."""
        try:
            return looks, self._recogniser.classify(looks)
        except ModelError as error:
            self._model_trouble, self._model_failed_ns = str(error), now_ns
            return [], []

    def _keep(self, looks: Sequence[Look], opinions: Sequence[Classification]) -> None:
        for look, opinion in zip(looks, opinions, strict=True):
            item = self._items[look.track_id]
            item.looks.append((look.frame.captured_ns, look.extent))
            item.opinions.append(opinion)

    def _move_machine(self, now_ns: int, controls: Controls, records: list[ItemRecord]) -> Actions:
        for camera_id in controls.alive:
            self._last_frame_ns[camera_id] = now_ns
        for command, who in controls.commands:
            self.machine.command(command, now_ns, who)
        speeds = [motion.speed_mm_s for motion in self._motion.values()]
        conditions = Conditions(
            link=controls.link,
            cameras_live=self._cameras_live(now_ns),
            camera_words=controls.camera_words,
            restarted=self._restarted,
            belt_stands=bool(speeds) and max(speeds) < STANDING_MM_S,
            fault=controls.fault,
            recorder_full=controls.recorder_full,
            model_trouble=self.model_trouble(now_ns),
        )
        actions = self.machine.step(now_ns, conditions)
        if actions.stop:
            self.scheduler.forget_all()
            records += self.ledger.close_all(OutcomeReason.STOPPED, now_ns)
        return actions

    def _due(self, now_ns: int, ended: Sequence[EndedTrack]) -> list[_Item]:
        """Items that will not be seen better than now, downstream ones first."""
        for end in ended:
            item = self._items.get(end.track.track_id)
            if item is not None:
                item.gone = end.end
        due = [item for item in self._items.values() if item.decision is None and self._is_due(item, now_ns)]
        return sorted(due, key=lambda item: -item.track.along_mm)

    def _decide(self, due: Sequence[_Item], records: list[ItemRecord]) -> list[_Item]:
        decided = []
        decided_ns = self._clock.now_ns()
        for item in due:
            track_id = item.track.track_id
            belief = self._belief(item)
            if item.gone is TrackEnd.LOST and belief is None:
                item.decision = decide(track_id, None, self._config.sort, decided_ns)
                records += _one(
                    self.ledger.settle(track_id, OutcomeKind.UNCONFIRMED, OutcomeReason.LOST_TRACK, decided_ns)
                )
                continue
            item.decision = decide(track_id, belief, self._config.sort, decided_ns)
            item.gated = wants_gate(item.decision, self._config.sort)
            if self.ledger.is_open(track_id):
                self.ledger.decide(item.decision, belief, item.looks)
                decided.append(item)
        return decided

    def _schedule(
        self, decided: Sequence[_Item], now_ns: int, controls: Controls, records: list[ItemRecord]
    ) -> list[tuple[DivertCommand, int]]:
        commands = []
        for item in decided:
            track_id = item.track.track_id
            if not item.gated:
                records += _one(self.ledger.settle(track_id, OutcomeKind.PASSED, OutcomeReason.NONE, now_ns))
                continue
            refusal = self._why_not(item, controls)
            planned = None
            if refusal is None and item.decision is not None:
                motion = self._motion[item.track.camera_id]
                planned = self.scheduler.plan(item.track, item.decision.bin_name, self._spared(item), motion)
                refusal = planned.reason if planned.command is None else None
            if refusal is not None or planned is None or planned.command is None:
                reason = refusal or OutcomeReason.REFUSED_OTHER
                records += _one(self.ledger.settle(track_id, OutcomeKind.MISSED, reason, now_ns))
                continue
            self.ledger.command(track_id, planned.command, planned.last_useful_ns)
            commands.append((planned.command, track_id))
        return commands

    # -- questions the stages ask ------------------------------------------------------------------------------------

    def _meet(self, track: Track) -> list[Track]:
        """Enter or refresh an item; the list holds it when it is new."""
        item = self._items.get(track.track_id)
        if item is None:
            self._items[track.track_id] = _Item(track)
            if self._reseen[track.camera_id].takes(track):
                self.ledger.known_already(track.track_id)
        elif item.decision is None:
            item.track = track
        else:
            item.track = track if item.gone is None else item.track
        return [track] if self.ledger.see(track) else []

    def _is_due(self, item: _Item, now_ns: int) -> bool:
        if item.gone is not None:
            return item.gone is not TrackEnd.NOISE
        # Judged at the newest frame: the next may still bring a look. Only when frames stay away does time decide.
        camera_id = item.track.camera_id
        waited_for_ns = now_ns - 2 * self._period_ns[camera_id] - FRAME_OVERDUE_NS
        at_ns = max(self._motion[camera_id].at_ns, waited_for_ns)
        return self._frames_left(item.track, at_ns) <= 0 and bool(item.opinions)

    def _frames_left(self, track: Track, at_ns: int) -> int:
        """Frames after the one at `at_ns` in which the item will still be whole, by its position and the belt's speed."""
        motion = self._motion[track.camera_id]
        per_frame_mm = motion.speed_mm_s * self._period_ns[track.camera_id] / 1e9
        if motion.speed_mm_s < STANDING_MM_S:
            return FRAMES_LEFT_STANDING
        travel_mm = motion.travel_mm + motion.speed_mm_s * (at_ns - motion.at_ns) / 1e9
        front_mm = track.along_mm + track.length_mm / 2 + travel_mm
        return int((self._eyes[track.camera_id].end_mm() - front_mm) // per_frame_mm)

    def _belief(self, item: _Item) -> Belief | None:
        """Fused once per new opinion."""
        if item.belief is None or item.belief.looks != len(item.opinions):
            fused = fuse(item.opinions, self._recogniser.classes)
            if fused is None:
                return None
            newest_ns = max(opinion.captured_ns for opinion in item.opinions)
            item.belief = Belief(fused.label, fused.confidence, fused.probabilities, fused.looks, newest_ns)
        return item.belief

    def _why_not(self, item: _Item, controls: Controls) -> OutcomeReason | None:
        """The reason why nothing may be sent for this item, or None."""
        if controls.link is None:
            return OutcomeReason.DRY_RUN
        if not self.machine.takes_decisions:
            stopped = self.machine.state in (State.STOPPING, State.STOPPED)
            return OutcomeReason.STOPPED if stopped else OutcomeReason.NOT_PERMITTED
        if controls.link is not LinkState.ARMED:
            return OutcomeReason.LINK
        return None

    def _beliefs(self) -> dict[int, tuple[str, float]]:
        beliefs = {}
        for track_id, item in self._items.items():
            belief = self._belief(item) if item.gone is None else None
            if belief is not None:
                beliefs[track_id] = (belief.label, belief.confidence)
        return beliefs

    def _spared(self, target: _Item) -> list[Track]:
        """Every other item that is not itself meant for a gate, as far as is known now."""
        spared = []
        for item in self._items.values():
            if item is target or (item.decision is not None and item.gated):
                continue
            if item.decision is None:
                belief = self._belief(item)
                if belief is not None and wants_gate(decide(0, belief, self._config.sort, 0), self._config.sort):
                    continue
            spared.append(item.track)
        return spared

    def _cameras_live(self, now_ns: int) -> bool:
        """Every camera gave a frame lately."""
        silent_ns = (now_ns - self._last_frame_ns.get(camera, -CAMERA_SILENT_NS * 2) for camera in self._eyes)
        return all(silence < CAMERA_SILENT_NS for silence in silent_ns)

    def _new_count_epoch(self, now_ns: int) -> list[ItemRecord]:
        """The device restarted: its counts, and with them every position known, are worth nothing now."""
        self.scheduler.forget_all()
        for camera_id, eye in self._eyes.items():
            in_view = [i.track for i in self._items.values() if i.gone is None and i.track.camera_id == camera_id]
            if camera_id in self._motion:
                self._reseen[camera_id].leave(in_view, self._motion[camera_id])
            eye.restart()
        self._items.clear()
        return self.ledger.close_all(OutcomeReason.LINK, now_ns)

    def _forget_passed(self) -> None:
        """Drop items that are far past the gates."""
        if not self._motion:
            return
        travel_mm = max(motion.travel_mm for motion in self._motion.values())
        passed = [
            track_id
            for track_id, item in self._items.items()
            if item.decision is not None and item.track.along_mm + travel_mm > self._gate_at_mm + 1000
        ]
        for track_id in passed:
            del self._items[track_id]
        for track_id in [track_id for track_id, item in self._items.items() if item.gone is TrackEnd.NOISE]:
            del self._items[track_id]


def _one(record: ItemRecord | None) -> list[ItemRecord]:
    return [] if record is None else [record]
