"""Reads the device's own record: what its outputs did, and where its counts began.

edges.jsonl has {"gate", "on", "at_us", "at_ns", "count"} for each edge; a boot is {"boot_id", "at_ns"} there, or
{"what": "boot", "boot_id", "at_ns", "epoch_count"} in device.jsonl. Knows files and rows; no physics, no truth.
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

    def zero_mm(self, t_ns: int, belt: BeltProfile, mm_per_count: float | None) -> float:
        """Belt position at which the counts in force at `t_ns` began. Without an encoder nothing begins anew."""
        if mm_per_count is None:
            return 0.0
        boots_ns = [boot_ns for boot_ns in self.boots_ns if boot_ns <= t_ns] or list(self.boots_ns[:1])
        if not boots_ns:
            return 0.0
        return count_of(belt.position_mm(boots_ns[-1]), mm_per_count) * mm_per_count


def edge_rows(rows: Iterable[Mapping[str, Any]]) -> EdgeFile:
    edges: list[Edge] = []
    boots_ns: set[int] = set()
    for row in rows:
        if "gate" in row:
            edges.append(Edge(int(row["gate"]), bool(row["on"]), int(row["at_ns"])))
        elif "boot_id" in row and row.get("what", "boot") == "boot":
            boots_ns.add(int(row["at_ns"]))
    return EdgeFile(tuple(edges), tuple(sorted(boots_ns)))


def read_device_record(out: Path) -> EdgeFile:
    """edges.jsonl and device.jsonl of a run's folder; without them it was a line without a device."""
    return edge_rows([*read_lines(out / "edges.jsonl"), *read_lines(out / "device.jsonl")])


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file; a missing file has none, a last line cut short does not count."""
    rows: list[dict[str, Any]] = []
    if not path.exists():
        return rows
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
