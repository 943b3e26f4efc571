"""`station demo` at its end: the report for a person, and the exit code."""

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from station.cli.demo_commands import demo, report_text

REPORT: dict[str, Any] = {
    "status": "completed",
    "duration_s": 2.0,
    "backend": "openvino-bf16",
    "device": "cpu",
    "items": {
        "total": 3,
        "in_flight": 0,
        "by_outcome": {"ejected": 3},
        "missed_by_reason": {},
        "unconfirmed_by_reason": {},
    },
    "ledger_balanced": True,
    "frames": {"processed": 9, "captured": 9, "dropped": 0, "stale": 0},
    "late_fires": 0,
    "wrong_fires": 1,
}


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("interrupted", 130)])
def test_ctrl_c_ends_with_its_own_code_and_the_report_all_the_same(
    monkeypatch: pytest.MonkeyPatch, status: str, code: int
) -> None:
    monkeypatch.setattr("station.demo.demo", lambda *_: REPORT | {"status": status})
    app = typer.Typer()
    app.command()(demo)
    done = CliRunner().invoke(app, ["--json", "--http", "off"])
    assert done.exit_code == code, done.output
    assert json.loads(done.stdout)["status"] == status


@pytest.mark.parametrize(
    ("late", "wrong", "words"), [(0, 1, "fires      0 late, 1 wrong"), (None, None, "fires      not judged")]
)
def test_fires_are_judged_only_where_the_outputs_are_known(late: int | None, wrong: int | None, words: str) -> None:
    assert words in report_text(REPORT | {"late_fires": late, "wrong_fires": wrong})


@pytest.mark.parametrize(
    ("p99", "words"),
    [(57.04, "57.0 ms p99"), (1e9, "never ms p99"), (None, "- ms p99")],
)
def test_a_latency_without_end_is_told_in_a_word(p99: float | None, words: str) -> None:
    assert words in report_text(REPORT | {"latency_ms": {"capture_to_scheduled": {"p50": 18.2, "p99": p99}}})
