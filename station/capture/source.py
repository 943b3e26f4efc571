"""A source of frames as the station uses it: read, judged, and opened anew when it is lost. For its camera's thread.

What is not a fresh picture is counted and goes no further. A lost source is tried again for as long as it takes. The one place
that compares the size of pictures with the one that the configuration's millimetres hold for: at the start it is asked for, and
a live source that comes back with another gives no pictures. Knows no stage, no queue and no record; losses and returns are
told through `SourceNews`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from station.capture.camera import Camera, CameraInfo
from station.capture.freshness import FrameGuard, Freshness, Patience
from station.clock import Clock
from station.datatypes import Frame, SizePx
from station.errors import CameraError, CameraLost

REOPEN_AFTER_NS = 250_000_000  # between tries; a try may take seconds itself, on an address that does not answer
ENDED_WAIT_NS = 20_000_000

IN_WORDS = {
    Freshness.BLACK: "pictures are black",
    Freshness.FROZEN: "pictures are frozen",
    Freshness.REPEATED: "pictures are frozen",
    Freshness.STALE: "pictures come too late",
    Freshness.CORRUPT: "pictures are damaged",
    Freshness.RESIZED: "pictures have another size",
}


@dataclass(frozen=True, slots=True)
class SourceNews:
    """Whom to tell; called on the thread that reads."""

    lost: Callable[[str, str], None]  # camera id, why
    back: Callable[[CameraInfo, int], None]  # what it is now, for how long it was away (ns)


def check_size(info: CameraInfo, size_px: SizePx | None) -> None:
    """Raises CameraError when the source gives pictures of another size: every item would be seen at a wrong place."""
    if size_px is not None and size_px != info.size_px:
        raise CameraError(
            f"{info.source}: it gives pictures of {_words(info.size_px)} px, cameras.{info.camera_id} is "
            f"calibrated for {_words(size_px)}. Set its width_px and height_px to what the camera gives and run "
            "`station calibrate belt` again, or make the camera deliver that size."
        )


class FrameSource:
    def __init__(
        self, camera: Camera, info: CameraInfo, clock: Clock, news: SourceNews, size_px: SizePx | None = None
    ) -> None:
        """`camera` has been opened and gave `info`; `size_px`: what its pictures must have, None for any size."""
        self.info = info
        self.ended = False  # a recording, read to its end
        self.captured = 0  # frames the camera gave
        self.passed_over = 0  # of them left in its buffers for a newer one
        self.refused: Counter[Freshness] = Counter()  # of them no fresh pictures
        self.trouble = ""  # why its pictures are not used, in words
        self.newest_ns = 0  # capture of the newest fresh frame
        self._camera = camera
        self._clock = clock
        self._news = news
        self._size_px = size_px
        self._guard = FrameGuard(size_px=size_px)
        self._patience = Patience()
        self._last_id: int | None = None
        self._lost_ns: int | None = None  # closed since
        self._away_since_ns: int | None = None  # no picture since; a camera that opens may still give none

    def fresh(self) -> Frame | None:
        """The next fresh frame, or None: there was none in this turn. At most about a second; reopening may take longer."""
        if self.ended:
            self._clock.sleep_ns(ENDED_WAIT_NS)
            return None
        if self._lost_ns is not None:
            self._reopen()
            return None
        try:
            frame = self._camera.read()
        except CameraLost as error:
            self._lose(str(error))
            return None
        if frame is None:
            self.ended = True
            return None
        self._count(frame)
        if self.info.live and not self._is_fresh(frame):
            return None
        self.newest_ns, self.trouble = frame.captured_ns, ""
        if self._away_since_ns is not None:
            away_ns, self._away_since_ns = self._clock.now_ns() - self._away_since_ns, None
            self._news.back(self.info, away_ns)
        return frame

    def _count(self, frame: Frame) -> None:
        gap = max(0, frame.frame_id - self._last_id - 1) if self._last_id is not None else 0
        self._last_id = frame.frame_id
        self.passed_over += gap
        self.captured += 1 + gap

    def _is_fresh(self, frame: Frame) -> bool:
        now_ns = self._clock.now_ns()
        verdict = self._guard.judge(frame, now_ns)
        patience_over = self._patience.is_over(verdict, now_ns)
        if verdict is Freshness.OK:
            return True
        self.refused[verdict] += 1
        self.trouble = self._in_words(verdict, frame)
        if patience_over:
            self._lose(f"{self.info.source}: {self.trouble}; opening it anew")
        return False

    def _in_words(self, verdict: Freshness, frame: Frame) -> str:
        if verdict is Freshness.RESIZED and self._size_px is not None:
            return f"{IN_WORDS[verdict]}: {_words(frame.size_px)} px, calibrated for {_words(self._size_px)}"
        return IN_WORDS[verdict]

    def _lose(self, why: str) -> None:
        now_ns = self._clock.now_ns()
        self._lost_ns, self._last_id, self.trouble = now_ns, None, ""
        self._camera.close()
        if self._away_since_ns is None:  # else it was opened in vain: still the same loss
            self._away_since_ns = now_ns
            self._news.lost(self.info.camera_id, why)

    def _reopen(self) -> None:
        try:
            self.info = self._camera.open()
        except CameraError:
            self._clock.sleep_ns(REOPEN_AFTER_NS)
            return
        self._lost_ns = None


def _words(size_px: SizePx) -> str:
    return f"{size_px[0]}x{size_px[1]}"
