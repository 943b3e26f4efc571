"""What the screen makes of a scene: boxes of this very frame only, a speed only while it is known, events, commands, badges."""

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from firmware_bridge.messages import LinkState
from station.books import Books
from station.clock import ManualClock
from station.config import builtin_config, changed
from station.datatypes import BoxPx, Detection, Frame, OrientedBox, OutcomeKind, Track
from station.errors import ConfigError
from station.events import EventKind
from station.live import LiveRun, Scene
from station.machine import NEXT, Command, Machine, State
from station.panel.values import page_values
from station.record.recorder import Recorder
from station.screen import Screen, ScreenSetup

NOW_NS = 5_000_000_000


@dataclass
class Controller:
    """A link in a state, to a device with or without an encoder."""

    state: LinkState
    has_count: bool = True

    def status(self) -> Any:
        return SimpleNamespace(state=self.state, port="COM3", timing="device", sync_bound_us=60, retries=0)

    def capabilities(self) -> Any:
        return SimpleNamespace(has_count=self.has_count)


@dataclass
class Loop:
    machine: Machine = field(default_factory=lambda: Machine(auto_rearm=False))
    speed_mm_s: float | None = 987.0
    ledger: Any = field(
        default_factory=lambda: SimpleNamespace(
            by_outcome=dict.fromkeys(OutcomeKind, 0), by_reason={}, in_flight=0, gate_mask_of=lambda track_id: 0
        )
    )

    def decision_of(self, track_id: int) -> None:
        return None


class PanelDouble:
    """The page's process as the screen sees it: takes values, hands out wishes."""

    def __init__(self, wishes: list[dict[str, Any]] | None = None) -> None:
        self.wishes = wishes or []
        self.restarts = 0

    def commands(self) -> list[dict[str, Any]]:
        taken, self.wishes = self.wishes, []
        return taken


def screen(controller: Controller | None = None, **setup: Any) -> tuple[Screen, LiveRun]:
    link: Any = controller
    run = LiveRun(ManualClock(NOW_NS), Books(Recorder([]), 0), link)
    loop: Any = Loop()
    run._loop = loop
    return Screen(builtin_config("virtual"), run, ScreenSetup(**setup)), run


def track(track_id: int, camera_id: str, seen_ns: int) -> Track:
    box = Detection(BoxPx(10, 10, 40, 30), OrientedBox(30, 25, 40, 30, 0), 900.0, True, np.zeros((0, 2), np.float32))
    return Track(track_id, camera_id, 0, 100, 60, 40, 2, 0, seen_ns, 3, False, box)


def scene(*tracks: Track, cameras: tuple[str, ...] = ("camera0",)) -> Scene:
    frames = tuple(Frame(camera, 1, NOW_NS, np.zeros((8, 8, 3), np.uint8)) for camera in cameras)
    result: Any = SimpleNamespace(tracks=tracks, beliefs={1: ("organic", 0.9)})
    return Scene(NOW_NS, frames, result)


@pytest.mark.parametrize(
    ("link", "has_count", "speed"),
    [
        pytest.param(LinkState.ARMED, True, 0.987, id="the encoder speaks"),
        pytest.param(LinkState.READY, True, 0.987, id="disarmed, still speaking"),
        pytest.param(LinkState.LOST, True, None, id="behind a dead link: the last speed is not the speed"),
        pytest.param(LinkState.GREETING, True, None, id="not greeted yet"),
        pytest.param(LinkState.LOST, False, 0.987, id="no encoder: the speed never came over the link"),
    ],
)
def test_the_belt_speed_is_shown_only_while_it_is_known(link: LinkState, has_count: bool, speed: float | None) -> None:
    shown, _ = screen(Controller(link, has_count))
    assert page_values(shown.snapshot(scene()), shown._page_facts())["belt"]["speed_m_s"] == speed


def test_a_speed_nobody_has_measured_yet_is_unknown() -> None:
    shown, run = screen(Controller(LinkState.ARMED))
    loop: Any = run._loop
    loop.speed_mm_s = None
    assert page_values(shown.snapshot(scene()), shown._page_facts())["belt"]["speed_m_s"] is None


