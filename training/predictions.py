"""predictions.csv of a run: what was said of every picture. For spreadsheets, and for comparing two models.

Knows names and probabilities; nothing of models.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from station.errors import ConfigError
from training.dataset import PictureSet
from training.metrics import Floats


@dataclass(frozen=True)
class Predictions:
    """One row per picture; `names` are CLASS/…/FILE, alike on every machine."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    called: tuple[str, ...]

    @property
    def right(self) -> dict[str, bool]:
        return {name: label == called for name, label, called in zip(self.names, self.labels, self.called, strict=True)}


def write_predictions(path: Path, pictures: PictureSet, probabilities: Floats) -> None:
    """`probabilities` (N, classes), in step with the pictures."""
    called = probabilities.argmax(axis=1)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "label", "called", *(f"p_{name}" for name in pictures.classes)))
        for at, picture in enumerate(pictures.pictures):
            shares = (f"{value:.6f}" for value in probabilities[at])
            rows.writerow((picture.name, picture.label, pictures.classes[called[at]], *shares))


def read_predictions(path: Path) -> Predictions:
    if not path.is_file():
        raise ConfigError(f"{path}: not there. Give the folder of a finished run.")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "label", "called"} <= set(rows[0]):
        raise ConfigError(f"{path}: no table with the columns file, label, called.")
    return Predictions(
        names=tuple(row["file"] for row in rows),
        labels=tuple(row["label"] for row in rows),
        called=tuple(row["called"] for row in rows),
    )


def rights_in_step(one: Predictions, other: Predictions) -> tuple["np.ndarray[tuple[int], np.dtype[np.bool_]]", ...]:
    """(right of one, right of other) for the pictures that both judged."""
    mine, theirs = one.right, other.right
    both: Sequence[str] = [name for name in one.names if name in theirs]
    return np.array([mine[name] for name in both], bool), np.array([theirs[name] for name in both], bool)
