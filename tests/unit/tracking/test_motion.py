"""Belt travel from pictures alone."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from station.tracking.motion import BeltMotion, DirectionFinder, displacement

ROWS, COLUMNS = 200, 320


def texture(seed: int, rows: int = 2000, columns: int = COLUMNS) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2.0) * 40, np.float32)


def window(belt: NDArray[np.float32], travel_rows: float) -> NDArray[np.float32]:
    """Rows seen when the belt has come down so far; fractions by interpolation."""
    move = np.array([[1, 0, 0], [0, 1, travel_rows - 1000]], np.float32)
    return np.asarray(cv2.warpAffine(belt, move, (belt.shape[1], ROWS)), np.float32)


@pytest.mark.parametrize("shift", [0.0, 1.5, 18.0, 44.4, 95.0])
def test_displacement_is_found_to_a_fraction_of_a_row(shift: float) -> None:
    belt = texture(1)
    motion = displacement(window(belt, 100), window(belt, 100 + shift))
    assert motion.shift_px == pytest.approx(shift, abs=0.3)
    assert motion.match > 0.6


def test_unrelated_pictures_do_not_match() -> None:
    motion = displacement(texture(1, ROWS), texture(2, ROWS))
    assert motion.match < 0.35


def test_one_wrong_picture_does_not_change_the_speed() -> None:
    belt, motion = texture(3), BeltMotion(along_rows=True, forward=True)
    for number in range(8):
        plane = texture(99, ROWS) if number == 5 else window(belt, 20.0 * number)
        motion.see(plane, mm_per_pixel=1.875, step_ns=33_333_333)
    assert motion.speed_mm_s == pytest.approx(20 * 1.875 * 30, rel=0.02)


def test_an_unlit_belt_tells_no_speed() -> None:
    motion = BeltMotion(along_rows=True, forward=True)
    rng = np.random.default_rng(5)
    for _ in range(10):
        assert motion.see(rng.normal(size=(ROWS, COLUMNS)).astype(np.float32), 1.875, 33_333_333) is None


@pytest.mark.parametrize(
    ("way", "turn"),
    [
        pytest.param((True, True), lambda plane: plane, id="down"),
        pytest.param((True, False), lambda plane: plane[::-1], id="up"),
        pytest.param((False, True), lambda plane: plane.T, id="right"),
        pytest.param((False, False), lambda plane: plane.T[:, ::-1], id="left"),
    ],
)
def test_the_direction_is_found_beside_a_resting_machine(way: tuple[bool, bool], turn: object) -> None:
    assert callable(turn)
    belt, finder = texture(7), DirectionFinder()
    found = None
    for number in range(10):
        plane = window(belt, 12.0 * number).copy()
        plane[40:80, 250:300] = 90.0  # stands still
        found = found or finder.see(np.ascontiguousarray(turn(plane)))
    assert found == way
