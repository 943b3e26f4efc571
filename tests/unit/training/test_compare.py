"""Finished runs side by side."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from station.errors import ConfigError
from station.intervals import wilson
from training.compare import PAPER, compare, verdict
from training.dataset import Picture, PictureSet
from training.predictions import read_predictions, write_predictions
from training.thresholds import bounds


def pictures(count: int = 40) -> PictureSet:
    names = ("organic", "recyclable")
    folders = {"organic": "O", "recyclable": "R"}
    files = [(name, f"{folders[name]}/{at}.jpg") for name in names for at in range(count // 2)]
    rows = [Picture(Path("any", file), name, "", file) for name, file in files]
    return PictureSet(tuple(rows), names)


def finished(folder: Path, wrong: int, of: PictureSet | None = None, unreadable: int = 2513 - 40) -> Path:
    of = of or pictures()
    folder.mkdir()
    probabilities = np.eye(2)[of.labels]
    probabilities[:wrong] = probabilities[:wrong, ::-1]
    write_predictions(folder / "predictions.csv", of, probabilities)
    n = len(of.pictures)
    result: dict[str, Any] = {
        "test": {
            "accuracy": bounds(wilson(n - wrong, n)),
            "n": n,
            "unreadable": unreadable,
            "confusion": {"labels": list(of.classes)},
        },
        "training": {"recipe": {"name": "or", "arch": "resnet18"}, "protocol": "honest", "seed": 1, "wall_s": 61.0},
    }
    (folder / "metrics.json").write_text(json.dumps(result))
    (folder / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "loss": 1.0, "train_accuracy": 0.7}) + "\n")
    return folder


def test_predictions_come_back_as_written(tmp_path: Path) -> None:
    read = read_predictions(finished(tmp_path / "run", wrong=3) / "predictions.csv")
    assert read.names[0] == "O/0.jpg"
    assert list(read.right.values()).count(False) == 3


def test_two_runs_are_compared_on_the_same_pictures(tmp_path: Path) -> None:
    runs = [finished(tmp_path / "good", wrong=0), finished(tmp_path / "poor", wrong=12)]
    result = compare(runs, tmp_path / "out" / "compare.html")
    (pair,) = result["pairs"]
    assert (pair["only_this_right"], pair["only_other_right"]) == (12, 0)
    assert pair["p"] < 0.001
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "92.63%" in page
    assert "poor" in page


def test_only_runs_judged_by_the_paper_s_pictures_are_held_against_it(tmp_path: Path) -> None:
    runs = [finished(tmp_path / "its test", wrong=0), finished(tmp_path / "a plant's", wrong=0, unreadable=0)]
    verdicts = [row["against_paper"] for row in compare(runs, tmp_path / "both.html")["runs"]]
    assert [set(one) for one in verdicts] == [{"ResNet-18_OR", "ResNet-18_ORTL"}, set()]
    compare(runs[1:], tmp_path / "one.html")
    assert "paper" not in (tmp_path / "one.html").read_text()


@pytest.mark.parametrize(
    ("correct", "word"),
    [
        pytest.param(2387, "beats", id="94.99 percent of 2,513"),
        pytest.param(2380, "matches", id="94.71 percent"),
        pytest.param(2352, "matches", id="the same number"),
        pytest.param(2310, "below", id="91.92 percent"),
    ],
)
def test_beating_the_paper_takes_a_test(correct: int, word: str) -> None:
    ortl = PAPER[1]
    assert verdict(bounds(wilson(correct, 2513)), ortl) == word


def test_runs_of_different_pictures_are_refused(tmp_path: Path) -> None:
    other = PictureSet(
        tuple(Picture(Path("x", f"O/{at}.png"), "organic", "", f"O/{at}.png") for at in range(4)),
        ("organic", "recyclable"),
    )
    runs = [finished(tmp_path / "one", 1), finished(tmp_path / "two", 1, other)]
    with pytest.raises(ConfigError, match="no picture in common"):
        compare(runs, tmp_path / "compare.html")


def test_a_folder_without_a_finished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="finished runs"):
        compare([tmp_path], tmp_path / "compare.html")
