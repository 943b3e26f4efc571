"""The history's tables, and how an older file becomes a newer one. Knows SQL; nothing of items."""

import dataclasses
import sqlite3

from station.errors import ConfigError
from station.record.rows import ItemRow

JSON_COLUMNS = ("look_boxes", "probabilities")
ITEM_COLUMNS = tuple(entry.name for entry in dataclasses.fields(ItemRow))

# Never edited once released: a change is a further entry.
MIGRATIONS: tuple[tuple[str, str], ...] = (
    (
        "first tables",
        """
        CREATE TABLE runs (
            run_id INTEGER PRIMARY KEY AUTOINCREMENT,
            started_ns INTEGER NOT NULL,
            started_utc_ns INTEGER NOT NULL,
            ended_utc_ns INTEGER,
            status TEXT NOT NULL,
            facts TEXT NOT NULL,
            report TEXT
        );
        CREATE TABLE items (
            run_id INTEGER NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE,
            track_id INTEGER NOT NULL,
            camera_id TEXT NOT NULL,
            born_ns INTEGER NOT NULL,
            born_utc_ns INTEGER NOT NULL,
            last_seen_ns INTEGER,
            along_mm REAL, lateral_mm REAL, length_mm REAL, width_mm REAL, sigma_mm REAL,
            merged INTEGER NOT NULL DEFAULT 0,
            looks INTEGER NOT NULL DEFAULT 0,
            look_boxes TEXT,
            label TEXT, confidence REAL, probabilities TEXT,
            bin TEXT, decision_reason TEXT, decided_ns INTEGER, last_look_ns INTEGER,
            command_id INTEGER, gate_mask INTEGER, window_in TEXT, window_start INTEGER, window_end INTEGER,
            scheduled_ns INTEGER,
            outcome TEXT, reason TEXT, settled_ns INTEGER, settled_utc_ns INTEGER,
            fire_error_us INTEGER, slack_ms REAL,
            PRIMARY KEY (run_id, track_id)
        ) WITHOUT ROWID;
        CREATE INDEX items_by_time ON items(born_utc_ns);
        CREATE INDEX items_open ON items(run_id) WHERE outcome IS NULL;
        CREATE TABLE events (
            event_id INTEGER PRIMARY KEY,
            run_id INTEGER REFERENCES runs(run_id) ON DELETE CASCADE,
            what TEXT NOT NULL,
            at_ns INTEGER NOT NULL,
            utc_ns INTEGER NOT NULL,
            track_id INTEGER,
            camera_id TEXT,
            detail TEXT NOT NULL
        );
        CREATE INDEX events_by_time ON events(utc_ns);
        """,
    ),
)


def migrate(db: sqlite3.Connection, path: str, now_utc_ns: int) -> None:
    """Bring the file to the newest version, each step whole or not at all. Raises ConfigError for a newer file."""
    db.execute("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, name TEXT, applied_utc_ns INTEGER)")
    version = db.execute("SELECT COALESCE(MAX(version), 0) FROM migrations").fetchone()[0]
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"{path}: written by a newer program (history version {version}, this one knows {len(MIGRATIONS)}). "
            "Update this program or use another record directory."
        )
    for number, (name, script) in enumerate(MIGRATIONS[version:], start=version + 1):
        with db:
            db.execute("BEGIN IMMEDIATE")
            for statement in filter(str.strip, script.split(";")):
                db.execute(statement)
            db.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number, name, now_utc_ns))
