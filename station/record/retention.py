"""What is old enough to go: runs by age, then the oldest until the rest fits. Done at a start, never while items run.

Deletes only a run's own folder directly below the record directory; a folder that a person named elsewhere is theirs.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from station.record.history import FILE_NAME, History

_DAY_NS = 86_400 * 10**9
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class KeptRun:
    run_id: int
    ended_utc_ns: int
    folder: Path | None  # None: it lies elsewhere, or is gone
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Limits:
    keep_days: float
    keep_gib: float


def too_many(runs: Sequence[KeptRun], others_bytes: int, limits: Limits, now_utc_ns: int) -> list[KeptRun]:
    """The runs to forget, oldest first. `runs` come oldest first; the newest always stays."""
    oldest_ns = now_utc_ns - round(limits.keep_days * _DAY_NS)
    gone = [run for run in runs[:-1] if run.ended_utc_ns < oldest_ns]
    rest = [run for run in runs if run not in gone]
    room_bytes = round(limits.keep_gib * _GIB) - others_bytes
    while len(rest) > 1 and sum(run.size_bytes for run in rest) > room_bytes:
        gone.append(rest.pop(0))
    return gone


def prune(directory: Path, history: History, limits: Limits, now_utc_ns: int) -> list[int]:
    """Forget what the limits do not keep; the ids of the runs that are gone."""
    runs = [
        KeptRun(run_id, ended, folder, _size(folder) if folder else 0)
        for run_id, ended, facts in history.ended_runs()
        for folder in (_own_folder(directory, facts.get("out")),)
    ]
    gone = too_many(runs, _history_bytes(directory), limits, now_utc_ns)
    if not gone:
        return []
    for run in gone:
        if run.folder is not None:
            shutil.rmtree(run.folder, ignore_errors=True)
    history.forget_runs(run.run_id for run in gone)
    history.give_back_space()
    return [run.run_id for run in gone]


def _own_folder(directory: Path, out: object) -> Path | None:
    if not isinstance(out, str) or not out:
        return None
    folder = Path(out)
    own = folder.is_dir() and not folder.is_symlink() and folder.resolve().parent == directory.resolve()
    return folder if own else None


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _history_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob(f"{FILE_NAME}*"))
