"""What is to be shown next, newest first of all: one slot for the state, one per camera, sent from the panel's own thread.

Decides who gets a picture and how often. Knows nothing of processes: a `Carrier` takes the bytes.
"""

import json
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from station.datatypes import BgrImage
from station.panel.pictures import PictureWriter

Values: TypeAlias = Mapping[str, Any]
Snapshots: TypeAlias = "Values | Callable[[], Values]"

STATE_PERIOD_NS = 100_000_000


class Carrier(Protocol):
    def send(self, message: bytes) -> None:
        """Take one message to the panel process, or drop it."""


class Sender:
    """Holds what is to be shown next (newest wins, per camera) and sends it from its own thread."""

    def __init__(self, max_fps: float) -> None:
        self.watched: frozenset[str] = frozenset()
        self._period_ns = round(1e9 / max_fps)
        self._state_due_ns = 0
        self._due_ns: dict[str, int] = {}
        self._pending: Snapshots | None = None
        self._made_ns = 0
        self._frames: dict[str, tuple[BgrImage, Snapshots]] = {}
        self._something = threading.Condition()
        self._writers: dict[str, PictureWriter] = {}
        self._carrier: Carrier | None = None

    def lead_to(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def offer(self, snapshot: Snapshots, frames: Mapping[str, BgrImage], now_ns: int) -> None:
        wanted = {camera_id: bgr for camera_id, bgr in frames.items() if self._is_due(camera_id, now_ns)}
        if not wanted and now_ns < self._state_due_ns:
            return
        self._state_due_ns = now_ns + STATE_PERIOD_NS
        with self._something:
            self._pending, self._made_ns = snapshot, now_ns
            for camera_id, bgr in wanted.items():
                self._frames[camera_id] = (bgr, snapshot)
            self._something.notify()

    def step(self) -> None:
        with self._something:
            if self._pending is None and not self._something.wait(0.2):
                return
            pending, made_ns, self._pending = self._pending, self._made_ns, None
            frames, self._frames = self._frames, {}
        if pending is None or self._carrier is None:
            return
        state = dict(pending() if callable(pending) else pending)
        pictures = {}
        for camera_id, (bgr, snapshot) in frames.items():
            values = snapshot() if callable(snapshot) else snapshot
            pictures[camera_id] = self._picture(camera_id, bgr, values)
        state.pop("pictures", None)
        self._carrier.send(_encoded({"state": state, "made_ns": made_ns, "pictures": pictures}))

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _is_due(self, camera_id: str, now_ns: int) -> bool:
        """At most max_fps on average; a frame a little early is taken, or jitter would halve the rate."""
        due_ns = self._due_ns.get(camera_id, 0)
        if camera_id not in self.watched or now_ns < due_ns - self._period_ns // 4:
            return False
        self._due_ns[camera_id] = max(due_ns, now_ns - self._period_ns) + self._period_ns
        return True

    def _picture(self, camera_id: str, bgr: BgrImage, values: Values) -> dict[str, Any]:
        writer = self._writers.setdefault(camera_id, PictureWriter())
        place = writer.write(bgr)
        facts = {
            **values.get("pictures", {}).get(camera_id, {}),
            "camera": camera_id,
            "number": place.number,
            "width_px": place.width_px,
            "height_px": place.height_px,
            "machine": values.get("machine"),
        }
        place_values = {name: getattr(place, name) for name in place.__slots__}
        return {"facts": facts, "place": place_values}


def _encoded(values: dict[str, Any]) -> bytes:
    """JSON; numpy scalars become numbers, and what JSON has no word for (an infinite latency) becomes null."""
    try:
        return json.dumps(values, separators=(",", ":"), default=_plain, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(values), separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return _finite(value.item())
    if hasattr(value, "value"):
        return value.value  # an Enum
    raise TypeError(f"{type(value).__name__} cannot be shown: {value!r}")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
