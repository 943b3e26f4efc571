"""Knows what an empty belt, its light and its sensor look like. Knows no items and no motion.

The belt is an endless band: everything here is drawn once and scrolled past the camera.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from station.simulation.drawing import Rng, soft_noise

Picture = NDArray[np.uint8]  # (H, W, 3), BGR


def belt_band(rng: Rng, length_px: int, width_px: int) -> Picture:
    """One turn of the belt: rubber grain, weave, wear, stains, scratches and one slanting seam."""
    shape = (length_px, width_px)
    grey = np.full(shape, rng.uniform(64, 92), np.float32)
    for cell_px, amplitude in ((260, 9.0), (60, 5.0), (9, 4.0), (2.5, 4.0)):
        grey += amplitude * _endless_noise(rng, shape, cell_px)
    weave_px = int(rng.integers(9, 16))
    grey[::weave_px] -= 6
    grey[:, :: weave_px * 2] -= 3
    worn = np.cos(np.linspace(-2.2, 2.2, width_px, dtype=np.float32)) * 5
    grey += worn[None, :]
    _stain(grey, rng, count=length_px // 170)
    _scratch(grey, rng, count=length_px // 220)
    _seam(grey, rng)
    tint = rng.uniform([0.96, 0.98, 0.9], [1.1, 1.06, 1.0]).astype(np.float32)
    return np.asarray(np.clip(grey[..., None] * tint, 0, 255), dtype=np.uint8)


def _endless_noise(rng: Rng, shape: tuple[int, int], cell_px: float) -> NDArray[np.float32]:
    """Noise whose last rows fade into its first, so that the band closes without a step."""
    noise = soft_noise(rng, shape, cell_px)
    fade_rows = min(shape[0] // 4, max(8, round(cell_px * 2)))
    fade = np.linspace(0, 1, fade_rows, dtype=np.float32)[:, None]
    noise[-fade_rows:] = noise[-fade_rows:] * (1 - fade) + noise[:fade_rows][::-1] * fade
    return noise


def _stain(grey: NDArray[np.float32], rng: Rng, count: int) -> None:
    """Soft dark or pale patches of spilt things, soaked in: no edge, no height."""
    length, width = grey.shape
    for _ in range(count):
        radius = int(rng.integers(10, 75))
        y, x = int(rng.integers(radius, length - radius)), int(rng.integers(0, width))
        left, right = max(0, x - radius), min(width, x + radius)
        patch = grey[y - radius : y + radius, left:right]
        rows, columns = np.mgrid[-radius:radius, left - x : right - x].astype(np.float32) / radius
        squash = rng.uniform(0.8, 2.0)
        blot = np.exp(-3.0 * (rows**2 * squash + columns**2 / squash))
        patch += np.float32(rng.choice([-1, -1, 1]) * rng.uniform(5, 17)) * blot


def _scratch(grey: NDArray[np.float32], rng: Rng, count: int) -> None:
    length, width = grey.shape
    for _ in range(count):
        start = (int(rng.integers(width)), int(rng.integers(length - 400)))
        end = (start[0] + int(rng.integers(-60, 61)), start[1] + int(rng.integers(30, 380)))
        drawn = np.zeros(grey.shape, np.uint8)[start[1] : end[1] + 1]
        shifted = ((start[0], 0), (end[0], end[1] - start[1]))
        cv2.line(drawn, *shifted, 255, int(rng.integers(1, 3)), cv2.LINE_AA)
        grey[start[1] : end[1] + 1] += drawn * np.float32(rng.uniform(-11, 13) / 255)


def _seam(grey: NDArray[np.float32], rng: Rng) -> None:
    """Where the band's ends are joined: a slanting line with staples."""
    length, width = grey.shape
    y = int(rng.integers(length // 4, length * 3 // 4))
    slant = int(rng.integers(-90, 91))
    drawn = np.zeros(grey.shape, np.uint8)
    cv2.line(drawn, (0, y), (width, y + slant), 255, 3, cv2.LINE_AA)
    grey -= drawn * np.float32(22 / 255)
    staples = np.zeros(grey.shape, np.uint8)
    for x in range(0, width, 34):
        at = y + slant * x // width
        cv2.line(staples, (x, at - 7), (x, at + 7), 255, 2, cv2.LINE_AA)
    grey += staples * np.float32(26 / 255)


def light_map(rng: Rng, height_px: int, width_px: int) -> Picture:
    """How bright each pixel is lit (200 = full): vignette, one lamp off centre, a soft rail shadow."""
    y, x = np.mgrid[0:height_px, 0:width_px].astype(np.float32)
    x, y = x / width_px, y / height_px
    lamp_x, lamp_y = rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65)
    light = 1.04 - 0.22 * ((x - lamp_x) ** 2 + (y - lamp_y) ** 2)
    edge = rng.uniform(0.0, 0.03)
    light -= 0.12 * np.exp(-(((x - edge) / 0.03) ** 2))
    light -= 0.05 * np.exp(-(((y - rng.uniform(0.1, 0.9)) / 0.06) ** 2))
    return np.repeat(np.clip(light * 200, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def noise_ring(rng: Rng, rows_px: int, width_px: int, sigma: float) -> Picture:
    """Sensor noise above a black level of three sigma; a window at a random row is one frame's noise."""
    noise = rng.standard_normal((rows_px, width_px, 3), dtype=np.float32)
    return np.asarray(np.clip(noise * sigma + 3 * sigma, 0, 255), dtype=np.uint8)


def light_gain(t_s: float) -> float:
    """Lamp drift: two slow waves, at most six per cent from nominal."""
    return float(1.0 + 0.04 * np.sin(2 * np.pi * t_s / 17.0) + 0.02 * np.sin(2 * np.pi * t_s / 5.3 + 1.0))
