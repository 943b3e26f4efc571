"""How prompt the link is on this computer: enqueued, written, acknowledged, and what it costs; for `station bench link`.

Works as a live line does: one thread moves the port, another commands. Knows no camera and no belt; the belt must stand.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from firmware_bridge import wire
from firmware_bridge.codec import FrameReader
from firmware_bridge.conversation import SessionSettings
from firmware_bridge.kept_port import Transport
from firmware_bridge.link import WAIT_S, SerialController
from firmware_bridge.messages import (
    Accepted,
    DeviceConfig,
    DivertCommand,
    DuringTime,
    Fired,
    LinkChanged,
    LinkState,
    NotFired,
    Refused,
    Reply,
    Unanswered,
)
from firmware_bridge.session import Session
from station.clock import Clock
from station.errors import ControllerError
from station.worker import Worker

MS = 1_000_000
LEASE_EVERY_NS = 20 * MS
LEAD_MS, HOLD_MS = 150, 40
READY_WITHIN_NS = 10_000 * MS
LAST_REPORTS_NS = 2_000 * MS
_DIVERT = wire.type_of(wire.Divert)


class StampedTransport:
    """Passes everything on and notes when bytes were taken."""

    def __init__(self, inner: Transport, clock: Clock) -> None:
        self.inner, self._clock = inner, clock
        self.written: list[tuple[int, bytes]] = []

    @property
    def name(self) -> str:
        return self.inner.name

    @name.setter
    def name(self, name: str) -> None:
        self.inner.name = name

    def open(self) -> None:
        self.inner.open()

    def read(self) -> bytes:
        return self.inner.read()

    def write(self, data: bytes) -> int:
        taken = self.inner.write(data)
        self.written.append((self._clock.now_ns(), data[:taken]))
        return taken

    def wait(self, timeout_s: float) -> None:
        self.inner.wait(timeout_s)

    def close(self) -> None:
        self.inner.close()

    def first_written_ns(self) -> dict[int, int]:
        """Per command: when the last byte of its first sending was taken."""
        reader = FrameReader()
        found: dict[int, int] = {}
        for at_ns, data in self.written:
            reader.feed(data)
            while (frame := reader.next_frame()) is not None:
                if frame.type == _DIVERT:
                    message = wire.decode(frame.type, frame.payload)
                    assert isinstance(message, wire.Divert)
                    found.setdefault(message.command_id, at_ns)
        return found


class _Calls:
    """What one thread's calls on the link cost it: the longest, and its share of a processor."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.longest_ns = self.cpu_ns = self._began_ns = self._cpu_began_ns = 0

    def __enter__(self) -> None:
        self._began_ns, self._cpu_began_ns = self._clock.now_ns(), time.thread_time_ns()

    def __exit__(self, *_: object) -> None:
        self.cpu_ns += time.thread_time_ns() - self._cpu_began_ns
        self.longest_ns = max(self.longest_ns, self._clock.now_ns() - self._began_ns)


@dataclass(slots=True)
class _Heard:
    accepted_ns: dict[int, int] = field(default_factory=dict)
    ends: dict[int, Reply] = field(default_factory=dict)
    detail: str = ""
    crash: str | None = None


