"""One outcome for every item, exactly once, whatever the controller says or does not say."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.messages import (
    Accepted,
    DivertCommand,
    DuringCount,
    Fired,
    MissReason,
    NotFired,
    Refusal,
    Refused,
    Reply,
    Unanswered,
)
from station.datatypes import Belief, Decision, DecisionReason, OutcomeKind, OutcomeReason, Track
from station.sorting.ledger import Ledger

E, P, M, U = OutcomeKind.EJECTED, OutcomeKind.PASSED, OutcomeKind.MISSED, OutcomeKind.UNCONFIRMED


def track(track_id: int) -> Track:
    return Track(track_id, "c", 0.0, 0.0, 100, 50, 1, 0, 0, 2, True, None)


def scheduled(ledger: Ledger, track_id: int = 1, command_id: int = 11) -> None:
    ledger.see(track(track_id))
    belief = Belief("recyclable", 0.9, (0.1, 0.9), 1, 5)
    ledger.decide(Decision(track_id, "recyclable", 0.9, "product", DecisionReason.MATCHED, 1, 6, 5), belief, ())
    command = DivertCommand(command_id, 1, DuringCount(10, 20))
    ledger.command(track_id, command, last_useful_ns=2_000_000)
    ledger.enqueued([command], 1_000_000)


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        pytest.param(Fired(11, 1, 2, 10, 20, 40), E, OutcomeReason.NONE, id="fired"),
        pytest.param(Refused(11, Refusal.LATE, 1), M, OutcomeReason.LATE, id="refused late"),
        pytest.param(Refused(11, Refusal.FULL, 1), M, OutcomeReason.REFUSED_FULL, id="queue full"),
        pytest.param(Refused(11, Refusal.NOT_ARMED, 1), M, OutcomeReason.REFUSED_NOT_ARMED, id="not armed"),
        pytest.param(NotFired(11, MissReason.LATE, 1), M, OutcomeReason.LATE, id="missed late"),
        pytest.param(
            NotFired(11, MissReason.BELT_STOPPED, 1), U, OutcomeReason.BELT_STOPPED_IN_WINDOW, id="belt stopped"
        ),
        pytest.param(NotFired(11, MissReason.DISARMED, 1), M, OutcomeReason.LINK, id="disarmed itself"),
        pytest.param(NotFired(11, MissReason.CANCELLED, 1), M, OutcomeReason.SPEED, id="cancelled: the speed was off"),
        pytest.param(NotFired(11, MissReason.REBOOT, 1), M, OutcomeReason.LINK, id="device restarted"),
        pytest.param(Unanswered(11, True, 1), U, OutcomeReason.NO_REPORT, id="acknowledged, then silence"),
        pytest.param(Unanswered(11, False, 1), M, OutcomeReason.LINK, id="never acknowledged"),
    ],
)
def test_each_final_reply_gives_its_outcome(reply: Reply, kind: OutcomeKind, reason: OutcomeReason) -> None:
    ledger = Ledger()
    scheduled(ledger)
    record = ledger.hear(reply)
    assert record is not None
    assert (record.outcome.kind, record.outcome.reason) == (kind, reason)
    assert ledger.in_flight == 0
    assert ledger.hear(reply) is None


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(NotFired(11, MissReason.DISARMED, 1), OutcomeReason.STOPPED, id="dropped from its queue"),
        pytest.param(Refused(11, Refusal.NOT_ARMED, 1), OutcomeReason.STOPPED, id="refused just after"),
        pytest.param(NotFired(11, MissReason.LATE, 1), OutcomeReason.LATE, id="late before"),
        pytest.param(Refused(11, Refusal.FULL, 1), OutcomeReason.REFUSED_FULL, id="refused for another reason"),
        pytest.param(Unanswered(11, False, 1), OutcomeReason.LINK, id="never acknowledged"),
    ],
)
def test_what_a_stop_drops_is_stopped_and_nothing_else_is(reply: Reply, reason: OutcomeReason) -> None:
    ledger = Ledger()
    scheduled(ledger)
    record = ledger.hear(reply, stopped=True)
    assert record is not None
    assert (record.outcome.kind, record.outcome.reason) == (M, reason)


def test_every_reason_a_device_can_give_is_translated() -> None:
    for refusal in Refusal:
        ledger = Ledger()
        scheduled(ledger)
        assert ledger.hear(Refused(11, refusal, 1)) is not None
    for miss in MissReason:
        ledger = Ledger()
        scheduled(ledger)
        assert ledger.hear(NotFired(11, miss, 1)) is not None


def test_slack_is_the_last_useful_moment_minus_enqueued() -> None:
    ledger = Ledger()
    scheduled(ledger)
    record = ledger.hear(Fired(11, 1, 2, 10, 20, 40))
    assert record is not None
    assert record.outcome.slack_ms == 1.0
    assert record.outcome.fire_error_us == 40


def test_decisions_are_counted_by_their_reason() -> None:
    ledger = Ledger()
    for track_id, reason in enumerate((*DecisionReason, DecisionReason.UNSURE)):
        ledger.see(track(track_id))
        ledger.decide(Decision(track_id, None, 0.4, "residue", reason, 0, 6, None), None, ())
    assert ledger.by_decision == {**dict.fromkeys(DecisionReason, 1), DecisionReason.UNSURE: 2}


def test_an_acknowledgement_settles_nothing() -> None:
    ledger = Ledger()
    scheduled(ledger)
    assert ledger.hear(Accepted(11, 1)) is None
    assert ledger.in_flight == 1


EVENTS = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(["see", "fire", "refuse", "pass", "close"])), max_size=60
)


@given(EVENTS)
def test_the_sum_always_balances(events: list[tuple[int, str]]) -> None:
    ledger = Ledger()
    seen: set[int] = set()
    outcomes: list[int] = []
    for (track_id, what), now_ns in zip(events, itertools.count(), strict=False):
        if what == "see" and track_id not in seen:
            scheduled(ledger, track_id, command_id=track_id + 100)
            seen.add(track_id)
        elif what == "fire":
            record = ledger.hear(Fired(track_id + 100, 1, 2, 1, 2, 0))
            outcomes += [record.outcome.track_id] if record else []
        elif what == "refuse":
            record = ledger.hear(Refused(track_id + 100, Refusal.LATE, now_ns))
            outcomes += [record.outcome.track_id] if record else []
        elif what == "pass":
            record = ledger.settle(track_id, P, OutcomeReason.NONE, now_ns)
            outcomes += [record.outcome.track_id] if record else []
        elif what == "close":
            outcomes += [record.outcome.track_id for record in ledger.close_all(OutcomeReason.STOPPED, now_ns)]
        assert ledger.total == len(seen) == ledger.by_outcome.total() + ledger.in_flight
    assert len(outcomes) == len(set(outcomes))
