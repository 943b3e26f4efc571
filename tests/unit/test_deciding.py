"""What becomes of an item that nobody could look at, and of one that was decided before START."""

import pytest

from station.clock import ManualClock
from station.config import builtin_config
from station.datatypes import Belief, OutcomeKind, OutcomeReason, Track, TrackEnd
from station.deciding import Deciding, Permission
from station.items import Item, Items
from station.perception import Followed
from station.sorting.scheduler import Motion

MS = 1_000_000
SEEN_NS = 1_000 * MS
SURE = Belief("recyclable", 0.99, (0.01, 0.99), 2, SEEN_NS)


def known(end: TrackEnd | None = None, belief: Belief | None = None) -> tuple[Deciding, Item]:
    items = Items()
    deciding = Deciding(builtin_config("virtual"), items, ManualClock(SEEN_NS))
    track = Track(1, "camera0", 300.0, 300.0, 80.0, 60.0, 1.0, SEEN_NS, SEEN_NS, 3, False, None)
    items.meet(track)
    deciding.enter(Followed((track,), (), ()))
    item = items.get(1)
    assert item is not None
    item.gone, item.belief = end, belief
    return deciding, item


@pytest.mark.parametrize(
    ("started_ns", "end", "expected"),
    [
        pytest.param(None, TrackEnd.LEFT, (OutcomeKind.MISSED, OutcomeReason.UNSEEN_AT_START), id="not started yet"),
        pytest.param(
            SEEN_NS + MS, TrackEnd.LEFT, (OutcomeKind.MISSED, OutcomeReason.UNSEEN_AT_START), id="there before START"
        ),
        pytest.param(
            SEEN_NS - MS, TrackEnd.LEFT, (OutcomeKind.PASSED, OutcomeReason.NONE), id="came later: the fallback bin"
        ),
        pytest.param(
            SEEN_NS + MS, TrackEnd.LOST, (OutcomeKind.UNCONFIRMED, OutcomeReason.LOST_TRACK), id="vanished in the view"
        ),
    ],
)
def test_an_item_without_a_look(
    started_ns: int | None, end: TrackEnd, expected: tuple[OutcomeKind, OutcomeReason]
) -> None:
    deciding, item = known(end)
    permission = Permission(None, started_ns)
    decided, records = deciding.decide([item], permission)
    _, settled = deciding.schedule(decided, {"camera0": Motion(SEEN_NS, 0.0, 1000.0)}, permission, SEEN_NS)
    outcomes = [(record.outcome.kind, record.outcome.reason) for record in (*records, *settled)]
    assert outcomes == [expected]
    assert deciding.ledger.in_flight == 0


@pytest.mark.parametrize(
    ("waited_ms", "started", "expected"),
    [
        pytest.param(500, False, None, id="still on its way: open"),
        pytest.param(500, True, OutcomeReason.UNSEEN_AT_START, id="START comes while it is on its way"),
        pytest.param(2000, False, OutcomeReason.NOT_PERMITTED, id="past the gates without START"),
    ],
)
def test_an_item_decided_before_start_waits_for_what_comes_first(
    waited_ms: int, started: bool, expected: OutcomeReason | None
) -> None:
    deciding, item = known(belief=SURE)
    before = Permission(OutcomeReason.NOT_PERMITTED, None)
    motions = {"camera0": Motion(SEEN_NS, 0.0, 1000.0)}
    decided, _ = deciding.decide([item], before)
    assert deciding.schedule(decided, motions, before, SEEN_NS) == ([], [])
    now_ns = SEEN_NS + waited_ms * MS
    later = Permission(None, now_ns) if started else before
    sent, records = deciding.schedule([], motions, later, now_ns)
    assert sent == []
    assert [record.outcome.reason for record in records] == ([] if expected is None else [expected])
    assert deciding.ledger.in_flight == (1 if expected is None else 0)
