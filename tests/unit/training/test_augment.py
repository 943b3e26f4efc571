"""Batched augmentation."""

import numpy as np
import pytest
import torch

from station.recognition.preprocess import MEAN, STD, squash, to_batch
from tests.unit.training.conftest import drawn
from training.augment import Augment, augment, to_input

STILL = Augment(min_area=1, max_stretch=1, turn_share=0, tilt_deg=0, belt_share=0, grey_share=0, light=0, colour=0)


def squares(count: int, side_px: int = 48) -> torch.Tensor:
    return torch.from_numpy(np.stack([squash(drawn("OR"[n % 2], n), side_px) for n in range(count)]))


def nothing_turned(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.bool)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def test_judging_sees_what_the_station_sees() -> None:
    images = squares(6)
    ours, theirs = to_input(images, 48).numpy(), to_batch(list(images.numpy()))
    assert np.allclose(ours, theirs, atol=1e-4)


def test_with_everything_off_only_mirroring_is_left() -> None:
    images = squares(32)
    plain = to_input(images, 48)
    out = augment(images, nothing_turned(32), 48, STILL, rng())
    same = (out - plain).abs().amax((1, 2, 3)) < 1e-3
    mirrored = (out - plain.flip(3)).abs().amax((1, 2, 3)) < 1e-3
    assert bool((same | mirrored).all())
    assert bool(same.any())
    assert bool(mirrored.any())


def test_belt_crops_come_in_all_eight_positions() -> None:
    image = squares(1)
    many = image.repeat(200, 1, 1, 1)
    out = augment(many, torch.ones(200, dtype=torch.bool), 48, STILL, rng())
    plain = to_input(image, 48)
    seen = set()
    for quarter in range(4):
        for mirror in (False, True):
            wanted = torch.rot90(plain.flip(3) if mirror else plain, quarter, (2, 3))
            if bool(((out - wanted).abs().amax((1, 2, 3)) < 1e-2).any()):
                seen.add((quarter, mirror))
    assert len(seen) == 8


def test_the_same_seed_gives_the_same_pictures() -> None:
    images = squares(16)
    one, two = (augment(images, nothing_turned(16), 32, Augment(), rng()) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("side_px", [24, 48, 64])
def test_full_augmentation_stays_in_the_range_of_pictures(side_px: int) -> None:
    how = Augment(belt_share=1, grey_share=0.5, light=0.6)
    out = augment(squares(24), nothing_turned(24), side_px, how, rng())
    rgb = out * torch.tensor(STD).view(1, 3, 1, 1) + torch.tensor(MEAN).view(1, 3, 1, 1)
    assert out.shape == (24, 3, side_px, side_px)
    assert float(rgb.min()) >= -1e-4
    assert float(rgb.max()) <= 1 + 1e-4
    assert bool(torch.isfinite(out).all())


def test_belt_looks_alone_are_noisy() -> None:
    grey = torch.full((200, 48, 48, 3), 128, dtype=torch.uint8)
    how = STILL.model_copy(update={"belt_share": 0.5})
    out = augment(grey, nothing_turned(200), 48, how, rng())
    middle = (out * torch.tensor(STD).view(1, 3, 1, 1))[:, :, 16:32, 16:32]
    spread = middle.flatten(2).std(2).amax(1)
    noisy = spread > 1e-4
    assert 70 <= int(noisy.sum()) <= 130
    assert 0.02 < float(spread.max()) < 0.04


def test_a_belt_look_shows_an_edge_that_is_not_the_picture() -> None:
    white = torch.full((64, 48, 48, 3), 255, dtype=torch.uint8)
    how = STILL.model_copy(update={"belt_share": 1.0})
    out = augment(white, nothing_turned(64), 48, how, rng())
    rgb = out * torch.tensor(STD).view(1, 3, 1, 1) + torch.tensor(MEAN).view(1, 3, 1, 1)
    # Light is off: whatever is dark is belt.
    dark = (rgb.mean(1) < 0.8).flatten(1).float().mean(1)
    assert 0.2 < float((dark > 0).float().mean()) < 0.95
    assert float(dark.max()) < 0.3
