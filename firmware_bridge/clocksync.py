"""Host nanoseconds <-> device microseconds <-> encoder counts, each with a bound. Knows no bytes and reads no clock.

Theory. One SYNC exchange proves two things whatever the delays were: when the device's clock showed t2 the host's clock
had passed t1, and when it showed t3 the host's had not reached t4. Those are a floor and a ceiling for the line
"host time against device time". The line's slope is 1000 ns per us within a few parts per million, so every exchange of the
last seconds says something about now, and the best floor and the best ceiling usually come from different exchanges.
The middle of what remains is the estimate, half of it is the bound: hard for any asymmetry and any stall, as long as the
crystal wanders no faster than `WANDER`. A floor above a ceiling is a proof that the device's clock jumped.

The slope is bounded the same way: a floor now and a ceiling long ago cannot be further apart than the fastest slope.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_bridge.messages import CountAt

US = 1000.0  # ns per device us on a perfect crystal
RATE_LIMIT = 5000e-6  # a clock off by more than this is broken
WANDER = 1e-6  # per second: how fast a crystal's rate may change (warming up)
LIKELY_WANDER = 0.02e-6  # per second, of a crystal in a cabinet: for the estimate, never for the bound
WINDOW_US = 10_000_000  # exchanges this young bound the offset
RATE_WINDOW_US = 120_000_000  # and these the rate
_RATE_STEP_US = 1_000_000  # one remembered exchange per second for the rate


@dataclass(frozen=True, slots=True)
class ClockFit:
    """host_ns = host_ref_ns + (device_us - device_ref_us) * 1000 * (1 + rate), within the bound."""

    device_ref_us: int
    host_ref_ns: float
    half_ns: float  # bound at the reference
    rate: float
    rate_half: float

    def host_ns(self, device_us: float) -> int:
        return round(self.host_ref_ns + (device_us - self.device_ref_us) * US * (1.0 + self.rate))

    def device_us(self, host_ns: float) -> int:
        """Whole microseconds: as a float it would lose them when the device's clock shows large numbers."""
        return self.device_ref_us + round((host_ns - self.host_ref_ns) / (US * (1.0 + self.rate)))

    def bound_ns(self, host_ns: float) -> float:
        """How far a conversion of this moment may be off."""
        away_s = abs(host_ns - self.host_ref_ns) / 1e9
        return self.half_ns + 1e9 * away_s * (self.rate_half + WANDER * away_s)


@dataclass(frozen=True, slots=True)
class _Exchange:
    t1_ns: int
    t2_us: int
    t3_us: int
    t4_ns: int

    @property
    def width_ns(self) -> float:
        return (self.t4_ns - self.t1_ns) - (self.t3_us - self.t2_us) * US


@dataclass(slots=True)
class _RateInterval:
    """Where the rate can be, carried forward in time: it widens by `wander` per second and shrinks by what is learnt."""

    wander: float
    low: float = -RATE_LIMIT
    high: float = RATE_LIMIT

    def widen(self, age_s: float) -> None:
        self.low -= self.wander * age_s
        self.high += self.wander * age_s

    def learn(self, low: float, high: float, age_s: float) -> None:
        """The mean rate over the last `age_s` was between these."""
        self.low = max(self.low, low - self.wander * age_s)
        self.high = min(self.high, high + self.wander * age_s)

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


