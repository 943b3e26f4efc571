"""Reading the history, beside a running station or without one. Never writes, never locks anybody out."""

import contextlib
import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from station.errors import ConfigError
from station.events import Event, EventKind
from station.record.history import FILE_NAME, LOCK_NAME, read_items
from station.record.rows import ItemRow
from station.record.run_report import RunEnd, RunFacts, run_report


@dataclass(frozen=True, slots=True)
class RunSummary:
    run_id: int
    started_utc_ns: int
    ended_utc_ns: int | None
    status: str
    facts: dict[str, Any]
    report: dict[str, Any] | None


class Archive:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def runs(self) -> list[RunSummary]:
        """Newest first."""
        columns = "run_id, started_utc_ns, ended_utc_ns, status, facts, report"
        found = self._db.execute(f"SELECT {columns} FROM runs ORDER BY run_id DESC").fetchall()
        return [
            RunSummary(run_id, started, ended, status, json.loads(facts), json.loads(report) if report else None)
            for run_id, started, ended, status, facts, report in found
        ]

    def run(self, run_id: int | None) -> RunSummary:
        """The newest run for None. Raises ConfigError."""
        runs = self.runs()
        for run in runs:
            if run_id is None or run.run_id == run_id:
                return run
        known = f"runs 1..{runs[0].run_id}" if runs else "no run yet"
        raise ConfigError(f"--run {run_id}: not in this history ({known})." if run_id else "the history holds no run.")

    def items(self, run_id: int) -> Iterable[ItemRow]:
        return read_items(self._db, run_id)

    def report(self, run: RunSummary) -> dict[str, Any]:
        """The stored report; of an interrupted or running one, what its rows say."""
        if run.report is not None:
            return {"run_id": run.run_id, **run.report}
        rows = list(self.items(run.run_id))
        known = {key: run.facts.get(key) for key in ("seed", "line")}
        facts = RunFacts(
            clock=run.facts.get("clock", "wall"),
            seed=known["seed"],
            device=run.facts.get("device", "unknown"),
            backend=run.facts.get("backend", "unknown"),
            perception=run.facts.get("perception", "model"),
            line=known["line"] or {},
        )
        last_ns = max((row.settled_utc_ns or row.born_utc_ns for row in rows), default=run.started_utc_ns)
        end_ns = run.ended_utc_ns or last_ns
        end = RunEnd(status=run.status, duration_s=(end_ns - run.started_utc_ns) / 1e9)
        return {"run_id": run.run_id, **run_report(facts, end, rows)}

    def events(
        self, *, since_utc_ns: int = 0, kinds: Sequence[EventKind] = (), after_id: int = 0, run_id: int | None = None
    ) -> list[tuple[int, Event]]:
        """Oldest first, each with its number, so that a follower can ask for what came after it."""
        conditions, values = ["utc_ns >= ?", "event_id > ?"], [since_utc_ns, after_id]
        if kinds:
            conditions.append(f"what IN ({', '.join('?' * len(kinds))})")
        if run_id is not None:
            conditions.append("run_id = ?")
        query = (
            "SELECT event_id, what, at_ns, utc_ns, track_id, camera_id, detail FROM events "
            f"WHERE {' AND '.join(conditions)} ORDER BY event_id"
        )
        arguments = [*values, *(kind.value for kind in kinds), *([run_id] if run_id is not None else [])]
        return [
            (event_id, Event(EventKind(what), at_ns, utc_ns, track_id, camera_id, json.loads(detail)))
            for event_id, what, at_ns, utc_ns, track_id, camera_id, detail in self._db.execute(query, arguments)
        ]


@contextmanager
def open_archive(directory: Path) -> Iterator[Archive]:
    """Raises ConfigError when there is no history or it is no database."""
    path = directory / FILE_NAME
    if not path.is_file():
        raise ConfigError(f"{path}: no history there. Run the station first, or name its record directory with --dir.")
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2.0)
    except sqlite3.Error as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from error
    try:
        yield Archive(db)
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{path}: is no readable history ({error}).") from error
    finally:
        db.close()


def recording_process(directory: Path) -> str | None:
    """The process that records there now, None when nobody does. Changes nothing."""
    try:
        with (directory / LOCK_NAME).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return (directory / LOCK_NAME).read_text(encoding="utf-8").strip() or "unknown"
    except OSError:
        pass  # no lock file: nobody has recorded there
    return None


def history_facts(path: Path) -> tuple[int, int]:
    """(version of the tables, number of runs). Raises sqlite3.Error for what is no readable history. Changes nothing."""
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2.0)) as db:
        [(broken,)] = db.execute("PRAGMA quick_check(1)").fetchall()
        if broken != "ok":
            raise sqlite3.DatabaseError(broken)
        version = db.execute("SELECT COALESCE(MAX(version), 0) FROM migrations").fetchone()[0]
        return int(version), int(db.execute("SELECT COUNT(*) FROM runs").fetchone()[0])
