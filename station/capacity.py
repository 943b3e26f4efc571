"""`station bench capacity`: the highest feed the whole station carries on this machine, and what gives way above it.

A feed holds when 99 % of the items get two looks, at most 0.5 % are missed as late, and capture_to_scheduled stays within
100 ms at p99. Each trial is a full demo in wall time. The line process draws on the same cores: its share is named too.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from station.config import StationConfig, changed
from station.demo import DemoOptions, demo
from station.screen import ScreenSetup
from station.simulation.line import LineOptions

SCHEMA = "station.capacity/1"
FEEDS_PER_S = (20.0, 33.4, 50.0, 66.7, 83.4)
SPACING_MM = 45.0  # belt travel per item the feeder needs to keep clear gaps
SLOWEST_M_S, FASTEST_M_S = 2.5, 3.5
LEAST_LOOKS, MOST_LATE, P99_MS = 2, 0.005, 100.0

Say = Callable[[str], None]


def capacity(config: StationConfig, for_s: float, say: Say) -> dict[str, Any]:
    """Try one feed after the other until one does not hold."""
    trials = []
    for feed_per_s in FEEDS_PER_S:
        trial = _trial(config, feed_per_s, for_s)
        trials.append(trial)
        say(_words(trial))
        if not trial["holds"]:
            break
    held = [trial for trial in trials if trial["holds"]]
    best = held[-1] if held else None
    return {
        "schema": SCHEMA,
        "backend": trials[0]["backend"],
        "items_per_min": round(best["feed_per_s"] * 60) if best else 0,
        "speed_m_s": best["speed_m_s"] if best else None,
        "gives_way": None if trials[-1]["holds"] else trials[-1]["gives_way"],
        "trials": trials,
    }


def _trial(config: StationConfig, feed_per_s: float, for_s: float) -> dict[str, Any]:
    speed_m_s = min(FASTEST_M_S, max(SLOWEST_M_S, feed_per_s * SPACING_MM / 1000))
    fed = changed(config, virtual={"feed_per_s": feed_per_s, "speed_m_s": speed_m_s})
    with TemporaryDirectory() as folder:
        out = Path(folder)
        line = replace(LineOptions(), for_s=for_s)
        fed = changed(fed, record={"directory": str(out)})
        report = demo(fed, DemoOptions(line, out=out / "run", screen=ScreenSetup(simulated=True, http="off")))
    return judged(report, feed_per_s, speed_m_s)


def judged(report: dict[str, Any], feed_per_s: float, speed_m_s: float) -> dict[str, Any]:
    """The trial's figures, whether it holds, and if not what gave way first."""
    items, frames = report["items"], report["frames"]
    total = max(1, items["total"])
    late = items["missed_by_reason"].get("late", 0) / total
    p99_ms = report["latency_ms"]["capture_to_scheduled"]["p99"]
    looks_p1 = items["looks_per_item"]["p1"] or 0
    holds = looks_p1 >= LEAST_LOOKS and late <= MOST_LATE and p99_ms is not None and p99_ms <= P99_MS
    return {
        "feed_per_s": feed_per_s,
        "speed_m_s": round(speed_m_s, 2),
        "backend": report["backend"],
        "items": total,
        "looks_p1": looks_p1,
        "late_share": round(late, 5),
        "capture_to_scheduled_p99_ms": p99_ms,
        "purity": report["truth"]["purity"]["value"],
        "recovery": report["truth"]["recovery"]["value"],
        "frames": frames,
        "stages_ms": report["stages_ms"],
        "holds": holds,
        "gives_way": None if holds else _gives_way(report),
    }


def _gives_way(report: dict[str, Any]) -> str:
    """The stage with the longest p99 in the loop; the line itself when its pictures no longer came in time."""
    frames, stages = report["frames"], report["stages_ms"]
    expected = report["duration_s"] * report["line"]["virtual"]["fps"]
    if frames["captured"] < 0.93 * expected and frames["dropped"] < 0.02 * frames["captured"]:
        return "line (drawing the pictures)"
    return max(stages, key=lambda name: stages[name]["p50_ms"] or 0.0) if stages else "unknown"


def _words(trial: dict[str, Any]) -> str:
    verdict = "holds" if trial["holds"] else f"does not hold: {trial['gives_way']}"
    return (
        f"{trial['feed_per_s'] * 60:.0f} items/min at {trial['speed_m_s']} m/s: p99 {trial['capture_to_scheduled_p99_ms']} ms, "
        f"looks p1 {trial['looks_p1']}, late {trial['late_share']:.2%} - {verdict}"
    )
