"""The station's nouns as the plain values a page shows: the one place that names the keys of /ws/state and /ws/live.

Knows the snapshot, items and events; knows nothing of processes or browsers. Called on the panel's thread, so what it is
given must not change afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firmware_bridge.messages import LinkState
from station.alarms import AlarmView
from station.datatypes import ItemRecord, OutcomeKind, OutcomeReason
from station.events import Event
from station.panel.snapshot import SeenCamera, SeenItem, Snapshot, gates_in_words

ITEMS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page shows besides the snapshot. Everything unknown may be left out and is shown as unknown."""

    state_number: int | None = None  # PackTags
    state_since_ns: int | None = None
    reasons: Mapping[tuple[OutcomeKind, OutcomeReason], int] = field(default_factory=dict)
    slack_p1_ms: float | None = None
    slack_p50_ms: float | None = None
    belt_speed_m_s: float | None = None
    link_port: str | None = None
    link_timing: str | None = None
    sync_bound_us: float | None = None
    link_retries: int = 0
    recent: Sequence[ItemRecord] = ()  # any order, the newest are shown
    alarms: Sequence[AlarmView] = ()
    events: Sequence[Event] = ()


def page_values(snapshot: Snapshot, facts: PageFacts | None = None) -> dict[str, Any]:
    """The state message, with the boxes of every camera under "pictures"."""
    facts = facts or PageFacts()
    cameras = snapshot.cameras.values()
    return {
        "at_ns": snapshot.made_ns,
        "mode": {"simulation": snapshot.simulated, "no_diverts": snapshot.observing},
        "machine": _machine(snapshot, facts),
        "link": _link(snapshot.link, snapshot.link_detail, facts),
        "belt": {"speed_m_s": facts.belt_speed_m_s},
        "counts": _counts(snapshot, facts),
        "latency_ms": {
            "p50": snapshot.latency_p50_ms,
            "p99": snapshot.latency_p99_ms,
            "budget": snapshot.latency_budget_ms,
        },
        "slack_ms": {"p1": facts.slack_p1_ms, "p50": facts.slack_p50_ms},
        "cameras": [_camera(camera) for camera in cameras],
        "items": _items(facts.recent),
        "alarms": [alarm.to_values() for alarm in facts.alarms] or [_worded(text) for text in snapshot.alarms],
        "events": [_event(event) for event in facts.events],
        "pictures": {
            camera.camera_id: {
                "captured_ns": camera.captured_ns,
                "boxes": [_box(item) for item in camera.items],
            }
            for camera in cameras
        },
    }


def _machine(snapshot: Snapshot, facts: PageFacts) -> dict[str, Any]:
    return {
        "state": snapshot.state.capitalize(),
        "number": facts.state_number,
        "reason": snapshot.state_reason,
        "normal": snapshot.normal,
        "commands": list(snapshot.commands),
        "since_ns": facts.state_since_ns,
    }


def _link(state: LinkState | None, detail: str, facts: PageFacts) -> dict[str, Any] | None:
    if state is None:
        return None
    return {
        "state": state.value,
        "detail": detail,
        "port": facts.link_port,
        "timing": facts.link_timing,
        "sync_bound_us": facts.sync_bound_us,
        "retries": facts.link_retries,
    }


def _counts(snapshot: Snapshot, facts: PageFacts) -> dict[str, Any]:
    by_outcome = {kind.value: snapshot.by_outcome.get(kind, 0) for kind in OutcomeKind}
    return {
        "total": sum(by_outcome.values()) + snapshot.in_flight,
        "in_flight": snapshot.in_flight,
        **by_outcome,
        "missed_by_reason": _by_reason(facts, OutcomeKind.MISSED),
        "unconfirmed_by_reason": _by_reason(facts, OutcomeKind.UNCONFIRMED),
    }


def _by_reason(facts: PageFacts, wanted: OutcomeKind) -> dict[str, int]:
    return {reason.value: count for (kind, reason), count in facts.reasons.items() if kind is wanted}


def _camera(camera: SeenCamera) -> dict[str, Any]:
    text = "" if camera.live else camera.trouble or "the camera sends nothing"
    return {
        "id": camera.camera_id,
        "live": camera.live,
        "fps": camera.fps,
        "dropped": camera.dropped,
        "text": text,
        "captured_ns": camera.captured_ns,
    }


def _box(item: SeenItem) -> dict[str, Any]:
    box = item.box
    return {
        "track_id": item.track_id,
        "box": [round(v, 1) for v in (box.cx_px, box.cy_px, box.length_px, box.width_px, box.angle_deg)],
        "label": item.label,
        "confidence": None if item.confidence is None else round(item.confidence, 3),
        "mark": item.mark.value,
        "gates": gates_in_words(item.gates),
        "note": item.note,
    }


def _items(records: Sequence[ItemRecord]) -> list[dict[str, Any]]:
    newest = sorted(records, key=lambda record: record.outcome.settled_ns, reverse=True)[:ITEMS_SHOWN]
    return [_item(record) for record in newest]


def _item(record: ItemRecord) -> dict[str, Any]:
    decision, outcome = record.decision, record.outcome
    return {
        "track_id": outcome.track_id,
        "camera": record.track.camera_id,
        "label": decision.label if decision else None,
        "confidence": round(decision.confidence, 3) if decision else None,
        "bin": decision.bin_name if decision else None,
        "outcome": outcome.kind.value,
        "reason": outcome.reason.value,
        "settled_ns": outcome.settled_ns,
        "slack_ms": outcome.slack_ms,
        "fire_error_us": outcome.fire_error_us,
    }


def _worded(text: str) -> dict[str, Any]:
    """An alarm of which only the words are known: nothing can be asked of it, so nothing is offered."""
    facts = {"alarm_id": text, "text": text, "action": "", "priority": 2, "active": True}
    return facts | {"acknowledged": True, "shelved": False, "since_ns": None, "words_only": True}


def _event(event: Event) -> dict[str, Any]:
    return {
        "what": event.what.value,
        "at_ns": event.at_ns,
        "utc_ns": event.utc_ns,
        "track_id": event.track_id,
        "camera_id": event.camera_id,
        "detail": event.detail,
    }
