"""Items for the record's tests, told in a line each."""

from firmware_bridge.messages import DivertCommand, DuringCount
from station.datatypes import (
    Decision,
    DecisionReason,
    ItemRecord,
    OrientedBox,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Track,
)

MS = 1_000_000


def track(track_id: int, at_ms: int = 0) -> Track:
    return Track(
        track_id=track_id,
        camera_id="camera0",
        along_mm=12.5,
        lateral_mm=300.0,
        length_mm=80.0,
        width_mm=60.0,
        sigma_mm=2.0,
        first_seen_ns=at_ms * MS,
        last_seen_ns=(at_ms + 100) * MS,
        sightings=4,
        whole=True,
        detection=None,
    )


def record(
    track_id: int,
    kind: OutcomeKind = OutcomeKind.EJECTED,
    reason: OutcomeReason = OutcomeReason.NONE,
    *,
    label: str | None = "recyclable",
    at_ms: int = 0,
    to_scheduled_ms: float | None = 40.0,
    fire_error_us: int | None = None,
    looks: int = 3,
    why: DecisionReason = DecisionReason.MATCHED,
) -> ItemRecord:
    look_ns = (at_ms + 100) * MS
    decided = label is not None
    return ItemRecord(
        track=track(track_id, at_ms),
        looks=looks,
        probabilities=(0.1, 0.9) if decided else None,
        decision=Decision(
            track_id,
            label,
            0.9,
            "product",
            why,
            looks,
            look_ns + 30 * MS,
            look_ns if decided else None,
        ),
        command=DivertCommand(track_id, 0b100, DuringCount(1000, 1200)) if kind is OutcomeKind.EJECTED else None,
        scheduled_ns=None if to_scheduled_ms is None else look_ns + round(to_scheduled_ms * MS),
        outcome=Outcome(track_id, kind, reason, (at_ms + 900) * MS, fire_error_us, 25.0),
        look_boxes=((look_ns, OrientedBox(640.0, 400.0, 200.0, 120.0, -30.0)),),
    )
