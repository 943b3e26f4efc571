"""From pixels to the model's input."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from station.datatypes import OrientedBox
from station.recognition.preprocess import MEAN, STD, central_square, crop_oriented, framed, squash, to_batch


def card() -> NDArray[np.uint8]:
    """Blue left, green right, a red band along the top: every turn and mirroring shows."""
    picture = np.zeros((60, 120, 3), np.uint8)
    picture[:, :60] = (255, 0, 0)
    picture[:, 60:] = (0, 255, 0)
    picture[:15] = (0, 0, 255)
    return picture


def lying(picture: NDArray[np.uint8], cx: float, cy: float, angle_deg: float) -> NDArray[np.uint8]:
    """The picture on a grey belt, its x axis turned by `angle_deg` against the frame's."""
    height, width = picture.shape[:2]
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    mx, my = (width - 1) / 2, (height - 1) / 2
    turn = np.array([[c, -s, cx - c * mx + s * my], [s, c, cy - s * mx - c * my]])
    belt = np.full((400, 500, 3), 90, np.uint8)
    cv2.warpAffine(picture, turn, (500, 400), dst=belt, borderMode=cv2.BORDER_TRANSPARENT)
    return belt


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, -45.0, 89.0, -90.0])
@pytest.mark.parametrize("place", [(200.0, 150.0), (310.5, 220.25)])
def test_a_turned_card_comes_back_upright(angle_deg: float, place: tuple[float, float]) -> None:
    frame = lying(card(), *place, angle_deg)
    look = crop_oriented(frame, OrientedBox(*place, 120, 60, angle_deg), margin=0.0, input_px=64)
    wanted = squash(card(), 64)
    inside = np.abs(look.astype(int) - wanted)[3:-3, 3:-3]
    assert look.shape == (64, 64, 3)
    assert inside.mean() < 6


def test_the_margin_shows_belt_around_the_item() -> None:
    frame = lying(card(), 200, 150, 20)
    box = OrientedBox(200, 150, 120, 60, 20)
    tight, wide = (crop_oriented(frame, box, margin, 64) for margin in (0.0, 0.25))
    assert abs(int(wide[1, 32].mean()) - 90) < 8
    assert abs(int(tight[2, 32, 2]) - 255) < 30


@pytest.mark.parametrize("scale", [6, 10])
def test_a_large_item_is_averaged_not_sampled(scale: int) -> None:
    side = 64 * scale
    rng = np.random.default_rng(1)
    fine = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    look = crop_oriented(fine, OrientedBox((side - 1) / 2, (side - 1) / 2, side, side, 0), 0.0, 64)
    assert look.std() < 2.2 * squash(fine, 64).std()


def test_beyond_the_frame_the_edge_is_repeated() -> None:
    frame = np.full((100, 100, 3), 70, np.uint8)
    assert (crop_oriented(frame, OrientedBox(5, 5, 60, 40, 15), 0.1, 32) == 70).all()


def test_an_empty_rectangle_still_gives_a_picture() -> None:
    frame = np.full((100, 100, 3), 70, np.uint8)
    assert crop_oriented(frame, OrientedBox(50, 50, 0, 0, 0), 0.0, 32).shape == (32, 32, 3)


@pytest.mark.parametrize("shape", [(50, 80), (300, 200), (40, 400), (160, 160), (1, 1)])
def test_squash_gives_a_square_of_the_same_colours(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), (10, 120, 230), np.uint8)
    assert (squash(picture, 160) == (10, 120, 230)).all()
    assert squash(picture, 160).shape == (160, 160, 3)


@pytest.mark.parametrize("shape", [(50, 81), (81, 50), (64, 64), (1, 9)])
def test_the_central_square_loses_only_the_ends_of_the_longer_side(shape: tuple[int, int]) -> None:
    height, width = shape
    at = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.uint8)
    square = central_square(np.concatenate((at, at[..., :1]), axis=-1))
    side = min(shape)
    assert square.shape == (side, side, 3)
    for axis, length in ((0, width), (1, height)):
        kept = np.unique(square[..., axis])
        assert len(kept) == side
        assert abs(int(kept[0]) - (length - 1 - int(kept[-1]))) <= 1


def test_a_framing_is_what_its_name_says() -> None:
    assert (framed(card(), "squash", 32) == squash(card(), 32)).all()
    assert (framed(card(), "centre", 32) == squash(card()[:, 30:90], 32)).all()


def test_a_batch_is_rgb_planes_normalised() -> None:
    bgr = np.zeros((8, 8, 3), np.uint8)
    bgr[..., 2] = 255
    batch = to_batch([bgr, np.zeros_like(bgr)])
    assert batch.shape == (2, 3, 8, 8)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert np.allclose(batch[0, 0], (1 - MEAN[0]) / STD[0], atol=1e-5)
    assert np.allclose(batch[0, 2], -MEAN[2] / STD[2], atol=1e-5)
    assert np.allclose(batch[1, 0], -MEAN[0] / STD[0], atol=1e-5)
