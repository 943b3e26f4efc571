"""Masks to shapes: one per item, cut apart only at a neck."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from station.tracking.outline import ShapeLimits, shapes_in

LIMITS = ShapeLimits(
    min_area=70, min_thickness=4, max_length=213, close=5, along_rows=True, seam_thickness=18
)  # the reference line at 1.875 mm per pixel
Mask = NDArray[np.uint8]


def blank() -> Mask:
    return np.zeros((200, 320), np.uint8)


def disc(mask: Mask, x: int, y: int, radius: int) -> Mask:
    cv2.circle(mask, (x, y), radius, 255, cv2.FILLED)
    return mask


def bar(mask: Mask, left: int, top: int, right: int, bottom: int) -> Mask:
    mask[top:bottom, left:right] = 255
    return mask


@pytest.mark.parametrize(
    ("mask", "count"),
    [
        pytest.param(blank(), 0, id="nothing"),
        pytest.param(disc(blank(), 100, 100, 20), 1, id="one item"),
        pytest.param(disc(disc(blank(), 100, 100, 20), 140, 100, 20), 2, id="two touching discs"),
        pytest.param(bar(bar(blank(), 100, 60, 150, 100), 112, 100, 162, 140), 1, id="no neck, no cut"),
        pytest.param(bar(bar(blank(), 100, 60, 130, 120), 110, 30, 120, 61), 1, id="a bottle keeps its neck"),
        pytest.param(bar(bar(blank(), 60, 60, 120, 100), 124, 60, 170, 100), 1, id="a stripe of belt colour is closed"),
        pytest.param(bar(bar(blank(), 60, 60, 100, 100), 111, 60, 150, 100), 2, id="20 mm between items stay open"),
        pytest.param(bar(blank(), 0, 90, 320, 98), 0, id="a seam across the belt is nothing"),
        pytest.param(disc(bar(blank(), 0, 90, 320, 98), 150, 94, 22), 1, id="an item on a seam is one item"),
        pytest.param(bar(blank(), 100, 100, 106, 106), 0, id="a crumb is no item"),
        pytest.param(bar(blank(), 100, 50, 102, 150), 0, id="a scratch is no item"),
    ],
)
def test_items_are_counted(mask: Mask, count: int) -> None:
    assert len(shapes_in(mask, LIMITS)) == count


@pytest.mark.parametrize(
    ("mask", "whole"),
    [
        pytest.param(disc(blank(), 100, 100, 20), True, id="inside"),
        pytest.param(disc(blank(), 100, 10, 20), False, id="entering"),
        pytest.param(disc(blank(), 100, 195, 20), False, id="leaving"),
        pytest.param(disc(blank(), 5, 100, 20), True, id="at the side: more of it will never be seen"),
    ],
)
def test_whole_is_what_neither_end_of_the_view_cuts(mask: Mask, whole: bool) -> None:
    (shape,) = shapes_in(mask, LIMITS)
    assert shape.whole is whole


def test_an_outline_has_its_items_place_and_size() -> None:
    (shape,) = shapes_in(bar(blank(), 100, 60, 160, 100), LIMITS)
    (cx, cy), (a, b), _ = cv2.minAreaRect(shape.hull)
    assert (cx, cy) == pytest.approx((130, 80), abs=0.2)
    # Smoothing widens a mask by about a pixel on each side; the outline takes that back.
    assert sorted((a, b)) == pytest.approx([38.5, 58.5], abs=1.0)
