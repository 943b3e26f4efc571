"""What one camera's thread does: read a frame, judge it, give it its place on the belt, spot what lies in it.

Owns the camera, its spotter and its own counts, so that a slow camera, or one that is gone, costs no other one anything. Hands
on the newest spotted frame; older ones that nobody has taken give way and are counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from station.books import FrameTally
from station.capture.camera import Camera, CameraInfo
from station.capture.freshness import Freshness
from station.capture.source import FrameSource, SourceNews
from station.channels import DropOldest
from station.clock import Clock
from station.datatypes import Frame, SizePx
from station.tracking.spotter import Spotted

MS = 1_000_000

Place = Callable[[Frame], Frame | None]  # the frame with its encoder count; None: it has no place on the belt


class FrameSpotter(Protocol):
    def spot(self, frame: Frame) -> Spotted: ...


@dataclass(frozen=True, slots=True)
class Caught:
    frame: Frame
    spotted: Spotted | None  # None: it has no place on the belt; to be looked at by people only


@dataclass(frozen=True, slots=True)
class CameraNews:
    """Whom to tell."""

    ready: Callable[[], None]  # a frame waits
    lost: Callable[[str, str], None]  # camera id, why
    back: Callable[[CameraInfo, int], None]  # what it is now, for how long it was away (ns)


@dataclass(slots=True)
class CameraThread:
    camera_id: str
    camera: Camera
    info: CameraInfo
    clock: Clock
    place: Place
    news: CameraNews
    size_px: SizePx | None = None  # that its pictures must have; None: any
    spotter: FrameSpotter | None = None  # given before the thread starts
    caught: DropOldest[Caught] = field(default_factory=lambda: DropOldest(2))
    tally: FrameTally = field(default_factory=FrameTally)  # `dropped` and `processed` are the loop's to know
    _source: FrameSource = field(init=False)
    _unplaced: int = 0

    def __post_init__(self) -> None:
        news = SourceNews(self.news.lost, self.news.back)
        self._source = FrameSource(self.camera, self.info, self.clock, news, self.size_px)

    @property
    def ended(self) -> bool:
        return self._source.ended

    @property
    def poor(self) -> int:
        """Frames that were no picture of the belt: black, frozen, repeated, damaged or of another size."""
        refused = self._source.refused
        return refused.total() - refused[Freshness.STALE]

    @property
    def trouble(self) -> str:
        """Why its pictures are not used, in words."""
        return self._source.trouble

    @property
    def newest_ns(self) -> int:
        """Capture of the newest good frame."""
        return self._source.newest_ns

    @property
    def dropped(self) -> int:
        """Good frames that gave way to newer ones, here or in the camera's own buffers."""
        return self.caught.dropped + self._source.passed_over

    def body(self) -> None:
        """One frame, or a short wait."""
        if not self.info.live and not self.caught.empty:
            self.clock.sleep_ns(MS)  # a recording waits to be seen: nothing of it is dropped
            return
        frame = self._source.fresh()
        self.info = self._source.info
        if frame is not None:
            self.caught.put(self._searched(frame))
            self.news.ready()
        self.tally.captured = self._source.captured
        self.tally.stale = self._source.refused.total() + self._unplaced

    def _searched(self, frame: Frame) -> Caught:
        assert self.spotter is not None, "the spotter is given before the thread starts"
        placed = self.place(frame)
        if placed is None:
            self._unplaced += 1
            return Caught(frame, None)
        since_ns = self.clock.now_ns()
        spotted = self.spotter.spot(placed)
        return Caught(placed, replace(spotted, spent_ns=self.clock.now_ns() - since_ns))
