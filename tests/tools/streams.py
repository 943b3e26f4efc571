"""Live streams from ffmpeg, hurt in every way while the station's capture watches: what is shown, and how soon it is back.

    python -m tests.tools.streams [--cuts 10]

Every picture carries its number, so a frame is judged by when it was painted. "back" is when the source could first be
reached again (restart: when ffmpeg was started). One JSON object on stdout; exit 1 when a promise is broken: 2 s to the first
fresh frame (a key frame every 0.5 s), nothing stale, black or repeated shown, nothing leaked.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.streams.ffmpeg_source import FFMPEG, FFmpegCamera, Serve
from tests.streams.relay import Relay
from tests.streams.watching import Shown, Viewer, descriptors, native_threads

PROMISE_S = 2.0
FROZEN_S = 3.0
DAMAGED_S = 4.0
FLIPS_PER_KB = 0.1

Hurt = Callable[[], None]
Heal = Callable[[], int]  # returns the moment (ns) the source is back


def quantiles(values: list[float], digits: int = 1) -> dict[str, float] | None:
    if not values:
        return None
    return {"median": round(statistics.median(values), digits), "max": round(max(values), digits)}


def told(shown: Shown) -> dict[str, Any]:
    return {
        "frames": shown.count,
        "stale": shown.stale,
        "black": shown.black,
        "repeated": shown.repeated,
        "damaged": shown.damaged,
        "age_ms": quantiles(shown.ages_ms),
        "stamp_error_ms": quantiles(shown.stamp_errors_ms),
        "stamp_spread_ms": round(max(shown.stamp_errors_ms) - min(shown.stamp_errors_ms), 1),
    }


def losses(viewer: Viewer, times: int, hurt: Hurt, heal: Heal) -> dict[str, Any]:
    """Hurt and heal so many times; how soon it was noticed, and how soon after the return a fresh frame was shown."""
    assert viewer.sees(15), "no picture at the start"
    before = (descriptors(), native_threads())
    noticed_s, back_s = [], []
    for number in range(times):
        began_ns, known = time.monotonic_ns(), len(viewer.losses)
        hurt()
        assert viewer.loses(known + 1, 20), f"loss {number} not noticed"
        noticed_s.append((viewer.losses[known][0] - began_ns) / 1e9)
        time.sleep(0.3 + 0.13 * number % 0.7)  # away for a while, and not in step with our tries
        healed_ns = heal()
        assert viewer.sees(15, 20), f"not back after loss {number}"
        back_s.append((viewer.first_after_ns - healed_ns) / 1e9)
    leaked = {"files": descriptors() - before[0], "threads": native_threads() - before[1]}
    return {"times": times, "noticed_s": quantiles(noticed_s, 2), "back_s": quantiles(back_s, 2), "leaked": leaked}


def through_relay(times: int) -> dict[str, Any]:
    """One camera that goes on; the network in front of it fails."""
    found: dict[str, Any] = {}
    with FFmpegCamera(Serve.TCP) as camera, Relay(camera.port) as relay:
        assert relay.flows.wait(20), "ffmpeg never served"

        def stall() -> None:
            relay.stalled = True

        def flow() -> int:
            relay.stalled = False
            return time.monotonic_ns()

        for name, hurt, heal in (("cut", relay.cut, relay.serve), ("stall", stall, flow)):
            with Viewer(camera, relay.url) as viewer:
                found[name] = losses(viewer, times, hurt, heal)
            found[name]["shown"] = told(viewer.shown)
        with Viewer(camera, relay.url) as viewer:
            found["frozen"] = frozen(camera, viewer)
        with Viewer(camera, relay.url) as viewer:
            found["damaged"] = damaged(relay, viewer)
    return found


def restarted(times: int) -> dict[str, Any]:
    """ffmpeg serves HTTP itself, is killed and started again."""
    with FFmpegCamera(Serve.HTTP) as camera:
        time.sleep(1.0)

        def start() -> int:
            camera.start()
            return time.monotonic_ns()

        with Viewer(camera) as viewer:
            found = losses(viewer, times, camera.kill, start)
        return {**found, "shown": told(viewer.shown)}


def frozen(camera: FFmpegCamera, viewer: Viewer) -> dict[str, Any]:
    assert viewer.sees(15)
    camera.freeze(True)
    time.sleep(FROZEN_S)
    seen = {"seconds": FROZEN_S, "shown_before_recognised": viewer.shown.repeated, "refused": dict(viewer.refused)}
    camera.freeze(False)
    assert viewer.sees(15, 20)
    return seen


def damaged(relay: Relay, viewer: Viewer) -> dict[str, Any]:
    assert viewer.sees(15)
    before = viewer.shown.count
    relay.flips_per_kb = FLIPS_PER_KB
    time.sleep(DAMAGED_S)
    shown = {"flips_per_kb": FLIPS_PER_KB, "shown": viewer.shown.count - before, "damaged": viewer.shown.damaged}
    relay.flips_per_kb = 0.0
    assert viewer.sees(30, 20)
    healed = viewer.shown.damaged
    assert viewer.sees(15, 20)
    return {**shown, "recognised": viewer.refused["corrupt"], "damaged_after_healing": viewer.shown.damaged - healed}


def kept(found: dict[str, Any]) -> bool:
    hurts = [found[name] for name in ("cut", "stall", "restart")]
    return (
        all(one["back_s"]["max"] <= PROMISE_S for one in hurts)
        and not any(one["shown"][fault] for one in hurts for fault in ("stale", "black", "repeated"))
        and all(one["leaked"][kind] <= 1 for one in hurts for kind in ("files", "threads"))
        and found["damaged"]["damaged_after_healing"] == 0
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=10, help="how often each loss is played")
    options = parser.parse_args()
    if FFMPEG is None:
        sys.stderr.write("ffmpeg is not installed: nothing serves a live stream\n")
        return 1
    found = {**through_relay(options.cuts), "restart": restarted(options.cuts)}
    ok = kept(found)
    sys.stdout.write(json.dumps({"schema": "station.streams/1", "kept": ok, **found}, indent=2) + "\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
