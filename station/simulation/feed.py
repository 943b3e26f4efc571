"""Lays things on the belt: which, where and turned how, as a function of the seed alone.

Knows the belt's width and the wanted spacing, no time: the feeder is geared to the belt, so a slow belt gets fewer
items a second at the same distances, and wall time and virtual time see the same items.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from station.simulation.items import DRAWN_MM, ORGANIC_LABEL, RECYCLABLE_LABEL, SizeRange, Thing, drawn_thing
from station.simulation.renderer import PlacedItem

Choose = Callable[[int], Thing]  # item number -> thing

# One row per thing: the rectangle it lies in.
_BEHIND, _LATERAL, _TURN, _HALF_LENGTH, _HALF_WIDTH = range(5)  # mm, mm, radians, mm, mm
Footprint = NDArray[np.float64]  # (5,)
Footprints = NDArray[np.float64]  # (N, 5)

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
    first_id: int = 0  # ids count up from here; places and turns follow from them
    left_mm: float = 0.0  # lateral position of the strip that is fed


class Feed:
    """The endless row of items, laid one after the other and remembered.

    Each lies so far *behind* the feed's start, which is the point under the frame's upper edge at belt travel zero.
    """

    def __init__(self, plan: FeedPlan, choose: Choose) -> None:
        self.plan = plan
        self.items: list[PlacedItem] = []
        self._choose = choose
        self._laid: Footprints = np.empty((0, 5))

    def up_to(self, travel_mm: float) -> list[PlacedItem]:
        """All items laid so far: at least all whose middle enters the frame by this belt travel."""
        while self._next_target_mm() <= travel_mm + max(0.0, -min(SHIFTS_MM)) + self.plan.spacing_mm:
            self._lay(self.plan.first_id + len(self.items))
        return self.items

    def _next_target_mm(self) -> float:
        return self.plan.spacing_mm * (len(self.items) + 0.5)

    def _lay(self, number: int) -> None:
        rng = np.random.default_rng([self.plan.seed, 31, number])
        thing = self._choose(number)
        target_mm = self._next_target_mm() + float(rng.uniform(-0.35, 0.35)) * min(self.plan.spacing_mm, 150.0)
        near = self._laid[-64:]
        near = near[near[:, _BEHIND] > target_mm - REACH_MM]
        place = self._push_against(thing, near, rng) if self.plan.touching else None
        if place is None:
            place = self._find_room(thing, max(60.0, target_mm), near, rng)
        self._laid = np.concatenate([self._laid[-256:], place[None]])
        behind_mm, lateral_mm, turn = (float(value) for value in place[:3])
        self.items.append(PlacedItem(number, thing, -behind_mm, self.plan.left_mm + lateral_mm, math.degrees(turn)))

    def _find_room(self, thing: Thing, target_mm: float, near: Footprints, rng: np.random.Generator) -> Footprint:
        gap_mm = 0.5 if self.plan.touching else self.plan.clear_gap_mm
        beyond = float(near[:, _BEHIND].max(initial=0.0)) + 190.0
        for shift_mm in (*SHIFTS_MM, max(0.0, beyond - target_mm)):
            tries = _candidates(thing, target_mm + shift_mm, self.plan.belt_width_mm, rng)
            free = np.flatnonzero((_clear_mm(tries, near) >= gap_mm).all(axis=1))
            if len(free):
                return np.asarray(tries[free[0]])
        return np.asarray(tries[0])  # beyond everything laid: free by construction

    def _push_against(self, thing: Thing, near: Footprints, rng: np.random.Generator) -> Footprint | None:
        """Right behind the last item, sharing some of its width, closer than any camera can part."""
        if not len(near) or rng.random() > TOUCHING_SHARE:
            return None
        behind_mm = near[-1, _BEHIND] + np.arange(20.0, 320.0, 2.0)
        tries = np.empty((len(behind_mm), 5))
        tries[:] = (0.0, near[-1, _LATERAL], rng.uniform(0, 2 * np.pi), thing.length_mm / 2, thing.width_mm / 2)
        tries[:, _BEHIND] = behind_mm
        free = np.flatnonzero((_clear_mm(tries, near) >= 0.3).all(axis=1))
        half_mm = float(_half_width_mm(tries[:1])[0]) + EDGE_MM
        fits = half_mm <= near[-1, _LATERAL] <= self.plan.belt_width_mm - half_mm
        return np.asarray(tries[free[0]]) if fits and len(free) else None


def _half_width_mm(boxes: Footprints) -> NDArray[np.float64]:
    """How far each reaches across the belt from its middle."""
    turn = boxes[:, _TURN]
    return np.asarray(np.abs(np.sin(turn)) * boxes[:, _HALF_LENGTH] + np.abs(np.cos(turn)) * boxes[:, _HALF_WIDTH])


def _clear_mm(ones: Footprints, others: Footprints) -> NDArray[np.float64]:
    """(ones, others): gaps that are certainly there, the widest that a side of either rectangle sees. Negative: overlap.

    The axes of a thing turned by t are (sin t, -cos t) along its length and (cos t, sin t) across it, in (lateral,
    behind); that is how `renderer.turned_sprite` turns its picture.
    """
    one, other = ones[:, None, :], others[None, :, :]
    behind, lateral = other[..., _BEHIND] - one[..., _BEHIND], other[..., _LATERAL] - one[..., _LATERAL]
    cos, sin = np.abs(np.cos(one[..., _TURN] - other[..., _TURN])), np.abs(np.sin(one[..., _TURN] - other[..., _TURN]))
    gaps = []
    for mine, theirs in ((one, other), (other, one)):
        turn = mine[..., _TURN]
        length, width = theirs[..., _HALF_LENGTH], theirs[..., _HALF_WIDTH]
        along = np.abs(np.sin(turn) * lateral - np.cos(turn) * behind)
        across = np.abs(np.cos(turn) * lateral + np.sin(turn) * behind)
        gaps.append(along - mine[..., _HALF_LENGTH] - (cos * length + sin * width))
        gaps.append(across - mine[..., _HALF_WIDTH] - (sin * length + cos * width))
    radii = np.hypot(one[..., _HALF_LENGTH], one[..., _HALF_WIDTH])
    radii = radii + np.hypot(other[..., _HALF_LENGTH], other[..., _HALF_WIDTH])
    return np.asarray(np.max([*gaps, np.hypot(behind, lateral) - radii], axis=0))


def _candidates(thing: Thing, behind_mm: float, belt_width_mm: float, rng: np.random.Generator) -> Footprints:
    tries = np.empty((CANDIDATES, 5))
    tries[:, _BEHIND] = behind_mm
    tries[:, _TURN] = rng.uniform(0, 2 * np.pi, CANDIDATES)
    tries[:, _HALF_LENGTH], tries[:, _HALF_WIDTH] = thing.length_mm / 2, thing.width_mm / 2
    half_mm = np.minimum(_half_width_mm(tries) + EDGE_MM, belt_width_mm / 2)
    tries[:, _LATERAL] = half_mm + rng.random(CANDIDATES) * (belt_width_mm - 2 * half_mm)
    return tries


def drawn_choice(seed: int, variants: int, sizes_mm: SizeRange = DRAWN_MM) -> Choose:
    """Half organic, half recyclable, from `variants` things of each that belong to the seed."""

    def choose(number: int) -> Thing:
        rng = np.random.default_rng([seed, 41, number])
        label = RECYCLABLE_LABEL if rng.random() < 0.5 else ORGANIC_LABEL
        return drawn_thing(label, _first_seed(seed) + int(rng.integers(variants)), sizes_mm)

    return choose


def drawn_pool(seed: int, variants: int, sizes_mm: SizeRange = DRAWN_MM) -> list[Thing]:
    """Everything that `drawn_choice` may choose."""
    first = _first_seed(seed)
    labels = (ORGANIC_LABEL, RECYCLABLE_LABEL)
    return [drawn_thing(label, first + variant, sizes_mm) for label in labels for variant in range(variants)]


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
