import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from station.datatypes import OutcomeKind, OutcomeReason
from station.errors import ConfigError
from station.events import Event, EventKind
from station.record.archive import open_archive
from station.record.history import FILE_NAME, History, open_history
from station.record.recorder import Born, Settled
from station.record.rows import ItemRow, item_row
from station.record.schema import MIGRATIONS
from tests.unit.record.makers import MS, record, track

UTC = 1_700_000_000_000_000_000


def begun(directory: Path) -> History:
    history = open_history(directory, 0, UTC)
    history.begin_run({"clock": "wall", "backend": "test"}, 0, UTC)
    return history


def killed(history: History) -> None:
    """The process is gone: its connection and its lock with it, nothing said."""
    history._db.close()
    history._lock.close()


def test_an_item_comes_back_as_it_was_written(tmp_path: Path) -> None:
    history = begun(tmp_path)
    written = record(7, fire_error_us=-12)
    history.write([Born(written.track), Settled(written)])
    with open_archive(tmp_path) as archive:
        [row] = archive.items(history.run_id)
    history.close()
    assert row == item_row(written, UTC)
    assert row.born_utc_ns == UTC
    assert row.settled_utc_ns == UTC + 900 * MS


def test_a_late_birth_does_not_undo_an_outcome(tmp_path: Path) -> None:
    history = begun(tmp_path)
    history.write([Settled(record(1)), Born(track(1))])
    with open_archive(tmp_path) as archive:
        [row] = archive.items(history.run_id)
    history.close()
    assert row.outcome == "ejected"


def test_a_killed_run_is_closed_by_the_next_start(tmp_path: Path) -> None:
    history = begun(tmp_path)
    history.write([Born(track(1)), Born(track(2)), Settled(record(1))])
    killed(history)

    reopened = open_history(tmp_path, 5 * MS, UTC + 60_000 * MS)
    with open_archive(tmp_path) as archive:
        [run] = archive.runs()
        outcomes = {row.track_id: (row.outcome, row.reason) for row in archive.items(run.run_id)}
        report = archive.report(run)
        events = [event for _, event in archive.events(kinds=[EventKind.RUN_CLOSED])]
    reopened.close()
    assert outcomes == {1: ("ejected", "none"), 2: ("unconfirmed", "interrupted")}
    assert (run.status, run.ended_utc_ns) == ("interrupted", UTC + 60_000 * MS)
    assert report["ledger_balanced"] is True
    assert report["items"]["unconfirmed_by_reason"] == {"interrupted": 1}
    assert report["items"]["in_flight"] == 0
    assert events[0].detail == {"run_id": run.run_id, "items": 1}


def test_a_run_that_ended_in_order_is_left_alone(tmp_path: Path) -> None:
    history = begun(tmp_path)
    history.write([Settled(record(1))])
    history.finish_run({"schema": "station.run/1", "status": "completed", "mine": 1}, UTC + 5)
    history.close()
    open_history(tmp_path, 0, UTC + 10).close()
    with open_archive(tmp_path) as archive:
        run = archive.run(None)
        assert (run.status, run.ended_utc_ns) == ("completed", UTC + 5)
        assert archive.report(run)["mine"] == 1


def test_two_stations_cannot_record_in_one_directory(tmp_path: Path) -> None:
    history = begun(tmp_path)
    with pytest.raises(ConfigError, match=r"another station \(process \d+\)"):
        open_history(tmp_path, 0, UTC)
    history.close()
    open_history(tmp_path, 0, UTC).close()


def test_readers_see_a_running_station_and_do_not_close_its_run(tmp_path: Path) -> None:
    history = begun(tmp_path)
    history.write([Born(track(1))])
    with open_archive(tmp_path) as archive:
        run = archive.run(None)
        assert run.status == "running"
        assert archive.report(run)["items"]["in_flight"] == 1
    history.write([Settled(record(1, OutcomeKind.MISSED, OutcomeReason.LATE))])
    history.close()


def test_the_archive_of_an_idle_station_can_be_read_from_a_read_only_directory_listing(tmp_path: Path) -> None:
    begun(tmp_path).close()
    assert [path.name for path in tmp_path.glob(f"{FILE_NAME}*")] == [FILE_NAME]
    with open_archive(tmp_path) as archive:
        assert archive.run(1).run_id == 1


@pytest.mark.parametrize(
    ("since", "kinds", "expected"),
    [
        pytest.param(0, [], [1, 2, 3], id="all"),
        pytest.param(UTC + 2, [], [2, 3], id="since"),
        pytest.param(0, [EventKind.LINK], [1, 3], id="one kind"),
        pytest.param(UTC + 2, [EventKind.LINK, EventKind.STATE], [2, 3], id="both"),
    ],
)
def test_events_are_chosen_by_time_and_kind(
    tmp_path: Path, since: int, kinds: list[EventKind], expected: list[int]
) -> None:
    history = begun(tmp_path)
    history.write(
        [
            Event(EventKind.LINK, 1, UTC + 1, detail={"state": "lost"}),
            Event(EventKind.STATE, 2, UTC + 2),
            Event(EventKind.LINK, 3, UTC + 3, track_id=4, camera_id="a"),
        ]
    )
    with open_archive(tmp_path) as archive:
        found = [event.at_ns for _, event in archive.events(since_utc_ns=since, kinds=kinds)]
        last_id, last = archive.events()[-1]
        assert archive.events(after_id=last_id) == []
    history.close()
    assert found == expected
    assert last == Event(EventKind.LINK, 3, UTC + 3, track_id=4, camera_id="a")


