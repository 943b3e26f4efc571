"""What operators see of the station at one moment: frozen, plain, picklable. Knows no widgets, no JSON of the page, no files.

The overlay, the window and the recorded video are drawn from it; pixels travel beside it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from firmware_bridge.messages import LinkState
from station.datatypes import Decision, OrientedBox, Outcome, OutcomeKind, Track


class Mark(Enum):
    """What will become of an item, as far as is known."""

    UNDECIDED = "undecided"
    PASS = "pass"  # no gate will touch it
    DIVERT = "divert"  # a gate will
    MISSED = "missed"  # a gate should, and will not
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True)
class SeenItem:
    track_id: int
    box: OrientedBox  # in the frame it is drawn on
    label: str | None = None
    confidence: float | None = None
    mark: Mark = Mark.UNDECIDED
    gates: tuple[int, ...] = ()
    note: str = ""  # why it is missed or unconfirmed


@dataclass(frozen=True, slots=True)
class SeenCamera:
    camera_id: str
    captured_ns: int  # of the frame that `items` were seen in
    live: bool = True
    trouble: str = ""  # why the pictures that come are not used
    fps: float | None = None
    dropped: int = 0
    items: tuple[SeenItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    made_ns: int
    state: str  # of the machine: "EXECUTE"
    state_reason: str = ""
    normal: bool = True  # the state is one that needs nobody's attention
    commands: tuple[str, ...] = ()  # those that mean something in this state
    link: LinkState | None = None  # None: observing only
    link_detail: str = ""
    simulated: bool = False
    latency_p50_ms: float | None = None  # capture to scheduled
    latency_p99_ms: float | None = None
    latency_budget_ms: float | None = None
    by_outcome: Mapping[OutcomeKind, int] = field(default_factory=dict)
    in_flight: int = 0
    alarms: tuple[str, ...] = ()  # active ones, worst first, in words
    cameras: Mapping[str, SeenCamera] = field(default_factory=dict)

    @property
    def observing(self) -> bool:
        """No diverts are sent, whatever is decided."""
        return self.link is None


def seen_item(
    track: Track,
    belief: tuple[str, float] | None,
    decision: Decision | None,
    *,
    gate_mask: int = 0,
    outcome: Outcome | None = None,
) -> SeenItem | None:
    """One item as it is drawn. None when it is not in the current frame."""
    if track.detection is None:
        return None
    label, confidence = belief or (None, None)
    if decision is not None and decision.label is not None:
        label, confidence = decision.label, decision.confidence
    return SeenItem(
        track_id=track.track_id,
        box=track.detection.extent,
        label=label,
        confidence=confidence,
        mark=_mark(decision, gate_mask, outcome),
        gates=gates_of(gate_mask),
        note=outcome.reason.value.replace("_", " ") if outcome is not None and outcome.kind in _TROUBLED else "",
    )


def gates_of(mask: int) -> tuple[int, ...]:
    return tuple(gate for gate in range(mask.bit_length()) if mask >> gate & 1)


def gates_in_words(gates: Iterable[int]) -> str:
    """(2, 3, 4, 6) as "2-4 6"."""
    runs: list[list[int]] = []
    for gate in sorted(gates):
        if runs and gate == runs[-1][-1] + 1:
            runs[-1].append(gate)
        else:
            runs.append([gate])
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


_TROUBLED = {OutcomeKind.MISSED: Mark.MISSED, OutcomeKind.UNCONFIRMED: Mark.UNCONFIRMED}


def _mark(decision: Decision | None, gate_mask: int, outcome: Outcome | None) -> Mark:
    if outcome is not None and outcome.kind in _TROUBLED:
        return _TROUBLED[outcome.kind]
    if gate_mask:
        return Mark.DIVERT
    return Mark.UNDECIDED if decision is None else Mark.PASS
