"""The encoder against the pictures: how many millimetres the belt really moves per count, and how fast it runs.

The pictures measure in calibrated millimetres and know nothing of the encoder, so the two check each other: a wrong
mm_per_count, a slipping wheel or a wrong scale of the camera show as a difference. Reads no clock and opens nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from station.config import CameraConfig, StationConfig
from station.datatypes import Frame
from station.errors import StationError
from station.tracking.belt import configured_map
from station.tracking.belt_check import SPEED_LIMIT
from station.tracking.spotter import LEARNING_FRAMES, Spotter, ViewConfig

SETTLING_FRAMES = LEARNING_FRAMES + 10
FEWEST_FRAMES = 60
LEAST_TRAVEL_MM = 300.0  # less, and a pixel of error is too much of it
LARGE_DIFFERENCE = SPEED_LIMIT  # without an encoder, nothing is sent to the gates at such a speed error
UNEVEN = 0.05
FEWEST_PARTS = 4  # half seconds
SHIFT_ERROR_PX = 0.1  # of the picture that motion is measured in: what every frame's shift may be off to the same side


@dataclass(frozen=True, slots=True)
class BeltSpeed:
    seconds: float
    picture_mm: float
    counts: float | None  # None: no encoder was read
    configured_mm_per_count: float | None
    unevenness: float  # of the speed the pictures see: standard deviation over half seconds, relative
    bound: float | None = None  # 95 %, relative, of what the pictures say; not of the camera's own scale

    @property
    def picture_m_s(self) -> float:
        return self.picture_mm / self.seconds / 1000

    @property
    def mm_per_count(self) -> float | None:
        """What the pictures say a count is; negative when the encoder counts backwards."""
        return None if self.counts is None or self.counts == 0 else self.picture_mm / self.counts

    @property
    def difference(self) -> float | None:
        """Of the encoder's travel, by the configured value, from the pictures'."""
        if self.counts is None or self.configured_mm_per_count is None:
            return None
        return self.counts * self.configured_mm_per_count / self.picture_mm - 1

    @property
    def agrees(self) -> bool:
        """The configured value lies within what the pictures can tell: measuring gave no reason to change it."""
        return self.difference is not None and self.bound is not None and abs(self.difference) <= self.bound

    @property
    def warnings(self) -> tuple[str, ...]:
        found = []
        if self.counts == 0:
            found.append("the encoder does not count although the belt moves: check its wheel, coupling and cable")
        if self.counts is not None and self.counts < 0:
            found.append("the encoder counts backwards: swap its A and B wires")
        elif (
            self.counts
            and self.difference is not None
            and abs(self.difference) > max(LARGE_DIFFERENCE, self.bound or 0)
        ):
            found.append(
                f"encoder and pictures differ by {self.difference:+.1%}: mm_per_count, the camera's calibration, or a "
                "slipping wheel; measure one metre of belt to know which"
            )
        if self.unevenness > UNEVEN:
            found.append(f"the belt does not run evenly ({self.unevenness:.0%}): measure while its speed is constant")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "picture": {"travel_mm": self.picture_mm, "speed_m_s": self.picture_m_s, "unevenness": self.unevenness},
            "encoder": None
            if self.counts is None
            else {"counts": self.counts, "mm_per_count": self.configured_mm_per_count},
            "mm_per_count": self.mm_per_count,
            "bound": self.bound,
            "difference": self.difference,
            "warnings": list(self.warnings),
        }

    @property
    def text(self) -> str:
        lines = [f"pictures: {self.picture_mm:.0f} mm in {self.seconds:.1f} s = {self.picture_m_s:.3f} m/s"]
        if self.counts is not None:
            by_config = (
                ""
                if self.difference is None
                else f", configured {self.configured_mm_per_count:g} ({self.difference:+.2%})"
            )
            measured = "none" if self.mm_per_count is None else f"{self.mm_per_count:.5f}"
            within = "" if self.bound is None else f" within {self.bound:.2%}"
            lines.append(
                f"encoder: {self.counts:.0f} counts; by the pictures {measured} mm per count{within}{by_config}"
            )
        if self.agrees:
            lines.append("the configured value lies within what the pictures can tell: no reason to change it")
        return "\n".join([*lines, *(f"note: {warning}" for warning in self.warnings)])


@dataclass(frozen=True, slots=True)
class Sighting:
    """Belt travel at one frame, by the pictures, and the encoder's count then."""

    captured_ns: int
    travel_mm: float
    count: float | None


