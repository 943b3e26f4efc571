"""The calibration board: drawn for printing, found in a picture. Knows OpenCV's boards; knows nothing of belts."""

import re
from dataclasses import dataclass

import cv2
import numpy as np

from station.commissioning.belt_calibration import Marks
from station.datatypes import BgrImage
from station.errors import ConfigError

FEWEST_CORNERS = 6
DICTIONARIES = {
    name.removeprefix("DICT_").lower(): getattr(cv2.aruco, name)
    for name in ("DICT_4X4_50", "DICT_4X4_100", "DICT_5X5_50", "DICT_5X5_100", "DICT_6X6_100", "DICT_6X6_250")
}


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """A chessboard with markers in its white squares, as it was printed."""

    columns: int = 9
    rows: int = 6
    square_mm: float = 40.0  # measured on the print: printers scale
    marker_mm: float = 30.0
    dictionary: str = "5x5_100"

    def __post_init__(self) -> None:
        if not 2 < self.columns <= 40 or not 2 < self.rows <= 40:
            raise ConfigError(f"--board {self.columns}x{self.rows}: give 3 to 40 columns and rows of squares")
        if not 0 < self.marker_mm < self.square_mm <= 500:
            raise ConfigError(
                f"--square-mm {self.square_mm:g}, --marker-mm {self.marker_mm:g}: the marker is smaller than its square, "
                "both larger than 0 and at most 500"
            )
        if self.dictionary not in DICTIONARIES:
            raise ConfigError(f"--dictionary {self.dictionary!r}: use one of {', '.join(DICTIONARIES)}")
        needed, there = self.columns * self.rows // 2, int(re.findall(r"\d+", self.dictionary)[-1])
        if needed > there:
            raise ConfigError(
                f"--board {self.columns}x{self.rows} needs {needed} markers, {self.dictionary} has {there}"
            )

    @property
    def size_mm(self) -> tuple[float, float]:
        return (self.columns * self.square_mm, self.rows * self.square_mm)

    def made(self) -> cv2.aruco.CharucoBoard:
        dictionary = cv2.aruco.getPredefinedDictionary(DICTIONARIES[self.dictionary])
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_mm, self.marker_mm, dictionary)


def draw_board(spec: BoardSpec, px_per_mm: float) -> BgrImage:
    """The board alone, to its outer edge, in black and white."""
    width_px, height_px = (round(side_mm * px_per_mm) for side_mm in spec.size_mm)
    return np.asarray(cv2.cvtColor(spec.made().generateImage((width_px, height_px)), cv2.COLOR_GRAY2BGR), np.uint8)


def find_board(bgr: BgrImage, spec: BoardSpec) -> Marks:
    """Every corner that is seen, in pixels (centres at +0.5) and in the board's own millimetres."""
    board = spec.made()
    corners, ids, _, marker_ids = cv2.aruco.CharucoDetector(board).detectBoard(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))
    seen = 0 if ids is None else len(ids)
    if seen < FEWEST_CORNERS:
        markers = 0 if marker_ids is None else len(marker_ids)
        asked = f"a {spec.columns}x{spec.rows} board of {spec.dictionary}"
        raise ConfigError(
            f"{seen} corners of the board were found (at least {FEWEST_CORNERS} are needed), and {markers} markers. "
            f"Is it {asked}, wholly in the picture, flat, evenly lit and sharp? `station calibrate board` draws one."
        )
    all_mm = np.asarray(board.getChessboardCorners(), np.float64)[:, :2]
    px = np.asarray(corners, np.float64).reshape(-1, 2) + 0.5
    return Marks(px, all_mm[np.asarray(ids).reshape(-1)])
