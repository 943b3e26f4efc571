"""What the model would achieve without a line around it: the same things, classified directly, at the same thresholds.

The classification is the caller's; this module only makes the pictures and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from station.config import SortConfig
from station.simulation.items import Thing
from station.simulation.truth import sorting_rates

BgrImage: TypeAlias = NDArray[np.uint8]
# Pictures in, (label, confidence) out, in the same order.
ClassifyPictures: TypeAlias = Callable[[Sequence[BgrImage]], Sequence[tuple[str, float]]]

BELT_GREY = 80
RIM = 0.04  # of belt around a drawn thing, as around a look
CHUNK = 64


def own_picture(thing: Thing, px_per_mm: float) -> BgrImage:
    """A card's own file; a drawn thing on plain belt, its longer side across, as a look would show it."""
    if thing.picture is not None:
        return np.asarray(cv2.imread(str(thing.picture), cv2.IMREAD_COLOR), dtype=np.uint8)
    sprite = thing.sprite(px_per_mm)
    rim = max(1, round(max(sprite.shape[:2]) * RIM))
    wide = cv2.copyMakeBorder(sprite, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    alpha = wide[..., 3:].astype(np.float32) / 255
    picture = wide[..., :3] * alpha + BELT_GREY * (1 - alpha)
    upright = np.asarray(picture, dtype=np.uint8)
    return np.ascontiguousarray(np.rot90(upright)) if upright.shape[0] > upright.shape[1] else upright


def model_alone(
    things: Sequence[Thing],
    classify: ClassifyPictures,
    sort: SortConfig,
    target_labels: Sequence[str],
    product_bin: str,
    px_per_mm: float = 1280 / 600,
) -> dict[str, float | None]:
    """Purity and recovery if every thing fed landed where its own picture says. Equal things are classified once."""
    answers: dict[Thing, tuple[str, float]] = {}
    for chunk in _chunks(list(dict.fromkeys(things))):
        pictures = [own_picture(thing, px_per_mm) for thing in chunk]
        answers.update(zip(chunk, classify(pictures), strict=True))
    landed = [(thing.label, _bin_of(*answers[thing], sort)) for thing in things]
    rates = sorting_rates(landed, target_labels, product_bin)
    return {"purity": rates["purity"]["value"], "recovery": rates["recovery"]["value"]}


def _bin_of(label: str, confidence: float, sort: SortConfig) -> str:
    rule = sort.labels.get(label)
    return rule.bin if rule is not None and confidence >= rule.threshold else sort.fallback_bin


def _chunks(things: list[Thing]) -> Iterator[list[Thing]]:
    for start in range(0, len(things), CHUNK):
        yield things[start : start + CHUNK]