def test_a_frame_shows_only_what_was_seen_in_it() -> None:
    """Not what another camera sees, and not where an item was a frame ago."""
    shown, _ = screen()
    here, old, other = (
        track(1, "camera0", NOW_NS),
        track(2, "camera0", NOW_NS - 33_000_000),
        track(3, "camera1", NOW_NS),
    )
    cameras = shown.snapshot(scene(here, old, other, cameras=("camera0", "camera1"))).cameras
    assert {name: [item.track_id for item in seen.items] for name, seen in cameras.items()} == {
        "camera0": [1],
        "camera1": [3],
    }
    assert cameras["camera0"].items[0].label == "organic"


def test_events_reach_the_page_newest_first_without_single_items() -> None:
    shown, run = screen()
    run.books.event(EventKind.STATE, 1, state="idle", reason="reset by operator")
    run.books.event(EventKind.ITEM_MISSED, 2, track=7, reason="late")  # items have a list of their own
    run.books.event(EventKind.CAMERA_LOST, 3, "camera1", why="unplugged")
    events = page_values(shown.snapshot(scene()), shown._page_facts())["events"]
    assert [(event["what"], event["camera_id"], event["detail"]) for event in events] == [
        ("camera_lost", "camera1", {"why": "unplugged"}),
        ("state", None, {"state": "idle", "reason": "reset by operator"}),
    ]


@pytest.mark.parametrize("state", list(State))
def test_the_commands_offered_are_those_of_the_machines_table(state: State) -> None:
    shown, run = screen()
    run.loop.machine.state = state
    offered = page_values(shown.snapshot(scene()))["machine"]["commands"]
    for command in Command:
        assert (command.value in offered) == ((state, command) in NEXT)


@pytest.mark.parametrize(
    ("controller", "simulated", "mode"),
    [
        (None, False, {"simulation": False, "no_diverts": True}),
        (Controller(LinkState.ARMED), True, {"simulation": True, "no_diverts": False}),
        (Controller(LinkState.LOST), False, {"simulation": False, "no_diverts": False}),
    ],
)
def test_simulation_and_observing_are_said(
    controller: Controller | None, simulated: bool, mode: dict[str, bool]
) -> None:
    shown, _ = screen(controller, simulated=simulated)
    assert page_values(shown.snapshot(scene()))["mode"] == mode


@pytest.mark.parametrize(("age_ms", "done"), [(100, True), (1900, True), (2100, False), (60_000, False)])
def test_a_wish_that_lay_about_is_void_and_that_is_written_down(age_ms: int, done: bool) -> None:
    shown, run = screen()
    wish = {"command": "start", "from": "10.0.0.7", "at_ns": NOW_NS - age_ms * 1_000_000}
    page: Any = PanelDouble([wish])
    shown._viewers.panel = page
    shown._obey_page()
    assert run._commands.take_all() == ([(Command.START, "10.0.0.7")] if done else [])
    assert ("too late" in str(run.books.happened[-1].detail)) is not done


class BrokerDouble:
    """The MQTT output as the screen sees it."""

    def __init__(self, due: bool) -> None:
        self._due = due
        self.told: list[dict[str, Any]] = []

    def due(self, now_ns: int) -> bool:
        return self._due

    def tell(self, state: dict[str, Any], now_ns: int, utc_ns: int) -> None:
        self.told.append(state)


@pytest.mark.parametrize("due", [True, False])
def test_a_broker_is_told_the_state_as_it_is_now_also_without_a_page(due: bool) -> None:
    shown, run = screen(Controller(LinkState.ARMED))
    broker: Any = BrokerDouble(due)
    shown._viewers.broker = broker
    shown._tell_broker()
    assert broker.told == []  # nothing has been seen yet
    shown._last_snapshot = shown.snapshot(scene())
    run.loop.machine.state = State.HELD
    shown._tell_broker()
    assert [state["machine"]["state"] for state in broker.told] == (["Held"] if due else [])


def test_a_broker_without_its_library_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "station.outputs.mqtt", raising=False)
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    config = changed(builtin_config("virtual"), mqtt={"host": "broker"})
    with pytest.raises(ConfigError, match=r"pip install paho-mqtt"):
        Screen(config, screen()[1], ScreenSetup(http="off")).start()
