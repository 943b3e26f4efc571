"""What the station says to a controller and hears from it, in host nanoseconds and encoder counts.

Knows no bytes, no device clock, no port. A command's window is when the *item* should feel the gate; opening and closing
delays are the device's own business (ARCHITECTURE, "Where such programs become a mess").
"""

from dataclasses import dataclass
from enum import Enum, Flag
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class DuringTime:
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class DuringCount:
    start_count: int
    end_count: int


Window: TypeAlias = DuringTime | DuringCount


@dataclass(frozen=True, slots=True)
class DivertCommand:
    command_id: int  # 1 .. 2**32-1, never reused within a run
    gate_mask: int  # bit g = gate g
    window: Window


class Refusal(Enum):
    """Why a device did not take a command. The numbers are the wire's."""

    LATE = 1
    FAR = 2
    FULL = 3
    GATE_LIMIT = 4
    NOT_ARMED = 5
    ID_CONFLICT = 6
    BAD_ARGUMENT = 7


class MissReason(Enum):
    """Why an accepted command did not act. The numbers are the wire's."""

    LATE = 1  # its output could not be on in time
    CANCELLED = 2  # by the host
    DISARMED = 3  # lease, stop, fault
    BELT_STOPPED = 4  # closed at maximum hold while the belt stood in its window
    REBOOT = 5  # the device restarted: it no longer knows


class DisarmReason(Enum):
    """Why the device is not armed. The numbers are the wire's."""

    BOOT = 1
    HOST = 2  # DISARM
    STOP = 3
    LEASE = 4
    ESTOP = 5
    FAULT = 6
    OUTPUT = 7


class DeviceFault(Flag):
    """Latched in the device until cleared; it cannot be armed meanwhile. The bits are the wire's."""

    ENCODER_SILENT = 1  # no counts while the belt-running input says motion
    OUTPUT_DIFFERS = 2  # a gate's pin does not follow what was commanded
    STALLED = 4


class LinkState(Enum):
    CLOSED = "closed"  # no port
    GREETING = "greeting"  # port open, no session yet
    SYNCING = "syncing"  # session, clock bound still too wide
    READY = "ready"  # may be armed
    ARMED = "armed"
    LOST = "lost"  # was there, is silent or unplugged


@dataclass(frozen=True, slots=True)
class Accepted:
    command_id: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Refused:
    command_id: int
    refusal: Refusal
    at_ns: int


@dataclass(frozen=True, slots=True)
class Fired:
    """The output acted over the command's window. `on_error_us`: output-on edge minus its due moment."""

    command_id: int
    on_ns: int
    off_ns: int
    on_count: int
    off_count: int
    on_error_us: int


@dataclass(frozen=True, slots=True)
class NotFired:
    command_id: int
    reason: MissReason
    at_ns: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The link could not learn the device's answer before the window closed, or lost the device."""

    command_id: int
    accepted: bool  # it had been acknowledged: it may have fired
    at_ns: int


@dataclass(frozen=True, slots=True)
class LinkChanged:
    state: LinkState
    at_ns: int
    detail: str  # for people: port, reason, remedy
    new_boot: bool = False  # the device restarted: counts start a new epoch


@dataclass(frozen=True, slots=True)
class Disarmed:
    reason: DisarmReason
    at_ns: int


@dataclass(frozen=True, slots=True)
class EncoderSilent:
    """No ENCODER message for `silent_ms`, or the belt-running input says motion while the count stands."""

    silent_ms: int
    at_ns: int


ESTOP_PIN = 0


@dataclass(frozen=True, slots=True)
class InputChanged:
    pin: int  # 0 E-stop (level 1: pressed), 1 belt running, 2 photo-eye, others as wired
    level: bool
    at_ns: int
    count: int  # 0 without an encoder


@dataclass(frozen=True, slots=True)
class TriggerGiven:
    """One pulse of the camera trigger, at its rising edge. Numbers run from 1; a hole is pulses given but not told."""

    number: int
    at_ns: int
    count: int


@dataclass(frozen=True, slots=True)
class FaultRaised:
    fault: DeviceFault
    gate: int  # of OUTPUT_DIFFERS, else 0
    at_ns: int
    count: int


Reply: TypeAlias = (
    Accepted
    | Refused
    | Fired
    | NotFired
    | Unanswered
    | LinkChanged
    | Disarmed
    | EncoderSilent
    | InputChanged
    | TriggerGiven
    | FaultRaised
)


@dataclass(frozen=True, slots=True)
class GateConfig:
    """One gate as the device must know it. Level 0 or 1 is the output's safe level: mandatory, a process decision."""

    safe_level: int
    min_hold_us: int
    max_hold_us: int
    min_gap_us: int  # between off and the next on; windows closer than this are refused or join
    opening_delay_us: int
    closing_delay_us: int
    max_duty_permille: int  # over 10 s


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    gates: tuple[GateConfig, ...]
    lease_ms: int  # silence after which the device disarms itself, 100..1000
    max_late_us: int  # an output that cannot be on within this of its due moment is missed
    mm_per_count: float | None  # None: no encoder, time windows only
    far_ms: int  # farthest acceptable window in time
    far_count: int  # farthest acceptable window in counts


@dataclass(frozen=True, slots=True)
class Capabilities:
    timing: str  # "device" or "host"
    has_count: bool
    gates: int
    queue_depth: int
    id_memory: int
    event_ring: int
    uid: str
    firmware: str


@dataclass(frozen=True, slots=True)
class CountAt:
    """Encoder count at a host moment, true within +- bound; speed from the same samples."""

    count: float
    bound: float
    counts_per_s: float
    sample_age_ms: float  # distance to the newest sample used


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """A snapshot for people, reports and health."""

    state: LinkState
    timing: str
    retries: int
    nacks: dict[str, int]
    sync_bound_us: int | None
    round_trip_us: int | None
    queue_free: int | None
    crc_errors: int
    reconnects: int
    boot_id: int | None
    line_permit: bool
    port: str
    events_lost: int = 0  # by the device, its ring being full; never reports of commands
    faults: tuple[str, ...] = ()  # latched in the device
    foreign: int = 0  # frames of other sessions, heard by either end: another program is on the line
