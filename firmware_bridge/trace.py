"""What crossed the wire, on disk: one JSON line per chunk of bytes; as text for people; and lived again through a Session.

Knows the wire's messages; of a relay board's only that they are others (modbus_trace.py reads them). Reads no clock: a line
carries the time its writer was handed.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from firmware_bridge import wire
from firmware_bridge.clocksync import ClockFit
from firmware_bridge.codec import Frame, FrameReader
from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import DeviceConfig, DivertCommand, DuringCount, DuringTime, GateConfig, Reply, Window
from firmware_bridge.session import Session

TO_DEVICE = ">"
FROM_DEVICE = "<"
STATION_WIRE, MODBUS = "station", "modbus"


@dataclass(frozen=True, slots=True)
class Chunk:
    at_ns: int
    direction: str
    data: bytes
    protocol: str = STATION_WIRE


@dataclass(frozen=True, slots=True)
class Spoken:
    """One frame of a capture. `message` is None when this program does not know it; `problem` then says why."""

    at_ns: int
    direction: str
    frame: Frame
    message: wire.Message | None
    problem: str = ""


def capture_line(now_ns: int, direction: str, data: bytes, protocol: str = STATION_WIRE) -> str:
    more = "" if protocol == STATION_WIRE else f',"as":"{protocol}"'
    return f'{{"t_ns":{now_ns},"dir":"{direction}","hex":"{data.hex()}"{more}}}\n'


class CaptureWriter:
    """A link.WireTap that appends to a file; flushed by line, so that a crash keeps what was written."""

    def __init__(self, path: Path, protocol: str = STATION_WIRE) -> None:
        self._file: TextIO = path.open("a", buffering=1, encoding="ascii")
        self._protocol = protocol

    def __call__(self, now_ns: int, direction: str, data: bytes) -> None:
        self._file.write(capture_line(now_ns, direction, data, self._protocol))

    def close(self) -> None:
        self._file.close()


def read_capture(path: Path) -> Iterator[Chunk]:
    """Raises ProtocolError naming the line that is none. A cut last line (a crash) ends the capture."""
    with path.open(encoding="ascii", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                return
            try:
                row = json.loads(line)
                protocol = str(row.get("as", STATION_WIRE))
                yield Chunk(int(row["t_ns"]), str(row["dir"]), bytes.fromhex(row["hex"]), protocol)
            except (ValueError, KeyError, TypeError) as error:
                raise ProtocolError(f"{path}, line {number}: not a line of a wire capture ({error})") from error


class Decoder:
    """Chunks in, whole frames out, each direction on its own."""

    def __init__(self) -> None:
        self._readers = {TO_DEVICE: FrameReader(), FROM_DEVICE: FrameReader()}

    def feed(self, chunk: Chunk) -> list[Spoken]:
        reader = self._readers.setdefault(chunk.direction, FrameReader())
        reader.feed(chunk.data)
        spoken = []
        while (frame := reader.next_frame()) is not None:
            try:
                spoken.append(Spoken(chunk.at_ns, chunk.direction, frame, wire.decode(frame.type, frame.payload)))
            except ProtocolError as error:
                spoken.append(Spoken(chunk.at_ns, chunk.direction, frame, None, str(error)))
        return spoken

    def damaged(self, direction: str) -> int:
        return self._readers[direction].damaged


def describe(spoken: Spoken, since_ns: int = 0) -> str:
    """One line: time in ms, direction, name and values."""
    head = f"{(spoken.at_ns - since_ns) / 1e6:12.3f} {spoken.direction} {spoken.frame.session:08x}"
    message = spoken.message
    if message is None:
        return f"{head} ? {spoken.problem}: {spoken.frame.payload.hex()}"
    if isinstance(message, wire.Events):
        events = "; ".join(_event_text(seq, event) for seq, event in enumerate(message.events, start=message.first_seq))
        return f"{head} Events {events}"
    values = " ".join(f"{name}={_value_text(value)}" for name, value in zip(message._fields, message, strict=True))
    return f"{head} {type(message).__name__} {values}".rstrip()


_EVENT_NAMES = {
    wire.EVENT_FIRED: "FIRED",
    wire.EVENT_MISSED: "MISSED",
    wire.EVENT_DISARMED: "DISARMED",
    wire.EVENT_INPUT: "INPUT",
    wire.EVENT_TRIGGER: "TRIGGER",
    wire.EVENT_BOOT: "BOOT",
    wire.EVENT_FAULT: "FAULT",
}


def _event_text(seq: int, event: wire.Event) -> str:
    name = _EVENT_NAMES.get(event.kind, f"kind {event.kind}")
    return f"#{seq} {name} id={event.id} on={event.on} off={event.off} extra={event.extra}"


def _value_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(int(value) if isinstance(value, bool) else value)


def replay(chunks: Iterable[Chunk], session: Session | None = None) -> list[Reply]:
    """Live a capture again: the device's bytes are heard, the host's are taken as what the station wanted then.

    Gives the replies the station would get, so a capture from a plant is a test. `session` with the settings of then.
    """
    life = _Replay(session or Session())
    for chunk in chunks:
        life.live(chunk)
    return life.replies


class _Replay:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.replies: list[Reply] = []
        self._sent = Decoder()
        self._gates: dict[int, GateConfig] = {}
        self._known: set[int] = set()
        self._opened = False

    def live(self, chunk: Chunk) -> None:
        session = self.session
        if not self._opened:
            self._opened = True
            session.opened(chunk.at_ns)
        if chunk.direction == FROM_DEVICE:
            session.receive(chunk.data, chunk.at_ns)
        session.tick(chunk.at_ns)
        if chunk.direction == TO_DEVICE:
            for spoken in self._sent.feed(chunk):
                if spoken.message is not None:
                    self._want(spoken.message, spoken.frame.seq, chunk.at_ns)
        session.outbox.clear()
        self.replies += session.take_replies()

    def _want(self, message: wire.Message, seq: int, now_ns: int) -> None:
        session = self.session
        match message:
            case wire.Hello():
                session.greeting.adopt(message)
            case wire.ConfigGate():
                self._gates[message.gate] = GateConfig(*message[1:])
                self._request(message, seq)
            case wire.ConfigCommit():
                session.configuring.want(_config_of(self._gates, message))
                self._request(message, seq)
            case wire.Arm():
                if session.configuring.wanted is not None:
                    session.arm()
                self._request(message, seq)
            case wire.Disarm() | wire.Stop():
                session.disarm()
                self._request(message, seq)
            case wire.Cancel() | wire.ClearFault():
                self._request(message, seq)
            case wire.Lease():
                session.renew_lease(message.counter)
            case wire.Divert() if message.command_id not in self._known:
                self._known.add(message.command_id)
                session.commands.add(_command_of(message, session.clock.fit), message, now_ns)
            case _:
                pass

    def _request(self, message: wire.ToDevice, seq: int) -> None:
        self.session.requests.ask(message)
        self.session.requests.sent(message, seq)


def _config_of(gates: dict[int, GateConfig], commit: wire.ConfigCommit) -> DeviceConfig:
    return DeviceConfig(
        gates=tuple(gates[gate] for gate in range(commit.gates) if gate in gates),
        lease_ms=commit.lease_ms,
        max_late_us=commit.max_late_us,
        mm_per_count=commit.nm_per_count / 1e6 if commit.nm_per_count else None,
        far_ms=commit.far_ms,
        far_count=commit.far_count,
    )


def _command_of(divert: wire.Divert, fit: ClockFit | None) -> DivertCommand:
    window: Window
    if divert.mode == wire.MODE_COUNT or fit is None:
        window = DuringCount(divert.start, divert.end)
    else:
        window = DuringTime(fit.host_ns(divert.start), fit.host_ns(divert.end))
    return DivertCommand(divert.command_id, divert.gate_mask, window)
