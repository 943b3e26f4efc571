"""Pictures decoded once into one memory-mapped array of squares. Knows files and pixels; nothing of models.

The name of a cache is the fingerprint of what is in it, so it can be shared by processes and never goes stale.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from station.recognition.preprocess import Framing, framed
from training.dataset import PictureSet
from training.progress import ProgressLine

DEFAULT_CACHE = Path(".cache/pictures")


class Squares:
    """Some rows of a memory-mapped array, (N, S, S, 3) BGR: a part of a cache costs neither disk nor memory."""

    def __init__(self, stored: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        self.stored, self.at = stored, at

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, rows: int | slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.asarray(self.stored[self.at[rows]], np.uint8)

    @property
    def side_px(self) -> int:
        return int(self.stored.shape[1])


@dataclass(frozen=True)
class Cache:
    """Readable pictures only; `rows` says where each stood in the set it was made from."""

    images: Squares
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    pictures: PictureSet  # the readable ones, in step with images
    unreadable: tuple[str, ...]
    name: str  # of the file behind the images: what is in it and how large
    framing: Framing = "squash"

    def take(self, rows: NDArray[np.int64]) -> "Cache":
        """A part, on the same file."""
        squares = Squares(self.images.stored, self.images.at[rows])
        pictures = self.pictures.take(rows)
        return replace(self, images=squares, labels=self.labels[rows], rows=self.rows[rows], pictures=pictures)


def open_cache(pictures: PictureSet, side_px: int, folder: Path = DEFAULT_CACHE, framing: Framing = "squash") -> Cache:
    """Decode what is not there yet; unreadable files are listed, never fatal."""
    stem = folder / f"{pictures.fingerprint()[:24]}-{side_px}{'' if framing == 'squash' else f'-{framing}'}"
    facts = stem.with_suffix(".json")
    if not facts.exists():
        _build(pictures, side_px, framing, stem)
    known = json.loads(facts.read_text())
    bad = set(known["unreadable_rows"])
    rows = np.array([row for row in range(len(pictures.pictures)) if row not in bad], np.int64)
    return Cache(
        images=Squares(np.load(stem.with_suffix(".npy"), mmap_mode="r"), np.arange(len(rows))),
        labels=pictures.labels[rows],
        rows=rows,
        pictures=pictures.take(rows),
        unreadable=tuple(str(pictures.pictures[row].path) for row in sorted(bad)),
        name=stem.name,
        framing=framing,
    )


def decode(path: Path) -> NDArray[np.uint8] | None:
    """BGR by content, whatever the name says; None for what is no picture."""
    data = np.fromfile(path, np.uint8)
    if not data.size:
        return None
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        # Of a damaged header (a BMP's, or a size beyond OpenCV's limit) it raises; of most damage it returns None.
        return None
    return None if bgr is None else np.asarray(bgr, np.uint8)


def _build(pictures: PictureSet, side_px: int, framing: Framing, stem: Path) -> None:
    def squared(row: int) -> NDArray[np.uint8] | None:
        bgr = decode(pictures.pictures[row].path)
        return None if bgr is None else framed(bgr, framing, side_px)

    stem.parent.mkdir(parents=True, exist_ok=True)
    count, bad, filled = len(pictures.pictures), [], 0
    partial = stem.with_name(f".{stem.name}.{os.getpid()}.npy")
    array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(count, side_px, side_px, 3))
    line = ProgressLine(f"decoding {count} pictures", count)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, image in enumerate(pool.map(squared, range(count))):
            if image is None:
                bad.append(row)
            else:
                array[filled] = image
                filled += 1
            line.tick(1)
    line.end()
    array.flush()
    partial.replace(stem.with_suffix(".npy"))
    # The facts come last: a cache without them is one that was never finished.
    facts = stem.with_name(f".{stem.name}.{os.getpid()}.json")
    facts.write_text(json.dumps({"unreadable_rows": bad, "side_px": side_px}))
    facts.replace(stem.with_suffix(".json"))
