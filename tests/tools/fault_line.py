"""Faults of the line between host and device: corruption, loss, repetition, insertion, sequence, delay, masquerade, cuts.

Each function injects one into a working line and gives what came of it; fault_cases lists them all.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from firmware_bridge import wire
from firmware_bridge.codec import Frame, FrameReader, encode_frame
from firmware_bridge.errors import PortError
from firmware_bridge.loopback import CLEAN, WireFaults
from firmware_bridge.messages import LinkState
from tests.tools.fault_trial import Case, Row, Trial
from tests.tools.soak_judge import Broken
from tests.tools.soak_life import PROBES
from tests.tools.soak_world import Intruder
from tests.unit.firmware_bridge.bench import MS
from tests.unit.firmware_bridge.test_wire import GOLDEN

READY_WITHIN_NS = 2_000 * MS


def on_the_wire(faults: WireFaults, seconds: float = 3.0) -> Callable[[], Row]:
    def run() -> Row:
        trial = Trial().up()
        trial.cable.to_device.faults = trial.cable.from_device.faults = faults
        trial.work(seconds)
        trial.injected = sum(sum(way.injected.values()) for way in (trial.cable.to_device, trial.cable.from_device))
        return trial.finish()

    return run


# ---- corruption


def corruption() -> list[Case]:
    return [
        Case("corruption", "each single bit of each frame to an armed device", every_bit_to_the_device, all_fire=True),
        Case("corruption", "each single bit of each frame to the host", every_bit_to_the_host, all_fire=True),
        Case("corruption", "4 to 8 bits or a burst of up to 32, at random", random_damage, all_fire=True),
        Case(
            "corruption", "5 % of frames each way", on_the_wire(WireFaults(500_000, 1 * MS, flip=0.05)), all_fire=True
        ),
        Case("corruption", "30 % of frames each way", on_the_wire(WireFaults(500_000, 1 * MS, flip=0.3))),
    ]


def dangerous_frames(session: int) -> list[bytes]:
    """One of each message, of the session that is armed."""
    to_device = [(message, kind) for message, kind, _ in GOLDEN if kind < 0x80]
    return [encode_frame(Frame(kind, 9, session, wire.encode(message))) for message, kind in to_device]


def damaged(frame: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(frame)):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def every_bit_to_the_device() -> Row:
    trial = Trial().up()
    session = trial.world.session.greeting.session_id
    for frame in dangerous_frames(session):
        for n, changed in enumerate(damaged(frame)):
            if 8 <= n < 8 * (len(frame) - 1):  # the zeros around it belong to no frame
                trial.cable.to_device.inject(changed, trial.world.now_ns)
                trial.injected += 1
            if trial.injected % 40 == 0:
                trial.work(0.005)
    return trial.work(0.2).finish()


def every_bit_to_the_host() -> Row:
    trial = Trial().up()
    session = trial.world.session.greeting.session_id
    from_device = [(message, kind) for message, kind, _ in GOLDEN if kind >= 0x80]
    for message, kind in from_device:
        frame = encode_frame(Frame(kind, 9, session, wire.encode(message)))
        for n, changed in enumerate(damaged(frame)):
            if 8 <= n < 8 * (len(frame) - 1):
                trial.cable.from_device.inject(changed, trial.world.now_ns)
                trial.injected += 1
            if trial.injected % 40 == 0:
                trial.work(0.005)
    return trial.work(0.2).finish()


def random_damage() -> Row:
    trial = Trial().up()
    frames = dangerous_frames(trial.world.session.greeting.session_id)
    accepted = 0
    for n in range(20_000):
        changed = bytearray(trial.rng.choice(frames)[1:-1])
        if n % 2:
            for _ in range(trial.rng.randint(4, 8)):
                bit = trial.rng.randrange(8 * len(changed))
                changed[bit // 8] ^= 1 << bit % 8
        else:
            at, length = trial.rng.randrange(len(changed)), trial.rng.randint(1, 4)
            changed[at : at + length] = trial.rng.randbytes(len(changed[at : at + length]))
        block = b"\x00" + bytes(changed) + b"\x00"
        accepted += block not in frames and _is_frame(block)
        trial.injected += 1
        if n % 20 == 0:
            trial.cable.to_device.inject(block if block not in frames else b"", trial.world.now_ns)
        if n % 200 == 0:
            trial.work(0.01)
    row = trial.finish()
    wrong = (Broken("wrong", f"{accepted} damaged frames were taken"),) if accepted else ()
    return replace(row, broken=row.broken + wrong)


def _is_frame(block: bytes) -> bool:
    reader = FrameReader()
    reader.feed(block)
    return reader.next_frame() is not None


# ---- loss, repetition, insertion, sequence, delay


def loss() -> list[Case]:
    def faults(p: float) -> WireFaults:
        return WireFaults(latency_ns=500_000, jitter_ns=1 * MS, drop=p)

    return [
        Case("loss", "5 % each way", on_the_wire(faults(0.05), 6.0), all_fire=True),
        Case("loss", "15 % each way", on_the_wire(faults(0.15), 6.0)),
        Case("loss", "50 % each way", on_the_wire(faults(0.5))),
        Case("loss", "everything for 20, 50, 100 and 200 ms, ten times each", bursts),
    ]


def bursts() -> Row:
    trial = Trial().up()
    for length_ms in (20, 50, 100, 200) * 10:
        trial.cable.to_device.faults = trial.cable.from_device.faults = WireFaults(drop=1.0)
        trial.work(length_ms / 1000)
        trial.cable.to_device.faults = trial.cable.from_device.faults = CLEAN
        trial.injected += 1
        trial.work(0.4)
    return trial.finish()


def repetition_and_insertion() -> list[Case]:
    return [
        Case("repetition", "half of all frames twice", on_the_wire(WireFaults(repeat=0.5)), all_fire=True),
        Case("repetition", "all that was said in this session, once more", session_again),
        Case("insertion", "noise before half of all frames", on_the_wire(WireFaults(insert=0.5)), all_fire=True),
        Case("insertion", "modem probes and boot texts, both ways", foreign_text, all_fire=True),
    ]


def session_again() -> Row:
    trial = Trial().up().work(2.0)
    for data in list(trial.cable.said):
        trial.cable.to_device.inject(data, trial.world.now_ns)
        trial.injected += 1
        trial.work(0.005)
    return trial.finish()


def foreign_text() -> Row:
    trial = Trial().up()
    for n in range(300):
        for way in (trial.cable.to_device, trial.cable.from_device):
            way.inject(PROBES[n % len(PROBES)], trial.world.now_ns)
            trial.injected += 1
        trial.work(0.01)
    return trial.finish()


def sequence_and_delay() -> list[Case]:
    return [
        Case(
            "sequence", "30 % of frames overtaken, by up to 20 ms", on_the_wire(WireFaults(reorder=0.3)), all_fire=True
        ),
        Case("delay", "bytes held back for 0.1, 0.3, 0.5, 1 and 2 s, then all at once", held_back),
        Case("delay", "up to 15 ms each way (an FTDI adapter at 16 ms): never armed", too_slow),
    ]


def held_back() -> Row:
    trial = Trial().up()
    for length_ms in (100, 300, 500, 1000, 2000):
        for ways in (
            [trial.cable.to_device],
            [trial.cable.from_device],
            [trial.cable.to_device, trial.cable.from_device],
        ):
            for way in ways:
                way.hold(trial.world.now_ns + length_ms * MS)
            trial.injected += 1
            trial.work(length_ms / 1000 + 1.0)
    return trial.finish()


def too_slow() -> Row:
    trial = Trial(WireFaults(latency_ns=8 * MS, jitter_ns=7 * MS))
    trial.world.session.settings = replace(trial.world.session.settings, sync_bound_us=500)
    trial.work(3.0)
    trial.injected = 1
    armed = trial.world.device.armed
    said = [getattr(reply, "detail", "") for reply in trial.world.heard]
    row = trial.finish()
    broken = list(row.broken)
    if armed:
        broken.append(Broken("wrong", "a clock nobody knows was armed"))
    if not any("latency timer" in each for each in said):
        broken.append(Broken("other", "the remedy is not named"))
    return replace(row, broken=tuple(broken))


# ---- masquerade, addressing


def masquerade() -> list[Case]:
    return [
        Case("masquerade", "frames of an earlier session, all kinds", old_session, all_fire=True),
        Case(
            "masquerade",
            "a second host that greets, arms and commands while we are armed",
            lambda: second_host(False),
            True,
        ),
        Case("masquerade", "a second host after a STOP of ours", lambda: second_host(True)),
        Case("addressing", "a device of another schema", other_schema),
        Case("addressing", "another device is plugged in, with the same boot number, 20 times", other_device),
        Case("addressing", "every message under session 0 and a wrong one", wrong_session, all_fire=True),
    ]


def old_session() -> Row:
    trial = Trial().up().work(0.5)
    old = list(trial.cable.said)
    trial.world.device.restart(trial.cable.lived_ns, 0, 0)
    trial.world.clock_stepped()
    trial.world.run(1.0)
    trial.up()
    before = len(trial.world.commands)
    for data in old:
        trial.cable.to_device.inject(data, trial.world.now_ns)
        trial.injected += 1
        trial.work(0.005)
    trial.world.commands = {key: each for key, each in trial.world.commands.items() if key > before}
    trial.world.finals = {key: each for key, each in trial.world.finals.items() if key > before}
    return trial.finish()


def second_host(after_stop: bool) -> Row:
    trial = Trial().up().work(0.3)
    for n in range(10):
        trial.world.intruder = Intruder(n)
        trial.cable.overheard = bytearray()
        if after_stop:
            trial.world.controller.stop()
        trial.injected += 1
        trial.work(0.6)
        trial.world.intruder = trial.cable.overheard = None
        trial.work(0.6)
        trial.up()
    return trial.finish()


def other_schema() -> Row:
    trial = Trial()
    known, wire.SCHEMA_HASH = wire.SCHEMA_HASH, 0x0BADC0DE  # type: ignore[misc]
    try:
        trial.work(2.0)
    finally:
        wire.SCHEMA_HASH = known  # type: ignore[misc]
    trial.injected = 1
    broken = [] if not trial.world.device.armed else [Broken("wrong", "a device of another schema was armed")]
    if not any("flash the firmware" in getattr(reply, "detail", "") for reply in trial.world.heard):
        broken.append(Broken("other", "what to do about it is not said"))
    row = trial.finish()
    return replace(row, broken=(*row.broken, *broken))


def other_device() -> Row:
    """What the first one held is not the second one's: a station takes it for a new boot, and a new epoch of counts."""
    trial = Trial().up()
    broken = []
    for n in range(20):
        trial.work(0.3)
        trial.cable.unplug(still_arrive=n)
        trial.world.device.exchange(trial.cable.lived_ns)
        trial.world.edges += trial.world.device.edges()
        trial.world.clock_stepped()
        trial.injected += 1
        trial.work(0.01 * (n % 4))
        trial.cable.plug()
        told = len(trial.world.heard)
        trial.world.run(1.0)
        if not any(getattr(reply, "new_boot", False) for reply in trial.world.heard[told:]):
            broken.append(Broken("wrong", f"exchange {n}: taken for the device of before"))
        trial.world.controller.cancel_all()
        trial.up()
    row = trial.finish()
    return replace(row, broken=(*row.broken, *broken))


