"""Knows the things that lie on the virtual belt: what they are called, how they look, how large they are.

A thing is drawn by its own seed, so the same seed gives the same thing everywhere. It knows no place and no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from station.errors import ConfigError
from station.simulation.organic import ORGANIC
from station.simulation.picture_size import picture_size_px
from station.simulation.recyclable import RECYCLABLE

ORGANIC_LABEL = "organic"
RECYCLABLE_LABEL = "recyclable"
FOLDER_LABELS = {"O": ORGANIC_LABEL, "R": RECYCLABLE_LABEL}
KINDS = {ORGANIC_LABEL: ORGANIC, RECYCLABLE_LABEL: RECYCLABLE}
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
SizeRange: TypeAlias = tuple[float, float]
DRAWN_MM: SizeRange = (50.0, 150.0)
CARD_LONG_SIDE_MM = 120.0
# Drawn larger than the camera sees it and shrunk: the lens, not the brush, decides the sharpness.
OVERSAMPLING = 1.5
OUTLINE_PX_PER_MM = 1280 / 600  # so that the cached sprite of the reference line serves both

Sprite = NDArray[np.uint8]  # (H, W, 4), BGRA; alpha is where the thing is


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing before it has a place: enough to draw it, and its size on the belt."""

    name: str  # kind for a drawn thing, path below the folder for a picture card
    label: str
    seed: int
    length_mm: float
    width_mm: float
    picture: Path | None = None

    def sprite(self, px_per_mm: float) -> Sprite:
        if self.picture is not None:
            return card_sprite(self.picture, self.length_mm, self.width_mm, px_per_mm)
        return drawn_sprite(self, px_per_mm)

    def outline_mm(self) -> tuple[tuple[float, float], ...]:
        """Its outline as it lies unturned: (across its length, along its length), from its middle."""
        if self.picture is not None:
            half_w, half_l = self.width_mm / 2, self.length_mm / 2
            return ((-half_w, -half_l), (half_w, -half_l), (half_w, half_l), (-half_w, half_l))
        return _drawn_outline_mm(self)


@lru_cache(maxsize=4096)
def _drawn_outline_mm(thing: Thing) -> tuple[tuple[float, float], ...]:
    alpha = thing.sprite(OUTLINE_PX_PER_MM)[..., 3]
    contours, _ = cv2.findContours((alpha > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea)
    corners = cv2.approxPolyDP(largest, 1.0, True).reshape(-1, 2)
    middle = (np.array(alpha.shape[::-1]) - 1) / 2
    return tuple((float(x), float(y)) for x, y in np.round((corners - middle) / OUTLINE_PX_PER_MM, 2))


def drawn_thing(label: str, seed: int, sizes_mm: SizeRange = DRAWN_MM) -> Thing:
    """The thing with this seed: kind and size, not yet its picture. Other sizes stretch the natural ones."""
    rng = np.random.default_rng([seed, 1])
    names = sorted(KINDS[label])
    name = names[int(rng.integers(len(names)))]
    _, (shortest_mm, longest_mm), (slim, broad) = KINDS[label][name]
    natural_mm = float(rng.uniform(shortest_mm, longest_mm))
    share = (natural_mm - DRAWN_MM[0]) / (DRAWN_MM[1] - DRAWN_MM[0])
    length_mm = sizes_mm[0] + share * (sizes_mm[1] - sizes_mm[0])
    return Thing(name, label, seed, length_mm, length_mm * float(rng.uniform(slim, broad)))


def drawn_sprite(thing: Thing, px_per_mm: float) -> Sprite:
    return _drawn_sprite(thing, px_per_mm)


# Drawing costs milliseconds and a run shows a thing many times; the cache holds some 100 kB each.
@lru_cache(maxsize=512)
def _drawn_sprite(thing: Thing, px_per_mm: float) -> Sprite:
    draw = KINDS[thing.label][thing.name][0]
    fine = px_per_mm * OVERSAMPLING
    canvas = (max(8, round(thing.length_mm * fine)), max(8, round(thing.width_mm * fine)))
    sprite = draw(np.random.default_rng([thing.seed, 2]), canvas)
    return _resized(sprite, thing.length_mm, thing.width_mm, px_per_mm)


def card_sprite(picture: Path, length_mm: float, width_mm: float, px_per_mm: float) -> Sprite:
    """The picture as a rectangular card whose rows run along its height, whichever side is longer."""
    bgr = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if bgr is None:  # its head could be read, its pixels not: the belt carries it all the same, as a blank card
        bgr = np.full((64, 64, 3), 128, np.uint8)
    card = _resized(np.asarray(bgr, dtype=np.uint8), length_mm, width_mm, px_per_mm)
    return np.asarray(cv2.cvtColor(card, cv2.COLOR_BGR2BGRA), dtype=np.uint8)


def _resized(sprite: Sprite, length_mm: float, width_mm: float, px_per_mm: float) -> Sprite:
    size = (max(4, round(width_mm * px_per_mm)), max(4, round(length_mm * px_per_mm)))
    shrinks = size[0] < sprite.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(sprite, size, interpolation=how), dtype=np.uint8)


def picture_cards(folder: Path, long_side_mm: float = CARD_LONG_SIDE_MM) -> list[Thing]:
    """Each readable picture of an ImageFolder as a card; `O` and `R` are organic and recyclable."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder. Give --items a folder of class folders with pictures.")
    things: list[Thing] = []
    for class_folder in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        label = FOLDER_LABELS.get(class_folder.name, class_folder.name)
        for picture in sorted(class_folder.iterdir()):
            if picture.suffix.lower() not in PICTURE_SUFFIXES:
                continue
            size_mm = _card_size_mm(picture, long_side_mm)
            if size_mm is not None:
                name = f"{class_folder.name}/{picture.name}"
                things.append(Thing(name, label, 0, size_mm[0], size_mm[1], picture))
    if not things:
        raise ConfigError(
            f"{folder}: no pictures in class folders; expected {folder.name}/CLASS/*.jpg (CLASS for example O and R)."
        )
    return things


def _card_size_mm(picture: Path, long_side_mm: float) -> tuple[float, float] | None:
    """Length (along the picture's height) and width of the card; None for what is no picture."""
    size_px = picture_size_px(picture)
    if size_px is None:
        return None
    height, width = size_px
    mm_per_px = long_side_mm / max(height, width)
    return height * mm_per_px, width * mm_per_px
