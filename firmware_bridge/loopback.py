"""A wire in memory, in virtual time, as bad as asked for; and a device at its end behind the Transport contract.

Knows bytes and zeros, no messages. Seeded: the same calls give the same bytes at the same times.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from firmware_bridge.errors import PortError
from firmware_bridge.link import SerialController, WireTap
from firmware_bridge.messages import Reply
from firmware_bridge.session import Session
from firmware_bridge.virtual_device import PositionOf, VirtualDevice

_PIECES = re.compile(rb"\x00?[^\x00]+\x00?|\x00")
REORDER_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class WireFaults:
    """Each probability is per frame and per direction; `flip` inverts 1 to 8 bits."""

    latency_ns: int = 100_000
    jitter_ns: int = 0  # up to this much later; nothing overtakes
    ns_per_byte: int = 0  # 8681 at 1152000 baud, 86806 at 115200
    drop: float = 0.0
    flip: float = 0.0
    cut: float = 0.0  # the rest of the frame and its closing zero are missing
    insert: float = 0.0  # garbage in front of it
    repeat: float = 0.0
    reorder: float = 0.0  # up to 20 ms later, overtaken by what follows

    @classmethod
    def all(cls, probability: float, latency_ns: int = 500_000, jitter_ns: int = 2_000_000) -> "WireFaults":
        p = probability
        return cls(latency_ns, jitter_ns, drop=p, flip=p, cut=p, insert=p, repeat=p)

    @property
    def clean(self) -> bool:
        return not (self.drop or self.flip or self.cut or self.insert or self.repeat or self.reorder)


CLEAN = WireFaults()


class Wire:
    """One direction."""

    def __init__(self, faults: WireFaults, rng: Random) -> None:
        self.faults = faults
        self._rng = rng
        self._flying: deque[tuple[int, bytes]] = deque()
        self._free_ns = 0  # when the last byte has left the sender
        self._last_ns = 0  # when it arrives
        self._held_until_ns = 0
        self.injected: dict[str, int] = {}

    def send(self, data: bytes, now_ns: int) -> None:
        if self.faults.clean and not self.faults.ns_per_byte:
            self._fly(data, now_ns)
            return
        for piece in _PIECES.findall(data):
            arrives = piece if piece == b"\x00" else self._damage(piece)
            if arrives:
                self._fly(arrives, now_ns)

    def inject(self, data: bytes, now_ns: int) -> None:
        """Bytes nobody at the ends has sent: another program on the line, a modem probe, noise."""
        self._fly(data, now_ns)

    def hold(self, until_ns: int) -> None:
        """A driver's buffer that lets nothing through for a while, and then all of it at once."""
        self._held_until_ns = max(self._held_until_ns, until_ns)

    def next_ns(self) -> int | None:
        return self._flying[0][0] if self._flying else None

    def take(self, now_ns: int) -> bytes:
        """Everything that has arrived by now."""
        arrived = []
        while self._flying and self._flying[0][0] <= now_ns:
            arrived.append(self._flying.popleft()[1])
        return b"".join(arrived)

    def clear(self) -> bytes:
        """Gives what was under way."""
        lost = b"".join(piece for _, piece in self._flying)
        self._flying.clear()
        return lost

    def _fly(self, data: bytes, now_ns: int) -> None:
        faults = self.faults
        jitter_ns = int(self._rng.random() * faults.jitter_ns) if faults.jitter_ns else 0
        self._free_ns = max(now_ns, self._free_ns) + len(data) * faults.ns_per_byte
        arrives_ns = max(self._last_ns, self._held_until_ns, self._free_ns + faults.latency_ns + jitter_ns)
        if faults.reorder and self._strikes("reorder", faults.reorder):
            self._overtaken(arrives_ns + int(self._rng.random() * REORDER_NS), data)
            return
        self._last_ns = arrives_ns
        place = len(self._flying)
        while place and self._flying[place - 1][0] > arrives_ns:
            place -= 1  # only what was reordered arrives later
        self._flying.insert(place, (arrives_ns, data))

    def _overtaken(self, arrives_ns: int, data: bytes) -> None:
        place = next((n for n, (at_ns, _) in enumerate(self._flying) if at_ns > arrives_ns), len(self._flying))
        self._flying.insert(place, (arrives_ns, data))

    def _damage(self, body: bytes) -> bytes:
        if self._strikes("drop", self.faults.drop):
            return b""
        if self._strikes("flip", self.faults.flip):
            body = self._flipped(body)
        if self._strikes("repeat", self.faults.repeat):
            body = body + b"\x00\x00" + body
        if self._strikes("insert", self.faults.insert):
            body = self._rng.randbytes(self._rng.randint(1, 40)) + body
        if self._strikes("cut", self.faults.cut):
            body = body[: self._rng.randrange(len(body))]
        return body

    def _flipped(self, body: bytes) -> bytes:
        bits = int.from_bytes(body, "little")
        for _ in range(self._rng.randint(1, 8)):
            bits ^= 1 << self._rng.randrange(8 * len(body))
        return bits.to_bytes(len(body), "little")

    def _strikes(self, name: str, probability: float) -> bool:
        if not probability or self._rng.random() >= probability:
            return False
        self.injected[name] = self.injected.get(name, 0) + 1
        return True