def test_a_newer_history_is_refused_with_the_remedy(tmp_path: Path) -> None:
    begun(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("INSERT INTO migrations VALUES (?, 'from the future', 0)", (len(MIGRATIONS) + 1,))
    db.close()
    with pytest.raises(ConfigError, match="Update this program"):
        open_history(tmp_path, 0, UTC)


@pytest.mark.parametrize(
    ("content", "message"),
    [pytest.param(b"no database" * 200, "Move it away", id="damaged"), pytest.param(None, "no history", id="absent")],
)
def test_a_file_that_is_no_history_is_one_clear_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is None:
        with pytest.raises(ConfigError, match=message), open_archive(tmp_path):
            pass
        return
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        open_history(tmp_path, 0, UTC)


def test_a_failed_write_leaves_nothing_behind_and_can_be_repeated(tmp_path: Path) -> None:
    history = begun(tmp_path)
    history._db.execute("PRAGMA max_page_count = 20")  # a disk that fills up
    many = [Settled(record(i)) for i in range(1, 2000)]
    with pytest.raises(sqlite3.Error, match="full"):
        history.write(many)
    assert history._db.execute("SELECT COUNT(*) FROM items").fetchone() == (0,)
    history._db.execute("PRAGMA max_page_count = 100000")
    history.write(many)
    assert history._db.execute("SELECT COUNT(*) FROM items").fetchone() == (1999,)
    history.close()


def test_a_row_survives_json_and_ignores_keys_it_does_not_know() -> None:
    row = item_row(record(3), UTC)
    assert ItemRow.from_json({**row.to_json(), "colour": "red"}) == row


def test_a_disk_that_is_away_at_either_end_of_a_run_is_no_traceback(tmp_path: Path) -> None:
    history = begun(tmp_path)
    history._db.execute("PRAGMA query_only = ON")
    assert history.finish_run({"status": "completed"}, UTC) is False
    with pytest.raises(ConfigError, match="cannot be recorded"):
        history.begin_run({}, 0, UTC)
    history.close()
    open_history(tmp_path, 0, UTC + 1).close()
    with open_archive(tmp_path) as archive:
        assert archive.run(None).status == "interrupted"


def test_a_file_of_the_first_version_becomes_one_of_todays_with_all_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file is made by hand from the first version's own tables; then a step is added as a release would."""
    older = sqlite3.connect(tmp_path / FILE_NAME)
    older.executescript(MIGRATIONS[0][1])
    older.executescript(
        """
        CREATE TABLE migrations (version INTEGER PRIMARY KEY, name TEXT, applied_utc_ns INTEGER);
        INSERT INTO migrations VALUES (1, 'first tables', 5);
        INSERT INTO runs (started_ns, started_utc_ns, ended_utc_ns, status, facts, report)
            VALUES (1, 2, 3, 'completed', '{"clock": "wall"}', '{"schema": "station.run/1"}');
        INSERT INTO items (run_id, track_id, camera_id, born_ns, born_utc_ns, outcome, reason, label, probabilities)
            VALUES (1, 9, 'camera0', 10, 20, 'ejected', 'none', 'organic', '[0.9,0.1]');
        INSERT INTO events (run_id, what, at_ns, utc_ns, detail) VALUES (1, 'state', 1, 2, '{"state": "execute"}');
        """
    )
    older.close()
    step = ("a note per run", "ALTER TABLE runs ADD COLUMN note TEXT; UPDATE runs SET note = 'from before'")
    monkeypatch.setattr("station.record.schema.MIGRATIONS", (*MIGRATIONS, step))
    history = open_history(tmp_path, 0, UTC)
    applied = history._db.execute("SELECT version, name, applied_utc_ns FROM migrations").fetchall()
    assert applied == [(1, "first tables", 5), (2, "a note per run", UTC)]
    assert history._db.execute("SELECT note FROM runs").fetchall() == [("from before",)]
    history.begin_run({"clock": "wall"}, 0, UTC)
    history.write([Settled(record(1))])
    with open_archive(tmp_path) as archive:
        [new, old] = archive.runs()
        [row] = archive.items(old.run_id)
        [(_, event)] = archive.events(kinds=[EventKind.STATE])
        assert [row.track_id for row in archive.items(new.run_id)] == [1]
    history.close()
    assert (old.status, old.facts, old.report) == ("completed", {"clock": "wall"}, {"schema": "station.run/1"})
    assert (row.track_id, row.label, row.probabilities) == (9, "organic", (0.9, 0.1))
    assert event.detail == {"state": "execute"}


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_history(tmp_path, 0, UTC).close()
    broken = ("broken", "ALTER TABLE runs ADD COLUMN note TEXT; UPDATE nowhere SET note = 1")
    with monkeypatch.context() as patched:
        patched.setattr("station.record.schema.MIGRATIONS", (*MIGRATIONS, broken))
        with pytest.raises(ConfigError, match="cannot be used as history"):
            open_history(tmp_path, 0, UTC)
    history = open_history(tmp_path, 0, UTC)
    columns = [name for _, name, *_ in history._db.execute("PRAGMA table_info(runs)")]
    assert "note" not in columns
    history.close()


def test_a_released_step_is_never_edited() -> None:
    """Files out there were made by it: what is to change goes into a further step."""
    released = {"first tables": "ffe985fd05783b4f"}
    for name, script in MIGRATIONS:
        assert sha256(" ".join(script.split()).encode()).hexdigest()[:16] == released[name]
