"""A station that is nothing but its panel: moving pictures that carry their own time as a bar code, and invented values.

Run as a process: `python fake_station.py '{"fps": 30}'`. Prints one JSON line per thing that happens: {"url"}, {"stop"},
{"command"}. Reads lines of JSON on stdin that change the values shown ({"freeze": true}, {"machine": {...}}, {"quiet": true}).
"""

import json
import select
import sys
import time
from typing import Any

import cv2
import numpy as np

from station.config import PanelConfig
from station.panel.process import PanelProcess

WIDTH_PX, HEIGHT_PX = 1280, 800
BITS, BIT_PX = 48, 20  # the bar code: one block per bit of the time in microseconds, along the top edge


def say(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)


def draw(now_ns: int, camera: int) -> tuple[np.ndarray[Any, Any], list[dict[str, Any]]]:
    """A textured belt with cards that travel down, and where they are."""
    rng = np.random.default_rng(7)
    shift = int(now_ns / 1e9 * 320) % HEIGHT_PX
    tile = rng.normal(74 + 12 * camera, 7, (HEIGHT_PX, WIDTH_PX // 8)).clip(0, 255).astype(np.uint8)
    belt = np.roll(np.repeat(tile, 8, axis=1), shift, axis=0)
    picture = cv2.cvtColor(belt, cv2.COLOR_GRAY2BGR)
    boxes = []
    kinds = [("recyclable", (190, 150, 60), "eject"), ("organic", (60, 120, 90), "pass"), ("recyclable", (90, 90, 170), "unsure")]
    for n in range(6):
        top = int(now_ns / 1e9 * 320 + n * 190) % (HEIGHT_PX + 190) - 190
        left = 60 + (n * 397) % 1000
        label, colour, status = kinds[n % 3]
        cv2.rectangle(picture, (left, top), (left + 150, top + 170), colour, -1)
        cv2.rectangle(picture, (left + 14, top + 14), (left + 136, top + 60), tuple(c + 40 for c in colour), -1)
        if top > -100:
            box = [left, max(0, top), left + 150, min(HEIGHT_PX, top + 170)]
            confidence = 0.48 if status == "unsure" else 0.97 - 0.04 * n
            boxes.append({"track_id": 400 + n, "box": box, "label": label, "confidence": confidence, "status": status})
    return picture, boxes


def stamp(picture: np.ndarray[Any, Any], now_us: int) -> None:
    for bit in range(BITS):
        value = 255 if now_us >> bit & 1 else 0
        picture[0:BIT_PX, bit * BIT_PX : (bit + 1) * BIT_PX] = value


def items(now_ns: int) -> list[dict[str, Any]]:
    rows = []
    newest = now_ns // 400_000_000
    for track_id in range(newest, newest - 12, -1):
        outcome, reason = ("passed", "none") if track_id % 2 else ("ejected", "none")
        if track_id % 9 == 0:
            outcome, reason = "missed", "late"
        if track_id % 13 == 0:
            outcome, reason = "unconfirmed", "no_report"
        rows.append(
            {
                "track_id": track_id % 100_000,
                "camera": "camera0",
                "label": "organic" if track_id % 2 else "recyclable",
                "confidence": 0.6 + (track_id * 37 % 40) / 100,
                "bin": "residue" if track_id % 2 else "product",
                "outcome": outcome,
                "reason": reason,
                "settled_ns": track_id * 400_000_000,
                "slack_ms": None if track_id % 2 else 180.0 + track_id % 50,
            }
        )
    return rows


def state(now_ns: int, changes: dict[str, Any]) -> dict[str, Any]:
    n = now_ns // 100_000_000 % 100_000
    counts = {
        "total": n + 7, "in_flight": 7, "ejected": n // 2, "passed": n - n // 2 - n // 40 - n // 900,
        "missed": n // 40, "unconfirmed": n // 900,
        "missed_by_reason": {"late": n // 80, "neighbour": n // 40 - n // 80}, "unconfirmed_by_reason": {"no_report": n // 900},
    }  # fmt: skip
    return {
        "at_ns": now_ns,
        "mode": {"simulation": True, "no_diverts": False},
        "machine": {"state": "Execute", "number": 6, "reason": "start by operator", "since_ns": now_ns - 754_000_000_000},
        "link": {"state": "armed", "port": "virtual", "timing": "device", "sync_bound_us": 140, "retries": 0},
        "cameras": [
            {"id": "camera0", "live": True, "fps": 29.9, "dropped": 2, "text": ""},
            {"id": "camera1", "live": True, "fps": 29.8, "dropped": 0, "text": ""},
        ],
        "belt": {"speed_m_s": 1.002},
        "counts": counts,
        "latency_ms": {"p50": 31.4, "p99": 58.2, "budget": 100},
        "slack_ms": {"p1": 64.0, "p50": 182.0},
        "items": items(now_ns),
        "alarms": [],
        "events": [],
        **changes,
    }  # fmt: skip


def heard() -> dict[str, Any]:
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    if not ready:
        return {}
    line = sys.stdin.readline()
    return json.loads(line) if line else {"end": True}


def main() -> None:
    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    fps = options.pop("fps", 30)
    config = PanelConfig(http=options.pop("http", "127.0.0.1:0"), **options)
    panel = PanelProcess(config, "Line 3", on_stop=lambda: say({"stop": time.monotonic_ns()}))
    say({"url": panel.start(), "pid": panel.pid})
    changes: dict[str, Any] = {}
    frame_id = 0
    due_s = time.monotonic()
    while not changes.get("end"):
        changes |= heard()
        now_ns = time.monotonic_ns()
        frames, pictures = {}, {}
        for camera in range(2):
            name = f"camera{camera}"
            if name in panel.watched and not changes.get("freeze"):
                frames[name], boxes = draw(now_ns, camera)
                captured_ns = time.monotonic_ns()
                stamp(frames[name], captured_ns // 1000)
                frame_id += 1
                pictures[name] = {"frame_id": frame_id, "captured_ns": captured_ns, "boxes": boxes}
        values = {k: v for k, v in changes.items() if k not in ("freeze", "quiet", "report")}
        if not changes.get("quiet"):
            panel.publish({**state(now_ns, values), "pictures": pictures}, frames)
        for command in panel.commands():
            say(command)
        if changes.pop("report", False):
            say({"watched": sorted(panel.watched), "restarts": panel.restarts, "pid": panel.pid})
        due_s = max(due_s + 1 / fps, time.monotonic() - 0.1)
        time.sleep(max(0.0, due_s - time.monotonic()))
    panel.close()


if __name__ == "__main__":
    main()
