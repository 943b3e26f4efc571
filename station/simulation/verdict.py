"""From a run's folder of JSON lines to the line's part of the run report: truth, late and wrong fires.

Reads items.jsonl and commands.jsonl (station), edges.jsonl and device.jsonl (device), truth.jsonl and line.json (line).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from station.simulation.belt import BeltProfile, Segment
from station.simulation.edges import EdgeFile, read_device_record, read_lines
from station.simulation.fires import DeviceFacts, FireCount, accepted_windows, count_fires
from station.simulation.line import VirtualLine
from station.simulation.truth import ItemTruth, TrackSeen, lane_block, truth_block

ACTED = ("ejected", "unconfirmed")


@dataclass(frozen=True, slots=True)
class Verdict:
    truth: dict[str, Any]  # the report's block, without model_alone
    fires: FireCount


def write_line_record(out: Path, line: VirtualLine, end_ns: int) -> None:
    """truth.jsonl and line.json, from the line and from the device's record in the same folder."""
    rows = [row.row() for row in line.truth(read_device_record(out).edges, end_ns)]
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    (out / "truth.jsonl").write_text(text, encoding="utf-8")
    (out / "line.json").write_text(json.dumps(line.facts(end_ns), indent=1), encoding="utf-8")


def verdict_of(out: Path) -> Verdict:
    facts = json.loads((out / "line.json").read_text(encoding="utf-8"))
    belt = _profile(facts["belt"])
    counted = _profile(facts["station_belt"])
    device = DeviceFacts(**facts["device"])
    edges = read_device_record(out)
    items = [ItemTruth.from_row(row) for row in read_lines(out / "truth.jsonl")]
    tracks = tracks_of(read_lines(out / "items.jsonl"), edges, belt, counted, device.mm_per_count)
    targets = facts["virtual"]["target_labels"]
    windows = accepted_windows(read_lines(out / "commands.jsonl"), edges, counted, device)
    truth = truth_block(items, tracks, targets, facts["product_bin"], facts["unactuated_bin"])
    if len(facts["lanes"]) > 1:
        truth["by_camera"] = {
            lane["camera_id"]: lane_block(items, (lane["from_mm"], lane["to_mm"]), targets, facts["product_bin"])
            for lane in facts["lanes"]
        }
    return Verdict(
        truth=truth,
        fires=count_fires(edges, windows, counted, device, int(facts["end_ns"])),
    )


def _profile(segments: Iterable[Mapping[str, Any]]) -> BeltProfile:
    return BeltProfile(tuple(Segment(**segment) for segment in segments))


def tracks_of(
    rows: Iterable[Mapping[str, Any]],
    edges: EdgeFile,
    belt: BeltProfile,
    counted: BeltProfile,
    mm_per_count: float | None,
) -> list[TrackSeen]:
    """Rows of items.jsonl in the truth's belt coordinates: the station counts from the device's boot, and maybe wrongly."""
    tracks = []
    for row in rows:
        if row["along_mm"] is None:
            continue
        seen_ns = int(row["last_seen_ns"])
        zero_mm = (
            edges.zero_mm(seen_ns, counted, mm_per_count) + belt.position_mm(seen_ns) - counted.position_mm(seen_ns)
        )
        tracks.append(
            TrackSeen(
                track_id=int(row["track_id"]),
                along_mm=float(row["along_mm"]) - zero_mm,
                lateral_mm=float(row["lateral_mm"]),
                length_mm=float(row["length_mm"]),
                width_mm=float(row["width_mm"]),
                aimed=row["command_id"] is not None and row["outcome"] in ACTED,
                ejected=row["outcome"] == "ejected",
            )
        )
    return tracks