def wrong_session() -> Row:
    trial = Trial().up()
    for session in (0, trial.world.session.greeting.session_id ^ 1):
        for frame in dangerous_frames(session):
            trial.cable.to_device.inject(frame, trial.world.now_ns)
            trial.injected += 1
            trial.work(0.02)
    return trial.finish()


# ---- cut frames, cables


def cuts() -> list[Case]:
    return [
        Case("partial writes", "one byte a write, 500 bytes a second: too little to be armed", lambda: short_writes(1)),
        Case("partial writes", "16 bytes a write, 8000 a second", lambda: short_writes(16), all_fire=True),
        Case(
            "partial writes", "each frame cut at every offset, nothing after it for 5 ms", cut_everywhere, all_fire=True
        ),
        Case("unplug", "after every byte of a command's frame, back 0.3 s later", unplug_at_every_byte),
        Case("unplug", "a hundred times for 10 to 300 ms", unplug_a_hundred_times),
        Case("unplug", "errors from open, read and write, each twenty times", port_errors),
    ]


def short_writes(taken: int) -> Row:
    trial = Trial().up()
    trial.cable.accepts_bytes = taken
    trial.injected = 1
    return trial.work(2.0, every_ms=20).finish()


def cut_everywhere() -> Row:
    trial = Trial().up()
    session = trial.world.session.greeting.session_id
    for frame in dangerous_frames(session):
        for length in range(1, len(frame) - 1):
            trial.cable.to_device.inject(frame[:length], trial.world.now_ns)
            trial.injected += 1
            trial.work(0.005)
    return trial.finish()


