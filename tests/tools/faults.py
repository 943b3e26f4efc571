"""Each fault of the line while it sorts with its page open: shown, in the report with its reason, sorting again, nothing lost.

    python -m tests.tools.faults [--only NAME]... [--browser] [--keep DIR]

For every fault one `station demo` at 10 items a second is run in a folder of its own, and somebody looks at its page through
the page's own sockets (`--browser`: in Chromium, by the words on the screen). Judged are: how long after the fault the page
says so in words that fit (2 s), how long after its end it sorts with no alarm left but those that count over a minute (6 s),
whether items were ejected again, that only items near the fault were lost and for its reasons, what the report says of it,
and the promises that hold always (ledger balanced, no late or wrong fire, nothing of the history lost). Each allowance, and
why it is made, stands in tests/tools/fault_judge.py. The line must be well before the fault: a computer too slow or too busy
for the demo shows nothing about faults. `killed` is a kill -9 of the station: judged by the device's own record and by the
next start. One JSON object on stdout; exit 1 when any row is wrong.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.tools.fault_judge import EXPECTED, SHOWN_WITHIN_MS, Expected, Span, in_record, on_page, span_of, wrong_of
from tests.tools.kill_station import TOLERANCE_MS, closed, judge, rows, wait_until
from tests.tools.onlooker import GONE, NO_CONNECTION, BrowserViewer, SocketViewer

ROOT = Path(__file__).parents[2]
AT_S, FEED_S = 8.0, 25.0
KILLED = "killed"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def start_demo(folder: Path, out: str, port: int | None, flags: Sequence[str]) -> subprocess.Popen[str]:
    """In a folder of its own, with tokens of its own; its words go to a file."""
    words = [sys.executable, "-m", "station", "demo", "--json", "--out", out, *flags]
    words += ["--http", "off" if port is None else f"127.0.0.1:{port}"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": path}
    with (folder / f"{out}.stderr").open("w") as said:
        return subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=said, text=True)


def viewer_of(port: int, browser: bool) -> SocketViewer | BrowserViewer:
    if not browser:
        return SocketViewer(port)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("--browser needs Chromium (apt install chromium)")
    return BrowserViewer(port, chromium)


# -- a fault that the station outlives -----------------------------------------------------------------------------------


def play(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    expected, port = EXPECTED[name], free_port()
    fault = f"{name}@{AT_S:g}" + ("" if name == "reboot" else f"+{expected.for_s:g}")
    flags = ["--for", f"{FEED_S:g}s", "--feed", "10", "--seed", str(options.seed), "--fault", fault]
    demo = start_demo(folder, "run", port, flags)
    viewer = viewer_of(port, options.browser)
    printed, _ = demo.communicate(timeout=300)
    viewer.close()
    if demo.returncode != 0:
        return {"fault": fault, "wrong": [f"exit code {demo.returncode}: {(folder / 'run.stderr').read_text()[-400:]}"]}
    span = span_of(folder / "run", name, AT_S, expected.for_s)
    row = {
        "fault": fault,
        **on_page(viewer.sightings, expected, span),
        **in_record(json.loads(printed), folder / "run", span),
    }
    row["device_stalls"] = stalls(folder / "run")
    row["wrong"] = wrong_of(row, expected)
    return row


def stalls(out: Path) -> dict[str, Any]:
    """The simulated device's own notes of moments when the computer did not let it run: they excuse nothing, they explain."""
    noted = [row["late_us"] / 1000 for row in rows(out / "device.jsonl") if row["what"] == "stalled"]
    return {"count": len(noted), "worst_ms": max(noted, default=0.0)}


# -- a fault that it does not ---------------------------------------------------------------------------------------------


def play_killed(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    port = free_port()
    flags = ["--feed", "10", "--seed", str(options.seed)]
    demo = start_demo(folder, "killed", port, ["--for", "60s", *flags])
    viewer = viewer_of(port, options.browser)
    out = folder / "killed"
    wait_until("the first shot", lambda: any("gate" in row for row in rows(out / "edges.jsonl")), 90)
    time.sleep(AT_S)
    os.kill(demo.pid, signal.SIGKILL)
    killed_ns = time.monotonic_ns()
    demo.communicate()
    wait_until("the line's truth", (out / "truth.jsonl").exists, 60)
    time.sleep(0.5)
    figures = judge(folder, out, killed_ns)
    again = start_demo(folder, "again", port, ["--for", "8s", *flags])
    printed, _ = again.communicate(timeout=300)
    viewer.close()
    report = json.loads(printed) if again.returncode == 0 else {}
    kept = json.loads(station_says(folder, "report", "--run", "1", "--json"))
    gone = Expected(page=f"{GONE}|{NO_CONNECTION}", incident="")
    page = on_page(viewer.sightings, gone, Span(killed_ns, killed_ns, killed_ns))
    row = {
        "fault": KILLED,
        "shown_after_ms": page["shown_after_ms"],
        "shown_words": page["shown_words"],
        "page_well_again": any(
            s.sorts and not s.alarms for s in viewer.sightings if s.at_ns > killed_ns + 2_000_000_000
        ),
        **figures,
        "next_start_exit_code": again.returncode,
        **closed(folder),
        "killed_run_balanced": kept.get("ledger_balanced"),
        "killed_run_items": kept.get("items"),
        **{f"next_{key}": report.get(key) for key in ("ledger_balanced", "late_fires", "wrong_fires", "history_lost")},
        "device_stalls": stalls(out),
    }
    row["wrong"] = wrong_of_killed(row)
    return row


def station_says(folder: Path, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "station", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def wrong_of_killed(row: dict[str, Any]) -> list[str]:
    checks = {
        "not on the page within 2 s": row["shown_after_ms"] is not None and row["shown_after_ms"] <= SHOWN_WITHIN_MS,
        "the page did not come back with the next start": row["page_well_again"],
        "the device did not disarm by its lease": row["disarm_reason"] == "lease",
        "outputs were on after the lease": row["outputs_off_after_ms"] <= row["lease_ms"] + TOLERANCE_MS
        and row["edges_after_lease"] == 0,
        "the next start failed": row["next_start_exit_code"] == 0,
        "open items were left": row["open_items_left"] == 0 and row["run_status"] == "interrupted",
        "no item was closed as interrupted": row["interrupted_items"] > 0,
        "the killed run does not balance": row["killed_run_balanced"] is True,
        "the next run's promises": (
            row["next_ledger_balanced"],
            row["next_late_fires"],
            row["next_wrong_fires"],
            row["next_history_lost"],
        )
        == (True, 0, 0, 0),
    }
    return [words for words, good in checks.items() if not good]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*EXPECTED, KILLED]
    parser.add_argument("--only", action="append", choices=names, help="this fault alone; repeatable")
    parser.add_argument("--browser", action="store_true", help="look in Chromium, not through the sockets alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the records of the runs in this folder")
    options = parser.parse_args()
    found = []
    for name in options.only or names:
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) if options.keep is None else options.keep / name
            folder.mkdir(parents=True, exist_ok=True)
            row = play_killed(folder, options) if name == KILLED else play(name, folder, options)
            print(f"{name}: {'; '.join(row['wrong']) or 'as promised'}", file=sys.stderr)
            found.append(row)
    good = not any(row["wrong"] for row in found)
    print(
        json.dumps(
            {
                "schema": "station.faults/1",
                "viewer": "browser" if options.browser else "sockets",
                "rows": found,
                "ok": good,
            },
            indent=1,
        )
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
