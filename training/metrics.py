"""What a set of logits is worth. Arrays in, numbers out; knows nothing of models, files or pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, rankdata

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_loss(logits: NDArray[np.floating], labels: Ints, temperature: float = 1.0) -> float:
    given = softmax(logits, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, 1e-12)).mean())


def fit_temperature(logits: NDArray[np.floating], labels: Ints) -> float:
    """The one divisor that makes confidence honest on these pictures (Guo 2017)."""
    best = minimize_scalar(lambda t: log_loss(logits, labels, float(np.exp(t))), bounds=(-3.0, 3.0), method="bounded")
    return float(np.exp(best.x))


def calibrated_log_loss(logits: NDArray[np.floating], labels: Ints) -> float:
    """At the temperature that suits these pictures: logits that are softer or sharper throughout are worth the same."""
    return log_loss(logits, labels, fit_temperature(logits, labels))


def confusion(labels: Ints, predicted: Ints, n_classes: int) -> Ints:
    """Rows: what it is. Columns: what it was called."""
    return np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def reliability(probabilities: Floats, labels: Ints, bins: int = 15) -> list[dict[str, float]]:
    """Per bin of confidence that holds pictures: mean confidence, share that was right, number."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "confidence": float(confidence[which == b].mean()),
            "accuracy": float(right[which == b].mean()),
            "n": int((which == b).sum()),
        }
        for b in np.unique(which)
    ]


def expected_calibration_error(probabilities: Floats, labels: Ints, bins: int = 15) -> float:
    """ECE: by how much confidence and accuracy differ, bins weighted by their pictures (Guo 2017)."""
    rows = reliability(probabilities, labels, bins)
    return float(sum(abs(row["accuracy"] - row["confidence"]) * row["n"] for row in rows) / max(len(labels), 1))


def mcnemar(right: NDArray[np.bool_], other_right: NDArray[np.bool_]) -> dict[str, float]:
    """Do two models differ on the same pictures? Exact two-sided binomial test of those only one got right (McNemar 1947)."""
    only, only_other = int((right & ~other_right).sum()), int((~right & other_right).sum())
    p = float(binomtest(only, only + only_other).pvalue) if only + only_other else 1.0
    return {
        "n": len(right),
        "accuracy": float(right.mean()),
        "other_accuracy": float(other_right.mean()),
        "only_this_right": only,
        "only_other_right": only_other,
        "p": p,
    }


def area_under_curve(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """ROC AUC by ranks, ties shared; nan where a class is missing."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    rank_sum = float(rankdata(scores)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def block_bootstrap(right: NDArray[np.bool_], blocks: Ints, rounds: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % bounds of the mean when whole blocks are drawn: neighbours in a search are no independent pictures."""
    names, which = np.unique(blocks, return_inverse=True)
    wins = np.bincount(which, weights=right.astype(float))
    sizes = np.bincount(which).astype(float)
    drawn = np.random.default_rng(seed).integers(0, len(names), (rounds, len(names)))
    means = wins[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def purity_recovery(
    probabilities: Floats, labels: Ints, classes: Sequence[str], points: int = 41
) -> dict[str, list[dict[str, float]]]:
    """Per label and threshold: purity of what is called so, recovery of what is so."""
    curves: dict[str, list[dict[str, float]]] = {}
    for at, name in enumerate(classes):
        is_label = labels == at
        # Dense towards 1, where a plant works: thresholds at equal steps of log odds.
        thresholds = 1 / (1 + np.exp(-np.linspace(-5, 5, points)))
        rows = []
        for threshold in thresholds:
            called = probabilities[:, at] >= threshold
            if not called.any() or not is_label.any():
                continue
            hits = float((called & is_label).sum())
            rows.append(
                {"threshold": float(threshold), "purity": hits / called.sum(), "recovery": hits / is_label.sum()}
            )
        curves[name] = rows
    return curves
