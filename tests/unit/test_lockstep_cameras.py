"""A camera's thread in virtual time: the newest frame wins, and what it costs is the same whoever asks."""

import pytest

from station.config import CostConfig
from station.lockstep_cameras import CameraTiming, LockstepCamera

MS = 1_000_000
PERIOD_MS = 33


def camera(detect_ms: float, delay_ms: float = 4.0) -> LockstepCamera:
    cost = CostConfig(detect_ms=detect_ms, jitter=0.0)
    timing = CameraTiming(0, PERIOD_MS * MS, round(delay_ms * MS), cost, seed=1)
    return LockstepCamera("camera0", timing, lambda *_: True, lambda *_: True)


@pytest.mark.parametrize(
    ("detect_ms", "delay_ms", "first_ready_ms", "in_a_second", "dropped"),
    [
        pytest.param(5.0, 4.0, 9.0, 31, 0, id="fast enough"),
        pytest.param(5.0, 200.0, 205.0, 25, 0, id="late, but none is lost"),
        pytest.param(100.0, 4.0, 104.0, 9, 18, id="slower than its camera"),
    ],
)
def test_frames_are_ready_when_the_thread_is_through(
    detect_ms: float, delay_ms: float, first_ready_ms: float, in_a_second: int, dropped: int
) -> None:
    made = camera(detect_ms, delay_ms)
    assert made.ready_ns() == round(first_ready_ms * MS)
    numbers = made.take_ready(1000 * MS)
    assert len(numbers) == pytest.approx(in_a_second, abs=1)
    assert made.tally.dropped == pytest.approx(dropped, abs=2)
    assert made.tally.captured == len(numbers) + made.tally.dropped
    assert numbers == sorted(set(numbers))


def test_after_the_process_stood_still_only_the_newest_frame_is_searched() -> None:
    made = camera(5.0)
    made.take_ready(100 * MS)
    made.stall(600 * MS)
    numbers = made.take_ready(620 * MS)
    assert len(numbers) == 1
    assert numbers[0] * PERIOD_MS + 4 <= 600 < (numbers[0] + 1) * PERIOD_MS + 4


def test_frames_that_do_not_exist_or_repeat_cost_nothing() -> None:
    made = camera(5.0)
    made.is_shown = lambda _, at_ns: at_ns >= 100 * MS
    made.is_fresh = lambda _, at_ns: at_ns < 200 * MS
    numbers = made.take_ready(300 * MS)
    assert [number * PERIOD_MS for number in numbers] == [132, 165, 198]
    assert (made.tally.captured, made.tally.stale, made.tally.dropped) == (5, 2, 0)
