from pathlib import Path

import cv2
import numpy as np
import pytest

from station.cli.data_render import RenderJob, write_crops


def read(folder: Path) -> dict[str, np.ndarray]:
    pictures = {}
    for path in sorted(folder.glob("*/*.png")):
        pictures[f"{path.parent.name}/{path.name}"] = np.asarray(cv2.imread(str(path)))
    return pictures


def test_crops_come_as_an_image_folder_and_the_same_seed_gives_the_same(tmp_path: Path) -> None:
    assert write_crops(RenderJob(tmp_path / "a", None, 7, 3)) == {"organic": 7, "recyclable": 7}
    write_crops(RenderJob(tmp_path / "b", None, 7, 3))
    write_crops(RenderJob(tmp_path / "c", None, 7, 4))
    a, b, c = (read(tmp_path / name) for name in "abc")
    assert len(a) == 14
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert a.keys() != c.keys()


def test_a_crop_lies_along_its_longer_side_and_holds_the_item_with_a_rim_of_belt(tmp_path: Path) -> None:
    write_crops(RenderJob(tmp_path, None, 20, 1))
    for name, crop in read(tmp_path).items():
        height, width = crop.shape[:2]
        assert width >= 0.9 * height, name  # jitter may tip a square over
        assert 80 <= width <= 400, name
        rim = np.concatenate([crop[0], crop[-1]]).astype(int)
        middle = crop[height // 4 : -height // 4, width // 4 : -width // 4].astype(int)
        assert np.abs(middle.mean((0, 1)) - np.median(rim, axis=0)).max() > 8, name


def test_pictures_of_a_folder_are_rendered_as_cards_under_their_own_label(tmp_path: Path) -> None:
    for folder, colour in (("O", (0, 0, 250)), ("R", (250, 0, 0))):
        (tmp_path / "in" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "in" / folder / "x.png"), np.full((90, 120, 3), colour, np.uint8))
    assert write_crops(RenderJob(tmp_path / "out", tmp_path / "in", 3, 1)) == {"organic": 3, "recyclable": 3}
    for name, crop in read(tmp_path / "out").items():
        blue, _, red = crop[crop.shape[0] // 2, crop.shape[1] // 2]
        assert (red > blue) == name.startswith("organic"), name
        assert crop.shape[1] == pytest.approx(256 * 1.08, rel=0.12)
