"""Pictures that say when they were painted: what a stream does to its frames can then be judged from the outside.

A number stands as black and white cells at the top and again at the bottom, each with its complement, over a moving texture.
Knows no streams; `paint` and `number_in` are each other's inverse, also after lossy coding.
"""

import numpy as np
from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 320, 240
BITS = 16
CELL_W_PX, CELL_H_PX = WIDTH_PX // BITS, 12
BAND_PX = 2 * CELL_H_PX  # the bits, and under them their complement
DAMAGED_LEVELS = 30.0  # mean difference of a stripe to what was painted; coding alone stays below 10

_TEXTURE = np.random.default_rng(3).integers(60, 200, (HEIGHT_PX // 8, WIDTH_PX // 8), dtype=np.uint8)
_GROUND = np.kron(_TEXTURE, np.ones((8, 8), np.uint8))


def paint(number: int) -> NDArray[np.uint8]:
    """Grey picture number `number` (0..65535): the belt has moved 4 px since the one before."""
    grey = np.roll(_GROUND, 4 * number, axis=0)
    bits = (number >> np.arange(BITS)) & 1
    cells = np.where(np.stack([bits, 1 - bits]) > 0, 235, 16).astype(np.uint8)
    band = np.kron(cells, np.ones((CELL_H_PX, CELL_W_PX), np.uint8))
    grey[:BAND_PX], grey[-BAND_PX:] = band, band
    return grey


def number_in(bgr: NDArray[np.uint8]) -> int | None:
    """The number of a picture; None when the top cannot be read or the bottom is of another one."""
    top, bottom = _number(bgr[:BAND_PX]), _number(bgr[-BAND_PX:])
    return top if top == bottom else None


def is_damaged(bgr: NDArray[np.uint8]) -> bool:
    """Some stripe is not what was painted under this number."""
    number = number_in(bgr)
    if number is None:
        return True
    difference = np.abs(bgr.mean(axis=2) - paint(number))
    return float(difference.reshape(HEIGHT_PX // 16, -1).mean(axis=1).max()) > DAMAGED_LEVELS


def _number(band: NDArray[np.uint8]) -> int | None:
    cells = band.mean(axis=2).reshape(2, CELL_H_PX, BITS, CELL_W_PX)[:, 3:-3, :, 5:-5].mean(axis=(1, 3)) > 125
    if (cells[0] == cells[1]).any():
        return None
    return int((cells[0] * (1 << np.arange(BITS))).sum())
