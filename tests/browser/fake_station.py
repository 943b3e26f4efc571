"""A station that is nothing but its panel: moving pictures that carry their own time as a bar code, and invented values.

Run as a process: `python fake_station.py '{"fps": 30}'`. Prints one JSON line per thing that happens: {"url"}, {"stop"},
{"command"}. Reads lines of JSON on stdin that change what is shown: values of the page as they are ({"belt": {...}}), or
what this station knows ({"freeze": true}, {"quiet": true}, {"cameras": 2}, {"lost": ["camera0"]}, {"state": "IDLE"},
{"observing": true}, {"conditions": {"camera_lost": "camera1"}} for a real alarm book, {"event": {"what": "operator"}});
{"forget": true} drops earlier changes.
"""

import json
import os
import select
import sys
import time
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np

from firmware_bridge.messages import LinkState
from station.alarms import AlarmBook
from station.config import PanelConfig
from station.datatypes import (
    Decision,
    DecisionReason,
    ItemRecord,
    OrientedBox,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Track,
)
from station.events import Event, EventKind
from station.machine import NEXT, Command, State
from station.panel.process import PanelProcess
from station.panel.snapshot import Mark, SeenCamera, SeenItem, Snapshot
from station.panel.values import PageFacts, page_values

WIDTH_PX, HEIGHT_PX = 1280, 800
BITS, BIT_PX = 48, 20  # the bar code: one block per bit of the time in microseconds, along the top edge
OWN = ("freeze", "quiet", "report", "lost", "cameras", "conditions")  # not shown as they are
KINDS = [
    ("recyclable", (190, 150, 60), Mark.DIVERT),
    ("organic", (60, 120, 90), Mark.PASS),
    ("recyclable", (90, 90, 170), Mark.MISSED),
    ("", (120, 120, 120), Mark.UNDECIDED),
    ("organic", (50, 100, 130), Mark.PASS),
    ("recyclable", (200, 190, 170), Mark.DIVERT),
]


def say(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)


