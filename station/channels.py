"""The queues between threads. Each says what it holds and what happens when it is full; none ever blocks its writer."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelFull(Exception):
    """A queue whose overflow is a fault is full: the reader is stuck."""


class DropOldest(Generic[T]):
    """For frames: a late frame is worthless, so the oldest gives way. Drops are counted."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque(maxlen=capacity)
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self.dropped = 0

    def put(self, item: T) -> None:
        with self._ready:
            if len(self._items) == self._items.maxlen:
                self.dropped += 1
            self._items.append(item)
            self._ready.notify()

    def take_newest(self) -> T | None:
        """The newest item; older ones are dropped and counted."""
        with self._lock:
            if not self._items:
                return None
            self.dropped += len(self._items) - 1
            newest = self._items[-1]
            self._items.clear()
            return newest

    def take_oldest(self) -> T | None:
        """In order, for a reader to whom every one of them matters."""
        with self._lock:
            return self._items.popleft() if self._items else None

    @property
    def empty(self) -> bool:
        return not self._items

    def wait(self, timeout_s: float) -> bool:
        """True as soon as something is there, False after the timeout."""
        with self._ready:
            return bool(self._items) or self._ready.wait(timeout_s)


class Bounded(Generic[T]):
    """For commands and replies: nothing may be lost, so a full queue raises ChannelFull, which is a fault."""

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self._items: deque[T] = deque()
        self._lock = threading.Lock()

    def put(self, item: T) -> None:
        with self._lock:
            if len(self._items) >= self.capacity:
                raise ChannelFull(f"{self.name}: {self.capacity} waiting, the reader is stuck")
            self._items.append(item)

    def take_all(self) -> list[T]:
        with self._lock:
            taken = list(self._items)
            self._items.clear()
            return taken

    def __len__(self) -> int:
        return len(self._items)


class Latest(Generic[T]):
    """For snapshots and pictures: one slot, overwritten."""

    def __init__(self) -> None:
        self._item: T | None = None

    def put(self, item: T) -> None:
        self._item = item

    def peek(self) -> T | None:
        return self._item
