"""Every message's bytes, as PROTOCOL.md lists them: one named tuple and one layout each, and nothing else.

Values are the wire's own (device microseconds, integer codes); what they mean is for session and clocksync.
"""

from struct import Struct
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import DeviceConfig

VERSION: Final = 1
SCHEMA: Final = b"station-wire/1 r3"
SCHEMA_HASH: Final = crc32(SCHEMA)

ERRORS: Final = {
    1: "bad argument",
    2: "the device holds another configuration",
    3: "not while armed",
    4: "not armed",
    5: "a fault is latched",
    6: "the E-stop is active",
    7: "unknown message",
    8: "window already begun",
    9: "unknown command id",
}
"""The `error` of Ack and ConfigReply, in words."""

EVENT_FIRED: Final = 1
EVENT_MISSED: Final = 2
EVENT_DISARMED: Final = 3
EVENT_INPUT: Final = 4
EVENT_TRIGGER: Final = 5
EVENT_BOOT: Final = 6
EVENT_FAULT: Final = 7

NO_GATE: Final = 255
"""In ConfigReply and ReadConfig: no gate's, the values common to all."""

MODE_TIME: Final = 0
MODE_COUNT: Final = 1


class Hello(NamedTuple):
    version: int
    session: int
    nonce: int


class ConfigGate(NamedTuple):
    gate: int
    safe_level: int
    min_hold_us: int
    max_hold_us: int
    min_gap_us: int
    opening_us: int
    closing_us: int
    max_duty_permille: int


class ConfigCommit(NamedTuple):
    gates: int
    lease_ms: int
    max_late_us: int
    nm_per_count: int  # 0: no encoder
    far_ms: int
    far_count: int
    crc: int


class Arm(NamedTuple):
    crc: int
    permit: bool


class Lease(NamedTuple):
    counter: int
    want_armed: bool
    want_permit: bool


class Sync(NamedTuple):
    t1_ns: int


class Divert(NamedTuple):
    command_id: int
    gate_mask: int
    mode: int
    start: int  # device us or counts
    end: int


class Cancel(NamedTuple):
    command_id: int  # 0: all that has not begun


class Disarm(NamedTuple):
    pass


class Stop(NamedTuple):
    pass


class EventAck(NamedTuple):
    newest_seq: int


class ClearFault(NamedTuple):
    pass


class ReadConfig(NamedTuple):
    gate: int  # NO_GATE: the common values


class Trigger(NamedTuple):
    """The camera's trigger output; a board without one answers "unknown message"."""

    period_us: int  # 0: off
    pulse_us: int


class HelloReply(NamedTuple):
    version: int
    nonce: int
    boot_id: int
    uid: bytes
    firmware_hash: int
    schema_hash: int
    gates: int
    has_encoder: bool
    queue_depth: int
    id_memory: int
    event_ring: int
    reset_cause: int
    config_crc: int
    now_us: int


class Ack(NamedTuple):
    acked_type: int
    acked_seq: int
    error: int  # 0: done


class ConfigReply(NamedTuple):
    crc: int
    error: int
    gate: int


class HeldGate(NamedTuple):
    """What the device holds, as ConfigGate brought it."""

    gate: int
    safe_level: int
    min_hold_us: int
    max_hold_us: int
    min_gap_us: int
    opening_us: int
    closing_us: int
    max_duty_permille: int


class HeldCommon(NamedTuple):
    """What the device holds, as ConfigCommit brought it."""

    gates: int
    lease_ms: int
    max_late_us: int
    nm_per_count: int
    far_ms: int
    far_count: int
    crc: int  # 0: not committed


class Status(NamedTuple):
    counter: int
    armed: bool
    permit: bool
    disarm_reason: int
    faults: int
    gates_on: int
    queue_free: int
    events_lost: int
    crc_errors: int
    foreign: int
    config_crc: int
    now_us: int
    belt_count: int


class SyncReply(NamedTuple):
    t1_ns: int
    t2_us: int
    t3_us: int
    belt_count: int  # at t3


class Answer(NamedTuple):
    command_id: int
    answer: int  # 0: queued, else a Refusal
    now_us: int


class Encoder(NamedTuple):
    belt_count: int
    at_us: int


class Event(NamedTuple):
    kind: int
    flags: int
    id: int
    on: int
    off: int
    extra: int


class Events(NamedTuple):
    first_seq: int
    events: tuple[Event, ...]


ToDevice: TypeAlias = (
    Hello
    | ConfigGate
    | ConfigCommit
    | Arm
    | Lease
    | Sync
    | Divert
    | Cancel
    | Disarm
    | Stop
    | EventAck
    | ClearFault
    | ReadConfig
    | Trigger
)
FromDevice: TypeAlias = (
    HelloReply | Ack | ConfigReply | HeldGate | HeldCommon | Status | SyncReply | Answer | Encoder | Events
)
Message: TypeAlias = ToDevice | FromDevice

