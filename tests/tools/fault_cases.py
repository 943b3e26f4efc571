"""The fault matrix: what is done to wire, device and host, one class after the other, each judged as the soak judges a life.

A case says what it injects and how often; the line behind it sorts on all the time. The classes of the wire are those of
IEC 61784-3. `tests.tools.fault_table` writes what came of each into PROTOCOL.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from firmware_bridge import wire
from firmware_bridge.codec import Frame, encode_frame
from firmware_bridge.loopback import CLEAN, WireFaults
from firmware_bridge.messages import LinkState
from tests.tools.soak_judge import Broken, judge
from tests.tools.soak_life import HOUR_US, PROBES, Life
from tests.tools.soak_record import HostileClock
from tests.tools.soak_world import Belt, World
from tests.unit.firmware_bridge.bench import BOOT_NS, MS
from tests.unit.firmware_bridge.test_wire import GOLDEN

SEED = 20
REARM_S = 1.2  # from a loss to armed again


class Line(Life):
    """A station that sorts in time windows on an even belt while one thing after the other goes wrong."""

    def __init__(self, faults: WireFaults = CLEAN, ppm: float = 40.0, start_us: int = 0, count_start: int = 0) -> None:
        self.rng = Random(SEED)
        self.story, self.injected = [], {}
        self.faults, self.ppm, self.speed, self.count_mode = faults, ppm, 2000.0, False
        clock = HostileClock(BOOT_NS, ppm, start_us)
        self.world = World(SEED, faults, Belt(self.speed), clock, count_start)
        self._every_ms, self._next_ns = 20, 0

    def sort(self, seconds: float) -> None:
        self._submitting(seconds)

    def settle(self) -> None:
        self._settle()

    def ready_again(self) -> None:
        """Sort on until the line is armed, at most a few seconds."""
        for _ in range(40):
            if self.world.state is LinkState.ARMED:
                break
            self.sort(0.1)


@dataclass(frozen=True, slots=True)
class Case:
    fault: str  # its class
    injected: str
    do: Callable[[Line], int]  # returns how often
    line: Callable[[], Line] = Line
    counts: bool = False

    @property
    def name(self) -> str:
        return f"{self.fault}: {self.injected}"


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    times: int
    line: Line
    problems: list[Broken]


def play(case: Case) -> Result:
    line = case.line()
    line.count_mode = case.counts
    line.sort(0.6)
    times = case.do(line)
    line.settle()
    return Result(case, times, line, judge(line.world))


# ---- the wire


def _golden(session: int, greetings: bool = True) -> list[tuple[bool, bytes]]:
    """Every message of the wire as a sound frame of this session; True: one the host says."""
    messages = [message for message, _, _ in GOLDEN]
    if not greetings:  # these belong to no session: the second host's case
        messages = [each for each in messages if not isinstance(each, wire.Hello | wire.HelloReply)]
    frames = [(wire.type_of(type(message)), wire.encode(message)) for message in messages]
    return [(kind < 0x80, encode_frame(Frame(kind, 7, session, payload))) for kind, payload in frames]


def _inject(line: Line, to_device: bool, data: bytes) -> None:
    cable = line.world.cable
    (cable.to_device if to_device else cable.from_device).inject(data, cable.lived_ns)


def _every_bit(line: Line) -> int:
    times = 0
    for to_device, frame in _golden(line.world.session.greeting.session_id):
        for bit in range(8 * len(frame)):
            damaged = bytearray(frame)
            damaged[bit // 8] ^= 1 << bit % 8
            _inject(line, to_device, b"\x00" + bytes(damaged) + b"\x00")
            times += 1
            if times % 20 == 0:
                line.sort(0.005)
    return times


def _every_prefix(line: Line) -> int:
    times = 0
    for to_device, frame in _golden(line.world.session.greeting.session_id):
        for end in range(1, len(frame) - 1):
            _inject(line, to_device, frame[:end])
            line.sort(0.005)
            times += 1
    return times


def _faulty(faults: WireFaults, seconds: float = 4.0) -> Callable[[Line], int]:
    def do(line: Line) -> int:
        cable = line.world.cable
        before = _struck(line)
        line._with_faults(faults, seconds)
        assert cable.to_device.faults == line.faults
        return _struck(line) - before

    return do


def _struck(line: Line) -> int:
    cable = line.world.cable
    return sum(cable.to_device.injected.values()) + sum(cable.from_device.injected.values())


def _repeatedly(times: int, do: Callable[[Line], None], pause_s: float = 0.1) -> Callable[[Line], int]:
    def all_of_them(line: Line) -> int:
        for _ in range(times):
            do(line)
            line.sort(pause_s)
        return times

    return all_of_them


def _silent_200_ms(line: Line) -> None:
    line._with_faults(WireFaults(drop=1.0), 0.2)


def _probe(line: Line) -> None:
    for probe in PROBES:
        _inject(line, True, probe)
        _inject(line, False, probe)


def _said_before(line: Line) -> None:
    line._old_frames()


def _said_to_the_last_host(line: Line) -> None:
    line._kill_host()
    line.ready_again()
    line._old_frames()


def _forged(line: Line) -> int:
    """Sound frames under other session numbers: nothing of theirs may act."""
    ours, times = line.world.session.greeting.session_id, 0
    for session in (*[ours ^ 1 << bit for bit in range(32)], 0xFFFFFFFF):
        for to_device, frame in _golden(session, greetings=False):
            _inject(line, to_device, frame)
            times += 1
        line.sort(0.02)
    return times


def _held_back(line: Line) -> int:
    times = 0
    for ms in range(0, 2000, 100):
        cable = line.world.cable
        for direction in ((cable.to_device,), (cable.from_device,), (cable.to_device, cable.from_device)):
            for each in direction:
                each.hold(line.world.now_ns + ms * MS)
            times += 1
            line.sort(0.1)
            line.ready_again()
    return times


# ---- writes, cable, device, host


def _trickle(line: Line) -> int:
    taken = (1, 2, 3, 7, 0)
    for n in taken:
        line.world.cable.accepts_bytes = n
        line.sort(0.6)
    line.world.cable.accepts_bytes = 1 << 16
    return len(taken)


def _unplug_at_every_byte(line: Line) -> int:
    """Commands are on the way; the first bytes of them still arrive."""
    for arrived in range(1, 65):
        for _ in range(3):
            line._submit()
        assert line.world.cable.to_device.next_ns() is not None
        line.world.cable.unplug(still_arrive=arrived)
        line.sort(0.02 + 0.01 * (arrived % 30))
        line.world.cable.plug()
        line.ready_again()
    return 64


def _restart_every_5_ms(line: Line) -> int:
    """Greeting, configuration, clock, arming and sorting among them."""
    for after_ms in range(5, 701, 5):
        line.world.device.restart(line.world.cable.lived_ns, 0, 0)
        line.world.edges += line.world.device.edges()
        line.world.clock_stepped()
        line.sort(after_ms / 1000)
    return 140


def _restart_mid_pulse(line: Line) -> int:
    for _ in range(20):
        line.ready_again()
        line._restart_mid_pulse()
    return 20


def _misreads(by_us: int) -> Callable[[Line], int]:
    def do(line: Line) -> int:
        world = line.world
        for sense_us in (by_us, 0):
            world.cable.sense_us = sense_us
            world.clock_stepped()
            line.sort(1.5)
        return 2

    return do


def _leaps(line: Line) -> int:
    for _ in range(6):
        line._jump()
        line.sort(1.0)
    return 6


def _sorts(seconds: float) -> Callable[[Line], int]:
    def do(line: Line) -> int:
        line.sort(seconds)
        return 1

    return do


def _stop_500_ms(line: Line) -> None:
    line.world.stall(500)
    line.ready_again()


def _killed(line: Line) -> None:
    line._kill_host()
    line.ready_again()


def _hung(line: Line) -> None:
    line._hang()
    line.ready_again()


def _second_host(line: Line) -> None:
    line._second_host()
    line.ready_again()


def _loop_stands(line: Line) -> None:
    line._stall_device()
    line.ready_again()


MATRIX = (
    Case("corruption", "each bit of each message, one at a time", _every_bit),
    Case("corruption", "1 to 8 bits in 30 % of the frames, both ways", _faulty(WireFaults(flip=0.3))),
    *[
        Case("loss", f"{100 * share:.0f} % of the frames, both ways", _faulty(WireFaults(drop=share)))
        for share in (0.05, 0.15, 0.5)
    ],
    Case("loss", "nothing for 200 ms, both ways", _repeatedly(20, _silent_200_ms)),
    Case("repetition", "half of the frames twice, both ways", _faulty(WireFaults(repeat=0.5))),
    Case("repetition", "60 frames of before once more", _repeatedly(20, _said_before)),
    Case("insertion", "garbage before half of the frames, both ways", _faulty(WireFaults(insert=0.5))),
    Case("insertion", "a modem's probes, a boot ROM's text, zeros, 0xFF", _repeatedly(20, _probe)),
    Case("sequence", "30 % of the frames up to 20 ms later", _faulty(WireFaults(reorder=0.3))),
    Case("delay", "all bytes held back for 0 to 2 s, then at once", _held_back),
    Case("masquerade", "frames of the last host's session", _repeatedly(8, _said_to_the_last_host)),
    Case("addressing", "sound frames under 33 other session numbers", _forged),
    Case("addressing", "a second host that greets, arms, commands", _repeatedly(6, _second_host)),
    Case("partial writes", "each message cut after each byte", _every_prefix),
    Case("partial writes", "a port that takes 1, 2, 3, 7 or no bytes at a time", _trickle),
    Case("unplug", "after each of 64 bytes", _unplug_at_every_byte),
    Case("reboot", "every 5 ms of a new session's first 0.7 s", _restart_every_5_ms),
    Case("reboot", "while a gate is open", _restart_mid_pulse),
    Case("stuck", "no byte is taken for up to 0.8 s", _repeatedly(10, Line._stuck)),
    Case("stuck", "the device's loop stands for up to 240 ms", _repeatedly(20, _loop_stands)),
    Case("clock", "wraps at 2^32 us", _sorts(6.0), lambda: Line(start_us=2**32 - 4_000_000)),
    Case("clock", "wraps at 2^64 us", _sorts(6.0), lambda: Line(start_us=2**64 - 4_000_000)),
    Case("clock", "counts wrap at 2^32", _sorts(6.0), lambda: Line(count_start=2**32 - 5000), counts=True),
    Case("clock", "the host reads it an hour later", _misreads(HOUR_US)),
    Case("clock", "the host reads it an hour earlier", _misreads(-HOUR_US)),
    Case("clock", "the device's own leaps ahead", _leaps),
    Case("clock", "4990 ppm fast", _sorts(6.0), lambda: Line(ppm=4990.0)),
    Case("clock", "4990 ppm slow", _sorts(6.0), lambda: Line(ppm=-4990.0)),
    Case("flood", "200 commands at once", _repeatedly(20, Line._flood)),
    Case("flood", "10 kB/s of garbage, both ways", _repeatedly(10, Line._garbage)),
    Case("flood", "inputs at 2 kHz while no event is acknowledged", _repeatedly(4, Line._storm)),
    Case("host", "does not run for 0.5 s", _repeatedly(10, _stop_500_ms)),
    Case("host", "is killed and started again", _repeatedly(10, _killed)),
    Case("host", "its loop hangs, its link does not", _repeatedly(10, _hung)),
)
