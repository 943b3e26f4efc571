"""Crops worth a label: what is chosen, how it is stored, and what gives way when the budget is spent."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from station.config import RecordConfig, SortConfig
from station.crop_choice import CropChoice
from station.datatypes import (
    Classification,
    Decision,
    DecisionReason,
    Frame,
    ItemRecord,
    Look,
    OrientedBox,
    Outcome,
    OutcomeKind,
    OutcomeReason,
)
from station.record.crops import INDEX, QUEUE, SHARES, Crop, CropStore, Why
from tests.unit.record.makers import track
from training.dataset import read_folder

CLASSES = ("organic", "recyclable")
SORT = SortConfig.model_validate(
    {
        "bins": {"product": {"gates": (0,)}, "residue": {}},
        "labels": {"recyclable": {"bin": "product", "threshold": 0.7}, "organic": {"bin": "residue"}},
        "unactuated_bin": "residue",
        "fallback_bin": "residue",
    }
)
MS = 1_000_000


class Says:
    """A recogniser that says what it is told, look by look."""

    classes = CLASSES

    def __init__(self, recyclable: Sequence[float]) -> None:
        self._next = iter(recyclable)

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        said = []
        for look in looks:
            share = next(self._next)
            label = CLASSES[int(share >= 0.5)]
            said.append(Classification(look.track_id, look.frame.captured_ns, (0.0, 0.0), (1 - share, share), label))
        return said


def look(track_id: int, at_ms: int) -> Look:
    """A red item, 80 by 40 px, turned by 30 degrees on a grey belt, with a blue end."""
    bgr = np.full((200, 300, 3), 90, np.uint8)
    for colour, cx, length in (((0, 0, 200), 150.0, 80.0), ((200, 0, 0), 150 + 30 * 0.866, 20.0)):
        cy = 100 + (cx - 150) * 0.577
        corners = cv2.boxPoints(((cx, cy), (length, 40.0), 30.0)).round().astype(np.int32)
        cv2.fillPoly(bgr, [corners], colour)
    return Look(track_id, Frame("camera0", at_ms, at_ms * MS, bgr), OrientedBox(150, 100, 80, 40, 30))


def settled(track_id: int, recyclable: float, reason: DecisionReason = DecisionReason.MATCHED) -> ItemRecord:
    label = CLASSES[int(recyclable >= 0.5)]
    confidence = max(recyclable, 1 - recyclable)
    decision = Decision(track_id, label, confidence, "residue", reason, 2, 0, 0)
    outcome = Outcome(track_id, OutcomeKind.PASSED, OutcomeReason.NONE, 0)
    return ItemRecord(track(track_id), 2, (1 - recyclable, recyclable), decision, None, None, outcome)


def chosen(said: Sequence[float], record: ItemRecord, **settings: float) -> list[Crop]:
    kept: list[Crop] = []
    choice = CropChoice(Says(said), SORT, RecordConfig(crops_sample=0.0).model_copy(update=settings), 0.0, kept.append)
    for number in range(len(said)):
        choice.classify([look(record.outcome.track_id, 100 + number)])
    choice.settled(record, 5 * MS)
    return kept


@pytest.mark.parametrize(
    ("said", "fused", "reason", "settings", "why"),
    [
        pytest.param([0.95, 0.96], 0.955, DecisionReason.MATCHED, {}, None, id="sure of it"),
        pytest.param([0.66, 0.67], 0.665, DecisionReason.UNSURE, {}, Why.UNSURE, id="below the threshold"),
        pytest.param([0.95, 0.2], 0.8, DecisionReason.MATCHED, {}, Why.LOOKS_DISAGREE, id="sure first, then not"),
        pytest.param([0.42, 0.4], 0.41, DecisionReason.MATCHED, {}, Why.LOW_MARGIN, id="decided, but close"),
        pytest.param([0.42, 0.4], 0.41, DecisionReason.MATCHED, {"crops_margin": 0.1}, None, id="close enough here"),
        pytest.param([0.95], 0.95, DecisionReason.MATCHED, {"crops_sample": 1.0}, Why.SAMPLED, id="by lot"),
        pytest.param([], 0.9, DecisionReason.NO_LOOK, {"crops_sample": 1.0}, None, id="never looked at"),
    ],
)
def test_an_item_is_kept_for_the_most_telling_reason_or_not_at_all(
    said: list[float], fused: float, reason: DecisionReason, settings: dict[str, float], why: Why | None
) -> None:
    kept = chosen(said, settled(7, fused, reason), **settings)
    assert [crop.why for crop in kept] == ([] if why is None else [why])


def test_the_least_sure_look_is_the_one_kept_upright_and_with_its_stamps() -> None:
    [crop] = chosen([0.95, 0.55, 0.65], settled(7, 0.68, DecisionReason.UNSURE))
    assert crop.facts["captured_ns"] == 101 * MS
    assert crop.facts["utc_ns"] == 106 * MS
    assert crop.facts["looks_said"] == ["recyclable"]
    assert crop.facts["probabilities"] == {"organic": 0.32, "recyclable": 0.68}
    assert crop.bgr.shape == (40, 80, 3)
    assert crop.bgr[20, 20].tolist() == pytest.approx([0, 0, 200], abs=12)  # its own axes: the blue end lies right
    assert crop.bgr[20, 72].tolist() == pytest.approx([200, 0, 0], abs=12)


def test_the_lot_falls_on_about_as_many_items_as_configured() -> None:
    kept: list[Crop] = []
    choice = CropChoice(Says([0.99] * 5000), SORT, RecordConfig(crops_sample=0.05), 0.0, kept.append)
    for number in range(5000):
        choice.classify([look(number, 1)])
        choice.settled(settled(number, 0.99), 0)
    assert len(kept) == pytest.approx(250, rel=0.1)


# -- the store -------------------------------------------------------------------------------------------------------


def crop(number: int, why: Why = Why.UNSURE, label: str = "organic", side_px: int = 60) -> Crop:
    bgr = np.random.default_rng(number).integers(0, 256, (side_px, side_px, 3), np.uint8)  # noise: all alike in size
    facts: dict[str, Any] = {
        "track_id": number,
        "camera_id": "camera0",
        "captured_ns": number,
        "utc_ns": number * 10**9,
    }
    return Crop(bgr, why, label, 0.6, facts)


def write_all(store: CropStore, crops: Sequence[Crop]) -> None:
    for number, each in enumerate(crops):
        store.offer(each)
        store.step(number)


def index(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / INDEX).read_text().splitlines()]


def tracks_on_disk(directory: Path) -> list[int]:
    return sorted(int(path.stem.rsplit("-", 1)[1]) for path in directory.rglob("*.jpg"))


def test_crops_lie_as_an_image_folder_that_training_reads(tmp_path: Path) -> None:
    store = CropStore(tmp_path, 10, run_id=3)
    write_all(store, [crop(1), crop(2, label="recyclable"), crop(3, label="../odd label")])
    pictures = read_folder(tmp_path)
    assert pictures.classes == ("___odd_label", "organic", "recyclable")
    assert len(pictures.pictures) == 3
    lines = index(tmp_path)
    assert [(line["track_id"], line["why"], line["run_id"]) for line in lines] == [
        (1, "unsure", 3), (2, "unsure", 3), (3, "unsure", 3)
    ]  # fmt: skip
    for line in lines:
        read = cv2.imread(str(tmp_path / line["file"]))
        assert read is not None
        assert read.shape == (60, 60, 3)


def test_over_the_budget_the_kind_farthest_over_its_share_gives_its_oldest(tmp_path: Path) -> None:
    one = len(cv2.imencode(".jpg", crop(1).bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
    budget_mib = 10.5 * one / 2**20
    store = CropStore(tmp_path, budget_mib, 1)
    write_all(store, [crop(n, Why.SAMPLED) for n in range(1, 11)])
    assert tracks_on_disk(tmp_path) == list(range(1, 11))  # free room may be used
    write_all(store, [crop(n, Why.UNSURE) for n in range(11, 31)])
    left = tracks_on_disk(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.jpg")) <= budget_mib * 2**20
    sampled = [number for number in left if number <= 10]
    assert 3 <= len(sampled) <= 5  # two fifths: its share of what the two kinds may take
    assert sampled == list(range(11 - len(sampled), 11))  # the newest of them
    assert left[-1] == 30


def test_what_an_earlier_run_kept_counts_and_what_a_person_took_away_does_not(tmp_path: Path) -> None:
    one = len(cv2.imencode(".jpg", crop(1).bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
    write_all(CropStore(tmp_path, 10, 1), [crop(n) for n in range(1, 9)])
    with (tmp_path / INDEX).open("a") as file:
        file.write('{"file": "cut off by a power fai')
    labelled = tmp_path.parent / "labelled.jpg"
    next(iter(sorted(tmp_path.rglob("*-1-1.jpg")))).rename(labelled)
    with (tmp_path / INDEX).open("a") as file:
        file.write("\n")
    write_all(CropStore(tmp_path, 5.5 * one / 2**20, 2), [crop(9)])
    assert tracks_on_disk(tmp_path) == [5, 6, 7, 8, 9]
    assert labelled.exists()


def test_the_index_is_written_anew_when_most_of_it_is_dead(tmp_path: Path) -> None:
    one = len(cv2.imencode(".jpg", crop(1).bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
    write_all(CropStore(tmp_path, 20.5 * one / 2**20, 1), [crop(n) for n in range(1, 280)])
    lines = index(tmp_path)
    assert len(lines) < 280
    alive = [line["track_id"] for line in lines if (tmp_path / line["file"]).exists()]
    assert alive == tracks_on_disk(tmp_path)


def test_a_full_queue_drops_the_oldest_and_a_disk_that_is_away_costs_pictures_only(tmp_path: Path) -> None:
    store = CropStore(tmp_path / "crops", 10, 1)
    (tmp_path / "crops").write_text("a file where the folder should be")
    for number in range(QUEUE + 5):
        store.offer(crop(number))
    assert store.dropped == 5
    store.step(0)
    assert (store.failed, store.written) == (1, 0)
    (tmp_path / "crops").unlink()
    store.write_rest(1)
    assert store.written == 0  # it waits before it tries again
    store.step(10**10)
    assert 0 < store.written < QUEUE  # a few at a time, while items run
    store.write_rest(10**10)
    assert store.written == QUEUE


def test_the_shares_are_a_whole() -> None:
    assert set(SHARES) == set(Why)
    assert sum(SHARES.values()) == pytest.approx(1.0)
