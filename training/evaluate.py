"""How good a model is on a folder of pictures, with the doubt stated. Knows metrics and artifacts, not training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from station.errors import ConfigError
from station.intervals import wilson
from station.recognition.artifact import ArtifactInfo, LoadedModel, load_artifact
from training import metrics, thresholds
from training.cache import DEFAULT_CACHE, Cache, open_cache
from training.dataset import PictureSet, Tree, blocks_of, read_exclusions, read_folder, subfolder, with_test
from training.device import pick_device
from training.duplicates import same_pictures, thumbnails
from training.thresholds import bounds
from training.train import predict

SCHEMA = "station.evaluate/1"
WORST = 50
GRID = 24
# Lists and drawings' points: they belong to metrics.json, not into every copy of the weights.
LONG = ("worst", "grid", "unreadable_files", "purity_recovery", "reject_curve", "reliability", "holdout")


@dataclass(frozen=True)
class Held:
    """What held-out pictures promised: purity and recovery per label and threshold, accuracy per share decided."""

    purity_recovery: dict[str, list[dict[str, float]]]
    reject_curve: list[dict[str, float]]


NOTHING_HELD = Held({}, [])


def held_out(logits: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], temperature: float) -> Held:
    probabilities = metrics.softmax(logits, temperature)
    curve = metrics.purity_recovery(probabilities, labels, classes)
    return Held(curve, thresholds.reject_curve(probabilities, labels))


def promised(loaded: LoadedModel) -> Held:
    """What the artifact says its held-out pictures promised."""
    return Held(loaded.info.curve, loaded.info.metrics.get("holdout", {}).get("reject_curve", []))


@dataclass(frozen=True)
class EvaluateJob:
    model: str  # a path, or `default`
    data: Path  # class folders, or a tree whose TEST/ is used (or what training set aside, if it learnt from this tree)
    exclude: Path | None = None  # names to leave out, one a line
    duplicates: bool = False  # also judge without the pictures that stand in TRAIN/
    against: str | None = None  # another model, on the same pictures
    device: str = "cpu"
    cache: Path = DEFAULT_CACHE


def evaluate(job: EvaluateJob) -> dict[str, Any]:
    """The report of one model on one folder."""
    loaded, device = load_artifact(job.model), pick_device(job.device)
    info = loaded.info
    train = train_of(job.data) if job.duplicates else None
    tested, aside = to_judge(job, info)
    kept = without(tested, job.exclude)
    cache = open_cache(kept, info.input_px, job.cache, info.framing)
    if not len(cache.labels):
        raise ConfigError(f"{job.data}: no readable picture.")
    logits = predict(loaded.model.to(device), cache, info.input_px, device, half=False)
    report = report_of(logits, cache, info.classes, info.temperature, promised(loaded))
    report["set_aside_by_training"] = aside
    report["excluded"] = len(tested.pictures) - len(kept.pictures)
    report["model"] = {
        "path": str(loaded.path),
        "sha256": loaded.file_sha256,
        "arch": info.arch,
        "input_px": info.input_px,
    }
    report["worst"] = worst_errors(logits, cache, info.classes, info.temperature)
    if train is not None:
        known = open_cache(read_folder(train), cache.images.side_px, job.cache, info.framing)
        report["without_duplicates"] = deduplicated(logits, cache, [known])
    if job.against is not None:
        report["against"] = compared(job, device, kept, logits.argmax(axis=1) == cache.labels)
    return report


def to_judge(job: EvaluateJob, info: ArtifactInfo) -> tuple[PictureSet, bool]:
    """(pictures, whether they are a part that training set aside): TEST/, or all of a folder that has none.

    Of a tree without TEST/ training keeps blocks back to be judged by. Shown the same tree again, a model is judged by
    those alone: the rest it learnt from. Errors: ConfigError for pictures whose class it does not know.
    """
    test = subfolder(job.data, "test")
    if test is not None:
        return read_folder(test, info.classes), False
    everything = read_folder(subfolder(job.data, "train") or job.data, info.classes)
    kept_back = set_aside(everything, info, job.cache)
    return (everything, False) if kept_back is None else (kept_back, True)


def set_aside(everything: PictureSet, info: ArtifactInfo, folder: Path) -> PictureSet | None:
    """What this model's training would have kept back of these pictures, if it is what the model was judged by."""
    scores = info.metrics.get("test", {})
    if "seed" not in info.training or "test_fingerprint" not in info.data or not scores:
        return None
    aside = with_test(Tree(everything, None), info.training["seed"]).test
    # The number first: a stranger's folder is not decoded for this.
    if aside is None or len(aside.pictures) != scores["n"] + scores["unreadable"]:
        return None
    readable = open_cache(aside, info.input_px, folder, info.framing).pictures
    return aside if readable.fingerprint() == info.data["test_fingerprint"] else None


def without(pictures: PictureSet, exclude: Path | None) -> PictureSet:
    if exclude is None:
        return pictures
    names = read_exclusions(exclude)
    return pictures.take([row for row, picture in enumerate(pictures.pictures) if picture.path.name not in names])


def train_of(data: Path) -> Path:
    train = subfolder(data, "train")
    if train is None or subfolder(data, "test") is None:
        raise ConfigError(f"{data}: --duplicates needs TRAIN/ beside TEST/.")
    return train


