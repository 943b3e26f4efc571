"""Draws what the camera over the virtual belt would see at a belt position and an instant.

Knows optics (scale, exposure, light, noise); knows neither where items come from nor what time it is.
The belt runs from the top of the picture to its bottom: a thing at belt coordinate `along_mm` stands in row
`(along_mm + belt_mm) * px_per_mm`, the same meaning of a belt coordinate as in `tracking/belt.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from station.simulation import texture
from station.simulation.items import Sprite, Thing

BgrImage = NDArray[np.uint8]  # (H, W, 3)

BAND_TURNS_FRAMES = 5  # the belt repeats after this many frame heights
SENSOR_SIGMA = 2.2
NOISE_SLACK_ROWS = 256
SHADOW = 0.30
SHADOW_SHIFT_PX = (5, 7)  # x, y: the lamp stands up left


@dataclass(frozen=True, slots=True)
class PlacedItem:
    """A thing on the belt, by its middle: at belt travel B it stands `along_mm + B` below the frame's upper edge."""

    item_id: int
    thing: Thing
    along_mm: float
    lateral_mm: float
    angle_deg: float


@dataclass(frozen=True, slots=True)
class ViewSize:
    width_px: int = 1280
    height_px: int = 800
    px_per_mm: float = 1280 / 600
    left_mm: float = 0.0  # lateral position of the picture's left edge


@dataclass(frozen=True, slots=True)
class _Stamp:
    """A turned sprite ready to paste: what it adds, and how much of the belt shines through (255 = all)."""

    adds: BgrImage
    keeps: BgrImage


