"""The nouns as the page's values: nothing lost, nothing invented, and all of it JSON."""

import json

import pytest

from firmware_bridge.messages import LinkState
from station.alarms import AlarmBook
from station.datatypes import (
    Decision,
    DecisionReason,
    ItemRecord,
    OrientedBox,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Track,
)
from station.panel.snapshot import Mark, SeenCamera, SeenItem, Snapshot
from station.panel.values import ITEMS_SHOWN, PageFacts, page_values


def snapshot(**changes: object) -> Snapshot:
    values: dict[str, object] = {"made_ns": 7, "state": "EXECUTE", "state_reason": "start by operator"}
    return Snapshot(**{**values, **changes})  # type: ignore[arg-type]


def record(track_id: int, *, decided: bool = True) -> ItemRecord:
    track = Track(track_id, "camera1", 0, 0, 100, 80, 2, 0, 0, 4, True, None)
    decision = (
        Decision(track_id, "recyclable", 0.91234, "product", DecisionReason.MATCHED, 3, 0, 0) if decided else None
    )
    outcome = Outcome(track_id, OutcomeKind.MISSED, OutcomeReason.LATE, settled_ns=track_id * 10, slack_ms=-3.0)
    return ItemRecord(track, 3, None, decision, None, None, outcome)


def test_a_bare_snapshot_is_shown_as_far_as_it_is_known() -> None:
    values = json.loads(json.dumps(page_values(snapshot())))
    assert values["machine"]["state"] == "Execute"
    assert values["mode"] == {"simulation": False, "no_diverts": True}
    assert values["link"] is None
    assert values["belt"] == {"speed_m_s": None}
    assert values["counts"]["total"] == 0


def test_every_item_counts_once() -> None:
    by_outcome = {OutcomeKind.EJECTED: 5, OutcomeKind.PASSED: 4, OutcomeKind.MISSED: 3}
    reasons = {
        (OutcomeKind.MISSED, OutcomeReason.LATE): 2,
        (OutcomeKind.MISSED, OutcomeReason.LINK): 1,
        (OutcomeKind.UNCONFIRMED, OutcomeReason.NO_REPORT): 0,
    }
    counts = page_values(snapshot(by_outcome=by_outcome, in_flight=2), PageFacts(reasons=reasons))["counts"]
    assert counts["total"] == 14
    assert counts["unconfirmed"] == 0
    assert counts["missed_by_reason"] == {"late": 2, "link": 1}
    assert counts["unconfirmed_by_reason"] == {"no_report": 0}


def test_the_newest_items_come_first_with_or_without_a_decision() -> None:
    recent = [record(track_id, decided=track_id % 2 == 0) for track_id in range(20)]
    items = page_values(snapshot(), PageFacts(recent=recent))["items"]
    assert [item["track_id"] for item in items] == list(range(19, 19 - ITEMS_SHOWN, -1))
    assert items[0]["label"] is None
    assert items[1] | {"slack_ms": 0} == {
        "track_id": 18, "camera": "camera1", "label": "recyclable", "confidence": 0.912, "bin": "product",
        "outcome": "missed", "reason": "late", "settled_ns": 180, "slack_ms": 0, "fire_error_us": None,
    }  # fmt: skip


def test_boxes_travel_with_their_picture() -> None:
    item = SeenItem(4, OrientedBox(10.04, 20, 30, 15, -45), "organic", 0.5, Mark.DIVERT, (2, 3, 5), "")
    seen = SeenCamera("camera0", captured_ns=99, live=False, fps=29.5, dropped=3, items=(item,))
    values = page_values(snapshot(cameras={"camera0": seen}))
    picture = values["pictures"]["camera0"]
    assert picture["captured_ns"] == 99
    assert picture["boxes"][0] == {
        "track_id": 4, "box": [10.0, 20, 30, 15, -45], "label": "organic", "confidence": 0.5, "mark": "divert",
        "gates": "2-3 5", "note": "",
    }  # fmt: skip
    assert values["cameras"][0]["live"] is False
    assert values["cameras"][0]["text"]


def test_alarms_keep_what_to_do_and_bare_words_offer_nothing() -> None:
    book = AlarmBook()
    book.update({"camera_lost": "camera0"}, 5)
    alarm = page_values(snapshot(alarms=("ignored",)), PageFacts(alarms=book.listed()))["alarms"][0]
    assert alarm["alarm_id"] == "camera_lost"
    assert alarm["action"]
    assert not alarm["acknowledged"]
    worded = page_values(snapshot(alarms=("Disk full",)))["alarms"][0]
    assert worded["text"] == "Disk full"
    assert worded["words_only"]


@pytest.mark.parametrize("state", list(LinkState))
def test_every_link_state_has_its_name(state: LinkState) -> None:
    assert page_values(snapshot(link=state, link_detail="COM3"))["link"]["state"] == state.value
