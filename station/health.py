"""From what is counted to what is wrong: readings in, conditions out. Pure; time is an argument.

Keeps a minute of readings and judges rates over windows of time, never a single frame or item. Knows the thresholds; knows
nothing of alarms, operators or remedies. Called a few times a second with running totals.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from firmware_bridge.messages import LinkState
from station.datatypes import DecisionReason, OutcomeKind, OutcomeReason, ms_in_words

SECOND_NS = 1_000_000_000
FRAME_WINDOW_NS = 5 * SECOND_NS
ITEM_WINDOW_NS = 60 * SECOND_NS
GIB = 1 << 30


class Condition(Enum):
    """Closed: each has its alarm (a test holds the two lists together)."""

    CAMERA_LOST = "camera_lost"
    MODEL_FAILS = "model_fails"
    CONTROLLER_RESTARTED = "controller_restarted"
    CONTROLLER_FAULT = "controller_fault"
    NOT_ARMED = "not_armed"
    JAM = "jam"
    FRAME_RATE_LOW = "frame_rate_low"
    PICTURE_POOR = "picture_poor"
    LINK_LOST = "link_lost"
    CLOCK_BOUND_WIDE = "clock_bound_wide"
    DIVERTS_UNANSWERED = "diverts_unanswered"
    DIVERTS_LATE = "diverts_late"
    DIVERTS_REFUSED = "diverts_refused"
    MISSED_SHARE_HIGH = "missed_share_high"
    BIN_FULL = "bin_full"
    ENCODER_SILENT = "encoder_silent"
    ENCODER_STANDS = "encoder_stands"
    BELT_SPEED = "belt_speed"
    UNSURE_SHARE_HIGH = "unsure_share_high"
    LATENCY_HIGH = "latency_high"
    STATION_FAULT = "station_fault"
    HISTORY_AWAY = "history_away"
    DISK_NEARLY_FULL = "disk_nearly_full"
    PAGE_DOWN = "page_down"
    BROKER_AWAY = "broker_away"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a figure is a condition. Shares are of what was counted in the window; below the least count nothing is said."""

    frame_rate_share: float = 0.8  # of the configured rate
    poor_frames_share: float = 0.2
    diverts_share: float = 0.01
    least_diverts: int = 3  # that went wrong in the same way
    missed_share: float = 0.1  # for reasons that have no alarm of their own
    least_missed: int = 10
    unarmed_s: float = 2.0
    unsure_share: float = 0.3
    least_decisions: int = 50
    latency_ms: float = 100.0
    sync_bound_us: int = 500
    disk_free_gib: float = 2.0


@dataclass(frozen=True, slots=True)
class CameraReading:
    live: bool  # a picture that can be used came lately
    captured: int  # frames so far
    poor: int = 0  # of them black, frozen, repeated or of another size
    configured_fps: float = 30.0
    trouble: str = ""  # why the pictures that come are not used


@dataclass(frozen=True, slots=True)
class Reading:
    """Running totals and present states at one moment. What is not known is left out and never a condition."""

    at_ns: int
    cameras: Mapping[str, CameraReading] = field(default_factory=dict)
    link: LinkState | None = None  # None: observing only
    sync_bound_us: int | None = None
    restarted: bool = False  # the controller is a new boot since a moment ago
    model_trouble: str | None = None
    controller_faults: tuple[str, ...] = ()  # latched in the device
    encoder_silent: bool = False
    encoder_stands: bool = False  # while the pictures show the belt moving
    speed_trouble: str = (
        ""  # without an encoder: by how much the belt is off the configured speed; empty when it is not
    )
    unarmed_ns: int = 0  # for how long the machine has wanted an armed controller in vain
    jammed: tuple[int, ...] = ()  # items that stand still on the moving belt
    full_bins: tuple[str, ...] = ()  # each with its figures
    page_restarts: int = 0  # of the page's process, so far
    broker_trouble: str = ""  # why the MQTT broker hears nothing; empty when it does, or when none is configured
    outcomes: Mapping[tuple[OutcomeKind, OutcomeReason], int] = field(default_factory=dict)
    decisions: Mapping[DecisionReason, int] = field(default_factory=dict)
    latency_p99_ms: float | None = None
    fault: str | None = None
    history_away: bool = False  # or too slow: entries wait, and there is no room for more
    history_waiting: int = 0
    disk_free_bytes: int | None = None


Found = Iterator[tuple[Condition, str]]

