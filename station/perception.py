"""From what the cameras' threads have spotted to items with beliefs: follow, choose looks, recognise, say who is due.

One view state per camera; one batch of looks over all of them. A camera that is slow or silent costs its own items only: time
is judged per camera. Knows no bins, no gates and no ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from station.config import StationConfig
from station.datatypes import Belief, Classification, EndedTrack, Look, Track, TrackEnd
from station.errors import ModelError
from station.items import Item, Items
from station.recognition.look_plan import LookPace, Offer, choose
from station.recognition.voting import fuse
from station.sorting.reseen import Reseen
from station.sorting.scheduler import Motion
from station.tracking.belt_check import BeltCheck
from station.tracking.spotter import Spotted
from station.tracking.tracker import TrackUpdate

CAMERA_SILENT_NS = 500_000_000
STANDING_MM_S = 10.0
FRAME_OVERDUE_NS = 20_000_000
MODEL_REST_NS = 1_000_000_000
FRAMES_LEFT_STANDING = 1_000_000


class Eye(Protocol):
    """One camera's view state (tracking.view), or the stub of a labelled soak."""

    travel_mm: float  # belt travel at the last frame's capture
    speed_mm_s: float | None

    def see(self, spotted: Spotted) -> TrackUpdate: ...

    def restart(self) -> Sequence[EndedTrack]: ...

    def end_mm(self) -> float:
        """Downstream edge of the view on the station axis."""


