"""The history on disk: every run, item and event in one SQLite file, and the repair of a run that was interrupted.

One writer at a time (a lock file says who); readers never wait for it (WAL). Knows SQL; nothing of queues or threads.
"""

import contextlib
import fcntl
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from station.datatypes import OutcomeKind
from station.errors import ConfigError
from station.events import Event, EventKind
from station.record.recorder import Born, Entry, Settled
from station.record.rows import ItemRow, birth_row, interrupted, item_row
from station.record.schema import ITEM_COLUMNS, JSON_COLUMNS, migrate

FILE_NAME = "history.sqlite"
LOCK_NAME = "history.lock"
BITE_ROWS = 2_000  # deleted in one go: some tens of milliseconds, while items run
BITE_PAGES = 2_000
_INCREMENTAL = 2  # auto_vacuum: freed pages go back to the disk when asked, some at a time

_BIRTH = (
    f"INSERT INTO items (run_id, {', '.join(ITEM_COLUMNS)}) VALUES (?{', ?' * len(ITEM_COLUMNS)}) "
    "ON CONFLICT(run_id, track_id) DO NOTHING"
)
_OUTCOME = f"INSERT OR REPLACE INTO items (run_id, {', '.join(ITEM_COLUMNS)}) VALUES (?{', ?' * len(ITEM_COLUMNS)})"


class History:
    """The writer's side. `open_history` makes it."""

    name = "history"

    def __init__(self, db: sqlite3.Connection, lock: TextIO, path: Path) -> None:
        self._db = db
        self._lock = lock
        self.path = path
        self.run_id = 0
        self._utc_minus_ns = 0

    def begin_run(self, facts: dict[str, Any], now_ns: int, utc_ns: int) -> int:
        """Start a run; everything written from now on belongs to it. Raises ConfigError."""
        self._utc_minus_ns = utc_ns - now_ns
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                cursor = self._db.execute(
                    "INSERT INTO runs (started_ns, started_utc_ns, status, facts) VALUES (?, ?, 'running', ?)",
                    (now_ns, utc_ns, json.dumps(facts)),
                )
        except sqlite3.Error as error:
            raise ConfigError(f"{self.path}: the run cannot be recorded ({error}). Free the disk.") from error
        self.run_id = int(cursor.lastrowid or 0)
        return self.run_id

    def write(self, entries: Sequence[Entry]) -> None:
        """One transaction: all of it or none."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for entry in entries:
                self._write_one(entry)

    def finish_run(self, report: dict[str, Any], utc_ns: int) -> bool:
        """The run ended in order: its report is kept with it. `report["status"]` becomes the run's.

        False when the disk is away: the next start then closes the run as interrupted.
        """
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute(
                    "UPDATE runs SET status = ?, ended_utc_ns = ?, report = ? WHERE run_id = ?",
                    (report.get("status", "completed"), utc_ns, json.dumps(report), self.run_id),
                )
        except sqlite3.Error:
            return False
        return True

    def forget_some(self, run_id: int, rows: int = BITE_ROWS) -> bool:
        """Delete some rows of an ended run; False when none is left. The running one is never touched."""
        if run_id == self.run_id:
            return False
        ended = "EXISTS (SELECT 1 FROM runs WHERE run_id = ? AND ended_utc_ns IS NOT NULL)"
        some = f"(SELECT track_id FROM items WHERE run_id = ? LIMIT {rows})"
        others = f"(SELECT event_id FROM events WHERE run_id = ? LIMIT {rows})"
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            items = self._db.execute(
                f"DELETE FROM items WHERE run_id = ? AND track_id IN {some} AND {ended}", (run_id, run_id, run_id)
            )
            events = self._db.execute(f"DELETE FROM events WHERE event_id IN {others} AND {ended}", (run_id, run_id))
        return items.rowcount + events.rowcount > 0

    def forget_run(self, run_id: int) -> None:
        """Delete an ended run and what is left of it; the running one is never touched."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "DELETE FROM runs WHERE run_id = ? AND run_id != ? AND ended_utc_ns IS NOT NULL", (run_id, self.run_id)
            )

    def facts_of(self, run_id: int) -> dict[str, Any]:
        """What was known of a run at its start; empty for none."""
        found = self._db.execute("SELECT facts FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return dict(json.loads(found[0])) if found is not None else {}

    def landed_since_emptied(self, unactuated_bin: str) -> dict[str, int]:
        """Items in each bin by the last word about them, and what later runs (one that was killed) put there.

        Simulated runs are left out: only they have a seed.
        """
        real = "json_extract(runs.facts, '$.seed') IS NULL"
        told = self._db.execute(
            f"SELECT events.utc_ns, detail FROM events JOIN runs USING (run_id) WHERE what = 'bins' AND {real} "
            "ORDER BY event_id DESC LIMIT 1"
        ).fetchone()
        if told is None:
            return {}
        since_utc_ns, detail = told
        levels = Counter({str(name): int(count) for name, count in json.loads(detail)["levels"].items()})
        later = self._db.execute(
            f"SELECT outcome, bin, COUNT(*) FROM items JOIN runs USING (run_id) WHERE {real} AND born_utc_ns > ? "
            "GROUP BY outcome, bin",
            (since_utc_ns,),
        )
        for outcome, bin_name, count in later:
            if outcome == OutcomeKind.EJECTED.value:
                levels[bin_name] += count
            elif outcome in (OutcomeKind.PASSED.value, OutcomeKind.MISSED.value):
                levels[unactuated_bin] += count
        return dict(levels)

    def items_of(self, run_id: int) -> int:
        """About how many items a run has: ids rise by one, and the key's end is found at once."""
        found = self._db.execute("SELECT MAX(track_id) FROM items WHERE run_id = ?", (run_id,)).fetchone()
        return int(found[0] or 0)

    def ended_runs(self) -> list[tuple[int, int, dict[str, Any]]]:
        """(run_id, ended_utc_ns, facts), oldest first."""
        query = "SELECT run_id, ended_utc_ns, facts FROM runs WHERE ended_utc_ns IS NOT NULL ORDER BY run_id"
        return [(run_id, ended, json.loads(facts)) for run_id, ended, facts in self._db.execute(query).fetchall()]

    def give_back_some(self, pages: int = BITE_PAGES) -> bool:
        """Hand some pages of what was deleted back to the disk; False when there are no more."""
        free = int(self._db.execute("PRAGMA freelist_count").fetchone()[0])
        if free == 0 or self._db.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
            return False
        # As a script: this pragma frees one page per step, and `execute` takes a single step where no row comes.
        self._db.executescript(f"PRAGMA incremental_vacuum({pages});")
        return free > pages

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def close_interrupted_runs(self, now_ns: int, utc_ns: int) -> list[int]:
        """Runs whose station died: what was open becomes unconfirmed(interrupted). Returns their ids."""
        open_runs = self._db.execute("SELECT run_id FROM runs WHERE ended_utc_ns IS NULL").fetchall()
        for (run_id,) in open_runs:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                closed = [interrupted(row, now_ns, utc_ns) for row in read_items(self._db, run_id, only_open=True)]
                for row in closed:
                    self._db.execute(_OUTCOME, _values(run_id, row))
                self._db.execute(
                    "UPDATE runs SET status = 'interrupted', ended_utc_ns = ? WHERE run_id = ?", (utc_ns, run_id)
                )
                event = Event(EventKind.RUN_CLOSED, now_ns, utc_ns, detail={"run_id": run_id, "items": len(closed)})
                self._insert_event(event, run_id)
        return [run_id for (run_id,) in open_runs]

    def _write_one(self, entry: Entry) -> None:
        match entry:
            case Born(track):
                self._db.execute(_BIRTH, _values(self.run_id, birth_row(track, self._utc_minus_ns)))
            case Settled(record):
                self._db.execute(_OUTCOME, _values(self.run_id, item_row(record, self._utc_minus_ns)))
            case Event():
                self._insert_event(entry, self.run_id)
            case _:  # commands and replies stand in their item's row; one by one only in the raw record
                pass

    def _insert_event(self, event: Event, run_id: int) -> None:
        self._db.execute(
            "INSERT INTO events (run_id, what, at_ns, utc_ns, track_id, camera_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                run_id or None,
                event.what.value,
                event.at_ns,
                event.utc_ns,
                event.track_id,
                event.camera_id,
                json.dumps(event.detail),
            ),
        )


