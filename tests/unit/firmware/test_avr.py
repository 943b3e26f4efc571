"""The real ATmega328P image in simavr: the same wire, the same rules, on the smallest board. No claim on its jitter yet."""

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_int64, c_uint32, c_uint64, c_void_p
from dataclasses import replace
from pathlib import Path

import pytest

import firmware_bridge.firmware
from firmware_bridge import wire
from firmware_bridge.codec import Frame, FrameReader, encode_frame
from firmware_bridge.messages import DisarmReason
from tests.unit.firmware.rig import CONFIG, GATE, SESSION

FIRMWARE = Path(firmware_bridge.firmware.__file__).parent
IMAGE, RIG = FIRMWARE / "build/station-atmega328p.elf", FIRMWARE / "build/simavr_rig.so"
CYCLES_PER_US = 16
COUNT_CYCLES = 1600  # 10 kcounts/s
PERMIT_PIN = 4
CONFIG_AVR = replace(CONFIG, gates=(GATE,) * 4, max_late_us=5000)
DATA_BEGIN, MEMORY_END = 0x100, 0x8FF

pytestmark = [
    pytest.mark.tool("simavr"),
    pytest.mark.skipif(
        shutil.which("avr-gcc") is None or not Path("/usr/include/simavr").is_dir(),
        reason="needs gcc-avr, avr-libc and libsimavr-dev",
    ),
]


class Board:
    def __init__(self) -> None:
        self._c = ctypes.CDLL(str(RIG))
        for name, result, arguments in [
            ("rig_open", c_void_p, [c_char_p]),
            ("rig_send", None, [c_void_p, c_char_p, c_uint32]),
            ("rig_run", c_int, [c_void_p, c_uint64, c_uint32]),
            ("rig_cycle", c_uint64, [c_void_p]),
            ("rig_lowest_stack", c_uint32, [c_void_p]),
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
        self.edges: list[tuple[int, int, float]] = []  # pin, level, us
        self._lease = 0

    def send(self, message: wire.ToDevice) -> None:
        data = encode_frame(Frame(wire.type_of(type(message)), 0, self.session, wire.encode(message)))
        self._c.rig_send(self._rig, data, len(data))

    def lease(self) -> None:
        self._lease += 1
        self.send(wire.Lease(self._lease, True, True))

    def run(self, ms: float) -> None:
        """Time passes; whole event batches are taken and acknowledged."""
        until = self._c.rig_cycle(self._rig) + round(ms * 1000 * CYCLES_PER_US)
        assert self._c.rig_run(self._rig, until, COUNT_CYCLES) == 2, "the board crashed"
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
        self.edges += [(rows[3 * i], rows[3 * i + 1], rows[3 * i + 2] / CYCLES_PER_US) for i in range(n)]

    def until(self, kind: type[wire.Message]) -> wire.Message:
        before = len(self.heard)
        for _ in range(200):
            self.run(1)
            found = [m for m in self.heard[before:] if isinstance(m, kind)]
            if found:
                return found[-1]
        raise AssertionError(f"no {kind.__name__}")

    @property
    def stack_bytes(self) -> int:
        return MEMORY_END - int(self._c.rig_lowest_stack(self._rig))


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    subprocess.run(["make", "-s", "-C", str(FIRMWARE), "simavr"], check=True, capture_output=True)


@pytest.fixture
def board() -> Iterator[Board]:
    """Armed, its belt running at 10 kcounts/s."""
    board = Board()
    board.run(60)
    board.send(wire.Hello(wire.VERSION, SESSION, 5))
    hello = board.until(wire.HelloReply)
    assert isinstance(hello, wire.HelloReply)
    assert (hello.gates, hello.queue_depth, hello.id_memory, hello.event_ring) == (4, 5, 8, 9)
    board.session = SESSION
    for message in wire.gate_messages(CONFIG_AVR):
        board.send(message)
        board.until(wire.Ack)
    commit = wire.commit_message(CONFIG_AVR)
    board.send(commit)
    assert board.until(wire.ConfigReply) == wire.ConfigReply(commit.crc, 0, 255)
    board.send(wire.Arm(commit.crc, True))
    ack = board.until(wire.Ack)
    assert isinstance(ack, wire.Ack)
    assert ack.error == 0
    board.edges.clear()  # configuring has turned the pins into outputs
    yield board
    data_end = DATA_BEGIN + 1400
    assert MEMORY_END - board.stack_bytes > data_end, "the stack has reached the data"


def test_it_fires_time_and_count_windows_each_once_at_its_gate(board: Board) -> None:
    accepted: dict[int, int] = {}
    for n in range(1, 25):
        board.lease()
        sample = board.until(wire.Encoder)
        assert isinstance(sample, wire.Encoder)
        if n % 2:
            command = wire.Divert(n, 1 << n % 4, wire.MODE_COUNT, sample.belt_count + 1000, sample.belt_count + 1400)
        else:
            command = wire.Divert(n, 1 << n % 4, wire.MODE_TIME, sample.at_us + 100_000, sample.at_us + 140_000)
        board.send(command)
        answer = board.until(wire.Answer)
        assert isinstance(answer, wire.Answer)
        assert (answer.command_id, answer.answer) == (n, 0)
        accepted[n] = n % 4
        board.run(30)
    board.lease()
    board.run(200)
    fired = {e.id: e for e in board.events if e.kind == wire.EVENT_FIRED}
    assert sorted(fired) == sorted(accepted)
    for n, gate in accepted.items():
        near = [us for pin, level, us in board.edges if pin == gate and level and abs(us - fired[n].on) < 8000]
        assert len(near) == 1, n
    assert len([e for e in board.edges if e[0] < 4 and e[1]]) == len(accepted)


def test_the_lease_closes_its_gates_and_drops_the_permit(board: Board) -> None:
    board.lease()
    status = board.until(wire.Status)
    assert isinstance(status, wire.Status)
    board.send(wire.Divert(1, 0b1, wire.MODE_TIME, status.now_us + 180_000, status.now_us + 370_000))
    board.run(400)
    [on, off] = [(level, us) for pin, level, us in board.edges if pin == 0]
    assert (on[0], off[0]) == (1, 0)
    assert off[1] - status.now_us < 250_000 + 5_000
    assert [level for pin, level, _ in board.edges if pin == PERMIT_PIN][-1] == 0
    assert [e.extra for e in board.events if e.kind == wire.EVENT_DISARMED] == [DisarmReason.LEASE.value]
