"""A rendered belt with known items: the truth that detector, tracker and view are measured against."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from station.datatypes import Frame
from station.simulation.items import drawn_thing
from station.simulation.renderer import BeltRenderer, PlacedItem, ViewSize

# As in the station: OpenCV's own threads only wait for each other on a busy machine.
cv2.setNumThreads(1)
MM_PER_COUNT = 0.5
FPS = 30


@dataclass(frozen=True)
class Scene:
    """A belt at constant speed; items lie in rows, clear of each other, the first one upstream of the view."""

    seed: int
    speed_mm_s: float
    items: tuple[PlacedItem, ...]
    renderer: BeltRenderer

    def frame(self, number: int, *, counted: bool = True, travel_mm: float | None = None) -> Frame:
        at_ns = round(number * 1e9 / FPS)
        travel = number * self.speed_mm_s / FPS if travel_mm is None else travel_mm
        near = [item for item in self.items if -150 < item.along_mm + travel < 550]
        bgr = self.renderer.render(travel, self.speed_mm_s, at_ns, near)
        return Frame("camera0", number, at_ns, bgr, travel / MM_PER_COUNT if counted else None, 0.2)

    def frames(self, count: int, *, counted: bool = True) -> Iterator[Frame]:
        return (self.frame(number, counted=counted) for number in range(count))


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Scene]:
    def make(seed: int, speed_mm_s: float = 1000.0, rows: int = 0) -> Scene:
        rng = np.random.default_rng(seed)
        items: list[PlacedItem] = []
        for row in range(rows):
            for column in range(3):
                thing = drawn_thing(("organic", "recyclable")[int(rng.integers(2))], int(rng.integers(1 << 30)))
                place = (-90.0 - 185.0 * row, 100.0 + 200.0 * column, float(rng.uniform(-180, 180)))
                items.append(PlacedItem(len(items), thing, *place))
        return Scene(seed, speed_mm_s, tuple(items), BeltRenderer(ViewSize(), seed))

    return make
