"""What an operator does on the page, in a real browser: commands, STOP on a bad line, alarms, events, several cameras."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from station.machine import NEXT, Command, State
from tests.browser.conftest import FakeStation, until

OpenPage = Callable[..., Any]

BUTTONS = """Object.fromEntries(["start", "hold", "reset", "clear", "abort", "stop"].map((name) =>
  [name, !document.querySelector(`button[data-command=${name}]`).disabled]))"""


def note(page: Any) -> str:
    return str(page.locator("#stop-note").inner_text())


# -- commands ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.STOPPED, State.IDLE, State.EXECUTE, State.HELD, State.ABORTED])
def test_only_what_the_machine_takes_is_offered(station: FakeStation, open_page: OpenPage, state: State) -> None:
    station.change(state=state.name)
    page = open_page(station.url)
    taken = {command.value for command in Command if (state, command) in NEXT} | {"stop"}  # STOP: always
    wanted = {name: name in taken for name in page.evaluate(BUTTONS)}
    until(page, f"JSON.stringify({BUTTONS}) === {json.dumps(json.dumps(wanted, separators=(',', ':')))}")


def test_abort_is_immediate_like_stop(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    page.locator("#abort").click()
    station.wait_for(lambda said: "abort" in said)
    assert not page.locator("dialog[open]").count()
    station.change(state="ABORTED")
    until(page, "document.getElementById('stop-note').innerText.includes('ABORT done: Aborted')")


def test_what_was_said_of_a_stop_is_over_when_the_machine_runs_again(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    at_rest = note(page)
    page.locator("#stop").click()
    station.change(state="STOPPED")
    until(page, "document.getElementById('stop-note').innerText.includes('STOP done: Stopped')")
    station.change(state="IDLE")
    until(page, f"document.getElementById('stop-note').innerText === {json.dumps(at_rest)}")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        pytest.param("EXECUTE", "Execute: start by operator \u00b7 for 12 min 34 s", id="PackML has another word"),
        pytest.param("STOPPED", "start by operator \u00b7 for 12 min 34 s", id="it has the same"),
        pytest.param("ABORTED", "Aborted: start by operator \u00b7 for 12 min 34 s", id="fault"),
    ],
)
def test_the_state_is_said_once_and_its_packml_name_where_it_differs(
    station: FakeStation, open_page: OpenPage, state: str, reason: str
) -> None:
    station.change(state=state)
    page = open_page(station.url)
    until(page, f"document.getElementById('machine-reason').innerText === {json.dumps(reason)}")


def test_a_question_ends_with_the_state_it_was_asked_in(station: FakeStation, open_page: OpenPage) -> None:
    station.change(state="IDLE")
    page = open_page(station.url)
    until(page, "!document.querySelector('[data-command=start]').disabled")
    page.locator("[data-command=start]").click()
    assert page.locator("#confirm").is_visible()
    station.change(state="STOPPED")
    until(page, "!document.getElementById('confirm').open")


def test_a_command_without_effect_is_said_so(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    page.locator("[data-command=hold]").click()
    until(page, "document.getElementById('answer').innerText.includes('HAD NO EFFECT')")
    assert "still Execute" in page.locator("#answer").inner_text()


def test_hold_on_a_line_that_a_loss_holds_is_done_when_the_reason_says_so(
    station: FakeStation, open_page: OpenPage
) -> None:
    machine = {"state": "Held", "number": 11, "commands": ["hold", "start", "stop"], "normal": False, "since_ns": None}
    station.change(machine={**machine, "reason": "camera lost"})
    page = open_page(station.url)
    until(page, "!document.querySelector('[data-command=hold]').disabled")
    page.locator("[data-command=hold]").click()
    station.wait_for(lambda said: said.get("command") == "hold")
    station.change(machine={**machine, "reason": "hold by page at 127.0.0.1"})
    until(page, "document.getElementById('answer').innerText.includes('HOLD done: Held')")


def test_a_command_that_was_held_up_on_its_way_is_void(station: FakeStation, open_page: OpenPage) -> None:
    """The page stamps it with the station's clock; the browser's own clock need not agree with anything."""
    page = open_page(station.url)
    station.report()
    station.said.clear()

    def hold_up(route: Any) -> None:
        time.sleep(2.5)
        route.continue_()

    asked: list[int] = []
    page.on("request", lambda request: asked.append(request.post_data_json["asked_ns"]) if request.post_data else None)
    page.route("**/api/v1/commands", hold_up)
    before_ns = time.monotonic_ns()
    page.locator("[data-command=hold]").click()
    until(page, "/NO ANSWER|TOO LATE/.test(document.getElementById('answer').innerText)")
    assert 0 <= asked[0] - before_ns + 200_000_000 < 60_000_000_000
    station.report()
    assert not [said for said in station.said if said.get("command") == "hold"]


# -- STOP on a bad line --------------------------------------------------------------------------------------------------


def test_stop_is_asked_again_until_it_is_answered(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    tried: list[float] = []

    def bad_line(route: Any) -> None:
        tried.append(time.monotonic())
        route.abort() if len(tried) < 3 else route.continue_()

    page.route("**/api/v1/commands", bad_line)
    page.locator("#stop").click()
    until(page, "document.getElementById('stop-note').innerText.includes('PENDING')")
    assert page.locator("[data-command=hold]").is_disabled()  # first things first
    until(page, "document.getElementById('stop-note').innerText.includes('received by the station')")
    station.wait_for(lambda said: "stop" in said)
    assert "attempt 3" in note(page)
    assert len(tried) == 3


def test_a_stop_whose_effect_is_seen_before_its_answer_is_done(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    held: list[Any] = []
    page.route("**/api/v1/commands", lambda route: held.append(route))
    page.locator("#stop").click()
    until(page, "document.getElementById('stop-note').innerText.includes('sent')")
    station.change(state="STOPPED")
    until(page, "document.getElementById('machine-state').innerText.toLowerCase().includes('stopped')")
    for route in held:  # a later attempt may be held as well
        route.continue_()
    page.unroute("**/api/v1/commands")
    until(page, "document.getElementById('stop-note').innerText.includes('STOP done: Stopped')")


def test_a_stop_that_never_arrives_is_a_failure_in_words(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    page.route("**/api/v1/commands", lambda route: route.abort())
    page.locator("#stop").click()
    until(page, "document.getElementById('stop-note').innerText.includes('STOP FAILED')")
    assert "Use the stop at the machine" in note(page)
    assert "bad" in (page.locator("#stop-note").get_attribute("class") or "")
    assert page.locator("#stop").is_enabled()


# -- alarms and events ---------------------------------------------------------------------------------------------------


def test_an_alarm_is_acknowledged_shelved_and_asked_for_again(station: FakeStation, open_page: OpenPage) -> None:
    station.change(conditions={"camera_lost": "camera1 <b>now</b>"})
    page = open_page(station.url)
    row = page.locator("#alarm-list li")
    until(page, "document.querySelector('#alarm-list li.unacknowledged')")
    assert "<b>now</b>" in row.inner_text()  # text, never markup
    assert "critical" in row.inner_text()
    row.get_by_role("button", name="Acknowledge").click()
    assert station.wait_for(lambda said: said.get("command") == "acknowledge")["alarm"] == "camera_lost"
    until(page, "document.querySelector('#alarm-list li.active:not(.unacknowledged)')")
    row.get_by_role("button", name="Shelve 30 min").click()
    assert station.wait_for(lambda said: said.get("command") == "shelve")["minutes"] == 30
    until(page, "document.getElementById('alarm-list').innerText.includes('shelved')")
    assert page.locator("#alarm-count").inner_text() == ""
    row.get_by_role("button", name="Unshelve").click()
    until(page, "document.getElementById('alarm-count').innerText === '1 active'")
    station.change(conditions={})
    until(page, "/gone|No alarms/.test(document.getElementById('alarm-list').innerText)")


def test_events_come_live_newest_first_and_the_earlier_ones_once(station: FakeStation, open_page: OpenPage) -> None:
    for n in range(3):
        station.change(event={"what": "operator", "command": "hold", "who": f"desk {n}"})
        station.report()  # taken
    page = open_page(station.url)
    until(page, "document.getElementById('event-rows').innerText.includes('desk 2')")
    station.change(event={"what": "alarm_raised", "alarm": "jam", "words": "An item <i>stands</i> still"})
    until(page, "document.querySelector('#event-rows tr').innerText.includes('An item <i>stands</i> still')")
    rows = page.locator("#event-rows tr").all_inner_texts()
    order = [next(n for n, row in enumerate(rows) if who in row) for who in ("stands", "desk 2", "desk 1", "desk 0")]
    assert order == sorted(order)
    assert sum("desk 1" in row for row in rows) == 1
    assert len(rows) <= 50


@pytest.mark.parametrize(
    ("event", "words"),
    [
        pytest.param({"what": "link", "state": "armed", "detail": "armed"}, "ARMED", id="nothing twice"),
        pytest.param(
            {"what": "link", "state": "ready", "detail": "clock known"}, "READY \u00b7 clock known", id="detail"
        ),
        pytest.param(
            {"what": "disarmed", "reason": "lease"},
            "no sign of life from this computer in time",
            id="why it is not armed",
        ),
        pytest.param(
            {"what": "state", "state": "held", "reason": "hold by page at 10.0.0.7"},
            "HELD \u00b7 hold by page at 10.0.0.7",
            id="state",
        ),
    ],
)
def test_an_event_is_told_in_words(
    station: FakeStation, open_page: OpenPage, event: dict[str, Any], words: str
) -> None:
    page = open_page(station.url)
    station.change(event=event)
    until(page, f"document.querySelector('#event-rows tr td.words').innerText === {json.dumps(words)}")
    assert page.problems == []


# -- the belt and the cameras --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("speed", "words"), [(None, "unknown"), (0.01, "stands"), (0.754, "0.75 m/s")])
def test_a_belt_speed_nobody_knows_is_not_shown_as_one(
    station: FakeStation, open_page: OpenPage, speed: float | None, words: str
) -> None:
    station.change(belt={"speed_m_s": speed})
    page = open_page(station.url)
    until(page, f"document.querySelector('#link-belt dd').innerText === '{words}'")


def test_two_cameras_stand_side_by_side_and_one_can_be_chosen(station: FakeStation, open_page: OpenPage) -> None:
    station.change(cameras=2)
    page = open_page(station.url)
    for camera in ("camera0", "camera1"):
        until(page, f"stationPage.wall.get('{camera}')?.ages.length > 3")
    left, right = (page.locator(f"[data-camera={name}] .picture").bounding_box() for name in ("camera0", "camera1"))
    assert left["x"] + left["width"] <= right["x"]
    assert left["y"] == pytest.approx(right["y"], abs=1)
    assert station.report()["watched"] == ["camera0", "camera1"]
    page.get_by_role("button", name="camera1").click()
    until(page, "document.querySelector('[data-camera=camera0]').hidden")
    while station.report()["watched"] != ["camera1"]:  # a hidden picture costs nothing
        time.sleep(0.1)
    page.get_by_role("button", name="All").click()
    until(page, "stationPage.wall.get('camera0').ages.length > 3")


def test_on_a_phone_cameras_are_tabs(station: FakeStation, open_page: OpenPage) -> None:
    station.change(cameras=2)
    page = open_page(station.url, width=360, height=740)
    assert page.locator(".camera:visible").count() == 1
    assert page.get_by_role("button", name="All").count() == 0
    page.get_by_role("button", name="camera1").click()
    until(page, "stationPage.live.camera === 'camera1' && stationPage.live.ages.length > 3")
    page.set_viewport_size({"width": 1366, "height": 900})  # turned, or a larger window: the choice stays
    page.get_by_role("button", name="All").click()
    until(page, "document.querySelectorAll('.camera:not([hidden])').length === 2")


def test_a_clock_that_has_jumped_makes_nothing_look_young(station: FakeStation, open_page: OpenPage) -> None:
    """This computer slept for an hour: what it knew of the station's clock before would call a second-old picture new."""
    page = open_page(station.url)
    age_ms = page.evaluate("""() => {
      const clock = new stationPage.clock.constructor();
      clock.add(0, 1e9, 1e9, 2);
      clock.add(1000, 3602e9, 3602e9, 1040);
      return clock.ageMs(3601e9, 1040);
    }""")
    assert 1000 <= age_ms <= 1100