class LinkRun:
    def __init__(self, transport: Transport, config: DeviceConfig, clock: Clock, bound_us: int) -> None:
        self._clock, self._config = clock, config
        self._transport = StampedTransport(transport, clock)
        self._controller = SerialController(self._transport, Session(SessionSettings(sync_bound_us=bound_us)))
        self._controller.configure(config)
        self._heard = _Heard()
        self._polls, self._asked = _Calls(clock), _Calls(clock)
        self._mover_cpu_ns = 0
        self._enqueued: dict[int, int] = {}
        self._leases = 0
        self._next_lease_ns = 0
        self._link = Worker("link", self._move, self._note_crash)

    def measure(self, rate_per_s: float, seconds: float) -> dict[str, Any]:
        """Arm, command at this rate for so long, disarm. Raises ControllerError when it cannot be armed."""
        self._link.start()
        try:
            self._reach(LinkState.READY)
            self._controller.arm()
            self._reach(LinkState.ARMED)
            cpu_ns, link_cpu_ns, began_ns = time.process_time_ns(), self._cpu_ns(), self._clock.now_ns()
            self._command(rate_per_s, began_ns + round(seconds * 1e9))
            wall_ns, link_cpu_ns = self._clock.now_ns() - began_ns, self._cpu_ns() - link_cpu_ns
            cpu_ns = time.process_time_ns() - cpu_ns
            self._live_until(
                self._clock.now_ns() + LAST_REPORTS_NS, lambda: len(self._heard.ends) == len(self._enqueued)
            )
        finally:
            self._controller.disarm()
            self._clock.sleep_ns(50 * MS)
            self._link.stop()
            self._controller.close()
        shares = {"cpu_percent": link_cpu_ns, "process_cpu_percent": cpu_ns}
        longest = {"poll": self._polls, "ask": self._asked}
        return {
            **self._figures(rate_per_s, wall_ns / 1e9),
            **{name: round(100 * spent_ns / wall_ns, 2) for name, spent_ns in shares.items()},
            "longest_call_ms": {name: round(calls.longest_ns / 1e6, 3) for name, calls in longest.items()},
        }

    # ---- the link's thread

    def _move(self) -> None:
        self._mover_cpu_ns = time.thread_time_ns()
        self._controller.wait(WAIT_S)
        with self._polls:
            replies = self._controller.poll(self._clock.now_ns())
        for reply in replies:
            match reply:
                case Accepted():
                    self._heard.accepted_ns[reply.command_id] = self._clock.now_ns()
                case Fired() | NotFired() | Refused() | Unanswered():
                    self._heard.ends[reply.command_id] = reply
                case LinkChanged():
                    self._heard.detail = reply.detail
                case _:
                    pass

    def _note_crash(self, name: str, error: BaseException) -> None:
        self._heard.crash = f"the {name} thread failed: {type(error).__name__}: {error}"

    # ---- the loop's thread

    def _lease(self) -> None:
        now_ns = self._clock.now_ns()
        if now_ns >= self._next_lease_ns:
            self._next_lease_ns = now_ns + LEASE_EVERY_NS
            self._leases += 1
            with self._asked:
                self._controller.renew_lease(self._leases)

    def _live_until(self, end_ns: int, done: Callable[[], bool]) -> bool:
        while not done():
            if self._clock.now_ns() >= end_ns:
                return False
            self._lease()
            self._clock.sleep_ns(2 * MS)
        return True

    def _reach(self, state: LinkState) -> None:
        end_ns = self._clock.now_ns() + READY_WITHIN_NS
        if not self._live_until(end_ns, lambda: self._controller.status().state is state):
            said = self._heard.crash or self._heard.detail or "nobody answers"
            raise ControllerError(f"{self._transport.name}: not {state.value} within 10 s: {said}")

    def _cpu_ns(self) -> int:
        """Spent so far by the thread that moves the port and, of the other, in its calls on the link."""
        return self._mover_cpu_ns + self._asked.cpu_ns

    def _command(self, rate_per_s: float, end_ns: int) -> None:
        every_ns, gates = round(1e9 / rate_per_s), len(self._config.gates)
        due_ns = self._clock.now_ns()
        while due_ns < end_ns:
            self._clock.sleep_ns(due_ns - self._clock.now_ns())
            self._lease()
            now_ns, command_id = self._clock.now_ns(), len(self._enqueued) + 1
            start_ns = now_ns + LEAD_MS * MS
            window = DuringTime(start_ns, start_ns + HOLD_MS * MS)
            self._enqueued[command_id] = now_ns
            with self._asked:
                self._controller.submit(DivertCommand(command_id, 1 << command_id % gates, window), now_ns)
            due_ns += every_ns

    # ---- what came of it

    def _figures(self, rate_per_s: float, wall_s: float) -> dict[str, Any]:
        written, accepted, ends = self._transport.first_written_ns(), self._heard.accepted_ns, self._heard.ends
        kinds = {"fired": Fired, "refused": Refused, "not_fired": NotFired, "unconfirmed": Unanswered}
        status = self._controller.status()
        return {
            "schema": "station.bench_link/2",
            "port": status.port,
            "diverts": len(self._enqueued),
            "diverts_per_s": round(len(self._enqueued) / wall_s, 1),
            "asked_per_s": rate_per_s,
            "seconds": round(wall_s, 1),
            **{name: sum(isinstance(end, kind) for end in ends.values()) for name, kind in kinds.items()},
            "written_ms": _spread([written[n] - at_ns for n, at_ns in self._enqueued.items() if n in written]),
            "acknowledged_ms": _spread([accepted[n] - at_ns for n, at_ns in self._enqueued.items() if n in accepted]),
            "retries": status.retries,
            "crash": self._heard.crash,
        }


def _spread(ns: list[int]) -> dict[str, float] | None:
    if not ns:
        return None
    ordered = sorted(ns)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[max(0, ceil(q * len(ordered)) - 1)] / 1e6, 3) for name, q in at.items()}
