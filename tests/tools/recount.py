#!/usr/bin/env python3
"""An outsider's recount of a run report from the JSONL files alone, with the standard library alone.

Items, ledger, capture_to_scheduled, slack, fire error; of a simulated line late and wrong fires and the truth as well.

    recount.py DIR [--compare report.json]

DIR holds the records of station, device and line. Imports nothing of the station, on purpose:
it would be no second opinion. Where an item landed is worked out again from edges and outlines, not believed.
"""

import argparse
import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Point = tuple[float, float]
Window = tuple[int, bool, float, float]  # gate, in counts (as mm) or else in ns, start, end

Z = 1.959963984540054
INFINITE_MS = 1e9
RELATED_MM = 12.0


def rows_of(path: Path) -> list[Row]:
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


# -- the belt -----------------------------------------------------------------------------------------------------------


class Belt:
    def __init__(self, segments: list[Row]) -> None:
        self.segments = segments

    def _at(self, t_ns: int) -> Row | None:
        found = None
        for segment in self.segments:
            if segment["t_ns"] <= t_ns:
                found = segment
        return found

    def position(self, t_ns: int) -> float:
        segment = self._at(t_ns)
        if segment is None:
            return float(self.segments[0]["position_mm"])
        t_s = (t_ns - segment["t_ns"]) / 1e9
        return float(segment["position_mm"] + segment["speed_mm_s"] * t_s + 0.5 * segment["accel_mm_s2"] * t_s * t_s)

    def speed(self, t_ns: int) -> float:
        segment = self._at(t_ns)
        return (
            0.0 if segment is None else segment["speed_mm_s"] + segment["accel_mm_s2"] * (t_ns - segment["t_ns"]) / 1e9
        )


def zero_mm(boots_ns: list[int], t_ns: int, belt: Belt, mm_per_count: float | None) -> float:
    if mm_per_count is None:  # no encoder: nothing begins anew
        return 0.0
    earlier = [boot for boot in boots_ns if boot <= t_ns] or boots_ns[:1]
    return math.floor(belt.position(earlier[-1]) / mm_per_count) * mm_per_count if earlier else 0.0


# -- where items landed ---------------------------------------------------------------------------------------------------


def chance(*key: object) -> float:
    digest = hashlib.blake2b(":".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2.0**64


def open_spans(edges: list[Row], belt: Belt, facts: Row) -> dict[int, list[Point]]:
    physics = facts["physics"]
    spans: dict[int, list[Point]] = {}
    opened: dict[int, int] = {}
    numbers: dict[int, int] = {}

    def add(gate: int, from_ns: int, to_ns: int) -> None:
        if to_ns <= from_ns:
            return
        low, high = belt.position(from_ns), belt.position(to_ns)
        row = spans.setdefault(gate, [])
        if row and low <= row[-1][1]:
            row[-1] = (row[-1][0], max(row[-1][1], high))
        else:
            row.append((low, high))

    for edge in sorted(edges, key=lambda e: (e["at_ns"], e["gate"])):
        gate = edge["gate"]
        number = numbers[gate] = numbers.get(gate, -1) + 1
        jitter = round(physics["jitter_ns"] * (2.0 * chance("edge", facts["seed"], gate, number) - 1.0))
        if edge["on"]:
            opened.setdefault(gate, edge["at_ns"] + physics["opens_ns"] + jitter)
        elif gate in opened:
            add(gate, opened.pop(gate), edge["at_ns"] + physics["closes_ns"] + jitter)
    for gate, from_ns in opened.items():
        add(gate, from_ns, facts["end_ns"])
    return spans


def area(shape: list[Point]) -> float:
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(shape, shape[1:] + shape[:1], strict=True))) / 2.0


