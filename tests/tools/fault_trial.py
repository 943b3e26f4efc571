"""A working line to inject one kind of fault into, in virtual time; judged afterwards as a life of the soak is."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from firmware_bridge.loopback import CLEAN, WireFaults
from firmware_bridge.messages import (
    DuringCount,
    DuringTime,
    Fired,
    LinkChanged,
    LinkState,
    NotFired,
    Refused,
    Unanswered,
    Window,
)
from firmware_bridge.virtual_device import DeviceClock
from tests.tools.soak_judge import Broken, judge
from tests.tools.soak_record import MASK_64, HostileClock
from tests.tools.soak_world import POLL_NS, Belt, HostileTransport, World
from tests.unit.firmware_bridge.bench import BOOT_NS, MS

COUNTS_PER_S = 2000.0


@dataclass(frozen=True, slots=True)
class WarmingClock(HostileClock):
    """Its rate changes by so much every second, for a minute."""

    ppm_per_s: float = 0.0

    def device_us(self, host_ns: int) -> int:
        s = min(60.0, (host_ns - self.boot_ns) * 1e-9)
        ahead_us = round(0.5 * self.ppm_per_s * s * s)
        return (HostileClock(self.boot_ns, self.drift_ppm, self.start_us).device_us(host_ns) + ahead_us) & MASK_64

    def host_ns(self, device_us: int) -> int:
        low = DeviceClock(self.boot_ns, self.drift_ppm).host_ns((device_us - self.start_us) & MASK_64)
        for _ in range(6):  # the correction is small and smooth
            low += (device_us - self.device_us(low)) * 1000
        return low


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one trial."""

    injected: int
    commands: int
    fired: int
    told: int  # refused or missed, with the reason
    unconfirmed: int
    broken: tuple[Broken, ...]


@dataclass(frozen=True, slots=True)
class Case:
    kind: str
    what: str
    run: Callable[[], Row]
    all_fire: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.what}"


class Trial:
    def __init__(
        self, faults: WireFaults = CLEAN, clock: HostileClock | None = None, count_start: int = 0, seed: int = 1
    ) -> None:
        self.rng = Random(seed)
        self.faults = faults
        self.world = World(seed, faults, Belt(COUNTS_PER_S), clock or HostileClock(BOOT_NS, 40.0), count_start)
        self.injected = 0
        self._next_ns = 0

    @property
    def cable(self) -> HostileTransport:
        return self.world.cable

    def up(self) -> "Trial":
        """Armed and at work."""
        end_ns = self.world.now_ns + 4_000 * MS
        while self.world.state is not LinkState.ARMED and self.world.now_ns < end_ns:
            self.world.run(0.05)
        return self

    def work(self, seconds: float, every_ms: int = 10, lead_ms: int = 60) -> "Trial":
        world = self.world
        end_ns = world.now_ns + round(seconds * 1e9)
        while world.now_ns < end_ns:
            world.now_ns += POLL_NS
            world.poll()
            if world.now_ns >= self._next_ns:
                self._next_ns = world.now_ns + every_ms * MS
                self.submit(lead_ms)
        return self

    def submit(self, lead_ms: int = 60, hold_ms: int = 40) -> None:
        """Windows in time and in counts in turn."""
        window: Window = DuringTime(self.world.now_ns + lead_ms * MS, self.world.now_ns + (lead_ms + hold_ms) * MS)
        count = self.world.count()
        number = len(self.world.commands)
        if number % 2 and count == count:
            start = int(count) + round(lead_ms * COUNTS_PER_S / 1000)
            window = DuringCount(start, start + round(hold_ms * COUNTS_PER_S / 1000))
        if len(self.world.session.commands) < 250:
            self.world.submit(window, 1 << number // 2 % 8)

    def told(self, state: LinkState, since_ns: int) -> int | None:
        """When the station was first told this state from then on."""
        changes = (reply for reply in self.world.heard if isinstance(reply, LinkChanged))
        return next((each.at_ns for each in changes if each.state is state and each.at_ns >= since_ns), None)

    def finish(self, settle_s: float = 10.0) -> Row:
        """The fault ends; every command must find its end and the station its way back to armed."""
        world = self.world
        world.cable.to_device.faults = world.cable.from_device.faults = CLEAN
        world.leasing, world.intruder, world.cable.sense_us = True, None, 0
        world.cable.accepts_bytes = 1 << 16
        if not world.cable.plugged:
            world.cable.plug()
        end_ns = world.now_ns + round(settle_s * 1e9)
        while world.now_ns < end_ns:
            world.run(0.1)
            done = world.commands.keys() <= world.finals.keys() | world.orphans
            if done and world.state is LinkState.ARMED and world.device.armed and not world.device.outputs():
                break
        world.run(0.05)
        return self.row(judge(world))

    def row(self, broken: list[Broken]) -> Row:
        finals = list(self.world.finals.values())
        return Row(
            injected=self.injected,
            commands=len(self.world.commands),
            fired=sum(isinstance(final, Fired) for final in finals),
            told=sum(isinstance(final, Refused | NotFired) for final in finals),
            unconfirmed=sum(isinstance(final, Unanswered) for final in finals),
            broken=tuple(broken),
        )


def together(rows: list[Row]) -> Row:
    return Row(
        sum(row.injected for row in rows),
        sum(row.commands for row in rows),
        sum(row.fired for row in rows),
        sum(row.told for row in rows),
        sum(row.unconfirmed for row in rows),
        tuple(broken for row in rows for broken in row.broken),
    )
