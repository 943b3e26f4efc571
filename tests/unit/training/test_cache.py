"""Pictures decoded once."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from station.recognition.preprocess import squash
from tests.unit.training.conftest import drawn, write_pictures
from training import cache as cache_module
from training.cache import decode, open_cache
from training.dataset import read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "data" / "O", "O", range(6))
    write_pictures(tmp_path / "data" / "R", "R", range(5))
    return tmp_path / "data"


def test_a_cache_holds_the_squashed_pictures_in_order(folder: Path, tmp_path: Path) -> None:
    cache = open_cache(read_folder(folder), 24, tmp_path / "cache")
    assert cache.images[:].shape == (11, 24, 24, 3)
    assert (cache.images[7] == squash(drawn("R", 1), 24)).all()
    assert cache.labels.tolist() == [0] * 6 + [1] * 5


def test_unreadable_pictures_are_listed_and_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "O" / "O_2.png").write_bytes(b"not a picture")
    (folder / "R" / "R_0.png").write_bytes(b"")
    cache = open_cache(read_folder(folder), 24, tmp_path / "cache")
    assert [Path(name).name for name in cache.unreadable] == ["O_2.png", "R_0.png"]
    assert cache.rows.tolist() == [0, 1, 3, 4, 5, 7, 8, 9, 10]
    assert len(cache.images) == len(cache.labels) == len(cache.pictures.pictures) == 9
    assert (cache.images[5] == squash(drawn("R", 1), 24)).all()


def test_a_second_opening_decodes_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_cache(read_folder(folder), 24, tmp_path / "cache")

    def forbidden(path: Path) -> None:
        raise AssertionError(f"decoded {path} again")

    monkeypatch.setattr(cache_module, "decode", forbidden)
    again = open_cache(read_folder(folder), 24, tmp_path / "cache")
    assert np.array_equal(first.images[:], again.images[:])


def test_a_changed_picture_is_another_cache(folder: Path, tmp_path: Path) -> None:
    open_cache(read_folder(folder), 24, tmp_path / "cache")
    cv2.imwrite(str(folder / "O" / "O_0.png"), drawn("R", 99))
    cache = open_cache(read_folder(folder), 24, tmp_path / "cache")
    assert (cache.images[0] == squash(drawn("R", 99), 24)).all()


def test_an_unfinished_cache_is_made_again(folder: Path, tmp_path: Path) -> None:
    open_cache(read_folder(folder), 24, tmp_path / "cache")
    (facts,) = (tmp_path / "cache").glob("*.json")
    facts.unlink()
    assert len(open_cache(read_folder(folder), 24, tmp_path / "cache").images) == 11


def test_a_png_named_jpg_is_read(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(cv2.imencode(".png", drawn("O", 1))[1].tobytes())
    assert np.array_equal(decode(path), drawn("O", 1))  # type: ignore[arg-type]
