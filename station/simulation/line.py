"""The virtual line: belt, items and pictures as functions of time. No threads, no clock, no station.

One belt, one lane for each camera, side by side. Virtual time asks it in lock-step (`frame_at`, `count_at`); in wall time
`process.py` asks it for each frame it publishes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from station.config import StationConfig
from station.errors import ConfigError
from station.simulation.belt import BeltProfile, count_of, cruising, slipped, with_faults
from station.simulation.faults import Fault
from station.simulation.feed import Choose, card_choice, drawn_choice, drawn_pool
from station.simulation.gates import Edge, GatePhysics, physics_of
from station.simulation.items import picture_cards
from station.simulation.lane import LONGEST_MM, NOTHING_FED_MM, Lane, LineOptions
from station.simulation.renderer import BgrImage, PlacedItem
from station.simulation.truth import GateRecord, ItemTruth, land_items

__all__ = ["LineOptions", "VirtualLine", "product_bin", "thing_choice"]

VARIANTS = 128  # different drawn things of each label in one run; a run of a thousand items repeats some


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
        self.encoder: BeltProfile  # the belt's motion as the encoder's wheel turns
        self.start_belt(start_ns)
        self.feed_start_ns: int | None = None
        self.feed_end_ns: int | None = None
        self._permitted = True
        choose = thing_choice(config, options)
        self._lanes = {
            camera.id: Lane(number, camera, virtual, options, choose) for number, camera in enumerate(config.cameras)
        }
        self._first = config.cameras[0].id
        if any(camera.view_at_mm != 0 for camera in config.cameras):
            raise ConfigError("cameras.view_at_mm: the cameras of the virtual line look side by side; leave it at 0.")

    # -- time ------------------------------------------------------------------------------------------------------

    def start_belt(self, at_ns: int) -> None:
        """The belt cruises from now on, at position zero, empty."""
        self.belt = self.encoder = cruising(at_ns, self.config.virtual.speed_m_s * 1000.0)

    def begin_feed(self, at_ns: int) -> None:
        """Things come from now on, and the faults' clock starts."""
        self.feed_start_ns = at_ns
        self.feed_end_ns = at_ns + round(self.options.for_s * 1e9)
        for lane in self._lanes.values():
            lane.begin_feed(self.belt.position_mm(at_ns))
        ramp_mm_s2 = self.config.virtual.ramp_m_s2 * 1000.0
        self.belt = with_faults(self.belt, self.options.faults, at_ns, ramp_mm_s2)
        self.encoder = slipped(self.belt, self.options.faults, at_ns)

    def permit(self, permitted: bool, at_ns: int) -> None:
        """The device's permit output, which the feeder obeys."""
        if permitted == self._permitted or self.feed_start_ns is None:
            return
        self._permitted = permitted
        for lane in self._lanes.values():
            lane.permit(permitted, self.belt.position_mm(at_ns))

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
        return count_of(self.encoder.position_mm(t_ns), self.config.virtual.mm_per_count)

    def frame_at(self, t_ns: int, camera_id: str | None = None, out: BgrImage | None = None) -> BgrImage | None:
        """The picture exposed around `t_ns` (of the first camera, if none is named); None while a camera fault lasts."""
        if self.camera_down(t_ns, camera_id):
            return None
        t_ns = self.shown_ns(t_ns, camera_id)
        belt_mm = self.belt.position_mm(t_ns)
        lane = self._lanes[camera_id or self._first]
        return lane.render(belt_mm, self.belt.speed_mm_s(t_ns), t_ns, self._last_fed_mm(), out)

    def prepare(self, t_ns: int, at_most: int = 3) -> None:
        """Draw a few of the things that enter within the next half metre, ahead of time."""
        for lane in self._lanes.values():
            lane.prepare(self.belt.position_mm(t_ns), self.belt.speed_mm_s(t_ns), self._last_fed_mm(), at_most)

    def warm_up(self) -> None:
        """Draw the belt and the run's pool of things before the first frame is due."""
        virtual = self.config.virtual
        for lane in self._lanes.values():
            lane.render(0.0, virtual.speed_m_s * 1000.0, 0, NOTHING_FED_MM, None)
        if self.options.items is None and virtual.feed_per_s > 0:
            for thing in drawn_pool(self.options.seed, VARIANTS, drawn_sizes_mm(self.config)):
                thing.sprite(virtual.width_px / virtual.view_width_mm)

    def camera_down(self, t_ns: int, camera_id: str | None = None) -> bool:
        """The fault takes the first camera away."""
        start_ns = self.feed_start_ns
        return start_ns is not None and any(
            fault.name == "camera" and fault.covers(t_ns, start_ns) for fault in self._camera_faults(camera_id)
        )

    def _camera_faults(self, camera_id: str | None) -> tuple[Fault, ...]:
        return self.options.faults if camera_id in (None, self._first) else ()

    def shown_ns(self, t_ns: int, camera_id: str | None = None) -> int:
        """The moment a picture taken at `t_ns` shows: an earlier one while the camera repeats its last picture."""
        start_ns = self.feed_start_ns
        for fault in self._camera_faults(camera_id):
            if fault.name == "freeze" and start_ns is not None and fault.covers(t_ns, start_ns):
                return fault.start_ns(start_ns)
        return t_ns

    def visible_at(self, t_ns: int, camera_id: str | None = None) -> list[PlacedItem]:
        """Items that any part of the frame may show."""
        return self._lanes[camera_id or self._first].visible(self.belt.position_mm(t_ns), self._last_fed_mm())

    def fed(self) -> list[PlacedItem]:
        """Everything that is fed in this run, lane by lane in feed order."""
        last_mm = self._last_fed_mm()
        fed = [item for lane in self._lanes.values() for item in lane.items_up_to(last_mm) if -item.along_mm <= last_mm]
        return sorted(fed, key=lambda item: item.item_id)

    def truth(self, edges: Iterable[Edge], end_ns: int) -> list[ItemTruth]:
        """Where every item fed has landed, judged by edges and motion alone."""
        sort = self.config.sort
        bins = {gate: name for name, section in sort.bins.items() for gate in section.gates}
        record = GateRecord(tuple(edges), self.belt, self.physics, bins, sort.unactuated_bin, self.options.seed, end_ns)
        return land_items(self.fed(), record)

    def facts(self, end_ns: int) -> dict[str, Any]:
        """Every parameter of the run: what an outsider needs to judge the record by arithmetic alone (line.json)."""
        sort, width_mm = self.config.sort, self.config.virtual.view_width_mm
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
            "lanes": [
                {"camera_id": camera.id, "from_mm": camera.lateral_at_mm, "to_mm": camera.lateral_at_mm + width_mm}
                for camera in self.config.cameras
            ],
            "bins": {name: list(section.gates) for name, section in sort.bins.items()},
            "unactuated_bin": sort.unactuated_bin,
            "product_bin": product_bin(self.config),
            "belt": [asdict(segment) for segment in self.belt.segments],
            "station_belt": [asdict(segment) for segment in self._station_belt().segments],
        }

    def _station_belt(self) -> BeltProfile:
        """The motion the station goes by: what its encoder tells, or without one an even speed."""
        section = self.config.belt
        if section.mm_per_count is not None or section.speed_m_s is None:
            return self.encoder
        return cruising(self.belt.segments[0].t_ns, section.speed_m_s * 1000.0)

    def _last_fed_mm(self) -> float:
        """Belt travel at which the feed ends: what would enter the frame later is never laid."""
        return NOTHING_FED_MM if self.feed_end_ns is None else self.belt.position_mm(self.feed_end_ns)
