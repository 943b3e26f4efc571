"""Faults played inside the station's own process: the model fails (`gpu`), the disk is away (`disk`).

Each wraps a real part and keeps its contract. Knows when a fault lasts; knows nothing of what the station does about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from station.clock import Clock
from station.datatypes import Classification, Look
from station.errors import ModelError
from station.record.recorder import Entry, Sink
from station.simulation.faults import Fault


class Recogniser(Protocol):
    @property
    def classes(self) -> tuple[str, ...]: ...

    def classify(self, looks: Sequence[Look]) -> list[Classification]: ...


class FaultTimes:
    """Whether a fault of one name lasts now. The faults' clock starts with the feed."""

    def __init__(self, faults: Sequence[Fault], clock: Clock) -> None:
        self._faults = faults
        self._clock = clock
        self.start_ns: int | None = None

    def lasts(self, name: str) -> bool:
        start_ns = self.start_ns
        if start_ns is None:
            return False
        now_ns = self._clock.now_ns()
        return any(fault.name == name and fault.covers(now_ns, start_ns) for fault in self._faults)


class FailingRecogniser:
    def __init__(self, real: Recogniser, times: FaultTimes) -> None:
        self._real = real
        self._times = times

    @property
    def classes(self) -> tuple[str, ...]:
        return self._real.classes

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        if looks and self._times.lasts("gpu"):
            raise ModelError("simulated fault: the engine does not answer")
        return self._real.classify(looks)


class FailingSink:
    def __init__(self, real: Sink, times: FaultTimes) -> None:
        self.name = real.name
        self._real = real
        self._times = times

    def write(self, entries: Sequence[Entry]) -> None:
        if self._times.lasts("disk"):
            raise OSError("simulated fault: no space left on the device")
        self._real.write(entries)
