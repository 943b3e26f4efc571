"""Which pictures there are, what they are called, and how they are parted."""

from pathlib import Path

import numpy as np
import pytest

from station.errors import ConfigError
from tests.unit.training.conftest import write_pictures
from training.dataset import (
    blocks_of,
    fold_of_blocks,
    hold_out_blocks,
    hold_out_files,
    read_exclusions,
    read_folder,
    read_tree,
)


def test_o_and_r_are_known_and_files_stand_in_number_order(tree: Path) -> None:
    data = read_tree(tree)
    assert data.train.classes == ("organic", "recyclable")
    names = [picture.path.name for picture in data.train.pictures[:12]]
    assert names == [f"O_{number}.png" for number in range(1, 13)]
    assert data.test is not None
    assert np.bincount(data.test.labels).tolist() == [20, 20]


def test_a_tree_may_be_class_folders_alone(tree: Path) -> None:
    data = read_tree(tree / "TRAIN")
    assert data.test is None
    assert len(data.train.pictures) == 110


def test_other_folder_names_are_the_labels(tmp_path: Path) -> None:
    for label in ("glass", "metal", "paper"):
        write_pictures(tmp_path / label, "O", range(2))
    assert read_tree(tmp_path).train.classes == ("glass", "metal", "paper")


def test_test_must_not_have_classes_of_its_own(tmp_path: Path) -> None:
    write_pictures(tmp_path / "TRAIN" / "O", "O", range(2))
    write_pictures(tmp_path / "TEST" / "metal", "R", range(2))
    with pytest.raises(ConfigError, match="metal"):
        read_tree(tmp_path)


@pytest.mark.parametrize("make", [False, True])
def test_no_pictures_is_an_error_that_says_what_was_expected(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "data"
    if make:
        folder.mkdir()
    with pytest.raises(ConfigError, match="class folders"):
        read_tree(folder)


def test_the_fingerprint_changes_with_a_byte_a_label_and_nothing_else(tmp_path: Path) -> None:
    for part in ("a", "b"):
        write_pictures(tmp_path / part / "O", "O", range(3))
        write_pictures(tmp_path / part / "R", "R", range(3))
    before = read_folder(tmp_path / "a").fingerprint()
    assert read_folder(tmp_path / "b").fingerprint() == before
    target = tmp_path / "b" / "O" / "O_1.png"
    target.write_bytes(target.read_bytes() + b"\0")
    assert read_folder(tmp_path / "b").fingerprint() != before
    (tmp_path / "a" / "R" / "R_2.png").rename(tmp_path / "a" / "O" / "R_2.png")
    assert read_folder(tmp_path / "a").fingerprint() != before


def test_blocks_are_runs_of_neighbours_within_one_class() -> None:
    labels = np.array([0] * 10 + [1] * 5)
    blocks = blocks_of(labels, n_blocks=5)
    assert blocks.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("share", [0.04, 0.08, 0.2])
def test_a_hold_out_takes_whole_blocks_of_every_class(share: float) -> None:
    labels = np.array([0] * 500 + [1] * 300)
    kept, held = hold_out_blocks(labels, share, seed=3)
    assert sorted([*kept, *held]) == list(range(800))
    blocks = blocks_of(labels)
    assert not set(blocks[kept]) & set(blocks[held])
    for label, count in ((0, 500), (1, 300)):
        assert (labels[held] == label).sum() == pytest.approx(share * count, rel=0.05)


def test_single_files_are_drawn_evenly_from_each_class() -> None:
    labels = np.array([0] * 100 + [1] * 50)
    kept, held = hold_out_files(labels, 0.18, seed=1)
    assert np.bincount(labels[held]).tolist() == [18, 9]
    assert sorted(np.concatenate((kept, held))) == list(range(150))
    assert len(np.unique(np.diff(held[:18]))) > 3
    assert held.tolist() != hold_out_files(labels, 0.18, seed=2)[1].tolist()


def test_another_seed_holds_out_other_blocks() -> None:
    labels = np.array([0] * 500 + [1] * 300)
    assert hold_out_blocks(labels, 0.08, 1)[1].tolist() != hold_out_blocks(labels, 0.08, 2)[1].tolist()
    assert hold_out_blocks(labels, 0.08, 1)[1].tolist() == hold_out_blocks(labels, 0.08, 1)[1].tolist()


def test_nothing_is_held_out_when_nothing_is_asked() -> None:
    assert hold_out_blocks(np.zeros(50, np.int64), 0.0, 1)[1].size == 0


def test_exclusions_are_names_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("# copies\nTEST/O/O_1.jpg\n\nR_2.jpg  # see R_9\n")
    assert read_exclusions(path) == {"O_1.jpg", "R_2.jpg"}


def test_folds_are_runs_of_blocks_in_every_class() -> None:
    labels = np.array([0] * 500 + [1] * 300)
    folds = fold_of_blocks(labels, 5)
    for label, n in ((0, 500), (1, 300)):
        own = folds[labels == label]
        assert np.bincount(own).tolist() == [n // 5] * 5
        assert (np.diff(own) >= 0).all()
