"""From a run's figures to the operator's list and the record: each alarm raised, answered and gone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from firmware_bridge.messages import LinkState
from station.clock import ManualClock
from station.config import builtin_config, changed
from station.datatypes import (
    BoxPx,
    Classification,
    DecisionReason,
    Detection,
    Frame,
    Look,
    OrientedBox,
    OutcomeKind,
    OutcomeReason,
)
from station.events import EventKind
from station.machine import Machine
from station.pipeline import Controls, SortLoop
from station.tracking.belt import configured_map
from station.tracking.spotter import Spotted, ViewConfig
from station.tracking.tracker import TrackIds
from station.tracking.view import View
from station.watch import Watch

CONFIG = changed(
    builtin_config("virtual"),
    sort={"bins": {"product": {"gates": tuple(range(8)), "full_at_items": 50}, "residue": {}}},
)


@dataclass
class FakeRun:
    """A healthy run whose figures a test may change."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(10**12))
    told: list[tuple[EventKind, dict[str, Any]]] = field(default_factory=list)
    crash: None = None
    jammed: tuple[int, ...] = ()
    unarmed_ns: int = 0
    trouble: str | None = None
    count: object | None = 12.0
    link: LinkState = LinkState.ARMED
    faults: tuple[str, ...] = ()
    encoder_stands: bool = False
    speed_trouble: str = ""

    def __post_init__(self) -> None:
        self.by_reason: Counter[tuple[OutcomeKind, OutcomeReason]] = Counter()
        self.by_decision: Counter[DecisionReason] = Counter()
        self.books = SimpleNamespace(
            landed=Counter(),
            landed_before={},
            recorder=SimpleNamespace(trouble=None, full=False, depth=0),
            latency_p50_p99_ms=lambda: (20.0, 40.0),
            event=lambda what, at_ns, **detail: self.told.append((what, detail)),
        )
        self.loop = SimpleNamespace(
            ledger=SimpleNamespace(by_reason=self.by_reason, by_decision=self.by_decision),
            model_trouble=lambda now_ns: None,
            machine=SimpleNamespace(unarmed_ns=lambda now_ns: self.unarmed_ns),
        )
        self.controller = SimpleNamespace(
            status=lambda: SimpleNamespace(state=self.link, sync_bound_us=60, boot_id=1, faults=self.faults),
            capabilities=lambda: SimpleNamespace(has_count=True),
            count_at=lambda ns: self.count,
        )

    def newest_frame_ns(self, camera_id: str) -> int:
        return self.clock.now_ns()

    def captured(self, camera_id: str) -> int:
        return self.clock.now_ns() * 30 // 10**9

    def poor(self, camera_id: str) -> int:
        return 0

    def camera_trouble(self, camera_id: str) -> str:
        return ""


class Station:
    def __init__(self) -> None:
        self.run = FakeRun()
        self.watch = Watch(CONFIG, self.run)  # type: ignore[arg-type]
        self.page_restarts = 0
        self.broker_trouble = ""

    def go(self, seconds: float) -> list[str]:
        """The names in the list after so much time."""
        for _ in range(round(seconds * 4)):
            self.run.clock.advance_ms(250)
            for name in ("jammed", "encoder_stands", "speed_trouble"):
                setattr(self.run.loop, name, getattr(self.run, name))
            self.watch.step(self.page_restarts, self.broker_trouble)
        return [view.kind.alarm_id for view in self.watch.listed()]

    def alarms_told(self) -> list[tuple[str, Any]]:
        return [(what.value, detail.get("alarm")) for what, detail in self.run.told if what is not EventKind.BINS]


def test_a_healthy_station_has_an_empty_list() -> None:
    station = Station()
    assert station.go(90) == []
    assert station.run.told == []


@pytest.mark.parametrize(
    ("alarm", "begin"),
    [
        ("jam", {"jammed": (4,)}),
        ("not_armed", {"unarmed_ns": 5_000_000_000}),
        ("encoder_silent", {"count": None}),
        ("encoder_stands", {"encoder_stands": True}),
        ("belt_speed", {"speed_trouble": "0.90 m/s by the pictures, 1.00 m/s configured (-10.0%)"}),
        ("controller_fault", {"faults": ("output_differs",)}),
        ("link_lost", {"link": LinkState.LOST}),
    ],
)
def test_an_alarm_is_listed_and_recorded_acknowledged_and_gone(alarm: str, begin: dict[str, Any]) -> None:
    station = Station()
    station.go(6)
    healthy = {name: getattr(station.run, name) for name in begin}
    for name, value in begin.items():
        setattr(station.run, name, value)
    assert station.go(2) == [alarm]
    station.watch.obey({"command": "acknowledge", "alarm": alarm})
    for name, value in healthy.items():
        setattr(station.run, name, value)
    assert station.go(4) == []
    assert station.alarms_told() == [("alarm_raised", alarm), ("alarm_acknowledged", alarm), ("alarm_cleared", alarm)]


@pytest.mark.parametrize(
    ("reason", "alarms"),
    [
        pytest.param(DecisionReason.UNSURE, ["unsure_share_high"], id="below the threshold: a dirty lens"),
        pytest.param(DecisionReason.NO_LOOK, ["unsure_share_high"], id="no look: an overloaded computer"),
        pytest.param(DecisionReason.UNKNOWN_LABEL, ["unsure_share_high"], id="a label without a rule"),
        pytest.param(DecisionReason.MATCHED, [], id="recognised"),
    ],
)
def test_items_that_pass_unrecognised_are_an_alarm(reason: DecisionReason, alarms: list[str]) -> None:
    station = Station()
    for _ in range(40):
        station.run.by_decision[reason] += 4
        station.run.by_decision[DecisionReason.MATCHED] += 1
        station.run.by_reason[OutcomeKind.PASSED, OutcomeReason.NONE] += 5
        listed = station.go(0.5)
    assert listed == alarms


