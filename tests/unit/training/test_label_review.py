"""Labels that look wrong: found by neighbours' models, shown for a person, never edited."""

import csv
from pathlib import Path

import numpy as np

from tests.unit.training.conftest import write_pictures
from training.cache import open_cache
from training.data_check import CheckJob, check
from training.dataset import read_folder
from training.label_review import find_suspects, suspects, unseen, write_suspects


def test_a_swapped_label_is_the_surest_suspect() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 100)
    features = (rng.normal(size=(200, 4)) + 4.0 * labels[:, None]).astype(np.float32)
    given = labels.copy()
    given[37] = 1
    order = np.argsort(given, kind="stable")  # a set stands by class
    found = suspects(unseen(features[None, order], given[order], 2), given[order], ("a", "b"))
    assert order[found[0].row] == 37
    assert (found[0].label, found[0].looks_like) == ("b", "a")
    assert found[0].p_label < 0.05
    assert len(found) < 10


def test_clean_labels_of_clear_classes_give_no_suspect() -> None:
    labels = np.repeat([0, 1], 50)
    features = np.repeat(np.eye(2, dtype=np.float32), 50, axis=0) * 10
    assert suspects(unseen(features[None], labels, 2), labels, ("a", "b")) == []


def test_the_check_lists_suspects_and_writes_page_and_table(tmp_path: Path) -> None:
    for label in ("O", "R"):
        write_pictures(tmp_path / "data" / label, label, range(1, 61))
    wrong = tmp_path / "data" / "O" / "R_7.png"
    (tmp_path / "data" / "R" / "R_7.png").rename(wrong)
    page = tmp_path / "out" / "data.html"
    before = sorted(path.read_bytes() for path in (tmp_path / "data").rglob("*.png"))
    report = check(CheckJob(tmp_path / "data", tmp_path / "cache", backbone="default", page=page))
    assert str(wrong) in [row["file"] for row in report["suspect_labels"]]
    text = page.read_text()
    assert "Suspect labels" in text
    assert "R_7.png" in text
    with page.with_suffix(".csv").open() as file:
        assert str(wrong) in [row["file"] for row in csv.DictReader(file)]
    assert sorted(path.read_bytes() for path in (tmp_path / "data").rglob("*.png")) == before


def test_a_table_of_suspects_leaves_the_decision_open(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data" / "O", "O", range(1, 31))
    write_pictures(tmp_path / "data" / "R", "R", range(1, 31))
    cache = open_cache(read_folder(tmp_path / "data"), 40, tmp_path / "cache")
    found = find_suspects(cache, "default", "resnet18", tmp_path / "cache")
    write_suspects(tmp_path / "labels.csv", found, cache.pictures)
    header = (tmp_path / "labels.csv").read_text().splitlines()[0]
    assert header == "file,label,looks_like,p_label,p_other,keep"
