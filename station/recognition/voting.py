"""From the looks of one item to one opinion. Pure; knows nothing of thresholds and bins.

Looks at one item are strongly correlated: the logits are averaged, never summed, or ten alike looks would make one
guess a certainty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from station.datatypes import Classification


@dataclass(frozen=True, slots=True)
class Fused:
    label: str
    confidence: float  # probability of `label`
    probabilities: tuple[float, ...]  # one per class, in the artifact's order
    looks: int


def fuse(looks: Sequence[Classification], classes: tuple[str, ...]) -> Fused | None:
    """The mean calibrated logit of one item's looks, as probabilities. None without a look."""
    if not looks:
        return None
    track_ids = {look.track_id for look in looks}
    if len(track_ids) > 1:
        raise ValueError(f"looks of several items cannot be fused: {sorted(track_ids)}")
    probabilities = softmax(np.asarray([look.logits for look in looks], np.float64).mean(axis=0))
    best = int(probabilities.argmax())
    return Fused(classes[best], float(probabilities[best]), tuple(probabilities.tolist()), len(looks))


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Over the last axis, safe for large logits."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
