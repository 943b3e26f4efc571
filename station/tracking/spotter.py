"""One camera's pictures, frame by frame: what lies in them, and how far the belt has gone. Owned by the camera's thread.

Owns all that learns from pictures: the belt's look, its motion, the direction of travel. Knows where belt travel comes from:
the encoder, a configured constant speed, or the pictures. Knows no tracks, and so needs nothing of the loop that follows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from station.config import BeltConfig, CameraConfig, DetectorConfig
from station.datatypes import Detection, Frame
from station.tracking.belt import BeltMap, Direction, configured_map, even_travel_mm
from station.tracking.detector import Detector
from station.tracking.motion import BeltMotion, DirectionFinder

LEARNING_FRAMES = 50  # pictures alone cannot tell a resting machine from a resting belt at first
LONGEST_STEP_NS = 2_000_000_000  # beyond it, an estimated speed says nothing about the travel
ENCODER_ASKED_FRAMES = 15  # how often the pictures are asked about an encoder: two neighbours of so many
SETTLED_FRAMES = 150  # until then what is left of the lamp's own pattern may look like a belt that stands
ASKED_SHARE = 0.25  # of the view: travel by the configured speed, over which stamps and pixels are exact enough
ASKED_NS = 500_000_000  # at the latest
STILL_NS = 2_000_000_000  # longer than a feeder pauses
ENCODER_BOUND_MM = 0.5
DIRECTIONS = {
    (True, True): Direction.DOWN,
    (True, False): Direction.UP,
    (False, True): Direction.RIGHT,
    (False, False): Direction.LEFT,
}
CONFIGURED_BOUND = 0.03  # of the travel since the last frame
PICTURE_BOUND = 0.08


class TravelSource(Enum):
    ENCODER = "encoder"
    CONFIGURED = "configured"
    PICTURE = "picture"


@dataclass(frozen=True, slots=True)
class ViewConfig:
    camera: CameraConfig
    belt: BeltConfig
    detector: DetectorConfig
    speed_from_picture: bool = False  # no encoder and no speed that can be trusted: a recording, a bare camera
    find_direction: bool = False  # nobody has said which way the belt runs: watch the first motion
    start_ns: int = 0  # without an encoder: where belt travel is zero, the same moment for all cameras


@dataclass(frozen=True, slots=True)
class Compared:
    """What two pictures surely say of the belt's travel between them, beside what it was taken to be."""

    source: TravelSource  # of the latter: encoder or configured speed
    over_ns: int
    seen_mm: float
    taken_mm: float

    @property
    def seen_mm_s(self) -> float:
        return self.seen_mm * 1e9 / self.over_ns

    @property
    def taken_mm_s(self) -> float:
        return self.taken_mm * 1e9 / self.over_ns


@dataclass(frozen=True, slots=True)
class Spotted:
    """A frame, what lies in it, and where the belt was: all that following items needs."""

    frame: Frame
    detections: tuple[Detection, ...]
    belt: BeltMap | None  # pixels to millimetres; another object once the view has changed; None only without pictures
    travel_mm: float  # belt travel at capture
    speed_mm_s: float | None
    bound_mm: float  # by how much the travel may be off against the last frame
    spent_ns: int = 0  # computing time, as far as somebody measured it
    compared: Compared | None = None  # None: the pictures were not asked, or are not sure


@dataclass(slots=True)
class _Sight:
    """What depends on the frame's size."""

    belt: BeltMap
    detector: Detector
    motion: BeltMotion
    bare_motion: BeltMotion  # of the belt without what lies on it


