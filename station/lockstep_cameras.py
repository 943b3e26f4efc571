"""One camera and its thread in virtual time: frames come at their rate, searching one takes its cost, the newest wins.

Knows when a frame is through; what is on it, and what is done with it, is the caller's business.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from station.books import FrameTally
from station.config import CostConfig

MS = 1_000_000
LEAST_SPREAD = 0.3


@dataclass(frozen=True, slots=True)
class CameraTiming:
    born_ns: int
    period_ns: int
    delay_ns: int  # capture to the frame in the thread's hands
    cost: CostConfig
    seed: int


@dataclass(slots=True)
class LockstepCamera:
    camera_id: str
    timing: CameraTiming
    is_shown: Callable[[str, int], bool]  # camera, capture: whether this frame exists at all
    is_fresh: Callable[[str, int], bool]  # whether it is a new picture, not a repeated one
    tally: FrameTally = field(default_factory=FrameTally)
    _next: int = 0
    _free_ns: int = 0  # when the thread is through with the frame before

    def captured_ns(self, number: int) -> int:
        return self.timing.born_ns + number * self.timing.period_ns

    def ready_ns(self) -> int:
        """When the next frame is through with the thread, if it is one to be searched."""
        number = self._taken_next()
        return max(self._free_ns, self._arrives_ns(number)) + self._search_ns(number)

    def take_ready(self, now_ns: int) -> list[int]:
        """Numbers of the frames that are through by now, oldest first. Overtaken ones are counted as dropped."""
        ready: list[int] = []
        while (through_ns := self.ready_ns()) <= now_ns:
            number = self._taken_next()
            self._skip_to(number)
            self._next = number + 1
            if not self.is_shown(self.camera_id, self.captured_ns(number)):
                continue
            self.tally.captured += 1
            if not self.is_fresh(self.camera_id, self.captured_ns(number)):
                self.tally.stale += 1
                continue
            self._free_ns = through_ns
            ready.append(number)
        return ready

    def stall(self, until_ns: int) -> None:
        """The whole process stood still."""
        self._free_ns = max(self._free_ns, until_ns)

    def _taken_next(self) -> int:
        """The newest frame that has arrived when the thread is free; the next one when none has."""
        newest = (self._free_ns - self.timing.delay_ns - self.timing.born_ns) // self.timing.period_ns
        return max(self._next, newest)

    def _skip_to(self, number: int) -> None:
        for skipped in range(self._next, number):
            if self.is_shown(self.camera_id, self.captured_ns(skipped)):
                self.tally.captured += 1
                self.tally.dropped += 1

    def _arrives_ns(self, number: int) -> int:
        return self.captured_ns(number) + self.timing.delay_ns

    def _search_ns(self, number: int) -> int:
        # A hash of the frame, not a running generator: what it costs does not hang on how often somebody asks.
        spread = Random(f"{self.timing.seed}:{self.camera_id}:{number}").gauss(1.0, self.timing.cost.jitter)
        return round(self.timing.cost.detect_ms * max(LEAST_SPREAD, spread) * MS)
