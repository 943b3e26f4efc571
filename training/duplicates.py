"""Finds the same picture twice, also re-saved or scaled. Knows thumbnails; nothing of labels or models.

A hash of gradients alone collides on white backgrounds, so every pair is compared by its pixels, all against all: for
25,000 pictures that is two matrix products, and cheaper than being clever.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from station.recognition.preprocess import squash
from training.cache import Cache

THUMB_PX = 32
SAME_CORRELATION = 0.98  # of the colour thumbnails
SAME_DIFFERENCE = 8.0  # mean absolute, of 255
CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Pair:
    row: int  # in the first set
    other: int  # in the second set
    correlation: float


def thumbnails(cache: Cache) -> NDArray[np.float32]:
    """(N, 3072), values 0..255."""
    thumbs = np.empty((len(cache.labels), THUMB_PX * THUMB_PX * 3), np.float32)
    for row in range(len(thumbs)):
        thumbs[row] = squash(cache.images[row], THUMB_PX).ravel()
    return thumbs


def same_pictures(one: NDArray[np.float32], two: NDArray[np.float32]) -> list[Pair]:
    """Pairs across two sets; given the same array twice, pairs within it, each once."""
    within = one is two
    unit_two = _unit(two)
    pairs = []
    for begin in range(0, len(one), CHUNK):
        correlation = _unit(one[begin : begin + CHUNK]) @ unit_two.T
        for at, other in np.argwhere(correlation >= SAME_CORRELATION):
            row = begin + int(at)
            if within and other <= row:
                continue
            if np.abs(one[row] - two[other]).mean() < SAME_DIFFERENCE:
                pairs.append(Pair(row, int(other), float(correlation[at, other])))
    return pairs


def _unit(thumbs: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = thumbs - thumbs.mean(axis=1, keepdims=True)
    # A plain one-colour picture correlates with nothing; without the floor it would divide by zero.
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6), np.float32)
