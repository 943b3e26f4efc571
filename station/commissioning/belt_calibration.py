"""From points seen in a picture and measured on the belt to the homography that the configuration holds. Pure.

Two kinds of points: marks, measured along the belt and from its left edge; or the corners of a ChArUco board that lies on the
belt somehow, whose own axes are first turned and mirrored to the nearest belt axes. Pixels: centres are at +0.5.
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from station.errors import ConfigError
from station.tracking.belt import BeltMap, Direction, Points, ViewPlace, calibrated_map

FEWEST_POINTS = 4
LARGE_RESIDUAL_MM = 1.5  # of the worst point: a bent board, a wrong measure or a lens that needs correction
LARGE_TURN_DEG = 20.0
SMALL_SHARE = 0.15  # of the view between the points: outside them the scale is a guess
FLAT_SHARE = 1e-4  # points nearly on one line say nothing across it


@dataclass(frozen=True, slots=True)
class Marks:
    """The same points twice."""

    px: Points  # (N, 2) x y, pixel centres at +0.5
    mm: Points  # (N, 2) along, lateral


@dataclass(frozen=True, slots=True)
class BeltCalibration:
    homography: NDArray[np.float64]  # (3, 3) px -> mm along and lateral, zero at the view's upstream and left edges
    belt: BeltMap
    marks: Marks
    fitted_px: Points  # (N, 2) where the homography puts the marks in the picture
    residual_mm: NDArray[np.float64]  # (N,) distance between where a mark is and where the homography puts it
    lateral_at_mm: float | None  # left edge of the view on the belt; None when the marks do not say
    turn_deg: float  # of the board against the direction of travel; 0 for marks
    share: float  # of the view that lies between the points

    @property
    def rms_mm(self) -> float:
        return float(np.sqrt(np.mean(self.residual_mm**2)))

    @property
    def worst_mm(self) -> float:
        return float(self.residual_mm.max())

    @property
    def _worst_place(self) -> str:
        x, y = self.marks.px[int(np.argmax(self.residual_mm))] - 0.5  # as an image viewer counts
        return f"the point at {x:.0f},{y:.0f} px"

    @property
    def warnings(self) -> tuple[str, ...]:
        found = []
        if len(self.residual_mm) == FEWEST_POINTS:
            found.append("four marks always fit exactly: give a fifth to learn how good they are")
        if self.worst_mm > LARGE_RESIDUAL_MM:
            found.append(
                f"{self._worst_place} is {self.worst_mm:.1f} mm off: a wrong measure, a board that is not flat, "
                "or a lens that bends lines"
            )
        if self.share < SMALL_SHARE:
            found.append(f"the points span only {self.share:.0%} of the view: lay them farther apart")
        if abs(self.turn_deg) > 1.0:
            found.append(
                f"the board lies {self.turn_deg:+.1f} degrees to the picture's direction of travel: align its edge with "
                "the belt's, or every position drifts sideways with the belt"
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        return {
            "homography": self.homography.tolist(),
            "mm_per_px": self.belt.mm_per_px,
            "view_length_mm": self.belt.view_length_mm,
            "view_width_mm": self.belt.view_width_mm,
            "lateral_at_mm": self.lateral_at_mm,
            "points": len(self.residual_mm),
            "residual_mm": {"rms": self.rms_mm, "worst": self.worst_mm},
            "share_of_view": self.share,
            "turn_deg": self.turn_deg,
            "warnings": list(self.warnings),
        }

    @property
    def text(self) -> str:
        belt = self.belt
        lines = [
            f"{len(self.residual_mm)} points, {self.share:.0%} of the view between them",
            f"scale {belt.mm_per_px:.4f} mm/px in the middle; the view is {belt.view_length_mm:.1f} mm long, "
            f"{belt.view_width_mm:.1f} mm wide",
            f"residual {self.rms_mm:.2f} mm rms, {self.worst_mm:.2f} mm worst",
        ]
        if self.lateral_at_mm is not None:
            lines.append(f"left edge of the view {self.lateral_at_mm:.1f} mm from the belt's left edge")
        return "\n".join([*lines, *(f"note: {warning}" for warning in self.warnings)])


def calibrate_marks(marks: Marks, place: ViewPlace) -> BeltCalibration:
    """Marks measured on the belt: along (any zero) and lateral from the belt's left edge."""
    return _calibrated(marks, place, turn_deg=0.0)


