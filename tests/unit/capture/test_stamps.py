"""Stamps that are believed as far as they can be checked."""

import pytest

from station.capture.stamps import DriverStamps, StreamStamps, is_sane

MS = 1_000_000
S = 1000 * MS
FRAME = 33 * MS


@pytest.mark.parametrize(
    ("age_ms", "sane"),
    [
        pytest.param(20, True, id="fresh"),
        pytest.param(1900, True, id="old, but a stamp"),
        pytest.param(2100, False, id="too old for one of ours"),
        pytest.param(-1, True, id="clocks read in the other order"),
        pytest.param(-10, False, id="from the future"),
    ],
)
def test_a_driver_stamp_is_a_moment_close_to_now(age_ms: int, sane: bool) -> None:
    assert is_sane(100 * S - age_ms * MS, 100 * S) is sane


def test_zero_is_no_stamp_even_just_after_the_start_of_the_clock() -> None:
    assert not is_sane(0, 1 * S)


def test_a_frame_with_a_strange_stamp_is_as_old_as_the_one_before_it() -> None:
    stamps = DriverStamps()
    assert stamps.captured_ns(10 * S - 20 * MS, 10 * S) == 10 * S - 20 * MS
    assert stamps.captured_ns(0, 10 * S + FRAME) == 10 * S + FRAME - 20 * MS
    assert stamps.captured_ns(90 * S, 10 * S + 2 * FRAME) == 10 * S + 2 * FRAME - 20 * MS


def test_a_repeated_driver_stamp_is_handed_on_so_that_the_guard_sees_it() -> None:
    stamps = DriverStamps()
    first = stamps.captured_ns(10 * S - 20 * MS, 10 * S)
    assert stamps.captured_ns(10 * S - 20 * MS, 10 * S + FRAME) == first


def test_a_frame_that_waited_in_the_network_shows_its_age() -> None:
    stamps = StreamStamps()
    for n in range(10):
        assert stamps.captured_ns(n * FRAME, 10 * S + n * FRAME) == 10 * S + n * FRAME
    late = stamps.captured_ns(10 * FRAME, 10 * S + 10 * FRAME + 400 * MS)
    assert late == pytest.approx(10 * S + 10 * FRAME, abs=MS)


def test_a_reader_slower_than_the_camera_sees_its_pictures_age() -> None:
    stamps = StreamStamps()
    ages_ns = [(10 * S + n * 40 * MS) - stamps.captured_ns(n * FRAME, 10 * S + n * 40 * MS) for n in range(100)]
    assert ages_ns[-1] == pytest.approx(99 * 7 * MS, rel=0.01)


@pytest.mark.parametrize("skew", [100e-6, -100e-6])
def test_two_honest_clocks_that_run_apart_are_no_delay(skew: float) -> None:
    stamps, worst_ns = StreamStamps(), 0
    for n in range(0, 100_000, 10):
        now_ns = 10 * S + round(n * FRAME * (1 + skew))
        worst_ns = max(worst_ns, now_ns - stamps.captured_ns(n * FRAME, now_ns))
    assert worst_ns <= 1000


@pytest.mark.parametrize(
    "times",
    [
        pytest.param([0, 0, 0, 0], id="a stream without times"),
        pytest.param([5 * S, 5 * S + FRAME, 0, FRAME], id="a stream that begins anew"),
    ],
)
def test_without_times_to_go_by_a_frame_is_stamped_as_it_arrives(times: list[int]) -> None:
    stamps = StreamStamps()
    for n, stream_ns in enumerate(times):
        assert stamps.captured_ns(stream_ns, 10 * S + n * FRAME) == 10 * S + n * FRAME
