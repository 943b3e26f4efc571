"""Each fault of the line while it sorts with its page open: shown, in the report with its reason, sorting again, nothing lost.

    python -m tests.tools.faults [--only NAME]... [--browser] [--keep DIR]

For every fault one `station demo` at 10 items a second is run in a folder of its own, and somebody looks at its page through
the page's own sockets (`--browser`: in Chromium, by the words on the screen). Judged are: how long after the fault the page
says so in words that fit, how long after its end the page says all is well, whether items were ejected again, what the
report says of it, and the promises that hold always (ledger balanced, no late or wrong fire, nothing of the history lost).
`killed` is a kill -9 of the station: judged by the device's own record and by the next start. One JSON object on stdout;
exit 1 when any row is wrong.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.tools.kill_station import TOLERANCE_MS, closed, judge, rows, wait_until
from tests.tools.onlooker import GONE, NO_CONNECTION, BrowserViewer, Sighting, SocketViewer

ROOT = Path(__file__).parents[2]
SHOWN_WITHIN_MS = 2000.0
AT_S, LASTS_S, FEED_S = 8.0, 5.0, 25.0
KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Expected:
    """What one fault must look like."""

    page: str  # pattern of the words an operator reads
    incident: str  # pattern of a reason in the report's list of incidents
    may_miss: frozenset[str]  # reasons that items around it may have
    for_s: float = LASTS_S
    stops_sorting: bool = True


LINK_REASONS = frozenset({"link", "refused_not_armed", "no_report", "not_permitted", "lost_track"})
EXPECTED = {
    "camera": Expected(
        "[Cc]amera (lost|.*gives no pictures|.*sends nothing)", "camera", frozenset({"undecided", "lost_track"})
    ),
    "freeze": Expected("frozen", "frozen", frozenset({"undecided", "lost_track"})),
    "cable": Expected(
        "check the cable|[Cc]ontroller does not answer|controller lost", "cable|does not answer", LINK_REASONS
    ),
    "reboot": Expected("restarted", "restarted", LINK_REASONS, for_s=1.0),
    "disk": Expected("[Rr]ecords cannot be written", "cannot be written", frozenset(), stops_sorting=False),
    "gpu": Expected(
        "[Rr]ecognition fails", "[Rr]ecognition fails", frozenset({"undecided", "not_permitted", "lost_track"})
    ),
}


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
    report = json.loads(printed)
    line = json.loads((folder / "run" / "line.json").read_text())
    begin_ns = line["feed_start_ns"] + round(AT_S * 1e9)
    end_ns = begin_ns if name == "reboot" else begin_ns + round(expected.for_s * 1e9)
    row = {
        "fault": fault,
        **on_page(viewer.sightings, expected.page, begin_ns, end_ns),
        **in_record(report, folder / "run", begin_ns, end_ns),
    }
    row["device_stalls"] = stalls(folder / "run")
    row["wrong"] = wrong_of(row, expected)
    return row


def on_page(seen: Sequence[Sighting], pattern: str, begin_ns: int, end_ns: int) -> dict[str, Any]:
    before = [sighting for sighting in seen if sighting.at_ns < begin_ns]
    shown = next((s for s in seen if s.at_ns >= begin_ns and re.search(pattern, s.words)), None)
    later = [sighting for sighting in seen if sighting.at_ns >= end_ns]
    # Well for good: from the last sighting that was not, while things were still fed.
    run_end_ns = begin_ns + round((FEED_S - AT_S) * 1e9)
    fed = [sighting for sighting in later if sighting.at_ns < run_end_ns]
    ill = [n for n, sighting in enumerate(fed) if not sighting.well]
    well = fed[0] if not ill and fed else fed[ill[-1] + 1] if fed and ill[-1] + 1 < len(fed) else None
    return {
        "said_before": any(re.search(pattern, sighting.words) for sighting in before),
        "shown_after_ms": None if shown is None else round((shown.at_ns - begin_ns) / 1e6),
        "shown_words": None if shown is None else shown.words,
        "well_after_ms": None if well is None else round((well.at_ns - end_ns) / 1e6),
        "words_when_well": None if well is None else well.words,
    }


def in_record(report: dict[str, Any], out: Path, begin_ns: int, end_ns: int) -> dict[str, Any]:
    items = rows(out / "items.jsonl")
    fed_until_ns = json.loads((out / "line.json").read_text())["feed_end_ns"]
    return {
        "incidents": [f"{entry['what']}: {entry['reason']}" for entry in report.get("incidents", [])],
        "missed": report["items"]["missed_by_reason"],
        "unconfirmed": report["items"]["unconfirmed_by_reason"],
        "unseen": report["truth"]["unseen"],
        "ejected_before": sum(i["outcome"] == "ejected" and i["settled_ns"] < begin_ns for i in items),
        "ejected_during": sum(i["outcome"] == "ejected" and begin_ns <= i["settled_ns"] < end_ns for i in items),
        "born_and_ejected_after": sum(
            i["outcome"] == "ejected" and end_ns < i["born_ns"] < fed_until_ns for i in items
        ),
        **{key: report[key] for key in ("status", "ledger_balanced", "late_fires", "wrong_fires", "history_lost")},
        "in_flight": report["items"]["in_flight"],
    }


def stalls(out: Path) -> dict[str, Any]:
    """The simulated device's own notes of moments when the computer did not let it run: they excuse nothing, they explain."""
    noted = [row["late_us"] / 1000 for row in rows(out / "device.jsonl") if row["what"] == "stalled"]
    return {"count": len(noted), "worst_ms": max(noted, default=0.0)}


def wrong_of(row: dict[str, Any], expected: Expected) -> list[str]:
    wrong = always_wrong(row)
    if row["said_before"]:
        wrong.append("the page spoke of the fault before it happened")
    if row["shown_after_ms"] is None or row["shown_after_ms"] > SHOWN_WITHIN_MS:
        wrong.append(f"not on the page within {SHOWN_WITHIN_MS:g} ms")
    if row["well_after_ms"] is None:
        wrong.append("the page did not say that all is well again")
    if not any(re.search(expected.incident, incident) for incident in row["incidents"]):
        wrong.append("the report does not name the fault")
    if row["born_and_ejected_after"] < 5:
        wrong.append("it did not sort again")
    if not expected.stops_sorting and row["ejected_during"] < 5:
        wrong.append("it did not go on sorting")
    strange = {*row["missed"], *row["unconfirmed"]} - expected.may_miss - {"neighbour", "refused_gate_limit", "late"}
    if strange:
        wrong.append(f"items with another reason: {', '.join(sorted(strange))}")
    return wrong


def always_wrong(row: dict[str, Any]) -> list[str]:
    good = {
        "ledger_balanced": True,
        "late_fires": 0,
        "wrong_fires": 0,
        "history_lost": 0,
        "in_flight": 0,
        "status": "completed",
    }
    return [f"{key} is {row[key]}" for key, value in good.items() if row[key] != value]


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
    pattern = f"{GONE}|{NO_CONNECTION}"
    page = on_page(viewer.sightings, pattern, killed_ns, killed_ns)
    row = {
        "fault": KILLED,
        "shown_after_ms": page["shown_after_ms"],
        "shown_words": page["shown_words"],
        "page_well_again": any(s.well for s in viewer.sightings if s.at_ns > killed_ns + 2_000_000_000),
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