class DeviceTransport:
    """A cable to a device in the same process. `advance` lets time pass on the wire and in the device."""

    name = "virtual"

    def __init__(
        self, device: VirtualDevice, position_of: PositionOf, faults: WireFaults = CLEAN, seed: int = 0
    ) -> None:
        rng = Random(seed)
        self.device = device
        self._position_of = position_of
        self.to_device = Wire(faults, rng)
        self.from_device = Wire(faults, rng)
        self.plugged = True
        self.accepts_bytes = 1 << 16  # per write: a full driver buffer takes less
        self.opens = 0
        self.read_until_ns = 1 << 62
        self._open = False
        self._now_ns = 0

    def advance(self, now_ns: int) -> None:
        while (at_ns := self.to_device.next_ns()) is not None and at_ns <= now_ns:
            self._live_until(at_ns)
            self.device.receive(self.to_device.take(at_ns), at_ns)
            self._live_until(at_ns)
        self._live_until(now_ns)
        self._now_ns = now_ns

    def next_arrival_ns(self) -> int | None:
        return self.from_device.next_ns() if self._open and self.plugged else None

    def unplug(self, still_arrive: int = 0) -> None:
        """Bytes on the way are lost, but for the first few to the device; both ends notice in their own time."""
        under_way = self.to_device.clear()
        if still_arrive:
            self.device.receive(under_way[:still_arrive], self._now_ns)
        self.plugged = False
        self.device.unplug()
        self.from_device.clear()

    def plug(self) -> None:
        self.plugged = True
        self.device.replug()

    def _live_until(self, at_ns: int) -> None:
        self.device.advance_to(at_ns, self._position_of)
        said = self.device.transmit()
        if said and self.plugged:
            self.from_device.send(said, at_ns)

    # ---- Transport

    def open(self) -> None:
        if not self.plugged:
            raise PortError("virtual: no device; is the cable in?")
        self._open = True
        self.opens += 1

    def read(self) -> bytes:
        self._must_be_open()
        return self.from_device.take(min(self.read_until_ns, self._now_ns))

    def write(self, data: bytes) -> int:
        self._must_be_open()
        taken = data[: self.accepts_bytes]
        self.to_device.send(taken, self._now_ns)
        return len(taken)

    def wait(self, timeout_s: float) -> None:
        """Time passes only in `advance`."""

    def close(self) -> None:
        self._open = False

    def _must_be_open(self) -> None:
        if not self._open or not self.plugged:
            raise PortError("virtual: the cable is out")


class SteppedController(SerialController):
    """For virtual time: one `poll` lives device, wire and link in small steps up to `now_ns`, in this thread."""

    def __init__(
        self,
        transport: DeviceTransport,
        session: Session | None = None,
        tap: WireTap | None = None,
        step_ns: int = 1_000_000,
    ) -> None:
        super().__init__(transport, session, tap)
        self._stepped = transport
        self._step_ns = step_ns
        self._lived_ns: int | None = None

    def poll(self, now_ns: int) -> Sequence[Reply]:
        replies: list[Reply] = []
        lived_ns = now_ns if self._lived_ns is None else self._lived_ns
        while True:
            at_ns = min(lived_ns + self._step_ns, now_ns)
            self._stepped.advance(at_ns)
            # Bytes are heard when they arrive, not when the step ends: the clock bound stays as tight as the wire.
            while (arrival_ns := self._stepped.next_arrival_ns()) is not None and arrival_ns <= at_ns:
                replies += self._hear(arrival_ns)
            replies += self._hear(at_ns)
            lived_ns = at_ns
            if at_ns >= now_ns:
                break
        self._lived_ns = now_ns
        return replies

    def _hear(self, at_ns: int) -> Sequence[Reply]:
        self._stepped.read_until_ns = at_ns
        self.wait(0.0)
        return super().poll(at_ns)
