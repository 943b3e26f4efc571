"""Pictures whose label looks wrong, judged by models that never saw them or their neighbours. Knows features and folds.

Confident learning (Northcutt 2021): a picture is suspect where the out-of-fold probability of another class reaches what
that class's own pictures reach on average. Nothing is changed; a person decides, on the sheet of `data_page`.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training import metrics
from training.backbone import read_backbone
from training.cache import Cache
from training.dataset import PictureSet
from training.frozen import Features, Views, out_of_fold
from training.metrics import Floats, Ints

SEEN_PX = 160  # the side at which the backbone looks
L2 = 0.03


@dataclass(frozen=True, slots=True)
class Suspect:
    row: int  # in the cache
    label: str
    looks_like: str
    p_label: float  # out-of-fold probability of the label it has
    p_other: float


def find_suspects(cache: Cache, backbone: str, arch: str, folder: Path) -> list[Suspect]:
    """The surest first. `backbone`: weights that see; best ones that were not trained on these very pictures."""
    classes = cache.pictures.classes
    model, key = read_backbone(backbone, arch, len(classes))
    features = Features(model, key, folder, torch.device("cpu"))
    views = np.stack([features.of(cache, SEEN_PX, mirrored=False)])
    return suspects(unseen(views, cache.labels, len(classes)), cache.labels, classes)


def unseen(views: Views, labels: Ints, n_classes: int) -> Floats:
    """(N, classes) probabilities, each from a head that saw neither the picture nor its neighbours."""
    return metrics.softmax(out_of_fold(views, labels, torch.ones(n_classes), (L2,))[0])


def suspects(probabilities: Floats, labels: Ints, classes: Sequence[str]) -> list[Suspect]:
    own = probabilities[np.arange(len(labels)), labels]
    usual = np.array([own[labels == at].mean() if (labels == at).any() else 1.0 for at in range(len(classes))])
    reached = np.where(probabilities >= usual, probabilities, 0.0)
    reached[np.arange(len(labels)), labels] = 0.0
    other = reached.argmax(axis=1)
    found = np.flatnonzero((reached.max(axis=1) > 0) & (probabilities.argmax(axis=1) != labels))
    found = found[np.argsort(own[found], kind="stable")]
    return [
        Suspect(
            row=int(row),
            label=classes[labels[row]],
            looks_like=classes[other[row]],
            p_label=float(own[row]),
            p_other=float(probabilities[row, other[row]]),
        )
        for row in found
    ]


def write_suspects(path: Path, found: Sequence[Suspect], pictures: PictureSet) -> None:
    """A table to review in a spreadsheet; the column `keep` is for the person who looks."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "label", "looks_like", "p_label", "p_other", "keep"))
        for one in found:
            place = pictures.pictures[one.row].path
            rows.writerow((place, one.label, one.looks_like, f"{one.p_label:.4f}", f"{one.p_other:.4f}", ""))
