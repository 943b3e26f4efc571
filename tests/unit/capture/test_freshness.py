"""Frames that are not what they seem."""

import numpy as np
import pytest

from station.capture.freshness import FrameGuard, Freshness
from station.datatypes import BgrImage, Frame

OK, BLACK, FROZEN, REPEATED, STALE = Freshness
MS = 1_000_000


def noisy(seed: int, level: int = 90) -> BgrImage:
    return np.random.default_rng(seed).integers(level - 8, level + 8, (96, 128, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("pictures", "verdicts"),
    [
        pytest.param([noisy(n) for n in range(4)], [OK] * 4, id="a standing belt still has noise"),
        pytest.param([noisy(1), noisy(1), noisy(2)], [OK, REPEATED, OK], id="one repetition is a hiccup"),
        pytest.param([noisy(1)] * 4, [OK, REPEATED, FROZEN, FROZEN], id="frozen"),
        pytest.param([noisy(1, 90), noisy(2, 8) // 4], [OK, BLACK], id="black"),
        pytest.param([np.zeros((96, 128, 3), np.uint8)] * 2, [BLACK, BLACK], id="black before frozen"),
    ],
)
def test_pictures_are_judged(pictures: list[BgrImage], verdicts: list[Freshness]) -> None:
    guard = FrameGuard()
    frames = [Frame("camera0", n, n * 33 * MS, picture) for n, picture in enumerate(pictures)]
    assert [guard.judge(frame) for frame in frames] == verdicts


def test_a_dark_belt_with_one_bright_item_is_not_black() -> None:
    picture = np.full((96, 128, 3), 4, np.uint8)
    picture[20:60, 20:60] = 180
    assert FrameGuard().judge(Frame("camera0", 1, 0, picture)) is Freshness.OK


def test_old_or_backward_stamps_are_stale() -> None:
    guard = FrameGuard(stale_after_ns=500 * MS)
    assert guard.judge(Frame("camera0", 1, 1000 * MS, noisy(1)), now_ns=1400 * MS) is Freshness.OK
    assert guard.judge(Frame("camera0", 2, 1033 * MS, noisy(2)), now_ns=1600 * MS) is Freshness.STALE
    assert guard.judge(Frame("camera0", 3, 1033 * MS, noisy(3)), now_ns=1040 * MS) is Freshness.STALE
