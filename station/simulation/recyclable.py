"""Draws the recyclable things of the built-in feed: bottles, cans, boxes, newspapers, jars, cups, cartons.

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

GLASS: list[d.Colour] = [(190, 190, 180), (90, 140, 80), (55, 85, 120), (205, 175, 130), (70, 110, 60)]
CARDBOARD: list[d.Colour] = [(105, 150, 185), (90, 130, 165), (125, 165, 195)]


def _profile_mask(shape: Shape, rows: list[float], halves: list[float]) -> d.Mask:
    """A thing symmetric about its axis: half widths (of the canvas) at given rows (of the canvas)."""
    height, width = shape
    y = np.linspace(0, 1, 80)
    half = np.interp(y, rows, halves) * (width - 2) / 2
    centre = (width - 1) / 2
    left, right = np.stack([centre - half, y * (height - 1)], 1), np.stack([centre + half, y * (height - 1)], 1)
    return d.polygon_mask(shape, np.concatenate([left, right[::-1]]))


def _label_band(picture: d.FloatImage, rng: d.Rng, top: int, bottom: int) -> None:
    """A printed label over the full width: ground colour, stripes, a word, perhaps a bar code."""
    width = picture.shape[1]
    tall = bottom - top
    picture[top:bottom] = d.any_colour(rng)
    for _ in range(int(rng.integers(0, 4))):
        row = int(rng.integers(top, bottom))
        cv2.rectangle(picture, (0, row), (width, row + int(rng.integers(2, 9))), d.any_colour(rng), -1)
    if d.chance(rng, 0.4):
        spot = (int(rng.integers(width)), int(rng.integers(top, bottom)))
        cv2.circle(picture, spot, max(4, tall // 4), d.any_colour(rng), -1, cv2.LINE_AA)
    ink = (245.0, 245.0, 245.0) if d.chance(rng, 0.5) else (25.0, 25.0, 30.0)
    d.print_words(picture, rng, (width // 8, top + tall // 5, round(width * 0.75), tall // 3), ink)
    if d.chance(rng, 0.4) and tall > 24:
        d.print_bar_code(picture, rng, (width // 5, bottom - tall // 3, width // 2, tall // 4))


def bottle(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    neck, shoulder = d.between(rng, 0.1, 0.2), d.between(rng, 0.28, 0.42)
    slim = d.between(rng, 0.26, 0.4)
    waist = d.between(rng, 0.84, 1.0)
    mask = _profile_mask(shape, [0, neck, shoulder, 0.6, 0.75, 0.96, 1], [slim, slim, 1, 1, waist, 1, 0.85])
    body = d.plain(shape, d.pick_colour(rng, GLASS))
    body *= (1 + 0.15 * d.soft_noise(rng, shape, width / 3))[..., None]
    if d.chance(rng, 0.75):
        top = round(height * d.between(rng, shoulder + 0.03, 0.55))
        _label_band(body, rng, top, top + round(height * d.between(rng, 0.15, 0.35)))
    else:
        for row in range(round(height * shoulder), height, max(5, height // 14)):
            cv2.line(body, (0, row), (width, row), tuple(0.8 * c for c in body[row, 0].tolist()), 1)
    body *= d.tube_light(shape, rng, depth=0.45)[..., None]
    cap = round(height * neck * d.between(rng, 0.45, 0.8))
    body[:cap] = d.any_colour(rng)
    for x in range(0, width, 4):
        cv2.line(body, (x, 0), (x, cap), tuple(0.75 * c for c in body[0, 0].tolist()), 1)
    body[:cap] *= d.tube_light((cap, width), rng, depth=0.3)[..., None]
    return d.to_bgra(body, mask)


def can(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    crush = np.clip(rng.normal(0, 0.06, 3) * d.chance(rng, 0.45), -0.12, 0.12)
    mask = _profile_mask(
        shape,
        [0, 0.05, 0.3, 0.5, 0.7, 0.95, 1],
        [0.86, 1, 0.98 - abs(crush[0]), 0.98 - abs(crush[1]), 0.98 - abs(crush[2]), 1, 0.86],
    )
    metal = d.plain(shape, d.pick_colour(rng, [(190, 190, 190), (160, 165, 170)], 8))
    if d.chance(rng, 0.85):
        _label_band(metal, rng, round(height * 0.08), round(height * 0.92))
    else:
        for row in range(0, height, max(4, height // 18)):
            cv2.line(metal, (0, row), (width, row), (130, 130, 130), 1)
    metal *= d.tube_light(shape, rng, depth=0.5)[..., None]
    if np.any(crush):
        metal *= (1 + 0.28 * d.soft_noise(rng, shape, height / 5))[..., None]
    for row in (round(height * 0.06), round(height * 0.94)):
        cv2.line(metal, (0, row), (width, row), (215, 215, 215), 2, cv2.LINE_AA)
    return d.to_bgra(metal, mask)


def box(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)
    corners += rng.uniform(-1, 1, (4, 2)) * min(shape) * 0.025
    mask = d.polygon_mask(shape, np.clip(corners, 0, [width - 1, height - 1]))
    ground = d.pick_colour(rng, CARDBOARD) if d.chance(rng, 0.5) else d.any_colour(rng)
    board = d.plain(shape, ground)
    board *= (1 + 0.05 * d.soft_noise(rng, shape, 10))[..., None]
    board += (5 * np.sin(np.arange(width, dtype=np.float32) * rng.uniform(0.5, 1.5)))[None, :, None]
    dark = tuple(0.6 * c for c in ground)
    seam = round(height * d.between(rng, 0.42, 0.58))
    cv2.line(board, (0, seam), (width, seam), dark, 2, cv2.LINE_AA)
    if d.chance(rng, 0.5):
        tape = max(4, round(height * 0.06))
        taped = np.zeros(shape, np.float32)
        taped[seam - tape : seam + tape] = 0.4
        board = d.toward(board, (150, 190, 210), taped)
    if d.chance(rng, 0.6):
        spot = (width // 10, height // 12, round(width * 0.6), round(height * 0.22))
        d.print_words(board, rng, spot, (30.0, 35.0, 45.0))
    if d.chance(rng, 0.5):
        d.print_bar_code(board, rng, (width // 2, round(height * 0.72), width // 3, height // 6))
    side = round(width * d.between(rng, 0.08, 0.22))
    board[:, -side:] *= d.between(rng, 0.55, 0.8)
    return d.to_bgra(board, mask)


def newspaper(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)
    corners += rng.uniform(-1, 1, (4, 2)) * min(shape) * 0.06
    mask = d.polygon_mask(shape, np.clip(corners, 0, [width - 1, height - 1]))
    grey = d.between(rng, 185, 225)
    sheet = d.plain(shape, (grey * d.between(rng, 0.86, 0.98), grey * 0.98, grey))
    d.print_words(sheet, rng, (width // 12, 6, round(width * 0.8), max(12, height // 9)), (35, 35, 35))
    columns = int(rng.integers(2, 5))
    column = (width - 12) // columns
    for index in range(columns):
        x = 7 + index * column
        d.print_lines(sheet, rng, (x, height // 6, column - 7, round(height * 0.8)), int(rng.integers(4, 7)))
    for _ in range(int(rng.integers(0, 3))):
        x, y = int(rng.integers(0, width // 2)), int(rng.integers(height // 6, height // 2))
        photo = sheet[y : y + height // 4, x : x + width // 3]
        photo[:] = 110 + 60 * d.soft_noise(rng, photo.shape[:2], 14)[..., None]
    fold = round(width * d.between(rng, 0.3, 0.7))
    sheet[:, fold:] *= d.between(rng, 0.82, 0.93)
    cv2.line(sheet, (fold, 0), (fold, height), (140, 145, 150), 1, cv2.LINE_AA)
    sheet *= (1 + 0.05 * d.soft_noise(rng, shape, 24))[..., None]
    return d.to_bgra(sheet, mask)


def jar(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    lid = d.between(rng, 0.12, 0.2)
    mask = _profile_mask(shape, [0, lid, lid + 0.02, lid + 0.12, 0.94, 1], [0.88, 0.88, 0.78, 1, 1, 0.88])
    glass = d.plain(shape, d.pick_colour(rng, [(175, 185, 180), (150, 170, 150), (110, 140, 165)]))
    glass *= (1 + 0.12 * d.soft_noise(rng, shape, width / 2))[..., None]
    inner = round(width * 0.1)
    glass[round(height * 0.3) : round(height * 0.92), inner:-inner] *= d.between(rng, 0.65, 1.1)
    if d.chance(rng, 0.7):
        _label_band(glass, rng, round(height * 0.42), round(height * d.between(rng, 0.65, 0.85)))
    glass *= d.tube_light(shape, rng, depth=0.4)[..., None]
    top = round(height * lid)
    glass[:top] = d.any_colour(rng)
    glass[:top] *= d.tube_light((top, width), rng, depth=0.45)[..., None]
    cv2.line(glass, (0, top), (width, top), (60, 60, 60), 2, cv2.LINE_AA)
    return d.to_bgra(glass, mask)


def cup(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    foot = d.between(rng, 0.6, 0.8)
    mask = _profile_mask(shape, [0, 0.06, 0.08, 1], [1, 1, 0.94, foot])
    paper = d.plain(shape, d.pick_colour(rng, [(225, 228, 230), (110, 140, 170), (190, 200, 205)], 8))
    if d.chance(rng, 0.8):
        top = round(height * d.between(rng, 0.15, 0.45))
        _label_band(paper, rng, top, round(height * d.between(rng, 0.65, 0.95)))
    paper *= d.tube_light(shape, rng, depth=0.35)[..., None]
    rim = max(3, round(height * 0.07))
    paper[:rim] = d.pick_colour(rng, [(235, 235, 235), (40, 40, 45)], 6)
    cv2.line(paper, (0, rim), (width, rim), (120, 120, 120), 1, cv2.LINE_AA)
    return d.to_bgra(paper, mask)


def carton(rng: d.Rng, shape: Shape) -> Sprite:
    height, width = shape
    gable = d.between(rng, 0.14, 0.24)
    mask = _profile_mask(shape, [0, 0.05, gable, 1], [0.8, 0.8, 1, 1])
    board = d.plain(shape, d.any_colour(rng) if d.chance(rng, 0.6) else (228, 230, 232))
    _label_band(board, rng, round(height * (gable + 0.1)), round(height * d.between(rng, 0.6, 0.95)))
    roof = round(height * gable)
    board[:roof] *= np.linspace(0.6, 0.95, roof, dtype=np.float32)[:, None, None]
    cv2.line(board, (0, roof), (width, roof), (90, 90, 90), 1, cv2.LINE_AA)
    cv2.rectangle(board, (0, 0), (width, round(height * 0.05)), (200, 205, 205), -1)
    cv2.circle(board, (width // 2, roof * 2 // 3), max(4, width // 9), d.any_colour(rng), -1, cv2.LINE_AA)
    board[:, round(width * d.between(rng, 0.6, 0.85)) :] *= 0.8
    return d.to_bgra(board, mask)


# kind: (drawing, shortest and longest side along the thing in mm, width as a part of length)
RECYCLABLE: dict[str, tuple[Callable[[d.Rng, Shape], Sprite], tuple[float, float], tuple[float, float]]] = {
    "bottle": (bottle, (115, 150), (0.3, 0.44)),
    "can": (can, (85, 125), (0.48, 0.62)),
    "box": (box, (65, 145), (0.5, 0.98)),
    "newspaper": (newspaper, (95, 145), (0.62, 0.9)),
    "jar": (jar, (75, 120), (0.55, 0.8)),
    "cup": (cup, (70, 110), (0.65, 0.85)),
    "carton": (carton, (90, 150), (0.42, 0.6)),
}
