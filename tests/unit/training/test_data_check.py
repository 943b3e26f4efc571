"""What is wrong with a folder of pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from station.errors import ConfigError
from tests.unit.training.conftest import drawn, write_pictures
from training.cache import open_cache
from training.data_check import CheckJob, SplitJob, check, link_or_copy, split
from training.dataset import blocks_of, read_folder, read_tree
from training.duplicates import same_pictures, thumbnails


@pytest.fixture
def good(tmp_path: Path) -> Path:
    for label in "OR":
        write_pictures(tmp_path / "data" / "TRAIN" / label, label, range(60))
        write_pictures(tmp_path / "data" / "TEST" / label, label, range(100, 110))
    return tmp_path / "data"


def test_a_sound_folder_is_ok(good: Path, tmp_path: Path) -> None:
    report = check(CheckJob(good, tmp_path / "cache"))
    assert report["ok"]
    assert report["counts"] == {"train": {"organic": 60, "recyclable": 60}, "test": {"organic": 10, "recyclable": 10}}
    assert report["unreadable"] == []
    assert report["copies_of_test_in_train"] == 0


def test_the_same_picture_under_two_labels_is_found(good: Path, tmp_path: Path) -> None:
    (good / "TRAIN" / "R" / "R_900.png").write_bytes((good / "TRAIN" / "O" / "O_7.png").read_bytes())
    report = check(CheckJob(good, tmp_path / "cache"))
    assert not report["ok"]
    (pair,) = report["contradicting_labels"]
    assert {Path(pair["file"]).name, Path(pair["other"]).name} == {"O_7.png", "R_900.png"}


def test_copies_of_test_in_train_are_counted_also_when_saved_again(good: Path, tmp_path: Path) -> None:
    picture = drawn("O", 104)
    larger = cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(good / "TRAIN" / "O" / "O_990.jpg"), larger, [cv2.IMWRITE_JPEG_QUALITY, 85])
    report = check(CheckJob(good, tmp_path / "cache"))
    assert report["copies_of_test_in_train"] == 1
    assert report["ok"], "a copy under the same label flatters, but does not harm"


def test_unreadable_misnamed_and_thin_classes_are_told(good: Path, tmp_path: Path) -> None:
    (good / "TRAIN" / "O" / "O_3.png").write_bytes(b"\0" * 40)
    (good / "TRAIN" / "O" / "O_4.png").rename(good / "TRAIN" / "O" / "O_4.jpg")
    for number in range(20, 60):
        (good / "TRAIN" / "R" / f"R_{number}.png").unlink()
    report = check(CheckJob(good, tmp_path / "cache"))
    assert not report["ok"]
    assert [Path(name).name for name in report["unreadable"]] == ["O_3.png"]
    assert report["misnamed"] == 1
    assert report["labels_with_few_pictures"] == ["recyclable"]


def test_pictures_on_white_are_not_taken_for_copies(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data" / "O", "O", range(40))
    cache = open_cache(read_folder(tmp_path / "data"), 64, tmp_path / "cache")
    assert same_pictures(thumbs := thumbnails(cache), thumbs) == []


def test_plain_pictures_do_not_divide_by_zero(tmp_path: Path) -> None:
    (tmp_path / "data" / "O").mkdir(parents=True)
    for grey in (10, 200):
        cv2.imwrite(str(tmp_path / "data" / "O" / f"{grey}.png"), np.full((40, 40, 3), grey, np.uint8))
    cache = open_cache(read_folder(tmp_path / "data"), 64, tmp_path / "cache")
    assert same_pictures(thumbs := thumbnails(cache), thumbs) == []


def test_a_split_takes_whole_blocks_and_every_readable_picture(good: Path, tmp_path: Path) -> None:
    (good / "TRAIN" / "O" / "O_3.png").write_bytes(b"\0" * 40)
    result = split(SplitJob(good / "TRAIN", tmp_path / "out"))
    parts = read_tree(tmp_path / "out")
    assert parts.test is not None
    assert result["unreadable"] == 1
    assert len(parts.train.pictures) + len(parts.test.pictures) == 119
    whole = read_folder(good / "TRAIN").take([row for row in range(120) if row != 3])
    block = dict(zip((p.path.name for p in whole.pictures), blocks_of(whole.labels).tolist(), strict=True))
    in_train, in_test = ({block[p.path.name] for p in part.pictures} for part in (parts.train, parts.test))
    assert not in_train & in_test


def test_pictures_alike_in_name_below_one_class_stay_apart_and_untouched(tmp_path: Path) -> None:
    folders = [tmp_path / "data" / label / day for label in "OR" for day in ("day1", "day2", "day3")]
    for number, folder in enumerate(folders):
        write_pictures(folder, folder.parent.name, range(number * 100, number * 100 + 10))
        for at, path in enumerate(sorted(folder.iterdir())):
            path.rename(folder / f"{at:04d}.png")
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*.png")}
    result = split(SplitJob(tmp_path / "data", tmp_path / "out"))
    assert {path: path.read_bytes() for path in before} == before
    written = sorted(path.read_bytes() for path in (tmp_path / "out").rglob("*.png"))
    assert written == sorted(before.values())
    assert sum(sum(labels.values()) for labels in result["counts"].values()) == len(before)
    names = [picture.name for picture in read_folder(tmp_path / "data").pictures]
    assert len(set(names)) == len(before)


def test_a_link_is_never_written_through(tmp_path: Path) -> None:
    write_pictures(tmp_path, "O", range(2))
    first, second = tmp_path / "O_0.png", tmp_path / "O_1.png"
    before = first.read_bytes()
    link_or_copy(first, tmp_path / "link.png")
    with pytest.raises(ConfigError, match="there already"):
        link_or_copy(second, tmp_path / "link.png")
    assert first.read_bytes() == before


def test_a_split_never_writes_over_anything(good: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not empty"):
        split(SplitJob(good / "TRAIN", good))
    with pytest.raises(ConfigError, match="already has"):
        split(SplitJob(good, tmp_path / "out"))