_EVENT = Struct("<BBIQqi")
_EVENTS_HEAD = Struct("<IB")
_EVENTS_TYPE: Final = 0x90
MAX_EVENTS: Final = 3

LAYOUT: Final[dict[type[Message], tuple[int, Struct]]] = {
    Hello: (0x01, Struct("<BII")),
    ConfigGate: (0x02, Struct("<BBIIIIIH")),
    ConfigCommit: (0x03, Struct("<BHIIIII")),
    Arm: (0x04, Struct("<I?")),
    Lease: (0x05, Struct("<I??")),
    Sync: (0x06, Struct("<Q")),
    Divert: (0x07, Struct("<IIBqq")),
    Cancel: (0x08, Struct("<I")),
    Disarm: (0x09, Struct("<")),
    Stop: (0x0A, Struct("<")),
    EventAck: (0x0B, Struct("<I")),
    ClearFault: (0x0C, Struct("<")),
    ReadConfig: (0x0D, Struct("<B")),
    Trigger: (0x0E, Struct("<II")),
    HelloReply: (0x81, Struct("<BII8sIIB?HHHBIQ")),
    Ack: (0x82, Struct("<BBB")),
    ConfigReply: (0x83, Struct("<IBB")),
    HeldGate: (0x84, Struct("<BBIIIIIH")),
    Status: (0x85, Struct("<I??BHIHHHHIQq")),
    SyncReply: (0x86, Struct("<QQQq")),
    Answer: (0x87, Struct("<IBQ")),
    HeldCommon: (0x88, Struct("<BHIIIII")),
    Encoder: (0x91, Struct("<qQ")),
}
"""Type byte and payload of every message but EVENTS, whose length varies."""

_BY_TYPE = {kind: (message, layout) for message, (kind, layout) in LAYOUT.items()}


def type_of(message: type[Message]) -> int:
    return _EVENTS_TYPE if message is Events else LAYOUT[message][0]


def encode(message: Message) -> bytes:
    """The payload; the type byte is `type_of`."""
    if isinstance(message, Events):
        events = b"".join([_EVENT.pack(*event) for event in message.events])
        return _EVENTS_HEAD.pack(message.first_seq, len(message.events)) + events
    return LAYOUT[type(message)][1].pack(*message)


def decode(kind: int, payload: bytes) -> Message:
    """Raises ProtocolError for an unknown type or a payload of the wrong length."""
    if kind == _EVENTS_TYPE:
        return _decode_events(payload)
    found = _BY_TYPE.get(kind)
    if found is None:
        raise ProtocolError(f"message type {kind:#04x} is not in protocol version {VERSION}")
    message, layout = found
    if len(payload) != layout.size:
        raise ProtocolError(f"{message.__name__}: {len(payload)} bytes, protocol version {VERSION} has {layout.size}")
    decoded: Message = message(*layout.unpack(payload))
    return decoded


def _decode_events(payload: bytes) -> Events:
    if len(payload) < _EVENTS_HEAD.size:
        raise ProtocolError(f"Events: {len(payload)} bytes, at least {_EVENTS_HEAD.size} expected")
    first_seq, n = _EVENTS_HEAD.unpack_from(payload)
    if n > MAX_EVENTS or len(payload) != _EVENTS_HEAD.size + n * _EVENT.size:
        raise ProtocolError(f"Events: {n} events in {len(payload)} bytes")
    return Events(first_seq, tuple(Event._make(e) for e in _EVENT.iter_unpack(payload[_EVENTS_HEAD.size :])))


def gate_messages(config: DeviceConfig) -> list[ConfigGate]:
    return [
        ConfigGate(
            gate,
            g.safe_level,
            g.min_hold_us,
            g.max_hold_us,
            g.min_gap_us,
            g.opening_delay_us,
            g.closing_delay_us,
            g.max_duty_permille,
        )
        for gate, g in enumerate(config.gates)
    ]


def commit_message(config: DeviceConfig) -> ConfigCommit:
    """Carries the CRC of the whole configuration: gates in order without their number, then this without the CRC."""
    nm_per_count = 0 if config.mm_per_count is None else round(config.mm_per_count * 1e6)
    commit = ConfigCommit(
        len(config.gates), config.lease_ms, config.max_late_us, nm_per_count, config.far_ms, config.far_count, 0
    )
    covered = b"".join([encode(gate)[1:] for gate in gate_messages(config)]) + encode(commit)[:-4]
    return commit._replace(crc=crc32(covered))
