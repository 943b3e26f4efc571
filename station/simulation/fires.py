"""Late and wrong fires: the device's edges held against the windows it had accepted.

Pure functions. A window says when the *item* should feel the gate, so an edge is moved by the gate's nominal delay before
it is compared. `tests/tools/recount.py` repeats this with nothing but the standard library.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from station.simulation.belt import BeltProfile
from station.simulation.edges import EdgeFile
from station.simulation.gates import Edge

NS_PER_US = 1000


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What the device had been told: nominal delays per gate, tolerance, scale."""

    opening_ms: Sequence[float]
    closing_ms: Sequence[float]
    max_late_us: int
    mm_per_count: float | None  # None: no encoder, windows of time alone


@dataclass(frozen=True, slots=True)
class AcceptedWindow:
    gate: int
    in_mm: bool  # else in host ns
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class FireCount:
    late_fires: int
    wrong_fires: int


def accepted_windows(
    commands: Iterable[Mapping[str, Any]], edges: EdgeFile, belt: BeltProfile, device: DeviceFacts
) -> list[AcceptedWindow]:
    """Windows of commands.jsonl that a gate may rightly have acted in: accepted, and not cancelled before they began."""
    windows = []
    for row in commands:
        if not _may_have_acted(row):
            continue
        start, end, in_mm = float(row["window_start"]), float(row["window_end"]), row["window_in"] == "count"
        if in_mm and device.mm_per_count is not None:
            zero_mm = edges.zero_mm(int(row["enqueued_ns"]), belt, device.mm_per_count)
            start, end = (zero_mm + count * device.mm_per_count for count in (start, end))
        mask = int(row["gate_mask"])
        windows += [AcceptedWindow(gate, in_mm, start, end) for gate in range(32) if mask >> gate & 1]
    return windows


def _may_have_acted(row: Mapping[str, Any]) -> bool:
    answer = row["answer"]
    if answer == "not_fired":
        return bool(row["why"] != "cancelled")
    return answer in ("fired", "unanswered", "none")


def count_fires(
    edges: EdgeFile, windows: Sequence[AcceptedWindow], belt: BeltProfile, device: DeviceFacts, end_ns: int
) -> FireCount:
    """late: switched on after every window it could belong to was due. wrong: on outside all of them."""
    late = wrong = 0
    by_gate = {gate: _Windows([w for w in windows if w.gate == gate]) for gate in {w.gate for w in windows}}
    for gate, on_ns, off_ns in on_spans(edges.edges, end_ns):
        felt_on = _Felt(belt, on_ns, device.opening_ms[gate], device)
        felt_off = _Felt(belt, off_ns, device.closing_ms[gate], device)
        mine = by_gate[gate].near(felt_on, felt_off) if gate in by_gate else []
        due = [w for w in mine if felt_on.value(w) >= w.start - felt_on.slack(w)]
        due = [w for w in due if felt_on.value(w) <= w.end + felt_on.slack(w)]
        late += bool(due) and all(felt_on.value(w) > w.start + felt_on.slack(w) for w in due)
        wrong += not due or not _reaches(felt_off, due, mine)
    return FireCount(late, wrong)


class _Windows:
    """One gate's windows, sorted, so that an hour of them is not searched for every edge."""

    def __init__(self, windows: Sequence[AcceptedWindow]) -> None:
        self._sorted = {
            in_mm: sorted((w for w in windows if w.in_mm == in_mm), key=lambda w: w.start) for in_mm in (True, False)
        }
        self._longest = {
            in_mm: max((w.end - w.start for w in kind), default=0.0) for in_mm, kind in self._sorted.items()
        }

    def near(self, felt_on: _Felt, felt_off: _Felt) -> list[AcceptedWindow]:
        """All that one span of output can have to do with: begun before its end, over after its begin."""
        found = []
        for in_mm, kind in self._sorted.items():
            probe = AcceptedWindow(0, in_mm, 0.0, 0.0)
            from_ = felt_on.value(probe) - self._longest[in_mm] - 2.0 * felt_on.slack(probe)
            to = max(felt_on.value(probe), felt_off.value(probe)) + 2.0 * max(
                felt_on.slack(probe), felt_off.slack(probe)
            )
            first = bisect_left(kind, from_, key=lambda w: w.start)
            found += kind[first : bisect_right(kind, to, key=lambda w: w.start)]
        return found


def on_spans(edges: Iterable[Edge], end_ns: int) -> list[tuple[int, int, int]]:
    """(gate, on_ns, off_ns) of each time an output was on."""
    spans = []
    on_ns: dict[int, int] = {}
    for edge in sorted(edges, key=lambda edge: (edge.t_ns, edge.gate, edge.on)):
        if edge.on:
            on_ns.setdefault(edge.gate, edge.t_ns)
        elif edge.gate in on_ns:
            spans.append((edge.gate, on_ns.pop(edge.gate), edge.t_ns))
    return spans + [(gate, from_ns, end_ns) for gate, from_ns in on_ns.items()]


@dataclass(frozen=True, slots=True)
class _Felt:
    """One edge as the item feels it: moved by the gate's delay, in a window's own unit."""

    belt: BeltProfile
    t_ns: int
    delay_ms: float
    device: DeviceFacts

    def value(self, window: AcceptedWindow) -> float:
        if not window.in_mm:
            return self.t_ns + self.delay_ms * 1e6
        return self.belt.position_mm(self.t_ns) + self.belt.speed_mm_s(self.t_ns) * self.delay_ms / 1000.0

    def slack(self, window: AcceptedWindow) -> float:
        """Tolerance: max_late, and what a count cannot resolve at either end of the measured rate."""
        if not window.in_mm:
            return float(self.device.max_late_us * NS_PER_US)
        speed_mm_s = self.belt.speed_mm_s(self.t_ns)
        return speed_mm_s * self.device.max_late_us / 1e6 + 2.0 * (self.device.mm_per_count or 0.0)


def _reaches(felt_off: _Felt, due: Sequence[AcceptedWindow], mine: Sequence[AcceptedWindow]) -> bool:
    """Whether windows joined to those that were due reach as far as the output stayed on."""
    for in_mm in (True, False):
        reached = max((w.end for w in due if w.in_mm == in_mm), default=None)
        if reached is None:
            continue
        for window in sorted((w for w in mine if w.in_mm == in_mm), key=lambda w: w.start):
            if window.start <= reached + felt_off.slack(window):
                reached = max(reached, window.end)
        probe = AcceptedWindow(0, in_mm, 0.0, 0.0)
        if felt_off.value(probe) <= reached + felt_off.slack(probe):
            return True
    return False
