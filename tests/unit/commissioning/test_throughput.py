import numpy as np
import pytest

from station.commissioning.throughput import BenchPlan, bare_model, bench
from station.config import builtin_config
from station.errors import ModelError
from station.recognition.artifact import ArtifactInfo
from station.recognition.backends.contract import BgrBatch, Logits

INFO = ArtifactInfo(classes=("organic", "recyclable"), input_px=32)
QUICK = BenchPlan(batch=8, rounds=2, frames_per_round=2, learn_frames=30)


class TickingClock:
    """A microsecond passes with every look at it."""

    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        self.now += 1000
        return self.now

    def utc_ns(self) -> int:
        return self.now

    def sleep_ns(self, duration_ns: int) -> None:
        self.now += duration_ns


class Engine:
    """Takes half a millisecond a look and fails when told to."""

    name, device = "engine", "cpu"

    def __init__(self, clock: TickingClock, fails_after: int | None = None) -> None:
        self._clock = clock
        self._fails_after = fails_after
        self.sizes: list[int] = []

    def run(self, batch: BgrBatch) -> Logits:
        self.sizes.append(len(batch))
        if self._fails_after is not None and len(self.sizes) > self._fails_after:
            raise ModelError("the engine is gone")
        self._clock.sleep_ns(500_000 * len(batch))
        return np.zeros((len(batch), 2), np.float32)


def test_the_bench_runs_the_real_loop_on_a_full_belt_and_compares_like_with_like() -> None:
    clock = TickingClock()
    engine = Engine(clock)
    figures = bench(engine, INFO, builtin_config("virtual"), QUICK, clock)
    assert figures["schema"] == "station.bench/1"
    assert figures["looks_per_frame"] == 8.0
    assert set(engine.sizes[-10:]) == {8}
    # Only the engine takes time on this clock: a few microseconds a step are all that the loop adds.
    assert figures["bare_model_looks_per_s"] == pytest.approx(2000.0, rel=0.01)
    assert 0.98 < figures["ratio"] < 1.0
    assert figures["stages"]["model"]["p50_ms"] == pytest.approx(4.0, abs=0.01)
    assert figures["stages"]["step"]["p50_ms"] >= figures["stages"]["classify"]["p50_ms"] > 4.0
    assert {"spot", "follow", "model", "classify", "step"} <= set(figures["stages"])


def test_an_engine_that_fails_ends_the_bench() -> None:
    clock = TickingClock()
    with pytest.raises(ModelError, match="gone"):
        bench(Engine(clock, fails_after=2), INFO, builtin_config("virtual"), QUICK, clock)


def test_the_bare_engine_is_measured_call_by_call() -> None:
    clock = TickingClock()
    figures = bare_model(Engine(clock), 32, 4, 5, clock)
    assert figures["p50_ms"] == pytest.approx(2.0, abs=0.01)
    assert figures["looks_per_s"] == pytest.approx(2000, rel=0.01)
