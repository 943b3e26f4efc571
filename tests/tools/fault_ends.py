"""Faults of the two ends: restarts, stalls, stuck peers, clocks and counts, floods, killed and hanging hosts.

Each function injects one into a working line and gives what came of it; fault_cases lists them all.
"""

from collections.abc import Callable
from dataclasses import replace

from firmware_bridge import wire
from firmware_bridge.codec import Frame, encode_frame
from firmware_bridge.conversation import SILENT_NS
from firmware_bridge.loopback import CLEAN, WireFaults
from firmware_bridge.messages import LinkState
from firmware_bridge.virtual_device import Pin
from tests.tools.fault_trial import Case, Row, Trial, WarmingClock, together
from tests.tools.soak_judge import Broken
from tests.tools.soak_life import HOUR_US
from tests.tools.soak_record import HostileClock
from tests.unit.firmware_bridge.bench import BOOT_NS, CONFIG, MS

LOST_WITHIN_NS = SILENT_NS + 10 * MS  # a poll or two

# ---- the device restarts


def restarts() -> list[Case]:
    return [
        Case("reboot", "after each of the first 60 frames of a life", reboot_at_boundaries),
        Case("reboot", "while a gate is open, 40 times", reboot_mid_pulse),
        Case("reboot", "its main loop stands for 2 to 240 ms, 50 times", device_stalls),
    ]