def calibrate_board(
    marks: Marks, place: ViewPlace, size_mm: tuple[float, float], left_mm: float | None = None
) -> BeltCalibration:
    """Corners in the axes of a board of this size; `left_mm`: from the belt's left edge to the board, where measured."""
    axes, turn_deg = _belt_axes(_homography(marks), place)
    turned = marks.mm @ axes.T
    if left_mm is None:
        return replace(_calibrated(Marks(marks.px, turned), place, turn_deg), lateral_at_mm=None)
    board_left_mm = float((np.array([(0.0, 0.0), size_mm]) @ axes.T)[:, 1].min())
    on_belt = turned + np.array([0.0, left_mm - board_left_mm])
    return _calibrated(Marks(marks.px, on_belt), place, turn_deg)


def _calibrated(marks: Marks, place: ViewPlace, turn_deg: float) -> BeltCalibration:
    matrix = _homography(marks)
    left_px = np.array([[0.0, place.height_px / 2]]) if _vertical(place) else np.array([[place.width_px / 2, 0.0]])
    lateral_at_mm = float(_mapped(matrix, left_px)[0, 1])
    fitted_px = _mapped(np.asarray(np.linalg.inv(matrix), np.float64), marks.mm)
    residual_mm = np.linalg.norm(_mapped(matrix, marks.px) - marks.mm, axis=1)
    matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -lateral_at_mm], [0.0, 0.0, 1.0]]) @ matrix
    matrix = matrix / matrix[2, 2]
    belt = calibrated_map(matrix, place)
    share = _share(marks.px, place)
    return BeltCalibration(matrix, belt, marks, fitted_px, residual_mm, lateral_at_mm, turn_deg, share)


def _homography(marks: Marks) -> NDArray[np.float64]:
    if len(marks.px) < FEWEST_POINTS:
        raise ConfigError(f"{len(marks.px)} points: at least {FEWEST_POINTS} are needed, no three of them on one line")
    for name, points in (("picture", marks.px), ("belt", marks.mm)):
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if spread[1] ** 2 < FLAT_SHARE * spread[0] ** 2:
            raise ConfigError(f"the points lie on one line in the {name}: spread them over the view")
    matrix, _ = cv2.findHomography(marks.px, marks.mm, 0)
    if matrix is None or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise ConfigError("no homography fits these points: two of them are the same, or three of four lie on one line")
    return np.asarray(matrix, np.float64)


def _belt_axes(to_board: NDArray[np.float64], place: ViewPlace) -> tuple[NDArray[np.float64], float]:
    """(2, 2) that turns board coordinates to (along, lateral), and how far the board lies off the direction of travel."""
    middle = np.array([place.width_px / 2, place.height_px / 2])
    travel_px = {Direction.DOWN: (0, 1), Direction.UP: (0, -1), Direction.RIGHT: (1, 0), Direction.LEFT: (-1, 0)}
    lateral_px = (1, 0) if _vertical(place) else (0, 1)
    ends = _mapped(to_board, np.array([middle, middle + travel_px[place.direction], middle + lateral_px]))
    travel, lateral = ends[1] - ends[0], ends[2] - ends[0]
    axis = int(np.argmax(np.abs(travel)))
    axes = np.zeros((2, 2))
    axes[0, axis] = np.sign(travel[axis])
    axes[1, 1 - axis] = np.sign(lateral[1 - axis])
    turn_deg = float(np.degrees(np.arctan2(travel[1 - axis] * axes[1, 1 - axis], abs(travel[axis]))))
    if abs(turn_deg) > LARGE_TURN_DEG:
        raise ConfigError(
            f"the board lies {turn_deg:+.0f} degrees to the direction of travel ({place.direction.value}): "
            "lay one of its edges along the belt's edge"
        )
    return axes, turn_deg


def _vertical(place: ViewPlace) -> bool:
    return place.direction in (Direction.DOWN, Direction.UP)


def _share(px: Points, place: ViewPlace) -> float:
    hull = cv2.convexHull(px.astype(np.float32))
    return float(cv2.contourArea(hull)) / (place.width_px * place.height_px)


def _mapped(matrix: NDArray[np.float64], points: Points) -> Points:
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:], np.float64)
