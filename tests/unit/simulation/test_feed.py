import numpy as np
import pytest
from numpy.typing import NDArray

from station.simulation.feed import Feed, FeedPlan, card_choice, drawn_choice
from station.simulation.items import Thing
from station.simulation.renderer import PlacedItem

Corners = NDArray[np.float64]  # (4, 2)


def corners_of(item: PlacedItem) -> Corners:
    """(lateral, along) corners of the rectangle the item lies in, worked out from the picture's rotation."""
    turn = np.radians(item.angle_deg)
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (item.thing.width_mm / 2, item.thing.length_mm / 2)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(half @ rotation.T + (item.lateral_mm, item.along_mm))


def gap_mm(one: Corners, other: Corners) -> float:
    """Smallest distance between outlines sampled every few millimetres; 0 when they may overlap."""

    def border(corners: Corners) -> Corners:
        share = np.linspace(0, 1, 40)[:, None]
        return np.concatenate([a + share * (b - a) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)])

    a, b = border(one), border(other)
    return float(np.min(np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1))))


def lay(feed_per_s: float, speed_mm_s: float, *, touching: bool = False, seed: int = 3) -> list[PlacedItem]:
    plan = FeedPlan(seed, speed_mm_s / feed_per_s, touching=touching)
    feed = Feed(plan, drawn_choice(seed, 64))
    return [item for item in feed.up_to(speed_mm_s * 2) if -item.along_mm < speed_mm_s * 2]


@pytest.mark.parametrize(("feed_per_s", "speed_mm_s"), [(10, 1000), (33, 2500), (67, 3000)])
def test_the_feed_reaches_its_rate_with_clear_gaps_inside_the_belt(feed_per_s: float, speed_mm_s: float) -> None:
    items = lay(feed_per_s, speed_mm_s)
    assert len(items) == pytest.approx(2 * feed_per_s, abs=3)
    outlines = [corners_of(item) for item in items]
    for index, outline in enumerate(outlines):
        assert outline[:, 0].min() >= 0
        assert outline[:, 0].max() <= 600
        for other in outlines[max(0, index - 18) : index]:
            assert gap_mm(outline, other) >= 19.0  # 20 mm, less what the sampling hides


def test_a_touching_feed_has_touching_items_and_none_on_top_of_another() -> None:
    items = lay(10, 1000, touching=True)
    outlines = [corners_of(item) for item in items]
    gaps = [min(gap_mm(a, b) for b in outlines[max(0, i - 8) : i]) for i, a in enumerate(outlines) if i]
    assert sum(gap < 6 for gap in gaps) > len(gaps) / 6
    assert min(gaps) > 0


def test_the_same_seed_lays_the_same_items_in_whatever_steps_they_are_asked_for() -> None:
    plan = FeedPlan(9, 100.0)
    at_once, step_by_step = Feed(plan, drawn_choice(9, 64)), Feed(plan, drawn_choice(9, 64))
    for travel_mm in range(0, 3001, 130):
        step_by_step.up_to(travel_mm)
    items = at_once.up_to(3000)
    assert step_by_step.items[: len(items)] == items[: len(step_by_step.items)]
    assert lay(10, 1000, seed=4) != lay(10, 1000, seed=5)


def test_drawn_items_are_half_and_half() -> None:
    choose = drawn_choice(1, 64)
    recyclable = sum(choose(number).label == "recyclable" for number in range(1000))
    assert 450 <= recyclable <= 550


def test_each_card_is_used_once_before_any_comes_again() -> None:
    cards = [Thing(f"O/{n}.jpg", "organic", 0, 120.0, 80.0) for n in range(37)]
    choose = card_choice(5, cards)
    first, second = [choose(n).name for n in range(37)], [choose(n).name for n in range(37, 74)]
    assert sorted(first) == sorted(second) == sorted(card.name for card in cards)
    assert first != second
