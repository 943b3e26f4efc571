"""One camera's items, followed from frame to frame by what its spotter found. Owned by the sort loop.

Knows when what was followed is worth nothing any more: another picture size, another way of travel, another encoder epoch.
Knows no pictures, no labels and no gates.
"""

from __future__ import annotations

import math
from dataclasses import replace

from station.config import CameraConfig
from station.datatypes import EndedTrack, Look
from station.tracking.belt import BeltMap, configured_map
from station.tracking.spotter import Spotted, ViewConfig
from station.tracking.tracker import Lane, Tracker, TrackIds, TrackUpdate


class View:
    def __init__(self, config: ViewConfig, ids: TrackIds) -> None:
        self._config = config
        self._ids = ids
        self._tracker: Tracker | None = None
        self._belt_epoch: int | None = None  # of the newest frame
        self._void_epoch: int | None = None  # its counts mean nothing any more
        self.belt: BeltMap | None = None  # known from the first frame on, for its size decides
        self.travel_mm = 0.0  # at the last frame's capture
        self.speed_mm_s: float | None = None

    def end_mm(self) -> float:
        """Downstream edge of the view on the station axis; as configured until the first frame shows its size."""
        if self.belt is not None:
            return self.belt.start_mm + self.belt.view_length_mm
        camera = self._config.camera
        belt = configured_map(camera, camera.width_px, camera.height_px, self._config.belt.width_mm)
        return belt.start_mm + belt.view_length_mm

    def see(self, spotted: Spotted) -> TrackUpdate:
        epoch = spotted.frame.belt_epoch
        if epoch is not None and epoch == self._void_epoch:
            return TrackUpdate((), (), void=True)  # was on its way here when the device restarted
        orphans = self.restart() if epoch != self._belt_epoch else ()  # nobody has said so yet
        orphans += self._fit_to(spotted)
        assert self._tracker is not None
        self._belt_epoch = epoch
        self.travel_mm, self.speed_mm_s = spotted.travel_mm, spotted.speed_mm_s
        update = self._tracker.update(spotted.detections, spotted.frame, spotted.travel_mm, spotted.bound_mm)
        return replace(update, ended=orphans + update.ended) if orphans else update

    def looks(self, update: TrackUpdate, spotted: Spotted) -> tuple[Look, ...]:
        """Views of this frame that are worth classifying: whole, and of one item alone."""
        return tuple(
            Look(track.track_id, spotted.frame, track.detection.extent)
            for track in update.tracks
            if track.whole and not track.merged and track.detection is not None
        )

    def restart(self) -> tuple[EndedTrack, ...]:
        """The belt position is lost (new encoder epoch): every track ends as lost, and so does what is still under way."""
        self._void_epoch = self._belt_epoch
        return self._tracker.forget() if self._tracker else ()

    def _fit_to(self, spotted: Spotted) -> tuple[EndedTrack, ...]:
        """A tracker for this view of the belt; returns what the one before has followed."""
        if spotted.belt is None or spotted.belt is self.belt:
            return ()
        orphans = self._tracker.forget() if self._tracker else ()
        self.belt = spotted.belt
        self._tracker = Tracker(spotted.frame.camera_id, spotted.belt, self._ids, _lane_of(self._config.camera))
        return orphans


def _lane_of(camera: CameraConfig) -> Lane:
    from_mm = -math.inf if camera.lane_from_mm is None else camera.lane_from_mm
    return Lane(from_mm, math.inf if camera.lane_to_mm is None else camera.lane_to_mm)
