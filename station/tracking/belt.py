"""The one place where pixels become millimetres on the belt. Knows the camera's place over the belt and belt travel.

Two along-the-belt numbers, never mixed:
* *station position*: millimetres on the station axis, growing in the direction of travel; the view's upstream edge lies at
  `start_mm` (`view_at_mm` of the configuration, 0 for the first camera). An item's station position changes as the belt moves.
* *belt coordinate* (`along_mm` of a track): station position minus belt travel. A resting item keeps it for ever.
So an item with belt coordinate c stands at station position c + travel, and reaches station position x at travel x - c.
Across the belt `lateral_mm` grows with the picture's x (belt runs down or up) or y (left or right).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from station.config import CameraConfig
from station.datatypes import Track
from station.errors import ConfigError

Points: TypeAlias = NDArray[np.float64]  # (N, 2)


class Direction(Enum):
    """Where the belt carries items in the picture."""

    DOWN = "down"
    UP = "up"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class BeltMap:
    """Frame pixels to (station position, lateral) in mm by a 3x3 homography, for frames of one size."""

    px_to_mm: NDArray[np.float64]  # (3, 3)
    width_px: int
    height_px: int
    direction: Direction
    mm_to_px: NDArray[np.float64]
    start_mm: float  # station position of the view's upstream edge
    view_length_mm: float  # from the upstream to the downstream edge, along the picture's middle
    view_width_mm: float

    @property
    def mm_per_px(self) -> float:
        """In the middle of the frame."""
        middle = np.array([[self.width_px / 2, self.height_px / 2]])
        a, b = self.to_mm(np.concatenate([middle, middle + 1.0]))
        return float(np.hypot(*(b - a)) / np.sqrt(2.0))

    @property
    def along_mm_per_px(self) -> float:
        """In the middle of the frame, along the travel: more than across where the camera looks at a slant."""
        half_px = np.array([0.0, 0.5] if self.runs_vertically else [0.5, 0.0])
        middle = np.array([self.width_px / 2, self.height_px / 2])
        a, b = self.to_mm([middle - half_px, middle + half_px])
        return abs(float(b[0] - a[0]))

    @property
    def runs_vertically(self) -> bool:
        return self.direction in (Direction.DOWN, Direction.UP)

    def to_mm(self, points_px: ArrayLike) -> Points:
        """(N, 2) x y in pixels to (N, 2) station position, lateral in mm. Pixel centres are at +0.5."""
        return _project(self.px_to_mm, points_px)

    def to_px(self, points_mm: ArrayLike) -> Points:
        return _project(self.mm_to_px, points_mm)


@dataclass(frozen=True, slots=True)
class ViewPlace:
    """How a camera looks at the belt: frame size, direction of travel in it, and where the view lies on the station."""

    width_px: int
    height_px: int
    direction: Direction = Direction.DOWN
    view_at_mm: float = 0.0  # upstream edge on the station axis
    lateral_at_mm: float = 0.0  # left edge of the view on the belt


def calibrated_map(px_to_mm: ArrayLike, place: ViewPlace) -> BeltMap:
    """From a calibration: `px_to_mm` maps (x, y) to (along travel, lateral); its origin along the belt does not matter."""
    matrix = np.asarray(px_to_mm, np.float64).reshape(3, 3)
    if abs(np.linalg.det(matrix)) < 1e-12:
        raise ConfigError(f"cameras.homography is singular: {matrix.tolist()}. Run `station calibrate belt` again.")
    upstream, downstream = _edges_px(place)
    start_mm, end_mm = (float(_project(matrix, [edge])[0, 0]) for edge in (upstream, downstream))
    if end_mm <= start_mm:
        raise ConfigError(
            f"cameras.homography says the belt runs against travel = {place.direction.value!r} "
            f"({start_mm:.0f} to {end_mm:.0f} mm). Correct the direction or run `station calibrate belt` again."
        )
    shift = np.array([[1.0, 0.0, place.view_at_mm - start_mm], [0.0, 1.0, place.lateral_at_mm], [0.0, 0.0, 1.0]])
    matrix = shift @ matrix
    width, height = place.width_px, place.height_px
    corners = _project(matrix, [(0, 0), (width, 0), (0, height), (width, height)])
    return BeltMap(
        px_to_mm=matrix,
        width_px=width,
        height_px=height,
        direction=place.direction,
        mm_to_px=np.asarray(np.linalg.inv(matrix), np.float64),
        start_mm=place.view_at_mm,
        view_length_mm=end_mm - start_mm,
        view_width_mm=float(np.ptp(corners[:, 1])),
    )


def scaled_map(mm_per_px: float, place: ViewPlace) -> BeltMap:
    """For a camera that looks straight down: one scale."""
    s, w, h = mm_per_px, place.width_px * mm_per_px, place.height_px * mm_per_px
    matrices: dict[Direction, list[list[float]]] = {
        Direction.DOWN: [[0, s, 0], [s, 0, 0], [0, 0, 1]],
        Direction.UP: [[0, -s, h], [s, 0, 0], [0, 0, 1]],
        Direction.RIGHT: [[s, 0, 0], [0, s, 0], [0, 0, 1]],
        Direction.LEFT: [[-s, 0, w], [0, s, 0], [0, 0, 1]],
    }
    return calibrated_map(matrices[place.direction], place)


def configured_map(camera: CameraConfig, width_px: int, height_px: int, belt_width_mm: float) -> BeltMap:
    """From the configuration, for the size frames really have. Without a scale the belt is taken to fill the view."""
    direction = Direction(camera.travel)
    place = ViewPlace(width_px, height_px, direction, camera.view_at_mm, camera.lateral_at_mm)
    if camera.homography is not None:
        return calibrated_map(camera.homography, place)
    across_px = width_px if direction in (Direction.DOWN, Direction.UP) else height_px
    return scaled_map(camera.mm_per_px or belt_width_mm / across_px, place)


def even_travel_mm(speed_m_s: float, since_start_ns: int) -> float:
    """Belt travel without an encoder. The start is one moment for all cameras, or their belt coordinates cannot be compared."""
    return speed_m_s * 1e3 * since_start_ns / 1e9


def station_position_mm(track: Track, travel_mm: float) -> float:
    """Where the item's middle stands when the belt has travelled so far."""
    return track.along_mm + travel_mm


def item_reaches(track: Track, at_station_mm: float) -> float:
    """The belt travel at which the item's middle stands at a station position, such as a gate's."""
    return at_station_mm - track.along_mm


def _edges_px(place: ViewPlace) -> tuple[tuple[float, float], tuple[float, float]]:
    """Middle of the upstream edge and of the downstream edge."""
    width_px, height_px = place.width_px, place.height_px
    top, bottom = (width_px / 2, 0.0), (width_px / 2, float(height_px))
    left, right = (0.0, height_px / 2), (float(width_px), height_px / 2)
    edges = {
        Direction.DOWN: (top, bottom),
        Direction.UP: (bottom, top),
        Direction.RIGHT: (left, right),
        Direction.LEFT: (right, left),
    }
    return edges[place.direction]


def _project(matrix: NDArray[np.float64], points: ArrayLike) -> Points:
    xy = np.asarray(points, np.float64).reshape(-1, 2)
    mapped = xy @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:3], np.float64)
