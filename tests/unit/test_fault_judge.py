"""The judge of the fault runs can fail: each thing that must not happen is a word in its verdict."""

from dataclasses import replace
from typing import Any

import pytest

from tests.tools.fault_judge import EXPECTED, Expected, S, Span, lost_items, on_page, wrong_of
from tests.tools.onlooker import Sighting

SPAN = Span(begin_ns=10 * S, end_ns=15 * S, fed_until_ns=30 * S)
CABLE = EXPECTED["cable"]
LOST = "Held: the controller does not answer: check the cable | controller lost"
WELL = Sighting(0, "Execute: the belt runs | controller armed", sorts=True)


def told(*changes: tuple[float, Sighting]) -> list[Sighting]:
    """What stood on the page from 8 s to 32 s, looked at ten times a second: each entry from its moment on."""
    seen = []
    for tenth in range(80, 320):
        now = next(sighting for at_s, sighting in reversed([(0.0, WELL), *changes]) if at_s <= tenth / 10)
        seen.append(replace(now, at_ns=tenth * S // 10))
    return seen


def ill(words: str = LOST, *alarms: str, sorts: bool = False) -> Sighting:
    return Sighting(0, words, sorts, frozenset(alarms))


def row(seen: list[Sighting], expected: Expected = CABLE, **changed: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "incidents": ["link_lost: Controller does not answer: lost"],
        "items": 200,
        "lost_near": {"link": 9, "neighbour": 2},
        "lost_far": {"neighbour": 4},
        "ejected_before": 40,
        "ejected_during": 6,
        "born_and_ejected_after": 50,
        "status": "completed",
        "ledger_balanced": True,
        "late_fires": 0,
        "wrong_fires": 0,
        "history_lost": 0,
        "in_flight": 0,
    }
    return {**on_page(seen, expected, SPAN), **record, **changed}


AS_PROMISED = ((10.4, ill(LOST, "link_lost")), (17.0, ill("Execute", "missed_share_high", sorts=True)))


def test_what_is_as_promised_has_no_word_against_it() -> None:
    found = row(told(*AS_PROMISED))
    assert wrong_of(found, CABLE) == []
    assert (found["shown_after_ms"], found["well_after_ms"]) == (400, 2000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param([], "not on the page within 2000 ms", id="never shown"),
        pytest.param([(12.1, ill()), (17.0, WELL)], "not on the page within 2000 ms", id="shown late"),
        pytest.param(
            [(9.0, ill()), (9.2, WELL), (10.4, ill()), (17.0, WELL)], "before it happened", id="shown too early"
        ),
        pytest.param([(10.4, ill())], "did not say that all is well again", id="for good"),
        pytest.param([(10.4, ill()), (21.1, WELL)], "well again after 6100 ms", id="well late"),
        pytest.param(
            [(10.4, ill()), (17.0, WELL), (29.0, ill()), (29.5, WELL)], "well again after 14500 ms", id="ill once more"
        ),
        pytest.param(
            [(10.4, ill()), (17.0, ill("Execute", "frame_rate_low", sorts=True))],
            "did not say that all is well again; last: Execute",
            id="a warning that has nothing to do with it still stands",
        ),
        pytest.param(
            [(0.0, ill("Execute", "latency_high", sorts=True)), *AS_PROMISED],
            "not well before the fault: alarm latency_high",
            id="a line that was not well to begin with",
        ),
    ],
)
def test_the_page_is_judged(changes: list[tuple[float, Sighting]], said: str) -> None:
    assert said in "; ".join(wrong_of(row(told(*changes)), CABLE))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"wrong_fires": 1}, "wrong_fires is 1", id="wrong fire"),
        pytest.param({"ledger_balanced": False}, "ledger_balanced is False", id="ledger"),
        pytest.param({"status": "failed"}, "status is failed", id="status"),
        pytest.param({"incidents": ["jam: an item stands"]}, "does not name the fault", id="report"),
        pytest.param({"born_and_ejected_after": 4}, "did not sort again", id="stood still"),
        pytest.param({"lost_near": {"link": 9, "speed": 1}}, "another reason: 1 speed", id="another reason"),
        pytest.param({"lost_near": {"late": 4}}, "4 items late near the fault", id="many late"),
        pytest.param({"lost_far": {"late": 1}}, "far from the fault were lost: 1 late", id="late, far from it"),
        pytest.param(
            {"lost_far": {"link": 2}}, "far from the fault were lost: 2 link", id="its own reason, far from it"
        ),
        pytest.param({"lost_far": {"neighbour": 9}}, "11 of 200 items given up", id="a feed that does not explain it"),
    ],
)
def test_the_record_is_judged(changed: dict[str, Any], said: str) -> None:
    assert said in "; ".join(wrong_of(row(told(*AS_PROMISED), **changed), CABLE))


def test_a_disk_that_is_away_stops_nothing() -> None:
    disk = EXPECTED["disk"]
    seen = told(
        (10.6, ill("Execute | alarm history_away: Records cannot be written", "history_away", sorts=True)), (17.0, WELL)
    )
    named = {"incidents": ["history_away: Records cannot be written"], "lost_near": {}, "lost_far": {}}
    assert wrong_of(row(seen, disk, **named, ejected_during=20), disk) == []
    assert wrong_of(row(seen, disk, **named, ejected_during=0), disk) == ["it did not go on sorting"]


def test_near_a_fault_is_from_two_seconds_before_to_two_after() -> None:
    items = [
        {"outcome": "missed", "reason": "link", "born_ns": round(at_s * S)} for at_s in (7.9, 8.0, 12.0, 17.0, 17.1)
    ]
    items += [{"outcome": "ejected", "reason": "none", "born_ns": 0}]
    found = lost_items(items, SPAN)
    assert (found.near, found.far) == ({"link": 3}, {"link": 2})
