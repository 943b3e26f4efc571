"""Which items are looked at in this step. Pure.

Every item is looked at when first whole in the frame, so that it never goes unseen, and in its last whole frames, so that the
decision rests on fresh views. When there are more looks on offer than one step can carry, those who have none go first, then
those who have the fewest frames left; of equally urgent ones, the third look of an item gives way to the second of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FRAME_SHARE = 0.7  # of the time between two frames; the rest is for following, deciding and being kept waiting
LEAST_LOOKS = 2
WEIGHT = 0.1  # of the newest step in the mean
ENOUGH_LOOKS = 2  # an item that leaves with fewer is looked at whatever it costs


@dataclass(frozen=True, slots=True)
class Offer:
    track_id: int
    looks_taken: int
    frames_left: int  # further frames in which it will still be whole


def choose(offers: Sequence[Offer], max_looks: int, at_most: int, fitting: int | None = None) -> list[int]:
    """Track ids to look at now, most urgent first, at most `at_most`.

    `fitting`: how many looks there is time for; only items that would leave with too few are looked at beyond it.
    """
    wanted = [offer for offer in offers if offer.looks_taken == 0 or offer.frames_left < max_looks - offer.looks_taken]
    wanted.sort(key=lambda offer: (offer.looks_taken > 0, offer.frames_left, offer.looks_taken, offer.track_id))
    if fitting is not None:
        last_chance = [offer.frames_left <= 0 and offer.looks_taken < ENOUGH_LOOKS for offer in wanted]
        wanted = [offer for place, offer in enumerate(wanted) if place < fitting or last_chance[place]]
    return [offer.track_id for offer in wanted[:at_most]]


class LookPace:
    """How many looks there is time for between two frames, by what the last ones took.

    A loop that takes longer than a frame's time loses frames, and each decision waits for the step before. Looks that come
    later in the order are worth less than that.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._per_look_ns = 0.0

    def took(self, looks: int, spent_ns: int) -> None:
        if looks:
            weight = WEIGHT if self._per_look_ns else 1.0
            self._per_look_ns += weight * (spent_ns / looks - self._per_look_ns)

    @property
    def fitting(self) -> int | None:
        """None: not known yet, or they cost nothing."""
        if self._per_look_ns <= 0:
            return None
        return max(LEAST_LOOKS, int(FRAME_SHARE * self._period_ns / self._per_look_ns))
