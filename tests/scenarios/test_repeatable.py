"""The same seed is the same run, and an outsider who reads only the files arrives at the same report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from station.config import changed
from station.demo import DemoOptions, demo
from station.simulation.faults import parse_fault
from station.simulation.line import LineOptions
from tests.scenarios.lines import Scenario, play, reference_line

RECOUNT = Path(__file__).parents[1] / "tools" / "recount.py"
RECORDS = ("items.jsonl", "commands.jsonl", "edges.jsonl", "encoder.jsonl", "truth.jsonl", "line.json")
EVENTFUL = Scenario(
    for_s=16.0,
    faults=("belt-slow@2+2", "cable@5+1", "belt-stop@9+1", "reboot@12"),
    host_stalls=((7.5, 0.4),),
    frozen_camera=((14.0, 0.3),),
)


def records(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RECORDS}


def test_the_same_seed_gives_the_same_records_bit_for_bit(tmp_path: Path) -> None:
    first, again = play(tmp_path / "first", EVENTFUL), play(tmp_path / "again", EVENTFUL)
    assert records(first.out) == records(again.out)
    assert first.items


def test_another_seed_gives_other_records(tmp_path: Path) -> None:
    one, other = (
        play(tmp_path / "one", Scenario(for_s=3.0, seed=1)),
        play(tmp_path / "other", Scenario(for_s=3.0, seed=2)),
    )
    assert records(one.out)["items.jsonl"] != records(other.out)["items.jsonl"]


@pytest.mark.parametrize(
    ("faults", "belt"),
    [
        pytest.param((), {}, id="nothing happens"),
        pytest.param(("belt-slow@2+1", "reboot@4", "belt-stop@7+1", "cable@10+1"), {}, id="much happens"),
        pytest.param(("reboot@3", "slip@12+1"), {}, id="the encoder slips"),
        pytest.param(("belt-slow@6+1", "reboot@10"), {"mm_per_count": None, "speed_m_s": 1.0}, id="no encoder"),
    ],
)
def test_the_outsiders_recount_agrees_with_the_report(
    faults: tuple[str, ...], belt: dict[str, float | None], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    config = changed(reference_line(belt=belt), record={"directory": str(tmp_path / "history")})
    line = LineOptions(seed=5, for_s=18.0, faults=tuple(parse_fault(text) for text in faults))
    report = demo(config, DemoOptions(line, clock="virtual", perception="stub", out=out))
    assert report["ledger_balanced"] is True
    assert json.loads(json.dumps(report)) == json.loads((out / "report.json").read_text())
    command = [sys.executable, str(RECOUNT), str(out), "--compare", str(out / "report.json")]
    outsider = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (outsider.returncode, outsider.stderr) == (0, "")
    assert json.loads(outsider.stdout)["items"]["total"] == report["items"]["total"] > 80
