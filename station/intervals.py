"""How sure a measured share is. Knows counts, nothing of what was counted."""

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054  # two-sided 95 % of the normal distribution


@dataclass(frozen=True, slots=True)
class Interval:
    """A share k of n with its Wilson 95 % bounds; all nan when nothing was counted."""

    value: float
    low: float
    high: float
    k: int
    n: int


def wilson(k: int, n: int, z: float = Z_95) -> Interval:
    """Wilson's score interval: right at 0 %, at 100 % and for small n, where the usual one is not."""
    if not 0 <= k <= n:
        raise ValueError(f"k must lie in 0..n, got k={k}, n={n}")
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    share, z2 = k / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)), k, n)
