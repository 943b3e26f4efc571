"""Knows what the bare belt looks like from this camera, and how far from it each pixel is. Knows no items and no millimetres.

The belt moves, so a pixel sees all of its texture: what is learnt is each place's *average* (light, wear, rails) and the
*spread* of brightness, tint and edges across the belt. A pixel is strange when it lies far outside that spread. Nothing is
learnt from strange pixels or from a standing belt, so an item that stops stays visible. Works at reduced resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]  # (h, w, 3), BGR, reduced
Plane: TypeAlias = NDArray[np.float32]  # (h, w)
Mask: TypeAlias = NDArray[np.uint8]  # (h, w), 0 or 255

# BGR to brightness and two tints. Belt grain is grey, so its tint hardly varies: a faint colour is strong evidence.
OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0, -1, 1]], np.float32)
BRIGHTNESS_FLOOR = 2.0  # grey levels: sensor noise and compression, whatever the belt
TINT_FLOOR = 1.2
EDGE_FLOOR = 1.5
LEARN_EVERY_FRAMES = 3
LEARN_RATE = 0.09  # per learnt frame: about a second at 30 frames/s
SPREAD_EVERY_FRAMES = 8
ORDINARY_REACH = np.array([2.2, 2.2, 2.2])  # spreads below which 97 % of belt lie if it strays like a bell curve
LONGEST_TAILS = 2.5
# Strange since the first frame and unchanged while so much belt passed, in at least so many frames: part of the machine.
STRUCTURE_TRAVEL_MM = 160.0
STRUCTURE_FRAMES = 6
STRUCTURE_CHANGE = 8.0  # grey levels that count as unchanged
RELEARN_SHARE = 0.75  # of the picture strange at once: the scene changed, not the items
RELEARN_FRAMES = 15


@dataclass(frozen=True, slots=True)
class Strangeness:
    """How many spreads each pixel lies from the belt."""

    brightness: Plane  # signed: negative is darker
    tint: Plane
    edge: Plane


class BeltAppearance:
    def __init__(self, along_rows: bool) -> None:
        self._axis = 0 if along_rows else 1  # of travel in the picture
        self._mean: NDArray[np.float32] | None = None  # (h, w, 3)
        self._spread = (np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))  # brightness, tint
        self._edge_spread = EDGE_FLOOR
        self._tails = np.ones(3, np.float32)  # brightness, tint, edge: how much longer than a bell curve's
        self._shown: Strangeness | None = None
        self._residual = np.zeros((1, 1, 3), np.float32)
        self._level = np.ones((1, 1, 3), np.float32)
        self._never_belt = np.zeros((1, 1), bool)  # strange in every frame so far
        self._still_frames = np.zeros((1, 1), np.uint8)
        self._still_mm = np.zeros((1, 1), np.float32)
        self._before: Picture | None = None
        self._frames = 0
        self._flooded = 0

    def compare(self, picture: Picture) -> Strangeness:
        if self._mean is None or self._mean.shape != picture.shape:
            self._begin(picture)
        assert self._mean is not None
        self._level = self._light(picture)
        # The light goes into the matrix: cheaper than lighting the whole average.
        belt = cv2.transform(self._mean, OPPONENT * self._level[0])
        self._residual = np.asarray(cv2.transform(picture.astype(np.float32), OPPONENT) - belt, np.float32)
        soft = np.asarray(cv2.blur(self._residual, (3, 3)), np.float32)
        edge = _steepness(soft[..., 0])
        if self._frames % SPREAD_EVERY_FRAMES == 0:
            self._measure_spread(soft, edge)
        tint = np.maximum(np.abs(soft[..., 1]), np.abs(soft[..., 2]))
        self._shown = Strangeness(
            np.asarray(soft[..., 0] / (self._spread[0] * self._tails[0]), np.float32),
            np.asarray(tint / (self._spread[1] * self._tails[1]), np.float32),
            np.asarray(edge / (self._edge_spread * self._tails[2]), np.float32),
        )
        return self._shown

    @property
    def residual(self) -> Plane:
        """Brightness of the last picture less the belt's average: texture and items, without the machine."""
        plane = self._residual[..., 0]
        return np.where(self._never_belt, np.float32(0), plane) if self._never_belt.any() else plane

    def learn(self, picture: Picture, strange: Mask, step_mm: float) -> None:
        """Take the pixels that are belt into the average. `strange` covers items with a margin; 0 mm: the belt rests."""
        assert self._mean is not None
        if self._frames % SPREAD_EVERY_FRAMES == 0:
            self._measure_tails(strange)
        self._frames += 1
        if step_mm <= 0:
            self._before = None
            return
        self._find_structure(picture, strange, step_mm)
        if self._frames % LEARN_EVERY_FRAMES == 0:
            cv2.accumulateWeighted(picture * (1 / self._level), self._mean, LEARN_RATE, mask=cv2.bitwise_not(strange))
        self._flooded = self._flooded + 1 if cv2.countNonZero(strange) > RELEARN_SHARE * strange.size else 0
        if self._flooded >= RELEARN_FRAMES:
            self._begin(picture)

    def _begin(self, picture: Picture) -> None:
        """Start from the median along the travel: items cover the lesser part of most lines."""
        line = np.median(picture, axis=self._axis, keepdims=True).astype(np.float32)
        self._mean = np.broadcast_to(line, picture.shape).copy()
        self._never_belt = np.ones(picture.shape[:2], bool)
        self._still_frames = np.zeros(picture.shape[:2], np.uint8)
        self._still_mm = np.zeros(picture.shape[:2], np.float32)
        self._before = None
        self._frames = 0
        self._flooded = 0

    def _light(self, picture: Picture) -> NDArray[np.float32]:
        """How bright this frame is against the average, per colour: lamps drift, cameras adjust themselves."""
        assert self._mean is not None
        some = np.s_[2::7, 2::7]
        ratio = picture[some] / np.maximum(self._mean[some], 4.0)
        return np.asarray(np.median(ratio.reshape(-1, 3), axis=0), np.float32).clip(0.25, 4.0)[None, None]

    def _measure_spread(self, soft: NDArray[np.float32], edge: Plane) -> None:
        """Median absolute deviations along the travel; half of a line may be items before they shift it."""
        rows = np.abs(soft[::2, ::2])
        typical = np.median(rows, axis=self._axis, keepdims=True) * 1.4826
        whole = np.median(rows.reshape(-1, 3), axis=0) * 1.4826
        # A line full of items, or of machine, must not call everything normal.
        typical = np.minimum(typical, 1.6 * whole)
        brightness = np.maximum(typical[..., 0], BRIGHTNESS_FLOOR)
        tint = np.maximum(typical[..., 1:].max(axis=2), TINT_FLOOR)
        size = (1, soft.shape[0]) if self._axis == 1 else (soft.shape[1], 1)
        fresh = tuple(cv2.resize(line.astype(np.float32), size) for line in (brightness, tint))
        edge_spread = max(EDGE_FLOOR, float(np.median(edge[::3, ::3])) * 1.2)
        weight = 1.0 if self._frames == 0 else 0.2
        self._spread = (
            self._spread[0] * (1 - weight) + fresh[0] * np.float32(weight),
            self._spread[1] * (1 - weight) + fresh[1] * np.float32(weight),
        )
        self._edge_spread += weight * (edge_spread - self._edge_spread)

    def _measure_tails(self, strange: Mask) -> None:
        """Compression blocks and worn belts stray further than their median tells: widen until 97 % of belt is ordinary."""
        assert self._shown is not None
        some = np.s_[1::3, 1::3]
        belt = strange[some] == 0
        if np.count_nonzero(belt) < 100:
            return
        planes = (np.abs(self._shown.brightness[some]), self._shown.tint[some], self._shown.edge[some])
        reach = np.array([np.percentile(plane[belt], 97) for plane in planes]) / ORDINARY_REACH
        self._tails = np.clip(self._tails * (1 + 0.5 * (reach - 1)), 1.0, LONGEST_TAILS).astype(np.float32)

    def _find_structure(self, picture: Picture, strange: Mask, step_mm: float) -> None:
        """Arms and rails that were there from the start and never move with the belt become part of the average."""
        assert self._mean is not None
        if not self._never_belt.any():
            return
        self._never_belt &= strange > 0
        if self._before is not None:
            change = cv2.absdiff(picture, self._before).max(axis=2)
            still = (change < STRUCTURE_CHANGE) & self._never_belt
            self._still_frames = np.where(still, np.minimum(self._still_frames + 1, 250), 0).astype(np.uint8)
            self._still_mm = np.where(still, self._still_mm + np.float32(step_mm), np.float32(0))
        self._before = picture.copy()
        structure = (self._still_mm >= STRUCTURE_TRAVEL_MM) & (self._still_frames >= STRUCTURE_FRAMES)
        if structure.any():
            self._mean[structure] = (picture / self._level)[structure]
            self._never_belt &= ~structure


def _steepness(plane: Plane) -> Plane:
    dx = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3, scale=0.25)
    dy = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3, scale=0.25)
    return np.asarray(cv2.magnitude(dx, dy), np.float32)
