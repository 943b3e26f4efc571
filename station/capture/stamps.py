"""When was this frame captured? From the driver's stamp, from the stream's own times, or from the grab. Pure: reads no clock.

A stamp is believed only as far as it can be checked: the driver's must lie close to now on our clock; a stream's times start
anywhere, but their pace is the camera's, so a frame that comes later than its time says how long it has waited somewhere.
"""

STAMP_MAX_AGE_NS = 2_000_000_000
STAMP_MAX_AHEAD_NS = 5_000_000
SKEW = 200e-6  # of two quartz clocks, at most; what grows faster is delay


def is_sane(driver_ns: int, now_ns: int) -> bool:
    """A moment on our clock that a frame grabbed now may have been captured at."""
    return driver_ns > 0 and now_ns - STAMP_MAX_AGE_NS < driver_ns < now_ns + STAMP_MAX_AHEAD_NS


class DriverStamps:
    """V4L2 stamps each buffer with CLOCK_MONOTONIC. A repeated stamp is handed on: it is how a repeated buffer shows."""

    def __init__(self) -> None:
        self._age_ns = 0  # of the last frame whose stamp could be believed

    def captured_ns(self, driver_ns: int, now_ns: int) -> int:
        if is_sane(driver_ns, now_ns):
            self._age_ns = now_ns - driver_ns
        return now_ns - self._age_ns


class StreamStamps:
    """Times in the stream against arrival. The frame that waited least sets the zero; the others are late by the difference.

    What every frame of a connection has in common (coding, network) cannot be seen here; it is a constant to calibrate.
    A stream without times (all equal) or one that begins anew is stamped as it arrives.
    """

    def __init__(self) -> None:
        self._zero_ns = 0  # arrival minus stream time of a frame that did not wait
        self._last: tuple[int, int] | None = None  # stream time and arrival of the frame before

    def captured_ns(self, stream_ns: int, now_ns: int) -> int:
        if self._last is None or stream_ns <= self._last[0]:
            self._zero_ns = now_ns - stream_ns
        else:
            allowed_ns = round((now_ns - self._last[1]) * SKEW)
            self._zero_ns = min(now_ns - stream_ns, self._zero_ns + allowed_ns)
        self._last = (stream_ns, now_ns)
        return stream_ns + self._zero_ns