class Spotter:
    def __init__(self, config: ViewConfig) -> None:
        self._config = config
        self._sight: _Sight | None = None
        self._last: Frame | None = None
        self._kept: tuple[int, float] | None = None  # capture and travel of the picture to compare the next one with
        self._still_ns = 0  # for so long nothing has moved in the pictures
        self._frames = 0
        self._direction = Direction(config.camera.travel)
        self._finder = DirectionFinder() if config.find_direction else None
        self._travel_mm = 0.0  # at the last frame's capture
        self._speed_mm_s: float | None = None
        self.picture_speed_mm_s: float | None = None  # what the pictures say, to check the encoder by
        self.source = TravelSource.PICTURE

    def spot(self, frame: Frame) -> Spotted:
        if self._last is not None and frame.belt_epoch != self._last.belt_epoch:
            self._last = self._kept = None  # other counts: nothing is known of the travel in between
        sight = self._sight_for(frame)
        step_ns = frame.captured_ns - self._last.captured_ns if self._last else 0
        travelled = self._travel(frame)
        detections = sight.detector.find(frame, self._learnt_step_mm(travelled, step_ns))
        self._find_direction(sight)
        compared = None
        if travelled is None:
            travelled = self._travel_mm + (self._watch_motion(sight, step_ns) or 0.0)
        elif self._asks_pictures(sight, frame, travelled):
            compared = self._compare(sight, frame, travelled)
        if step_ns > 0:
            self._speed_mm_s = (travelled - self._travel_mm) * 1e9 / step_ns
        bound_mm = self._bound_mm(frame, travelled - self._travel_mm if self._last else 0.0)
        self._travel_mm, self._last = travelled, frame
        self._frames += 1
        return Spotted(frame, tuple(detections), sight.belt, travelled, self._speed_mm_s, bound_mm, compared=compared)

    def _sight_for(self, frame: Frame) -> _Sight:
        height, width = frame.bgr.shape[:2]
        known = self._sight.belt if self._sight else None
        if self._sight is None or known is None or _described(known) != (width, height, self._direction):
            self._last = self._kept = None
            camera = self._config.camera.model_copy(update={"travel": self._direction.value})
            belt = configured_map(camera, width, height, self._config.belt.width_mm)
            along_rows = belt.runs_vertically
            forward = belt.direction in (Direction.DOWN, Direction.RIGHT)
            self._sight = _Sight(
                belt,
                Detector(self._config.detector, belt.mm_per_px, along_rows),
                BeltMotion(along_rows, forward),
                BeltMotion(along_rows, forward),
            )
        return self._sight

    def _find_direction(self, sight: _Sight) -> None:
        way = self._finder.see(sight.detector.residual) if self._finder else None
        if way is None:
            return
        self._finder = None
        self._direction = DIRECTIONS[way]  # from the next frame on

    def _travel(self, frame: Frame) -> float | None:
        """Belt travel at capture; None: only the pictures can tell."""
        belt = self._config.belt
        if frame.belt_count is not None and belt.mm_per_count is not None:
            self.source = TravelSource.ENCODER
            return frame.belt_count * belt.mm_per_count
        if belt.speed_m_s is not None and not self._config.speed_from_picture:
            self.source = TravelSource.CONFIGURED
            return even_travel_mm(belt.speed_m_s, frame.captured_ns - self._config.start_ns)
        self.source = TravelSource.PICTURE
        return None

    def _learnt_step_mm(self, travelled_mm: float | None, step_ns: int) -> float:
        """Travel since the last frame, 0 where the belt is too slow for its look to be learnt."""
        if self._last is None or step_ns <= 0:
            return 0.0
        slowest_mm = self._config.detector.min_update_speed_m_s * 1e3 * step_ns / 1e9
        if travelled_mm is not None:
            step_mm = travelled_mm - self._travel_mm
            return step_mm if step_mm >= slowest_mm else 0.0
        known = self.picture_speed_mm_s
        step_mm = (known or 0.0) * step_ns / 1e9
        return max(step_mm, slowest_mm) if self._frames < LEARNING_FRAMES else step_mm if step_mm >= slowest_mm else 0.0

    def _watch_motion(self, sight: _Sight, step_ns: int) -> float | None:
        """What the pictures say of the travel since the picture before."""
        mm = sight.belt.along_mm_per_px * sight.detector.scale
        seen_mm = sight.motion.see(sight.detector.residual, mm, step_ns if step_ns < LONGEST_STEP_NS else 0)
        self.picture_speed_mm_s = sight.motion.speed_mm_s
        return seen_mm

    def _asks_pictures(self, sight: _Sight, frame: Frame, travelled_mm: float) -> bool:
        """Against encoder or configured speed a look now and then is enough; it costs a millisecond."""
        if self.source is TravelSource.ENCODER:
            number = self._frames % ENCODER_ASKED_FRAMES
            if number == 0:
                self._kept = None
            return number <= 1
        if self._kept is None:
            return True
        kept_ns, kept_mm = self._kept
        enough_mm = ASKED_SHARE * sight.belt.view_length_mm
        return travelled_mm - kept_mm >= enough_mm or frame.captured_ns - kept_ns >= ASKED_NS

    def _compare(self, sight: _Sight, frame: Frame, travelled_mm: float) -> Compared | None:
        """What the pictures say since the one kept for this, if they are sure; this one is kept for the next."""
        kept_ns, kept_mm = self._kept or (frame.captured_ns, travelled_mm)
        self._kept = (frame.captured_ns, travelled_mm)
        over_ns, taken_mm = frame.captured_ns - kept_ns, travelled_mm - kept_mm
        self._watch_motion(sight, over_ns)
        seen_mm = sight.motion.sure_mm
        if self.source is TravelSource.CONFIGURED:
            seen_mm = self._bare_mm(sight, over_ns, taken_mm) if self._frames >= SETTLED_FRAMES else None
        return None if seen_mm is None else Compared(self.source, over_ns, seen_mm, taken_mm)

    def _bare_mm(self, sight: _Sight, over_ns: int, taken_mm: float) -> float | None:
        """By the belt's own texture, else by all that lies on it."""
        mm = sight.belt.along_mm_per_px * sight.detector.scale
        sight.bare_motion.see(sight.detector.bare_residual, mm, over_ns if over_ns < LONGEST_STEP_NS else 0)
        self._still_ns = self._still_ns + over_ns if sight.motion.still else 0
        if sight.bare_motion.sure_mm is not None:
            return sight.bare_motion.sure_mm
        # A jam alone in view, between two items of the feed, looks like a belt that stands.
        if sight.motion.sure_mm is None or 0 < self._still_ns < STILL_NS:
            return None
        # Tops of items are nearer to the camera and look faster: they show that the belt is slower, never that it is faster.
        return min(sight.motion.sure_mm, taken_mm)

    def _bound_mm(self, frame: Frame, step_mm: float) -> float:
        if self.source is TravelSource.ENCODER:
            counts = frame.belt_count_bound or 0.0
            return max(ENCODER_BOUND_MM, counts * (self._config.belt.mm_per_count or 0.0))
        share = PICTURE_BOUND if self.source is TravelSource.PICTURE else CONFIGURED_BOUND
        return ENCODER_BOUND_MM + share * abs(step_mm)


def _described(belt: BeltMap) -> tuple[int, int, Direction]:
    return belt.width_px, belt.height_px, belt.direction