_REFUSED = (
    OutcomeReason.REFUSED_FAR,
    OutcomeReason.REFUSED_FULL,
    OutcomeReason.REFUSED_GATE_LIMIT,
    OutcomeReason.REFUSED_NOT_ARMED,
    OutcomeReason.REFUSED_OTHER,
)
# Left out of the share of missed items: what a person wanted so, and what has an alarm of its own.
_TOLD_ELSEWHERE = (
    OutcomeReason.DRY_RUN,
    OutcomeReason.STOPPED,
    OutcomeReason.NOT_PERMITTED,
    OutcomeReason.UNSEEN_AT_START,
    OutcomeReason.LATE,
    OutcomeReason.SPEED,
    OutcomeReason.POSITION,
    *_REFUSED,
)
DOUBTS = {
    DecisionReason.UNSURE: "below the threshold",
    DecisionReason.NO_LOOK: "without a look",
    DecisionReason.UNKNOWN_LABEL: "of a class without a rule",
}
_OUT_OF_SESSION = (LinkState.CLOSED, LinkState.GREETING, LinkState.LOST)


class Health:
    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._readings: deque[Reading] = deque()

    def read(self, reading: Reading) -> dict[Condition, str]:
        """What is wrong now, each with its figures in words."""
        while self._readings and self._readings[0].at_ns < reading.at_ns - ITEM_WINDOW_NS:
            self._readings.popleft()
        self._readings.append(reading)
        return dict(
            [
                *self._cameras(reading),
                *self._link(reading),
                *self._belt(reading),
                *self._diverts(reading),
                *self._missed(reading),
                *self._decisions(reading),
                *self._computer(reading),
            ]
        )

    def _before(self, reading: Reading, window_ns: int) -> Reading:
        """The oldest reading inside the window."""
        return next(old for old in self._readings if old.at_ns >= reading.at_ns - window_ns)

    # -- one question each -------------------------------------------------------------------------------------------

    def _cameras(self, now: Reading) -> Found:
        lost = [
            f"{name}, {camera.trouble}" if camera.trouble else name
            for name, camera in now.cameras.items()
            if not camera.live
        ]
        if lost:
            yield Condition.CAMERA_LOST, ", ".join(lost)
        before = self._before(now, FRAME_WINDOW_NS)
        span_s = (now.at_ns - before.at_ns) / SECOND_NS
        if span_s < 0.9 * FRAME_WINDOW_NS / SECOND_NS:
            return  # too young to judge
        slow, poor = [], []
        for name, camera in now.cameras.items():
            old = before.cameras.get(name)
            if old is None or not camera.live or not old.live:
                continue
            frames = camera.captured - old.captured
            if frames / span_s < self._limits.frame_rate_share * camera.configured_fps:
                slow.append(f"{name} {frames / span_s:.1f} of {camera.configured_fps:g} fps")
            if frames > 0 and (camera.poor - old.poor) / frames > self._limits.poor_frames_share:
                poor.append(f"{name} {camera.poor - old.poor} of {frames} frames")
        if slow:
            yield Condition.FRAME_RATE_LOW, ", ".join(slow)
        if poor:
            yield Condition.PICTURE_POOR, ", ".join(poor)

    def _link(self, now: Reading) -> Found:
        if now.link in _OUT_OF_SESSION:
            yield Condition.LINK_LOST, str(now.link.value)
        elif now.link is LinkState.SYNCING or (now.sync_bound_us or 0) > self._limits.sync_bound_us:
            bound = "unknown" if now.sync_bound_us is None else f"{now.sync_bound_us} us"
            yield Condition.CLOCK_BOUND_WIDE, f"{bound}, limit {self._limits.sync_bound_us} us"
        if now.restarted:
            yield Condition.CONTROLLER_RESTARTED, ""
        if now.controller_faults:
            yield Condition.CONTROLLER_FAULT, ", ".join(name.replace("_", " ") for name in now.controller_faults)
        if now.encoder_silent:
            yield Condition.ENCODER_SILENT, ""
        if now.unarmed_ns > self._limits.unarmed_s * SECOND_NS:
            yield Condition.NOT_ARMED, f"for {now.unarmed_ns / SECOND_NS:.0f} s"

    def _belt(self, now: Reading) -> Found:
        if now.encoder_stands:
            yield Condition.ENCODER_STANDS, ""
        if now.speed_trouble:
            yield Condition.BELT_SPEED, now.speed_trouble
        if now.jammed:
            yield Condition.JAM, f"{len(now.jammed)} standing, item {now.jammed[0]}"
        if now.full_bins:
            yield Condition.BIN_FULL, ", ".join(now.full_bins)

    def _diverts(self, now: Reading) -> Found:
        """Shares of everything that should have been diverted in the last minute."""
        late = self._count(now, OutcomeKind.MISSED, (OutcomeReason.LATE,))
        refusals = {reason: self._count(now, OutcomeKind.MISSED, (reason,)) for reason in _REFUSED}
        refused = sum(refusals.values())
        unanswered = self._count(now, OutcomeKind.UNCONFIRMED, (OutcomeReason.NO_REPORT,))
        wanted = self._count(now, OutcomeKind.EJECTED, (OutcomeReason.NONE,)) + late + refused + unanswered
        for condition, count in (
            (Condition.DIVERTS_LATE, late),
            (Condition.DIVERTS_REFUSED, refused),
            (Condition.DIVERTS_UNANSWERED, unanswered),
        ):
            if count >= self._limits.least_diverts and count > self._limits.diverts_share * wanted:
                most = (
                    max(refusals, key=lambda reason: refusals[reason]).value.removeprefix("refused_").replace("_", " ")
                )
                why = f", {max(refusals.values())} of them {most}" if condition is Condition.DIVERTS_REFUSED else ""
                yield condition, f"{count} of {wanted} in the last minute{why}"

    def _missed(self, now: Reading) -> Found:
        """What should have been ejected and was not, for other reasons than those with their own alarm; worst first."""
        before = self._before(now, ITEM_WINDOW_NS).outcomes
        missed = {
            reason: count - before.get((kind, reason), 0)
            for (kind, reason), count in now.outcomes.items()
            if kind is OutcomeKind.MISSED and reason not in _TOLD_ELSEWHERE
        }
        total = sum(missed.values())
        wanted = total + self._count(now, OutcomeKind.EJECTED, (OutcomeReason.NONE,))
        if total >= self._limits.least_missed and total > self._limits.missed_share * wanted:
            most = max(missed, key=lambda reason: missed[reason])
            words = f"{total} of {wanted} in the last minute, {missed[most]} of them {most.value.replace('_', ' ')}"
            yield Condition.MISSED_SHARE_HIGH, words

    def _decisions(self, now: Reading) -> Found:
        before = self._before(now, ITEM_WINDOW_NS).decisions
        decided = {reason: count - before.get(reason, 0) for reason, count in now.decisions.items()}
        doubts = {reason: count for reason, count in decided.items() if reason is not DecisionReason.MATCHED}
        decisions, unsure = sum(decided.values()), sum(doubts.values())
        if decisions >= self._limits.least_decisions and unsure > self._limits.unsure_share * decisions:
            most = max(doubts, key=lambda reason: doubts[reason])
            words = f"{unsure / decisions:.0%} of {decisions} items in the last minute, mostly {DOUBTS[most]}"
            yield Condition.UNSURE_SHARE_HIGH, words
        if now.latency_p99_ms is not None and now.latency_p99_ms > self._limits.latency_ms:
            yield (
                Condition.LATENCY_HIGH,
                f"p99 {ms_in_words(now.latency_p99_ms)} ms, budget {self._limits.latency_ms:g} ms",
            )

    def _computer(self, now: Reading) -> Found:
        if now.model_trouble is not None:
            yield Condition.MODEL_FAILS, now.model_trouble
        if now.fault is not None:
            yield Condition.STATION_FAULT, now.fault
        if now.history_away:
            yield Condition.HISTORY_AWAY, f"{now.history_waiting} entries wait" if now.history_waiting else ""
        if now.disk_free_bytes is not None and now.disk_free_bytes < self._limits.disk_free_gib * GIB:
            yield Condition.DISK_NEARLY_FULL, f"{now.disk_free_bytes / GIB:.1f} GiB free"
        restarts = now.page_restarts - self._before(now, ITEM_WINDOW_NS).page_restarts
        if restarts > 0:
            yield Condition.PAGE_DOWN, f"started again {restarts} times in the last minute"
        if now.broker_trouble:
            yield Condition.BROKER_AWAY, now.broker_trouble

    def _count(self, now: Reading, kind: OutcomeKind, reasons: tuple[OutcomeReason, ...]) -> int:
        """New outcomes of this kind within the last minute."""
        before = self._before(now, ITEM_WINDOW_NS).outcomes
        return sum(now.outcomes.get((kind, reason), 0) - before.get((kind, reason), 0) for reason in reasons)
