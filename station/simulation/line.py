"""The virtual line: belt, items and pictures as functions of time. No threads, no clock, no station.

Virtual time asks it in lock-step (`frame_at`, `count_at`); in wall time `process.py` asks it for each frame it publishes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from station.config import StationConfig
from station.simulation.belt import BeltProfile, count_of, cruising, with_faults
from station.simulation.faults import Fault
from station.simulation.feed import Choose, Feed, FeedPlan, card_choice, drawn_choice, drawn_pool
from station.simulation.gates import Edge, GatePhysics, physics_of
from station.simulation.items import picture_cards
from station.simulation.renderer import BeltRenderer, BgrImage, PlacedItem, ViewSize
from station.simulation.truth import GateRecord, ItemTruth, land_items

VARIANTS = 128  # different drawn things of each label in one run; a run of a thousand items repeats some
LONGEST_MM = 260.0  # no thing reaches farther from its middle, turned and with its shadow
AHEAD_MM = 500.0
OUT_OF_TURN_MM = 700.0  # by how much the feed's order may differ from the order on the belt


@dataclass(frozen=True, slots=True)
class LineOptions:
    """What a person may choose about one run of the virtual line, beside the configuration."""

    seed: int = 1
    for_s: float = 20.0  # the feed's duration; then the belt runs out
    items: Path | None = None  # ImageFolder; None: built-in drawn things
    touching: bool = False
    faults: tuple[Fault, ...] = field(default=())


def product_bin(config: StationConfig) -> str:
    """The bin whose purity and recovery are reported: as configured, else the first with gates."""
    gated = [name for name, section in config.sort.bins.items() if section.gates]
    return config.sort.product_bin or (gated[0] if gated else config.sort.fallback_bin)


def drawn_sizes_mm(config: StationConfig) -> tuple[float, float]:
    return config.virtual.item_min_mm, config.virtual.item_max_mm


def thing_choice(config: StationConfig, options: LineOptions) -> Choose:
    """Which thing is the n-th fed: also for whoever wants to look at the same things without a line."""
    if options.items is None:
        return drawn_choice(options.seed, VARIANTS, drawn_sizes_mm(config))
    return card_choice(options.seed, picture_cards(options.items, config.virtual.card_mm))


class VirtualLine:
    """One run. The belt cruises from `start_ns`; things are fed from `begin_feed` for `for_s`."""

    def __init__(self, config: StationConfig, options: LineOptions, start_ns: int) -> None:
        virtual = config.virtual
        self.config = config
        self.options = options
        self.physics: GatePhysics = physics_of(config)
        self.belt: BeltProfile
        self.start_belt(start_ns)
        self.feed_start_ns: int | None = None
        self.feed_end_ns: int | None = None
        self._size = ViewSize(virtual.width_px, virtual.height_px, virtual.width_px / virtual.view_width_mm)
        self._renderer: BeltRenderer | None = None
        self._feed = self._new_feed()
        self._items: list[PlacedItem] = []
        self._first_mm = 0.0
        self._passed = 0
        self._passed_at_mm = 0.0

    # -- time ------------------------------------------------------------------------------------------------------

    def start_belt(self, at_ns: int) -> None:
        """The belt cruises from now on, at position zero, empty."""
        self.belt = cruising(at_ns, self.config.virtual.speed_m_s * 1000.0)

    def begin_feed(self, at_ns: int) -> None:
        """Things come from now on, and the faults' clock starts."""
        virtual = self.config.virtual
        self.feed_start_ns = at_ns
        self.feed_end_ns = at_ns + round(self.options.for_s * 1e9)
        self._first_mm = self.belt.position_mm(at_ns)
        self.belt = with_faults(self.belt, self.options.faults, at_ns, virtual.ramp_m_s2 * 1000.0)

    def stop_feed(self, at_ns: int) -> None:
        if self.feed_end_ns is not None:
            self.feed_end_ns = min(self.feed_end_ns, at_ns)

    def gone_ns(self) -> int | None:
        """When the last thing fed has passed the gates; None before the feed began."""
        if self.feed_end_ns is None:
            return None
        last_mm = max((-item.along_mm for item in self.fed()), default=0.0)
        gone_mm = last_mm + self.physics.at_mm + LONGEST_MM
        gone_ns = self.belt.time_ns(max(gone_mm, self.belt.position_mm(self.feed_end_ns)))
        return None if gone_ns is None else max(gone_ns, self.feed_end_ns)

    # -- what the world shows ----------------------------------------------------------------------------------------

    def count_at(self, t_ns: int) -> int:
        """What an encoder that was zeroed with the belt's record shows."""
        return count_of(self.belt.position_mm(t_ns), self.config.virtual.mm_per_count)

    def frame_at(self, t_ns: int, out: BgrImage | None = None) -> BgrImage | None:
        """The picture exposed around `t_ns`; None while a camera fault lasts."""
        if self.camera_down(t_ns):
            return None
        t_ns = self.shown_ns(t_ns)
        belt_mm = self.belt.position_mm(t_ns)
        return self._draws().render(belt_mm, self.belt.speed_mm_s(t_ns), t_ns, self.visible_at(t_ns), out)

    def prepare(self, t_ns: int, at_most: int = 3) -> None:
        """Draw a few of the things that enter within the next half metre, ahead of time."""
        belt_mm = self.belt.position_mm(t_ns)
        last_mm = self._last_fed_mm()
        items = self._items_up_to(belt_mm + LONGEST_MM + AHEAD_MM)[self._passed :]
        coming = [item for item in items if LONGEST_MM <= -item.along_mm - belt_mm <= LONGEST_MM + AHEAD_MM]
        self._draws().prepare(
            self.belt.speed_mm_s(t_ns), (item for item in coming if -item.along_mm <= last_mm), at_most
        )

    def warm_up(self) -> None:
        """Draw the belt and the run's pool of things before the first frame is due."""
        self._draws().render(0.0, self.config.virtual.speed_m_s * 1000.0, 0, [])
        if self.options.items is None and self._feed is not None:
            for thing in drawn_pool(self.options.seed, VARIANTS, drawn_sizes_mm(self.config)):
                thing.sprite(self._size.px_per_mm)

    def _draws(self) -> BeltRenderer:
        if self._renderer is None:
            self._renderer = BeltRenderer(self._size, self.options.seed, self.config.virtual.exposure_ms / 1000.0)
        return self._renderer

    def camera_down(self, t_ns: int) -> bool:
        start_ns = self.feed_start_ns
        return start_ns is not None and any(
            fault.name == "camera" and fault.covers(t_ns, start_ns) for fault in self.options.faults
        )

    def shown_ns(self, t_ns: int) -> int:
        """The moment a picture taken at `t_ns` shows: an earlier one while the camera repeats its last picture."""
        start_ns = self.feed_start_ns
        for fault in self.options.faults:
            if fault.name == "freeze" and start_ns is not None and fault.covers(t_ns, start_ns):
                return fault.start_ns(start_ns)
        return t_ns

    def visible_at(self, t_ns: int) -> list[PlacedItem]:
        """Items that any part of the frame may show."""
        belt_mm = self.belt.position_mm(t_ns)
        items = self._items_up_to(belt_mm + LONGEST_MM)
        if belt_mm < self._passed_at_mm:
            self._passed = 0
        self._passed_at_mm = belt_mm
        beyond_mm = self.config.virtual.view_length_mm + LONGEST_MM
        while self._passed < len(items) and items[self._passed].along_mm + belt_mm > beyond_mm + OUT_OF_TURN_MM:
            self._passed += 1
        last_mm = self._last_fed_mm()
        shown = []
        for item in items[self._passed :]:
            if -item.along_mm > belt_mm + LONGEST_MM + OUT_OF_TURN_MM:
                break
            if -LONGEST_MM < item.along_mm + belt_mm < beyond_mm and -item.along_mm <= last_mm:
                shown.append(item)
        return shown

    def fed(self) -> list[PlacedItem]:
        """Everything that is fed in this run, in feed order."""
        last_mm = self._last_fed_mm()
        return [item for item in self._items_up_to(last_mm) if -item.along_mm <= last_mm]

    def truth(self, edges: Iterable[Edge], end_ns: int) -> list[ItemTruth]:
        """Where every item fed has landed, judged by edges and motion alone."""
        sort = self.config.sort
        bins = {gate: name for name, section in sort.bins.items() for gate in section.gates}
        record = GateRecord(tuple(edges), self.belt, self.physics, bins, sort.unactuated_bin, self.options.seed, end_ns)
        return land_items(self.fed(), record)

    def facts(self, end_ns: int) -> dict[str, Any]:
        """Every parameter of the run: what an outsider needs to judge the record by arithmetic alone (line.json)."""
        sort = self.config.sort
        return {
            "seed": self.options.seed,
            "items": None if self.options.items is None else self.options.items.name,
            "touching": self.options.touching,
            "faults": [str(fault) for fault in self.options.faults],
            "feed_start_ns": self.feed_start_ns,
            "feed_end_ns": self.feed_end_ns,
            "end_ns": end_ns,
            "virtual": self.config.virtual.model_dump(mode="json"),
            "physics": asdict(self.physics),
            "device": {
                "opening_ms": [gate.opening_delay_ms for gate in self.config.gates],
                "closing_ms": [gate.closing_delay_ms for gate in self.config.gates],
                "max_late_us": self.config.link.max_late_us,
                "mm_per_count": self.config.belt.mm_per_count,
            },
            "bins": {name: list(section.gates) for name, section in sort.bins.items()},
            "unactuated_bin": sort.unactuated_bin,
            "product_bin": product_bin(self.config),
            "belt": [asdict(segment) for segment in self.belt.segments],
        }

    # -- feeding -----------------------------------------------------------------------------------------------------

    def _new_feed(self) -> Feed | None:
        virtual, options = self.config.virtual, self.options
        if virtual.feed_per_s <= 0:
            return None
        plan = FeedPlan(
            seed=options.seed,
            spacing_mm=virtual.speed_m_s * 1000.0 / virtual.feed_per_s,
            belt_width_mm=virtual.view_width_mm,
            clear_gap_mm=virtual.clear_gap_mm,
            touching=options.touching,
        )
        return Feed(plan, thing_choice(self.config, options))

    def _last_fed_mm(self) -> float:
        """Belt travel at which the feed ends: what would enter the frame later is never laid."""
        return -1.0 if self.feed_end_ns is None else self.belt.position_mm(self.feed_end_ns)

    def _items_up_to(self, travel_mm: float) -> list[PlacedItem]:
        if self._feed is None or self.feed_start_ns is None:
            return self._items
        laid = self._feed.up_to(travel_mm - self._first_mm)
        for item in laid[len(self._items) :]:
            self._items.append(replace(item, along_mm=item.along_mm - self._first_mm))
        return self._items
