"""A core with no loop around it: nothing happens but what a test says, on the microsecond it says it.

Knows the core's own functions and their structs; the belt's counts and the ticks are the test's.
"""

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from firmware_bridge import wire
from firmware_bridge.messages import DeviceConfig, GateConfig
from firmware_bridge.virtual_device import Pin, VirtualDevice
from tests.unit.firmware.rig import CONFIG, GATE, Rig

NEVER = 2**64 - 1
NO_COUNT = 2**63 - 1
Q32 = 2**32
SECOND = 1_000_000
PLAIN = replace(GATE, opening_delay_us=0, closing_delay_us=0, min_hold_us=0, min_gap_us=0)
"""A gate whose output is its window."""


def alike(gate: GateConfig = PLAIN, **common: Any) -> DeviceConfig:
    """Eight such gates; the longest lease, so that few moments need a renewal."""
    return replace(CONFIG, gates=(gate,) * 8, **({"lease_ms": 1000} | common))


class _Now(ctypes.Structure):
    _fields_ = (
        ("position_q8", ctypes.c_int64),
        ("now_us", ctypes.c_uint64),
        ("rate_q32", ctypes.c_uint32),
        ("period_q16", ctypes.c_uint32),
    )


class _Moment(ctypes.Structure):
    _fields_ = (("in_us", ctypes.c_int32), ("count", ctypes.c_uint16), ("waits", ctypes.c_bool))


class _Pulse(ctypes.Structure):
    _fields_ = (("on", _Moment), ("off", _Moment), ("is_on", ctypes.c_bool))


@dataclass(frozen=True)
class Belt:
    """Where the core takes the belt to be."""

    position_q8: int  # counts x 256
    rate_q32: int  # counts per us x 2**32
    period_q16: int  # us per count x 2**16


@dataclass(frozen=True)
class Moment:
    """`below` is the count, its low 16 bits, that must have been reached; None: the moment waits for none."""

    in_us: int
    below: int | None = None


@dataclass(frozen=True)
class Pulse:
    on: Moment | None  # None: it is on
    off: Moment


class Bare(Rig):
    def __init__(self, config: DeviceConfig = CONFIG, has_encoder: bool = True) -> None:
        super().__init__(config, device=VirtualDevice(gates=len(config.gates), has_encoder=has_encoder))
        library = ctypes.CDLL(self.device._c._name)  # a second view of it, for what load.py does not offer
        self._now_at = library.sc_now_at
        self._now_at.restype = _Now
        self._now_at.argtypes = (ctypes.c_void_p, ctypes.c_uint64)
        self._plan = library.sc_plan
        self._plan.restype = ctypes.c_bool
        self._plan.argtypes = (ctypes.c_void_p, ctypes.c_uint8, ctypes.POINTER(_Now), ctypes.POINTER(_Pulse))
        self._tick_gates = library.sc_tick_gates
        self._tick_gates.argtypes = (ctypes.c_void_p, ctypes.c_uint64)
        self._c, self._core = self.device._c, self.device._core

    @property
    def now_us(self) -> int:
        return self.now_ns // 1000

    def at(self, us: int) -> "Bare":
        self.now_ns = us * 1000
        return self

    def armed(self, us: int = 1000) -> "Bare":
        """Greeted, configured and armed at this moment; nothing has ticked yet."""
        self.at(us).hello()
        assert self.configure().error == 0
        assert self.arm() == 0
        return self

    def tick(self, us: int | None = None, renewing: bool = True) -> list[wire.Message]:
        """One tick, at once or at this moment; what the device says by it. The lease is renewed just before."""
        if us is not None:
            self.at(us)
        if renewing and self.device.armed:
            self.lease()
        self._c.sc_tick(self._core, self.now_us)
        return self.look()

    def tick_gates(self) -> None:
        """The part of a tick that moves outputs."""
        self._tick_gates(self._core, self.now_us)

    def blink_eye(self, times: int) -> None:
        """The photo-eye changes, now: an event each."""
        for n in range(times):
            self.device.set_input(Pin.PHOTO_EYE, bool(n % 2), self.now_ns)

    def look(self) -> list[wire.Message]:
        self.device._waiting |= 3
        said = self.hear()
        self.edges += self.device.edges()
        return said

    def ticks(self, moments: Iterable[int]) -> "Bare":
        for us in moments:
            self.tick(us)
        return self

    def count(self, us: int, count: int) -> "Bare":
        self._c.sc_encoder(self._core, us, count)
        return self

    def counts(self, moments: Iterable[int], first: int = 1) -> "Bare":
        """One count after the other, each reached at its moment."""
        for n, us in enumerate(moments, first):
            self.count(us, n)
        return self

    def belt_at(self, us: int) -> Belt:
        now = self._now_at(self._core, us)
        assert now.now_us == us
        return Belt(now.position_q8, now.rate_q32, now.period_q16)

    def rate_at(self, us: int) -> int:
        return self.belt_at(us).rate_q32

    def plan(self, gate: int = 0, us: int | None = None) -> Pulse | None:
        """The next pulse, foretold at this moment."""
        now, pulse = self._now_at(self._core, self.now_us if us is None else us), _Pulse()
        if not self._plan(self._core, gate, ctypes.byref(now), ctypes.byref(pulse)):
            return None
        return Pulse(None if pulse.is_on else _moment(pulse.on), _moment(pulse.off))

    def moved(self, us: int, on: int = 0, off: int = 0) -> "Bare":
        self._c.sc_moved(self._core, on, off, us)
        return self

    @property
    def next_edge_us(self) -> int:
        return int(self._c.sc_next_edge_us(self._core))

    @property
    def next_due_us(self) -> int:
        return int(self._c.sc_next_due_us(self._core))

    @property
    def wake_count(self) -> int:
        return int(self._c.sc_wake_count(self._core))

    def edge_us(self, gate: int = 0) -> list[int]:
        return [edge.at_us for edge in self.edges if edge.gate == gate]

    def told(self, kind: int) -> list[wire.Event]:
        return [event for event in self.events if event.kind == kind]


def _moment(of: _Moment) -> Moment:
    return Moment(of.in_us, of.count if of.waits else None)


def in_time(*windows_ms: tuple[float, float], gate: GateConfig = PLAIN, **common: int) -> Bare:
    """Armed at 1 ms, with windows on gate 0 numbered from 1; nothing has ticked."""
    bare = Bare(alike(gate, **common)).armed(1000)
    for n, (start, end) in enumerate(windows_ms, 1):
        assert bare.divert_time(n, 1, start, end) == 0
    return bare


def in_counts(*windows: tuple[int, int], gate: GateConfig = PLAIN, **common: int) -> Bare:
    """Armed, on a belt of one count in 4096 us whose count 100 has just come."""
    bare = Bare(alike(gate, **common)).armed(1000)
    bare.counts(range(4096, 409_601, 4096))
    bare.tick(409_600)
    for n, (start, end) in enumerate(windows, 1):
        assert bare.divert_count(n, 1, start, end) == 0
    return bare