class Recogniser(Protocol):
    """recognition.classifier, or the stub of a labelled soak."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def classify(self, looks: Sequence[Look]) -> list[Classification]: ...


@dataclass(frozen=True, slots=True)
class Followed:
    met: tuple[Track, ...]  # items seen now, or ended now
    known_already: tuple[int, ...]  # new tracks of items that have their outcome
    ended: tuple[EndedTrack, ...]


class Perception:
    def __init__(self, config: StationConfig, eyes: Mapping[str, Eye], recogniser: Recogniser, items: Items) -> None:
        self._recognition = config.recognition
        self._eyes = eyes
        self._recogniser = recogniser
        self._items = items
        self._reseen = {camera_id: Reseen() for camera_id in eyes}
        self._checks = {camera_id: BeltCheck() for camera_id in eyes}
        self._alive_ns: dict[str, int] = {}
        self._period_ns = {camera.id: round(1e9 / camera.fps) for camera in config.cameras}
        self._pace = LookPace(min(self._period_ns.values()))
        self._trouble: str | None = None
        self._failed_ns = 0
        self.motion: dict[str, Motion] = {}  # of the belt, as each camera last saw it
        self.jammed: dict[str, tuple[int, ...]] = {}  # by camera: items that stand still on the moving belt
        self.encoder_fault: str | None = None  # found in the frames just followed, in words

    # -- stages, in order --------------------------------------------------------------------------------------------

    def follow(self, spotted: Sequence[Spotted]) -> Followed:
        met: list[Track] = []
        known: list[int] = []
        ended: list[EndedTrack] = []
        self._check_belt(spotted)
        for seen in spotted:
            camera_id, captured_ns = seen.frame.camera_id, seen.frame.captured_ns
            eye = self._eyes[camera_id]
            update = eye.see(seen)
            self._alive_ns[camera_id] = captured_ns
            if update.void:
                continue
            self.motion[camera_id] = Motion(captured_ns, eye.travel_mm, eye.speed_mm_s or 0.0)
            self._reseen[camera_id].arrive(self.motion[camera_id])
            self.jammed[camera_id] = update.jammed
            ended += update.ended
            for track in (*update.tracks, *(end.track for end in update.ended if end.end is not TrackEnd.NOISE)):
                met.append(track)
                if self._items.meet(track) and self._reseen[camera_id].takes(track):
                    known.append(track.track_id)
        for end in ended:
            item = self._items.get(end.track.track_id)
            if item is not None:
                item.gone = end.end
        return Followed(tuple(met), tuple(known), tuple(ended))

    def choose_looks(self, spotted: Sequence[Spotted], live: bool) -> list[Look]:
        """Items whole in one of these frames and still undecided, the most urgent first. Live, as many as there is time for."""
        frames = {seen.frame.camera_id: seen.frame for seen in spotted}
        offered: dict[int, tuple[Offer, Look]] = {}
        for item in self._items:
            track, frame = item.track, frames.get(item.track.camera_id)
            if frame is None or track.last_seen_ns != frame.captured_ns or track.detection is None:
                continue
            if track.whole and not track.merged and item.decision is None:
                offer = Offer(track.track_id, len(item.looks), self._frames_left(track, frame.captured_ns))
                offered[track.track_id] = offer, Look(track.track_id, frame, track.detection.extent)
        limits = self._recognition
        fitting = self._pace.fitting if live else None
        chosen = choose([offer for offer, _ in offered.values()], limits.max_looks, limits.max_looks_per_step, fitting)
        return [offered[track_id][1] for track_id in chosen]

    def recognise(self, looks: Sequence[Look], now_ns: int) -> None:
        """Opinions on the looks. A failing model costs looks, not the loop: the machine holds until it has had a rest."""
        try:
            opinions = self._recogniser.classify(looks)
        except ModelError as error:
            self._trouble, self._failed_ns = str(error), now_ns
            return
        for look, opinion in zip(looks, opinions, strict=True):
            item = self._items.get(look.track_id)
            if item is not None:
                item.looks.append((look.frame.captured_ns, look.extent))
                item.opinions.append(opinion)
                item.belief = self._belief(item.opinions)

    def looked(self, looks: Sequence[Look], spent_ns: int) -> None:
        """What recognising these looks took, as the clock saw it."""
        self._pace.took(len(looks), spent_ns)

    def due(self, now_ns: int) -> list[Item]:
        """Items that will not be seen better than now, downstream ones first."""
        due = [item for item in self._items if item.decision is None and self._is_due(item, now_ns)]
        return sorted(due, key=lambda item: -item.track.along_mm)

    # -- what others ask ---------------------------------------------------------------------------------------------

    def note_alive(self, camera_ids: Sequence[str], now_ns: int) -> None:
        """These gave a frame, also one that could not be placed on the belt."""
        for camera_id in camera_ids:
            self._alive_ns[camera_id] = now_ns

    def cameras_live(self, now_ns: int) -> bool:
        """Every camera gave a frame lately."""
        silent_ns = (now_ns - self._alive_ns.get(camera, -CAMERA_SILENT_NS * 2) for camera in self._eyes)
        return all(silence < CAMERA_SILENT_NS for silence in silent_ns)

    def model_trouble(self, now_ns: int) -> str | None:
        return self._trouble if now_ns - self._failed_ns < MODEL_REST_NS else None

    @property
    def speed_mm_s(self) -> float | None:
        """Belt speed as last seen: by the encoder, else by the pictures as soon as they have been asked."""
        seen = [check.speed_mm_s for check in self._checks.values() if check.speed_mm_s is not None]
        return max(seen or (motion.speed_mm_s for motion in self.motion.values()), default=None)

    @property
    def speed_trouble(self) -> str:
        """Without an encoder: by how much the configured speed is off, in words; empty when it is not."""
        return next((check.words for check in self._checks.values() if check.speed_off), "")

    @property
    def encoder_stands(self) -> bool:
        """The counts stand while the pictures show the belt moving."""
        return any(check.encoder_stands for check in self._checks.values())

    @property
    def belt_stands(self) -> bool:
        """By the encoder. Where pictures alone can tell, feed goes on: on a plain belt only items show that it runs again."""
        speed_mm_s = max((motion.speed_mm_s for motion in self.motion.values()), default=None)
        return speed_mm_s is not None and speed_mm_s < STANDING_MM_S

    def trust_encoder(self) -> None:
        """After CLEAR: it is accused by new pictures only, and by as many as at first."""
        for check in self._checks.values():
            check.begin_anew()

    def begin_epoch(self) -> None:
        """The device restarted: its counts, and with them every position known, are worth nothing now."""
        for camera_id, eye in self._eyes.items():
            if camera_id in self.motion:
                self._reseen[camera_id].leave(self._items.in_view(camera_id), self.motion[camera_id])
            eye.restart()
        self._items.clear()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _check_belt(self, spotted: Sequence[Spotted]) -> None:
        """A fault is news in the step that shows it: what was cleared is found again only by new pictures."""
        self.encoder_fault = None
        for seen in spotted:
            check = self._checks[seen.frame.camera_id]
            if seen.compared is None:
                continue
            check.take(seen.compared)
            if check.encoder_stands:
                self.encoder_fault = (
                    f"the encoder stands while the pictures show the belt moving at {seen.compared.seen_mm_s / 1e3:.2f} m/s: "
                    "check its wheel, coupling and cable, then CLEAR"
                )

    def _is_due(self, item: Item, now_ns: int) -> bool:
        if item.gone is not None:
            return item.gone is not TrackEnd.NOISE
        # Judged at the newest frame: the next may still bring a look. Only when frames stay away does time decide.
        camera_id = item.track.camera_id
        waited_for_ns = now_ns - 2 * self._period_ns[camera_id] - FRAME_OVERDUE_NS
        at_ns = max(self.motion[camera_id].at_ns, waited_for_ns)
        return self._frames_left(item.track, at_ns) <= 0 and bool(item.opinions)

    def _frames_left(self, track: Track, at_ns: int) -> int:
        """Frames after the one at `at_ns` in which the item will still be whole, by its position and the belt's speed."""
        motion = self.motion[track.camera_id]
        per_frame_mm = motion.speed_mm_s * self._period_ns[track.camera_id] / 1e9
        if motion.speed_mm_s < STANDING_MM_S:
            return FRAMES_LEFT_STANDING
        travel_mm = motion.travel_mm + motion.speed_mm_s * (at_ns - motion.at_ns) / 1e9
        front_mm = track.along_mm + track.length_mm / 2 + travel_mm
        return int((self._eyes[track.camera_id].end_mm() - front_mm) // per_frame_mm)

    def _belief(self, opinions: Sequence[Classification]) -> Belief | None:
        fused = fuse(opinions, self._recogniser.classes)
        if fused is None:
            return None
        newest_ns = max(opinion.captured_ns for opinion in opinions)
        return Belief(fused.label, fused.confidence, fused.probabilities, fused.looks, newest_ns)
