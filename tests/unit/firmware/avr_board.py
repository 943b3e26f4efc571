"""The ATmega328P image in simavr, in lock-step: its bytes, its encoder, its pins. One board per `Board`; no test in here."""

import ctypes
import subprocess
from ctypes import POINTER, c_char_p, c_int, c_int64, c_uint32, c_uint64, c_void_p
from dataclasses import replace
from pathlib import Path

import firmware_bridge.firmware
from firmware_bridge import wire
from firmware_bridge.codec import Frame, FrameReader, encode_frame
from tests.unit.firmware.rig import CONFIG, GATE, SESSION

FIRMWARE = Path(firmware_bridge.firmware.__file__).parent
IMAGE, RIG = FIRMWARE / "build/station-atmega328p.elf", FIRMWARE / "build/simavr_rig.so"
CYCLES_PER_US = 16
COUNT_CYCLES = 1600  # 10 kcounts/s
GATES = 4
CONFIG_AVR = replace(CONFIG, gates=(GATE,) * GATES, max_late_us=5000)
MEMORY_END = 0x8FF


def build() -> None:
    subprocess.run(["make", "-s", "-C", str(FIRMWARE), "simavr"], check=True, capture_output=True)


class Board:
    def __init__(self) -> None:
        self._c = ctypes.CDLL(str(RIG))
        for name, result, arguments in [
            ("rig_open", c_void_p, [c_char_p]),
            ("rig_send", None, [c_void_p, c_char_p, c_uint32]),
            ("rig_run", c_int, [c_void_p, c_uint64, c_uint32]),
            ("rig_cycle", c_uint64, [c_void_p]),
            ("rig_lowest_stack", c_uint32, [c_void_p]),
            ("rig_first_step", c_uint64, [c_void_p]),
            ("rig_longest_pass", c_uint64, [c_void_p]),
            ("rig_passes", c_uint64, [c_void_p]),
            ("rig_timer_begun", c_uint64, [c_void_p]),
            ("rig_hear", c_uint32, [c_void_p, c_char_p, c_uint32]),
            ("rig_edges", c_uint32, [c_void_p, POINTER(c_int64), c_uint32]),
        ]:
            function = getattr(self._c, name)
            function.restype, function.argtypes = result, arguments
        self._rig = self._c.rig_open(str(IMAGE).encode())
        self._reader = FrameReader()
        self.session = 0
        self.heard: list[wire.Message] = []
        self.events: list[wire.Event] = []
        self.edges: list[tuple[int, int, float]] = []  # pin, level, device us
        self._lease = 0
        self.count_cycles = COUNT_CYCLES
        self.resent = 0

    def send(self, message: wire.ToDevice) -> None:
        data = encode_frame(Frame(wire.type_of(type(message)), 0, self.session, wire.encode(message)))
        self._c.rig_send(self._rig, data, len(data))

    def lease(self) -> None:
        self._lease += 1
        self.send(wire.Lease(self._lease, True, True))

    def run(self, ms: float) -> None:
        """Time passes; whole event batches are taken and acknowledged."""
        until = self._c.rig_cycle(self._rig) + round(ms * 1000 * CYCLES_PER_US)
        assert self._c.rig_run(self._rig, until, self.count_cycles) == 2, "the board crashed"
        buffer = ctypes.create_string_buffer(1 << 16)
        self._reader.feed(buffer.raw[:n] if (n := self._c.rig_hear(self._rig, buffer, 1 << 16)) else b"")
        while (frame := self._reader.next_frame()) is not None:
            message = wire.decode(frame.type, frame.payload)
            self.heard.append(message)
            if isinstance(message, wire.Events) and message.first_seq == len(self.events) + 1:
                self.events += message.events
                self.send(wire.EventAck(len(self.events)))
        rows = (c_int64 * 3000)()
        n = self._c.rig_edges(self._rig, rows, 1000)
        self.edges += [(rows[3 * i], rows[3 * i + 1], self.device_us(rows[3 * i + 2])) for i in range(n)]

    def until(self, kind: type[wire.Message]) -> wire.Message:
        before = len(self.heard)
        for _ in range(200):
            self.run(1)
            found = [m for m in self.heard[before:] if isinstance(m, kind)]
            if found:
                return found[-1]
        raise AssertionError(f"no {kind.__name__}")

    def arm(self) -> wire.HelloReply:
        """Boots with its belt standing, is greeted, configured and armed; then the belt runs."""
        running, self.count_cycles = self.count_cycles, 0
        self.run(60)
        self.count_cycles = running
        self.send(wire.Hello(wire.VERSION, SESSION, 5))
        hello = self.until(wire.HelloReply)
        assert isinstance(hello, wire.HelloReply)
        self.session = SESSION
        for message in wire.gate_messages(CONFIG_AVR):
            self.send(message)
            self.until(wire.Ack)
        commit = wire.commit_message(CONFIG_AVR)
        self.send(commit)
        assert self.until(wire.ConfigReply) == wire.ConfigReply(commit.crc, 0, 255)
        self.send(wire.Arm(commit.crc, True))
        ack = self.until(wire.Ack)
        assert isinstance(ack, wire.Ack)
        assert ack.error == 0
        self.edges.clear()  # configuring has turned the pins into outputs
        return hello

    def rearm(self) -> None:
        self.lease()
        self.send_until(wire.Arm(wire.commit_message(CONFIG_AVR).crc, True), wire.Ack)

    def device_us(self, cycle: float) -> float:
        """A moment of the simulation on the device's own clock, exactly."""
        return float(cycle - self._c.rig_timer_begun(self._rig)) / CYCLES_PER_US

    def count_us(self, count: float) -> float:
        """When the belt reached `count`, on the device's clock: from the belt itself, not from what the device saw of it."""
        return self.device_us(self._c.rig_first_step(self._rig) + (count - 1) * self.count_cycles)

    def send_until(self, message: wire.ToDevice, kind: type[wire.Message]) -> wire.Message:
        """As a host does it: again when the small receive buffer lost it."""
        for _ in range(8):
            self.send(message)
            before = len(self.heard)
            for _ in range(40):
                self.run(1)
                found = [m for m in self.heard[before:] if isinstance(m, kind)]
                if found:
                    return found[-1]
            self.resent += 1
        raise AssertionError(f"no {kind.__name__}")

    def pass_us(self) -> tuple[float, float]:
        """The main loop's mean and longest pass."""
        cycles = self._c.rig_cycle(self._rig)
        passes, longest = self._c.rig_passes(self._rig), self._c.rig_longest_pass(self._rig)
        return cycles / CYCLES_PER_US / passes, longest / CYCLES_PER_US

    @property
    def stack_bytes(self) -> int:
        return MEMORY_END - int(self._c.rig_lowest_stack(self._rig))
