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
STEP_PX = 2  # a rim's step may lie so far beside the outline
ITEM_MARGIN_PX = 7  # around items nothing is learnt: shadows, blur


class Detector:
    def __init__(self, config: DetectorConfig, mm_per_px: float, along_rows: bool = True) -> None:
        self._config = config
        self._mm_per_px = mm_per_px
        self._along_rows = along_rows
        self.scale = 1.0  # frame pixels in one of the working picture
        self._appearance = BeltAppearance(along_rows)
        self._items = np.zeros((1, 1), np.uint8)  # of the last frame: where things lie, with a margin
        self._margin = np.ones((ITEM_MARGIN_PX, ITEM_MARGIN_PX), np.uint8)
        self._beside = np.zeros((2 * STEP_PX + 1, 2 * STEP_PX + 1), np.uint8)
        self._beside[STEP_PX, [0, STEP_PX, -1]] = self._beside[[0, -1], STEP_PX] = 1

    def find(self, frame: Frame, step_mm: float) -> list[Detection]:
        """Items in the frame. `step_mm`: belt travel since the last one; 0 where it is too slow to learn the belt's look."""
        picture, scale = self._reduced(frame.bgr)
        self.scale = scale
        strangeness = self._appearance.compare(picture)
        strange = self._strange(strangeness)
        steep = (strangeness.edge > RIM_AT / self._config.sensitivity).astype(np.uint8)
        steep = np.asarray(cv2.dilate(steep, self._beside), np.uint8)
        shapes = [s for s in shapes_in(strange, self._limits(scale)) if self._has_rim(s, steep, strangeness)]
        self._items = self._covered(strange, shapes)
        self._appearance.learn(picture, self._items, step_mm)
        return [_detection(shape, scale, frame.bgr) for shape in shapes]

    @property
    def residual(self) -> NDArray[np.float32]:
        """Of the last frame, reduced: what moves with the belt. For the measurement of belt motion."""
        return self._appearance.residual

    @property
    def bare_residual(self) -> NDArray[np.float32]:
        """Of the belt alone: an item's top is nearer to the camera, and moves faster in the picture than the belt."""
        return np.where(self._items > 0, np.float32(0), self.residual)

    def _reduced(self, bgr: BgrImage) -> tuple[Picture, float]:
        """The working picture, and how many frame pixels one of its pixels spans."""
        height, width = bgr.shape[:2]
        scale = max(1.0, max(height, width) / self._config.work_width_px)
        if scale == 1.0:
            return bgr, 1.0
        size = (round(width / scale), round(height / scale))
        halved = bgr
        # Halving twice is three times as fast as quartering: only the half is computed in vectors.
        while halved.shape[0] % 2 == halved.shape[1] % 2 == 0 and halved.shape[1] >= 2 * size[0]:
            half = (halved.shape[1] // 2, halved.shape[0] // 2)
            halved = np.asarray(cv2.resize(halved, half, interpolation=cv2.INTER_AREA), np.uint8)
        if halved.shape[1::-1] != size:
            halved = np.asarray(cv2.resize(halved, size, interpolation=cv2.INTER_AREA), np.uint8)
        return halved, width / size[0]

    def _strange(self, strangeness: Strangeness) -> Mask:
        s = self._config.sensitivity
        bright = np.abs(strangeness.brightness) > BRIGHTNESS_AT / s
        tinted = strangeness.tint > TINT_AT / s
        edged = strangeness.edge > EDGE_AT / s
        return np.where(bright | tinted | edged, 255, 0).astype(np.uint8)

    def _has_rim(self, shape: Shape, steep: Mask, strangeness: Strangeness) -> bool:
        """`steep`: where a step is near."""
        height, width = steep.shape
        x = np.minimum(np.maximum(shape.border[:, 0], STEP_PX), width - 1 - STEP_PX)
        y = np.minimum(np.maximum(shape.border[:, 1], STEP_PX), height - 1 - STEP_PX)
        if np.count_nonzero(steep[y, x]) > RIM_SHARE * len(x):
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
