"""Draws what a calibration claims over the picture it came from: millimetre grid, points, residuals, direction of travel.

A wrong calibration is seen at once: the grid does not follow the belt's edges.
"""

import cv2
import numpy as np

from station.commissioning.belt_calibration import BeltCalibration
from station.datatypes import BgrImage
from station.tracking.belt import Points

GRID_MM = 50.0
RESIDUAL_TIMES = 20  # arrows are this much longer than the residual, or nobody would see them
LINE_STEPS = 24
GRID_COLOUR, AXIS_COLOUR = (200, 200, 80), (60, 60, 230)
POINT_COLOUR, RESIDUAL_COLOUR = (60, 220, 60), (40, 140, 255)
SUBPIXEL_BITS = 4


def annotate(bgr: BgrImage, found: BeltCalibration) -> BgrImage:
    picture = bgr.copy()
    _draw_grid(picture, found)
    for px, fitted_px in zip(found.marks.px, found.fitted_px, strict=True):
        _draw_point(picture, px, fitted_px)
    residual = f"residual {found.rms_mm:.2f} mm rms, {found.worst_mm:.2f} worst"
    words = f"{found.belt.mm_per_px:.3f} mm/px  {residual} (arrows x{RESIDUAL_TIMES})"
    _write(picture, words, (12, picture.shape[0] - 14))
    return picture


def _draw_grid(picture: BgrImage, found: BeltCalibration) -> None:
    """Lines every 50 mm; zero along and lateral in red, with the direction in which each grows."""
    belt = found.belt
    height_px, width_px = picture.shape[:2]
    corners = belt.to_mm([(0, 0), (width_px, 0), (0, height_px), (width_px, height_px)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    along, lateral = (np.arange(np.ceil(low[axis] / GRID_MM) * GRID_MM, high[axis], GRID_MM) for axis in (0, 1))
    for at in along:
        ends = np.column_stack([np.full(LINE_STEPS, at), np.linspace(low[1], high[1], LINE_STEPS)])
        _draw_line(picture, belt.to_px(ends), str(round(at)))
    for at in lateral:
        ends = np.column_stack([np.linspace(low[0], high[0], LINE_STEPS), np.full(LINE_STEPS, at)])
        _draw_line(picture, belt.to_px(ends), str(round(at)))
    middle = (low + high) / 2
    for way, name in (((GRID_MM, 0.0), "travel"), ((0.0, GRID_MM), "lateral")):
        start, end = belt.to_px([middle, middle + way])
        cv2.arrowedLine(picture, _at(start), _at(end), AXIS_COLOUR, 3, cv2.LINE_AA, SUBPIXEL_BITS, 0.2)
        _write(picture, name, (int(end[0]) + 6, int(end[1]) - 6))


def _draw_line(picture: BgrImage, px: Points, label: str) -> None:
    points = [np.array([_at(point) for point in px], np.int32)]
    cv2.polylines(picture, points, False, GRID_COLOUR, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    height_px, width_px = picture.shape[:2]
    inside = px[(px[:, 0] > 4) & (px[:, 0] < width_px - 40) & (px[:, 1] > 16) & (px[:, 1] < height_px - 30)]
    if len(inside):
        _write(picture, label, (int(inside[0, 0]) + 2, int(inside[0, 1]) - 2), 0.4)


def _draw_point(picture: BgrImage, px: Points, fitted_px: Points) -> None:
    """A ring where the point was seen, an arrow to where its measure would put it, much exaggerated."""
    cv2.circle(picture, _at(px), 5 << SUBPIXEL_BITS, POINT_COLOUR, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    tip = px + (fitted_px - px) * RESIDUAL_TIMES
    cv2.arrowedLine(picture, _at(px), _at(tip), RESIDUAL_COLOUR, 2, cv2.LINE_AA, SUBPIXEL_BITS, 0.3)


def _at(px: Points) -> tuple[int, int]:
    """Fixed point for OpenCV's drawing, whose pixel centres are whole numbers."""
    x, y = np.clip((px - 0.5) * (1 << SUBPIXEL_BITS), -1e6, 1e6)
    return round(float(x)), round(float(y))


def _write(picture: BgrImage, words: str, at: tuple[int, int], scale: float = 0.6) -> None:
    # A shadow of the same weight: OpenCV spaces thicker letters wider.
    for colour, shift_px in (((0, 0, 0), 1), ((255, 255, 255), 0)):
        place = (at[0] + shift_px, at[1] + shift_px)
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
