"""One item as a flat row of plain values: a line of items.jsonl, a row of the history, the report's raw material.

Knows how the nouns are flattened; nothing of files or SQL. Times are host monotonic unless the name says UTC.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from firmware_bridge.messages import DivertCommand, DuringCount
from station.datatypes import Decision, ItemRecord, LookAt, OutcomeKind, OutcomeReason, Track


@dataclass(frozen=True, slots=True)
class ItemRow:
    track_id: int
    camera_id: str
    born_ns: int
    born_utc_ns: int
    last_seen_ns: int | None = None
    along_mm: float | None = None
    lateral_mm: float | None = None
    length_mm: float | None = None
    width_mm: float | None = None
    sigma_mm: float | None = None
    merged: bool = False
    looks: int = 0
    look_boxes: tuple[tuple[float, ...], ...] = ()  # captured_ns, cx, cy, length, width in px, degrees
    label: str | None = None
    confidence: float | None = None
    probabilities: tuple[float, ...] | None = None
    bin: str | None = None
    decision_reason: str | None = None
    decided_ns: int | None = None
    last_look_ns: int | None = None
    command_id: int | None = None
    gate_mask: int | None = None
    window_in: str | None = None  # "ns" or "count"
    window_start: int | None = None
    window_end: int | None = None
    scheduled_ns: int | None = None
    outcome: str | None = None  # None: still open
    reason: str | None = None
    settled_ns: int | None = None
    settled_utc_ns: int | None = None
    fire_error_us: int | None = None
    slack_ms: float | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ItemRow":
        """Unknown keys are ignored: a newer program may have written the line."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        kept = {key: value for key, value in values.items() if key in known}
        for key in ("probabilities", "look_boxes"):
            if kept.get(key) is not None:
                kept[key] = _as_tuple(kept[key])
        return cls(**kept)


def birth_row(track: Track, utc_minus_ns: int) -> ItemRow:
    """An item just met. `utc_minus_ns`: UTC time minus host time, fixed for a run."""
    return ItemRow(
        track_id=track.track_id,
        camera_id=track.camera_id,
        born_ns=track.first_seen_ns,
        born_utc_ns=track.first_seen_ns + utc_minus_ns,
        last_seen_ns=track.last_seen_ns,
        **_place(track),
    )


def item_row(record: ItemRecord, utc_minus_ns: int) -> ItemRow:
    """An item whose outcome is known."""
    outcome = record.outcome
    return dataclasses.replace(
        birth_row(record.track, utc_minus_ns),
        looks=record.looks,
        look_boxes=tuple(_box(look) for look in record.look_boxes),
        probabilities=record.probabilities,
        scheduled_ns=record.scheduled_ns,
        outcome=outcome.kind.value,
        reason=outcome.reason.value,
        settled_ns=outcome.settled_ns,
        settled_utc_ns=outcome.settled_ns + utc_minus_ns,
        fire_error_us=outcome.fire_error_us,
        slack_ms=outcome.slack_ms,
        **_decided(record.decision),
        **(command_values(record.command) if record.command is not None else {}),
    )


def interrupted(row: ItemRow, settled_ns: int, settled_utc_ns: int) -> ItemRow:
    """An item that was open when the station died."""
    return dataclasses.replace(
        row,
        outcome=OutcomeKind.UNCONFIRMED.value,
        reason=OutcomeReason.INTERRUPTED.value,
        settled_ns=settled_ns,
        settled_utc_ns=settled_utc_ns,
    )


def command_values(command: DivertCommand) -> dict[str, Any]:
    window = command.window
    if isinstance(window, DuringCount):
        unit, start, end = "count", window.start_count, window.end_count
    else:
        unit, start, end = "ns", window.start_ns, window.end_ns
    return {
        "command_id": command.command_id,
        "gate_mask": command.gate_mask,
        "window_in": unit,
        "window_start": start,
        "window_end": end,
    }


def _place(track: Track) -> dict[str, Any]:
    return {
        "along_mm": round(float(track.along_mm), 3),
        "lateral_mm": round(float(track.lateral_mm), 3),
        "length_mm": round(float(track.length_mm), 3),
        "width_mm": round(float(track.width_mm), 3),
        "sigma_mm": round(float(track.sigma_mm), 3),
        "merged": bool(track.merged),
    }


def _box(look: LookAt) -> tuple[float, ...]:
    captured_ns, box = look
    places = (box.cx_px, box.cy_px, box.length_px, box.width_px, box.angle_deg)
    return (captured_ns, *(round(float(value), 2) for value in places))


def _decided(decision: Decision | None) -> dict[str, Any]:
    if decision is None:
        return {}
    return {
        "label": decision.label,
        "confidence": float(decision.confidence),
        "bin": decision.bin_name,
        "decision_reason": decision.reason.value,
        "decided_ns": decision.decided_ns,
        "last_look_ns": decision.last_look_ns,
    }


def _as_tuple(values: Any) -> Any:
    return tuple(_as_tuple(value) for value in values) if isinstance(values, list | tuple) else values
