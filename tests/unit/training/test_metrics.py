"""What a set of logits is worth."""

import numpy as np
import pytest

from training import metrics


def test_confusion_has_truth_in_rows() -> None:
    table = metrics.confusion(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]), 2)
    assert table.tolist() == [[1, 2], [0, 1]]


@pytest.mark.parametrize(
    ("scores", "positive", "area"),
    [
        pytest.param([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 1.0, id="parted"),
        pytest.param([0.9, 0.8, 0.2, 0.1], [False, False, True, True], 0.0, id="reversed"),
        pytest.param([0.5, 0.5, 0.5, 0.5], [False, True, False, True], 0.5, id="all tied"),
        pytest.param([0.1, 0.4, 0.35, 0.8], [False, False, True, True], 0.75, id="one pair wrong"),
    ],
)
def test_area_under_curve(scores: list[float], positive: list[bool], area: float) -> None:
    assert metrics.area_under_curve(np.array(scores), np.array(positive)) == pytest.approx(area)


def test_area_without_one_class_is_unknown() -> None:
    assert np.isnan(metrics.area_under_curve(np.array([0.3, 0.4]), np.array([True, True])))


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 2))
    labels = (rng.random(20_000) < metrics.softmax(logits)[:, 1]).astype(np.int64)
    assert metrics.fit_temperature(logits * 3, labels) == pytest.approx(3, rel=0.05)
    honest = metrics.softmax(logits * 3, 3.0)
    assert metrics.expected_calibration_error(honest, labels) < 0.02
    assert metrics.expected_calibration_error(metrics.softmax(logits * 3), labels) > 0.08
    assert metrics.log_loss(logits * 3, labels) > 1.2 * metrics.log_loss(logits, labels)
    assert metrics.calibrated_log_loss(logits * 3, labels) == pytest.approx(metrics.log_loss(logits, labels), rel=1e-3)


def test_softmax_survives_large_logits() -> None:
    assert metrics.softmax(np.array([[1000.0, 0.0]])).tolist() == [[1.0, 0.0]]


def test_bootstrap_by_blocks_is_wider_when_neighbours_agree() -> None:
    rng = np.random.default_rng(1)
    blocks = np.repeat(np.arange(20), 50)
    alike = np.repeat(rng.random(20) < 0.8, 50)
    mixed = rng.permutation(alike)
    low, high = metrics.block_bootstrap(alike, blocks)
    low_mixed, high_mixed = metrics.block_bootstrap(mixed, blocks)
    assert low <= alike.mean() <= high
    assert high - low > 3 * (high_mixed - low_mixed)


def test_a_higher_threshold_buys_no_recovery() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 3000)
    logits = np.stack((-1.5 * (2 * labels - 1) + rng.normal(0, 1.5, 3000), np.zeros(3000)), axis=1)
    curve = metrics.purity_recovery(metrics.softmax(logits), labels, ("organic", "recyclable"))["recyclable"]
    recoveries = [row["recovery"] for row in curve]
    assert recoveries == sorted(recoveries, reverse=True)
    assert curve[-1]["purity"] > curve[0]["purity"] + 0.2