class BeltRenderer:
    """One frame in a few milliseconds: scroll the band, paste the stamps, light it, add noise."""

    def __init__(self, size: ViewSize, seed: int, exposure_s: float = 0.001) -> None:
        rng = np.random.default_rng([seed, 11])
        self.size = size
        self._exposure_s = exposure_s
        self._seed = seed
        self._band_rows = BAND_TURNS_FRAMES * size.height_px
        band = texture.belt_band(rng, self._band_rows, size.width_px)
        self._band = np.concatenate([band, band[: size.height_px]])
        self._light = texture.light_map(rng, size.height_px, size.width_px)
        rows = size.height_px + NOISE_SLACK_ROWS
        self._noise = texture.noise_ring(rng, rows, size.width_px, SENSOR_SIGMA)
        self._blurred: dict[int, BgrImage] = {1: self._band}
        self._stamps: dict[tuple[int, int], _Stamp] = {}  # of the items in the last frame
        self._ahead: dict[tuple[int, int], _Stamp] = {}  # of items that will come

    def render(
        self,
        belt_mm: float,
        speed_mm_s: float,
        t_ns: int,
        items: Iterable[PlacedItem],
        out: BgrImage | None = None,
    ) -> BgrImage:
        size = self.size
        frame = np.empty((size.height_px, size.width_px, 3), np.uint8) if out is None else out
        blur = self._blur_px(speed_mm_s)
        scroll = round(belt_mm * size.px_per_mm)
        first = -scroll % self._band_rows
        np.copyto(frame, self._blurred_band(blur)[first : first + size.height_px])
        used: dict[tuple[int, int], _Stamp] = {}
        for item in items:
            key = (item.item_id, blur)
            used[key] = self._stamps.get(key) or self._ahead.pop(key, None) or self._make_stamp(item, blur)
            row = scroll + round(item.along_mm * size.px_per_mm)
            _paste(frame, used[key], row, round((item.lateral_mm - size.left_mm) * size.px_per_mm))
        self._stamps = used
        self._light_and_noise(frame, t_ns)
        return frame

    def prepare(self, speed_mm_s: float, items: Iterable[PlacedItem], at_most: int) -> None:
        """Make the stamps of items that will come soon, so that no single frame has to wait for many."""
        blur = self._blur_px(speed_mm_s)
        keys = {(item.item_id, blur): item for item in items}
        self._ahead = {key: stamp for key, stamp in self._ahead.items() if key in keys}
        missing = [key for key in keys if key not in self._ahead and key not in self._stamps]
        for key in missing[:at_most]:
            self._ahead[key] = self._make_stamp(keys[key], blur)

    def _blur_px(self, speed_mm_s: float) -> int:
        return max(1, round(abs(speed_mm_s) * self._exposure_s * self.size.px_per_mm))

    def _light_and_noise(self, frame: BgrImage, t_ns: int) -> None:
        cv2.multiply(frame, self._light, dst=frame, scale=texture.light_gain(t_ns / 1e9) / 200)
        # A hash of the instant, not a running generator: the same instant looks the same in any order.
        row = ((t_ns // 1000 + self._seed) * 2654435761 >> 7) % NOISE_SLACK_ROWS
        cv2.add(frame, self._noise[row : row + self.size.height_px], dst=frame)

    def _blurred_band(self, blur: int) -> BgrImage:
        if blur not in self._blurred:
            self._blurred = {1: self._band, blur: _smeared(self._band, blur)}
        return self._blurred[blur]

    def _make_stamp(self, item: PlacedItem, blur: int) -> _Stamp:
        turned = turned_sprite(item.thing.sprite(self.size.px_per_mm), item.angle_deg)
        return _stamp(turned, blur)


def turned_sprite(sprite: Sprite, angle_deg: float) -> Sprite:
    """The sprite turned counter-clockwise on a canvas that just holds it, its middle in the canvas' middle."""
    height, width = sprite.shape[:2]
    cos, sin = abs(np.cos(np.radians(angle_deg))), abs(np.sin(np.radians(angle_deg)))
    new_w, new_h = int(width * cos + height * sin) + 3, int(width * sin + height * cos) + 3
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, 1.0)
    turn[:, 2] += (new_w - width) / 2, (new_h - height) / 2
    return np.asarray(
        cv2.warpAffine(sprite, turn, (new_w, new_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT),
        dtype=np.uint8,
    )


def _stamp(turned: Sprite, blur: int) -> _Stamp:
    """Shadow, then motion blur: both belong to the thing as it lies, turned, under the fixed lamp."""
    shift_x, shift_y = SHADOW_SHIFT_PX
    pad = shift_y + 8 + blur
    wide = cv2.copyMakeBorder(turned, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    alpha = np.ascontiguousarray(wide[..., 3])
    shade = cv2.blur(np.roll(alpha, (shift_y, shift_x), (0, 1)), (13, 13))
    shines = cv2.multiply(255 - alpha, 255 - cv2.convertScaleAbs(shade, alpha=SHADOW), scale=1 / 255)
    opaque = cv2.merge([alpha, alpha, alpha])
    adds = np.asarray(cv2.multiply(wide[..., :3], opaque, scale=1 / 255), dtype=np.uint8)
    if blur > 1:
        shines, adds = _smeared(np.asarray(shines, dtype=np.uint8), blur), _smeared(adds, blur)
    return _Stamp(adds, np.asarray(cv2.merge([shines, shines, shines]), dtype=np.uint8))


def _smeared(picture: BgrImage, rows: int) -> BgrImage:
    """Motion blur: the mean over `rows` rows."""
    if rows == 2:  # cv2.blur with a (1, 2) kernel blacks out white in the last columns of some widths (OpenCV 5.0)
        above = np.concatenate([picture[:1], picture[:-1]])
        return np.asarray(cv2.addWeighted(picture, 0.5, above, 0.5, 0.0), dtype=np.uint8)
    return np.asarray(cv2.blur(picture, (1, rows), borderType=cv2.BORDER_REFLECT), dtype=np.uint8)


def _paste(frame: BgrImage, stamp: _Stamp, row: int, column: int) -> None:
    """Paste the stamp with its middle at (row, column); what lies outside the frame is cut."""
    height, width = stamp.keeps.shape[:2]
    top, left = row - height // 2, column - width // 2
    first_row, first_column = max(0, -top), max(0, -left)
    last_row = min(height, frame.shape[0] - top)
    last_column = min(width, frame.shape[1] - left)
    if first_row >= last_row or first_column >= last_column:
        return
    cut = (slice(first_row, last_row), slice(first_column, last_column))
    under = frame[top + first_row : top + last_row, left + first_column : left + last_column]
    shining = cv2.multiply(under, stamp.keeps[cut], scale=1 / 255)
    cv2.add(shining, stamp.adds[cut], dst=under)