def deduplicated(logits: np.ndarray, cache: Cache, known: Sequence[Cache]) -> dict[str, Any]:
    """The accuracy on pictures of which none of the `known` is a copy."""
    mine = thumbnails(cache)
    copies = {pair.row for other in known for pair in same_pictures(mine, thumbnails(other))}
    fresh = np.array([row not in copies for row in range(len(cache.labels))])
    right = logits.argmax(axis=1) == cache.labels
    return {"copies": len(copies), "accuracy": bounds(wilson(int(right[fresh].sum()), int(fresh.sum())))}


def compared(job: EvaluateJob, device: torch.device, kept: PictureSet, right: np.ndarray) -> dict[str, Any]:
    """McNemar's test against another model on the same pictures."""
    other = load_artifact(job.against or "")
    if other.info.classes != kept.classes:
        raise ConfigError(f"--against {job.against}: knows {list(other.info.classes)}, not {list(kept.classes)}.")
    refuse_unfair(job, other.info, kept)
    cache = open_cache(kept, other.info.input_px, job.cache, other.info.framing)
    theirs = predict(other.model.to(device), cache, other.info.input_px, device, half=False)
    return {"path": str(other.path), **metrics.mcnemar(right, theirs.argmax(axis=1) == cache.labels)}


def refuse_unfair(job: EvaluateJob, other: ArtifactInfo, kept: PictureSet) -> None:
    """Two models that kept different blocks of one tree back have each learnt what the other is judged by."""
    theirs, aside = to_judge(replace(job, exclude=None), other)
    if aside and not {picture.name for picture in kept.pictures} <= {picture.name for picture in theirs.pictures}:
        raise ConfigError(
            f"--against {job.against}: it learnt from pictures of {job.data} that the first model is judged by. Part them "
            "with `station data split` and train both on TRAIN/, or judge both on pictures that neither has seen."
        )


def worst_errors(
    logits: np.ndarray, cache: Cache, classes: tuple[str, ...], temperature: float
) -> list[dict[str, Any]]:
    """The surest mistakes first: wrong labels and blind spots stand here."""
    probabilities = metrics.softmax(logits, temperature)
    predicted = logits.argmax(axis=1)
    wrong = np.flatnonzero(predicted != cache.labels)
    wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1))][:WORST]
    return [
        {
            "file": str(cache.pictures.pictures[row].path),
            "label": classes[cache.labels[row]],
            "called": classes[predicted[row]],
            "confidence": float(probabilities[row].max()),
        }
        for row in wrong
    ]


def grid_of(logits: np.ndarray, cache: Cache, classes: tuple[str, ...], temperature: float) -> list[dict[str, Any]]:
    """Pictures at equal steps through the set: a look at what it is like, right and wrong as they come."""
    probabilities, predicted = metrics.softmax(logits, temperature), logits.argmax(axis=1)
    step = max(1, len(cache.labels) // GRID)
    return [
        {
            "row": row,
            "label": classes[cache.labels[row]],
            "called": classes[predicted[row]],
            "confidence": float(probabilities[row].max()),
        }
        for row in range(step // 2, len(cache.labels), step)
    ]


def brief(report: dict[str, Any]) -> dict[str, Any]:
    """What an artifact carries of its own report."""
    return {key: value for key, value in report.items() if key not in LONG}


def failed_recalls(report: dict[str, Any], wanted: dict[str, float]) -> list[str]:
    """One sentence per label whose recall is below what was asked for."""
    failures = []
    for label, floor in wanted.items():
        if label not in report["per_class"]:
            raise ConfigError(f"--min-recall {label}: no such label; there are {sorted(report['per_class'])}.")
        recall = report["per_class"][label]["recall"]
        if recall is None or recall < floor:
            failures.append(f"recall of {label} is {'unknown' if recall is None else f'{recall:.4f}'}, wanted {floor}")
    return failures


def report_of(
    logits: np.ndarray, cache: Cache, classes: tuple[str, ...], temperature: float, held: Held = NOTHING_HELD
) -> dict[str, Any]:
    """Everything there is to say about these logits of these pictures; `held` is where thresholds come from."""
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
        "accuracy": bounds(wilson(int(right.sum()), n)),
        "accuracy_by_block_bootstrap": {"low": low, "high": high},
        "accuracy_unreadable_wrong": bounds(wilson(int(right.sum()), n + unreadable)),
        "balanced_accuracy": float(np.mean([right[labels == at].mean() for at in np.unique(labels)])),
        "confusion": {"labels": list(classes), "rows_are": "truth", "counts": table.tolist()},
        "ece": metrics.expected_calibration_error(probabilities, labels),
        "temperature": temperature,
        "log_loss": metrics.log_loss(logits, labels, temperature),
        "auc": {
            name: known(metrics.area_under_curve(probabilities[:, at], labels == at)) for at, name in enumerate(classes)
        },
        "per_class": {name: class_scores(table, at) for at, name in enumerate(classes)},
        "per_block": block_scores(right, labels, blocks, classes),
        "reliability": metrics.reliability(probabilities, labels),
        "purity_recovery": metrics.purity_recovery(probabilities, labels, classes),
        "working_points": thresholds.working_points(held.purity_recovery, probabilities, labels, classes),
        "reject_curve": thresholds.reject_curve(probabilities, labels),
        "rejecting": thresholds.rejecting(held.reject_curve, probabilities, labels),
        "holdout": {"purity_recovery": held.purity_recovery, "reject_curve": held.reject_curve},
    }


def known(value: float) -> float | None:
    """JSON has no nan: None where a class is missing."""
    return None if np.isnan(value) else value


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
