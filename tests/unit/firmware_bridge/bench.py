"""A station's side of a link in virtual time: leases, submits, remembers every reply, and judges by the device's own edges."""

from collections import Counter
from collections.abc import Callable
from random import Random

from firmware_bridge.conversation import SessionSettings
from firmware_bridge.loopback import CLEAN, DeviceTransport, SteppedController, WireFaults
from firmware_bridge.messages import (
    DeviceConfig,
    Disarmed,
    DivertCommand,
    DuringCount,
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
from firmware_bridge.virtual_device import DeviceClock, Edge, VirtualDevice

MS = 1_000_000
SECOND = 1_000_000_000
BOOT_NS = SECOND
COUNTS_PER_S = 2000.0
OPENING_MS, CLOSING_MS = 12, 8
GATE = GateConfig(0, 2000, 200_000, 2000, OPENING_MS * 1000, CLOSING_MS * 1000, 1000)
CONFIG = DeviceConfig((GATE,) * 8, lease_ms=250, max_late_us=1000, mm_per_count=0.5, far_ms=10_000, far_count=20_000)
Final = Refused | Fired | NotFired | Unanswered


def even_belt(host_ns: int) -> float:
    return (host_ns - BOOT_NS) * 1e-9 * COUNTS_PER_S


class Bench:
    def __init__(
        self,
        faults: WireFaults = CLEAN,
        seed: int = 1,
        belt: Callable[[int], float] = even_belt,
        sync_bound_us: int = 500,
        rearm: bool = True,
    ) -> None:
        self.device = VirtualDevice(clock=DeviceClock(BOOT_NS, 40.0))
        self.cable = DeviceTransport(self.device, belt, faults, seed)
        self.session = Session(SessionSettings(sync_bound_us), Random(seed))
        self.controller = SteppedController(self.cable, self.session)
        self.controller.configure(CONFIG)
        self.belt, self.rearm = belt, rearm
        self.now_ns = BOOT_NS
        self.leasing = True
        self.state = LinkState.CLOSED
        self.commands: dict[int, DivertCommand] = {}
        self.finals: dict[int, Final] = {}
        self.heard: list[Reply] = []
        self.edges: list[Edge] = []
        self._counter = 0

    def run(self, seconds: float, every_ms: int = 0, submit: Callable[[int], Window | None] | None = None) -> None:
        """With `submit`: a command every `every_ms` on the next gate, its window made from its number."""
        end_ns, next_ns = self.now_ns + round(seconds * SECOND), self.now_ns
        while self.now_ns < end_ns:
            self.now_ns += 5 * MS
            self.poll()
            if submit is not None and self.now_ns >= next_ns:
                next_ns += every_ms * MS
                window = submit(len(self.commands) + 1)
                if window is not None:
                    self.submit(window)

    def poll(self) -> None:
        for reply in self.controller.poll(self.now_ns):
            self.heard.append(reply)
            if isinstance(reply, LinkChanged):
                self.state = reply.state
                if self.rearm and reply.state is LinkState.READY:
                    self.controller.arm()
            elif isinstance(reply, Refused | Fired | NotFired | Unanswered):
                assert reply.command_id not in self.finals, "a second final reply"
                self.finals[reply.command_id] = reply
        if self.leasing:
            self._counter += 1
            self.controller.renew_lease(self._counter)
        self.edges += self.device.edges()

    def submit(self, window: Window, gate: int | None = None) -> int:
        command_id = len(self.commands) + 1
        command = DivertCommand(command_id, 1 << (command_id % 8 if gate is None else gate), window)
        self.commands[command_id] = command
        self.controller.submit(command, self.now_ns)
        return command_id

    def ahead(self, lead_ms: int = 60, hold_ms: int = 40) -> DuringTime:
        return DuringTime(self.now_ns + lead_ms * MS, self.now_ns + (lead_ms + hold_ms) * MS)

    def ahead_counts(self, lead: int = 120, hold: int = 80) -> DuringCount | None:
        """None when the belt's position is not known: a station decides nothing then."""
        found = self.controller.count_at(self.now_ns)
        if found is None:
            return None
        return DuringCount(int(found.count) + lead, int(found.count) + lead + hold)

    # ---- judging

    def is_in(self, state: LinkState) -> bool:
        return self.state is state

    def armed(self) -> bool:
        return self.device.armed

    def permitted(self) -> bool:
        return self.device.permit

    def told_permit(self) -> bool:
        return self.controller.status().line_permit

    def outcomes(self) -> Counter[str]:
        return Counter(type(final).__name__ for final in self.finals.values())

    def told(self, kind: type[Reply]) -> list[Reply]:
        return [reply for reply in self.heard if isinstance(reply, kind)]

    def disarm_reasons(self) -> list[str]:
        return [reply.reason.name for reply in self.heard if isinstance(reply, Disarmed)]

    def assert_everything_accounted(self) -> None:
        """One end for every command; every edge belongs to a command that may have fired; no command fired twice."""
        assert self.finals.keys() == self.commands.keys()
        on_edges = [edge for edge in self.edges if edge.on]
        for edge in on_edges:
            owners = [command for command in self.commands.values() if self._explains(command, edge)]
            assert len(owners) == 1, f"{edge}: {len(owners)} commands explain it"
            final = self.finals[owners[0].command_id]
            assert not isinstance(final, Refused), f"{edge} happened, but {final}"
        fired = [final for final in self.finals.values() if isinstance(final, Fired)]
        assert len(fired) <= len(on_edges)
        for final in fired:
            command = self.commands[final.command_id]
            assert sum(self._explains(command, edge) for edge in on_edges) == 1, f"{final}: not exactly one edge"

    def _explains(self, command: DivertCommand, edge: Edge) -> bool:
        if not command.gate_mask >> edge.gate & 1:
            return False
        window = command.window
        if isinstance(window, DuringTime):
            due_ns = window.start_ns - OPENING_MS * MS
            return abs(edge.at_ns - due_ns) <= CONFIG.max_late_us * 1000 + 3 * MS
        due = window.start_count - OPENING_MS * COUNTS_PER_S / 1000
        return abs(edge.count - due) <= 4
