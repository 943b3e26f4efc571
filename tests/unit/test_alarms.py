"""The life of an alarm, from its condition to the operator and back."""

import pytest

from station.alarms import FLOOD, KINDS, NEXT, AlarmBook, AlarmKind, AlarmState, Input, Priority

SECOND_NS = 1_000_000_000
QUICK = AlarmKind("quick", Priority.CRITICAL, "Something broke", "Mend it", 0.0, 0.0)
SLOW = AlarmKind("slow", Priority.WARNING, "Something drifts", "Look at it", 3.0, 5.0)


def at(seconds: float) -> int:
    return round(seconds * SECOND_NS)


def states(book: AlarmBook) -> dict[str, AlarmState]:
    return {view.kind.alarm_id: view.state for view in book.listed()}


def test_active_acknowledged_and_gone() -> None:
    book = AlarmBook((QUICK,))
    (change,) = book.update({"quick": "belt 3"}, at(0))
    assert (change.alarm_id, change.what, change.words) == ("quick", Input.RAISE, "Something broke: belt 3")
    assert states(book) == {"quick": AlarmState.ACTIVE}
    assert book.acknowledge("quick") is not None
    assert states(book) == {"quick": AlarmState.ACKNOWLEDGED}
    (change,) = book.update({}, at(1))
    assert change.what is Input.CLEAR
    assert states(book) == {}


def test_what_came_and_went_unseen_stays_until_it_is_seen() -> None:
    book = AlarmBook((QUICK,))
    book.update({"quick": ""}, at(0))
    book.update({}, at(1))
    assert states(book) == {"quick": AlarmState.RETURNED}
    book.update({"quick": ""}, at(2))
    assert states(book) == {"quick": AlarmState.ACTIVE}
    book.update({}, at(3))
    assert book.acknowledge("quick") is not None
    assert states(book) == {}
    assert book.acknowledge("quick") is None


@pytest.mark.parametrize(
    ("holds_until", "asked_at", "raised"), [(2.9, 2.9, False), (3.0, 3.0, True)], ids=["too short", "long enough"]
)
def test_a_flicker_is_no_alarm(holds_until: float, asked_at: float, raised: bool) -> None:
    book = AlarmBook((SLOW,))
    book.update({"slow": ""}, at(0))
    book.update({"slow": ""}, at(holds_until))
    assert (book.listed() != ()) is raised
    book.update({}, at(asked_at + 0.1))
    assert (book.listed() != ()) is raised


def test_a_short_pause_does_not_raise_it_again() -> None:
    book = AlarmBook((SLOW,))
    book.update({"slow": ""}, at(0))
    assert len(book.update({"slow": ""}, at(4))) == 1
    assert book.update({}, at(5)) == []
    assert book.update({"slow": ""}, at(9)) == []
    assert book.update({}, at(10)) == []
    assert [change.what for change in book.update({}, at(15))] == [Input.CLEAR]


def test_shelving_hides_for_its_time_and_asks_again_if_it_is_still_true() -> None:
    book = AlarmBook((QUICK,))
    book.update({"quick": ""}, at(0))
    book.acknowledge("quick")
    assert book.shelve("quick", 30, at(1))
    assert book.listed()[0].shelved_until_ns == at(1 + 1800)
    assert book.update({"quick": ""}, at(1800)) == []
    assert [change.what for change in book.update({"quick": ""}, at(1801))] == [Input.ASK_AGAIN]
    assert states(book) == {"quick": AlarmState.ACTIVE}
    assert book.listed()[0].shelved_until_ns is None


def test_shelving_ends_by_hand_and_with_the_condition() -> None:
    book = AlarmBook((QUICK,))
    book.update({"quick": ""}, at(0))
    assert book.shelve("quick", 30, at(0))
    assert book.unshelve("quick", at(1))
    assert not book.unshelve("quick", at(1))
    book.acknowledge("quick")
    book.shelve("quick", 30, at(2))
    book.update({}, at(3))
    book.update({"quick": ""}, at(4))
    assert book.listed()[0].shelved_until_ns is None  # a new occasion is not hidden by an old shelving


@pytest.mark.parametrize("minutes", [0, -5, 481, float("nan")])
def test_shelving_has_an_end(minutes: float) -> None:
    book = AlarmBook((QUICK,))
    book.update({"quick": ""}, at(0))
    assert not book.shelve("quick", minutes, at(0))


def test_what_is_not_in_the_list_can_be_neither_acknowledged_nor_shelved() -> None:
    book = AlarmBook((QUICK,))
    assert book.acknowledge("quick") is None
    assert book.acknowledge("no such alarm") is None
    assert not book.shelve("quick", 30, at(0))
    assert not book.unshelve("no such alarm", at(0))


def test_a_condition_without_an_alarm_is_a_defect() -> None:
    with pytest.raises(ValueError, match="novelty"):
        AlarmBook((QUICK,)).update({"novelty": ""}, at(0))


def test_the_worst_and_unseen_stands_first_and_shelved_last() -> None:
    kinds = tuple(AlarmKind(name, priority, name, "do", 0.0, 0.0) for name, priority in (
        ("notice", Priority.NOTICE), ("seen", Priority.CRITICAL), ("unseen", Priority.CRITICAL),
        ("shelved", Priority.CRITICAL), ("warning", Priority.WARNING), ("returned", Priority.CRITICAL)))  # fmt: skip
    book = AlarmBook(kinds)
    everything = {kind.alarm_id: "" for kind in kinds}
    book.update(everything, at(0))
    del everything["returned"]
    book.update(everything, at(1))
    book.acknowledge("seen")
    book.shelve("shelved", 10, at(1))
    listed = [view.kind.alarm_id for view in book.listed()]
    assert listed == ["unseen", "seen", "warning", "notice", "returned", "shelved"]


def test_ten_new_alarms_in_ten_minutes_are_a_flood() -> None:
    book = AlarmBook((QUICK,))
    for minute in range(FLOOD):
        assert not book.flooded(at(60 * minute))
        book.update({"quick": ""}, at(60 * minute))
        book.update({}, at(60 * minute + 1))
    assert book.flooded(at(60 * FLOOD))
    assert not book.flooded(at(60 * FLOOD + 1))


def test_the_page_gets_the_keys_it_shows() -> None:
    book = AlarmBook()
    book.update({"camera_lost": "camera0"}, at(7))
    assert book.listed()[0].to_values() == {
        "alarm_id": "camera_lost",
        "text": "Camera gives no pictures that can be used: camera0",
        "action": KINDS[0].action,
        "priority": 1,
        "active": True,
        "acknowledged": False,
        "shelved": False,
        "since_ns": at(7),
    }


def test_every_state_can_be_left_and_normal_reached() -> None:
    for state in AlarmState:
        reached, frontier = {state}, [state]
        while frontier:
            here = frontier.pop()
            for (start, _), end in NEXT.items():
                if start is here and end not in reached:
                    reached.add(end)
                    frontier.append(end)
        assert AlarmState.NORMAL in reached
