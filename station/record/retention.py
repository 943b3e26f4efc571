"""What is old enough to go: runs by age, then the oldest until the rest fits. Done by the recorder's thread, a bite at a time.

Deletes only ended runs, and only a run's own folder directly below the record directory; a folder that a person named
elsewhere is theirs. A bite is short enough that what items have to say is written in between.
"""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from station.clock import Clock
from station.record.crops import FOLDER as CROPS
from station.record.history import FILE_NAME, History

_DAY_NS = 86_400 * 10**9
_MINUTE_NS = 60 * 10**9
_GIB = 2**30
LEAST_BITE_EVERY_NS = 200_000_000


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
    simulated_only: bool = False  # a demo must not forget what a plant has recorded in the same directory


def too_many(runs: Sequence[KeptRun], others_bytes: int, limits: Limits, now_utc_ns: int) -> list[KeptRun]:
    """The runs to forget, oldest first. `runs` come oldest first; the newest always stays."""
    oldest_ns = now_utc_ns - round(limits.keep_days * _DAY_NS)
    gone = [run for run in runs[:-1] if run.ended_utc_ns < oldest_ns]
    rest = [run for run in runs if run not in gone]
    room_bytes = round(limits.keep_gib * _GIB) - others_bytes
    while len(rest) > 1 and sum(run.size_bytes for run in rest) > room_bytes:
        gone.append(rest.pop(0))
    return gone


def prune(directory: Path, history: History, limits: Limits, now_utc_ns: int) -> Iterator[int]:
    """Forget what the limits do not keep, one bite per turn of the iterator; it gives the run that was bitten.

    Raises OSError or sqlite3.Error; what is left is then found by the next pruning.
    """
    for run in too_many(*_weighed(directory, history, limits.simulated_only), limits, now_utc_ns):
        while history.forget_some(run.run_id):
            yield run.run_id
        # After its rows: a pruning that ends in between finds the folder again by the run's own row.
        if run.folder is not None:
            shutil.rmtree(run.folder, ignore_errors=True)
        history.forget_run(run.run_id)
        yield run.run_id
    while history.give_back_some():
        yield 0


class Housekeeping:
    """Prunes at the start and every few minutes. `step` is a chore of the recorder's thread."""

    def __init__(self, directory: Path, history: History, limits: Limits, every_min: float, wall: Clock) -> None:
        self._directory = directory
        self._history = history
        self._limits = limits
        self._every_ns = round(every_min * _MINUTE_NS)
        self._wall = wall  # ages are by the calendar, also when the run's own time is simulated
        self._due_ns: int | None = None  # None: at once
        self._bites: Iterator[int] | None = None
        self._next_bite_ns = 0
        self.forgotten: list[int] = []  # runs that are gone, in this station's life
        self.trouble: str | None = None  # why the last pruning ended early

    def step(self, now_ns: int) -> None:
        """At most one bite; most calls do nothing."""
        if self._bites is None:
            if self._due_ns is not None and now_ns < self._due_ns:
                return
            self._bites = prune(self._directory, self._history, self._limits, self._wall.utc_ns())
            self.trouble = None
        elif now_ns < self._next_bite_ns:
            return
        self._next_bite_ns = now_ns + LEAST_BITE_EVERY_NS
        try:
            bitten = next(self._bites)
        except StopIteration:
            self._bites, self._due_ns = None, now_ns + self._every_ns
        except (OSError, sqlite3.Error) as error:
            self._bites, self._due_ns = None, now_ns + self._every_ns
            self.trouble = str(error)
        else:
            if bitten and bitten not in self.forgotten[-1:]:
                self.forgotten.append(bitten)


def _weighed(directory: Path, history: History, simulated_only: bool) -> tuple[list[KeptRun], int]:
    """The ended runs with what each would give back, and the bytes of the other records below the directory.

    Only what this program put there counts: a directory that holds other things too must not cost a plant its history.
    """
    # Only a simulated line has a seed.
    ended = [run for run in history.ended_runs() if not simulated_only or run[2].get("seed") is not None]
    items = {run_id: history.items_of(run_id) for run_id, _, _ in ended}
    in_all = sum(items.values()) + history.items_of(history.run_id)
    bytes_per_item = _history_bytes(directory) / max(in_all, 1)
    runs = []
    for run_id, ended_utc_ns, facts in ended:
        folder = _own_folder(directory, facts.get("out"))
        rows_bytes = round(items[run_id] * bytes_per_item)
        runs.append(KeptRun(run_id, ended_utc_ns, folder, rows_bytes + (_size(folder) if folder else 0)))
    others = _history_bytes(directory) - round(sum(items.values()) * bytes_per_item)
    running = {} if history.run_id in items else history.facts_of(history.run_id)
    for folder in (_own_folder(directory, running.get("out")), *directory.glob(f"{CROPS}*")):
        others += _size(folder) if folder is not None else 0
    return runs, others


def _own_folder(directory: Path, out: object) -> Path | None:
    if not isinstance(out, str) or not out:
        return None
    folder = Path(out)
    own = folder.is_dir() and not folder.is_symlink() and folder.resolve().parent == directory.resolve()
    return folder if own else None


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:  # it went meanwhile
            continue
    return total


def _history_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob(f"{FILE_NAME}*"))
