from dataclasses import replace

import numpy as np
import pytest

from station.datatypes import Frame, Look, OrientedBox
from station.errors import ModelError
from station.recognition.artifact import ArtifactInfo
from station.recognition.backends.contract import BgrBatch, Logits
from station.recognition.classifier import Classifier
from station.recognition.preprocess import PREPROCESSING

INFO = ArtifactInfo(classes=("dark", "light"), input_px=32, temperature=2.0)


class MeanBrightness:
    """An engine whose logits are the mean grey of a look and its opposite."""

    name, device = "mean", "cpu"

    def __init__(self) -> None:
        self.batches: list[BgrBatch] = []

    def run(self, batch: BgrBatch) -> Logits:
        self.batches.append(batch.copy())
        grey = batch.mean(axis=(1, 2, 3)) / 255.0
        return np.stack([1.0 - grey, grey], axis=1).astype(np.float32)


def frame(camera_id: str = "a", captured_ns: int = 5) -> Frame:
    bgr = np.zeros((100, 200, 3), np.uint8)
    bgr[:, 100:] = 255
    return Frame(camera_id, 1, captured_ns, bgr)


def look(track_id: int, cx_px: float, of: Frame) -> Look:
    return Look(track_id, of, OrientedBox(cx_px, 50.0, 40.0, 30.0, 0.0))


def test_a_model_for_central_squares_is_refused_on_a_belt() -> None:
    with pytest.raises(ModelError, match="--framing squash"):
        Classifier(MeanBrightness(), replace(INFO, preprocessing=PREPROCESSING["centre"]))


def test_looks_of_all_items_and_cameras_go_in_one_batch_and_come_back_in_order() -> None:
    engine = MeanBrightness()
    first, second = frame("a", 5), frame("b", 9)
    answers = Classifier(engine, INFO).classify([look(1, 50, first), look(2, 150, first), look(1, 150, second)])
    assert len(engine.batches) == 1
    assert [(a.track_id, a.captured_ns, a.label) for a in answers] == [(1, 5, "dark"), (2, 5, "light"), (1, 9, "light")]


def test_the_temperature_softens_the_probabilities_and_is_in_the_logits() -> None:
    answer = Classifier(MeanBrightness(), INFO).classify([look(1, 150, frame())])[0]
    assert answer.logits == pytest.approx((0.0, 0.5))
    assert answer.probabilities == pytest.approx((1 / (1 + np.exp(0.5)), 1 / (1 + np.exp(-0.5))))


def test_no_looks_cost_no_call() -> None:
    engine = MeanBrightness()
    assert Classifier(engine, INFO).classify([]) == []
    assert engine.batches == []


def test_a_small_batch_after_a_large_one_holds_only_its_own_looks() -> None:
    engine = MeanBrightness()
    classifier = Classifier(engine, INFO)
    classifier.classify([look(i, 150, frame()) for i in range(5)])
    answers = classifier.classify([look(9, 50, frame())])
    assert [len(batch) for batch in engine.batches] == [5, 1]
    assert [answer.label for answer in answers] == ["dark"]
