"""The run report (schema station.run/1) from plain values: rows, counters, what the link said, what the line saw. Pure.

Shares are nearest-rank percentiles of all items concerned; an item that was late, or decided without a look because none
came in time, counts as infinitely late, written as NEVER_MS because JSON has no infinity.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from firmware_bridge.messages import LinkStatus
from station.datatypes import NEVER_MS, DecisionReason, OutcomeKind, OutcomeReason
from station.intervals import wilson
from station.record.rows import ItemRow

SCHEMA = "station.run/1"


@dataclass(frozen=True)
class RunFacts:
    """What was known before the first item."""

    clock: str  # "wall" or "virtual"
    seed: int | None
    device: str
    backend: str
    perception: str  # "model" or "stub"
    line: dict[str, Any] = field(default_factory=dict)  # every parameter of the line, and the station's own


@dataclass(frozen=True)
class FrameCounts:
    captured: int = 0
    processed: int = 0
    dropped: int = 0
    stale: int = 0


@dataclass(frozen=True)
class RunEnd:
    """What is known after the last."""

    status: str  # "completed", "stopped", "interrupted", "failed"
    duration_s: float
    frames: FrameCounts = FrameCounts()
    births: int | None = None  # items the ledger ever entered; None: unknown, the rows are believed
    in_flight: int = 0
    history_lost: int = 0
    late_fires: int | None = None  # from the device's own edge record; None: there is none
    wrong_fires: int | None = None
    link: LinkStatus | None = None
    truth: dict[str, Any] | None = None  # from the line


def run_report(facts: RunFacts, end: RunEnd, items: Iterable[ItemRow]) -> dict[str, Any]:
    rows = list(items)
    settled = [row for row in rows if row.outcome is not None]
    in_flight = max(end.in_flight, len(rows) - len(settled))
    total = end.births if end.births is not None else len(settled) + in_flight
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "clock": facts.clock,
        "seed": facts.seed,
        "duration_s": round(end.duration_s, 3),
        "device": facts.device,
        "backend": facts.backend,
        "perception": facts.perception,
        "status": end.status,
        "line": facts.line,
        "frames": asdict(end.frames),
        "items": _items(settled, total, in_flight),
        "ledger_balanced": _balanced(settled, total, in_flight),
        "history_lost": end.history_lost,
        "late_fires": end.late_fires,
        "wrong_fires": end.wrong_fires,
        "latency_ms": None if facts.clock == "virtual" else _latency(settled),
        "slack_ms": _slack(settled),
        "fire_error_us": _spread([abs(row.fire_error_us) for row in settled if row.fire_error_us is not None]),
        "link": _link(end.link),
    }
    if end.truth is not None:
        report["truth"] = end.truth
    return report


def share(k: int, n: int) -> dict[str, float | int | None]:
    """k of n with its Wilson 95 % interval; nulls when nothing was counted."""
    interval = asdict(wilson(k, n))
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in interval.items()}


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Nearest rank: a value that was measured, never one between two. None without values."""
    if not values:
        return None
    ranked = sorted(values)
    rank = max(1, math.ceil(percent / 100.0 * len(ranked)))
    return min(ranked[rank - 1], NEVER_MS)


def latencies_to_scheduled_ms(rows: Iterable[ItemRow]) -> list[float]:
    """Of every item that was sent to a gate, or that came too late for it or for a look. Of a run that observes: none."""
    known = list(rows)
    if not any(was_for_a_gate(row.reason, row.scheduled_ns) for row in known):
        return []
    values = (to_scheduled_ms(row.reason, row.decision_reason, row.scheduled_ns, row.last_look_ns) for row in known)
    return [value for value in values if value is not None]


def was_for_a_gate(reason: str | None, scheduled_ns: int | None) -> bool:
    """It was sent, or should have been: where nothing ever is, an item without a look is late for nothing."""
    return scheduled_ns is not None or reason == OutcomeReason.LATE.value


def to_scheduled_ms(
    reason: str | None, decision_reason: str | None, scheduled_ns: int | None, last_look_ns: int | None
) -> float | None:
    """Capture of the last look used -> enqueued to the link; infinite for what was late or never looked at."""
    if reason == OutcomeReason.LATE.value or decision_reason == DecisionReason.NO_LOOK.value:
        return math.inf
    if scheduled_ns is None or last_look_ns is None:
        return None
    return (scheduled_ns - last_look_ns) / 1e6


def _items(settled: Sequence[ItemRow], total: int, in_flight: int) -> dict[str, Any]:
    kinds = Counter(row.outcome for row in settled)
    looks = [float(row.looks) for row in settled]
    return {
        "total": total,
        "in_flight": in_flight,
        "by_label": _sorted_counts(row.label for row in settled if row.label is not None),
        "looks_per_item": {"p1": _whole(percentile(looks, 1)), "p50": _whole(percentile(looks, 50))},
        "by_outcome": {kind.value: kinds[kind.value] for kind in OutcomeKind},
        "missed_by_reason": _reasons(settled, OutcomeKind.MISSED),
        "unconfirmed_by_reason": _reasons(settled, OutcomeKind.UNCONFIRMED),
    }


def _balanced(settled: Sequence[ItemRow], total: int, in_flight: int) -> bool:
    """Every item met has exactly one outcome or is still on its way."""
    each_once = len({row.track_id for row in settled}) == len(settled)
    known = {kind.value for kind in OutcomeKind}
    return each_once and all(row.outcome in known for row in settled) and total == len(settled) + in_flight


def _latency(settled: Sequence[ItemRow]) -> dict[str, Any]:
    to_decision = [
        (row.decided_ns - row.last_look_ns) / 1e6
        for row in settled
        if row.decided_ns is not None and row.last_look_ns is not None
    ]
    to_scheduled = latencies_to_scheduled_ms(settled)
    infinite = sum(math.isinf(value) for value in to_scheduled)
    return {
        "capture_to_decision": _spread(to_decision),
        "capture_to_scheduled": {**_spread(to_scheduled), "n": len(to_scheduled), "infinite": infinite},
    }


def _slack(settled: Sequence[ItemRow]) -> dict[str, float | None]:
    slacks = [row.slack_ms for row in settled if row.slack_ms is not None]
    return {"p1": _rounded(percentile(slacks, 1)), "p50": _rounded(percentile(slacks, 50))}


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "p50": _rounded(percentile(values, 50)),
        "p99": _rounded(percentile(values, 99)),
        "max": _rounded(percentile(values, 100)),
    }


def _link(status: LinkStatus | None) -> dict[str, Any]:
    if status is None:
        return {"state": "none", "timing": "none", "retries": 0, "nacks": {}, "sync_bound_us": None}
    return {
        "state": status.state.value,
        "timing": status.timing,
        "retries": status.retries,
        "nacks": dict(status.nacks),
        "sync_bound_us": status.sync_bound_us,
        "crc_errors": status.crc_errors,
        "reconnects": status.reconnects,
        "events_lost": status.events_lost,
        "foreign": status.foreign,
        "faults": list(status.faults),
    }


def _reasons(settled: Sequence[ItemRow], kind: OutcomeKind) -> dict[str, int]:
    return _sorted_counts(row.reason for row in settled if row.outcome == kind.value)


def _sorted_counts(names: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(name or "none" for name in names).items()))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
