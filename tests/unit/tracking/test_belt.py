"""Pixels to millimetres, and when an item is where."""

import numpy as np
import pytest

from station.config import CameraConfig
from station.datatypes import Track
from station.errors import ConfigError
from station.tracking.belt import (
    Direction,
    ViewPlace,
    calibrated_map,
    configured_map,
    item_reaches,
    scaled_map,
    station_position_mm,
)

WIDTH, HEIGHT, SCALE = 400, 200, 0.5


@pytest.mark.parametrize(
    ("direction", "point_px", "expected_mm"),
    [
        pytest.param(Direction.DOWN, (10, 30), (15, 5), id="down: along is y"),
        pytest.param(Direction.UP, (10, 30), (85, 5), id="up: along is counted from the bottom"),
        pytest.param(Direction.RIGHT, (10, 30), (5, 15), id="right: along is x"),
        pytest.param(Direction.LEFT, (10, 30), (195, 15), id="left: along is counted from the right"),
    ],
)
def test_along_grows_in_the_direction_of_travel(
    direction: Direction, point_px: tuple[int, int], expected_mm: tuple[float, float]
) -> None:
    belt = scaled_map(SCALE, ViewPlace(WIDTH, HEIGHT, direction))
    assert belt.to_mm([point_px])[0] == pytest.approx(expected_mm)
    assert belt.to_px([expected_mm])[0] == pytest.approx(point_px)
    assert belt.mm_per_px == pytest.approx(SCALE)


def test_a_view_further_down_the_line_shares_the_station_axis() -> None:
    belt = scaled_map(SCALE, ViewPlace(WIDTH, HEIGHT, Direction.DOWN, view_at_mm=700.0, lateral_at_mm=50.0))
    assert belt.to_mm([(0, 0)])[0] == pytest.approx((700, 50))
    assert belt.view_length_mm == pytest.approx(100)


def test_a_tilted_camera_maps_back_and_forth() -> None:
    homography = [[0.02, 0.5, 12.0], [0.48, 0.01, -3.0], [1e-5, 2e-4, 1.0]]
    belt = calibrated_map(homography, ViewPlace(WIDTH, HEIGHT))
    points = np.array([[0.0, 0.0], [400.0, 200.0], [123.0, 77.0]])
    assert belt.to_px(belt.to_mm(points)) == pytest.approx(points, abs=1e-6)
    assert belt.to_mm([(WIDTH / 2, 0)])[0, 0] == pytest.approx(0.0)


@pytest.mark.parametrize("direction", list(Direction))
def test_a_slanted_look_has_another_scale_along_the_travel_than_across(direction: Direction) -> None:
    straight = scaled_map(SCALE, ViewPlace(WIDTH, HEIGHT, direction))
    slanted = np.diag([1.2, 1.0, 1.0]) @ straight.px_to_mm
    assert straight.along_mm_per_px == pytest.approx(SCALE)
    assert calibrated_map(slanted, ViewPlace(WIDTH, HEIGHT, direction)).along_mm_per_px == pytest.approx(1.2 * SCALE)


@pytest.mark.parametrize(
    ("homography", "words"),
    [
        pytest.param([[0, 0, 0], [0, 1, 0], [0, 0, 1]], "singular", id="singular"),
        pytest.param([[0, -0.5, 0], [0.5, 0, 0], [0, 0, 1]], "against travel", id="belt runs the other way"),
    ],
)
def test_a_homography_that_cannot_be_is_refused_with_a_remedy(homography: list[list[float]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        calibrated_map(homography, ViewPlace(WIDTH, HEIGHT))


def test_without_a_scale_the_belt_fills_the_view() -> None:
    belt = configured_map(CameraConfig(travel="left"), 640, 480, belt_width_mm=240)
    assert belt.view_width_mm == pytest.approx(240)
    assert belt.direction is Direction.LEFT


def test_an_item_reaches_a_gate_when_the_belt_has_carried_it_there() -> None:
    # Seen at 100 mm in the view when the belt had travelled 5,000 mm; the gate is at 1,375 mm.
    track = Track(1, "camera0", 100.0 - 5000.0, 300.0, 80.0, 60.0, 1.0, 0, 0, 3, True, None)
    assert item_reaches(track, 1375.0) == pytest.approx(6275.0)
    assert station_position_mm(track, 6275.0) == pytest.approx(1375.0)
