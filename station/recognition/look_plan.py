"""Which items are looked at in this step. Pure.

Every item is looked at when first whole in the frame, so that it never goes unseen, and in its last whole frames, so that the
decision rests on fresh views. When there are more looks on offer than one step can carry, those who have none go first, then
those who have the fewest frames left.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offer:
    track_id: int
    looks_taken: int
    frames_left: int  # further frames in which it will still be whole


def choose(offers: Sequence[Offer], max_looks: int, budget: int) -> list[int]:
    """Track ids to look at now, most urgent first, at most `budget`."""
    wanted = [offer for offer in offers if offer.looks_taken == 0 or offer.frames_left < max_looks - offer.looks_taken]
    wanted.sort(key=lambda offer: (offer.looks_taken > 0, offer.frames_left, offer.track_id))
    return [offer.track_id for offer in wanted[:budget]]
