"""Alarms, a subset of ISA-18.2: what an operator must respond to, each with what to do. Pure; time is an argument.

Theory of operation. A condition that lasts longer than its on-delay raises its alarm; one that has been gone for its off-delay
lets it return. An operator acknowledges (seen, I am on it) or shelves it for a time (not now). An alarm that returned unseen
stays in the list until it is acknowledged. Shelving hides, it never changes what is true: when the time is up, a condition
that still holds asks again. What is not in the table changes nothing.

Knows names, words and priorities; knows nothing of how conditions are found (health) or shown (panel).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
LONGEST_SHELVING_MIN = 480.0
FLOOD = 10  # new alarms within ten minutes are more than one person can answer
FLOOD_WINDOW_NS = 10 * MINUTE_NS


class Priority(Enum):
    CRITICAL = 1  # nothing is sorted, or sorted wrongly
    WARNING = 2  # sorting suffers
    NOTICE = 3  # it will, if nobody acts


class AlarmState(Enum):
    NORMAL = "normal"  # not in the list
    ACTIVE = "active"  # and nobody has said they saw it
    ACKNOWLEDGED = "acknowledged"  # and still active
    RETURNED = "returned"  # gone by itself, still unseen


class Input(Enum):
    RAISE = "raise"
    CLEAR = "clear"
    ACKNOWLEDGE = "acknowledge"
    ASK_AGAIN = "ask_again"  # shelving has ended


S, I = AlarmState, Input  # noqa: E741 - the table's two alphabets
NEXT: dict[tuple[AlarmState, Input], AlarmState] = {
    (S.NORMAL, I.RAISE): S.ACTIVE,
    (S.ACTIVE, I.ACKNOWLEDGE): S.ACKNOWLEDGED,
    (S.ACTIVE, I.CLEAR): S.RETURNED,
    (S.ACKNOWLEDGED, I.CLEAR): S.NORMAL,
    (S.ACKNOWLEDGED, I.ASK_AGAIN): S.ACTIVE,
    (S.RETURNED, I.ACKNOWLEDGE): S.NORMAL,
    (S.RETURNED, I.RAISE): S.ACTIVE,
}


@dataclass(frozen=True, slots=True)
class AlarmKind:
    alarm_id: str  # the name of its condition
    priority: Priority
    text: str
    action: str  # what the operator does; without one it would be an event, not an alarm
    on_delay_s: float = 0.0
    off_delay_s: float = 2.0


# fmt: off
KINDS = (
    AlarmKind("camera_lost", Priority.CRITICAL, "Camera gives no pictures that can be used",
              "Check cable, power and lamp. It reconnects by itself; decided items still fire, later ones pass unsorted."),
    AlarmKind("link_lost", Priority.CRITICAL, "Controller does not answer",
              "Gates have closed themselves. Check the USB cable and its power; then START unless it re-arms itself.",
              on_delay_s=0.5),
    AlarmKind("controller_restarted", Priority.CRITICAL, "Controller has restarted",
              "What it was to fire is lost; those items are counted as missed. Check its power supply and the valves' wiring."),
    AlarmKind("controller_fault", Priority.CRITICAL, "Controller found a fault and shut the gates",
              "Check the encoder (silent), or the wiring of the gate that the events name. Then CLEAR, RESET and START."),
    AlarmKind("model_fails", Priority.CRITICAL, "Recognition fails",
              "Nothing is decided until it works; it is tried every second. Run `station doctor`, then restart the station."),
    AlarmKind("station_fault", Priority.CRITICAL, "Station fault",
              "The line is stopped. Note the words, CLEAR, then RESET and START; call maintenance when it comes back."),
    AlarmKind("encoder_silent", Priority.CRITICAL, "Belt encoder is silent",
              "Nothing is sorted without a belt position. Check the encoder's wheel, coupling and cable.",
              on_delay_s=0.5),
    AlarmKind("encoder_stands", Priority.CRITICAL, "Encoder stands while the belt moves",
              "The line is stopped: no item's place is known. Mend the encoder's wheel, coupling or cable. Then CLEAR, RESET"
              " and START."),
    AlarmKind("belt_speed", Priority.CRITICAL, "Belt does not run at its configured speed",
              "Nothing is ejected until it does. Set the belt's drive; or measure with `station calibrate speed` and correct "
              "belt.speed_m_s."),
    AlarmKind("clock_bound_wide", Priority.CRITICAL, "Controller's clock cannot be told exactly enough",
              "Diverts are not allowed like this. Use a direct USB port; run `station doctor` when it stays.",
              on_delay_s=3.0),
    AlarmKind("not_armed", Priority.CRITICAL, "Machine runs, controller is not armed",
              "Nothing is ejected. This computer is too slow for link.lease_ms: close other programs; see `station bench`."),
    AlarmKind("jam", Priority.CRITICAL, "An item stands still on the moving belt",
              "HOLD, stop the belt, take the item away; look for the edge or guide that caught it.",
              on_delay_s=0.5),
    AlarmKind("diverts_late", Priority.WARNING, "Items decided too late",
              "Close other programs on this computer, slow the belt or feed less; these items went unsorted."),
    AlarmKind("diverts_unanswered", Priority.WARNING, "Controller does not confirm diverts",
              "Look whether the gates act. Check the USB cable; run `station doctor`."),
    AlarmKind("diverts_refused", Priority.WARNING, "Controller refuses diverts",
              "Not armed: the controller was away, see its alarm. Gate limit: items lie too close or are too long, feed less "
              "or check the gates' limits in the configuration. Full or far: call maintenance."),
    AlarmKind("missed_share_high", Priority.WARNING, "Many items are not ejected that should be",
              "Neighbour or too long: feed less, spread the items. Link: check the cable.",
              on_delay_s=2.0, off_delay_s=10.0),
    AlarmKind("bin_full", Priority.WARNING, "A bin is full, by count",
              "Empty it, then acknowledge this alarm: the count begins anew. The limit is sort.bins.NAME.full_at_items."),
    AlarmKind("latency_high", Priority.WARNING, "Decisions take too long",
              "Close other programs on this computer; check that the GPU is in use (`station doctor`). "
              "Never: more than 1 % of the last items came too late or had no look; feed less, spread them.",
              on_delay_s=5.0, off_delay_s=5.0),
    AlarmKind("frame_rate_low", Priority.WARNING, "Camera is slower than configured",
              "Check the light (dim light lengthens the exposure) and the USB port; fewer looks mean less certain decisions.",
              on_delay_s=2.0),
    AlarmKind("picture_poor", Priority.WARNING, "Pictures are black or frozen",
              "Check the lamp, the lens and the camera's cable. These pictures are not used.",
              on_delay_s=1.0),
    AlarmKind("unsure_share_high", Priority.WARNING, "Many items are not recognised",
              "Below the threshold: wipe the lens, check the lamp; if the material has changed, label some items and retrain. "
              "Without a look: feed less, spread the items, close other programs. "
              "Without a rule: give every class a section [sort.labels.CLASS].",
              on_delay_s=5.0, off_delay_s=10.0),
    AlarmKind("history_away", Priority.WARNING, "Records cannot be written",
              "Free space on the disk or reconnect it. The line goes on; it is held when too much waits to be written.",
              on_delay_s=0.5),
    AlarmKind("disk_nearly_full", Priority.NOTICE, "Disk is nearly full",
              "Remove old recordings, or lower record.keep_gib.",
              on_delay_s=10.0, off_delay_s=10.0),
    AlarmKind("page_down", Priority.NOTICE, "The page's process has ended",
              "It starts again by itself and sorting goes on. If this repeats: `station support-bundle`, call maintenance."),
    AlarmKind("broker_away", Priority.NOTICE, "The MQTT broker cannot be told",
              "Sorting goes on; whoever listens there hears nothing. Check [mqtt] in the configuration, network, broker.",
              on_delay_s=10.0),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class AlarmView:
    """One line of the alarm list."""

    kind: AlarmKind
    state: AlarmState
    detail: str
    since_ns: int  # it was raised
    shelved_until_ns: int | None

    @property
    def active(self) -> bool:
        return self.state in (AlarmState.ACTIVE, AlarmState.ACKNOWLEDGED)

    @property
    def words(self) -> str:
        return f"{self.kind.text}: {self.detail}" if self.detail else self.kind.text

    def to_values(self) -> dict[str, Any]:
        """The keys of the page and of the API."""
        return {
            "alarm_id": self.kind.alarm_id,
            "text": self.words,
            "action": self.kind.action,
            "priority": self.kind.priority.value,
            "active": self.active,
            "acknowledged": self.state is AlarmState.ACKNOWLEDGED,
            "shelved": self.shelved_until_ns is not None,
            "since_ns": self.since_ns,
        }


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """For the event history."""

    alarm_id: str
    what: Input
    words: str


@dataclass(slots=True)
class _Alarm:
    kind: AlarmKind
    state: AlarmState = AlarmState.NORMAL
    detail: str = ""
    since_ns: int = 0
    differs_since_ns: int | None = None  # the condition has not been what the state says since then
    shelved_until_ns: int | None = None

    def go(self, what: Input) -> bool:
        following = NEXT.get((self.state, what))
        if following is None:
            return False
        self.state = following
        return True


class AlarmBook:
    def __init__(self, kinds: tuple[AlarmKind, ...] = KINDS) -> None:
        self._alarms = {kind.alarm_id: _Alarm(kind) for kind in kinds}
        self._raised_ns: deque[int] = deque(maxlen=FLOOD)

    def update(self, conditions: Mapping[str, str], now_ns: int) -> list[AlarmChange]:
        """Conditions that hold now, each with its figures in words. What has changed, in order of the kinds."""
        unknown = conditions.keys() - self._alarms.keys()
        if unknown:
            raise ValueError(f"no alarm is defined for {', '.join(sorted(unknown))}")
        changes = []
        for alarm_id, alarm in self._alarms.items():
            changes += self._end_shelving(alarm, now_ns)
            detail = conditions.get(alarm_id)
            if detail is not None:
                alarm.detail = detail
            changes += self._follow(alarm, detail is not None, now_ns)
        return changes

    def acknowledge(self, alarm_id: str) -> AlarmChange | None:
        """None when there is nothing to acknowledge."""
        alarm = self._alarms.get(alarm_id)
        if alarm is None or not alarm.go(Input.ACKNOWLEDGE):
            return None
        return AlarmChange(alarm_id, Input.ACKNOWLEDGE, alarm.kind.text)

    def shelve(self, alarm_id: str, minutes: float, now_ns: int) -> bool:
        """Hide for a time; only what is in the list can be shelved, and never for longer than a shift."""
        alarm = self._alarms.get(alarm_id)
        if alarm is None or alarm.state is AlarmState.NORMAL or not 0 < minutes <= LONGEST_SHELVING_MIN:
            return False
        alarm.shelved_until_ns = now_ns + round(minutes * MINUTE_NS)
        return True

    def unshelve(self, alarm_id: str, now_ns: int) -> bool:
        alarm = self._alarms.get(alarm_id)
        if alarm is None or alarm.shelved_until_ns is None:
            return False
        alarm.shelved_until_ns = now_ns
        self._end_shelving(alarm, now_ns)
        return True

    def listed(self) -> tuple[AlarmView, ...]:
        """Everything that is not normal: unshelved before shelved, then worst first, unseen first, newest first."""
        views = [
            AlarmView(alarm.kind, alarm.state, alarm.detail, alarm.since_ns, alarm.shelved_until_ns)
            for alarm in self._alarms.values()
            if alarm.state is not AlarmState.NORMAL
        ]
        return tuple(
            sorted(
                views,
                key=lambda view: (
                    view.shelved_until_ns is not None,
                    not view.active,
                    view.kind.priority.value,
                    view.state is AlarmState.ACKNOWLEDGED,
                    -view.since_ns,
                ),
            )
        )

    def flooded(self, now_ns: int) -> bool:
        """More new alarms than a person can answer: the list says so, and the first one is the one to look at."""
        return len(self._raised_ns) == FLOOD and now_ns - self._raised_ns[0] <= FLOOD_WINDOW_NS

    # -- inside ------------------------------------------------------------------------------------------------------

    def _follow(self, alarm: _Alarm, holds: bool, now_ns: int) -> list[AlarmChange]:
        """Raise or clear once the condition has differed from the state for its delay."""
        active = alarm.state in (AlarmState.ACTIVE, AlarmState.ACKNOWLEDGED)
        if holds == active:
            alarm.differs_since_ns = None
            return []
        if alarm.differs_since_ns is None:
            alarm.differs_since_ns = now_ns
        delay_s = alarm.kind.on_delay_s if holds else alarm.kind.off_delay_s
        if now_ns - alarm.differs_since_ns < delay_s * SECOND_NS:
            return []
        what = Input.RAISE if holds else Input.CLEAR
        alarm.go(what)
        alarm.differs_since_ns = None
        if holds:
            alarm.since_ns = now_ns
            self._raised_ns.append(now_ns)
        elif alarm.state is AlarmState.NORMAL:
            alarm.shelved_until_ns = None  # nothing is left to hide
        return [AlarmChange(alarm.kind.alarm_id, what, _words(alarm))]

    def _end_shelving(self, alarm: _Alarm, now_ns: int) -> list[AlarmChange]:
        if alarm.shelved_until_ns is None or now_ns < alarm.shelved_until_ns:
            return []
        alarm.shelved_until_ns = None
        if not alarm.go(Input.ASK_AGAIN):
            return []
        return [AlarmChange(alarm.kind.alarm_id, Input.ASK_AGAIN, _words(alarm))]


def _words(alarm: _Alarm) -> str:
    return f"{alarm.kind.text}: {alarm.detail}" if alarm.detail else alarm.kind.text
