"""Whether the pictures bear out what the belt is taken to do: by its encoder, or by a configured speed. One per camera.

Judged on several sure measurements, never on one: a hand in the picture, a shadow, a stamp that is off by a millisecond.
Pure; knows no pictures (the spotter compares them) and nothing of what is done about it (the machine's business).
"""

from __future__ import annotations

from collections import deque
from statistics import median

from station.tracking.spotter import Compared, TravelSource

SPEED_LIMIT = 0.03  # of the configured speed
SPEED_REGAINED = 0.02  # back within this: at the limit itself it would come and go
SPEEDS_JUDGED = 5
STANDS_SHARE = 0.1  # of the travel the pictures see: an encoder that counts less stands
MOVING_MM_S = 50.0
CLEAR_MM = 2.0  # a pixel of the reduced picture
SLIPS_JUDGED = 3  # in a row


class BeltCheck:
    def __init__(self) -> None:
        self._recent: deque[Compared] = deque(maxlen=SPEEDS_JUDGED)  # against a configured speed
        self._slips = 0
        self.speed_off = False  # the configured speed is not the belt's
        self.speed_mm_s: float | None = None  # as the pictures say, where they have been asked

    def take(self, compared: Compared) -> None:
        if compared.source is TravelSource.CONFIGURED:
            self._judge_speed(compared)
        elif compared.source is TravelSource.ENCODER:
            self._slips = self._slips + 1 if _stands_alone(compared) else 0

    def begin_anew(self) -> None:
        """A person says that the encoder is mended: what was seen before does not count against it."""
        self._slips = 0

    @property
    def words(self) -> str:
        """What the pictures say of a speed that is off; empty when it is not."""
        if not self.speed_off:
            return ""
        seen_m_s, taken_m_s = (self.speed_mm_s or 0.0) / 1e3, self._recent[-1].taken_mm_s / 1e3
        return f"{seen_m_s:.2f} m/s by the pictures, {taken_m_s:.2f} m/s configured ({seen_m_s / taken_m_s - 1:+.1%})"

    @property
    def encoder_stands(self) -> bool:
        """The counts stand while the belt moves."""
        return self._slips >= SLIPS_JUDGED

    def _judge_speed(self, compared: Compared) -> None:
        self._recent.append(compared)
        if len(self._recent) < SPEEDS_JUDGED:
            return
        self.speed_mm_s = max(0.0, median(one.seen_mm_s for one in self._recent))
        # The median leaves a wrong match out. A stamp's error stands in two neighbours, and goes out of their sum alone.
        typical = median(one.seen_mm / one.taken_mm for one in self._recent)
        whole = sum(one.seen_mm for one in self._recent) / sum(one.taken_mm for one in self._recent)
        off = sorted((abs(typical - 1), abs(whole - 1)))
        # Both accuse, and both acquit.
        self.speed_off = off[1] > SPEED_REGAINED if self.speed_off else off[0] > SPEED_LIMIT


def _stands_alone(compared: Compared) -> bool:
    moves = compared.seen_mm >= CLEAR_MM and compared.seen_mm_s >= MOVING_MM_S
    return moves and abs(compared.taken_mm) < STANDS_SHARE * compared.seen_mm
