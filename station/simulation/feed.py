"""Lays things on the belt: which, where and turned how, as a function of the seed alone.

Knows the belt's width and the wanted spacing, no time: the feeder is geared to the belt, so a slow belt gets fewer
items a second at the same distances, and wall time and virtual time see the same items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from station.simulation.items import ORGANIC_LABEL, RECYCLABLE_LABEL, Thing, drawn_thing
from station.simulation.renderer import PlacedItem

Choose = Callable[[int], Thing]  # item number -> thing

CANDIDATES = 24  # places tried at once across the belt
EDGE_MM = 6.0  # free rim of the belt
# How far an item may leave its turn along the belt to find room, nearest first.
SHIFTS_MM = (0.0, 12.0, -12.0, 25.0, -25.0, 45.0, -45.0, 70.0, 100.0, 140.0, 190.0, 260.0)
REACH_MM = 420.0  # nothing farther back can touch a new item
TOUCHING_SHARE = 0.35  # of the items of a touching feed are pushed against the one before


@dataclass(frozen=True, slots=True)
class FeedPlan:
    seed: int
    spacing_mm: float  # belt travel per item: speed / items per second
    belt_width_mm: float = 600.0
    clear_gap_mm: float = 20.0
    touching: bool = False


class Feed:
    """The endless row of items, laid one after the other and remembered.

    Each lies so far *behind* the feed's start, which is the point under the frame's upper edge at belt travel zero.
    """

    def __init__(self, plan: FeedPlan, choose: Choose) -> None:
        self.plan = plan
        self.items: list[PlacedItem] = []
        self._choose = choose
        self._boxes: list[_Footprint] = []

    def up_to(self, travel_mm: float) -> list[PlacedItem]:
        """All items laid so far: at least all whose middle enters the frame by this belt travel."""
        while self._next_target_mm() <= travel_mm + max(0.0, -min(SHIFTS_MM)) + self.plan.spacing_mm:
            self._lay(len(self.items))
        return self.items

    def _next_target_mm(self) -> float:
        return self.plan.spacing_mm * (len(self.items) + 0.5)

    def _lay(self, number: int) -> None:
        rng = np.random.default_rng([self.plan.seed, 31, number])
        thing = self._choose(number)
        target_mm = self._next_target_mm() + float(rng.uniform(-0.35, 0.35)) * min(self.plan.spacing_mm, 150.0)
        near = [box for box in self._boxes[-64:] if box.behind_mm > target_mm - REACH_MM]
        place = self._push_against(thing, near, rng) if self.plan.touching else None
        place = place or self._find_room(thing, max(60.0, target_mm), near, rng)
        self._boxes.append(place)
        self.items.append(PlacedItem(number, thing, -place.behind_mm, place.lateral_mm, place.angle_deg))

    def _find_room(
        self, thing: Thing, target_mm: float, near: list[_Footprint], rng: np.random.Generator
    ) -> _Footprint:
        gap_mm = 0.5 if self.plan.touching else self.plan.clear_gap_mm
        beyond = max((box.behind_mm for box in near), default=0.0) + 190.0
        for shift_mm in (*SHIFTS_MM, max(0.0, beyond - target_mm)):
            tries = _candidates(thing, target_mm + shift_mm, self.plan.belt_width_mm, rng)
            free = next((place for place in tries if all(_clear_mm(place, box) >= gap_mm for box in near)), None)
            if free is not None:
                return free
        return tries[0]  # beyond everything laid: free by construction

    def _push_against(self, thing: Thing, near: list[_Footprint], rng: np.random.Generator) -> _Footprint | None:
        """Right behind the last item, sharing some of its width, closer than any camera can part."""
        if not near or rng.random() > TOUCHING_SHARE:
            return None
        last = near[-1]
        angle_deg = float(rng.uniform(0, 360))
        for step in count():
            behind_mm = last.behind_mm + 20 + step * 2.0
            place = _Footprint(behind_mm, last.lateral_mm, angle_deg, thing.length_mm / 2, thing.width_mm / 2)
            if all(_clear_mm(place, box) >= 0.3 for box in near):
                return place if place.fits(self.plan.belt_width_mm) else None
        return None


@dataclass(frozen=True, slots=True)
class _Footprint:
    """The rectangle a thing lies in: half its length and width, turned."""

    behind_mm: float
    lateral_mm: float
    angle_deg: float
    half_length_mm: float
    half_width_mm: float

    def axes(self) -> NDArray[np.float64]:
        """Unit vectors (lateral, behind) of its length and its width. Matches `renderer.turned_sprite`."""
        turn = np.radians(self.angle_deg)
        return np.array([[np.sin(turn), -np.cos(turn)], [np.cos(turn), np.sin(turn)]])

    def reach_mm(self, direction: NDArray[np.float64]) -> float:
        length, width = np.abs(self.axes() @ direction)
        return float(length * self.half_length_mm + width * self.half_width_mm)

    def fits(self, belt_width_mm: float) -> bool:
        half = self.reach_mm(np.array([1.0, 0.0])) + EDGE_MM
        return half <= self.lateral_mm <= belt_width_mm - half


def _clear_mm(one: _Footprint, other: _Footprint) -> float:
    """A gap that is certainly there: the widest one that a side of either rectangle sees (negative: they overlap)."""
    between = np.array([other.lateral_mm - one.lateral_mm, other.behind_mm - one.behind_mm])
    radius = np.hypot(one.half_length_mm, one.half_width_mm) + np.hypot(other.half_length_mm, other.half_width_mm)
    far = float(np.hypot(*between)) - float(radius)
    if far > 60:  # no need to look closer
        return far
    axes = np.concatenate([one.axes(), other.axes()])
    one_reach = np.abs(axes @ one.axes().T) @ np.array([one.half_length_mm, one.half_width_mm])
    other_reach = np.abs(axes @ other.axes().T) @ np.array([other.half_length_mm, other.half_width_mm])
    return max(far, float(np.max(np.abs(axes @ between) - one_reach - other_reach)))


def _candidates(thing: Thing, behind_mm: float, belt_width_mm: float, rng: np.random.Generator) -> list[_Footprint]:
    places = []
    for _ in range(CANDIDATES):
        angle_deg = float(rng.uniform(0, 360))
        upright = _Footprint(behind_mm, 0.0, angle_deg, thing.length_mm / 2, thing.width_mm / 2)
        half = upright.reach_mm(np.array([1.0, 0.0])) + EDGE_MM
        middle = belt_width_mm / 2
        lateral_mm = float(rng.uniform(half, belt_width_mm - half)) if half < middle else middle
        places.append(_Footprint(behind_mm, lateral_mm, angle_deg, thing.length_mm / 2, thing.width_mm / 2))
    return places


def drawn_choice(seed: int, variants: int) -> Choose:
    """Half organic, half recyclable, from `variants` things of each that belong to the seed."""

    def choose(number: int) -> Thing:
        rng = np.random.default_rng([seed, 41, number])
        label = RECYCLABLE_LABEL if rng.random() < 0.5 else ORGANIC_LABEL
        return drawn_thing(label, _first_seed(seed) + int(rng.integers(variants)))

    return choose


def drawn_pool(seed: int, variants: int) -> list[Thing]:
    """Everything that `drawn_choice` may choose."""
    first = _first_seed(seed)
    return [drawn_thing(label, first + v) for label in (ORGANIC_LABEL, RECYCLABLE_LABEL) for v in range(variants)]


def _first_seed(seed: int) -> int:
    return seed % 100_000 * 10_000


def card_choice(seed: int, cards: list[Thing]) -> Choose:
    """Each card once in seeded order, then all again in another order."""
    orders: dict[int, NDArray[np.int64]] = {}

    def choose(number: int) -> Thing:
        turn, place = divmod(number, len(cards))
        if turn not in orders:
            orders[turn] = np.random.default_rng([seed, 51, turn]).permutation(len(cards))
        return cards[int(orders[turn][place])]

    return choose
