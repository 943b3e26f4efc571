"""The encoder against the pictures: once on a rendered belt whose speed is known, then on made-up sightings."""

from collections.abc import Callable

import numpy as np
import pytest

from station.commissioning.belt_speed import BeltSpeed, Sighting, SpeedCheck, judge
from station.config import builtin_config, changed
from station.datatypes import BgrImage, Frame
from station.errors import StationError
from station.simulation.renderer import BeltRenderer, ViewSize

FPS = 30


def test_pictures_of_a_running_belt_say_what_a_count_is() -> None:
    renderer = BeltRenderer(ViewSize(width_px=320, height_px=200, px_per_mm=320 / 600), seed=5)
    config = builtin_config("virtual")
    camera = changed(config, cameras=[{"width_px": 320, "height_px": 200, "mm_per_px": 600 / 320}]).cameras[0]
    check = SpeedCheck(config, camera)
    for number in range(125):
        at_ns, belt_mm = round(number * 1e9 / FPS), 800.0 * number / FPS
        picture: BgrImage = np.array(renderer.render(belt_mm, 800.0, at_ns, []))
        check.add(Frame("camera0", number, at_ns, picture), 1000 + belt_mm / 0.45)
    found = check.result()
    assert found.mm_per_count == pytest.approx(0.45, rel=0.015)
    assert found.picture_m_s == pytest.approx(0.8, rel=0.015)


def judged(speed_mm_s: float, count_at: Callable[[float], float | None], frames: int = 120) -> BeltSpeed:
    seen = [
        Sighting(round(number * 1e9 / FPS), speed_mm_s * number / FPS, count_at(speed_mm_s * number / FPS))
        for number in range(frames)
    ]
    return judge(seen, 0.5)


@pytest.mark.parametrize(
    ("mm_per_count", "noted"), [(0.5, False), (0.49, False), (0.48, True)], ids=["right", "2 % off", "4 % off"]
)
def test_a_difference_beyond_three_percent_is_noted(mm_per_count: float, noted: bool) -> None:
    found = judged(800.0, lambda belt_mm: 1000 + belt_mm / mm_per_count)
    assert found.mm_per_count == pytest.approx(mm_per_count)
    assert found.difference == pytest.approx(0.5 / mm_per_count - 1)
    assert any("differ" in warning for warning in found.warnings) is noted


def test_an_encoder_that_counts_backwards_or_not_at_all_is_told() -> None:
    backwards = judged(800.0, lambda belt_mm: -belt_mm / 0.5)
    assert any("swap" in warning for warning in backwards.warnings)
    assert backwards.mm_per_count == pytest.approx(-0.5)
    dead = judged(800.0, lambda belt_mm: 77.0)
    assert any("does not count" in warning for warning in dead.warnings)
    assert dead.mm_per_count is None


def test_without_an_encoder_the_speed_alone_is_measured() -> None:
    found = judged(500.0, lambda belt_mm: None)
    assert (found.counts, found.mm_per_count, found.difference) == (None, None, None)
    assert found.picture_m_s == pytest.approx(0.5)


def test_a_count_that_begins_late_does_not_shorten_the_measure() -> None:
    found = judged(800.0, lambda belt_mm: belt_mm / 0.5 if belt_mm > 2000 else None)
    assert found.mm_per_count == pytest.approx(0.5)


def test_a_belt_that_changes_its_speed_is_told() -> None:
    seen = [
        Sighting(round(n * 1e9 / FPS), 800.0 * n / FPS if n < 60 else 1600 + 400.0 * (n - 60) / FPS, None)
        for n in range(120)
    ]
    assert any("evenly" in warning for warning in judge(seen, None).warnings)


def test_a_standing_belt_and_too_few_frames_are_refused() -> None:
    with pytest.raises(StationError, match="Does the belt run"):
        judged(0.0, lambda belt_mm: 0.0)
    with pytest.raises(StationError, match="measure longer"):
        judged(800.0, lambda belt_mm: 0.0, frames=30)


@pytest.mark.parametrize(
    ("mm_per_count", "shift_error_mm", "agrees"),
    [
        pytest.param(0.5, 0.0, True, id="the same"),
        pytest.param(0.497, 0.0, False, id="0.6 % off, and the pictures are sure"),
        pytest.param(0.497, 0.27, True, id="0.6 % off, and the pictures know 1 %"),
        pytest.param(0.48, 0.27, False, id="4 % off"),
    ],
)
def test_a_value_within_the_pictures_bound_is_no_reason_to_change_it(
    mm_per_count: float, shift_error_mm: float, agrees: bool
) -> None:
    seen = [
        Sighting(round(number * 1e9 / FPS), 800.0 * number / FPS, 800.0 * number / FPS / mm_per_count)
        for number in range(150)
    ]
    found = judge(seen, 0.5, shift_error_mm)
    assert found.agrees is agrees
    assert found.bound == pytest.approx(shift_error_mm / (800.0 / FPS), abs=1e-6)
    assert ("no reason to change" in found.text) is agrees


def test_the_bound_grows_with_what_the_half_seconds_say_apart() -> None:
    noise = np.random.default_rng(3).normal(0.0, 4.0, 300).cumsum()
    seen = [
        Sighting(round(number * 1e9 / FPS), 800.0 * number / FPS + noise[number], 1600.0 * number / FPS)
        for number in range(300)
    ]
    found = judge(seen, 0.5)
    assert found.bound is not None
    assert 0.005 < found.bound < 0.1
    short = judge(seen[:60], 0.5)
    assert short.bound is None  # two seconds are too few parts
