"""Working points: thresholds that held-out pictures promise something for, and what became of the promise elsewhere.

Arrays and curves in, rows out. Knows nothing of models or files; it never chooses on the pictures it judges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from station.intervals import Interval, wilson
from training.metrics import Floats, Ints

WANTED_PURITY = (0.90, 0.95, 0.97, 0.98, 0.99)
WANTED_ACCURACY = (0.95, 0.97, 0.98, 0.99)

Curve = Sequence[Mapping[str, float]]


def working_points(
    curves: Mapping[str, Curve], probabilities: Floats, labels: Ints, classes: Sequence[str]
) -> list[Any]:
    """Per label and wanted purity: the lowest threshold that promised it on held-out pictures, and what it gave on these.

    `curves`: what `metrics.purity_recovery` made of held-out pictures. A purity no threshold promised has null fields.
    """
    rows = []
    for at, name in enumerate(classes):
        for wanted in WANTED_PURITY if name in curves else ():
            chosen = lowest(curves[name], "purity", wanted)
            row: dict[str, Any] = {"label": name, "wanted_purity": wanted, "threshold": None}
            if chosen is not None:
                called, is_label = probabilities[:, at] >= chosen["threshold"], labels == at
                hits = int((called & is_label).sum())
                row |= {
                    "threshold": chosen["threshold"],
                    "promised": {"purity": chosen["purity"], "recovery": chosen["recovery"]},
                    "purity": bounds(wilson(hits, int(called.sum()))),
                    "recovery": bounds(wilson(hits, int(is_label.sum()))),
                }
            rows.append(row)
    return rows


def reject_curve(probabilities: Floats, labels: Ints, points: int = 41) -> list[dict[str, float]]:
    """Items below a confidence are left undecided: how many are decided, and how many of those rightly."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    thresholds = 1 / (1 + np.exp(-np.linspace(0, 6, points)))
    rows = []
    for threshold in thresholds:
        kept = confidence >= threshold
        if kept.any():
            rows.append(
                {
                    "threshold": float(threshold),
                    "coverage": float(kept.mean()),
                    "accuracy": float(right[kept].mean()),
                }
            )
    return rows


def rejecting(curve: Curve, probabilities: Floats, labels: Ints) -> list[Any]:
    """Per wanted accuracy: the lowest confidence that promised it on held-out pictures, and what it gave on these."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    rows = []
    for wanted in WANTED_ACCURACY if curve else ():
        chosen = lowest(curve, "accuracy", wanted)
        row: dict[str, Any] = {"wanted_accuracy": wanted, "threshold": None}
        if chosen is not None:
            kept = confidence >= chosen["threshold"]
            row |= {
                "threshold": chosen["threshold"],
                "promised": {"accuracy": chosen["accuracy"], "coverage": chosen["coverage"]},
                "accuracy": bounds(wilson(int(right[kept].sum()), int(kept.sum()))),
                "coverage": bounds(wilson(int(kept.sum()), len(kept))),
            }
        rows.append(row)
    return rows


def lowest(curve: Curve, key: str, wanted: float) -> Mapping[str, float] | None:
    """The lowest threshold from which on the curve stays at `wanted` or above: one lucky point is no promise."""
    found = None
    for row in sorted(curve, key=lambda row: -row["threshold"]):
        if row[key] < wanted:
            break
        found = row
    return found


def bounds(interval: Interval) -> dict[str, Any]:
    """nan is no JSON: what was not counted is null."""
    return {key: None if value != value else value for key, value in asdict(interval).items()}
