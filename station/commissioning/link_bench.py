"""A controller on a port, exercised by itself: is it there, how well is its clock known, does every gate act.

Owns the link while it runs; starts no thread. Knows no camera and no belt.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from firmware_bridge.controller import Controller
from firmware_bridge.conversation import SessionSettings
from firmware_bridge.link import SerialController, WireTap
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
from firmware_bridge.serial_port import PortSettings, SerialTransport
from firmware_bridge.session import Session
from station.clock import Clock
from station.errors import ControllerError
from station.simulation.belt import cruising, write_profile

MS = 1_000_000
TURN_S = 0.002
ANSWER_WITHIN_S = 8.0
GATE_LEAD_MS = 200
GATE_HOLD_MS = 100
GATE_PAUSE_MS = 400


@contextmanager
def device_at(port: str, clock: Clock) -> Iterator[str]:
    """The port as given; for `virtual` the simulated device as a process of its own, on a belt that stands."""
    if port != "virtual":
        yield port
        return
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "belt"
        write_profile(profile, cruising(clock.now_ns(), speed_mm_s=0.0), mm_per_count=0.5)
        words = [sys.executable, "-m", "firmware_bridge.virtual_device", "--profile", str(profile)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise ControllerError("the simulated device did not start; `station doctor` says what is missing")
            try:
                yield str(json.loads(line)["port"])
            finally:
                process.terminate()


class WaitedController(Controller, Protocol):
    def wait(self, timeout_s: float) -> None: ...


class ControllerBench:
    """The link's thread and the loop in one: turns, renews the lease, remembers what was heard."""

    def __init__(self, controller: WaitedController, clock: Clock) -> None:
        self.controller = controller
        self.heard: list[Reply] = []
        self._clock = clock
        self._leases = 0

    def turn(self) -> None:
        self.controller.wait(TURN_S)
        self.heard += self.controller.poll(self._clock.now_ns())
        self._leases += 1
        self.controller.renew_lease(self._leases)

    def run(self, seconds: float) -> None:
        end_ns = self._clock.now_ns() + round(seconds * 1e9)
        while self._clock.now_ns() < end_ns:
            self.turn()

    def reach(self, state: LinkState, timeout_s: float = ANSWER_WITHIN_S) -> None:
        """Raises ControllerError with the last thing the link said."""
        if not self.until(lambda: self.controller.status().state is state, timeout_s):
            said = [reply.detail for reply in self.heard if isinstance(reply, LinkChanged)]
            status = self.controller.status()
            raise ControllerError(
                f"{status.port}: not {state.value} within {timeout_s:.0f} s, only {status.state.value}: "
                f"{said[-1] if said else 'nobody answers'}"
            )

    def until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        end_ns = self._clock.now_ns() + round(timeout_s * 1e9)
        while not done():
            if self._clock.now_ns() >= end_ns:
                return False
            self.turn()
        return True

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def close(self) -> None:
        self.controller.close()


class LinkBench(ControllerBench):
    """With a microcontroller."""

    def __init__(
        self, port: str, clock: Clock, bound_us: int, settings: PortSettings | None = None, tap: WireTap | None = None
    ) -> None:
        self.session = Session(SessionSettings(sync_bound_us=bound_us))
        super().__init__(SerialController(SerialTransport(port, settings), self.session, tap), clock)


@dataclass(slots=True)
class GateResult:
    """What one gate did with the windows it was given."""

    gate: int
    commanded: int = 0
    acknowledged: int = 0
    fired: int = 0
    late: int = 0
    failures: list[str] = field(default_factory=list)
    worst_error_us: int = 0

    @property
    def good(self) -> bool:
        return self.fired == self.acknowledged == self.commanded > 0 and self.late == 0


def exercise_gates(bench: ControllerBench, config: DeviceConfig, gates: list[int], times: int) -> list[GateResult]:
    """Arm, open each gate `times` times one after the other, disarm. The belt must stand: windows are in time."""
    bench.controller.configure(config)
    bench.reach(LinkState.READY)
    bench.controller.arm()
    bench.reach(LinkState.ARMED)
    results = {gate: GateResult(gate) for gate in gates}
    owner: dict[int, int] = {}
    for _ in range(times):
        for gate in gates:
            command_id = len(owner) + 1
            owner[command_id] = gate
            results[gate].commanded += 1
            _open_once(bench, command_id, gate, config)
    bench.controller.disarm()
    bench.run(0.1)
    for reply in bench.heard:
        if isinstance(reply, Accepted | Fired | Refused | NotFired | Unanswered):
            _enter(results[owner[reply.command_id]], reply, config.max_late_us)
    return list(results.values())


def _open_once(bench: ControllerBench, command_id: int, gate: int, config: DeviceConfig) -> None:
    start_ns = bench.now_ns() + GATE_LEAD_MS * MS + config.gates[gate].opening_delay_us * 1000
    hold_us = min(GATE_HOLD_MS * 1000, config.gates[gate].max_hold_us)
    closing_us = config.gates[gate].closing_delay_us - config.gates[gate].opening_delay_us
    end_ns = start_ns + max(hold_us + closing_us, 2 * config.gates[gate].min_hold_us) * 1000
    bench.controller.submit(DivertCommand(command_id, 1 << gate, DuringTime(start_ns, end_ns)), bench.now_ns())
    bench.until(lambda: _has_ended(bench, command_id), ANSWER_WITHIN_S)
    bench.run(GATE_PAUSE_MS / 1000)


def _has_ended(bench: ControllerBench, command_id: int) -> bool:
    ends = (reply for reply in reversed(bench.heard) if isinstance(reply, Fired | Refused | NotFired | Unanswered))
    return any(reply.command_id == command_id for reply in ends)


def _enter(result: GateResult, reply: Accepted | Fired | Refused | NotFired | Unanswered, max_late_us: int) -> None:
    match reply:
        case Accepted():
            result.acknowledged += 1
        case Fired():
            result.fired += 1
            result.late += reply.on_error_us > max_late_us
            result.worst_error_us = max(result.worst_error_us, abs(reply.on_error_us))
        case Refused():
            result.failures.append(f"refused: {reply.refusal.name.lower()}")
        case NotFired():
            result.failures.append(f"missed: {reply.reason.name.lower()}")
        case Unanswered():
            result.failures.append("not answered")