class SpeedCheck:
    """Feed every frame, with the encoder's count at its capture where there is one."""

    def __init__(self, config: StationConfig, camera: CameraConfig) -> None:
        self._mm_per_count = config.belt.mm_per_count
        seen_at = configured_map(camera, camera.width_px, camera.height_px, config.belt.width_mm)
        coarser = max(1.0, camera.width_px / config.detector.work_width_px)
        self._shift_error_mm = SHIFT_ERROR_PX * coarser * seen_at.mm_per_px
        belt = config.belt.model_copy(update={"mm_per_count": None, "speed_m_s": None})
        self._spotter = Spotter(ViewConfig(camera, belt, config.detector, speed_from_picture=True))
        self._seen = 0
        self._sightings: list[Sighting] = []

    def add(self, frame: Frame, count: float | None) -> None:
        spotted = self._spotter.spot(frame)
        self._seen += 1
        if self._seen > SETTLING_FRAMES:
            self._sightings.append(Sighting(frame.captured_ns, spotted.travel_mm, count))

    def result(self) -> BeltSpeed:
        return judge(self._sightings, self._mm_per_count, self._shift_error_mm)


def judge(seen: Sequence[Sighting], mm_per_count: float | None, shift_error_mm: float = 0.0) -> BeltSpeed:
    """`shift_error_mm`: what each frame's shift may be off. Raises StationError when there is too little to judge by."""
    if len(seen) < FEWEST_FRAMES:
        needed = SETTLING_FRAMES + FEWEST_FRAMES
        raise StationError(
            f"too few frames ({needed} are needed, the first {SETTLING_FRAMES} to settle): measure longer"
        )
    picture_mm = seen[-1].travel_mm - seen[0].travel_mm
    seconds = (seen[-1].captured_ns - seen[0].captured_ns) / 1e9
    if picture_mm < LEAST_TRAVEL_MM:
        raise StationError(
            f"the pictures see only {picture_mm:.0f} mm of travel in {seconds:.1f} s (at least {LEAST_TRAVEL_MM:.0f} are "
            "needed). Does the belt run, with items or a texture the camera can see, and is `travel` right?"
        )
    counts = None
    counted = [(sighting.travel_mm, sighting.count) for sighting in seen if sighting.count is not None]
    if counted:
        (from_mm, first), (to_mm, last) = counted[0], counted[-1]
        # Scaled to the whole travel: the count may have begun a little later than the pictures.
        counts = (last - first) * picture_mm / max(to_mm - from_mm, 1e-9)
    scatter = _scatter(seen)
    bound = None if scatter is None else scatter + shift_error_mm * (len(seen) - 1) / picture_mm
    return BeltSpeed(seconds, picture_mm, counts, mm_per_count, _unevenness(seen), bound)


def _scatter(seen: Sequence[Sighting]) -> float | None:
    """How far the mean may be off by chance (95 %, relative), from its half seconds. None when too few have been seen.

    Against the encoder where there is one (a speed that changes is no error then), else against an even speed. An error of the
    camera's calibration is in every half second alike and does not show here: a tape measure finds it.
    """
    paced = [sighting for sighting in seen if sighting.count is not None]
    pace = np.array([sighting.count if paced else sighting.captured_ns for sighting in paced or seen], np.float64)
    travel_mm = np.array([sighting.travel_mm for sighting in paced or seen])
    times_s = np.array([sighting.captured_ns for sighting in paced or seen]) / 1e9
    marks_s = np.arange(times_s[0], times_s[-1], 0.5)
    paces = np.diff(np.interp(marks_s, times_s, pace))
    if len(paces) < FEWEST_PARTS or not (np.abs(paces) > 0).all():
        return None
    ratios = np.diff(np.interp(marks_s, times_s, travel_mm)) / paces
    return float(2.0 * ratios.std(ddof=1) / np.sqrt(len(ratios)) / abs(ratios.mean()))


def _unevenness(seen: Sequence[Sighting]) -> float:
    """A single frame's shift is quantised; half a second of them is not."""
    times_s = np.array([sighting.captured_ns for sighting in seen]) / 1e9
    travel_mm = np.array([sighting.travel_mm for sighting in seen])
    marks_s = np.arange(times_s[0], times_s[-1], 0.5)
    speeds = np.diff(np.interp(marks_s, times_s, travel_mm)) / 0.5
    return float(speeds.std() / speeds.mean()) if len(speeds) > 1 and speeds.mean() > 0 else 0.0
