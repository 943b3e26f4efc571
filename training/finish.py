"""From a trained network to a folder that stands for itself: calibrated, scored on TEST once, reported.

Knows the order of these steps; how a network is trained stands in session.py and train.py.
"""

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from station.intervals import wilson
from station.recognition.artifact import ArtifactInfo, save_artifact
from station.recognition.preprocess import PREPROCESSING
from training import metrics
from training.cache import Cache
from training.card import card
from training.evaluate import NOTHING_HELD, Held, brief, deduplicated, grid_of, held_out, report_of, worst_errors
from training.frozen import N_FOLDS
from training.predictions import write_predictions
from training.report import write_report
from training.train import Pictures, Run, predict, predict_views


@dataclass(frozen=True)
class Learned:
    """A network, what was found on the way to it, and for a head fitted by folds what each fold's head said of the others."""

    model: nn.Module
    found: dict[str, Any] = field(default_factory=dict)
    out_of_fold: NDArray[np.float32] | None = None  # (N, classes) logits of the pictures learnt from


def finish(
    run: Run, learnt: Learned, pictures: Pictures, test: Cache, facts: dict[str, Any], began: float
) -> dict[str, Any]:
    """Temperature and curve from pictures not learnt from, TEST once, then the artifact. `wall_s` ends with the last score."""
    recipe, classes, model = run.recipe, pictures.classes, learnt.model
    temperature, held, held_logits = 1.0, NOTHING_HELD, None
    if pictures.holdout is not None:
        held_logits = predict(model, pictures.holdout, recipe.input_px, run.device)
        temperature, held = promises(held_logits, pictures.holdout.labels, classes)
    elif learnt.out_of_fold is not None:
        temperature, held = promises(learnt.out_of_fold, pictures.train.labels, classes)
        facts = facts | {"folds": N_FOLDS}
    test_logits = predict(model, test, recipe.input_px, run.device, half=False)
    scores = report_of(test_logits, test, classes, temperature, held)
    scores["worst"] = worst_errors(test_logits, test, classes, temperature)
    scores["grid"] = grid_of(test_logits, test, classes, temperature)
    known = [part for part in (pictures.train, pictures.holdout) if part is not None]
    scores["without_duplicates"] = deduplicated(test_logits, test, known)
    write_predictions(run.folder / "predictions.csv", test.pictures, metrics.softmax(test_logits, temperature))
    views = views_scores(run, model, pictures, test, (test_logits, held_logits))
    facts = facts | {"wall_s": round(time.monotonic() - began, 1)}
    info = ArtifactInfo(
        classes=classes,
        input_px=recipe.input_px,
        arch=recipe.arch,
        temperature=temperature,
        preprocessing=PREPROCESSING[recipe.framing],
        curve=held.purity_recovery,
        data={
            "train_fingerprint": pictures.train.pictures.fingerprint(),
            "test_fingerprint": test.pictures.fingerprint(),
        },
        metrics={"test": brief(scores), "holdout": {"reject_curve": held.reject_curve}},
        training=facts,
    )
    info = save_artifact(run.folder / "model.safetensors", model.cpu(), info)
    (run.folder / "CARD.md").write_text(card(info), encoding="utf-8")
    result = {
        "schema": "station.train/1",
        "out": str(run.folder),
        "test": scores,
        "test_views": views,
        "training": facts,
    }
    (run.folder / "metrics.json").write_text(json.dumps(result, indent=1))
    write_report(run.folder, model, test, result)
    run.log({"event": "done", "test_accuracy": scores["accuracy"]["value"], "wall_s": facts["wall_s"]})
    return result


def promises(logits: NDArray[np.float32], labels: metrics.Ints, classes: tuple[str, ...]) -> tuple[float, Held]:
    """(temperature, curves) that suit pictures which the judge had not learnt from."""
    temperature = metrics.fit_temperature(logits, labels)
    return temperature, held_out(logits, labels, classes, temperature)


def views_scores(
    run: Run, model: nn.Module, pictures: Pictures, test: Cache, seen: tuple[np.ndarray, np.ndarray | None]
) -> dict[str, Any]:
    """The same model asked several times of each picture, the sizes fixed by the recipe; empty if it names none.

    `seen`: logits of TEST and of the held-out pictures as they are, at the recipe's input size.
    """
    recipe = run.recipe
    if not recipe.judge_views_px:
        return {}
    logits = predict_views(model, test, recipe.judge_views_px, run.device, {recipe.input_px: seen[0]})
    right = logits.argmax(1) == test.labels
    scores: dict[str, Any] = {
        "sides_px": list(recipe.judge_views_px),
        "mirrored_too": True,
        "accuracy": asdict(wilson(int(right.sum()), len(right))),
        "confusion": metrics.confusion(test.labels, logits.argmax(1), len(pictures.classes)).tolist(),
    }
    if pictures.holdout is not None and seen[1] is not None:
        known = {recipe.input_px: seen[1]}
        held = predict_views(model, pictures.holdout, recipe.judge_views_px, run.device, known)
        scores["holdout_accuracy"] = float((held.argmax(1) == pictures.holdout.labels).mean())
    return scores