def reboot_at_boundaries() -> Row:
    rows = []
    for frames in range(1, 61):
        trial = Trial(seed=frames)
        heard = trial.world.device
        count = 0

        def note(data: bytes, note_of: Callable[[bytes], None] = heard._note_arriving) -> None:
            nonlocal count
            count += max(1, data.count(0) // 2)
            note_of(data)

        heard._note_arriving = note  # type: ignore[method-assign]
        while count < frames and trial.world.now_ns < BOOT_NS + 3_000 * MS:
            trial.work(0.005, every_ms=20)
        _reboot(trial)
        rows.append(trial.work(0.3).finish())
    return together(rows)


def _reboot(trial: Trial) -> int:
    """A station takes a new boot for a new epoch: commands in old counts are withdrawn. Gives the outputs on at once."""
    trial.world.device.restart(trial.cable.lived_ns, 0, 0)
    on = trial.world.device.outputs()
    trial.world.edges += trial.world.device.edges()
    trial.world.clock_stepped()
    trial.world.controller.cancel_all()
    trial.injected += 1
    trial.world.run(0.6)
    return on


def reboot_mid_pulse() -> Row:
    trial = Trial().up()
    late: list[Broken] = []
    for n in range(40):
        while not trial.world.device.outputs():
            trial.work(0.005)
        if _reboot(trial):
            late.append(Broken("wrong", f"restart {n}: an output is on after it"))
        trial.up()
        trial.work(0.1)
    row = trial.finish()
    return replace(row, broken=(*row.broken, *late))


def device_stalls() -> Row:
    trial = Trial().up()
    for n in range(50):
        until_ns = trial.world.now_ns + (2 + 5 * (n % 48)) * MS
        trial.world.device_stalls.append((trial.world.now_ns, until_ns + 2 * MS))
        trial.world.device.stall(until_ns)
        trial.injected += 1
        trial.work(0.4)
    return trial.finish()


# ---- a peer that does not move


def stuck() -> list[Case]:
    return [
        Case("stuck peer", "takes no byte for 0.6 s, ten times", lambda: stuck_peer("accepts")),
        Case("stuck peer", "answers nothing for 0.6 s, ten times", lambda: stuck_peer("answers")),
        Case("stuck peer", "its queue is full for good: refused FULL", queue_full),
    ]


def stuck_peer(how: str) -> Row:
    trial = Trial().up()
    broken = []
    for _ in range(10):
        if how == "accepts":
            trial.cable.accepts_bytes = 0
            trial.cable.from_device.faults = WireFaults(drop=1.0)
        else:
            trial.cable.from_device.faults = WireFaults(drop=1.0)
        trial.injected += 1
        began_ns = trial.world.now_ns
        trial.work(0.6)
        lost_ns = trial.told(LinkState.LOST, began_ns)
        if lost_ns is None or lost_ns - began_ns > LOST_WITHIN_NS:
            broken.append(Broken("other", f"silent since {began_ns} ns, told at {lost_ns}"))
        trial.cable.accepts_bytes = 1 << 16
        trial.cable.from_device.faults = CLEAN
        trial.work(1.0)
        trial.up()
    row = trial.finish()
    return replace(row, broken=(*row.broken, *broken))


def queue_full() -> Row:
    """The host itself holds as many commands as this device: a stranger of our session fills the queue first."""
    trial = Trial().up()
    session = trial.world.session.greeting.session_id
    far_us = trial.world.device.clock.device_us(trial.world.now_ns) + 2_500_000
    for n in range(256):
        divert = wire.Divert(
            2_000_000 + n, 1 << n % 8, wire.MODE_TIME, far_us + 20_000 * n, far_us + 20_000 * n + 15_000
        )
        frame = Frame(0x07, 0, session, wire.encode(divert))
        trial.cable.to_device.inject(encode_frame(frame), trial.world.now_ns)
        trial.injected += 1
    trial.work(1.5, lead_ms=100).world.run(7.0)
    row = trial.finish()
    full = trial.world.controller.status().nacks.get("full", 0)
    broken = () if full > 50 else (Broken("other", f"only {full} were refused FULL"),)
    return replace(row, broken=(*row.broken, *broken))


# ---- clocks and counts


def clocks() -> list[Case]:
    def from_clock(**settings: float) -> Callable[[], Row]:
        def run() -> Row:
            trial = Trial(clock=HostileClock(BOOT_NS, settings.get("ppm", 40.0), int(settings.get("start_us", 0)))).up()
            trial.injected = 1
            return trial.work(5.0).finish()

        return run

    return [
        Case("clock", "2^32 us are passed at work", from_clock(start_us=2**32 - 3_000_000), all_fire=True),
        Case("clock", "2^63 and 2^64 us are passed: time windows are refused, counts fire", wraps),
        Case("clock", "5000 ppm fast", from_clock(ppm=4990.0), all_fire=True),
        Case("clock", "5000 ppm slow", from_clock(ppm=-4990.0), all_fire=True),
        Case("clock", "a rate that changes by 1 ppm a second", warming, all_fire=True),
        Case("clock", "the host reads it 1 h ahead or back, 5 ms, 2^32 us, for 20 to 500 ms", misread),
        Case("clock", "the device's own clock leaps 5 ms, 1 h, 2^32 us ahead", leaps),
        Case("count", "2^31 and 2^32 counts are passed, and counts below zero", counts, all_fire=True),
    ]


def wraps() -> Row:
    rows = []
    for start_us in (2**63 - 3_000_000, 2**64 - 3_000_000):
        trial = Trial(clock=HostileClock(BOOT_NS, 40.0, start_us)).up()
        trial.injected = 1
        rows.append(trial.work(6.0).finish())
    return together(rows)


def warming() -> Row:
    trial = Trial(clock=WarmingClock(BOOT_NS, 40.0, 0, ppm_per_s=1.0)).up()
    trial.injected = 1
    return trial.work(10.0).finish()


def misread() -> Row:
    trial = Trial().up()
    for shift_us in (HOUR_US, -HOUR_US, 5000, -5000, 2**32):
        for length_ms in (20, 100, 500):
            trial.cable.sense_us = shift_us
            trial.world.clock_stepped()
            trial.injected += 1
            trial.work(length_ms / 1000)
            trial.cable.sense_us = 0
            trial.world.clock_stepped()
            trial.work(1.0)
            trial.up()
    return trial.finish()


def leaps() -> Row:
    trial = Trial().up()
    for by_us in (5000, HOUR_US, 2**32) * 3:
        trial.world.clock_leaps.append(trial.cable.lived_ns)
        trial.world.edges += trial.world.device.jump(by_us)
        trial.world.clock_stepped()
        trial.injected += 1
        trial.work(1.0)
        trial.up()
    return trial.finish()


def counts() -> Row:
    rows = []
    for start in (2**31 - 4000, 2**32 - 4000, -4000, -(2**31) - 4000):
        trial = Trial(count_start=start).up()
        trial.injected = 1
        rows.append(trial.work(4.0).finish())
    return together(rows)


# ---- too much


def floods() -> list[Case]:
    return [
        Case("flood", "5000 DIVERT frames a second of ids the device knows", flood_of_diverts, all_fire=True),
        Case("flood", "10,000 bytes of noise a second, both ways", flood_of_noise, all_fire=True),
        Case("flood", "an input at 2 kHz", lambda: input_storm(deaf=False), all_fire=True),
        Case(
            "flood",
            "an input at 2 kHz and a host that hears nothing: the event ring runs over",
            lambda: input_storm(deaf=True),
        ),
    ]


def flood_of_diverts() -> Row:
    trial = Trial().up().work(0.2)
    session = trial.world.session.greeting.session_id
    boot = trial.world.device.boot
    for _ in range(200):
        for key in boot.taken()[:25]:
            divert = encode_frame(Frame(0x07, 0, session, wire.encode(boot.diverts[key])))
            trial.cable.to_device.inject(divert, trial.world.now_ns)
            trial.injected += 1
        trial.work(0.005)
    return trial.finish()


def flood_of_noise() -> Row:
    trial = Trial().up()
    for _ in range(400):
        for way in (trial.cable.to_device, trial.cable.from_device):
            way.inject(b"\x00" + trial.rng.randbytes(48) + b"\x00", trial.world.now_ns)
        trial.injected += 1
        trial.work(0.005)
    return trial.finish()


def input_storm(deaf: bool) -> Row:
    trial = Trial().up()
    world = trial.world
    if deaf:
        trial.cable.from_device.faults = WireFaults(drop=1.0)
    for n in range(2000):
        world.device.set_input(Pin.PHOTO_EYE, bool(n % 2), trial.cable.lived_ns)
        trial.injected += 1
        world.now_ns += MS // 2
        world.poll()
        if n % 20 == 0:
            trial.submit()
    return trial.finish()


# ---- the host


def hosts() -> list[Case]:
    return [
        Case("host", "stopped for 0.05 to 1 s, as by SIGSTOP, 20 times", host_stalls),
        Case("host", "killed and started again, 20 times", host_killed),
        Case("host", "the loop hangs while the link lives, 20 times", loop_hangs),
    ]


def host_stalls() -> Row:
    trial = Trial().up()
    for n in range(20):
        trial.world.stall(50 + 50 * n)
        trial.injected += 1
        trial.work(0.5)
        trial.up()
    return trial.finish()


def host_killed() -> Row:
    trial = Trial().up()
    for n in range(20):
        trial.work(0.3)
        end_ns = trial.world.now_ns + (20 + 60 * n) * MS
        while trial.world.now_ns < end_ns:
            trial.world.now_ns += 2 * MS
            trial.cable.advance(trial.world.now_ns)
        trial.world.start_host()
        trial.injected += 1
        trial.up()
    return trial.finish()


def loop_hangs() -> Row:
    trial = Trial().up()
    broken = []
    for _ in range(20):
        trial.world.leasing = False
        trial.injected += 1
        trial.work((CONFIG.lease_ms + 60) / 1000)
        if trial.world.device.armed:
            broken.append(Broken("wrong", "armed without a lease"))
        trial.world.leasing = True
        trial.work(0.3)
    row = trial.finish()
    return replace(row, broken=(*row.broken, *broken))
