from pathlib import Path

import cv2
import numpy as np
import pytest

from station.errors import ConfigError
from station.simulation.items import KINDS, drawn_thing, picture_cards
from station.simulation.renderer import BeltRenderer, PlacedItem, ViewSize
from station.simulation.truth import turned_outline_mm

SMALL = ViewSize(320, 200, 320 / 600)


@pytest.mark.parametrize("label", sorted(KINDS))
def test_drawn_things_are_50_to_150_mm_and_of_every_kind(label: str) -> None:
    things = [drawn_thing(label, seed) for seed in range(200)]
    assert {thing.name for thing in things} == set(KINDS[label])
    assert all(50 <= thing.length_mm <= 150 for thing in things)


@pytest.mark.parametrize("label", sorted(KINDS))
def test_a_sprite_has_its_size_and_the_same_seed_draws_the_same(label: str) -> None:
    for seed in range(40):
        thing = drawn_thing(label, seed)
        sprite = thing.sprite(1.0)
        assert sprite.shape == (round(thing.length_mm), round(thing.width_mm), 4)
        assert (sprite[..., 3] > 127).mean() > 0.2
        np.testing.assert_array_equal(sprite, drawn_thing(label, seed).sprite(1.0))


def test_colour_alone_does_not_tell_the_labels_apart() -> None:
    """A nearest-mean rule on mean colour must fail often: the model has to look at shape and print."""
    means: dict[str, list[np.ndarray]] = {}
    for label in KINDS:
        for seed in range(120):
            sprite = drawn_thing(label, seed).sprite(0.5).astype(float)
            weight = sprite[..., 3:] / 255
            means.setdefault(label, []).append((sprite[..., :3] * weight).sum((0, 1)) / weight.sum())
    centres = {label: np.mean(values[:60], axis=0) for label, values in means.items()}
    right = sum(
        min(centres, key=lambda name: float(np.linalg.norm(value - centres[name]))) == label
        for label, values in means.items()
        for value in values[60:]
    )
    assert right / 120 < 0.85


def test_cards_take_their_label_from_the_folder_and_their_size_from_the_picture(tmp_path: Path) -> None:
    for folder, shape in (("O", (100, 200)), ("R", (300, 150)), ("glass", (64, 64))):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.jpg"), np.full((*shape, 3), 90, np.uint8))
    (tmp_path / "O" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "O" / "notes.txt").write_text("not a picture either")
    cards = {card.label: card for card in picture_cards(tmp_path)}
    assert set(cards) == {"organic", "recyclable", "glass"}
    assert cards["organic"].length_mm == pytest.approx(60, abs=2)
    assert cards["organic"].width_mm == pytest.approx(120)
    assert cards["recyclable"].length_mm == pytest.approx(120)
    assert cards["organic"].name == "O/a.jpg"


def test_a_folder_without_pictures_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pictures in class folders"):
        picture_cards(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        picture_cards(tmp_path / "nowhere")


def test_an_item_is_drawn_where_and_how_it_lies() -> None:
    """The outline that truth uses covers exactly the pixels that the renderer changes."""
    size = ViewSize()
    renderer = BeltRenderer(size, seed=2)
    item = PlacedItem(0, drawn_thing("recyclable", 11), along_mm=-1000.0, lateral_mm=220.0, angle_deg=33.0)
    belt_mm = 1180.0  # it stands 180 mm below the frame's upper edge
    empty = renderer.render(belt_mm, 0.0, 5, []).astype(int)
    full = renderer.render(belt_mm, 0.0, 5, [item]).astype(int)
    changed = (np.abs(full - empty).max(axis=2) > 25).astype(np.uint8)
    outline = np.array(turned_outline_mm(item))
    points = np.stack([outline[:, 1] + 220.0, outline[:, 0] + 180.0], axis=1) * size.px_per_mm
    expected = np.zeros(changed.shape, np.uint8)
    cv2.fillPoly(expected, [np.round(points).astype(np.int32)], 1)
    overlap = float((changed & expected).sum() / (changed | expected).sum())
    assert overlap > 0.85


def test_the_same_moment_looks_the_same_and_the_belt_moves_with_the_encoder() -> None:
    one, other = BeltRenderer(SMALL, seed=4), BeltRenderer(SMALL, seed=4)
    frame = one.render(500.0, 1000.0, 77, [])
    other.render(480.0, 1000.0, 12, [])
    np.testing.assert_array_equal(frame, other.render(500.0, 1000.0, 77, []))
    later = one.render(500.0 + 10 / SMALL.px_per_mm, 1000.0, 77, [])
    shifted = np.abs(later[10:].astype(int) - frame[:-10]).mean()
    still = np.abs(later.astype(int) - frame).mean()
    assert shifted < still


def test_motion_blur_leaves_no_black_columns_beside_an_item() -> None:
    renderer = BeltRenderer(ViewSize(), seed=7)
    items = [
        PlacedItem(i, drawn_thing("organic", i), 80.0 + 110 * (i // 4), 90.0 + 140 * (i % 4), 20.0 * i)
        for i in range(8)
    ]
    frame = renderer.render(0.0, 1000.0, 1, items)
    assert frame.max(axis=2).min() > 20


def test_a_stamp_made_ahead_is_the_stamp_that_is_pasted() -> None:
    item = PlacedItem(1, drawn_thing("organic", 5), 100.0, 300.0, 12.0)
    ahead, at_once = BeltRenderer(SMALL, seed=1), BeltRenderer(SMALL, seed=1)
    ahead.prepare(900.0, [item], at_most=2)
    np.testing.assert_array_equal(ahead.render(0.0, 900.0, 3, [item]), at_once.render(0.0, 900.0, 3, [item]))
