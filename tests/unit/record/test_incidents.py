"""The story of a run from its events: what is an incident, what is none, and how long each lasted."""

from pathlib import Path

import pytest

from station.events import Event, EventKind, Json
from station.record.history import History, open_history
from station.record.incidents import MOST, incidents_in_report, incidents_of

S_NS = 1_000_000_000
STANDS = "the belt stands"
CABLE = "the controller does not answer: check cable and power"
CAMERA = "camera lost: no new decisions, decided items still fire"
STARTED = [(0.0, "idle", "reset by start"), (0.1, "starting", "start by start"), (0.3, "execute", "start by start")]

Told = tuple[EventKind, int, dict[str, Json]]
Moves = list[tuple[float, str, str]]


def states(moves: Moves) -> list[Told]:
    return [(EventKind.STATE, round(at_s * S_NS), {"state": state, "reason": why}) for at_s, state, why in moves]


def alarm(kind: EventKind, at_s: float, name: str) -> Told:
    return kind, round(at_s * S_NS), {"alarm": name, "words": name.replace("_", " ")}


@pytest.mark.parametrize(
    ("moves", "found"),
    [
        pytest.param(
            [*STARTED, (0.34, "suspended", STANDS), (0.4, "execute", "the belt runs"), (9.0, "stopped", "stop by end")],
            [],
            id="the belt stands before the line starts",
        ),
        pytest.param([*STARTED, (0.34, "suspended", STANDS)], [], id="and never runs"),
        pytest.param(
            [*STARTED, (5.0, "suspended", STANDS), (7.5, "execute", "the belt runs")],
            [("suspended", STANDS, 5.0, 2.5)],
            id="the belt stops under a line that sorts",
        ),
        pytest.param(
            [*STARTED, (5.0, "suspended", STANDS), (6.0, "execute", "the belt runs"), (6.2, "suspended", STANDS)],
            [("suspended", STANDS, 5.0, 1.0), ("suspended", STANDS, 6.2, None)],
            id="and again soon after",
        ),
        pytest.param(
            [
                *STARTED,
                (5.0, "stopped", "stop by page"),
                (6.0, "idle", "reset by page"),
                (6.1, "execute", "start by page"),
                (6.2, "suspended", STANDS),
            ],
            [],
            id="a new start is a new beginning",
        ),
        pytest.param(
            [*STARTED, (0.34, "suspended", STANDS), (0.5, "held", CAMERA), (2.0, "execute", "recovered")],
            [("held", CAMERA, 0.5, 1.5)],
            id="a loss counts from the first moment on",
        ),
        pytest.param(
            [*STARTED, (4.0, "holding", CABLE), (4.1, "held", CABLE), (6.0, "execute", "recovered")],
            [("held", CABLE, 4.0, 2.0)],
            id="holding becomes held: one standstill",
        ),
        pytest.param(
            [*STARTED, (4.0, "suspended", STANDS), (5.0, "held", CAMERA), (6.0, "execute", "recovered")],
            [("suspended", STANDS, 4.0, 1.0), ("held", CAMERA, 5.0, 1.0)],
            id="another cause: another incident",
        ),
        pytest.param(
            [*STARTED, (4.0, "holding", "hold by page 127.0.0.1"), (4.1, "held", "hold by page 127.0.0.1")],
            [],
            id="an operator holds",
        ),
        pytest.param(
            [*STARTED, (4.0, "suspended", STANDS), (5.0, "held", "hold by end of the run")],
            [("suspended", STANDS, 4.0, 1.0)],
            id="an order ends what nobody ordered",
        ),
        pytest.param(
            [*STARTED, (4.0, "aborted", "abort by page"), (9.0, "stopped", "clear by page")],
            [("aborted", "abort by page", 4.0, 5.0)],
            id="ABORT is one, whoever asks",
        ),
        pytest.param(
            [*STARTED, (4.0, "held", CABLE), (6.0, "stopped", "stop by page")],
            [("held", CABLE, 4.0, 2.0)],
            id="ended by STOP",
        ),
    ],
)
def test_a_standstill_is_an_incident_when_nobody_ordered_it(
    moves: Moves, found: list[tuple[str, str, float, float | None]]
) -> None:
    values = [incident.to_values(0) for incident in incidents_of(states(moves))]
    assert [(v["what"], v["reason"], v["at_s"], v["for_s"]) for v in values] == found


