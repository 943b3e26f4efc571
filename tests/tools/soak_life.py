"""One seed's life: what happens on the line, and when. All is drawn from one generator: a seed repeats bit for bit."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from random import Random

from firmware_bridge.loopback import CLEAN, WireFaults
from firmware_bridge.messages import DuringCount, DuringTime, LinkState, Window
from firmware_bridge.virtual_device import Pin, ResetCause
from tests.tools.soak_record import HostileClock
from tests.tools.soak_world import POLL_NS, Belt, Intruder, World
from tests.unit.firmware_bridge.bench import BOOT_NS, MS

LIFE_S = 10.0
SETTLE_S = 12.0
HOUR_US = 3_600_000_000
CLOCK_STARTS = (0, 0, 0, 2**32 - 4_000_000, 2**63 - 4_000_000, 2**64 - 4_000_000)
COUNT_STARTS = (0, 0, 0, 2**31 - 5000, 2**32 - 5000, -3000, -(2**31) - 5000)
PROBES = (b"AT\r", b"AT+GCAP\r\n", b"~\x00x\xf0~", b"\r\nboot: rst:0x1 (POWERON)\r\n", b"\x00", b"\xff" * 60)


class Life:
    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.story: list[str] = []
        self.injected: dict[str, int] = {}
        loss = rng.choice([0.0, 0.0, 0.0, 0.02, 0.05, 0.15])
        baud_ns = rng.choice([0, 0, 8681])
        self.faults = replace(
            WireFaults.all(loss, latency_ns=rng.randrange(50_000, 1 * MS), jitter_ns=rng.randrange(0, 2 * MS)),
            ns_per_byte=baud_ns,
            reorder=rng.choice([0.0, loss]),
        )
        self.ppm = rng.choice([0.0, 40.0, -40.0, rng.uniform(-4990, 4990), 4990.0, -4990.0])
        self.speed = rng.uniform(300, 4000)
        self.count_mode = rng.random() < 0.5
        start_us, count_start = rng.choice(CLOCK_STARTS), rng.choice(COUNT_STARTS)
        clock = HostileClock(BOOT_NS, self.ppm, start_us)
        self.world = World(seed, self.faults, Belt(self.speed), clock, count_start)
        self._every_ms = 10
        self._next_ns = 0
        self.note(
            f"loss {loss}, {self.ppm:+.0f} ppm, clock from {start_us} us, counts from {count_start}, "
            f"{self.speed:.0f} counts/s, {'count' if self.count_mode else 'time'} windows, {baud_ns} ns a byte"
        )

    def note(self, what: str) -> None:
        self.story.append(f"{(self.world.now_ns - BOOT_NS) / 1e9:7.3f} s {what}")

    def live(self) -> None:
        world, rng = self.world, self.rng
        end_ns = world.now_ns + round(LIFE_S * 1e9)
        self._submitting(0.5)
        while world.now_ns < end_ns:
            name, event = rng.choice(self._events())
            self.injected[name] = self.injected.get(name, 0) + 1
            self.note(name)
            event()
            self._every_ms = rng.choice([5, 5, 10, 20])
            self._submitting(rng.uniform(0.1, 0.8))
        self._settle()

    def digest(self) -> str:
        """Equal for equal lives."""
        world = self.world
        told = repr((world.edges, sorted(world.finals.items()), world.heard, self.story))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    # ---- the station's part

    def _submitting(self, seconds: float) -> None:
        world = self.world
        end_ns = world.now_ns + round(seconds * 1e9)
        while world.now_ns < end_ns:
            world.now_ns += POLL_NS
            world.poll()
            if world.now_ns >= self._next_ns:
                self._next_ns = world.now_ns + self._every_ms * MS
                self._submit()

    def _submit(self) -> None:
        window, rng = self._window(), self.rng
        if window is not None and len(self.world.session.commands) < 250:
            gates = 1 << rng.randrange(8)
            self.world.submit(window, gates | (1 << rng.randrange(8) if rng.random() < 0.2 else 0))

    def _window(self) -> Window | None:
        rng, world = self.rng, self.world
        lead_ms, hold_ms = rng.randrange(-20, 400), rng.randrange(20, 60)
        if not self.count_mode:
            start_ns = world.now_ns + lead_ms * MS
            return DuringTime(start_ns, start_ns + hold_ms * MS)
        count = world.count()
        if count != count:
            return None  # the belt's place is not known: a station decides nothing then
        start = int(count) + round(lead_ms * self.speed / 1000)
        return DuringCount(start, start + max(4, round(hold_ms * self.speed / 1000)))

    def _settle(self) -> None:
        """Every fault ends; what remains must find its end, and the station its way back to armed."""
        world = self.world
        world.cable.to_device.faults = world.cable.from_device.faults = CLEAN
        world.leasing, world.intruder, world.cable.sense_us = True, None, 0
        world.cable.accepts_bytes = 1 << 16
        world.device.set_input(Pin.ESTOP, False, world.now_ns)
        if not world.cable.plugged:
            world.cable.plug()
        if self.world.belt.speed(world.now_ns) != self.speed:
            self._belt_to(self.speed)
        self.note("all faults end")
        end_ns = world.now_ns + round(SETTLE_S * 1e9)
        cancel_ns = world.now_ns + 3_000 * MS
        while world.now_ns < end_ns:
            world.run(0.1)
            if self._recovered():
                world.run(0.05)
                if self._recovered():  # a clock may just now have come to its end and be compared again
                    break
            if cancel_ns <= world.now_ns < cancel_ns + 100 * MS:
                world.controller.cancel_all()

    def _recovered(self) -> bool:
        world = self.world
        done = world.commands.keys() <= world.finals.keys() | world.orphans
        return done and world.state is LinkState.ARMED and world.device.armed and not world.device.outputs()

    # ---- what happens

    def _events(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("nothing", lambda: None),
            ("host stalls", lambda: self.world.stall(self.rng.randrange(20, 1200))),
            ("host is killed", self._kill_host),
            ("loop hangs", self._hang),
            ("device stalls", self._stall_device),
            ("cable out", self._unplug),
            ("device restarts at a message", self._restart_at_message),
            ("device restarts while a gate is open", self._restart_mid_pulse),
            ("stop", lambda: self.world.controller.stop()),
            ("cancel all", lambda: self.world.controller.cancel_all()),
            ("disarm", self._disarm),
            ("E-stop", self._estop),
            ("second host", self._second_host),
            ("old frames come again", self._old_frames),
            ("foreign text", self._foreign_text),
            ("line holds bytes back", self._delay),
            ("noisy line", self._noise),
            ("deaf line", self._deaf),
            ("stuck peer", self._stuck),
            ("flood of commands", self._flood),
            ("flood of garbage", self._garbage),
            ("storm of inputs, deaf host", self._storm),
            ("host misreads the device's clock", self._misread),
            ("device's clock jumps", self._jump),
            ("belt changes speed", lambda: self._belt_to(self.rng.uniform(300, 4000))),
            ("belt stops", self._belt_stops),
            ("belt reverses", self._belt_reverses),
            ("belt dithers", self._belt_dithers),
        ]

    def _kill_host(self) -> None:
        world = self.world
        self._dead_time(self.rng.randrange(20, 1500))
        world.start_host()

    def _dead_time(self, milliseconds: int) -> None:
        end_ns = self.world.now_ns + milliseconds * MS
        while self.world.now_ns < end_ns:
            self.world.now_ns += 2 * MS
            self.world.cable.advance(self.world.now_ns)

    def _hang(self) -> None:
        self.world.leasing = False
        self.world.run(self.rng.uniform(0.1, 0.6))
        self.world.leasing = True

    def _stall_device(self) -> None:
        until_ns = self.world.now_ns + self.rng.randrange(2, 240) * MS
        self.world.device_stalls.append((self.world.now_ns, until_ns + 2 * MS))
        self.world.device.stall(until_ns)
        self._submitting(0.3)

    def _unplug(self) -> None:
        self.world.cable.unplug(still_arrive=self.rng.randrange(0, 60))
        self._every_ms = 50
        self._submitting(self.rng.uniform(0.01, 1.5))
        self.world.cable.plug()

    def _restart(self) -> None:
        world, rng = self.world, self.rng
        cause = rng.choice([ResetCause.POWER, ResetCause.PIN, ResetCause.WATCHDOG, ResetCause.SOFTWARE])
        world.device.restart(world.cable.lived_ns, rng.choice(CLOCK_STARTS), rng.choice(COUNT_STARTS), cause)
        world.edges += world.device.edges()
        world.clock_stepped()  # until the host has heard of it
        if self.count_mode:
            # What is on the way in old counts must not be taken for new: a station drops it with the epoch.
            world.controller.cancel_all()
        world.run(0.6)

    def _restart_at_message(self) -> None:
        """As soon as the next bytes have arrived."""
        world = self.world
        for _ in range(self.rng.randrange(1, 40)):
            world.now_ns += 1 * MS
            world.poll()
        self._restart()

    def _restart_mid_pulse(self) -> None:
        world = self.world
        for _ in range(200):
            if world.device.outputs():
                break
            self._submitting(0.005)
        self._restart()

    def _disarm(self) -> None:
        self.world.controller.disarm()

    def _estop(self) -> None:
        world = self.world
        world.device.set_input(Pin.ESTOP, True, world.cable.lived_ns)
        self._submitting(self.rng.uniform(0.01, 0.5))
        world.device.set_input(Pin.ESTOP, False, world.cable.lived_ns)

    def _second_host(self) -> None:
        self.world.intruder = Intruder(self.rng.randrange(2**32))
        self.world.cable.overheard = bytearray()
        if self.rng.random() < 0.5:
            self.world.controller.stop()  # and the device is free
        self._submitting(self.rng.uniform(0.2, 1.5))
        self.world.intruder = self.world.cable.overheard = None

    def _old_frames(self) -> None:
        """All that was said before, once more: of this session and of earlier ones."""
        world = self.world
        said = list(world.cable.said)
        for data in self.rng.sample(said, min(len(said), 60)):
            if world.cable.plugged:
                world.cable.to_device.inject(data, world.cable.lived_ns)

    def _foreign_text(self) -> None:
        for wire in (self.world.cable.to_device, self.world.cable.from_device):
            wire.inject(self.rng.choice(PROBES), self.world.cable.lived_ns)

    def _delay(self) -> None:
        world = self.world
        for wire in self.rng.sample([world.cable.to_device, world.cable.from_device], self.rng.randint(1, 2)):
            wire.hold(world.now_ns + self.rng.randrange(10, 2000) * MS)

    def _with_faults(self, faults: WireFaults, seconds: float, both: bool = True) -> None:
        cable = self.world.cable
        cable.to_device.faults = faults
        if both:
            cable.from_device.faults = faults
        self._submitting(seconds)
        cable.to_device.faults = cable.from_device.faults = self.faults

    def _noise(self) -> None:
        self._with_faults(replace(WireFaults.all(0.3), reorder=0.1), self.rng.uniform(0.05, 0.5))

    def _deaf(self) -> None:
        self._with_faults(WireFaults(drop=1.0), self.rng.uniform(0.02, 0.7), both=self.rng.random() < 0.5)

    def _stuck(self) -> None:
        self.world.cable.accepts_bytes = self.rng.choice([0, 1, 7])
        self._submitting(self.rng.uniform(0.05, 0.8))
        self.world.cable.accepts_bytes = 1 << 16

    def _flood(self) -> None:
        for _ in range(200):
            self._submit()

    def _garbage(self) -> None:
        """10 kB/s of noise between the frames, both ways."""
        for _ in range(self.rng.randrange(4, 60)):
            self.world.cable.to_device.inject(self.rng.randbytes(50), self.world.cable.lived_ns)
            self.world.cable.from_device.inject(self.rng.randbytes(50), self.world.cable.lived_ns)
            self._submitting(0.005)

    def _storm(self) -> None:
        """A bouncing photo-eye at 2 kHz while nobody acknowledges events: the ring must run over without losing a report."""
        world = self.world
        world.cable.from_device.faults = WireFaults(drop=1.0)
        for n in range(600):
            world.now_ns += MS // 2
            world.device.set_input(Pin.PHOTO_EYE, bool(n % 2), world.cable.lived_ns)
            world.poll()
        world.cable.from_device.faults = self.faults

    def _misread(self) -> None:
        world = self.world
        world.cable.sense_us = self.rng.choice([HOUR_US, -HOUR_US, 5000, -5000, 2**32])
        world.clock_stepped()
        self._submitting(self.rng.uniform(0.02, 1.0))
        world.cable.sense_us = 0
        world.clock_stepped()

    def _jump(self) -> None:
        self.world.clock_leaps.append(self.world.cable.lived_ns)
        self.world.edges += self.world.device.jump(self.rng.choice([HOUR_US, 5000, 2**32]))
        self.world.clock_stepped()

    # ---- the belt

    def _belt_to(self, speed: float) -> None:
        self.world.belt.go(self.world.cable.lived_ns, speed, self.rng.uniform(2000, 20_000))

    def _belt_stops(self) -> None:
        self._belt_to(0.0)
        self._submitting(self.rng.uniform(0.2, 1.5))
        self._belt_to(self.speed)

    def _belt_reverses(self) -> None:
        self._belt_to(-self.rng.uniform(50, 500))
        self._submitting(self.rng.uniform(0.3, 0.8))
        self._belt_to(self.speed)

    def _belt_dithers(self) -> None:
        self._belt_to(0.0)
        self._submitting(0.4)
        for n in range(self.rng.randrange(2, 30)):
            self._belt_to(40.0 if n % 2 else -40.0)
            self._submitting(0.03)
        self._belt_to(self.speed)
