"""A long wall-clock run of `station demo`: does latency or memory grow? One figure per slice of time.

    python -m tests.tools.endurance [--for 60m] [--slice 10m] [--out DIR] [--http 127.0.0.1:0|off] [--feed 10]

Samples the station process from outside every five seconds (resident memory, threads, descriptors, and the load of the whole
machine), and cuts items.jsonl into slices afterwards. Judges growth, not speed: the last slice against the second, since the
first holds the start. One JSON object on stdout; exit 1 when something grew or the run was not clean.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLE_S = 5.0
MEMORY_GROWTH_MIB = 24.0  # last slice over the second; an allocator breathes by a few MiB
LATENCY_GROWTH_MS = 15.0  # of p99, half a frame's period
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Sample:
    at_ns: int
    rss_mib: float
    threads: int
    descriptors: int
    load_1min: float


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 10m or 1h")
    return float(match[1]) * UNITS_S[match[2]]


def sample(pid: int) -> Sample | None:
    """None when the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "VmRSS" not in values:
        return None
    return Sample(
        at_ns=time.monotonic_ns(),
        rss_mib=int(values["VmRSS"].split()[0]) / 1024,
        threads=int(values["Threads"]),
        descriptors=descriptors,
        load_1min=os.getloadavg()[0],
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    if not values:
        return None
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


def latency_ms(item: dict[str, Any]) -> float | None:
    """Capture of the last look used to the command's enqueueing, None for items not meant for a gate."""
    if item["reason"] == "late" or item.get("decision_reason") == "no_look":
        return 1e9
    if item.get("scheduled_ns") is None or item.get("last_look_ns") is None:
        return None
    return float(item["scheduled_ns"] - item["last_look_ns"]) / 1e6


def slices(items: list[dict[str, Any]], samples: list[Sample], slice_s: float, for_s: float) -> list[dict[str, Any]]:
    began_ns = min(item["born_ns"] for item in items)
    rows = []
    for number in range(max(1, round(for_s / slice_s))):
        start_ns = began_ns + round(number * slice_s * 1e9)
        end_ns = start_ns + round(slice_s * 1e9)
        ours = [item for item in items if start_ns <= item["born_ns"] < end_ns]
        seen = [one for one in samples if start_ns <= one.at_ns < end_ns]
        late = [value for value in map(latency_ms, ours) if value is not None]
        rows.append(
            {
                "from_min": round(number * slice_s / 60, 2),
                "items": len(ours),
                "ejected": sum(item["outcome"] == "ejected" for item in ours),
                "missed": sum(item["outcome"] == "missed" for item in ours),
                "unconfirmed": sum(item["outcome"] == "unconfirmed" for item in ours),
                "capture_to_scheduled_p50_ms": _rounded(percentile(late, 50)),
                "capture_to_scheduled_p99_ms": _rounded(percentile(late, 99)),
                "rss_mib": _rounded(percentile([one.rss_mib for one in seen], 50)),
                "threads": max((one.threads for one in seen), default=None),
                "descriptors": max((one.descriptors for one in seen), default=None),
                "load_1min": _rounded(percentile([one.load_1min for one in seen], 50)),
            }
        )
    return rows


def grown(rows: list[dict[str, Any]]) -> list[str]:
    """What is larger at the end than after the start, in words."""
    if len(rows) < 3:
        return []
    early, last = rows[1], rows[-1]
    limits = {
        "rss_mib": MEMORY_GROWTH_MIB,
        "capture_to_scheduled_p99_ms": LATENCY_GROWTH_MS,
        "threads": 0,
        "descriptors": 0,
    }
    return [
        f"{name}: {early[name]} -> {last[name]}"
        for name, limit in limits.items()
        if early[name] is None or last[name] is None or last[name] - early[name] > limit
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="for_s", type=seconds, default=3600.0)
    parser.add_argument("--slice", dest="slice_s", type=seconds, default=600.0)
    parser.add_argument("--out", type=Path, default=Path("endurance"))
    parser.add_argument("--http", default="off")
    parser.add_argument("--feed", default="10")
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    words = [sys.executable, "-m", "station", "demo", "--for", f"{options.for_s:g}s", "--feed", options.feed, "--json"]
    words += ["--seed", options.seed, "--http", options.http, "--out", str(options.out)]
    samples: list[Sample] = []
    options.out.mkdir(parents=True, exist_ok=True)
    with (
        (options.out / "stderr.txt").open("wb") as log,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        while process.poll() is None:
            one = sample(process.pid)
            samples += [one] if one is not None else []
            time.sleep(SAMPLE_S)
        printed = process.stdout.read() if process.stdout is not None else b""
        report = json.loads(printed) if process.returncode == 0 else None
    lines = (options.out / "items.jsonl").read_text(encoding="utf-8").splitlines()
    rows = slices([json.loads(line) for line in lines], samples, options.slice_s, options.for_s)
    words_grown = grown(rows)
    if report is None:
        print(json.dumps({"slices": rows, "grown": words_grown, "failed": process.returncode, "ok": False}, indent=1))
        return 1
    clean = {key: report[key] for key in ("ledger_balanced", "late_fires", "wrong_fires", "history_lost")}
    ok = not words_grown and clean == {"ledger_balanced": True, "late_fires": 0, "wrong_fires": 0, "history_lost": 0}
    truth = {key: report["truth"][key] for key in ("fed", "matched", "purity", "recovery")}
    figures = {
        "slices": rows,
        "grown": words_grown,
        **clean,
        "truth": truth,
        "latency_ms": report["latency_ms"],
        "ok": ok,
    }
    print(json.dumps(figures, indent=1))
    return 0 if ok else 1


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


if __name__ == "__main__":
    sys.exit(main())
