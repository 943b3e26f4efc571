"""Finds items in one frame: what does not look like belt, as oriented boxes. Knows millimetres only through one scale.

Works on a picture reduced to about 2 mm per pixel. Three kinds of evidence (brightness, tint, edges) are judged against the
spread of the bare belt; see appearance. Knows nothing of tracks and, but for learning, nothing of motion.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from station.config import DetectorConfig
from station.datatypes import BgrImage, BoxPx, Detection, Frame, OrientedBox
from station.tracking.appearance import BeltAppearance, Mask, Picture, Strangeness
from station.tracking.outline import Shape, ShapeLimits, shapes_in

# In spreads of the bare belt. On the rendered belts the strangest bare pixels reach 3.3, 1.9 and 5.5.
BRIGHTNESS_AT = 4.4
TINT_AT = 3.6
EDGE_AT = 7.0
RIM_AT = 4.5  # an item's rim is a step; a stain or a change of light has none
RIM_SHARE = 0.35
VIVID = 2.0  # times TINT_AT: so coloured that it needs no rim
ITEM_MARGIN_PX = 7  # around items nothing is learnt: shadows, blur


class Detector:
    def __init__(self, config: DetectorConfig, mm_per_px: float, along_rows: bool = True) -> None:
        self._config = config
        self._mm_per_px = mm_per_px
        self._along_rows = along_rows
        self.scale = 1.0  # frame pixels in one of the working picture
        self._appearance = BeltAppearance(along_rows)
        self._margin = np.ones((ITEM_MARGIN_PX, ITEM_MARGIN_PX), np.uint8)

    def find(self, frame: Frame, step_mm: float) -> list[Detection]:
        """Items in the frame. `step_mm`: belt travel since the last one; 0 where it is too slow to learn the belt's look."""
        picture, scale = self._reduced(frame.bgr)
        self.scale = scale
        strangeness = self._appearance.compare(picture)
        strange = self._strange(strangeness)
        shapes = [s for s in shapes_in(strange, self._limits(scale)) if self._has_rim(s, strangeness)]
        self._appearance.learn(picture, self._covered(strange, shapes), step_mm)
        return [_detection(shape, scale, frame.bgr) for shape in shapes]

    @property
    def residual(self) -> NDArray[np.float32]:
        """Of the last frame, reduced: what moves with the belt. For the measurement of belt motion."""
        return self._appearance.residual

    def _reduced(self, bgr: BgrImage) -> tuple[Picture, float]:
        """The working picture, and how many frame pixels one of its pixels spans."""
        height, width = bgr.shape[:2]
        scale = max(1.0, max(height, width) / self._config.work_width_px)
        if scale == 1.0:
            return bgr, 1.0
        size = (round(width / scale), round(height / scale))
        return np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8), width / size[0]

    def _strange(self, strangeness: Strangeness) -> Mask:
        s = self._config.sensitivity
        bright = np.abs(strangeness.brightness) > BRIGHTNESS_AT / s
        tinted = strangeness.tint > TINT_AT / s
        edged = strangeness.edge > EDGE_AT / s
        return np.where(bright | tinted | edged, 255, 0).astype(np.uint8)

    def _has_rim(self, shape: Shape, strangeness: Strangeness) -> bool:
        x, y = np.clip(shape.border, 2, np.array(strangeness.edge.shape[::-1]) - 3).T
        steep = np.maximum.reduce(
            [strangeness.edge[y + dy, x + dx] for dx, dy in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2))]
        )
        if np.mean(steep > RIM_AT / self._config.sensitivity) > RIM_SHARE:
            return True
        return float(np.median(strangeness.tint[y, x])) > VIVID * TINT_AT / self._config.sensitivity

    def _limits(self, scale: float) -> ShapeLimits:
        px_per_mm = 1.0 / (self._mm_per_px * scale)
        item = self._config.min_item_mm * px_per_mm
        return ShapeLimits(
            min_area=0.4 * item**2,
            min_thickness=0.3 * item,
            max_length=self._config.max_item_mm * px_per_mm,
            seam_thickness=1.4 * item,
            close=max(3, int(self._config.min_gap_mm * px_per_mm)),
            along_rows=self._along_rows,
        )

    def _covered(self, strange: Mask, shapes: Iterable[Shape]) -> Mask:
        mask = strange.copy()
        for shape in shapes:
            cv2.fillConvexPoly(mask, np.round(shape.hull).astype(np.int32), 255)
        return np.asarray(cv2.dilate(mask, self._margin), np.uint8)


def union_of(detections: list[Detection]) -> Detection:
    """One detection around several pieces of one item."""
    hull = np.asarray(cv2.convexHull(np.concatenate([d.hull_px for d in detections]))[:, 0], np.float32)
    boxes = [d.box_px for d in detections]
    box = BoxPx(
        min(b.left for b in boxes),
        min(b.top for b in boxes),
        max(b.right for b in boxes),
        max(b.bottom for b in boxes),
    )
    area = sum(d.area_px for d in detections)
    return Detection(box, _oriented(hull), area, all(d.whole for d in detections), hull)


def _detection(shape: Shape, scale: float, bgr: BgrImage) -> Detection:
    hull = np.asarray(shape.hull * np.float32(scale), np.float32)
    height, width = bgr.shape[:2]
    left, top = np.floor(hull.min(axis=0)).astype(int)
    right, bottom = np.ceil(hull.max(axis=0)).astype(int)
    box = BoxPx(max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom)))
    return Detection(box, _oriented(hull), shape.area * scale * scale, shape.whole, hull)


def _oriented(hull_px: NDArray[np.float32]) -> OrientedBox:
    (cx, cy), (a, b), angle = cv2.minAreaRect(hull_px)
    if a < b:
        a, b, angle = b, a, angle + 90.0
    return OrientedBox(float(cx), float(cy), float(a), float(b), float((angle + 90.0) % 180.0 - 90.0))
