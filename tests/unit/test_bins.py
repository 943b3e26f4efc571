"""What lies in a bin by count: from outcomes, over the end of a run and over a kill, until a person has emptied it."""

from pathlib import Path

import pytest

from station.bins import BinLevels, landed_in
from station.config import SortConfig
from station.datatypes import OutcomeKind, OutcomeReason
from station.events import Event, EventKind
from station.record.history import open_history
from station.record.recorder import Settled
from tests.unit.record.makers import MS, record

UTC = 1_700_000_000_000_000_000
SORT = SortConfig.model_validate(
    {
        "bins": {"product": {"gates": (0,), "full_at_items": 100}, "residue": {"full_at_items": 1000}},
        "labels": {"recyclable": {"bin": "product"}},
        "unactuated_bin": "residue",
        "fallback_bin": "residue",
    }
)


@pytest.mark.parametrize(
    ("kind", "reason", "lies_in"),
    [
        (OutcomeKind.EJECTED, OutcomeReason.NONE, "product"),
        (OutcomeKind.PASSED, OutcomeReason.NONE, "residue"),
        (OutcomeKind.MISSED, OutcomeReason.LATE, "residue"),
        (OutcomeKind.UNCONFIRMED, OutcomeReason.NO_REPORT, None),
    ],
)
def test_an_item_lies_where_its_outcome_says(kind: OutcomeKind, reason: OutcomeReason, lies_in: str | None) -> None:
    assert landed_in(record(1, kind, reason), "residue") == lies_in


def test_a_bin_is_full_at_its_limit_and_empty_when_a_person_says_so() -> None:
    levels = BinLevels(SORT, {"product": 60})
    levels.update({"product": 39})
    assert levels.full() == {}
    levels.update({"product": 41, "residue": 5})
    assert levels.full() == {"product": "product: 101 items"}
    assert levels.empty(levels.full()) == {"product": 101}
    assert levels.full() == {}
    levels.update({"product": 43, "residue": 5})
    assert levels.levels() == {"product": 2, "residue": 5}


def test_a_new_start_knows_what_earlier_runs_put_into_the_bins(tmp_path: Path) -> None:
    history = open_history(tmp_path, 0, UTC)
    assert history.landed_since_emptied("residue") == {}
    history.begin_run({"seed": None}, 0, UTC)
    history.write([Settled(record(1))])
    history.write([Event(EventKind.BINS, 0, UTC + 2000 * MS, detail={"levels": {"product": 40, "residue": 7}})])
    # A demo's bins are no bins, and what was killed later counts though nobody wrote its end.
    history.begin_run({"seed": 3}, 0, UTC)
    history.write([Event(EventKind.BINS, 0, UTC + 9000 * MS, detail={"levels": {"product": 9999}})])
    history.write([Settled(record(1, at_ms=9000))])
    history.begin_run({"seed": None}, 0, UTC)
    for number, (kind, reason) in enumerate(
        [
            (OutcomeKind.EJECTED, OutcomeReason.NONE),
            (OutcomeKind.EJECTED, OutcomeReason.NONE),
            (OutcomeKind.PASSED, OutcomeReason.NONE),
            (OutcomeKind.UNCONFIRMED, OutcomeReason.INTERRUPTED),
        ]
    ):
        history.write([Settled(record(number + 1, kind, reason, at_ms=5000))])
    assert history.landed_since_emptied("residue") == {"product": 42, "residue": 8}
    history.close()