def open_history(directory: Path, now_ns: int, utc_ns: int) -> History:
    """Open or create the history for writing and close what an earlier station left open. Raises ConfigError."""
    path = directory / FILE_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = _lock(directory)
    except OSError as error:
        raise ConfigError(
            f"record.directory = {str(directory)!r}: cannot be written ({error.strerror}). "
            "Name a directory this user may write."
        ) from error
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
        _able_to_shrink(db)
        db.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing; a power cut may lose the last commits, never the file.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        migrate(db, str(path), utc_ns)
        history = History(db, lock, path)
        history.close_interrupted_runs(now_ns, utc_ns)
    except sqlite3.Error as error:
        lock.close()
        raise ConfigError(
            f"{path}: cannot be used as history ({error}). Move it away (a new one is begun) or name another "
            "record.directory."
        ) from error
    except ConfigError:
        lock.close()
        raise
    return history


def _able_to_shrink(db: sqlite3.Connection) -> None:
    """Space can be given back in bites. A file of an earlier program is rewritten once, at a start, never while items run."""
    if db.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
        return
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if db.execute("PRAGMA page_count").fetchone()[0] > 0:
        with contextlib.suppress(sqlite3.OperationalError):  # no room for the copy: it stays as it is and can be used
            db.execute("VACUUM")


def read_items(db: sqlite3.Connection, run_id: int, *, only_open: bool = False) -> Iterable[ItemRow]:
    """The items of a run in the order they were met."""
    condition = " AND outcome IS NULL" if only_open else ""
    query = f"SELECT {', '.join(ITEM_COLUMNS)} FROM items WHERE run_id = ?{condition} ORDER BY born_ns, track_id"
    for found in db.execute(query, (run_id,)).fetchall():
        values = dict(zip(ITEM_COLUMNS, found, strict=True))
        for column in JSON_COLUMNS:
            if values[column] is not None:
                values[column] = json.loads(values[column])
        values["merged"] = bool(values["merged"])
        yield ItemRow.from_json(values)


def _values(run_id: int, row: ItemRow) -> list[Any]:
    values = row.to_json()
    for column in JSON_COLUMNS:
        if values[column] is not None:
            values[column] = json.dumps(values[column], separators=(",", ":"))
    return [run_id, *(values[column] for column in ITEM_COLUMNS)]


def _lock(directory: Path) -> TextIO:
    """Held until closed or until the process dies, however it dies."""
    file = (directory / LOCK_NAME).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise ConfigError(
            f"record.directory = {str(directory)!r}: another station (process {owner}) records there. "
            "Stop it or name another directory."
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