class ClockSync:
    """Feed it exchanges; read `fit`. `fit` is immutable: another thread may keep it."""

    def __init__(self) -> None:
        self._near: deque[_Exchange] = deque()
        self._far: deque[_Exchange] = deque()
        self.jumps = 0
        self.reset()

    def reset(self) -> None:
        self._near.clear()
        self._far.clear()
        self._proven, self._likely = _RateInterval(WANDER), _RateInterval(LIKELY_WANDER)
        self.fit: ClockFit | None = None
        self.exchanges = 0

    def add(self, t1_ns: int, t2_us: int, t3_us: int, t4_ns: int) -> bool:
        """False if this exchange contradicts the others: the device's clock jumped, everything before is forgotten."""
        new = _Exchange(t1_ns, t2_us, t3_us, t4_ns)
        fit = self._fit_with(new) if new.width_ns > -US and t3_us >= t2_us else None
        if fit is None:
            self.reset()
            self.jumps += 1
            return False
        self.fit = fit
        self.exchanges += 1
        return True

    def _fit_with(self, new: _Exchange) -> ClockFit | None:
        self._learn_rate(new)
        self._near.append(new)
        while self._near[0].t2_us < new.t3_us - WINDOW_US:
            self._near.popleft()
        proven, likely = self._proven, self._likely
        floor, ceiling = self._offset_interval(new.t3_us, proven.low, proven.high, WANDER)
        if proven.low > proven.high or floor > ceiling:
            return None
        # The bound must survive the worst crystal; the estimate may trust an ordinary one, but not leave the bound.
        rate = min(max(likely.middle, proven.low), proven.high)
        middle = sum(self._offset_interval(new.t3_us, rate, rate, 0.0)) / 2
        host_ref_ns = min(max(middle, floor), ceiling)
        return ClockFit(
            device_ref_us=new.t3_us,
            host_ref_ns=host_ref_ns,
            half_ns=max(host_ref_ns - floor, ceiling - host_ref_ns),
            rate=rate,
            rate_half=max(rate - proven.low, proven.high - rate),
        )

    def _learn_rate(self, new: _Exchange) -> None:
        """Floors of then against ceilings of now, and the other way round."""
        if self._near:
            age_s = (new.t3_us - self._near[-1].t3_us) * 1e-6
            self._proven.widen(age_s)
            self._likely.widen(age_s)
        for old in self._far:
            longest_us, shortest_us = new.t3_us - old.t2_us, new.t2_us - old.t3_us - 1
            if shortest_us <= 0:
                continue
            high = (new.t4_ns - old.t1_ns + US) / (longest_us * US) - 1.0
            low = (new.t1_ns - old.t4_ns - US) / (shortest_us * US) - 1.0
            self._proven.learn(low, high, longest_us * 1e-6)
            self._likely.learn(low, high, longest_us * 1e-6)
        self._remember_for_rate(new)

    def _remember_for_rate(self, new: _Exchange) -> None:
        """The narrowest exchange of every second."""
        far = self._far
        while far and far[0].t2_us < new.t3_us - RATE_WINDOW_US:
            far.popleft()
        if not far or new.t2_us - far[-1].t2_us >= _RATE_STEP_US:
            far.append(new)
        elif new.width_ns < far[-1].width_ns and len(far) > 1:
            # Replacing the newest may let a second grow a little; the very first stays, it is the longest lever.
            far[-1] = new

    def _offset_interval(self, at_us: int, rate_low: float, rate_high: float, wander: float) -> tuple[float, float]:
        """Host time when the device's clock shows `at_us`."""
        floor, ceiling = float("-inf"), float("inf")
        for old in self._near:
            since_t2, since_t3 = at_us - old.t2_us, at_us - old.t3_us
            drift = wander * since_t2 * 1e-6
            # t2 is cut to whole microseconds: the true reading may be one later.
            floor = max(floor, old.t1_ns - US + since_t2 * US * (1.0 + rate_low - drift))
            ceiling = min(ceiling, old.t4_ns + since_t3 * US * (1.0 + rate_high + drift))
        return floor, ceiling


MAX_EXTRAPOLATION_US = 30_000
_HISTORY_US = 5_000_000
_MOST_SAMPLES = 2048
_SPEED_SPAN_US = 40_000  # speed is measured over this much: one count of rounding matters less


@dataclass(frozen=True, slots=True)
class CountSample:
    at_us: int
    count: int


