"""How often the simulated device's process was kept from running, and which edges it made up for.

A board is never stalled by a desk's other programs; its twin is, and computes the passes it missed afterwards, at their belt
and time. So that nobody takes its punctuality for this computer's, the report says how late it really came to act.
Reads the device's own record; knows nothing else.
"""

from pathlib import Path
from typing import Any

from station.simulation.edges import read_lines

MADE_UP_AFTER_MS = 1.0


def device_stalls(out: Path) -> dict[str, Any]:
    """`stalls` and the longest; `edges_made_up`: acted on more than a millisecond after their moment, and the latest of all."""
    stalls_ms = [row["late_us"] / 1e3 for row in read_lines(out / "device.jsonl") if row.get("what") == "stalled"]
    edges = [row for row in read_lines(out / "edges.jsonl") if "acted_ns" in row]
    acted_late_ms = [(row["acted_ns"] - row["at_ns"]) / 1e6 for row in edges]
    return {
        "stalls": len(stalls_ms),
        "longest_ms": round(max(stalls_ms, default=0.0), 1),
        "edges": len(edges),
        "edges_made_up": sum(late_ms > MADE_UP_AFTER_MS for late_ms in acted_late_ms),
        "acted_late_max_ms": round(max(acted_late_ms, default=0.0), 1),
    }
