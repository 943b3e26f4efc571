import pytest

from station.events import Event, EventKind


def test_an_event_survives_its_line() -> None:
    event = Event(
        EventKind.ALARM_RAISED,
        5,
        7,
        track_id=3,
        camera_id="camera0",
        detail={"why": 'a "quoted"\nword', "n": [1, None]},
    )
    line = event.to_line()
    assert "\n" not in line
    assert Event.from_line(line) == event


@pytest.mark.parametrize("line", ["", "{}", "[]", "3", '{"what": "explosion"}', '{"what": "link", "at_ns": null}'])
def test_a_line_that_is_no_event_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        Event.from_line(line)