def test_an_alarm_lasts_from_raised_to_cleared_and_may_come_again() -> None:
    raised, cleared = EventKind.ALARM_RAISED, EventKind.ALARM_CLEARED
    told = [
        alarm(raised, 2.0, "jam"),
        alarm(raised, 3.0, "bin_full"),
        alarm(EventKind.ALARM_ACKNOWLEDGED, 3.5, "jam"),  # seen is not over
        alarm(cleared, 4.0, "jam"),
        alarm(raised, 6.0, "jam"),
    ]
    values = [incident.to_values(S_NS) for incident in incidents_of(told)]
    assert [(v["what"], v["at_s"], v["for_s"]) for v in values] == [
        ("jam", 1.0, 2.0),
        ("bin_full", 2.0, None),
        ("jam", 5.0, None),
    ]
    assert values[0]["reason"] == "jam"


def test_what_a_second_raise_says_does_not_begin_it_anew() -> None:
    told = [alarm(EventKind.ALARM_RAISED, at_s, "jam") for at_s in (1.0, 2.0)]
    told.append(alarm(EventKind.ALARM_CLEARED, 3.0, "jam"))
    assert [(v.at_ns, v.until_ns) for v in incidents_of(told)] == [(S_NS, 3 * S_NS)]


def test_what_ends_without_having_begun_is_nothing() -> None:
    assert incidents_of([alarm(EventKind.ALARM_CLEARED, 1.0, "jam")]) == []


# -- read beside the writer ----------------------------------------------------------------------------------------------


def event(at_s: float, what: EventKind, **detail: Json) -> Event:
    return Event(what, round(at_s * S_NS), round(at_s * S_NS), detail=detail)


def written(directory: Path, events: list[Event], start_ns: int = 0) -> History:
    history = open_history(directory, start_ns, 0)
    history.begin_run({"clock": "wall"}, start_ns, 0)
    history.write(events)
    return history


def test_the_report_tells_of_its_own_run_alone(tmp_path: Path) -> None:
    earlier = written(tmp_path, [event(1.0, EventKind.ALARM_RAISED, alarm="jam", words="an item stands")])
    earlier.close()
    history = written(
        tmp_path,
        [
            event(12.0, EventKind.STATE, state="execute", reason="start"),
            event(14.0, EventKind.STATE, state="held", reason=CAMERA),
            event(14.0, EventKind.CAMERA_LOST, why="no frame for 1 s"),
            event(15.5, EventKind.STATE, state="execute", reason="recovered"),
        ],
        10 * S_NS,
    )
    part = incidents_in_report(history.path, history.run_id, 10 * S_NS)
    history.close()
    assert part == {
        "incidents": [{"what": "held", "reason": CAMERA, "at_s": 4.0, "for_s": 1.5}],
        "incidents_left_out": 0,
    }


def test_a_run_full_of_trouble_says_how_much_it_leaves_out(tmp_path: Path) -> None:
    events = []
    for n in range(MOST + 3):
        events.append(event(n, EventKind.ALARM_RAISED, alarm="jam", words=f"number {n}"))
        events.append(event(n + 0.5, EventKind.ALARM_CLEARED, alarm="jam"))
    history = written(tmp_path, events)
    part = incidents_in_report(history.path, history.run_id, 0)
    history.close()
    assert len(part["incidents"]) == MOST
    assert part["incidents"][-1]["reason"] == f"number {MOST - 1}"
    assert part["incidents_left_out"] == 3


def test_a_history_that_is_away_is_unknown_and_not_quiet(tmp_path: Path) -> None:
    assert incidents_in_report(tmp_path / "none.sqlite", 1, 0)["incidents"] is None
