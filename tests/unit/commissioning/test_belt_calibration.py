"""Calibrations whose answer is known: points and boards seen through a homography made up here."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from station.commissioning.belt_calibration import BeltCalibration, Marks, calibrate_board, calibrate_marks
from station.commissioning.calibration_picture import annotate
from station.commissioning.charuco import BoardSpec, draw_board, find_board
from station.config import CameraConfig
from station.datatypes import BgrImage
from station.errors import ConfigError
from station.tracking.belt import Direction, Points, ViewPlace, configured_map

WIDTH_PX, HEIGHT_PX = 1280, 800
DOWN = ViewPlace(WIDTH_PX, HEIGHT_PX, Direction.DOWN)
SPEC = BoardSpec(square_mm=40.0, marker_mm=30.0)


def mapped(matrix: NDArray[np.float64], points: Points) -> Points:
    rows = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(rows[:, :2] / rows[:, 2:], np.float64)


@dataclass(frozen=True)
class TrueCamera:
    """A camera that looks a little askew: belt (along, lateral) in mm to pixels. Lateral 100 mm is the left edge."""

    direction: Direction = Direction.DOWN

    @property
    def to_px(self) -> NDArray[np.float64]:
        straight = {
            Direction.DOWN: [(0, 100), (0, 700), (375, 700), (375, 100)],
            Direction.UP: [(375, 100), (375, 700), (0, 700), (0, 100)],
            Direction.RIGHT: [(0, 100), (600, 100), (600, 475), (0, 475)],
            Direction.LEFT: [(600, 100), (0, 100), (0, 475), (600, 475)],
        }
        # Corners of the belt's piece, beginning at the picture's upper left and going round clockwise, seen in perspective.
        seen = np.array([(-6, -4), (1301, 11), (1262, 806), (14, 812)], np.float32)
        corners = np.array(straight[self.direction], np.float32)
        return np.asarray(cv2.getPerspectiveTransform(corners, seen), np.float64)

    @property
    def place(self) -> ViewPlace:
        return ViewPlace(WIDTH_PX, HEIGHT_PX, self.direction)

    def marks(self, mm: Points, noise_px: float = 0.0) -> Marks:
        noise = np.random.default_rng(3).normal(0, noise_px, mm.shape) if noise_px else 0.0
        return Marks(mapped(self.to_px, mm) + noise, mm)

    def worst_error_mm(self, found: BeltCalibration) -> float:
        """Over the view: the calibration against the truth, the origin along the belt (which is free) taken out."""
        grid = np.stack(np.meshgrid(np.linspace(40, 1240, 7), np.linspace(40, 760, 5)), -1).reshape(-1, 2)
        truth = mapped(np.asarray(np.linalg.inv(self.to_px), np.float64), grid)
        difference = found.belt.to_mm(grid) - truth
        difference[:, 1] += found.lateral_at_mm or 0.0
        difference[:, 0] -= difference[:, 0].mean()
        if found.lateral_at_mm is None:
            difference[:, 1] -= difference[:, 1].mean()
        return float(np.abs(difference).max())


def photographed(camera: TrueCamera, turn_deg: float = 0.0) -> BgrImage:
    """The printed board on the belt, its middle at (190, 400) or so, drawn through the camera with noise."""
    px_per_mm = 4.0
    printed = draw_board(SPEC, px_per_mm)
    width_mm, height_mm = SPEC.size_mm
    to_mm = np.array([[1 / px_per_mm, 0, 0.125], [0, 1 / px_per_mm, 0.125], [0, 0, 1]])  # pixel index to board mm
    angle = np.radians(turn_deg)
    c, s = np.cos(angle), np.sin(angle)
    # Board x runs across the belt for a camera that sees it run down; the board is turned about its middle.
    across_first = np.array([[s, c], [c, -s]])
    if camera.direction in (Direction.LEFT, Direction.RIGHT):
        across_first = np.array([[c, s], [-s, c]])
        across_first = across_first if camera.direction is Direction.RIGHT else across_first * [[-1], [1]]
    elif camera.direction is Direction.UP:
        across_first = across_first * [[-1], [1]]
    middle = np.array([190.0, 400.0] if camera.direction in (Direction.DOWN, Direction.UP) else [300.0, 290.0])
    place = np.eye(3)
    place[:2, :2] = across_first
    place[:2, 2] = middle - across_first @ (width_mm / 2, height_mm / 2)
    to_px = camera.to_px.copy()
    to_px[:2] -= 0.5 * to_px[2]  # to pixel indices, whose centres are whole numbers
    whole = to_px @ place @ to_mm
    picture = cv2.warpPerspective(
        printed, whole, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_AREA, borderValue=(150, 150, 150)
    )
    noisy = cv2.GaussianBlur(picture, (0, 0), 0.8) * 0.7 + np.random.default_rng(1).normal(20, 3, picture.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


GRID = np.array([(20.0, 150.0), (20, 400), (20, 650), (180, 160), (190, 640), (350, 150), (355, 420), (350, 660)])


@pytest.mark.parametrize("direction", list(Direction))
def test_marks_give_the_true_map_whatever_the_direction(direction: Direction) -> None:
    camera = TrueCamera(direction)
    mm = GRID if direction in (Direction.DOWN, Direction.UP) else GRID[:, ::-1] * (0.9, 0.7) + (0, 100)
    found = calibrate_marks(camera.marks(mm), camera.place)
    assert camera.worst_error_mm(found) < 1e-3
    assert found.worst_mm < 1e-3
    assert found.lateral_at_mm is not None


def test_noisy_marks_are_averaged_and_their_residual_is_told() -> None:
    camera = TrueCamera()
    found = calibrate_marks(camera.marks(GRID, noise_px=0.7), camera.place)
    assert camera.worst_error_mm(found) < 1.5
    assert 0.05 < found.rms_mm < 0.7


def test_one_wrong_measure_shows_as_a_large_residual_and_a_note() -> None:
    camera = TrueCamera()
    marks = camera.marks(GRID)
    wrong = marks.mm.copy()
    wrong[4, 0] += 12
    found = calibrate_marks(Marks(marks.px, wrong), camera.place)
    assert found.worst_mm > 3
    assert any("wrong measure" in warning for warning in found.warnings)


def test_four_marks_fit_always_and_say_so() -> None:
    camera = TrueCamera()
    found = calibrate_marks(camera.marks(GRID[[0, 2, 5, 7]]), camera.place)
    assert any("four marks always fit" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("mm", "words"),
    [
        pytest.param(GRID[:3], "at least 4", id="three marks"),
        pytest.param(np.array([(20.0, 150.0), (21, 250), (22, 350), (23, 450)]), "one line", id="on a line"),
        pytest.param(GRID[[0, 0, 0, 0]], "one line", id="the same mark"),
    ],
)
def test_marks_that_determine_nothing_are_refused(mm: Points, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        calibrate_marks(TrueCamera().marks(mm), DOWN)


@pytest.mark.parametrize("direction", list(Direction))
def test_a_board_gives_the_true_map_whatever_the_direction(direction: Direction) -> None:
    camera = TrueCamera(direction)
    found = calibrate_board(find_board(photographed(camera), SPEC), camera.place, SPEC.size_mm)
    assert len(found.residual_mm) == 40
    assert found.rms_mm < 0.15
    assert camera.worst_error_mm(found) < 1.0
    assert found.lateral_at_mm is None


@pytest.mark.parametrize("turn_deg", [90, 180, 270])
def test_a_board_may_lie_any_way_round(turn_deg: float) -> None:
    camera = TrueCamera()
    found = calibrate_board(find_board(photographed(camera, turn_deg), SPEC), camera.place, SPEC.size_mm, left_mm=220.0)
    # Its middle lies 400 mm from the belt's edge: 180 mm of it to the left, or 120 when it stands upright.
    expected_left_mm = 400 - (120 if turn_deg in (90, 270) else 180)
    assert camera.worst_error_mm(found) - abs(220.0 - expected_left_mm) < 1.0


def test_the_boards_distance_from_the_belts_edge_places_the_view() -> None:
    camera = TrueCamera()
    found = calibrate_board(find_board(photographed(camera), SPEC), camera.place, SPEC.size_mm, left_mm=220.0)
    assert found.lateral_at_mm is not None
    assert camera.worst_error_mm(found) < 1.0


def test_a_board_a_little_askew_is_said_and_one_far_askew_refused() -> None:
    camera = TrueCamera()
    found = calibrate_board(find_board(photographed(camera, 4.0), SPEC), camera.place, SPEC.size_mm)
    assert 3.0 < abs(found.turn_deg) < 5.0
    assert any("align" in warning for warning in found.warnings)
    with pytest.raises(ConfigError, match="along the belt's edge"):
        calibrate_board(find_board(photographed(camera, 35.0), SPEC), camera.place, SPEC.size_mm)


def test_a_picture_without_the_board_or_with_another_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 corners"):
        find_board(np.full((HEIGHT_PX, WIDTH_PX, 3), 120, np.uint8), SPEC)
    with pytest.raises(ConfigError, match="4x4_50"):
        find_board(photographed(TrueCamera()), BoardSpec(dictionary="4x4_50"))


@pytest.mark.parametrize(
    "changes",
    [{"columns": 2}, {"marker_mm": 40.0}, {"dictionary": "7x7"}, {"columns": 20, "rows": 20}, {"square_mm": -1.0}],
)
def test_an_impossible_board_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        BoardSpec(**changes)  # type: ignore[arg-type]


def test_the_configuration_reads_back_what_the_calibration_found() -> None:
    camera = TrueCamera()
    found = calibrate_marks(camera.marks(GRID), camera.place)
    rows = tuple(tuple(float(value) for value in row) for row in found.homography)
    entry = CameraConfig(homography=rows, lateral_at_mm=found.lateral_at_mm or 0.0)  # type: ignore[arg-type]
    belt = configured_map(entry, WIDTH_PX, HEIGHT_PX, 600.0)
    at_px = mapped(camera.to_px, np.array([(100.0, 250.0), (200.0, 250.0)]))
    first, second = belt.to_mm(at_px)
    assert second - first == pytest.approx([100, 0], abs=1e-3)
    assert first[1] == pytest.approx(250, abs=1e-3)


def test_the_picture_shows_grid_points_and_residuals_and_leaves_the_original_alone() -> None:
    camera = TrueCamera()
    photo = photographed(camera)
    before = photo.copy()
    shown = annotate(photo, calibrate_board(find_board(photo, SPEC), camera.place, SPEC.size_mm))
    assert np.array_equal(photo, before)
    assert shown.shape == photo.shape
    assert 0.005 < float(np.any(shown != photo, axis=2).mean()) < 0.5
