"""Frames that are not what they seem."""

import numpy as np
import pytest

from station.capture.freshness import MAX_PATIENCE_NS, FrameGuard, Freshness, Patience
from station.datatypes import BgrImage, Frame

OK, BLACK, FROZEN, REPEATED, STALE, CORRUPT, RESIZED = Freshness
MS = 1_000_000


def noisy(seed: int, level: int = 90) -> BgrImage:
    return np.random.default_rng(seed).integers(level - 8, level + 8, (96, 128, 3)).astype(np.uint8)


def mended(picture: BgrImage) -> BgrImage:
    """The same again, as a coder hands it out: here and there a level or two better."""
    again = picture.copy()
    again[8::32, 8::48] += 2
    return again


def half_decoded(colour: tuple[int, int, int]) -> BgrImage:
    picture = noisy(1)
    picture[60:] = colour
    return picture


@pytest.mark.parametrize(
    ("pictures", "verdicts"),
    [
        pytest.param([noisy(n) for n in range(4)], [OK] * 4, id="a standing belt still has noise"),
        pytest.param([noisy(1), noisy(1), noisy(2)], [OK, REPEATED, OK], id="one repetition is a hiccup"),
        pytest.param([noisy(1)] * 4, [OK, REPEATED, FROZEN, FROZEN], id="frozen"),
        pytest.param(
            [noisy(1), noisy(1), mended(noisy(1)), noisy(1), noisy(2)],
            [OK, REPEATED, REPEATED, REPEATED, OK],
            id="mended by a coder is still the same",
        ),
        pytest.param([noisy(1), mended(noisy(1))], [OK, OK], id="nearly the same may be a very quiet sensor"),
        pytest.param([half_decoded((130, 130, 130))], [CORRUPT], id="half grey"),
        pytest.param([half_decoded((0, 135, 0))], [CORRUPT], id="half green"),
        pytest.param([half_decoded((90, 91, 90))], [OK], id="an even surface is no damage"),
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


def test_where_a_size_is_asked_for_every_other_one_is_refused_whatever_is_in_the_picture() -> None:
    pictures = [noisy(1), noisy(2)[:48], noisy(3)[:, :64], np.zeros((48, 64, 3), np.uint8), noisy(4)]
    frames = [Frame("camera0", n, n * 33 * MS, picture) for n, picture in enumerate(pictures)]
    guard, easy = FrameGuard(size_px=(128, 96)), FrameGuard()
    assert [guard.judge(frame) for frame in frames] == [OK, RESIZED, RESIZED, RESIZED, OK]
    assert [easy.judge(frame) for frame in frames] == [OK, OK, OK, BLACK, OK]


def test_old_or_backward_stamps_are_stale() -> None:
    guard = FrameGuard(stale_after_ns=500 * MS)
    assert guard.judge(Frame("camera0", 1, 1000 * MS, noisy(1)), now_ns=1400 * MS) is Freshness.OK
    assert guard.judge(Frame("camera0", 2, 1033 * MS, noisy(2)), now_ns=1600 * MS) is Freshness.STALE
    assert guard.judge(Frame("camera0", 3, 1033 * MS, noisy(3)), now_ns=1040 * MS) is Freshness.STALE


def test_patience_ends_after_two_seconds_without_a_fresh_frame_and_doubles_while_that_does_not_help() -> None:
    patience, ends_ms = Patience(), []
    for at_ms in range(0, 20_000, 100):
        if patience.is_over(FROZEN, at_ms * MS):
            ends_ms.append(at_ms)
    assert ends_ms == [2000, 6100, 14200]
    assert not patience.is_over(OK, 20_000 * MS)
    assert not patience.is_over(BLACK, 20_100 * MS)
    assert patience.is_over(BLACK, 22_100 * MS)


def test_patience_has_an_end_however_often_it_was_in_vain() -> None:
    patience = Patience()
    ends_s = [at_s for at_s in range(2000) if patience.is_over(STALE, at_s * 1000 * MS)]
    assert ends_s[-1] - ends_s[-2] == MAX_PATIENCE_NS // (1000 * MS) + 1
