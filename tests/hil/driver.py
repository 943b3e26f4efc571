"""The station's link thread and its loop in one, over any rung and in that rung's time."""

from collections.abc import Callable
from typing import TypeVar

from firmware_bridge import wire
from firmware_bridge.codec import Frame, encode_frame
from firmware_bridge.conversation import SessionSettings
from firmware_bridge.link import SerialController
from firmware_bridge.messages import (
    DeviceConfig,
    DivertCommand,
    DuringTime,
    Fired,
    GateConfig,
    LinkChanged,
    LinkState,
    NotFired,
    Refused,
    Reply,
    Unanswered,
    Window,
)
from firmware_bridge.session import Session
from tests.hil.line import Line
from tests.hil.rungs import MM_PER_COUNT, MS, TOLERANCES, GateEdge, Recorded, Rung

R = TypeVar("R", bound=Reply)
M = TypeVar("M", bound=wire.Message)
OPENING_MS = CLOSING_MS = 5
GATE = GateConfig(0, 2000, 500_000, 2000, OPENING_MS * 1000, CLOSING_MS * 1000, 1000)
LEASE_EVERY_NS = 20 * MS  # as often as the station's loop turns at least


class Driver:
    def __init__(self, rung: Rung) -> None:
        self.rung = rung
        self.tolerances = TOLERANCES[rung.name]
        self.line = Line(rung.transport)
        self.session = Session(SessionSettings(sync_bound_us=self.tolerances.sync_bound_us))
        self.controller = SerialController(self.line, self.session)
        self.leasing = True
        self.heard: list[Reply] = []
        self.finals: dict[int, Reply] = {}
        self._counter = self._next_lease_ns = 0
        self._ids = 0

    def now_ns(self) -> int:
        return self.rung.now_ns()

    # ---- time

    def turn(self) -> None:
        self.controller.wait(0.002)
        now_ns = self.now_ns()
        for reply in self.controller.poll(now_ns):
            self.heard.append(reply)
            if isinstance(reply, Refused | Fired | NotFired | Unanswered):
                assert reply.command_id not in self.finals, "a second final reply"
                self.finals[reply.command_id] = reply
        if self.leasing and now_ns >= self._next_lease_ns:
            self._next_lease_ns = now_ns + LEASE_EVERY_NS
            self._counter += 1
            self.controller.renew_lease(self._counter)

    def until(self, done: Callable[[], bool], timeout_s: float | None = None) -> None:
        timeout_s = self.tolerances.patience_s if timeout_s is None else timeout_s
        deadline_ns = self.now_ns() + round(timeout_s * 1e9)
        while not done():
            assert self.now_ns() < deadline_ns, (
                f"not within {timeout_s} s; link: {self.controller.status()}, heard {self.heard[-5:]}"
            )
            self.turn()

    def run(self, seconds: float) -> None:
        deadline_ns = self.now_ns() + round(seconds * 1e9)
        while self.now_ns() < deadline_ns:
            self.turn()

    # ---- what a station does

    def reach(self, state: LinkState, timeout_s: float | None = None) -> None:
        self.until(lambda: self.controller.status().state is state, timeout_s)

    def configure(self) -> None:
        """As many gates as the device has, at most eight."""
        self.until(lambda: self.controller.capabilities() is not None)
        capabilities, kept = self.controller.capabilities(), self.tolerances
        assert capabilities is not None
        mm_per_count = MM_PER_COUNT if capabilities.has_count else None
        gates = (GATE,) * min(8, capabilities.gates)
        self.controller.configure(DeviceConfig(gates, kept.lease_ms, kept.max_late_us, mm_per_count, 10_000, 20_000))
        self.reach(LinkState.READY)

    def arm(self) -> None:
        if self.session.configuring.wanted is None:
            self.configure()
        self.controller.arm()
        self.reach(LinkState.ARMED)

    def soon(self, lead_ms: int = 300, hold_ms: int = 50) -> DuringTime:
        now_ns = self.now_ns()
        return DuringTime(now_ns + lead_ms * MS, now_ns + (lead_ms + hold_ms) * MS)

    def submit(self, window: Window, gate: int = 0, command_id: int | None = None) -> int:
        self._ids += 1
        command = DivertCommand(self._ids if command_id is None else command_id, 1 << gate, window)
        self.controller.submit(command, self.now_ns())
        return command.command_id

    # ---- what came of it

    def final(self, command_id: int, timeout_s: float | None = None) -> Reply:
        self.until(lambda: command_id in self.finals, timeout_s)
        return self.finals[command_id]

    def edges(self, recorded: Recorded, count: int, gate: int | None = None) -> list[GateEdge]:
        """Once so many are written down; a moment later there may not be more."""

        def found() -> list[GateEdge]:
            return [edge for edge in recorded.edges() if gate in (None, edge.gate)]

        self.until(lambda: len(found()) >= count)
        self.run(0.02)
        assert len(found()) == count
        return found()

    def told(self, kind: type[R]) -> list[R]:
        return [reply for reply in self.heard if isinstance(reply, kind)]

    def details(self) -> list[str]:
        return [reply.detail for reply in self.told(LinkChanged)]

    def said(self, kind: type[M]) -> list[M]:
        """By the device, on the wire."""
        return [message for message in self.line.said if isinstance(message, kind)]

    # ---- below the link

    def put(self, message: wire.ToDevice, session: int | None = None) -> None:
        """A frame that the link knows nothing of, in its session."""
        session = self.session.greeting.session_id if session is None else session
        self.line.write(encode_frame(Frame(wire.type_of(type(message)), 0, session, wire.encode(message))))

    def ask(self, message: wire.ToDevice, kind: type[M]) -> M:
        """The device's next message of that kind; asked again, as a host does, when a small receive buffer lost it."""
        before = len(self.said(kind))
        for _ in range(8):
            self.put(message)
            deadline_ns = self.now_ns() + 100 * MS
            while self.now_ns() < deadline_ns:
                self.turn()
                if len(self.said(kind)) > before:
                    return self.said(kind)[before]
        raise AssertionError(f"{message}: no {kind.__name__}")
