"""Which pictures there are, what they are called, and how they are parted. Reads names and bytes, never pixels.

Files of one search stand next to each other by number, so a fair hold-out takes whole runs of numbers (blocks), not
single files: a random hold-out flatters by points.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from station.errors import ConfigError

SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif"}
KNOWN_LABELS = {"O": "organic", "R": "recyclable"}
N_BLOCKS = 25  # per class
TEST_SHARE = 0.2  # of the blocks of a tree that has no TEST of its own


@dataclass(frozen=True, slots=True)
class Picture:
    path: Path
    label: str
    sha256: str  # of the file's bytes
    name: str  # CLASS/…/FILE below the folder of classes: unlike the file's name alone, no other picture has it


@dataclass(frozen=True)
class PictureSet:
    """Pictures in a fixed order: by class, then by the number in the file's name."""

    pictures: tuple[Picture, ...]
    classes: tuple[str, ...]

    @property
    def labels(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        index = {name: at for at, name in enumerate(self.classes)}
        return np.array([index[picture.label] for picture in self.pictures], np.int64)

    def fingerprint(self) -> str:
        """Changes with any byte, label or order."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for picture in self.pictures:
            digest.update(f"{picture.label} {picture.sha256}\n".encode())
        return digest.hexdigest()

    def take(self, keep: Iterable[int]) -> "PictureSet":
        return PictureSet(tuple(self.pictures[at] for at in keep), self.classes)


@dataclass(frozen=True)
class Tree:
    """A folder of training data: its training part, and its test part where it has one."""

    train: PictureSet
    test: PictureSet | None


def read_tree(root: Path) -> Tree:
    """`root` holds TRAIN/ and TEST/ (any case), or class folders directly."""
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder. Give a folder of class folders, or one with TRAIN/ and TEST/.")
    train_folder, test_folder = subfolder(root, "train"), subfolder(root, "test")
    if train_folder is None:
        return Tree(read_folder(root), None)
    train = read_folder(train_folder)
    return Tree(train, read_folder(test_folder, train.classes) if test_folder else None)


def subfolder(root: Path, name: str) -> Path | None:
    """TRAIN, Train or train."""
    if not root.is_dir():
        return None
    return next((entry for entry in sorted(root.iterdir()) if entry.is_dir() and entry.name.lower() == name), None)


def read_folder(root: Path, classes: tuple[str, ...] | None = None) -> PictureSet:
    """An ImageFolder: one folder per class. With `classes`, their order is kept and others are refused."""
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder.")
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    by_label: dict[str, list[Path]] = {}
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
        if files:
            by_label.setdefault(label_of(folder.name), []).extend(files)
    if not by_label:
        raise ConfigError(f"{root}: no pictures in class folders (expected {root.name}/CLASS/*.jpg).")
    names = classes or tuple(sorted(by_label))
    unknown = sorted(set(by_label) - set(names))
    if unknown:
        raise ConfigError(f"{root}: classes {unknown} are not among {list(names)}.")
    pictures = [
        Picture(path, label, hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(root).as_posix())
        for label in names
        for path in sorted(by_label.get(label, []), key=number_order)
    ]
    return PictureSet(tuple(pictures), names)


def label_of(folder_name: str) -> str:
    return KNOWN_LABELS.get(folder_name, folder_name)


def number_order(path: Path) -> tuple[str, int, str]:
    """Folder, then the last number in the name: O_9 before O_10."""
    numbers = re.findall(r"\d+", path.stem)
    return str(path.parent), int(numbers[-1]) if numbers else -1, path.name


def blocks_of(labels: Sequence[int] | np.ndarray, n_blocks: int = N_BLOCKS) -> np.ndarray:
    """The block of each picture: each class cut into `n_blocks` runs of neighbours; ids differ between classes."""
    labels = np.asarray(labels)
    blocks = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        at = np.flatnonzero(labels == label)
        blocks[at] = int(label) * n_blocks + np.arange(len(at)) * n_blocks // max(len(at), 1)
    return blocks


def fold_of_blocks(labels: np.ndarray, n_folds: int) -> np.ndarray:
    """The fold of each picture: runs of neighbouring blocks, so that few searches are cut in two."""
    return blocks_of(labels) % N_BLOCKS * n_folds // N_BLOCKS


def hold_out_blocks(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(kept, held out): whole blocks, the same number from each class."""
    blocks = blocks_of(labels)
    rng = np.random.default_rng([seed, 5])
    held: list[int] = []
    for label in np.unique(labels):
        own = np.unique(blocks[labels == label])
        count = max(1, round(share * len(own))) if share > 0 and len(own) > 1 else 0
        held.extend(rng.choice(own, count, replace=False).tolist())
    out = np.isin(blocks, held)
    return np.flatnonzero(~out), np.flatnonzero(out)


def with_test(tree: Tree, seed: int) -> Tree:
    """A tree without TEST gives up whole blocks of its pictures for one."""
    if tree.test is not None:
        return tree
    kept, held = hold_out_blocks(tree.train.labels, TEST_SHARE, seed + 1)
    return Tree(tree.train.take(kept), tree.train.take(held))


def hold_out_files(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(kept, held out): single files of each class at random. Kinder than blocks; for collections that others part so."""
    rng = np.random.default_rng([seed, 6])
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    held = np.concatenate([rng.choice(own, round(share * len(own)), replace=False) for own in rows])
    out = np.isin(np.arange(len(labels)), held)
    return np.flatnonzero(~out), np.flatnonzero(out)


def read_exclusions(path: Path) -> frozenset[str]:
    """File names, one a line; `#` begins a comment."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return frozenset(Path(line).name for line in lines if line)
