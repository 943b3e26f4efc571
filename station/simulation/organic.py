"""Draws the organic things of the built-in feed: fruit, vegetables, leaves, bread, egg shells.

Each function fills a canvas (height, width) whose rows run along the thing; it knows no scale and no belt.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from station.simulation import drawing as d

Shape = tuple[int, int]
Sprite = NDArray[np.uint8]  # (H, W, 4), BGRA

REDS: list[d.Colour] = [(40, 40, 190), (45, 60, 160), (50, 80, 200)]
GREENS: list[d.Colour] = [(50, 150, 110), (60, 170, 150), (40, 120, 70)]
YELLOWS: list[d.Colour] = [(60, 200, 225), (50, 180, 210), (90, 210, 215)]
BROWNS: list[d.Colour] = [(60, 95, 140), (75, 115, 165), (50, 75, 110)]


def apple(rng: d.Rng, shape: Shape) -> Sprite:
    mask = d.polygon_mask(shape, d.round_outline(rng, shape, wobble=0.05))
    skin = d.plain(shape, d.pick_colour(rng, REDS + GREENS + YELLOWS))
    blush = np.clip(d.soft_noise(rng, shape, shape[0] / 2.5), 0, 1)
    skin = d.toward(skin, d.pick_colour(rng, REDS + YELLOWS), blush)
    d.speckle(skin, rng, count=int(rng.integers(10, 60)), radius_px=0.8, colour=(120, 180, 200))
    skin *= d.dome_light(mask, depth=0.55)[..., None]
    skin += 90 * d.shine(shape, rng, size=0.13)[..., None]
    height, width = shape
    stem = (round(width * rng.uniform(0.35, 0.65)), round(height * rng.uniform(0.35, 0.65)))
    cv2.circle(skin, stem, max(2, height // 10), (30, 45, 50), -1, cv2.LINE_AA)
    tip = (stem[0] + int(rng.integers(-12, 13)), stem[1] - int(rng.integers(6, 16)))
    cv2.line(skin, stem, tip, (35, 60, 90), max(2, height // 30), cv2.LINE_AA)
    return d.to_bgra(skin, mask)


def tomato(rng: d.Rng, shape: Shape) -> Sprite:
    mask = d.polygon_mask(shape, d.round_outline(rng, shape, wobble=0.09, harmonics=5))
    skin = d.plain(shape, d.pick_colour(rng, [(35, 40, 205), (40, 80, 215), (50, 130, 190)]))
    skin *= d.dome_light(mask, depth=0.5)[..., None]
    skin += 110 * d.shine(shape, rng, size=0.1)[..., None]
    height, width = shape
    centre = np.array([width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6)])
    calyx = d.pick_colour(rng, GREENS)
    turn = rng.uniform(0, 6.28)
    for point in range(5):
        angle = turn + point * 1.257
        reach = min(shape) * rng.uniform(0.16, 0.26)
        tip = centre + reach * np.array([np.cos(angle), np.sin(angle)])
        side = reach * 0.16 * np.array([-np.sin(angle), np.cos(angle)])
        leaf = np.stack([centre + side, tip, centre - side])
        cv2.fillPoly(skin, [np.round(leaf).astype(np.int32)], calyx, cv2.LINE_AA)
    return d.to_bgra(skin, mask)


def banana(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    along = np.linspace(0, 1, 40)
    bow = width * rng.uniform(0.45, 0.62)
    middle_x = width * 0.26 + bow * 4 * (along - 0.5) ** 2 * 0.9
    half = width * 0.23 * np.clip(np.sin(np.pi * (0.06 + 0.9 * along)), 0.18, 1) ** 0.6
    y = 2 + along * (height - 5)
    outline = np.concatenate([np.stack([middle_x - half, y], 1), np.stack([middle_x + half, y], 1)[::-1]])
    mask = d.polygon_mask(shape, np.clip(outline, 0, [width - 1, height - 1]))
    skin = d.plain(shape, d.pick_colour(rng, [*YELLOWS, (60, 170, 150), (40, 110, 150)]))
    ridge = np.stack([middle_x + half * rng.uniform(-0.3, 0.3), y], 1).astype(np.int32)
    cv2.polylines(skin, [ridge], False, (45, 130, 165), max(1, width // 25), cv2.LINE_AA)
    brown = (35, 60, 85)
    d.speckle(skin, rng, count=int(rng.integers(0, 35)), radius_px=width / 28, colour=brown)
    skin *= d.dome_light(mask, depth=0.5, roundness=0.9)[..., None]
    for end in (0, height - 1):
        fade = np.exp(-np.abs(np.arange(height) - end) / (height * 0.035)).astype(np.float32)
        skin = d.toward(skin, (25, 50, 60), np.repeat(fade[:, None], width, axis=1))
    return d.to_bgra(skin, mask)


def carrot(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    along = np.linspace(0, 1, 40)
    taper = np.clip(1 - along ** rng.uniform(0.9, 1.8), 0.05, 1) * np.clip(along * 12, 0.5, 1)
    bend = width * 0.08 * rng.normal() * np.sin(np.pi * along)
    half, middle = width * 0.42 * taper, width / 2 + bend
    y = 2 + along * (height - 5)
    outline = np.concatenate([np.stack([middle - half, y], 1), np.stack([middle + half, y], 1)[::-1]])
    mask = d.polygon_mask(shape, np.clip(outline, 0, [width - 1, height - 1]))
    skin = d.plain(shape, d.pick_colour(rng, [(35, 120, 230), (30, 100, 210), (60, 140, 235)]))
    for _ in range(int(rng.integers(8, 26))):
        row, x = int(rng.integers(height)), int(rng.integers(width))
        tail = x + int(rng.integers(4, max(6, width // 2)))
        cv2.line(skin, (x, row), (tail, row + int(rng.integers(-2, 3))), (30, 75, 150), 1, cv2.LINE_AA)
    skin *= d.dome_light(mask, depth=0.5, roundness=0.9)[..., None]
    top = round(height * rng.uniform(0.02, 0.09))
    skin[:top] = d.pick_colour(rng, GREENS)
    return d.to_bgra(skin, mask)


def leaf(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    along = np.linspace(0, 1, 60)
    belly = np.sin(np.pi * along ** rng.uniform(0.7, 1.4)) ** rng.uniform(0.6, 1.0)
    teeth = 1 - rng.uniform(0, 0.16) * (0.5 + 0.5 * np.sin(along * rng.uniform(30, 90)))
    half = np.maximum(width * 0.48 * belly * teeth, 1.2)
    y = 1 + along * (height - 3)
    middle = width / 2
    outline = np.concatenate([np.stack([middle - half, y], 1), np.stack([middle + half, y], 1)[::-1]])
    mask = d.polygon_mask(shape, outline)
    blade = d.plain(shape, d.pick_colour(rng, [*GREENS, (50, 110, 90), (45, 120, 170), (40, 80, 130)]))
    blade *= (1 + 0.22 * d.soft_noise(rng, shape, height / 6))[..., None]
    vein = tuple(min(255.0, float(c) * 1.25 + 18) for c in blade[height // 2, width // 2])
    cv2.line(blade, (round(middle), 0), (round(middle), height), vein, max(1, width // 30), cv2.LINE_AA)
    for row in range(round(height * 0.12), round(height * 0.9), max(6, height // 9)):
        for side in (-1, 1):
            tip = (round(middle + side * width * 0.45), row - round(height * 0.1))
            cv2.line(blade, (round(middle), row), tip, vein, 1, cv2.LINE_AA)
    return d.to_bgra(blade, mask)


def bread(rng: d.Rng, shape: Shape) -> Sprite:
    outline = d.round_outline(rng, shape, wobble=0.06)
    squared = np.array(shape[::-1]) / 2
    outline = squared + (outline - squared) * np.minimum(1.18, squared / np.maximum(np.abs(outline - squared), 1))
    mask = d.polygon_mask(shape, np.clip(outline, 0, np.array(shape[::-1]) - 1))
    crumb = d.plain(shape, d.pick_colour(rng, [(150, 195, 220), (120, 170, 205), (90, 135, 170)]))
    pores = max(20, shape[0] * shape[1] // 160)
    blue, green, red = (float(c) * 0.82 for c in crumb[0, 0])
    d.speckle(crumb, rng, count=pores, radius_px=1.1, colour=(blue, green, red))
    crumb *= (1 + 0.08 * d.soft_noise(rng, shape, 12))[..., None]
    inside = d.depth_px(mask)
    rim = np.exp(-((inside / (min(shape) * rng.uniform(0.04, 0.08))) ** 2))
    crumb = d.toward(crumb, d.pick_colour(rng, BROWNS), rim)
    return d.to_bgra(crumb, mask)


def eggshell(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    outline = d.round_outline(rng, shape, wobble=0.02)
    cut = height * rng.uniform(0.3, 0.6)
    jag = rng.uniform(-0.06, 0.06, len(outline)) * height
    outline[:, 1] = np.where(outline[:, 1] < cut, cut + jag, outline[:, 1])
    mask = d.polygon_mask(shape, np.clip(outline, 0, [width - 1, height - 1]))
    shell = d.plain(shape, d.pick_colour(rng, [(215, 225, 230), (150, 180, 215), (190, 215, 235)], 8))
    shell *= (0.97 + 0.05 * d.soft_noise(rng, shape, 7))[..., None]
    shell *= d.dome_light(mask, depth=0.45)[..., None]
    hollow = (round(width / 2), round(cut + height * 0.05))
    axes = (round(width * 0.42), max(3, round(height * rng.uniform(0.08, 0.2))))
    cv2.ellipse(shell, hollow, axes, 0, 0, 360, (150, 175, 190), -1, cv2.LINE_AA)
    cv2.ellipse(shell, hollow, axes, 0, 0, 360, (225, 235, 240), 2, cv2.LINE_AA)
    return d.to_bgra(shell, mask)


def potato(rng: d.Rng, shape: Shape) -> Sprite:
    mask = d.polygon_mask(shape, d.round_outline(rng, shape, wobble=0.14, harmonics=3))
    skin = d.plain(shape, d.pick_colour(rng, [*BROWNS, (95, 145, 190), (70, 80, 150)]))
    skin *= (1 + 0.14 * d.soft_noise(rng, shape, 9))[..., None]
    d.speckle(skin, rng, count=int(rng.integers(5, 22)), radius_px=2.0, colour=(40, 60, 85))
    skin *= d.dome_light(mask, depth=0.5)[..., None]
    return d.to_bgra(skin, mask)


def citrus(rng: d.Rng, shape: Shape) -> Sprite:
    """A halved orange, lemon or lime, cut side up."""
    mask = d.polygon_mask(shape, d.round_outline(rng, shape, wobble=0.02))
    flesh = d.pick_colour(rng, [(50, 150, 235), (70, 215, 235), (80, 200, 150), (70, 90, 210)])
    picture = d.plain(shape, flesh)
    height, width = shape
    centre = (round(width * rng.uniform(0.46, 0.54)), round(height * rng.uniform(0.46, 0.54)))
    picture *= (1 + 0.12 * d.soft_noise(rng, shape, 5))[..., None]
    pith = (190.0, 225.0, 240.0)
    segments, turn = int(rng.integers(8, 12)), rng.uniform(0, 6.28)
    for segment in range(segments):
        angle = turn + segment * 2 * np.pi / segments
        tip = (round(centre[0] + width * np.cos(angle) / 2), round(centre[1] + height * np.sin(angle) / 2))
        cv2.line(picture, centre, tip, pith, max(1, height // 45), cv2.LINE_AA)
    cv2.circle(picture, centre, max(2, height // 20), pith, -1, cv2.LINE_AA)
    inside = d.depth_px(mask)
    picture[inside < min(shape) * 0.085] = pith
    picture[inside < min(shape) * 0.035] = tuple(0.85 * c for c in flesh)
    return d.to_bgra(picture, mask)


# kind: (drawing, shortest and longest side along the thing in mm, width as a part of length)
ORGANIC: dict[str, tuple[Callable[[d.Rng, Shape], Sprite], tuple[float, float], tuple[float, float]]] = {
    "apple": (apple, (58, 88), (0.88, 1.0)),
    "tomato": (tomato, (50, 78), (0.88, 1.0)),
    "banana": (banana, (105, 150), (0.38, 0.52)),
    "carrot": (carrot, (90, 150), (0.2, 0.34)),
    "leaf": (leaf, (65, 135), (0.4, 0.7)),
    "bread": (bread, (80, 125), (0.7, 0.98)),
    "eggshell": (eggshell, (52, 70), (0.8, 0.95)),
    "potato": (potato, (55, 110), (0.6, 0.85)),
    "citrus": (citrus, (52, 90), (0.85, 1.0)),
}