class CountHistory:
    """The belt's recent past as (device us, count).

    A sample of a moving belt is the moment its count was reached, of a standing belt any moment: at most one count apart.
    One thread adds; `snapshot` may be read from another. Bounds assume the belt never accelerates beyond
    `max_accel_counts_per_s2`.
    """

    def __init__(self, max_accel_counts_per_s2: float = 20_000.0) -> None:
        self.max_accel = max_accel_counts_per_s2
        self.reset()

    def reset(self) -> None:
        self._log: list[CountSample] = []  # only ever appended to: snapshots look into it
        self._first = 0  # what lies before is forgotten
        self._peak: int | None = None

    def add(self, at_us: int, count: int) -> None:
        """Samples that come late or twice (they travel in several messages) are left out."""
        log = self._log
        if log and at_us <= log[-1].at_us:
            return
        log.append(CountSample(at_us, count))
        self._peak = count if self._peak is None else max(self._peak, count)
        while log[self._first].at_us < at_us - _HISTORY_US or len(log) - self._first > _MOST_SAMPLES:
            self._first += 1
        if self._first >= _MOST_SAMPLES:
            self._log, self._first = log[self._first :], 0

    def snapshot(self) -> "CountCurve":
        return CountCurve(self._log, self._first, len(self._log), self.max_accel, self._peak)


@dataclass(frozen=True, slots=True)
class CountCurve:
    """An immutable stretch of belt history: from `first` to before `end` of a log that only grows."""

    log: Sequence[CountSample]
    first: int
    end: int
    max_accel: float
    peak: int | None = None  # the farthest the belt has been since the counts began, seen or forgotten

    @property
    def samples(self) -> tuple[CountSample, ...]:
        return tuple(self.log[self.first : self.end])

    @property
    def newest(self) -> CountSample | None:
        return self.log[self.end - 1] if self.end > self.first else None

    def at(self, device_us: float, clock_bound_us: float = 0.0) -> CountAt | None:
        """Belt position in counts at a device moment; None before the first sample or too far after the last."""
        if self.end - self.first < 2 or device_us < self.log[self.first].at_us:
            return None
        newest = self.log[self.end - 1]
        ahead_us = device_us - newest.at_us
        if ahead_us > MAX_EXTRAPOLATION_US:
            return None
        if ahead_us >= 0:
            return self._ahead(newest, ahead_us, clock_bound_us)
        return self._between(self._index_after(device_us), device_us, clock_bound_us)

    def nearest(self, device_us: float) -> float:
        """Best guess wherever asked: for reports, not for decisions. 0 without an encoder."""
        if self.end - self.first < 2:
            return float(self.newest.count) if self.newest else 0.0
        after = min(max(self._index_after(device_us), self.first + 1), self.end - 1)
        a, b = self.log[after - 1], self.log[after]
        return a.count + (b.count - a.count) * (device_us - a.at_us) / (b.at_us - a.at_us)

    def speed(self) -> float:
        """Counts per second over the last samples."""
        if self.end - self.first < 2:
            return 0.0
        newest, at = self.log[self.end - 1], self.end - 2
        while at > self.first and newest.at_us - self.log[at - 1].at_us <= _SPEED_SPAN_US:
            at -= 1
        oldest = self.log[at]
        return (newest.count - oldest.count) * 1e6 / (newest.at_us - oldest.at_us)

    def _ahead(self, newest: CountSample, ahead_us: float, clock_bound_us: float) -> CountAt:
        speed = self.speed()
        ahead_s, span_s = ahead_us * 1e-6, _SPEED_SPAN_US * 1e-6
        # The speed is the mean over the span: by now it may have changed for half the span and all of the way ahead.
        drift = 0.5 * self.max_accel * ahead_s * (ahead_s + span_s)
        rounding = 1.0 + ahead_s / span_s
        bound = rounding + drift + abs(speed) * clock_bound_us * 1e-6
        return CountAt(newest.count + speed * ahead_s, bound, speed, ahead_us / 1000)

    def _between(self, after: int, device_us: float, clock_bound_us: float) -> CountAt:
        a, b = self.log[after - 1], self.log[after]
        gap_s = (b.at_us - a.at_us) * 1e-6
        speed = (b.count - a.count) / gap_s
        count = a.count + speed * (device_us - a.at_us) * 1e-6
        bound = 1.0 + self.max_accel * gap_s * gap_s / 8 + abs(speed) * clock_bound_us * 1e-6
        age_ms = min(device_us - a.at_us, b.at_us - device_us) / 1000
        return CountAt(count, bound, speed, age_ms)

    def _index_after(self, device_us: float) -> int:
        """Index of the first sample later than `device_us`."""
        return bisect_right(self.log, device_us, self.first, self.end, key=_at_us)


def _at_us(sample: CountSample) -> float:
    return sample.at_us
