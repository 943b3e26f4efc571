"""A hand-driven host for the core in virtual time: sends one message at a time, keeps all it hears."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from firmware_bridge import wire
from firmware_bridge.codec import Frame, FrameReader, encode_frame
from firmware_bridge.messages import DeviceConfig, GateConfig, MissReason
from firmware_bridge.virtual_device import DeviceClock, Edge, VirtualDevice

Answered = TypeVar("Answered", bound=wire.Message)

SESSION = 0xC0FFEE01
MS = 1_000_000
COUNTS_PER_MS = 2.0  # 1 m/s at 0.5 mm per count

GATE = GateConfig(
    safe_level=0,
    min_hold_us=2_000,
    max_hold_us=200_000,
    min_gap_us=4_000,
    opening_delay_us=12_000,
    closing_delay_us=8_000,
    max_duty_permille=1000,
)
CONFIG = DeviceConfig(
    gates=(GATE,) * 8, lease_ms=250, max_late_us=1000, mm_per_count=0.5, far_ms=10_000, far_count=20_000
)


class Rig:
    """Moments are milliseconds since the device's boot; the belt moves by `position_of(ms)` counts."""

    def __init__(
        self, config: DeviceConfig = CONFIG, clock: DeviceClock | None = None, device: VirtualDevice | None = None
    ) -> None:
        self.device = device or VirtualDevice(clock=clock)
        self.config = config
        self.position_of: Callable[[float], float] = lambda ms: ms * COUNTS_PER_MS
        self.now_ns = self.device.clock.boot_ns
        self.session = 0
        self.alive = False  # renewing the lease
        self.acknowledging = True
        self.heard: list[wire.Message] = []
        self.events: list[wire.Event] = []
        self.edges: list[Edge] = []
        self._reader = FrameReader()
        self.seq = 0
        self.lease_counter = 0
        self.events_seen = 0

    @property
    def now_ms(self) -> float:
        return (self.now_ns - self.device.clock.boot_ns) / MS

    def send(self, message: wire.ToDevice) -> list[wire.Message]:
        return self.send_frame(wire.type_of(type(message)), wire.encode(message))

    def send_frame(self, kind: int, payload: bytes, session: int | None = None) -> list[wire.Message]:
        session = self.session if session is None else session
        self.seq = (self.seq + 1) % 256
        return self.send_bytes(encode_frame(Frame(kind, self.seq, session, payload)))

    def send_bytes(self, data: bytes) -> list[wire.Message]:
        self.device.receive(data, self.now_ns)
        return self.hear()

    def hear(self) -> list[wire.Message]:
        """What the device has sent since the last time."""
        self._reader.feed(self.device.transmit())
        news: list[wire.Message] = []
        while (frame := self._reader.next_frame()) is not None:
            news.append(wire.decode(frame.type, frame.payload))
        self.heard += news
        for message in news:
            if isinstance(message, wire.Events):
                self._take(message)
        return news

    def _take(self, message: wire.Events) -> None:
        for offset, event in enumerate(message.events):
            if message.first_seq + offset == self.events_seen + 1:
                self.events_seen += 1
                self.events.append(event)
        if self.acknowledging:
            self.device.receive(self.frame(wire.EventAck(self.events_seen)), self.now_ns)

    def frame(self, message: wire.ToDevice) -> bytes:
        return encode_frame(Frame(wire.type_of(type(message)), 0, self.session, wire.encode(message)))

    def run(self, until_ms: float, step_ms: float = 10.0) -> None:
        """Lets time pass; renews the lease on the way while `alive`."""
        end_ns = self.device.clock.boot_ns + round(until_ms * MS)
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + round(step_ms * MS))
            self.device.advance_to(self.now_ns, self._position)
            if self.alive:
                self.lease()
            self.hear()
            self.edges += self.device.edges()

    def _position(self, host_ns: int) -> float:
        return self.position_of((host_ns - self.device.clock.boot_ns) / MS)

    def lease(self, armed: bool = True, permit: bool = True, counter: int | None = None) -> wire.Status:
        self.lease_counter = self.lease_counter + 1 if counter is None else counter
        return self.answer(wire.Lease(self.lease_counter, armed, permit), wire.Status)

    def answer(self, message: wire.ToDevice, kind: type[Answered]) -> Answered:
        found = [m for m in self.send(message) if isinstance(m, kind)]
        assert found, f"{message}: no {kind.__name__}"
        return found[-1]

    def hello(self, session: int = SESSION) -> wire.HelloReply:
        self.session = 0
        reply = self.answer(wire.Hello(wire.VERSION, session, 0xABCD), wire.HelloReply)
        self.session = session
        self.events_seen = 0
        return reply

    def configure(self) -> wire.ConfigReply:
        for gate in wire.gate_messages(self.config):
            assert self.answer(gate, wire.Ack).error == 0
        return self.answer(wire.commit_message(self.config), wire.ConfigReply)

    def arm(self, permit: bool = True) -> int:
        return self.answer(wire.Arm(wire.commit_message(self.config).crc, permit), wire.Ack).error

    def ready(self) -> "Rig":
        """Greeted, configured, armed, the lease being renewed and the belt at speed."""
        self.run(1.0)
        self.hello()
        assert self.configure().error == 0
        self.run(60.0)
        assert self.arm() == 0
        self.alive = True
        self.run(100.0)
        self.edges.clear()
        return self

    def divert_time(self, command_id: int, mask: int, start_ms: float, end_ms: float) -> int:
        message = wire.Divert(command_id, mask, wire.MODE_TIME, round(start_ms * 1000), round(end_ms * 1000))
        return self.answer(message, wire.Answer).answer

    def divert_count(self, command_id: int, mask: int, start: int, end: int) -> int:
        return self.answer(wire.Divert(command_id, mask, wire.MODE_COUNT, start, end), wire.Answer).answer

    def pulses(self, gate: int = 0) -> list[tuple[float, float]]:
        """(on, off) of one gate in ms, from the edge record."""
        times = [edge.at_us / 1000 for edge in self.edges if edge.gate == gate]
        assert [edge.on for edge in self.edges if edge.gate == gate] == [i % 2 == 0 for i in range(len(times))]
        return list(zip(times[0::2], times[1::2], strict=False))

    def fired(self) -> list[int]:
        return [event.id for event in self.events if event.kind == wire.EVENT_FIRED]

    def missed(self) -> dict[int, MissReason]:
        return {event.id: MissReason(event.extra) for event in self.events if event.kind == wire.EVENT_MISSED}


def config_with(gate: int, **changes: int) -> DeviceConfig:
    """The usual configuration with something else about one gate."""
    gates = list(CONFIG.gates)
    gates[gate] = replace(gates[gate], **changes)
    return replace(CONFIG, gates=tuple(gates))


WITHOUT_ENCODER = replace(CONFIG, mm_per_count=None)
