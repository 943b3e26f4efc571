import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.errors import ConfigError
from station.simulation.belt import cruising, read_profile, slipped, with_faults, write_profile
from station.simulation.faults import Fault, parse_fault

S = 1_000_000_000


def test_a_cruising_belt_stands_before_its_start_and_moves_evenly_after() -> None:
    belt = cruising(5 * S, 1000.0)
    assert [belt.position_mm(t * S) for t in (0, 5, 6, 8)] == [0.0, 0.0, 1000.0, 3000.0]
    assert belt.speed_mm_s(4 * S) == 0.0
    assert belt.time_ns(2000.0) == 7 * S


def test_a_stopped_belt_stands_still_for_its_time_and_then_runs_on() -> None:
    belt = with_faults(cruising(0, 1000.0), [Fault("belt-stop", 2.0, 5.0)], 0, ramp_mm_s2=2000.0)
    stopped_at = 2000.0 + 250.0  # braking 0.5 s from 1 m/s
    assert belt.position_mm(3 * S) == pytest.approx(stopped_at)
    assert belt.speed_mm_s(6 * S) == 0.0
    assert belt.position_mm(7 * S) == pytest.approx(stopped_at)
    assert belt.speed_mm_s(8 * S) == pytest.approx(1000.0)
    assert belt.position_mm(8 * S) == pytest.approx(stopped_at + 250.0 + 500.0)


def test_a_slow_belt_runs_at_half_speed() -> None:
    belt = with_faults(cruising(0, 1000.0), [Fault("belt-slow", 1.0, 3.0)], 0, ramp_mm_s2=2000.0)
    assert [belt.speed_mm_s(round(t * S)) for t in (0.5, 2.0, 3.9, 5.0)] == [1000.0, 500.0, 500.0, 1000.0]


def test_a_slipping_encoder_stands_and_goes_on_from_there_while_the_belt_runs() -> None:
    faults = [Fault("slip", 2.0, 1.0), Fault("belt-stop", 5.0, 2.0), Fault("slip", 9.0, 0.5)]
    belt = with_faults(cruising(S, 1000.0), faults, S, ramp_mm_s2=2000.0)
    encoder = slipped(belt, faults, S)
    lost_mm = [
        belt.position_mm(round(t * S)) - encoder.position_mm(round(t * S)) for t in (2.9, 3.5, 4, 7, 10.0, 10.25, 20)
    ]
    assert lost_mm == pytest.approx([0.0, 500.0, 1000.0, 1000.0, 1000.0, 1250.0, 1500.0])
    assert [encoder.speed_mm_s(round(t * S)) for t in (3.5, 4.5, 7, 10.25, 11)] == [0.0, 1000.0, 0.0, 0.0, 1000.0]
    assert slipped(belt, [], S) == belt


def test_a_place_that_a_stopped_belt_never_reaches_has_no_time() -> None:
    belt = cruising(0, 1000.0).changed(S, 0.0, 2000.0)
    assert belt.time_ns(1249.0) is not None
    assert belt.time_ns(1251.0) is None


@given(st.floats(min_value=0, max_value=20_000), st.floats(min_value=0.1, max_value=3.0))
def test_time_of_a_place_is_when_the_belt_is_there(position_mm: float, stop_s: float) -> None:
    faults = [Fault("belt-slow", 1.0, 2.0), Fault("belt-stop", 5.0, stop_s)]
    belt = with_faults(cruising(17, 1200.0), faults, 17, ramp_mm_s2=1500.0)
    t_ns = belt.time_ns(position_mm)
    assert t_ns is not None
    assert belt.position_mm(t_ns) == pytest.approx(position_mm, abs=1e-3)
    if t_ns > 17:
        assert belt.position_mm(t_ns - 1000) < position_mm + 1e-3


def test_the_profile_file_holds_what_was_written_last_and_its_sequence_is_even(tmp_path: Path) -> None:
    path = tmp_path / "belt.profile"
    write_profile(path, cruising(1, 500.0), 0.5)
    belt = with_faults(cruising(1, 500.0), [Fault("belt-stop", 1.0, 1.0)], 1, 2000.0)
    write_profile(path, belt, 0.5)
    assert read_profile(path) == (belt, 0.5)
    assert path.stat().st_size == 32 + 256 * 32
    assert int.from_bytes(path.read_bytes()[8:12], "little") == 4


def test_a_torn_profile_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "belt.profile"
    write_profile(path, cruising(1, 500.0), 0.5)
    data = bytearray(path.read_bytes())
    data[8] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="not a belt profile"):
        read_profile(path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cable@10+5", Fault("cable", 10.0, 5.0)),
        ("belt-stop@2.5+0.5", Fault("belt-stop", 2.5, 0.5)),
        ("reboot@3", Fault("reboot", 3.0, 1.0)),
    ],
)
def test_a_fault_reads_as_it_is_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize("text", ["", "cable", "cable@", "cable@-1+2", "flood@1+2", "cable@1+", "cable@1+2+3"])
def test_a_wrong_fault_names_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigError, match="belt-slow, belt-stop, slip, camera"):
        parse_fault(text)


def test_fault_times_count_from_the_feed() -> None:
    fault = parse_fault("camera@1+2")
    assert [fault.covers(round(t * S), 10 * S) for t in (10.9, 11.0, 12.99, 13.0)] == [False, True, True, False]
    assert math.isclose(fault.for_s, 2.0)
