"""The device's numbered events: each taken once, told in host nanoseconds and counts. Knows no sending, no states."""

from collections import deque
from dataclasses import dataclass, field

from firmware_bridge import wire
from firmware_bridge.clocksync import ClockFit, CountCurve, CountHistory
from firmware_bridge.messages import (
    CountAt,
    DeviceFault,
    DisarmReason,
    FaultRaised,
    Fired,
    InputChanged,
    MissReason,
    NotFired,
    Refusal,
    Reply,
    TriggerGiven,
)
from firmware_bridge.wire import Event, Events

_MISS_REASONS = {reason.value for reason in MissReason}
_DISARM_REASONS = {reason.value for reason in DisarmReason}
_REFUSALS = {refusal.value for refusal in Refusal}
_UNSEEN_MARGIN = 1.3  # how much faster than last measured the belt may have run unseen


# A number newer than this program still means what its message means.


def disarm_reason(number: int) -> DisarmReason:
    return DisarmReason(number) if number in _DISARM_REASONS else DisarmReason.FAULT


def miss_reason(number: int) -> MissReason:
    return MissReason(number) if number in _MISS_REASONS else MissReason.DISARMED


def refusal_of(number: int) -> Refusal:
    return Refusal(number) if number in _REFUSALS else Refusal.BAD_ARGUMENT


def fault_names(bits: int) -> tuple[str, ...]:
    return tuple(fault.name.lower() for fault in DeviceFault if bits & fault.value and fault.name is not None)


class EventLog:
    """The device sends news at once and repeats its oldest events until told the newest one seen without a gap."""

    def __init__(self) -> None:
        self.newest = 0
        self._began_us: int | None = None  # the stamp of event 1, the session's BOOT

    def restart(self) -> None:
        """Another session numbers its events from 1."""
        self.newest = 0
        self._began_us = None

    def begun_anew(self, events: Events) -> bool:
        """The device has given our session away in between and holds nothing of before: its event 1 is another one."""
        if events.first_seq != 1 or not events.events or events.events[0].kind != wire.EVENT_BOOT:
            return False
        known, self._began_us = self._began_us, events.events[0].on
        return known not in (None, self._began_us)

    def fresh(self, events: Events) -> list[Event]:
        """Those that come next. After a gap none: a frame was lost, the device will repeat it and what follows."""
        skip = self.newest + 1 - events.first_seq
        if not 0 <= skip < len(events.events):
            return []
        news = list(events.events[skip:])
        self.newest += len(news)
        return news


@dataclass(frozen=True, slots=True)
class View:
    """The device's clock and belt as known at one moment. Immutable: any thread may keep one."""

    fit: ClockFit | None
    belt: CountCurve

    def count_at(self, host_ns: int) -> CountAt | None:
        if self.fit is None:
            return None
        return self.belt.at(self.fit.device_us(host_ns), self.fit.bound_ns(host_ns) / 1000)

    def host_ns(self, device_us: int, otherwise_ns: int) -> int:
        return otherwise_ns if self.fit is None else self.fit.host_ns(device_us)

    def fired(self, event: Event, now_ns: int) -> Fired:
        off_us = event.off % 2**64  # the same bytes hold a signed count in other events
        return Fired(
            command_id=event.id,
            on_ns=self.host_ns(event.on, now_ns),
            off_ns=self.host_ns(off_us, now_ns),
            on_count=round(self.belt.nearest(event.on)),
            off_count=round(self.belt.nearest(off_us)),
            on_error_us=event.extra,
        )

    def not_fired(self, event: Event, now_ns: int) -> NotFired:
        return NotFired(event.id, miss_reason(event.extra), self.host_ns(event.on, now_ns))

    def news(self, event: Event, now_ns: int) -> Reply | None:
        """What no command asked for: an input, a pulse of the camera trigger, a fault. None: nothing for the station."""
        at_ns = self.host_ns(event.on, now_ns)
        match event.kind:
            case wire.EVENT_INPUT:
                return InputChanged(event.id, bool(event.extra), at_ns, event.off)
            case wire.EVENT_TRIGGER:
                return TriggerGiven(event.id, at_ns, event.off)
            case wire.EVENT_FAULT:
                known = DeviceFault(event.extra & sum(fault.value for fault in DeviceFault))
                return FaultRaised(known, event.id, at_ns, event.off)
            case _:
                return None

    def farthest_count(self, host_ns: int) -> float | None:
        """No farther can the belt have come by then, unless it was sped up unseen."""
        newest = self.belt.newest
        if self.fit is None or newest is None or self.belt.peak is None:
            return None
        on_the_way = self.belt.nearest(self.fit.device_us(host_ns)) - newest.count
        return max(newest.count + _UNSEEN_MARGIN * on_the_way, self.belt.peak) + 1


EMPTY_VIEW = View(None, CountHistory().snapshot())


@dataclass(slots=True)
class RoundTrips:
    """The last round trips of SYNC, without the device's own share."""

    _recent_us: deque[int] = field(default_factory=lambda: deque(maxlen=64))
    _longest_us: int = 0  # asked at every sending

    def add(self, sync: wire.SyncReply, t4_ns: int) -> None:
        self._recent_us.append(max(0, (t4_ns - sync.t1_ns) // 1000 - (sync.t3_us - sync.t2_us)))
        self._longest_us = max(self._recent_us)

    def median_us(self) -> int | None:
        return sorted(self._recent_us)[len(self._recent_us) // 2] if self._recent_us else None

    def p99_us(self) -> int:
        return self._longest_us

    def fastest_us(self) -> int | None:
        return min(self._recent_us, default=None)
