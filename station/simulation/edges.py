"""Reads the device's own record, edges.jsonl: what its outputs did, and where its counts began.

Rows: {"gate", "on", "at_us", "at_ns", "count"} for an edge; {"boot_id", "at_ns", ...} without "gate" for a boot.
Knows files and rows; physics and truth are made of them elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from station.simulation.belt import BeltProfile, count_of
from station.simulation.gates import Edge


@dataclass(frozen=True, slots=True)
class EdgeFile:
    edges: tuple[Edge, ...] = field(default=())
    boots_ns: tuple[int, ...] = field(default=())

    def zero_mm(self, t_ns: int, belt: BeltProfile, mm_per_count: float) -> float:
        """Belt position at which the counts in force at `t_ns` began."""
        boots_ns = [boot_ns for boot_ns in self.boots_ns if boot_ns <= t_ns] or list(self.boots_ns[:1])
        if not boots_ns:
            return 0.0
        return count_of(belt.position_mm(boots_ns[-1]), mm_per_count) * mm_per_count


def edge_rows(rows: Iterable[Mapping[str, Any]]) -> EdgeFile:
    edges, boots_ns = [], []
    for row in rows:
        if "gate" in row:
            edges.append(Edge(int(row["gate"]), bool(row["on"]), int(row["at_ns"])))
        elif "boot_id" in row:
            boots_ns.append(int(row["at_ns"]))
    return EdgeFile(tuple(edges), tuple(sorted(boots_ns)))


def read_edges(path: Path) -> EdgeFile:
    """A missing file is a line without a device; a last line that was cut short does not count."""
    if not path.exists():
        return EdgeFile()
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return edge_rows(rows)
