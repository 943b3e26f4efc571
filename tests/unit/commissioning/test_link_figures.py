"""`station bench link` against the simulated device: everything is counted, and a real port's gates are not moved unasked."""

import json
import sys

import pytest
from typer.testing import CliRunner

from station.cli.root import app


def test_every_command_is_written_acknowledged_and_ends() -> None:
    """Four seconds of wall time: a real process answers."""
    result = CliRunner().invoke(app, ["bench", "link", "--for", "1s", "--rate", "50", "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["crash"] is None
    assert figures["diverts"] == 50
    assert sum(figures[name] for name in ("fired", "refused", "not_fired", "unconfirmed")) == 50
    for spread in (figures["written_ms"], figures["acknowledged_ms"]):
        assert 0 < spread["p50"] <= spread["p99"] <= spread["max"]
    assert 0 < figures["cpu_percent"] <= figures["process_cpu_percent"]
    assert all(longest_ms > 0 for longest_ms in figures["longest_call_ms"].values())


def test_the_gates_of_a_real_port_do_not_move_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    result = CliRunner().invoke(app, ["bench", "link", "--port", "/dev/ttyNONE"])
    assert result.exit_code == 1
    assert "--yes" in result.stderr
