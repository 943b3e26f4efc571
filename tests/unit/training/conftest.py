"""A tiny folder of drawn pictures that a network can tell apart, and a recipe small enough for a test."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

RECIPE = """
name = "tiny"
kind = "{kind}"
input_px = 32
cache_px = 40
batch = 8
stages = [{{ side_px = 24, epochs = 1 }}, {{ side_px = 32, epochs = 2 }}]
peak_lr = 0.05
warmup_share = 0.2
momentum = 0.9
weight_decay = 5e-4
label_smoothing = 0.05
ema_decay = 0.9
balance_classes = true
holdout_share = 0.1
views_px = [32]
backbone_lr = 0.1
"""


def drawn(label: str, seed: int) -> NDArray[np.uint8]:
    """Organic: a green blob. Recyclable: a grey-blue bar."""
    rng = np.random.default_rng([seed, len(label)])
    height, width = (int(side) for side in rng.integers(36, 60, 2))
    picture = np.full((height, width, 3), rng.integers(180, 250), np.uint8)
    middle = (width // 2 + int(rng.integers(-4, 5)), height // 2 + int(rng.integers(-4, 5)))
    if label == "O":
        cv2.circle(picture, middle, int(rng.integers(8, 14)), (20, int(rng.integers(110, 200)), 30), -1)
    else:
        corner = (middle[0] + 14, middle[1] + 6)
        cv2.rectangle(picture, (middle[0] - 14, middle[1] - 6), corner, (int(rng.integers(150, 230)), 90, 80), -1)
    noise = rng.integers(-12, 13, picture.shape)
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


def write_pictures(folder: Path, label: str, numbers: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{label}_{number}.png"), drawn(label, number))


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("waste")
    for label, count in (("O", 60), ("R", 50)):
        write_pictures(root / "TRAIN" / label, label, range(1, count + 1))
        write_pictures(root / "TEST" / label, label, range(1001, 1021))
    return root


@pytest.fixture
def recipe_of(tmp_path: Path) -> "RecipeWriter":
    return RecipeWriter(tmp_path)


class RecipeWriter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, kind: str = "scratch") -> str:
        path = self._folder / f"{kind}.toml"
        path.write_text(RECIPE.format(kind=kind))
        return str(path)