@cache
def belt(camera: int) -> np.ndarray[Any, Any]:
    """Two turns of the same texture: any window of one turn is a picture."""
    texture = np.random.default_rng(camera).normal(74 + 12 * camera, 7, (HEIGHT_PX, WIDTH_PX // 8)).astype(np.uint8)
    return np.tile(np.repeat(texture, 8, axis=1)[:, :, None], (2, 1, 3))


def draw(now_ns: int, camera: int) -> tuple[np.ndarray[Any, Any], tuple[SeenItem, ...]]:
    """A textured belt with cards that travel down, and where they are."""
    start = HEIGHT_PX - int(now_ns / 1e9 * 320) % HEIGHT_PX
    picture = belt(camera)[start : start + HEIGHT_PX].copy()
    seen = []
    for n, (label, colour, mark) in enumerate(KINDS):
        along_px = int(now_ns / 1e9 * 320 + n * 190) % (HEIGHT_PX + 190) - 95
        box = OrientedBox(130 + (n * 397) % 1000, along_px, 170, 130, [0, 25, -40, 80, 10, 60][n])
        corners = cv2.boxPoints(((box.cx_px, box.cy_px), (box.length_px, box.width_px), box.angle_deg)).astype(int)
        cv2.fillPoly(picture, [corners], colour)
        cv2.line(picture, corners[0].tolist(), corners[2].tolist(), tuple(c + 40 for c in colour), 9)
        if mark is Mark.UNDECIDED:
            seen.append(SeenItem(400 + n, box))
        else:
            gates = (2, 3) if mark is Mark.DIVERT else ()
            seen.append(
                SeenItem(400 + n, box, label, 0.97 - 0.04 * n, mark, gates, "late" if mark is Mark.MISSED else "")
            )
    return picture, tuple(seen)


def stamp(picture: np.ndarray[Any, Any], now_us: int) -> None:
    for bit in range(BITS):
        value = 255 if now_us >> bit & 1 else 0
        picture[0:BIT_PX, bit * BIT_PX : (bit + 1) * BIT_PX] = value


def record(track_id: int) -> ItemRecord:
    settled_ns = track_id * 400_000_000
    kind, reason = (
        (OutcomeKind.PASSED, OutcomeReason.NONE) if track_id % 2 else (OutcomeKind.EJECTED, OutcomeReason.NONE)
    )
    if track_id % 9 == 0:
        kind, reason = OutcomeKind.MISSED, OutcomeReason.LATE
    if track_id % 13 == 0:
        kind, reason = OutcomeKind.UNCONFIRMED, OutcomeReason.NO_REPORT
    label, bin_name = ("organic", "residue") if track_id % 2 else ("recyclable", "product")
    slack_ms = None if track_id % 2 else 180.0 + track_id % 50
    track = Track(track_id, "camera0", 0, 300, 120, 90, 2, 0, 0, 5, True, None)
    decision = Decision(track_id, label, 0.6 + (track_id * 37 % 40) / 100, bin_name, DecisionReason.MATCHED, 3, 0, None)
    return ItemRecord(track, 3, None, decision, None, None, Outcome(track_id, kind, reason, settled_ns, None, slack_ms))


class World:
    """What this station knows: alarms that can be answered, and what happened."""

    def __init__(self) -> None:
        self.book = AlarmBook()
        self.events: list[Event] = []

    def step(self, changes: dict[str, Any], now_ns: int) -> None:
        self.book.update(changes.get("conditions", {}), now_ns)
        happened = changes.pop("event", None)
        if happened is not None:
            self.note(EventKind(happened.pop("what")), now_ns, **happened)

    def note(self, what: EventKind, now_ns: int, **detail: Any) -> None:
        self.events = [Event(what, now_ns, time.time_ns(), detail=detail), *self.events][:24]

    def obey(self, wish: dict[str, Any], now_ns: int) -> None:
        alarm = str(wish.get("alarm", ""))
        match wish["command"]:
            case "acknowledge":
                self.book.acknowledge(alarm)
            case "shelve":
                self.book.shelve(alarm, wish["minutes"], now_ns)
            case "unshelve":
                self.book.unshelve(alarm, now_ns)


def state(now_ns: int, cameras: dict[str, SeenCamera], world: World, changes: dict[str, Any]) -> dict[str, Any]:
    n = now_ns // 100_000_000
    missed, unconfirmed = n // 40, n // 900
    machine, observing = State[changes.pop("state", "EXECUTE")], changes.pop("observing", False)
    snapshot = Snapshot(
        made_ns=now_ns,
        state=machine.name,
        state_reason="start by operator",
        commands=tuple(command.value for command in Command if (machine, command) in NEXT),
        link=None if observing else LinkState.ARMED,
        simulated=not observing,
        latency_p50_ms=31.4,
        latency_p99_ms=58.2,
        latency_budget_ms=100,
        by_outcome={
            OutcomeKind.EJECTED: n // 2,
            OutcomeKind.PASSED: n - n // 2 - missed - unconfirmed,
            OutcomeKind.MISSED: missed,
            OutcomeKind.UNCONFIRMED: unconfirmed,
        },
        in_flight=7,
        cameras=cameras,
    )
    facts = PageFacts(
        state_number=int(machine),
        state_since_ns=now_ns - 754_000_000_000,
        reasons={
            (OutcomeKind.MISSED, OutcomeReason.LATE): missed // 2,
            (OutcomeKind.MISSED, OutcomeReason.NEIGHBOUR): missed - missed // 2,
            (OutcomeKind.UNCONFIRMED, OutcomeReason.NO_REPORT): unconfirmed,
        },
        slack_p1_ms=64.0,
        slack_p50_ms=182.0,
        belt_speed_m_s=1.002,
        link_port="virtual",
        link_timing="device",
        sync_bound_us=140,
        alarms=world.book.listed(),
        events=tuple(world.events),
        recent=[record(track_id) for track_id in range(now_ns // 400_000_000 - 11, now_ns // 400_000_000 + 1)],
    )
    return {**page_values(snapshot, facts), **changes}


class Ear:
    """Whole lines from stdin without waiting. Reads the descriptor: a buffered stdin would hide a second line from select."""

    def __init__(self) -> None:
        self._heard = b""

    def next(self) -> dict[str, Any]:
        """The next thing said, or nothing; the end of stdin is the end."""
        descriptor = sys.stdin.fileno()
        while b"\n" not in self._heard and select.select([descriptor], [], [], 0)[0]:
            data = os.read(descriptor, 65536)
            if not data:
                return {"end": True}
            self._heard += data
        line, found, rest = self._heard.partition(b"\n")
        if not found:
            return {}
        self._heard = rest
        return dict(json.loads(line))


def main() -> None:
    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    fps = options.pop("fps", 30)
    config = PanelConfig(http=options.pop("http", "127.0.0.1:0"), **options)
    panel = PanelProcess(
        config, "Line 3", on_stop=lambda command, who: say({command: time.monotonic_ns(), "from": who})
    )
    say({"url": panel.start(), "pid": panel.pid})
    changes: dict[str, Any] = {}
    ear, world, due_s = Ear(), World(), time.monotonic()
    world.note(EventKind.RUN_STARTED, time.monotonic_ns())
    while not changes.get("end"):
        heard_now = ear.next()
        if heard_now.pop("forget", False):
            changes, world.book = heard_now, AlarmBook()
        changes |= heard_now
        now_ns = time.monotonic_ns()
        world.step(changes, now_ns)
        frames: dict[str, Any] = {}
        cameras: dict[str, SeenCamera] = {}
        for number in range(changes.get("cameras", 1)):
            name = f"camera{number}"
            cameras[name] = SeenCamera(name, now_ns, name not in changes.get("lost", ()), fps=29.9, dropped=2 * number)
            if name in panel.watched and not changes.get("freeze"):
                frames[name], seen = draw(now_ns, number)
                captured_ns = time.monotonic_ns()
                stamp(frames[name], captured_ns // 1000)
                cameras[name] = replace(cameras[name], captured_ns=captured_ns, items=seen)
        values = {key: value for key, value in changes.items() if key not in OWN}
        if not changes.get("quiet"):
            panel.publish(state(now_ns, cameras, world, values), frames)
        for command in panel.commands():
            world.obey(command, now_ns)
            say(command)
        if changes.pop("report", False):
            say({"watched": sorted(panel.watched), "restarts": panel.restarts, "pid": panel.pid})
        due_s = max(due_s + 1 / fps, time.monotonic() - 0.1)
        time.sleep(max(0.0, due_s - time.monotonic()))
    panel.close()


if __name__ == "__main__":
    main()
