"""One camera's strip of the virtual belt: what is fed onto it, and what the camera sees of it.

The feeder stands just above the view and is geared to the belt. Without the station's permit it lays nothing: what would have
come then comes after the pause, at the same distances. Knows belt travel, no time but that of the light; no other lane.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from station.config import CameraConfig, VirtualLineConfig
from station.simulation.faults import Fault
from station.simulation.feed import Choose, Feed, FeedPlan
from station.simulation.renderer import BeltRenderer, BgrImage, PlacedItem, ViewSize

LONGEST_MM = 260.0  # no thing reaches farther from its middle, turned and with its shadow
AHEAD_MM = 500.0
OUT_OF_TURN_MM = 700.0  # by how much the feed's order may differ from the order on the belt
ITEMS_PER_LANE = 1_000_000  # item ids of lane n begin at n times this
NOTHING_FED_MM = -1.0


@dataclass(frozen=True, slots=True)
class LineOptions:
    """What a person may choose about one run of the virtual line, beside the configuration."""

    seed: int = 1
    for_s: float = 20.0  # the feed's duration; then the belt runs out
    items: Path | None = None  # ImageFolder; None: built-in drawn things
    touching: bool = False
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _Pause:
    """The feeder stood for so much belt travel: things farther back in the feed than `after_mm` come that much later."""

    after_mm: float
    travel_mm: float


class Lane:
    def __init__(
        self, number: int, camera: CameraConfig, virtual: VirtualLineConfig, options: LineOptions, choose: Choose
    ) -> None:
        self.camera_id = camera.id
        self._virtual = virtual
        self._seed = options.seed + number
        px_per_mm = virtual.width_px / virtual.view_width_mm
        self._size = ViewSize(virtual.width_px, virtual.height_px, px_per_mm, camera.lateral_at_mm)
        self._renderer: BeltRenderer | None = None
        self._feed = _new_feed(number, camera, virtual, options, choose)
        self._items: list[PlacedItem] = []
        self._laid = 0  # of the feed's items, how many have been looked at for `_items`
        self._begin_mm: float | None = None  # belt travel when the feed began
        self._pauses: list[_Pause] = []
        self._standing: float | None = None  # belt travel since which the feeder stands
        self._passed = 0
        self._passed_at_mm = 0.0

    # -- feeding -----------------------------------------------------------------------------------------------------

    def begin_feed(self, belt_mm: float) -> None:
        self._begin_mm = belt_mm

    def permit(self, permitted: bool, belt_mm: float) -> None:
        """The station's word to the feeder."""
        if permitted == (self._standing is None):
            return
        if self._standing is None:
            self._standing = belt_mm
        else:
            self._pauses.append(_Pause(self._fed_up_to_mm(self._standing), belt_mm - self._standing))
            self._standing = None
        self._items, self._laid, self._passed = [], 0, 0

    def items_up_to(self, belt_mm: float) -> list[PlacedItem]:
        """At least all whose middle has entered the frame by this belt travel, roughly in the order on the belt."""
        if self._feed is None or self._begin_mm is None:
            return self._items
        limit_mm = float("inf") if self._standing is None else self._fed_up_to_mm(self._standing)
        laid = self._feed.up_to(min(belt_mm - self._begin_mm - self._paused_mm(), limit_mm))
        fresh = [self._placed(item) for item in laid[self._laid :] if -item.along_mm <= limit_mm]
        if self._laid == 0 and self._pauses:
            fresh.sort(key=lambda item: -item.along_mm)
        self._items += fresh
        self._laid = len(laid)
        return self._items

    def _placed(self, item: PlacedItem) -> PlacedItem:
        assert self._begin_mm is not None
        later_mm = sum(pause.travel_mm for pause in self._pauses if -item.along_mm > pause.after_mm)
        return replace(item, along_mm=item.along_mm - self._begin_mm - later_mm)

    def _fed_up_to_mm(self, belt_mm: float) -> float:
        """How far the feed has got at this belt travel, in its own millimetres: the feeder stands above the view."""
        return belt_mm + LONGEST_MM - (self._begin_mm or 0.0) - self._paused_mm()

    def _paused_mm(self) -> float:
        return sum(pause.travel_mm for pause in self._pauses)

    # -- seeing ------------------------------------------------------------------------------------------------------

    def render(self, belt_mm: float, speed_mm_s: float, t_ns: int, last_mm: float, out: BgrImage | None) -> BgrImage:
        return self._draws().render(belt_mm, speed_mm_s, t_ns, self.visible(belt_mm, last_mm), out)

    def visible(self, belt_mm: float, last_mm: float) -> list[PlacedItem]:
        """Items that any part of the frame may show; the feed ends with belt travel `last_mm`."""
        items = self.items_up_to(belt_mm + LONGEST_MM)
        if belt_mm < self._passed_at_mm:
            self._passed = 0
        self._passed_at_mm = belt_mm
        beyond_mm = self._virtual.view_length_mm + LONGEST_MM
        while self._passed < len(items) and items[self._passed].along_mm + belt_mm > beyond_mm + OUT_OF_TURN_MM:
            self._passed += 1
        shown = []
        for item in items[self._passed :]:
            if -item.along_mm > belt_mm + LONGEST_MM + OUT_OF_TURN_MM:
                break
            if -LONGEST_MM < item.along_mm + belt_mm < beyond_mm and -item.along_mm <= last_mm:
                shown.append(item)
        return shown

    def prepare(self, belt_mm: float, speed_mm_s: float, last_mm: float, at_most: int) -> None:
        """Draw a few of the things that enter within the next half metre, ahead of time."""
        items = self.items_up_to(belt_mm + LONGEST_MM + AHEAD_MM)[self._passed :]
        coming = [item for item in items if LONGEST_MM <= -item.along_mm - belt_mm <= LONGEST_MM + AHEAD_MM]
        self._draws().prepare(speed_mm_s, (item for item in coming if -item.along_mm <= last_mm), at_most)

    def _draws(self) -> BeltRenderer:
        if self._renderer is None:
            self._renderer = BeltRenderer(self._size, self._seed, self._virtual.exposure_ms / 1000.0)
        return self._renderer


def _new_feed(
    number: int, camera: CameraConfig, virtual: VirtualLineConfig, options: LineOptions, choose: Choose
) -> Feed | None:
    if virtual.feed_per_s <= 0:
        return None
    plan = FeedPlan(
        seed=options.seed,
        spacing_mm=virtual.speed_m_s * 1000.0 / virtual.feed_per_s,
        belt_width_mm=virtual.view_width_mm,
        clear_gap_mm=virtual.clear_gap_mm,
        touching=options.touching,
        first_id=number * ITEMS_PER_LANE,
        left_mm=camera.lateral_at_mm,
    )
    return Feed(plan, choose)