def cut(shape: list[Point], axis: int, limit: float, above: bool) -> list[Point]:
    kept: list[Point] = []
    for index, end in enumerate(shape):
        start = shape[index - 1]
        inside = [(point[axis] >= limit) == above for point in (start, end)]
        if inside[0] != inside[1]:
            share = (limit - start[axis]) / (end[axis] - start[axis])
            kept.append((start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
        if inside[1]:
            kept.append(end)
    return kept


def landed(item: Row, spans: Mapping[int, Sequence[Point]], facts: Row) -> str:
    physics = facts["physics"]
    shape = [
        (item["along_mm"] + item["drift_mm"][0] + a, item["lateral_mm"] + item["drift_mm"][1] + b)
        for a, b in item["outline_mm"]
    ]
    bin_of_gate = {gate: name for name, gates in facts["bins"].items() for gate in gates}
    caught: dict[str, float] = {}
    whole = area(shape)
    for gate, (left, right) in enumerate(physics["strips_mm"]):
        for low, high in spans.get(gate, ()):
            part = shape
            for axis, limit, above in (
                (0, physics["at_mm"] - high, True),
                (0, physics["at_mm"] - low, False),
                (1, left, True),
                (1, right, False),
            ):
                part = cut(part, axis, limit, above)
            if part:
                name = str(bin_of_gate.get(gate, facts["unactuated_bin"]))
                caught[name] = caught.get(name, 0.0) + area(part) / whole
    if sum(caught.values()) < physics["diverted_cover"]:
        return str(facts["unactuated_bin"])
    return max(sorted(caught), key=lambda name: caught[name])


# -- the truth block --------------------------------------------------------------------------------------------------------


def half_extent(item: Row) -> Point:
    return max(abs(a) for a, _ in item["outline_mm"]), max(abs(b) for _, b in item["outline_mm"])


def truth_block(facts: Row, items: list[Row], tracks: list[Row], spans: Mapping[int, Sequence[Point]]) -> Row:
    on_ground = [item for item in items if not item["on_belt"]]
    pairs = []
    for track in tracks:
        for item in on_ground:
            along, lateral = abs(item["along_mm"] - track["along"]), abs(item["lateral_mm"] - track["lateral"])
            if along > 700:
                continue
            half = half_extent(item)
            in_item = along <= half[0] + RELATED_MM and lateral <= half[1] + RELATED_MM
            in_track = along <= track["length"] / 2 + RELATED_MM and lateral <= track["width"] / 2 + RELATED_MM
            if in_item or in_track:
                pairs.append((math.hypot(along, lateral), track["id"], item["item_id"]))
    item_of: dict[int, int] = {}
    track_of: dict[int, int] = {}
    for _, track_id, item_id in sorted(pairs):
        if track_id not in item_of and item_id not in track_of:
            item_of[track_id], track_of[item_id] = item_id, track_id
    near_items, near_tracks = {pair[2] for pair in pairs}, {pair[1] for pair in pairs}
    by_id = {track["id"]: track for track in tracks}
    block: Row = {"fed": len(items), "matched": len(item_of), "on_belt": len(items) - len(on_ground)}
    rest = [item["item_id"] for item in on_ground if item["item_id"] not in track_of]
    lone = [track["id"] for track in tracks if track["id"] not in item_of]
    block["merged"] = sum(item in near_items for item in rest)
    block["unseen"] = len(rest) - block["merged"]
    block["split"] = sum(track in near_tracks for track in lone)
    block["phantom"] = len(lone) - block["split"]
    block["co_ejected"] = block["misaimed"] = 0
    by_bin: dict[str, Counter[str]] = {}
    for item in on_ground:
        where = landed(item, spans, facts)
        by_bin.setdefault(where, Counter())[item["label"]] += 1
        owner = by_id.get(track_of.get(item["item_id"], -1))
        diverted = where != facts["unactuated_bin"]
        block["co_ejected"] += diverted and not (owner and owner["aimed"])
        block["misaimed"] += bool(not diverted and owner and owner["ejected"])
    block["by_bin"] = {name: dict(counts) for name, counts in by_bin.items()}
    targets, product = facts["virtual"]["target_labels"], by_bin.get(facts["product_bin"], Counter())
    hits = sum(count for label, count in product.items() if label in targets)
    wanted = sum(item["label"] in targets for item in on_ground)
    block["purity"] = share(hits, sum(product.values()))
    block["recovery"] = share(hits, wanted)
    block["false_eject_rate"] = share(sum(product.values()) - hits, len(on_ground) - wanted)
    return block


def share(k: int, n: int) -> Row:
    if n == 0:
        return {"value": None, "low": None, "high": None, "k": 0, "n": 0}
    p = k / n
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return {"value": p, "low": max(0.0, middle - half), "high": min(1.0, middle + half), "k": k, "n": n}


# -- late and wrong fires -----------------------------------------------------------------------------------------------------


def accepted(facts: Row, commands: list[Row], boots: list[int], belt: Belt) -> list[Window]:
    device = facts["device"]
    windows = []
    for row in commands:
        cancelled = row["answer"] == "not_fired" and row["why"] == "cancelled"
        if row["answer"] == "refused" or cancelled:
            continue
        start, end, in_counts = float(row["window_start"]), float(row["window_end"]), row["window_in"] == "count"
        if in_counts:
            zero = zero_mm(boots, row["enqueued_ns"], belt, device["mm_per_count"])
            start, end = (zero + count * device["mm_per_count"] for count in (start, end))
        windows += [(gate, in_counts, start, end) for gate in range(32) if row["gate_mask"] >> gate & 1]
    return windows


def on_spans(edges: list[Row], end_ns: int) -> list[tuple[int, int, int]]:
    spans: list[tuple[int, int, int]] = []
    since: dict[int, int] = {}
    for edge in sorted(edges, key=lambda e: (e["at_ns"], e["gate"], e["on"])):
        if edge["on"]:
            since.setdefault(edge["gate"], edge["at_ns"])
        elif edge["gate"] in since:
            spans.append((edge["gate"], since.pop(edge["gate"]), edge["at_ns"]))
    return spans + [(gate, from_ns, end_ns) for gate, from_ns in since.items()]


def felt(facts: Row, belt: Belt, t_ns: int, delay_ms: float, in_counts: bool) -> Point:
    """The edge as the item feels it, in the window's unit, and the tolerance there."""
    device = facts["device"]
    if not in_counts:
        return t_ns + delay_ms * 1e6, device["max_late_us"] * 1000.0
    speed = belt.speed(t_ns)
    slack = speed * device["max_late_us"] / 1e6 + 2.0 * (device["mm_per_count"] or 0.0)
    return belt.position(t_ns) + speed * delay_ms / 1000.0, slack


def fires(facts: Row, windows: list[Window], edges: list[Row], belt: Belt) -> tuple[int, int]:
    late = wrong = 0
    for gate, on_ns, off_ns in on_spans(edges, facts["end_ns"]):
        mine = [window for window in windows if window[0] == gate]
        due, in_time = [], False
        for window in mine:
            at, slack = felt(facts, belt, on_ns, facts["device"]["opening_ms"][gate], window[1])
            if window[2] - slack <= at <= window[3] + slack:
                due.append(window)
                in_time = in_time or at <= window[2] + slack
        late += bool(due) and not in_time
        wrong += not any(covers(facts, belt, off_ns, due, mine, in_counts) for in_counts in (True, False))
    return late, wrong


def covers(facts: Row, belt: Belt, off_ns: int, due: list[Window], mine: list[Window], in_counts: bool) -> bool:
    """Whether the windows that were due, and what joins them, reach to where the output went off."""
    ends = [window[3] for window in due if window[1] == in_counts]
    if not ends:
        return False
    at, slack = felt(facts, belt, off_ns, facts["device"]["closing_ms"][due[0][0]], in_counts)
    reached = max(ends)
    for window in sorted((w for w in mine if w[1] == in_counts), key=lambda w: w[2]):
        if window[2] <= reached + slack:
            reached = max(reached, window[3])
    return at <= reached + slack


# -- the station's own figures ------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], percent: float) -> float | None:
    if not values:
        return None
    return min(sorted(values)[max(1, math.ceil(percent / 100.0 * len(values))) - 1], INFINITE_MS)


def spread(values: Sequence[float]) -> Row:
    return {name: rounded(percentile(values, p)) for name, p in (("p50", 50), ("p99", 99), ("max", 100))}


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def station_figures(items: list[Row]) -> Row:
    done = [row for row in items if row["outcome"] is not None]
    kinds = Counter(row["outcome"] for row in done)
    looks = [row["looks"] for row in done]
    to_scheduled = []
    sorts = any(row["scheduled_ns"] is not None or row["reason"] == "late" for row in done)
    for row in done if sorts else ():
        if row["reason"] == "late" or row["decision_reason"] == "no_look":
            to_scheduled.append(math.inf)
        elif row["scheduled_ns"] is not None and row["last_look_ns"] is not None:
            to_scheduled.append((row["scheduled_ns"] - row["last_look_ns"]) / 1e6)
    slack = [row["slack_ms"] for row in done if row["slack_ms"] is not None]
    error = [abs(row["fire_error_us"]) for row in done if row["fire_error_us"] is not None]
    return {
        "items": {
            "total": len(items),
            "by_label": counted(row["label"] for row in done if row["label"] is not None),
            "looks_per_item": {"p1": percentile(looks, 1), "p50": percentile(looks, 50)},
            "by_outcome": {kind: kinds[kind] for kind in ("ejected", "passed", "missed", "unconfirmed")},
            "missed_by_reason": counted(row["reason"] for row in done if row["outcome"] == "missed"),
            "unconfirmed_by_reason": counted(row["reason"] for row in done if row["outcome"] == "unconfirmed"),
        },
        "ledger_balanced": len(done) == len(items) and len({row["track_id"] for row in items}) == len(items),
        "latency_ms": {"capture_to_scheduled": spread(to_scheduled)},
        "slack_ms": {"p1": rounded(percentile(slack, 1)), "p50": rounded(percentile(slack, 50))},
        "fire_error_us": spread(error),
    }


def recount(folder: Path) -> Row:
    items = rows_of(folder / "items.jsonl")
    report = station_figures(items)
    if not (folder / "line.json").exists():
        return report
    facts = json.loads((folder / "line.json").read_text(encoding="utf-8"))
    belt, counted, record = (
        Belt(facts["belt"]),
        Belt(facts["station_belt"]),
        [*rows_of(folder / "edges.jsonl"), *rows_of(folder / "device.jsonl")],
    )
    edges = [row for row in record if "gate" in row]
    boots = sorted(
        {row["at_ns"] for row in record if "boot_id" in row and "gate" not in row and row.get("what", "boot") == "boot"}
    )
    per_count = facts["device"]["mm_per_count"]
    tracks = [
        {
            "id": row["track_id"],
            "along": row["along_mm"]
            - zero_mm(boots, row["last_seen_ns"], counted, per_count)
            - (belt.position(row["last_seen_ns"]) - counted.position(row["last_seen_ns"])),
            "lateral": row["lateral_mm"],
            "length": row["length_mm"],
            "width": row["width_mm"],
            "aimed": row["command_id"] is not None and row["outcome"] in ("ejected", "unconfirmed"),
            "ejected": row["outcome"] == "ejected",
        }
        for row in items
        if row["along_mm"] is not None
    ]
    spans = open_spans(edges, belt, facts)
    windows = accepted(facts, rows_of(folder / "commands.jsonl"), boots, counted)
    late, wrong = fires(facts, windows, edges, counted)
    truth = truth_block(facts, rows_of(folder / "truth.jsonl"), tracks, spans)
    return {**report, "late_fires": late, "wrong_fires": wrong, "truth": truth}


def differences(mine: Row, theirs: Row, path: str = "") -> list[str]:
    """Every figure of mine that the report states otherwise, as one line each."""
    found: list[str] = []
    for key, value in mine.items():
        name = f"{path}{key}"
        other = theirs.get(key) if isinstance(theirs, dict) else None
        if key == "latency_ms" and other is None:
            continue  # virtual time reports none
        if isinstance(value, dict):
            found += differences(value, other or {}, name + ".")
        elif isinstance(value, float) and isinstance(other, int | float):
            if not math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-3 if path.startswith("latency") else 1e-9):
                found.append(f"{name}: recounted {value}, reported {other}")
        elif value != other:
            found.append(f"{name}: recounted {value}, reported {other}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the run's --out DIR")
    parser.add_argument("--compare", type=Path, help="the run report; exit 1 when it says anything else")
    arguments = parser.parse_args()
    mine = recount(arguments.folder)
    print(json.dumps(mine, indent=1))
    if arguments.compare is None:
        return 0
    wrong = differences(mine, json.loads(arguments.compare.read_text(encoding="utf-8")))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
