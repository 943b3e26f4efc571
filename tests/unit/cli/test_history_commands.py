import csv
import io
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from station.cli import history_commands
from station.cli.history_commands import moment, utc_words
from station.errors import ConfigError
from station.events import Event, EventKind
from station.record.history import open_history
from station.record.recorder import Settled
from station.record.rows import item_row
from station.record.run_report import RunEnd, RunFacts, run_report
from tests.unit.record.makers import record

UTC = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
HOUR_NS = 3600 * 10**9


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One run of two items and two events."""
    history = open_history(tmp_path, 0, UTC)
    facts = RunFacts("wall", 1, "cpu", "openvino-bf16", "model")
    history.begin_run({"clock": "wall"}, 0, UTC)
    records = [record(1), record(2)]
    history.write(
        [
            *(Settled(entry) for entry in records),
            Event(EventKind.LINK, 1, UTC, detail={"state": "ready", "detail": "a, b"}),
            Event(EventKind.ITEM_MISSED, 2, UTC + 2 * HOUR_NS, track_id=2, camera_id="camera0"),
        ]
    )
    rows = [item_row(entry, UTC) for entry in records]
    history.finish_run(run_report(facts, RunEnd("completed", 3.0, late_fires=0, wrong_fires=0), rows), UTC + 5)
    history.close()
    return tmp_path


def station(*words: str) -> Result:
    app = typer.Typer()
    history_commands.register(app)
    return CliRunner().invoke(app, list(words))


def test_the_newest_report_is_one_json_object(directory: Path) -> None:
    result = station("report", "--dir", str(directory), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["schema"], report["run_id"], report["items"]["total"]) == ("station.run/1", 1, 2)


def test_the_report_for_people_says_whether_the_ledger_adds_up(directory: Path) -> None:
    words = station("report", "--dir", str(directory)).stdout
    assert "2 ejected, 0 passed, 0 missed, 0 unconfirmed, 0 in flight" in words
    assert "ledger    balanced" in words


def test_the_page_stands_alone_and_escapes_what_it_shows(directory: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert station("report", "--dir", str(directory), "--html", str(page)).exit_code == 0
    text = page.read_text()
    assert "ejected</td><td>2" in text
    assert "http" not in text.replace("<!doctype html>", "")
    assert "<script" not in text


def test_runs_can_be_listed(directory: Path) -> None:
    [run] = json.loads(station("report", "--dir", str(directory), "--list", "--json").stdout)
    assert (run["run_id"], run["status"]) == (1, "completed")
    assert "2026-01-01T00:00:00.000Z" in station("report", "--dir", str(directory), "--list").stdout


def test_events_come_as_lines_of_json(directory: Path) -> None:
    result = station("events", "--dir", str(directory), "--since", "2026-01-01", "--json")
    events = [Event.from_line(line) for line in result.stdout.splitlines()]
    assert [event.what for event in events] == [EventKind.LINK, EventKind.ITEM_MISSED]


def test_events_come_as_a_table_for_spreadsheets(directory: Path) -> None:
    result = station("events", "--dir", str(directory), "--since", "2026-01-01", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert json.loads(rows[0]["detail"]) == {"state": "ready", "detail": "a, b"}
    assert (rows[1]["what"], rows[1]["track_id"], rows[1]["camera_id"]) == ("item_missed", "2", "camera0")


def test_events_are_chosen_by_kind_and_time(directory: Path) -> None:
    by_kind = station("events", "--dir", str(directory), "--since", "2026-01-01", "--type", "link").stdout
    by_time = station("events", "--dir", str(directory), "--since", "2026-01-01T01:00").stdout
    assert "link" in by_kind
    assert "item_missed" not in by_kind
    assert by_time.splitlines() == ["2026-01-01T02:00:00.000Z  item_missed item 2 camera0"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["report", "--run", "9"], "--run 9", id="no such run"),
        pytest.param(["events", "--type", "explosion"], "explosion", id="no such kind"),
        pytest.param(["events", "--since", "yesterday"], "--since 'yesterday'", id="no such time"),
        pytest.param(["events", "--json", "--csv"], "choose one", id="two forms"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(directory: Path, words: list[str], message: str) -> None:
    result = station(*words, "--dir", str(directory))
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_directory_without_history_says_what_to_do(tmp_path: Path) -> None:
    result = station("report", "--dir", str(tmp_path))
    assert result.exit_code == 2
    assert "no history" in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", UTC - 90 * 10**9),
        ("1.5h", UTC - 5400 * 10**9),
        ("2d", UTC - 48 * HOUR_NS),
        ("2026-01-01T00:00", UTC),
        ("2026-01-01T01:00+01:00", UTC),
    ],
)
def test_a_moment_is_a_span_or_a_utc_time(text: str, expected: int) -> None:
    assert moment(text, UTC) == expected


def test_a_moment_that_is_neither_is_refused() -> None:
    with pytest.raises(ConfigError):
        moment("soon", UTC)


def test_utc_is_written_to_the_millisecond() -> None:
    assert utc_words(UTC + 1_999_999) == "2026-01-01T00:00:00.001Z"


def test_following_shows_what_was_and_then_what_comes_each_once(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = open_history(directory, 0, UTC)
    history.begin_run({}, 0, UTC)
    turns = iter([EventKind.BELT, EventKind.STATE])

    def wait(_clock: object) -> None:
        """Half a second in which the running station writes something; then the person presses Ctrl-C."""
        kind = next(turns, None)
        if kind is None:
            raise KeyboardInterrupt
        history.write([Event(kind, 3, UTC + 3 * HOUR_NS)])

    monkeypatch.setattr(history_commands, "_wait", wait)
    result = station("events", "--dir", str(directory), "--since", "2025-12-31", "--follow", "--json")
    history.close()
    assert result.exit_code == 130
    assert [json.loads(line)["what"] for line in result.stdout.splitlines()] == [
        "link", "item_missed", "belt", "state"
    ]  # fmt: skip


def test_the_page_holds_the_plots_of_its_run(directory: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    result = station("report", "--dir", str(directory), "--html", str(out))
    assert result.exit_code == 0, result.output
    assert "Outcomes over time" in out.read_text()
