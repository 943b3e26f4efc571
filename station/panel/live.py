"""The live picture and the state, as the panel process holds them: newest only, one slot per viewer, encoded once.

`StateBoard` keeps the newest state and short lists of what happened; `LiveHub` hands pictures to viewers. Both live on the
server's event loop; `encode` runs on the intake thread. Knows nothing of HTTP, tokens or the station's parts.
"""

import asyncio
import json
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import cv2

from station.datatypes import BgrImage

ACTIVE_WITHIN_NS = 3_000_000_000  # a viewer silent for longer is stalled: nothing is copied or encoded for it
KEPT = 200  # items, events and commands remembered for a page that has just been opened


@dataclass(frozen=True, slots=True)
class Packet:
    """One encoded picture and what belongs to it. `facts` is the JSON header without the per-viewer part."""

    camera_id: str
    number: int
    facts: dict[str, Any]
    jpeg: bytes


def encode(bgr: BgrImage, max_width_px: int, quality: int) -> bytes:
    """JPEG of a picture, scaled down once if it is wider than a browser needs."""
    height_px, width_px = bgr.shape[:2]
    if width_px > max_width_px:
        size = (max_width_px, max(1, round(height_px * max_width_px / width_px)))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_LINEAR).astype("uint8", copy=False)
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of {width_px}x{height_px} px could not be encoded")
    return jpeg.tobytes()


def pack(facts: dict[str, Any], jpeg: bytes) -> bytes:
    """The message of /ws/live: 4 bytes big-endian length, JSON, JPEG."""
    header = json.dumps(facts, separators=(",", ":")).encode()
    return struct.pack(">I", len(header)) + header + jpeg


class Viewer:
    """One browser's place: a slot of one picture, and whether it has drawn the last one."""

    def __init__(self, camera_id: str, now_ns: int) -> None:
        self.camera_id = camera_id
        self.ready = True
        self.heard_ns = now_ns
        self.echo: dict[str, Any] | None = None  # of the last acknowledgement: lets the page compare clocks
        self._slot: Packet | None = None
        self._moved = asyncio.Event()

    def offer(self, packet: Packet) -> None:
        self._slot = packet
        self._moved.set()

    def acknowledge(self, now_ns: int, page_ms: float | None) -> None:
        self.ready = True
        self.heard_ns = now_ns
        self.echo = None if page_ms is None else {"page_ms": page_ms, "received_ns": now_ns}
        self._moved.set()

    def look_at(self, camera_id: str, now_ns: int) -> None:
        self.camera_id = camera_id
        self.heard_ns = now_ns
        self._slot = None

    async def next_packet(self) -> Packet:
        """The newest picture, as soon as the viewer has drawn the one before."""
        while not (self.ready and self._slot is not None):
            self._moved.clear()
            await self._moved.wait()
        packet, self._slot, self.ready = self._slot, None, False
        return packet


class LiveHub:
    """All viewers. A picture is offered to those of its camera; who is not ready skips it."""

    def __init__(self) -> None:
        self._viewers: set[Viewer] = set()
        self._watching = asyncio.Event()

    def join(self, camera_id: str, now_ns: int) -> Viewer:
        viewer = Viewer(camera_id, now_ns)
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)

    def offer(self, packet: Packet) -> None:
        for viewer in self._viewers:
            if viewer.camera_id == packet.camera_id:
                viewer.offer(packet)

    def wanted(self, camera_id: str) -> bool:
        """Somebody has drawn the last picture of this camera and waits. Asked from the intake thread."""
        return any(viewer.ready and viewer.camera_id == camera_id for viewer in tuple(self._viewers))

    def watched(self, now_ns: int) -> list[str]:
        """The cameras somebody looks at; stalled viewers do not count, and count again when they wake up."""
        active = (v for v in self._viewers if v.ready or now_ns - v.heard_ns < ACTIVE_WITHIN_NS)
        return sorted({viewer.camera_id for viewer in active})

    @property
    def viewers(self) -> int:
        return len(self._viewers)


@dataclass(slots=True)
class StateBoard:
    """The newest state of the station and what the panel adds to it."""

    station_name: str
    state: dict[str, Any] = field(default_factory=dict)
    made_ns: int | None = None  # when the station made that state
    station_gone: bool = False
    items: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    commands: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _urgent: tuple[Any, ...] = ()
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, state: dict[str, Any], made_ns: int) -> None:
        _merge(self.items, state.get("items", ()), key=("track_id",))
        _merge(self.events, state.get("events", ()), key=("at_ns", "what", "track_id"))
        self.state, self.made_ns = state, made_ns
        urgent = (state.get("machine"), (state.get("link") or {}).get("state"), state.get("alarms"))
        if urgent != self._urgent:
            self._urgent = urgent
            self._wake()

    def lose_station(self) -> None:
        self.station_gone = True
        self._wake()

    def note_command(self, entry: dict[str, Any]) -> None:
        self.commands.append(entry)

    def message(self, now_ns: int) -> dict[str, Any]:
        """What /ws/state and /api/v1/state say: the state and how old it is."""
        age_ms = None if self.made_ns is None else max(0.0, (now_ns - self.made_ns) / 1e6)
        return {
            **self.state,
            "station": self.station_name,
            "sent_ns": now_ns,
            "made_ns": self.made_ns,
            "age_ms": age_ms,
            "station_gone": self.station_gone,
        }

    async def changed(self, timeout_s: float) -> None:
        """Return on a change an operator must see at once, or after the timeout."""
        waiting = self._changed
        try:
            await asyncio.wait_for(waiting.wait(), timeout_s)
        except TimeoutError:
            return

    def _wake(self) -> None:
        """Wake every page, and let the next waiters wait for the next change."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _merge(kept: deque[dict[str, Any]], newest_first: Iterable[dict[str, Any]], key: tuple[str, ...]) -> None:
    """Add what is not there yet; snapshots overlap, and some are skipped."""
    known = {tuple(entry.get(k) for k in key) for entry in kept}
    for entry in reversed(list(newest_first)):
        if tuple(entry.get(k) for k in key) not in known:
            kept.append(entry)
