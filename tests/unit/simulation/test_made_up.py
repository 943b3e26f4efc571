"""What the report says of a simulated device that this computer kept waiting."""

import json
from pathlib import Path
from typing import Any

from station.simulation.made_up import device_stalls


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_edges_acted_on_late_are_told_with_the_worst(tmp_path: Path) -> None:
    write(
        tmp_path / "device.jsonl",
        [{"what": "boot"}, {"what": "stalled", "late_us": 4200}, {"what": "stalled", "late_us": 26000}],
    )
    acted_ms = [0.1, 0.9, 3.0, 24.0]
    write(
        tmp_path / "edges.jsonl", [{"gate": 1, "at_ns": 10**9, "acted_ns": 10**9 + round(ms * 1e6)} for ms in acted_ms]
    )
    assert device_stalls(tmp_path) == {
        "stalls": 2,
        "longest_ms": 26.0,
        "edges": 4,
        "edges_made_up": 2,
        "acted_late_max_ms": 24.0,
    }


def test_a_record_without_stalls_says_so(tmp_path: Path) -> None:
    write(tmp_path / "edges.jsonl", [{"gate": 1, "at_ns": 5, "acted_ns": 6}])
    assert device_stalls(tmp_path)["edges_made_up"] == 0
    assert device_stalls(tmp_path / "nowhere")["stalls"] == 0
