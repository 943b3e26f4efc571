"""kill -9 of a sorting station: outputs off by the device's own record, nothing kept is lost, the next start closes the run.

    python -m tests.tools.kill_station [--after 8] [--seed 1]

Starts `station demo`, kills it while items are between camera and gates, waits for the line process (it outlives the station),
and reads only files: device.jsonl and edges.jsonl of the device process, history.sqlite of the station. One JSON object on
stdout; exit 1 when a promise is broken.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

TOLERANCE_MS = 5.0
KEPT_WITHIN_MS = 100.0


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def wait_until(what: str, done: Any, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.02)


def station(folder: Path, out: str, for_: str, seed: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "station", "demo", "--for", for_, "--seed", str(seed), "--http", "off", "--out", out]
    words += ["--feed", "33", "--speed-m-s", "2.5"]  # something to keep every 15 ms, so that a loss of 100 ms shows
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--after", type=float, default=8.0, help="seconds of sorting before the kill")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / "killed"
        process = station(folder, "killed", "60s", options.seed)
        wait_until("the first shot", lambda: any("gate" in row for row in rows(out / "edges.jsonl")), 90)
        time.sleep(options.after)
        os.kill(process.pid, signal.SIGKILL)
        killed_ns = time.monotonic_ns()
        process.wait()
        wait_until("the line's truth", (out / "truth.jsonl").exists, 60)
        time.sleep(0.5)
        figures = judge(folder, out, killed_ns)
        again = station(folder, "again", "2s", options.seed)
        figures["next_start_exit_code"] = again.wait(120)
        figures |= closed(folder)
    figures["ok"] = (
        figures["outputs_off_after_ms"] <= figures["lease_ms"] + TOLERANCE_MS
        and figures["edges_after_lease"] == 0
        and figures["newest_kept_before_kill_ms"] <= KEPT_WITHIN_MS
        and figures["next_start_exit_code"] == 0
        and figures["open_items_left"] == 0
        and figures["interrupted_items"] > 0
    )
    print(json.dumps(figures, indent=1))
    return 0 if figures["ok"] else 1


def judge(folder: Path, out: Path, killed_ns: int) -> dict[str, Any]:
    spec = json.loads((out / "line-spec.json").read_text(encoding="utf-8"))
    lease_ms = spec["config"]["link"]["lease_ms"]
    edges = [row for row in rows(out / "edges.jsonl") if "gate" in row]
    after = [edge for edge in edges if edge["at_ns"] > killed_ns]
    disarmed = [row for row in rows(out / "device.jsonl") if row["what"] == "disarmed" and row["at_ns"] > killed_ns]
    lease_end_ns = disarmed[0]["at_ns"] if disarmed else None
    last_off_ns = max((edge["at_ns"] for edge in after), default=killed_ns)
    with sqlite3.connect(folder / "station-runs" / "history.sqlite") as db:
        newest = [
            db.execute(f"SELECT max({column}) FROM items WHERE run_id = 1").fetchone()[0] or 0
            for column in ("born_ns", "settled_ns", "last_seen_ns")
        ]
    return {
        "lease_ms": lease_ms,
        "disarmed_after_ms": None if lease_end_ns is None else round((lease_end_ns - killed_ns) / 1e6, 2),
        "disarm_reason": disarmed[0].get("reason") if disarmed else None,
        "outputs_off_after_ms": round((max(last_off_ns, lease_end_ns or last_off_ns) - killed_ns) / 1e6, 2),
        "edges_after_lease": sum(
            edge["on"] for edge in after if lease_end_ns is not None and edge["at_ns"] > lease_end_ns
        ),
        "newest_kept_before_kill_ms": round((killed_ns - max(newest)) / 1e6, 1),
    }


def closed(folder: Path) -> dict[str, Any]:
    with sqlite3.connect(folder / "station-runs" / "history.sqlite") as db:
        status = db.execute("SELECT status FROM runs WHERE run_id = 1").fetchone()[0]
        left = db.execute("SELECT count(*) FROM items WHERE outcome IS NULL").fetchone()[0]
        cut = db.execute("SELECT count(*) FROM items WHERE run_id = 1 AND reason = 'interrupted'").fetchone()[0]
    return {"run_status": status, "open_items_left": left, "interrupted_items": cut}


if __name__ == "__main__":
    sys.exit(main())
