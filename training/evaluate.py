"""How good a model is on a folder of pictures, with the doubt stated. Knows metrics and artifacts, not training."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from station.intervals import Interval, wilson
from training import metrics
from training.cache import Cache
from training.dataset import blocks_of

SCHEMA = "station.evaluate/1"


def report_of(
    logits: np.ndarray, cache: Cache, classes: tuple[str, ...], temperature: float, excluded: int = 0
) -> dict[str, Any]:
    """Everything there is to say about these logits of these pictures."""
    labels, predicted = cache.labels, logits.argmax(axis=1)
    right, probabilities = predicted == labels, metrics.softmax(logits, temperature)
    table = metrics.confusion(labels, predicted, len(classes))
    blocks = blocks_of(labels)
    n, unreadable = len(labels), len(cache.unreadable)
    low, high = metrics.block_bootstrap(right, blocks)
    return {
        "schema": SCHEMA,
        "n": n,
        "unreadable": unreadable,
        "unreadable_files": [Path(name).name for name in cache.unreadable],
        "excluded": excluded,
        "accuracy": bounds(wilson(int(right.sum()), n)),
        "accuracy_by_block_bootstrap": {"low": low, "high": high},
        "accuracy_unreadable_wrong": bounds(wilson(int(right.sum()), n + unreadable)),
        "balanced_accuracy": float(np.mean([right[labels == at].mean() for at in np.unique(labels)])),
        "confusion": {"labels": list(classes), "rows_are": "truth", "counts": table.tolist()},
        "ece": metrics.expected_calibration_error(probabilities, labels),
        "temperature": temperature,
        "log_loss": metrics.log_loss(logits, labels, temperature),
        "auc": {name: metrics.area_under_curve(probabilities[:, at], labels == at) for at, name in enumerate(classes)},
        "per_class": {name: class_scores(table, at) for at, name in enumerate(classes)},
        "per_block": block_scores(right, labels, blocks, classes),
    }


def class_scores(table: np.ndarray, at: int) -> dict[str, Any]:
    hits, called, there = int(table[at, at]), int(table[:, at].sum()), int(table[at].sum())
    return {
        "precision": hits / called if called else None,
        "recall": hits / there if there else None,
        "n": there,
        "precision_interval": bounds(wilson(hits, called)),
        "recall_interval": bounds(wilson(hits, there)),
    }


def block_scores(
    right: np.ndarray, labels: np.ndarray, blocks: np.ndarray, classes: tuple[str, ...]
) -> list[dict[str, Any]]:
    rows = []
    for block in np.unique(blocks):
        at = blocks == block
        rows.append({"label": classes[int(labels[at][0])], "n": int(at.sum()), "accuracy": float(right[at].mean())})
    return rows


def bounds(interval: Interval) -> dict[str, Any]:
    """nan is no JSON: what was not counted is null."""
    return {key: None if value != value else value for key, value in asdict(interval).items()}
