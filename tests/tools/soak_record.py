"""What a device in virtual time really did, read off both ends of its own pins and wire before any damage is done to them.

Knows the wire's messages and the device's edges; knows nothing of the host's opinion. Also makes the device worse than the
twin is: a clock that starts near a wrap and jumps, a count that starts near one, a main loop that stalls.
"""

import ctypes
import math
from bisect import bisect_right
from dataclasses import dataclass, field, replace

from firmware_bridge import wire
from firmware_bridge.codec import FrameReader
from firmware_bridge.virtual_device import (
    BYTES_WAIT,
    EDGES_WAIT,
    TRANSMIT_BYTES,
    DeviceClock,
    Edge,
    ResetCause,
    VirtualDevice,
)

MASK_64 = 2**64 - 1
_DIVERT, _ARM = wire.type_of(wire.Divert), wire.type_of(wire.Arm)
_TOLD = {wire.type_of(kind) for kind in (wire.Answer, wire.Events, wire.Status, wire.Ack)}

Key = tuple[int, int]
"""Session and command id."""


@dataclass(frozen=True, slots=True)
class HostileClock(DeviceClock):
    start_us: int = 0  # what it showed at boot

    def device_us(self, host_ns: int) -> int:
        return (self.start_us + _since_boot(self, host_ns)) & MASK_64

    def host_ns(self, device_us: int) -> int:
        since_us = (device_us - self.start_us) & MASK_64
        return DeviceClock(self.boot_ns, self.drift_ppm).host_ns(since_us if since_us < 2**63 else since_us - 2**64)


def _since_boot(clock: DeviceClock, host_ns: int) -> int:
    since_ns = host_ns - clock.boot_ns
    return (since_ns + round(since_ns * clock.drift_ppm * 1e-6)) // 1000


@dataclass(slots=True)
class Boot:
    """One life of the device between two restarts."""

    began_ns: int
    count_start: int
    diverts: dict[Key, wire.Divert] = field(default_factory=dict)
    answers: dict[Key, int] = field(default_factory=dict)
    ends: dict[Key, list[wire.Event]] = field(default_factory=dict)
    answered_ns: dict[Key, int] = field(default_factory=dict)
    renewed_ns: list[int] = field(default_factory=list)
    session: int = 0  # the last that spoke
    _seen: set[tuple[int, int]] = field(default_factory=set)
    _counter: tuple[int, int] = (0, -1)
    _begun: dict[int, int] = field(default_factory=dict)

    def taken(self) -> list[Key]:
        return [key for key, answer in self.answers.items() if answer == 0]

    def told(self, session: int, message: wire.Message, now_ns: int) -> None:
        self.session = session
        match message:
            case wire.Answer() if (session, message.command_id) in self.diverts:
                self.answers.setdefault((session, message.command_id), message.answer)
                self.answered_ns.setdefault((session, message.command_id), now_ns)
            case wire.Events():
                self._events(session, message)
            case wire.Status() if (session, message.counter) != self._counter:
                self._counter = (session, message.counter)
                self.renewed_ns.append(now_ns)
            case wire.Ack() if message.acked_type == _ARM and message.error == 0:
                self.renewed_ns.append(now_ns)
            case _:
                pass

    def _events(self, session: int, events: wire.Events) -> None:
        if events.first_seq == 1 and events.events and events.events[0].on != self._begun.get(session):
            # The device was another host's in between: this session has begun anew.
            self._begun[session] = events.events[0].on
            self._seen = {each for each in self._seen if each[0] != session}
        for seq, event in enumerate(events.events, start=events.first_seq):
            if (session, seq) not in self._seen:
                self._seen.add((session, seq))
                if event.kind in (wire.EVENT_FIRED, wire.EVENT_MISSED):
                    self.ends.setdefault((session, event.id), []).append(event)


