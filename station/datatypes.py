"""The nouns of the station, in the order an item meets them. Frozen values only; no behaviour beyond arithmetic on themselves.

Three clocks, three words: `*_ns` host monotonic, `*_us` device, `*_count`/`*_mm` belt. The station axis runs in the direction
of travel from the upstream edge of the (first) view. A belt coordinate (`along_mm`) is a position on the station axis minus the
belt's travel at that moment, so an item resting on the belt keeps its coordinate for ever, and passes axis position x when the
travel is x - along_mm. `lateral_mm` runs across the belt from its left edge.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.messages import DivertCommand

BgrImage: TypeAlias = NDArray[np.uint8]  # (H, W, 3), OpenCV channel order
SizePx: TypeAlias = tuple[int, int]  # width, height
NEVER_MS = 1e9  # a latency of what came too late or was never looked at: JSON has no infinity


@dataclass(frozen=True, slots=True)
class Frame:
    camera_id: str
    frame_id: int  # rises by one per frame the source made; gaps are drops
    captured_ns: int  # middle of the exposure, as near as the source allows
    bgr: BgrImage
    belt_count: float | None = None  # encoder count at captured_ns
    belt_count_bound: float | None = None  # the count is within +- this
    belt_epoch: int | None = None  # boot of the device that counted: counts of two boots cannot be compared

    @property
    def size_px(self) -> SizePx:
        height_px, width_px = self.bgr.shape[:2]
        return width_px, height_px


@dataclass(frozen=True, slots=True)
class BoxPx:
    """Upright box in the frame, half open: left <= x < right."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class OrientedBox:
    """Smallest rectangle around an item, turned with it (cv2.minAreaRect): what a look shows the model."""

    cx_px: float
    cy_px: float
    length_px: float  # the longer side
    width_px: float
    angle_deg: float  # of the longer side against the frame's x axis, in [-90, 90)


@dataclass(frozen=True, slots=True)
class Detection:
    box_px: BoxPx
    extent: OrientedBox
    area_px: float
    whole: bool  # no part of it is cut off by the frame
    hull_px: NDArray[np.float32]  # (N, 2) convex outline, x y


@dataclass(frozen=True, slots=True)
class Track:
    """What is known of one item now. Positions are of its middle; the footprint is upright in belt coordinates."""

    track_id: int
    camera_id: str
    along_mm: float  # belt coordinate of its middle: station-axis position minus belt travel
    lateral_mm: float
    length_mm: float  # extent along the belt
    width_mm: float  # extent across the belt
    sigma_mm: float  # one standard deviation of along_mm
    first_seen_ns: int
    last_seen_ns: int
    sightings: int
    whole: bool  # its last sighting was whole in the frame
    detection: Detection | None  # of the current frame, None when not seen in it
    # (N, 2) outline: along (same zero as along_mm), lateral. A day's travel is too long for 32 bits: its steps are 8 mm then.
    hull_mm: NDArray[np.float64] | None = None
    merged: bool = False  # seen as more than one item for a while


class TrackEnd(Enum):
    LEFT = "left"  # ran out of the frame downstream, as it should
    LOST = "lost"  # vanished inside the frame
    NOISE = "noise"  # never confirmed; not an item


@dataclass(frozen=True, slots=True)
class EndedTrack:
    track: Track
    end: TrackEnd


@dataclass(frozen=True, slots=True)
class Look:
    """One view of one item, whole in the frame."""

    track_id: int
    frame: Frame
    extent: OrientedBox


LookAt: TypeAlias = tuple[int, OrientedBox]  # captured_ns and extent: what is kept of a look once its frame is gone


@dataclass(frozen=True, slots=True)
class Classification:
    track_id: int
    captured_ns: int  # of the look
    logits: tuple[float, ...]  # calibrated: already divided by the artifact's temperature
    probabilities: tuple[float, ...]  # one per class, in the artifact's order
    label: str


@dataclass(frozen=True, slots=True)
class Belief:
    """What the looks at one item say together (fused by mean calibrated logit)."""

    label: str
    confidence: float  # probability of that label
    probabilities: tuple[float, ...]
    looks: int
    last_look_ns: int  # capture of the newest look used


class DecisionReason(Enum):
    MATCHED = "matched"
    UNSURE = "unsure"  # below the label's threshold
    NO_LOOK = "no_look"  # never classified in time
    UNKNOWN_LABEL = "unknown_label"  # the sort program names no bin for it


@dataclass(frozen=True, slots=True)
class Decision:
    track_id: int
    label: str | None
    confidence: float
    bin_name: str
    reason: DecisionReason
    looks: int
    decided_ns: int
    last_look_ns: int | None  # capture of the last look that was used


class OutcomeKind(Enum):
    EJECTED = "ejected"
    PASSED = "passed"
    MISSED = "missed"
    UNCONFIRMED = "unconfirmed"


class OutcomeReason(Enum):
    """Closed: a reason that is not here cannot be given."""

    NONE = "none"  # ejected, passed
    # missed: decided to eject, and it did not happen
    LATE = "late"
    REFUSED_FAR = "refused_far"
    REFUSED_FULL = "refused_full"
    REFUSED_GATE_LIMIT = "refused_gate_limit"
    REFUSED_NOT_ARMED = "refused_not_armed"
    REFUSED_OTHER = "refused_other"
    NEIGHBOUR = "neighbour"  # given up to spare an item beside it
    TOO_LONG = "too_long"
    UNSEEN_AT_START = "unseen_at_start"
    NOT_PERMITTED = "not_permitted"  # state was not Execute
    STOPPED = "stopped"
    LINK = "link"
    SPEED = "speed"  # time mode: the belt's speed is not the configured one, its queue was cancelled
    POSITION = "position"  # no trustworthy belt position
    DRY_RUN = "dry_run"  # observing only: no diverts sent
    # unconfirmed: it cannot be known
    NO_REPORT = "no_report"
    BELT_STOPPED_IN_WINDOW = "belt_stopped_in_window"
    INTERRUPTED = "interrupted"
    RUN_ENDED = "run_ended"
    LOST_TRACK = "lost_track"


@dataclass(frozen=True, slots=True)
class Outcome:
    track_id: int
    kind: OutcomeKind
    reason: OutcomeReason
    settled_ns: int
    fire_error_us: int | None = None  # output-on edge minus due moment
    slack_ms: float | None = None  # last useful moment minus enqueued


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """Everything kept of one item, written once, when its outcome is known: a row of items.jsonl and of the history."""

    track: Track
    looks: int
    probabilities: tuple[float, ...] | None
    decision: Decision | None
    command: DivertCommand | None
    scheduled_ns: int | None  # enqueued to the link
    outcome: Outcome
    look_boxes: tuple[LookAt, ...] = field(default=())  # the looks used


def ms_in_words(value: float | None, digits: int = 0) -> str:
    """A latency for a person; one without end is "never"."""
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if value < NEVER_MS else "never"
