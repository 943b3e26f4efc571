"""Pictures decoded once."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from station.recognition.preprocess import framed, squash
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


def test_each_framing_has_a_cache_of_its_own(folder: Path, tmp_path: Path) -> None:
    pictures = read_folder(folder)
    whole = open_cache(pictures, 24, tmp_path / "cache")
    centre = open_cache(pictures, 24, tmp_path / "cache", "centre")
    assert (centre.images[7] == framed(drawn("R", 1), "centre", 24)).all()
    assert (whole.images[7] == squash(drawn("R", 1), 24)).all()
    assert (whole.framing, centre.framing, centre.take(np.array([1])).framing) == ("squash", "centre", "centre")
    assert whole.name != centre.name


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


def encoded(suffix: str, image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


def through_pil(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


PLAIN = Image.fromarray(drawn("O", 1)[..., ::-1])
OTHER = Image.fromarray(drawn("R", 1)[..., ::-1]).resize(PLAIN.size)
DEEP = (drawn("O", 1).astype(np.uint16) * 257).astype(np.uint16)


@pytest.mark.parametrize(
    ("name", "data", "far"),
    [
        pytest.param("a.jpg", through_pil(PLAIN.convert("CMYK"), "JPEG", quality=95), 30, id="CMYK"),
        pytest.param("a.png", encoded(".png", DEEP), 1, id="16 bit"),
        pytest.param("a.tif", encoded(".tiff", DEEP), 1, id="16 bit TIFF"),
        pytest.param("a.png", through_pil(PLAIN.convert("P"), "PNG"), 60, id="palette"),
        pytest.param("a.png", through_pil(PLAIN.convert("RGBA"), "PNG"), 1, id="alpha"),
        pytest.param("a.gif", through_pil(PLAIN, "GIF", save_all=True, append_images=[OTHER]), 60, id="animated GIF"),
        pytest.param(
            "a.webp",
            through_pil(PLAIN, "WEBP", save_all=True, append_images=[OTHER], lossless=True),
            1,
            id="animated WebP",
        ),
        pytest.param("a.png", through_pil(PLAIN, "PNG", save_all=True, append_images=[OTHER]), 1, id="animated PNG"),
    ],
)
def test_unusual_pictures_are_read_as_what_they_show_first(tmp_path: Path, name: str, data: bytes, far: int) -> None:
    (tmp_path / "data" / "O").mkdir(parents=True)
    (tmp_path / "data" / "O" / name).write_bytes(data)
    cache = open_cache(read_folder(tmp_path / "data"), 24, tmp_path / "cache")
    assert cache.unreadable == ()
    shown = squash(drawn("O", 1), 24).astype(int)
    assert np.percentile(np.abs(cache.images[0].astype(int) - shown), 95) <= far


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 5000, id="null bytes"),
        pytest.param(b"<html>not found</html>", id="a web page"),
        pytest.param(through_pil(PLAIN, "JPEG")[:200], id="cut in the header"),
        pytest.param(encoded(".png", DEEP)[:40], id="cut PNG"),
        pytest.param(b"BM" + b"\xff" * 50, id="a BMP's head of nothing but ones"),
        pytest.param(
            encoded(".bmp", np.asarray(PLAIN))[:18] + b"\xff\xff\xff\x7f" * 2 + encoded(".bmp", np.asarray(PLAIN))[26:],
            id="a BMP two thousand million pixels wide",
        ),
    ],
)
def test_what_is_no_picture_is_listed_and_stops_nothing(folder: Path, tmp_path: Path, data: bytes) -> None:
    (folder / "O" / "O_2.jpg").write_bytes(data)
    cache = open_cache(read_folder(folder), 24, tmp_path / "cache")
    assert [Path(name).name for name in cache.unreadable] == ["O_2.jpg"]
    assert len(cache.labels) == 11


def test_other_files_in_a_class_folder_are_no_pictures(folder: Path, tmp_path: Path) -> None:
    (folder / "O" / "Thumbs.db").write_bytes(b"x")
    (folder / "O" / "notes.txt").write_text("x")
    cache = open_cache(read_folder(folder), 24, tmp_path / "cache")
    assert (len(cache.labels), cache.unreadable) == (11, ())


def test_a_part_of_a_cache_reads_the_same_file(folder: Path, tmp_path: Path) -> None:
    whole = open_cache(read_folder(folder), 24, tmp_path / "cache")
    part = whole.take(np.array([9, 2]))
    assert np.array_equal(part.images[:], whole.images[np.array([9, 2])])
    assert np.array_equal(part.take(np.array([1])).images[0], whole.images[2])
    assert [picture.path for picture in part.pictures.pictures] == [whole.pictures.pictures[row].path for row in (9, 2)]
    assert part.labels.tolist() == [1, 0]
    assert part.images.stored is whole.images.stored
