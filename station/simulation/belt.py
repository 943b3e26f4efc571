"""The belt's true motion: where it is and how fast at any host time, and when it reaches a place.

Knows nothing of encoders' faults, cameras or items. Positions are in mm from where its record began.
"""

from __future__ import annotations

import math
import mmap
import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from station.simulation.faults import Fault

MAGIC = b"STNBELT1"  # firmware_bridge/PROTOCOL.md, "Belt profile file"
HEADER = struct.Struct("<8sIIdd")
SEGMENT = struct.Struct("<Qddd")
MAX_SEGMENTS = 256
_SEQUENCE_AT = 8
_NS = 1e9


@dataclass(frozen=True, slots=True)
class Segment:
    """Constant acceleration from `t_ns` until the next segment; the last holds for ever."""

    t_ns: int
    position_mm: float
    speed_mm_s: float
    accel_mm_s2: float

    def position_at(self, t_ns: int) -> float:
        t_s = (t_ns - self.t_ns) / _NS
        return self.position_mm + self.speed_mm_s * t_s + 0.5 * self.accel_mm_s2 * t_s * t_s

    def speed_at(self, t_ns: int) -> float:
        return self.speed_mm_s + self.accel_mm_s2 * (t_ns - self.t_ns) / _NS


@dataclass(frozen=True, slots=True)
class BeltProfile:
    segments: tuple[Segment, ...]

    def _at(self, t_ns: int) -> Segment | None:
        index = bisect_right(self.segments, t_ns, key=lambda segment: segment.t_ns) - 1
        return self.segments[index] if index >= 0 else None

    def position_mm(self, t_ns: int) -> float:
        """Before the record the belt stood where the record begins."""
        segment = self._at(t_ns)
        return segment.position_at(t_ns) if segment else self.segments[0].position_mm

    def speed_mm_s(self, t_ns: int) -> float:
        segment = self._at(t_ns)
        return segment.speed_at(t_ns) if segment else 0.0

    def time_ns(self, position_mm: float) -> int | None:
        """The first moment at which the belt has come this far; None if it never does."""
        if position_mm <= self.segments[0].position_mm:
            return self.segments[0].t_ns
        for index, segment in enumerate(self.segments):
            last = index + 1 == len(self.segments)
            duration_s = math.inf if last else (self.segments[index + 1].t_ns - segment.t_ns) / _NS
            reached_s = _first_root(segment, position_mm - segment.position_mm)
            if reached_s is not None and reached_s <= duration_s + 1e-9:
                return segment.t_ns + math.ceil(reached_s * _NS - 1e-3)
        return None

    def changed(self, at_ns: int, target_mm_s: float, ramp_mm_s2: float) -> BeltProfile:
        """The belt told at `at_ns` to go at another speed; everything planned later is dropped."""
        position_mm, speed_mm_s = self.position_mm(at_ns), self.speed_mm_s(at_ns)
        kept = tuple(segment for segment in self.segments if segment.t_ns < at_ns)
        if math.isclose(speed_mm_s, target_mm_s, abs_tol=1e-9):
            return BeltProfile((*kept, Segment(at_ns, position_mm, target_mm_s, 0.0)))
        accel = math.copysign(ramp_mm_s2, target_mm_s - speed_mm_s)
        ramp = Segment(at_ns, position_mm, speed_mm_s, accel)
        arrives_ns = at_ns + math.ceil((target_mm_s - speed_mm_s) / accel * _NS)
        hold = Segment(arrives_ns, ramp.position_at(arrives_ns), target_mm_s, 0.0)
        return BeltProfile((*kept, ramp, hold))


def _first_root(segment: Segment, distance_mm: float) -> float | None:
    """Seconds until the segment has covered the distance, None if it turns or stands before that."""
    speed, accel = segment.speed_mm_s, segment.accel_mm_s2
    if distance_mm <= 0:
        return 0.0
    if abs(accel) < 1e-12:
        return distance_mm / speed if speed > 0 else None
    square = speed * speed + 2 * accel * distance_mm
    if square < 0:
        return None
    root_s = (math.sqrt(square) - speed) / accel
    return root_s if root_s >= 0 else None


def cruising(start_ns: int, speed_mm_s: float, position_mm: float = 0.0) -> BeltProfile:
    return BeltProfile((Segment(start_ns, position_mm, speed_mm_s, 0.0),))


