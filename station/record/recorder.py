"""What must be kept goes through here: a queue in front of slow disks, emptied by the recorder thread.

Holds births, outcomes and events. Births and outcomes are never dropped: at `capacity` the machine must hold (`full`), and
only at twice that is the station lost (ChannelFull). Events give way first, and are counted. A disk that fails is tried
again; what waits for it stays here. Knows nothing of SQL or files; time is an argument.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from firmware_bridge.messages import DivertCommand, Reply
from station.channels import ChannelFull
from station.datatypes import ItemRecord, Track
from station.events import Event

CAPACITY = 10_000
ROOM_AGAIN_SHARE = 0.5  # of the capacity: a disk that is just too slow must not make the machine hold and go by turns
RETRY_AFTER_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class Born:
    track: Track


@dataclass(frozen=True, slots=True)
class Settled:
    record: ItemRecord


@dataclass(frozen=True, slots=True)
class Commanded:
    """A command was handed to the link."""

    command: DivertCommand
    track_id: int
    enqueued_ns: int


@dataclass(frozen=True, slots=True)
class Replied:
    reply: Reply


Entry: TypeAlias = Born | Settled | Commanded | Replied | Event


class Sink(Protocol):
    """A place where entries are kept. All of a write is kept, or none of it."""

    name: str

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep the entries durably against a killed process. Raises OSError or sqlite3.Error when the disk is away."""


@dataclass(slots=True)
class _Waiting:
    sink: Sink
    entries: list[Entry]
    retry_at_ns: int = 0
    trouble: str | None = None


Chore = Callable[[int], None]


class Recorder:
    def __init__(self, sinks: Sequence[Sink], capacity: int = CAPACITY) -> None:
        self._waiting = [_Waiting(sink, []) for sink in sinks]
        self.chores: list[
            Chore
        ] = []  # done after each writing, by the same thread: short, and they see to their own errors
        self._capacity = capacity
        self._lock = threading.Lock()  # guards the queue
        self._writing = threading.Lock()  # guards the sinks: the recorder thread and the last flush
        self._queue: list[Entry] = []
        self._behind = 0  # entries that the slowest sink has not kept yet
        self._was_full = False
        self.dropped_events = 0

    def put(self, entry: Entry) -> None:
        """Called by the sort loop; never waits for a disk."""
        with self._lock:
            depth = len(self._queue) + self._behind
            if isinstance(entry, Event) and depth >= self._capacity:
                self.dropped_events += 1
                return
            if depth >= 2 * self._capacity:
                raise ChannelFull(f"record: {depth} entries wait for the disk ({self.trouble or 'it is too slow'})")
            self._queue.append(entry)

    @property
    def full(self) -> bool:
        """The machine must hold: no room for further items until the disk is back and has kept half of what waits."""
        least = self._capacity * (ROOM_AGAIN_SHARE if self._was_full else 1.0)
        self._was_full = self.depth >= least
        return self._was_full

    @property
    def depth(self) -> int:
        return len(self._queue) + self._behind

    @property
    def trouble(self) -> str | None:
        """Why the disk is away, in words; None when it is there."""
        return next((waiting.trouble for waiting in self._waiting if waiting.trouble), None)

    def step(self, now_ns: int) -> None:
        """Give every sink what it has not kept yet. The recorder thread calls this at least every 50 ms."""
        self._write_all(now_ns)
        for chore in self.chores:
            chore(now_ns)

    def flush(self, now_ns: int) -> int:
        """A last try for every sink, at once. Returns how many entries the slowest of them has lost."""
        with self._writing:
            for waiting in self._waiting:
                waiting.retry_at_ns = 0
        self._write_all(now_ns)
        return self._behind

    def _write_all(self, now_ns: int) -> None:
        with self._writing:
            with self._lock:
                fresh, self._queue = self._queue, []
                self._behind += len(fresh)
            for waiting in self._waiting:
                waiting.entries += fresh
                if waiting.entries and now_ns >= waiting.retry_at_ns:
                    _write(waiting, now_ns)
            with self._lock:
                self._behind = max((len(waiting.entries) for waiting in self._waiting), default=0)


def _write(waiting: _Waiting, now_ns: int) -> None:
    try:
        waiting.sink.write(waiting.entries)
    except (OSError, sqlite3.Error) as error:
        waiting.retry_at_ns = now_ns + RETRY_AFTER_NS
        waiting.trouble = f"{waiting.sink.name}: {error}"
        return
    waiting.entries = []
    waiting.trouble = None
