"""The published bound holds in every link model; counts are right within theirs."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.clocksync import ClockSync, CountCurve, CountHistory, CountSample
from firmware_bridge.messages import CountAt

Delay = Callable[[Random], float]


@dataclass(frozen=True)
class Link:
    out_ns: Delay
    back_ns: Delay


LINKS = {
    "UART at 1 Mbaud": Link(lambda r: 200e3 + r.random() * 90e3, lambda r: 200e3 + r.random() * 90e3),
    "USB-CDC": Link(lambda r: 60e3 + r.random() * 120e3, lambda r: 60e3 + r.random() * 120e3),
    "USB-CDC, a bad day": Link(lambda r: 50e3 + r.random() * 1e6, lambda r: 50e3 + r.random() * 1e6),
    "FTDI at 1 ms": Link(lambda r: 200e3, lambda r: 200e3 + r.random() * 1e6),
    "FTDI at 16 ms": Link(lambda r: 200e3, lambda r: 200e3 + 15.9e6 + r.random() * 1e5),
}
LOADS = {"idle": (0.003, 1e6), "loaded": (0.02, 4e6)}


class Model:
    """A device clock with drift on a link with stalls; the truth is known."""

    def __init__(self, link: Link, load: tuple[float, float], seed: int, ppm: float, wander_ppm: float = 0.02) -> None:
        self.rng = Random(seed)
        self.link, self.load, self.wander = link, load, wander_ppm * 1e-6
        self.rate = ppm * 1e-6
        self.host_ns = 0.0
        self.device_us = 1_000_000.0
        self.sync = ClockSync()

    def stall_ns(self) -> float:
        probability, mean_ns = self.load
        return self.rng.expovariate(1 / mean_ns) if self.rng.random() < probability else 0.0

    def live(self, until_ns: float) -> None:
        if until_ns > self.host_ns:
            self.device_us += (until_ns - self.host_ns) / 1000 / (1 + self.rate)
            self.host_ns = until_ns

    def exchange(self) -> bool:
        self.rate += self.rng.gauss(0, self.wander) * 0.1**0.5
        t1_ns = self.host_ns
        self.live(t1_ns + self.stall_ns() + self.link.out_ns(self.rng))
        t2_us = int(self.device_us)
        self.live(self.host_ns + 50e3)
        t3_us = int(self.device_us)
        self.live(self.host_ns + self.link.back_ns(self.rng) + self.stall_ns())
        accepted = self.sync.add(int(t1_ns), t2_us, t3_us, int(self.host_ns) + 1)
        self.live(max(self.host_ns, t1_ns + 100e6))
        return accepted

    def error_and_bound_us(self, ahead_ns: float = 0.0) -> tuple[float, float]:
        fit = self.sync.fit
        assert fit is not None
        moment_ns = self.host_ns + ahead_ns
        truth_us = self.device_us + ahead_ns / 1000 / (1 + self.rate)
        return abs(fit.device_us(moment_ns) - truth_us), fit.bound_ns(moment_ns) / 1000


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("ppm", [30.0, -2021.0])
def test_the_truth_lies_inside_the_bound_in_every_sample(link: str, load: str, ppm: float) -> None:
    model = Model(LINKS[link], LOADS[load], seed=7, ppm=ppm)
    errors, bounds = [], []
    for n in range(600):
        assert model.exchange()
        for ahead_ns in (0.0, 200e6):
            error_us, bound_us = model.error_and_bound_us(ahead_ns)
            assert error_us <= bound_us
        if n > 150:  # the rate needs some seconds of lever
            errors.append(error_us)
            bounds.append(bound_us)
    errors.sort()
    if link == "FTDI at 16 ms":
        assert min(bounds) > 5000  # only the bound shows that this link cannot be trusted: it is never armed
    else:
        assert sorted(bounds)[len(bounds) // 2] < 500
        assert errors[int(len(errors) * 0.99)] <= 50


@given(st.integers(0, 2**32), st.floats(-4000, 4000), st.floats(0, 0.5))
def test_the_bound_holds_for_any_drift_and_any_seed(seed: int, ppm: float, wander_ppm: float) -> None:
    model = Model(LINKS["USB-CDC, a bad day"], LOADS["loaded"], seed, ppm, wander_ppm)
    for _ in range(40):
        assert model.exchange()
        error_us, bound_us = model.error_and_bound_us(100e6)
        assert error_us <= bound_us


@pytest.mark.parametrize("jump_us", [-3600e6, -5000.0, 5000.0, 3600e6])
def test_a_jump_of_the_devices_clock_is_noticed(jump_us: float) -> None:
    model = Model(LINKS["USB-CDC"], LOADS["idle"], seed=1, ppm=20)
    for _ in range(20):
        assert model.exchange()
    model.device_us += jump_us
    assert not model.exchange()
    assert model.sync.fit is None
    for _ in range(20):
        assert model.exchange()
    error_us, bound_us = model.error_and_bound_us()
    assert error_us <= bound_us < 500


def test_a_broken_clock_is_never_fitted() -> None:
    model = Model(LINKS["USB-CDC"], LOADS["idle"], seed=1, ppm=20_000)
    assert not all(model.exchange() for _ in range(50))


def belt(speed: float, until_s: float) -> CountHistory:
    """A belt at constant speed, reported at every 8 ms with the moment its count was reached."""
    history = CountHistory(max_accel_counts_per_s2=20_000)
    for step in range(int(until_s / 0.008)):
        count = int(speed * step * 0.008)
        history.add(round(count / speed * 1e6) if speed else step * 8000, count)
    return history


@pytest.mark.parametrize("speed", [0.0, 100.0, 2000.0, 5000.0])
def test_the_count_at_a_moment_is_within_its_bound(speed: float) -> None:
    curve = belt(speed, 1.0).snapshot()
    newest_us = curve.samples[-1].at_us
    for at_us in range(20_000, newest_us + 30_000, 977):
        found = curve.at(at_us)
        assert found is not None
        assert abs(found.count - speed * at_us * 1e-6) <= found.bound
        assert found.counts_per_s == pytest.approx(speed, rel=0.03)


def test_nothing_is_said_further_than_thirty_milliseconds_ahead() -> None:
    curve = belt(2000.0, 1.0).snapshot()
    newest_us = curve.samples[-1].at_us
    near, far = curve.at(newest_us + 30_000), curve.at(newest_us + 30_001)
    assert near is not None
    assert near.sample_age_ms == 30.0
    assert far is None
    assert curve.at(curve.samples[0].at_us - 1) is None


def test_an_uncertain_clock_makes_the_count_uncertain() -> None:
    curve = belt(2000.0, 1.0).snapshot()
    sure, unsure = curve.at(500_000), curve.at(500_000, clock_bound_us=1000)
    assert sure is not None
    assert unsure is not None
    assert unsure.bound - sure.bound == pytest.approx(2.0, rel=0.01)


def test_a_braking_belt_stays_within_the_bound() -> None:
    history = CountHistory(max_accel_counts_per_s2=20_000)

    def position(s: float) -> float:
        braking_s = min(max(0.0, s - 0.5), 0.1)  # at the assumed limit, then it stands
        return 2000 * min(s, 0.5) + 2000 * braking_s - 10_000 * braking_s**2

    for ms in range(0, 600, 8):
        history.add(ms * 1000, int(position(ms / 1000)))
        newest = history.snapshot()
        for ahead_us in (0, 5_000, 15_000, 30_000):
            found = newest.at(ms * 1000 + ahead_us)
            if found is not None and ms > 48:
                assert abs(found.count - position(ms / 1000 + ahead_us * 1e-6)) <= found.bound


def test_samples_out_of_order_are_left_out_and_old_ones_forgotten() -> None:
    history = CountHistory()
    for at_us, count in [(0, 0), (1000, 2), (1000, 3), (500, 1), (2000, 4)]:
        history.add(at_us, count)
    assert [(s.at_us, s.count) for s in history.snapshot().samples] == [(0, 0), (1000, 2), (2000, 4)]
    history.add(10_000_000, 20)
    assert len(history.snapshot().samples) == 1


def test_a_snapshot_stays_as_it_was_while_the_belt_runs_on() -> None:
    history = CountHistory()
    kept: list[tuple[CountCurve, tuple[CountSample, ...], CountAt | None]] = []
    for n in range(9000):  # some are forgotten by age and number, and what is forgotten is let go of
        history.add(n * 1500, 3 * n)
        if n % 500 == 100:
            curve = history.snapshot()
            kept.append((curve, curve.samples, curve.at(n * 1500 - 4000)))
    for curve, samples, found in kept:
        assert curve.samples == samples
        assert curve.at(samples[-1].at_us - 4000) == found
        assert curve.newest == samples[-1]
        assert len(samples) <= 2048
    assert len(history.snapshot().log) <= 2 * 2048
    history.reset()
    assert history.snapshot().newest is None
    assert kept[-1][0].samples == kept[-1][1]
