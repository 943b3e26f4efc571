"""A belt as full as it can be: small drawn things in rows and columns, so that every frame offers many looks.

For measuring speed, not quality: nothing lands anywhere. Knows the renderer; time is the number of the frame.
"""

import numpy as np

from station.config import VirtualLineConfig
from station.datatypes import Frame
from station.simulation.items import Thing, drawn_thing
from station.simulation.renderer import BeltRenderer, PlacedItem, ViewSize

PITCH_MM = 100.0
LONGEST_MM = 78.0  # turned in any direction it stays within its place
MARGIN_MM = 50.0
FRAME_NS = 33_333_333
SPEED_MM_S = 1000.0
LABELS = ("organic", "recyclable")


class PackedBelt:
    def __init__(
        self, line: VirtualLineConfig, camera_id: str, start_ns: int, empty_frames: int, seed: int = 1
    ) -> None:
        self._line = line
        self._camera_id = camera_id
        self._start_ns = start_ns
        px_per_mm = line.width_px / line.view_width_mm
        self._renderer = BeltRenderer(ViewSize(line.width_px, line.height_px, px_per_mm), seed, line.exposure_ms / 1e3)
        self._first_row_mm = self._travel_mm(empty_frames) + PITCH_MM
        self._things = _small_things(64, seed)
        self._angles = np.random.default_rng(seed).uniform(0.0, 360.0, 997)
        self._next = 0

    def next_frame(self) -> Frame:
        number, self._next = self._next, self._next + 1
        captured_ns = self._start_ns + number * FRAME_NS
        travel_mm = self._travel_mm(number)
        bgr = self._renderer.render(travel_mm, SPEED_MM_S, captured_ns, self._items(travel_mm))
        return Frame(self._camera_id, number, captured_ns, bgr, travel_mm / self._line.mm_per_count, 1.0)

    def _travel_mm(self, number: int) -> float:
        return SPEED_MM_S * number * FRAME_NS / 1e9

    def _items(self, travel_mm: float) -> list[PlacedItem]:
        """Row r lies at belt coordinate -(first + r * pitch); those that reach into the view."""
        columns = int((self._line.view_width_mm - 2 * MARGIN_MM) // PITCH_MM) + 1
        newest = int((travel_mm + PITCH_MM - self._first_row_mm) // PITCH_MM)
        oldest = newest - int(self._line.view_length_mm // PITCH_MM) - 3
        return [
            self._item(row * columns + column, row, MARGIN_MM + column * PITCH_MM)
            for row in range(max(0, oldest), newest + 1)
            for column in range(columns)
        ]

    def _item(self, number: int, row: int, lateral_mm: float) -> PlacedItem:
        return PlacedItem(
            item_id=number,
            thing=self._things[number % len(self._things)],
            along_mm=-(self._first_row_mm + row * PITCH_MM),
            lateral_mm=lateral_mm,
            angle_deg=float(self._angles[number % len(self._angles)]),
        )


def _small_things(count: int, seed: int) -> list[Thing]:
    things: list[Thing] = []
    number = seed * 100_000
    while len(things) < count:
        thing = drawn_thing(LABELS[number % 2], number)
        if max(thing.length_mm, thing.width_mm) <= LONGEST_MM:
            things.append(thing)
        number += 1
    return things
