"""report.html of a run: curves, working points, blocks, predictions, and where the network looked in its worst errors.

Knows results, not how they came about.
"""

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from station.recognition.preprocess import framed, to_batch
from training import figures
from training.cache import Cache, decode
from training.card import held_of
from training.grad_cam import grad_cam
from training.page import page, percent, picture, spread, table
from training.record import wall

SHOWN = 24


def write_report(folder: Path, model: nn.Module, test: Cache, result: dict[str, Any]) -> Path:
    """`result` is what metrics.json holds; epochs are read from metrics.jsonl beside it."""
    path = folder / "report.html"
    name = str(result["training"]["recipe"]["name"])
    path.write_text(page(f"Training report: {name}", parts(folder, model, test, result)), encoding="utf-8")
    return path


def parts(folder: Path, model: nn.Module, test: Cache, result: dict[str, Any]) -> Iterator[str]:
    scores, training = result["test"], result["training"]
    epochs = read_epochs(folder / "metrics.jsonl")
    yield f"<h1>{html.escape(str(training['recipe']['name']))}, {html.escape(str(training['recipe']['arch']))}</h1>"
    yield summary(scores, training)
    yield f'<div class="plots">{"".join(curves(str(training["recipe"]["name"]), epochs))}</div>'
    yield "<h2>Confusion</h2>" + confusion_table(scores["confusion"]) + class_table(scores)
    yield "<h2>Working points</h2>" + working_points(scores)
    yield "<h2>Blocks of neighbouring files</h2>" + figures.block_accuracy(scores["per_block"])
    yield "<h2>Predictions</h2><p class=note>TEST pictures at equal steps. Framed: wrong.</p>"
    yield prediction_grid(test, scores.get("grid", ()))
    yield "<h2>Worst errors</h2><p class=note>The surest mistakes first. Red: what spoke for the wrong label.</p>"
    yield from (error_figure(model, row, scores["confusion"]["labels"], test) for row in scores["worst"][:SHOWN])


def summary(scores: dict[str, Any], training: dict[str, Any]) -> str:
    chosen = " The epoch was chosen on TEST: this number flatters." if training["selected_on_test"] else ""
    rows = [("all readable", scores["n"], spread(scores["accuracy"]))]
    rows.append(
        (
            "unreadable counted wrong",
            scores["accuracy_unreadable_wrong"]["n"],
            spread(scores["accuracy_unreadable_wrong"]),
        )
    )
    if "without_duplicates" in scores:
        fresh = scores["without_duplicates"]["accuracy"]
        rows.append(("without pictures TRAIN also holds", fresh["n"], spread(fresh)))
    blocks = scores["accuracy_by_block_bootstrap"]
    return (
        f"<p><b>TEST {spread(scores['accuracy'])}</b>, "
        f"bootstrap by blocks [{percent(blocks['low'])}, {percent(blocks['high'])}]; ECE {scores['ece']:.3f}.{chosen}</p>"
        + table(("accuracy on TEST", "pictures", "Wilson 95 %"), rows)
        + f"<p class=note>Seed {training['seed']}, {training['n_train']} pictures learnt from, "
        f"{held_of(training)}, {wall(training)}.</p>"
    )


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """The last run of each epoch: a resumed run may have logged one twice. TEST by epoch joins in the paper's protocol."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    by_epoch: dict[int, dict[str, Any]] = {}
    for row in rows:
        if "epoch" in row:
            by_epoch[row["epoch"]] = by_epoch.get(row["epoch"], {}) | row
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def curves(name: str, epochs: list[dict[str, Any]]) -> list[str]:
    if not epochs:
        return []
    return [figures.accuracy_over_epochs({name: epochs}), figures.loss_over_epochs(epochs)]


def confusion_table(confusion: dict[str, Any]) -> str:
    labels = confusion["labels"]
    rows = ((name, *counts) for name, counts in zip(labels, confusion["counts"], strict=True))
    return table(("is \\ called", *labels), rows)


def class_table(scores: dict[str, Any]) -> str:
    rows = (
        (
            name,
            row["n"],
            spread(row["precision_interval"]),
            spread(row["recall_interval"]),
            percent(scores["auc"].get(name)),
        )
        for name, row in scores["per_class"].items()
    )
    return table(("label", "pictures", "precision", "recall", "AUC"), rows)


def working_points(scores: dict[str, Any]) -> str:
    """Thresholds were chosen on pictures not learnt from. What they promised there and what they gave on TEST."""
    held = scores.get("holdout", {})
    purity = figures.purity_recovery(
        scores["purity_recovery"], held.get("purity_recovery", {}), scores["working_points"]
    )
    plots = [purity, figures.reject(scores["reject_curve"], held.get("reject_curve", ()))]
    plots.append(figures.reliability(scores["reliability"]))
    rows = [
        (
            row["label"],
            percent(row["wanted_purity"]),
            f"{row['threshold']:.3f}",
            percent(row["promised"]["recovery"]),
            spread(row["purity"]),
            spread(row["recovery"]),
        )
        for row in scores["working_points"]
        if row["threshold"] is not None
    ]
    rejecting = [
        (
            percent(row["wanted_accuracy"]),
            f"{row['threshold']:.3f}",
            percent(row["promised"]["coverage"]),
            spread(row["accuracy"]),
            spread(row["coverage"]),
        )
        for row in scores["rejecting"]
        if row["threshold"] is not None
    ]
    head = ("label", "wanted purity", "threshold", "recovery promised", "purity on TEST", "recovery on TEST")
    reject_head = ("wanted accuracy", "confidence", "decided, promised", "accuracy on TEST", "decided on TEST")
    return (
        f'<div class="plots">{"".join(plots)}</div>'
        + (table(head, rows) if rows else "")
        + (table(reject_head, rejecting) if rejecting else "")
        + f"<p class=note>{html.escape(not_reached(scores))}</p>"
    )


def not_reached(scores: dict[str, Any]) -> str:
    """What was asked for and no threshold gives, in words; silence would look like success."""
    if not scores.get("holdout", {}).get("purity_recovery"):
        return "Nothing was held out: no threshold was chosen."
    rows = [
        f"{row['label']} at purity {percent(row['wanted_purity'])}"
        for row in scores["working_points"]
        if row["threshold"] is None
    ]
    rows += [f"accuracy {percent(row['wanted_accuracy'])}" for row in scores["rejecting"] if row["threshold"] is None]
    return f"On the held-out pictures no threshold reached: {', '.join(rows)}." if rows else ""


def prediction_grid(test: Cache, rows: list[dict[str, Any]]) -> str:
    return "".join(
        picture(
            test.images[row["row"]],
            f"{row['label']}, called {row['called']} ({row['confidence']:.0%})",
            wrong=row["label"] != row["called"],
        )
        for row in rows
    )


def error_figure(model: nn.Module, row: dict[str, Any], labels: list[str], test: Cache) -> str:
    bgr = decode(Path(row["file"]))
    if bgr is None:
        return ""
    square = framed(bgr, test.framing, test.images.side_px)
    heat = grad_cam(model, torch.from_numpy(to_batch([square])), labels.index(row["called"]))
    words = f"{Path(row['file']).name}: {row['label']}, called {row['called']} ({row['confidence']:.0%})"
    return picture(overlaid(square, heat), words)


def overlaid(bgr: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    wide = cv2.resize(heat, (bgr.shape[1], bgr.shape[0]))[..., None]
    red = np.array([0, 0, 255], np.float32)
    return np.asarray(bgr * (1 - 0.5 * wide) + red * 0.5 * wide, np.uint8)
