"""How much lies in each bin since it was emptied, by count. Pure; knows outcomes and bin names, no files.

A count of items, not of litres: an item that was ejected lies in its bin, one that nothing touched in the unactuated bin, and
one whose fate is unknown in none. What comes in past the camera is not counted. A limit is a plant's own experience.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from station.config import SortConfig
from station.datatypes import ItemRecord, OutcomeKind

_UNTOUCHED = (OutcomeKind.PASSED, OutcomeKind.MISSED)


def landed_in(record: ItemRecord, unactuated_bin: str) -> str | None:
    """The bin an item lies in, None when it cannot be known."""
    if record.outcome.kind is OutcomeKind.EJECTED and record.decision is not None:
        return record.decision.bin_name
    return unactuated_bin if record.outcome.kind in _UNTOUCHED else None


class BinLevels:
    """Counts since the last emptying; the totals it is given only grow."""

    def __init__(self, sort: SortConfig, before: Mapping[str, int]) -> None:
        self._limits = {name: bin_.full_at_items for name, bin_ in sort.bins.items() if bin_.full_at_items is not None}
        self._before = Counter(before)  # from earlier runs
        self._landed: Counter[str] = Counter()
        self._taken_out: Counter[str] = Counter()

    def update(self, landed: Mapping[str, int]) -> None:
        """`landed`: items in each bin since the start of the run."""
        self._landed = Counter(landed)

    def level(self, name: str) -> int:
        return self._before[name] + self._landed[name] - self._taken_out[name]

    def levels(self) -> dict[str, int]:
        """Of the bins that have a limit."""
        return {name: self.level(name) for name in self._limits}

    def full(self) -> dict[str, str]:
        """The bins that want emptying, each with its figures."""
        return {
            name: f"{name}: {self.level(name)} items" for name, at in self._limits.items() if self.level(name) >= at
        }

    def empty(self, names: Iterable[str]) -> dict[str, int]:
        """A person has emptied these: what was in them. The count begins anew."""
        taken = {name: self.level(name) for name in names}
        self._taken_out.update(taken)
        return taken
