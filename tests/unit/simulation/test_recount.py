"""The outsider's script against the station's own arithmetic, on a record that holds every kind of trouble."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from station.config import builtin_config
from station.record.rows import ItemRow
from station.record.run_report import RunEnd, RunFacts, run_report
from station.simulation.edges import read_lines
from station.simulation.faults import parse_fault
from station.simulation.line import LineOptions, VirtualLine
from station.simulation.renderer import PlacedItem
from station.simulation.verdict import verdict_of, write_line_record

SCRIPT = Path(__file__).parents[2] / "tools" / "recount.py"
S, MS = 1_000_000_000, 1_000_000
REBOOT_NS = 9 * S


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@dataclass
class MadeUp:
    """What a station that now and then errs, fails or dreams would have written of a line."""

    line: VirtualLine
    dice: random.Random
    items: list[dict[str, Any]] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)

    def sees(self, track_id: int, item: PlacedItem) -> None:
        if self.dice.random() < 0.05:
            return  # unseen
        seen_ns = self.line.belt.time_ns(300.0 - item.along_mm)
        assert seen_ns is not None
        # A new boot counts from zero at where the belt then is.
        zero_count = self.line.count_at(REBOOT_NS) if seen_ns >= REBOOT_NS else 0
        row = ItemRow(track_id, "camera0", seen_ns - S // 10, 0, seen_ns, looks=self.dice.choice([0, *[1, 2, 3] * 3]))
        values = asdict(row) | {
            "along_mm": item.along_mm + zero_count * 0.5 + self.dice.gauss(0, 2),
            "lateral_mm": item.lateral_mm + self.dice.gauss(0, 2),
            "length_mm": 90.0,
            "width_mm": 90.0,
            "label": item.thing.label,
            "decision_reason": "matched" if row.looks else "no_look",
            "outcome": "passed",
            "reason": "none",
            "last_look_ns": seen_ns if row.looks else None,
            "decided_ns": seen_ns + 40 * MS,
        }
        if item.thing.label == "recyclable":
            values |= self.ejects(track_id, item, seen_ns, zero_count)
        self.items.append(values)

    def ejects(self, track_id: int, item: PlacedItem, seen_ns: int, zero_count: int) -> dict[str, Any]:
        gate = int(item.lateral_mm // 75)
        start = round((1335.0 - item.along_mm) * 2) - zero_count
        command = {
            "command_id": track_id,
            "gate_mask": 1 << gate,
            "window_in": "count",
            "window_start": start,
            "window_end": start + 160,
            "enqueued_ns": seen_ns,
        }
        answer = self.dice.choice(["fired"] * 8 + ["refused", "not_fired"])
        why = {"refused": {"why": "late"}, "not_fired": {"why": "cancelled"}}.get(answer, {})
        self.commands.append({"track_id": track_id, **command, "accepted_ns": seen_ns, "answer": answer, **why})
        values = {**command, "scheduled_ns": seen_ns + self.dice.randint(20, 90) * MS}
        values |= {"slack_ms": self.dice.uniform(1, 900), "outcome": "ejected"}
        values |= {"fire_error_us": self.dice.randint(-90, 900)}
        if answer != "fired":
            values |= {"outcome": "missed", "reason": "late", "scheduled_ns": None, "fire_error_us": None}
        if answer == "fired" or self.dice.random() < 0.3:  # now and then a gate acts without a right to
            self.acts(gate, item)
        return values

    def acts(self, gate: int, item: PlacedItem) -> None:
        late_ns = self.dice.choice([0] * 9 + [15 * MS])
        on_ns = self.line.belt.time_ns(1335.0 - item.along_mm)
        off_ns = self.line.belt.time_ns(1415.0 - item.along_mm)
        assert on_ns is not None
        assert off_ns is not None
        self.edges.append({"gate": gate, "on": True, "at_us": 0, "at_ns": on_ns - 12 * MS + late_ns, "count": 0})
        self.edges.append({"gate": gate, "on": False, "at_us": 0, "at_ns": off_ns - 8 * MS, "count": 0})

    def dreams(self) -> None:
        split, phantom = self.items[3], self.items[5]
        self.items.append({**split, "track_id": 900, "lateral_mm": split["lateral_mm"] + 30})
        self.items.append({**phantom, "track_id": 901, "along_mm": phantom["along_mm"] + 5000})


def made_up_run(out: Path) -> None:
    """A line with a slow and a stopped belt, a rebooted device, and such a station."""
    faults = (parse_fault("belt-slow@2+2"), parse_fault("belt-stop@6+2"))
    line = VirtualLine(builtin_config("virtual"), LineOptions(seed=8, for_s=12.0, faults=faults), start_ns=0)
    line.begin_feed(S)
    gone_ns = line.gone_ns()
    assert gone_ns is not None
    made = MadeUp(line, random.Random(4))
    for track_id, item in enumerate(line.fed(), start=1):
        made.sees(track_id, item)
    made.dreams()
    out.mkdir()
    write(out / "items.jsonl", made.items)
    write(out / "commands.jsonl", made.commands)
    write(out / "edges.jsonl", made.edges)
    boots = [{"what": "boot", "boot_id": n, "at_ns": at_ns} for n, at_ns in ((1, 0), (2, REBOOT_NS))]
    write(out / "device.jsonl", [*boots, {"what": "armed", "boot_id": 2, "at_ns": REBOOT_NS + S}])
    write_line_record(out, line, gone_ns)
    report_on(out)


def report_on(out: Path) -> None:
    verdict = verdict_of(out)
    rows = [ItemRow.from_json(row) for row in read_lines(out / "items.jsonl")]
    end = RunEnd(
        "completed",
        20.0,
        late_fires=verdict.fires.late_fires,
        wrong_fires=verdict.fires.wrong_fires,
        truth=verdict.truth,
    )
    report = run_report(RunFacts("wall", 8, "cpu", "none", "stub"), end, rows)
    (out / "report.json").write_text(json.dumps(report))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recount") / "run"
    made_up_run(out)
    return out


def scheduled(report: dict[str, Any]) -> dict[str, Any]:
    figures: dict[str, Any] = report["latency_ms"]["capture_to_scheduled"]
    return figures


def recount(out: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", "-S", str(SCRIPT), str(out), "--compare", str(out / "report.json")]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_made_up_run_holds_every_kind_of_trouble(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    truth = report["truth"]
    for key in ("matched", "unseen", "split", "phantom", "misaimed"):
        assert truth[key] > 0, key
    assert report["late_fires"] > 0
    assert report["wrong_fires"] > 0
    assert truth["fed"] == truth["matched"] + truth["merged"] + truth["unseen"] + truth["on_belt"]
    assert report["items"]["total"] == truth["matched"] + truth["split"] + truth["phantom"]


def test_an_outsider_with_the_standard_library_alone_arrives_at_the_same_report(run: Path) -> None:
    done = recount(run)
    assert done.stderr == ""
    assert done.returncode == 0
    assert json.loads(done.stdout)["truth"]["fed"] > 80


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("late_fires", lambda report: report.update(late_fires=report["late_fires"] + 1)),
        ("truth.purity.k", lambda report: report["truth"]["purity"].update(k=report["truth"]["purity"]["k"] + 1)),
        ("items.total", lambda report: report["items"].update(total=report["items"]["total"] + 1)),
        ("slack_ms.p50", lambda report: report["slack_ms"].update(p50=0.5)),
        (
            "latency_ms.capture_to_scheduled.p50",
            lambda report: scheduled(report).update(p50=scheduled(report)["p50"] - 1),
        ),
    ],
)
def test_a_report_that_says_otherwise_is_found_out(
    run: Path, tmp_path: Path, named: str, change: Callable[[dict[str, Any]], None]
) -> None:
    for file in run.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    report = json.loads((tmp_path / "report.json").read_text())
    change(report)
    (tmp_path / "report.json").write_text(json.dumps(report))
    done = recount(tmp_path)
    assert done.returncode == 1
    assert named in done.stderr