class RecordedDevice(VirtualDevice):
    def __init__(self, clock: HostileClock, count_start: int = 0) -> None:
        self._arriving, self._leaving = FrameReader(), FrameReader()
        self._count_start = count_start
        self._stalled_until_ns = 0
        self._waits: list[bytes] = []
        super().__init__(clock=clock)
        self.boots = [Boot(clock.boot_ns, count_start)]

    @property
    def boot(self) -> Boot:
        return self.boots[-1]

    def boot_at(self, host_ns: int) -> Boot:
        return self.boots[max(0, bisect_right([boot.began_ns for boot in self.boots], host_ns) - 1)]

    # ---- what it suffers

    def restart(self, now_ns: int, start_us: int, count_start: int, cause: ResetCause = ResetCause.WATCHDOG) -> None:
        drift_ppm = self.clock.drift_ppm
        self.reboot(now_ns, cause)
        self.clock = HostileClock(now_ns, drift_ppm, start_us)
        self._count_start, self._stalled_until_ns = count_start, 0
        self._waits.clear()
        self._arriving.restart()
        self._leaving.restart()
        self.boots.append(Boot(now_ns, count_start))

    def exchange(self, now_ns: int) -> None:
        """Another board is in its place, which has booted as often."""
        self._uid ^= 1
        self.boot_id -= 1
        self.restart(now_ns, 0, 0, ResetCause.POWER)

    def jump(self, by_us: int) -> list[Edge]:
        """Its clock goes on from somewhere else. Gives the edges of before, stamped by the clock of before."""
        edges = self.edges()
        assert isinstance(self.clock, HostileClock)
        self.clock = replace(self.clock, start_us=(self.clock.start_us + by_us) & MASK_64)
        return edges

    def stall(self, until_ns: int) -> None:
        """Its main loop stands: bytes wait in the receiver, nothing is due, outputs stay as they are."""
        self._stalled_until_ns = until_ns

    def stalled(self) -> bool:
        return self._stalled_until_ns > 0

    # ---- VirtualDevice

    def receive(self, data: bytes, now_ns: int) -> None:
        if self.unplugged or not data:
            return
        if self._stalled_until_ns > now_ns:
            self._waits.append(data)
            return
        self._note_arriving(data)
        super().receive(data, now_ns)

    def transmit(self) -> bytes:
        if not self._waiting & BYTES_WAIT:
            return b""
        self._waiting &= ~BYTES_WAIT
        n = self._c.sc_transmit(self._core, self._out, TRANSMIT_BYTES)
        said = ctypes.string_at(self._out, n)
        self._note_leaving(said)
        return b"" if self.unplugged else said

    def replug(self) -> None:
        super().replug()
        self._arriving.restart()
        self._leaving.restart()

    def advance(self, now_ns: int, position_counts: float) -> None:
        if self._position is None:
            self._epoch = math.floor(position_counts) - self._count_start
            self._position = position_counts
        if self._stalled_until_ns:
            if now_ns < self._stalled_until_ns:
                self._now_ns, self._position = now_ns, position_counts
                return
            self._wake()
        super().advance(now_ns, position_counts)

    def _wake(self) -> None:
        """Bytes that waited are read before the loop comes to anything else."""
        now_us = self.clock.device_us(self._now_ns)
        assert self._position is not None
        self._stalled_until_ns = 0
        self._c.sc_encoder(self._core, now_us, math.floor(self._position) - self._epoch)
        waits, self._waits = self._waits, []
        for data in waits:
            self.receive(data, self._now_ns)
        self._c.sc_tick(self._core, now_us)
        self._waiting |= EDGES_WAIT | BYTES_WAIT

    # ---- the record

    def _note_arriving(self, data: bytes) -> None:
        self._arriving.feed(data)
        while (frame := self._arriving.next_frame()) is not None:
            if frame.type == _DIVERT and len(frame.payload) == wire.LAYOUT[wire.Divert][1].size:
                divert = wire.decode(frame.type, frame.payload)
                assert isinstance(divert, wire.Divert)
                self.boot.diverts.setdefault((frame.session, divert.command_id), divert)

    def _note_leaving(self, said: bytes) -> None:
        self._leaving.feed(said)
        while (frame := self._leaving.next_frame()) is not None:
            if frame.type in _TOLD:
                self.boot.told(frame.session, wire.decode(frame.type, frame.payload), self._now_ns)