def unplug_at_every_byte() -> Row:
    trial = Trial().up()
    late: list[Broken] = []
    for n in range(48):
        trial.submit()
        trial.world.now_ns += MS // 2
        trial.cable.unplug(still_arrive=n)
        trial.injected += 1
        trial.work(0.3, every_ms=50)
        trial.cable.plug()
        late += _not_ready_again(trial)
        trial.work(0.4)
        trial.up()
    row = trial.finish()
    return replace(row, broken=(*row.broken, *late))


def _not_ready_again(trial: Trial) -> list[Broken]:
    """Lives on from the moment the cable is back until the link may be armed; broken when that takes too long."""
    began_ns = trial.world.now_ns
    while trial.told(LinkState.READY, began_ns) is None:
        trial.work(0.005, every_ms=50)
        if trial.world.now_ns - began_ns > READY_WITHIN_NS:
            return [Broken("other", f"not ready again {READY_WITHIN_NS // MS} ms after the cable was back")]
    return []


def unplug_a_hundred_times() -> Row:
    trial = Trial().up()
    for n in range(100):
        trial.cable.unplug(still_arrive=trial.rng.randrange(60))
        trial.injected += 1
        trial.work((10 + 3 * n) / 1000, every_ms=50)
        trial.cable.plug()
        trial.work(0.3)
    return trial.finish()


def port_errors() -> Row:
    trial = Trial().up()
    for n in range(60):
        name = ("open", "read", "write")[n % 3]
        kept = getattr(trial.cable, name)
        setattr(trial.cable, name, _fails)
        trial.injected += 1
        trial.work(0.05)
        setattr(trial.cable, name, kept)
        trial.work(0.5)
    return trial.finish()


def _fails(*_: object) -> bytes:
    raise PortError("virtual: input/output error")
