"""Working points: chosen on held-out pictures, judged on others."""

import numpy as np
import pytest

from training import metrics, thresholds

CURVE = [
    {"threshold": 0.5, "purity": 0.80, "recovery": 1.0},
    {"threshold": 0.6, "purity": 0.96, "recovery": 0.9},
    {"threshold": 0.7, "purity": 0.94, "recovery": 0.8},
    {"threshold": 0.8, "purity": 0.97, "recovery": 0.6},
    {"threshold": 0.9, "purity": 0.99, "recovery": 0.3},
]


@pytest.mark.parametrize(
    ("wanted", "threshold"),
    [
        pytest.param(0.8, 0.5, id="the lowest that promises it"),
        pytest.param(0.95, 0.8, id="a lucky point below a dip is passed over"),
        pytest.param(0.99, 0.9, id="the last one"),
    ],
)
def test_a_threshold_holds_from_there_on(wanted: float, threshold: float) -> None:
    chosen = thresholds.lowest(CURVE, "purity", wanted)
    assert chosen is not None
    assert chosen["threshold"] == threshold


def test_a_purity_nobody_promised_has_no_threshold() -> None:
    assert thresholds.lowest(CURVE, "purity", 0.995) is None
    probabilities, labels = np.array([[0.2, 0.8], [0.7, 0.3]]), np.array([1, 0])
    rows = thresholds.working_points({"b": CURVE[:1]}, probabilities, labels, ("a", "b"))
    assert [row["threshold"] for row in rows] == [None] * len(thresholds.WANTED_PURITY)


def test_purity_and_recovery_at_the_chosen_threshold_are_counted_by_hand() -> None:
    probabilities = np.array([[0.05, 0.95], [0.05, 0.95], [0.1, 0.9], [0.6, 0.4], [0.9, 0.1]])
    labels = np.array([1, 0, 1, 1, 0])
    (row,) = (
        row
        for row in thresholds.working_points({"b": CURVE}, probabilities, labels, ("a", "b"))
        if row["wanted_purity"] == 0.97
    )
    assert row["threshold"] == 0.8
    assert (row["purity"]["k"], row["purity"]["n"]) == (2, 3)
    assert (row["recovery"]["k"], row["recovery"]["n"]) == (2, 3)
    assert row["promised"] == {"purity": 0.97, "recovery": 0.6}


def test_rejecting_more_leaves_fewer_and_surer_items() -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet((0.5, 0.5), 4000)
    labels = (rng.random(4000) < probabilities[:, 1]).astype(np.int64)  # honest confidences
    curve = thresholds.reject_curve(probabilities, labels)
    coverage = [row["coverage"] for row in curve]
    assert coverage == sorted(coverage, reverse=True)
    assert curve[0]["coverage"] == 1.0
    assert curve[-1]["accuracy"] > curve[0]["accuracy"] + 0.1
    rows = [row for row in thresholds.rejecting(curve, probabilities, labels) if row["threshold"] is not None]
    assert rows
    assert all(row["accuracy"]["value"] >= row["wanted_accuracy"] for row in rows)  # the very pictures it was chosen on


def test_mcnemar_counts_only_where_two_models_differ() -> None:
    one = np.array([True] * 30 + [False] * 10 + [True] * 60)
    other = np.array([False] * 30 + [True] * 10 + [True] * 60)
    result = metrics.mcnemar(one, other)
    assert (result["only_this_right"], result["only_other_right"], result["n"]) == (30, 10, 100)
    assert result["p"] == pytest.approx(0.00222, abs=1e-4)
    assert metrics.mcnemar(one, one)["p"] == 1.0


def test_the_calibration_error_is_that_of_its_bins() -> None:
    probabilities = np.array([[0.9, 0.1]] * 10)
    labels = np.array([0] * 7 + [1] * 3)
    (row,) = metrics.reliability(probabilities, labels)
    assert row["n"] == 10
    assert row["accuracy"] == pytest.approx(0.7)
    assert metrics.expected_calibration_error(probabilities, labels) == pytest.approx(0.2)
