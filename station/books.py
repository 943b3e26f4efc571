"""What a run counts and hands to the recorder, and the rolling figures an operator sees.

Owned by the sort loop's thread. Memory does not grow with the length of the run: the report is made from the stored rows.
Knows no files (the recorder does) and no threads.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from firmware_bridge.messages import (
    ESTOP_PIN,
    DeviceFault,
    Disarmed,
    EncoderSilent,
    FaultRaised,
    InputChanged,
    LinkChanged,
    Reply,
)
from station.bins import landed_in
from station.crop_choice import CropChoice
from station.datatypes import ItemRecord, OutcomeKind
from station.events import Event, EventKind, Json
from station.pipeline import StepResult
from station.record.recorder import Born, Commanded, Recorder, Replied, Settled
from station.record.run_report import percentile, to_scheduled_ms, was_for_a_gate

RECENT = 1000  # items the rolling figures speak of


@dataclass(slots=True)
class FrameTally:
    captured: int = 0
    processed: int = 0
    dropped: int = 0
    stale: int = 0  # black, frozen, repeated, resized, too old, or without a belt position: never shown to the model


@dataclass(slots=True)
class Books:
    recorder: Recorder
    utc_minus_ns: int
    cameras: dict[str, FrameTally] = field(default_factory=dict)  # each counted by its own thread
    crops: CropChoice | None = None  # keeps pictures worth a label
    births: int = 0
    looks: int = 0
    sorts: bool = False  # an item was for a gate: this run does not only observe
    landed: Counter[str] = field(default_factory=Counter)  # items in each bin, by count, in this run
    landed_before: dict[str, int] = field(default_factory=dict)  # since each was emptied, in earlier runs
    unactuated_bin: str = ""  # where an untouched item lies
    to_scheduled_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    slack_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    stage_ms: dict[str, deque[float]] = field(default_factory=dict)
    recent: deque[ItemRecord] = field(default_factory=lambda: deque(maxlen=24))
    happened: deque[Event] = field(default_factory=lambda: deque(maxlen=24))  # newest last; items are in `recent`

    @property
    def frames(self) -> FrameTally:
        """Of all cameras together."""
        tallies = [tuple(getattr(tally, name) for name in FrameTally.__slots__) for tally in self.cameras.values()]
        return FrameTally(*(sum(counts) for counts in zip(*tallies, strict=True)))

    def heard(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            self.recorder.put(Replied(reply))
            match reply:
                case LinkChanged(state=state, at_ns=at_ns, detail=detail):
                    self.event(EventKind.LINK, at_ns, state=state.value, detail=detail)
                case Disarmed(reason=reason, at_ns=at_ns):
                    self.event(EventKind.DISARMED, at_ns, reason=reason.name.lower())
                case EncoderSilent(silent_ms=silent_ms, at_ns=at_ns):
                    self.event(EventKind.ENCODER_SILENT, at_ns, silent_ms=silent_ms)
                case FaultRaised(fault=fault, gate=gate, at_ns=at_ns):
                    of_gate = gate if fault is DeviceFault.OUTPUT_DIFFERS else None
                    self.event(EventKind.CONTROLLER_FAULT, at_ns, fault=(fault.name or "unknown").lower(), gate=of_gate)
                case InputChanged(pin=pin, level=level, at_ns=at_ns) if pin == ESTOP_PIN:
                    self.event(EventKind.ESTOP, at_ns, pressed=level)

    def stepped(self, result: StepResult) -> None:
        self.births += len(result.births)
        self.looks += result.looks
        if result.looks:
            for stage, spent_ns in result.spent_ns.items():
                self.stage_ms.setdefault(stage, deque(maxlen=RECENT)).append(spent_ns / 1e6)
        for track in result.births:
            self.recorder.put(Born(track))
        for record in result.records:
            self.settled(record)

    def settled(self, record: ItemRecord) -> None:
        self.recorder.put(Settled(record))
        self.recent.append(record)
        if self.crops is not None:
            self.crops.settled(record, self.utc_minus_ns)
        bin_name = landed_in(record, self.unactuated_bin)
        if bin_name is not None:
            self.landed[bin_name] += 1
        decision, outcome = record.decision, record.outcome
        why, last_look_ns = (decision.reason.value, decision.last_look_ns) if decision is not None else (None, None)
        took_ms = to_scheduled_ms(outcome.reason.value, why, record.scheduled_ns, last_look_ns)
        if took_ms is not None:
            self.to_scheduled_ms.append(took_ms)
        self.sorts = self.sorts or was_for_a_gate(outcome.reason.value, record.scheduled_ns)
        if outcome.slack_ms is not None:
            self.slack_ms.append(outcome.slack_ms)
        if outcome.kind is OutcomeKind.MISSED:
            self.event(EventKind.ITEM_MISSED, outcome.settled_ns, track=outcome.track_id, reason=outcome.reason.value)
        elif outcome.kind is OutcomeKind.UNCONFIRMED:
            self.event(
                EventKind.ITEM_UNCONFIRMED, outcome.settled_ns, track=outcome.track_id, reason=outcome.reason.value
            )

    def sent(self, result: StepResult, at_ns: int) -> None:
        """The step's commands were handed to the link at `at_ns`."""
        for command, track_id in zip(result.commands, result.command_tracks, strict=True):
            self.recorder.put(Commanded(command, track_id, at_ns))

    def event(self, what: EventKind, at_ns: int, camera_id: str | None = None, **detail: Json) -> None:
        event = Event(what, at_ns, at_ns + self.utc_minus_ns, None, camera_id, detail)
        self.recorder.put(event)
        if what not in (EventKind.ITEM_MISSED, EventKind.ITEM_UNCONFIRMED):
            self.happened.append(event)

    def stages(self) -> dict[str, dict[str, float | None]]:
        """p50 and p99 of each stage in the last steps that looked at items."""
        return {
            stage: {"p50_ms": _rounded(percentile(list(values), 50)), "p99_ms": _rounded(percentile(list(values), 99))}
            for stage, values in self.stage_ms.items()
        }

    def latency_p50_p99_ms(self) -> tuple[float | None, float | None]:
        values = list(self.to_scheduled_ms) if self.sorts else []
        return percentile(values, 50), percentile(values, 99)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
