"""Knows how to shade, speckle and print on a flat shape: the brushes that all drawn items share.

Knows no kinds of things and no belt. Pictures are float BGR in 0..255, shapes are float masks in 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]  # (H, W, 3), BGR, 0..255
Mask = NDArray[np.float32]  # (H, W), 0..1, soft at its edge
Colour = tuple[float, float, float]  # B, G, R
Rng = np.random.Generator

WORDS = (
    *("COLA", "MILK", "FRESH", "PURE", "SODA", "CRISP", "NEWS", "DAILY", "ECO"),
    *("JUICE", "TEA", "SOAP", "OATS", "NUTS", "HONEY", "RICE", "WATER", "LIME"),
)
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
)


def between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def chance(rng: Rng, probability: float) -> bool:
    return bool(rng.random() < probability)


def pick_colour(rng: Rng, palette: list[Colour], spread: float = 14.0) -> Colour:
    """One colour of the palette, a little off: no two apples are the same red."""
    base = palette[int(rng.integers(len(palette)))]
    blue, green, red = (float(np.clip(c + rng.normal(0.0, spread), 0, 255)) for c in base)
    return blue, green, red


def any_colour(rng: Rng) -> Colour:
    """A print colour: any hue, from pastel to full. Colour alone must not betray the label."""
    hsv = np.array([[[rng.integers(180), rng.integers(40, 256), rng.integers(70, 256)]]], np.uint8)
    blue, green, red = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0]
    return float(blue), float(green), float(red)


def plain(shape_px: tuple[int, int], colour: Colour) -> FloatImage:
    return np.full((*shape_px, 3), colour, np.float32)


def toward(picture: FloatImage, colour: Colour, weight: Mask) -> FloatImage:
    """The picture faded towards one colour, by as much as `weight` says (0 = not at all)."""
    share = weight[..., None]
    return np.asarray(picture * (1 - share) + np.asarray(colour, np.float32) * share, dtype=np.float32)


def soft_noise(rng: Rng, shape_px: tuple[int, int], cell_px: float) -> Mask:
    """Smooth noise of about -1..1 whose blots are `cell_px` wide."""
    rows, columns = (max(2, round(size / cell_px)) for size in shape_px)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32) * 0.5
    return np.asarray(cv2.resize(coarse, shape_px[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def polygon_mask(shape_px: tuple[int, int], points_px: NDArray[np.floating]) -> Mask:
    canvas = np.zeros(shape_px, np.uint8)
    cv2.fillPoly(canvas, [np.round(points_px * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return canvas.astype(np.float32) / 255.0


def round_outline(rng: Rng, shape_px: tuple[int, int], *, wobble: float, harmonics: int = 4) -> NDArray[np.float64]:
    """A closed outline that fills the canvas: an ellipse with `wobble` (0 = perfect) of slow waves."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones_like(angle)
    for order in range(2, 2 + harmonics):
        radius += wobble / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 6.28))
    radius /= radius.max()
    height, width = shape_px
    x = (width - 1) / 2 * (1 + 0.98 * radius * np.cos(angle))
    y = (height - 1) / 2 * (1 + 0.98 * radius * np.sin(angle))
    return np.stack([x, y], axis=1)


def depth_px(mask: Mask) -> Mask:
    """How far inside the outline each pixel lies; the canvas edge counts as outline."""
    padded = np.pad((mask > 0.5).astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], dtype=np.float32)


def dome_light(mask: Mask, *, depth: float, roundness: float = 0.6) -> Mask:
    """Light on a bulging thing: bright in the middle, falling to `1 - depth` at its rim."""
    inside = depth_px(mask)
    height = np.clip(inside / max(float(inside.max()) * roundness, 1.0), 0, 1)
    return np.asarray(1.0 - depth * (1.0 - height) ** 2, dtype=np.float32)


def tube_light(shape_px: tuple[int, int], rng: Rng, *, depth: float) -> Mask:
    """Light on a lying cylinder whose axis runs along the rows: dark flanks, one bright streak."""
    across = np.linspace(-1, 1, shape_px[1], dtype=np.float32)
    streak_at, streak_width = rng.uniform(-0.5, 0.5), rng.uniform(0.05, 0.16)
    light = 1.0 - depth * across**2
    light += rng.uniform(0.15, 0.45) * np.exp(-(((across - streak_at) / streak_width) ** 2))
    return np.repeat(light[None, :].astype(np.float32), shape_px[0], axis=0)


def shine(shape_px: tuple[int, int], rng: Rng, *, size: float) -> Mask:
    """A soft highlight somewhere in the upper half of a glossy round thing."""
    height, width = shape_px
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x0, y0 = rng.uniform(0.3, 0.7) * width, rng.uniform(0.2, 0.6) * height
    reach = size * min(height, width)
    return np.asarray(np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / reach**2), dtype=np.float32)


def speckle(picture: FloatImage, rng: Rng, *, count: int, radius_px: float, colour: Colour) -> None:
    height, width = picture.shape[:2]
    for _ in range(count):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        radius = max(1, round(radius_px * rng.uniform(0.5, 1.5)))
        cv2.circle(picture, centre, radius, colour, -1, cv2.LINE_AA)


def print_words(picture: FloatImage, rng: Rng, box_px: tuple[int, int, int, int], colour: Colour) -> None:
    """A word or two in the box (x, y, width, height), as large as fits."""
    x, y, width, height = box_px
    if width < 12 or height < 8:
        return
    word = WORDS[int(rng.integers(len(WORDS)))]
    font = FONTS[int(rng.integers(len(FONTS)))]
    (unit_width, unit_height), _ = cv2.getTextSize(word, font, 1.0, 2)
    scale = min(width / unit_width, height / (unit_height * 1.3))
    ink = np.zeros(picture.shape[:2], np.uint8)
    foot = (x, y + round(unit_height * scale) + 1)
    cv2.putText(ink, word, foot, font, scale, 255, max(1, round(scale * 2)), cv2.LINE_AA)
    picture[ink > 96] = colour


def print_bar_code(picture: FloatImage, rng: Rng, box_px: tuple[int, int, int, int]) -> None:
    x, y, width, height = box_px
    cv2.rectangle(picture, (x, y), (x + width, y + height), (240, 240, 240), -1)
    at = x + 2
    while at < x + width - 2:
        bar = int(rng.integers(1, 4))
        cv2.rectangle(picture, (at, y + 2), (at + bar - 1, y + height - 2), (25, 25, 25), -1)
        at += bar + int(rng.integers(1, 4))


def print_lines(picture: FloatImage, rng: Rng, box_px: tuple[int, int, int, int], pitch_px: int) -> None:
    """A column of newsprint: rows of grey dashes, ragged at the right."""
    x, y, width, height = box_px
    for row in range(y, y + height, pitch_px):
        end = x + round(width * rng.uniform(0.8, 1.0))
        at = x
        while at < end:
            step = int(rng.integers(4, 14))
            grey = rng.uniform(50, 110)
            cv2.line(picture, (at, row), (min(at + step, end), row), (grey, grey, grey), 1)
            at += step + 3


def to_bgra(picture: FloatImage, mask: Mask) -> NDArray[np.uint8]:
    sprite = np.empty((*mask.shape, 4), np.uint8)
    sprite[..., :3] = np.clip(picture, 0, 255)
    sprite[..., 3] = np.clip(mask * 255.0, 0, 255)
    return sprite