def with_faults(profile: BeltProfile, faults: Sequence[Fault], start_ns: int, ramp_mm_s2: float) -> BeltProfile:
    """`belt-slow` (to half) and `belt-stop`, each with a ramp down and a ramp up again."""
    cruise_mm_s = profile.speed_mm_s(start_ns)
    for fault in sorted(faults, key=lambda fault: fault.at_s):
        if fault.name not in ("belt-slow", "belt-stop"):
            continue
        target_mm_s = cruise_mm_s / 2 if fault.name == "belt-slow" else 0.0
        profile = profile.changed(fault.start_ns(start_ns), target_mm_s, ramp_mm_s2)
        profile = profile.changed(fault.end_ns(start_ns), cruise_mm_s, ramp_mm_s2)
    return profile


def slipped(profile: BeltProfile, faults: Sequence[Fault], start_ns: int) -> BeltProfile:
    """What the encoder makes of the belt's motion: while its coupling slips (`slip`) it stands, and then goes on from there."""
    slips = [fault for fault in faults if fault.name == "slip"]
    if not slips:
        return profile
    moments_ns = {segment.t_ns for segment in profile.segments}
    moments_ns |= {at_ns for fault in slips for at_ns in (fault.start_ns(start_ns), fault.end_ns(start_ns))}
    segments: list[Segment] = []
    lost_mm = 0.0
    for at_ns in sorted(moments_ns):
        here = profile._at(at_ns)
        if here is None:
            continue
        if segments and segments[-1].speed_mm_s == segments[-1].accel_mm_s2 == 0.0:
            lost_mm = here.position_at(at_ns) - segments[-1].position_mm
        position_mm = here.position_at(at_ns) - lost_mm
        slips_now = any(fault.covers(at_ns, start_ns) for fault in slips)
        motion = (0.0, 0.0) if slips_now else (here.speed_at(at_ns), here.accel_mm_s2)
        segments.append(Segment(at_ns, position_mm, *motion))
    return BeltProfile(tuple(segments))


def count_of(position_mm: float, mm_per_count: float) -> int:
    return math.floor(position_mm / mm_per_count)


def write_profile(path: Path, profile: BeltProfile, mm_per_count: float) -> None:
    """Write or overwrite the file the device process maps. A reader never sees half a profile (sequence lock)."""
    if len(profile.segments) > MAX_SEGMENTS:
        raise ValueError(f"{len(profile.segments)} belt segments, the file holds {MAX_SEGMENTS}")
    size = HEADER.size + MAX_SEGMENTS * SEGMENT.size
    if not path.exists() or path.stat().st_size != size:
        path.write_bytes(HEADER.pack(MAGIC, 0, 0, mm_per_count, 0.0).ljust(size, b"\0"))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as memory:
        sequence = int(struct.unpack_from("<I", memory, _SEQUENCE_AT)[0]) & 0xFFFF_FFFE
        struct.pack_into("<I", memory, _SEQUENCE_AT, sequence + 1)
        for index, segment in enumerate(profile.segments):
            values = (segment.t_ns, segment.position_mm, segment.speed_mm_s, segment.accel_mm_s2)
            SEGMENT.pack_into(memory, HEADER.size + index * SEGMENT.size, *values)
        done = (sequence + 2) & 0xFFFF_FFFF
        HEADER.pack_into(memory, 0, MAGIC, sequence + 1, len(profile.segments), mm_per_count, 0.0)
        struct.pack_into("<I", memory, _SEQUENCE_AT, done)


def read_profile(path: Path) -> tuple[BeltProfile, float]:
    """The profile and mm per count; for tests and for whoever reads a run's record."""
    data = path.read_bytes()
    magic, sequence, count, mm_per_count, _ = HEADER.unpack_from(data)
    if magic != MAGIC or sequence % 2 or count > MAX_SEGMENTS:
        raise ValueError(f"{path}: not a belt profile (magic {magic!r}, sequence {sequence}, {count} segments)")
    segments = (Segment(*SEGMENT.unpack_from(data, HEADER.size + i * SEGMENT.size)) for i in range(count))
    return BeltProfile(tuple(segments)), float(mm_per_count)
