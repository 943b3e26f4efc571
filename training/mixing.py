"""Between the weights before fine-tuning and after it (WiSE-FT): what was known of other things is not all given up.

Knows two sets of weights of one network and a judge; nothing of how either came about.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

Weights = dict[str, Tensor]
Judge = Callable[[nn.Module], float]  # how bad a network is


@dataclass(frozen=True)
class Mix:
    tuned_share: float
    tried: tuple[tuple[float, float], ...]  # (share, how bad)


def mixed(before: Weights, after: Weights, tuned_share: float) -> Weights:
    """Whole numbers (how many batches were seen) are those of `after`."""
    return {
        name: before[name].to(new.device).lerp(new, tuned_share) if new.is_floating_point() else new
        for name, new in after.items()
    }


def choose_mix(model: nn.Module, before: Weights, shares: Sequence[float], judge: Judge) -> Mix:
    """Leaves the model with the best mixture; of equals with the one nearer to the fine-tuned weights."""
    after = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tried = []
    for share in sorted(shares, reverse=True):
        model.load_state_dict(mixed(before, after, share))
        tried.append((share, judge(model)))
    best = min(tried, key=lambda row: row[1])[0]
    model.load_state_dict(mixed(before, after, best))
    return Mix(best, tuple(tried))