def test_a_shelved_jam_is_hidden_for_its_time_and_asks_again() -> None:
    station = Station()
    station.run.jammed = (4,)
    station.go(2)
    station.watch.obey({"command": "acknowledge", "alarm": "jam"})
    station.watch.obey({"command": "shelve", "alarm": "jam", "minutes": 1})
    station.go(30)
    [view] = station.watch.listed()
    assert (view.state.value, view.shelved_until_ns is not None) == ("acknowledged", True)
    station.go(31)
    [view] = station.watch.listed()
    assert (view.state.value, view.shelved_until_ns) == ("active", None)


def test_a_full_bin_is_emptied_by_acknowledging_it() -> None:
    station = Station()
    station.run.books.landed["product"] = 49
    assert station.go(2) == []
    station.run.books.landed["product"] = 52
    assert station.go(1) == ["bin_full"]
    assert station.watch.listed()[0].words == "A bin is full, by count: product: 52 items"
    station.watch.obey({"command": "acknowledge", "alarm": "bin_full"})
    assert station.go(4) == []
    assert (EventKind.BINS, {"emptied": {"product": 52}, "levels": {"product": 0}}) in station.run.told
    station.run.books.landed["product"] = 60
    station.watch.finish()
    assert station.run.told[-1] == (EventKind.BINS, {"levels": {"product": 8}})


def test_a_record_that_cannot_be_written_is_told_with_what_waits_and_clears_when_the_disk_is_back() -> None:
    station = Station()
    recorder = station.run.books.recorder
    recorder.trouble, recorder.depth = "history: no space left on the device", 310
    assert station.go(2) == ["history_away"]
    assert station.watch.listed()[0].words == "Records cannot be written: 310 entries wait"
    recorder.trouble, recorder.full = None, True  # the disk is back, and still far behind
    assert station.go(10) == ["history_away"]
    recorder.full, recorder.depth = False, 0
    station.watch.obey({"command": "acknowledge", "alarm": "history_away"})
    assert station.go(4) == []


def test_a_page_that_dies_again_and_again_is_told_and_one_death_is_forgotten_after_a_minute() -> None:
    station = Station()
    station.go(2)
    station.page_restarts = 1
    assert station.go(1) == ["page_down"]
    station.watch.obey({"command": "acknowledge", "alarm": "page_down"})
    assert station.go(70) == []


def test_a_broker_that_cannot_be_told_is_an_alarm_after_ten_seconds_until_it_can() -> None:
    station = Station()
    station.broker_trouble = "broker:1883 does not answer"
    assert station.go(9) == []
    assert station.go(2) == ["broker_away"]
    assert station.watch.listed()[0].words == "The MQTT broker cannot be told: broker:1883 does not answer"
    station.broker_trouble = ""
    station.watch.obey({"command": "acknowledge", "alarm": "broker_away"})
    assert station.go(4) == []


BELT = configured_map(CONFIG.cameras[0], 1280, 800, CONFIG.belt.width_mm)


class NoOpinion:
    classes = ("organic", "recyclable")

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        return [
            Classification(look.track_id, look.frame.captured_ns, (0.0, 1.0), (0.3, 0.7), "organic") for look in looks
        ]


def seen_at(number: int, travel_mm: float, at_mm: float) -> Spotted:
    """A frame of the reference view with one square item whose middle is at this place on the station axis."""
    camera, half_px = CONFIG.cameras[0], 60
    x, y = 640.0, at_mm / (camera.mm_per_px or 1.0)
    corners = np.array(
        [(x - half_px, y - half_px), (x + half_px, y - half_px), (x + half_px, y + half_px), (x - half_px, y + half_px)]
    )
    box = BoxPx(int(x) - half_px, int(y) - half_px, int(x) + half_px, int(y) + half_px)
    extent = OrientedBox(x, y, 2.0 * half_px, 2.0 * half_px, 0.0)
    detection = Detection(box, extent, 4.0 * half_px**2, True, corners.astype(np.float32))
    frame = Frame(camera.id, number, number * 33_333_333, np.zeros((1, 1, 3), np.uint8))
    return Spotted(frame, (detection,), BELT, travel_mm, 1000.0, 0.5)


def test_an_item_that_stops_while_the_belt_runs_on_is_a_jam() -> None:
    clock = ManualClock(0)
    camera_id = CONFIG.cameras[0].id
    view = View(ViewConfig(CONFIG.cameras[0], CONFIG.belt, CONFIG.detector), TrackIds())
    loop = SortLoop(CONFIG, {camera_id: view}, NoOpinion(), Machine(True), clock)
    standing = []
    for number in range(14):
        travel_mm = 1000.0 * number / 30
        at_mm = min(30.0 + travel_mm, 200.0)  # caught after 170 mm
        clock.set_ns(number * 33_333_333 + 1)
        loop.step(clock.now_ns(), [seen_at(number, travel_mm, at_mm)], (), Controls(link=None, alive=(camera_id,)))
        standing.append(loop.jammed)
    assert standing[6] == ()
    assert len(standing[-1]) == 1
