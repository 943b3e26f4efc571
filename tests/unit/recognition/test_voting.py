import math

import pytest

from station.datatypes import Classification
from station.recognition.voting import fuse

CLASSES = ("organic", "recyclable")


def look(*logits: float, track_id: int = 7) -> Classification:
    raised = [math.exp(logit) for logit in logits]
    probabilities = tuple(value / sum(raised) for value in raised)
    label = CLASSES[probabilities.index(max(probabilities))]
    return Classification(track_id, 0, tuple(logits), probabilities, label)


def test_no_look_is_no_opinion() -> None:
    assert fuse([], CLASSES) is None


def test_ten_alike_looks_are_no_surer_than_one() -> None:
    one = fuse([look(0.0, 1.0)], CLASSES)
    ten = fuse([look(0.0, 1.0)] * 10, CLASSES)
    assert one is not None
    assert ten is not None
    assert ten.confidence == pytest.approx(one.confidence)
    assert (one.looks, ten.looks) == (1, 10)


def test_one_sure_look_outweighs_two_faint_ones() -> None:
    fused = fuse([look(0.2, 0.0), look(0.1, 0.0), look(-4.0, 4.0)], CLASSES)
    assert fused is not None
    assert fused.label == "recyclable"


@pytest.mark.parametrize("logits", [(1000.0, 0.0), (-1000.0, 0.0), (3.0, 3.0)])
def test_probabilities_are_finite_and_sum_to_one(logits: tuple[float, float]) -> None:
    fused = fuse([Classification(1, 0, logits, (0.5, 0.5), "organic")], CLASSES)
    assert fused is not None
    assert sum(fused.probabilities) == pytest.approx(1.0)
    assert fused.confidence == max(fused.probabilities)


def test_looks_of_two_items_are_never_mixed() -> None:
    with pytest.raises(ValueError, match="several items"):
        fuse([look(0.0, 1.0, track_id=1), look(0.0, 1.0, track_id=2)], CLASSES)
