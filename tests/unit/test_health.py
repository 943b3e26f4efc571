"""Readings in, conditions out: each condition appears at its threshold, and not for want of data."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from firmware_bridge.messages import LinkState
from station.alarms import KINDS
from station.datatypes import DecisionReason, OutcomeKind, OutcomeReason
from station.health import CameraReading, Condition, Health, Limits, Reading

SECOND_NS = 1_000_000_000
EJECTED = (OutcomeKind.EJECTED, OutcomeReason.NONE)
LATE = (OutcomeKind.MISSED, OutcomeReason.LATE)
FULL = (OutcomeKind.MISSED, OutcomeReason.REFUSED_FULL)
UNARMED = (OutcomeKind.MISSED, OutcomeReason.REFUSED_NOT_ARMED)
NEIGHBOUR = (OutcomeKind.MISSED, OutcomeReason.NEIGHBOUR)
DRY = (OutcomeKind.MISSED, OutcomeReason.DRY_RUN)
STOPPED = (OutcomeKind.MISSED, OutcomeReason.STOPPED)
SPEED = (OutcomeKind.MISSED, OutcomeReason.SPEED)
POSITION = (OutcomeKind.MISSED, OutcomeReason.POSITION)
SILENT = (OutcomeKind.UNCONFIRMED, OutcomeReason.NO_REPORT)


def good(second: float, **changes: Any) -> Reading:
    """A healthy line after so many seconds: 30 fps, 10 diverts and 20 decisions a second."""
    camera = CameraReading(live=True, captured=round(second * 30), configured_fps=30)
    reading = Reading(
        at_ns=round(second * SECOND_NS),
        cameras={"camera0": camera},
        link=LinkState.ARMED,
        sync_bound_us=60,
        outcomes={EJECTED: round(second * 10)},
        decisions=decided(second, 0),
        latency_p99_ms=40.0,
        disk_free_bytes=50 << 30,
    )
    return replace(reading, **changes)


def decided(second: float, unsure: int) -> dict[DecisionReason, int]:
    """20 decisions a second, so many of them unsure."""
    return {DecisionReason.MATCHED: round(second * (20 - unsure)), DecisionReason.UNSURE: round(second * unsure)}


def after(seconds: int, make: Callable[[float], Reading], health: Health | None = None) -> dict[Condition, str]:
    health = health or Health()
    found: dict[Condition, str] = {}
    for half in range(2 * seconds + 1):
        found = health.read(make(half / 2))
    return found


def test_a_healthy_line_has_nothing_to_say_at_any_time() -> None:
    health = Health()
    assert all(health.read(good(half / 2)) == {} for half in range(300))


def test_every_condition_has_its_alarm_with_something_to_do() -> None:
    assert {condition.value for condition in Condition} == {kind.alarm_id for kind in KINDS}
    assert all(len(kind.action) > 20 for kind in KINDS)


def camera(fps: float = 30.0, poor: float = 0.0, live: bool = True) -> Callable[[float], Reading]:
    def make(second: float) -> Reading:
        seen = CameraReading(live, round(second * fps), round(second * fps * poor), 30)
        return good(second, cameras={"camera0": seen})

    return make


def outcomes(per_minute: dict[tuple[OutcomeKind, OutcomeReason], float]) -> Callable[[float], Reading]:
    return lambda second: good(
        second, outcomes={what: round(count * second / 60) for what, count in per_minute.items()}
    )


@pytest.mark.parametrize(
    ("make", "seconds", "expected"),
    [
        pytest.param(camera(live=False), 1, {Condition.CAMERA_LOST}, id="camera gone"),
        pytest.param(camera(fps=23), 8, {Condition.FRAME_RATE_LOW}, id="23 of 30 fps"),
        pytest.param(camera(fps=25), 8, set(), id="25 of 30 fps"),
        pytest.param(camera(fps=10), 3, set(), id="too young to judge a rate"),
        pytest.param(camera(poor=0.3), 8, {Condition.PICTURE_POOR}, id="a third black"),
        pytest.param(camera(poor=0.1), 8, set(), id="a few black"),
        pytest.param(lambda s: good(s, link=LinkState.LOST), 1, {Condition.LINK_LOST}, id="link lost"),
        pytest.param(lambda s: good(s, link=None), 1, set(), id="observing has no link to lose"),
        pytest.param(lambda s: good(s, link=LinkState.SYNCING), 1, {Condition.CLOCK_BOUND_WIDE}, id="syncing"),
        pytest.param(lambda s: good(s, sync_bound_us=900), 1, {Condition.CLOCK_BOUND_WIDE}, id="wide bound"),
        pytest.param(lambda s: good(s, unarmed_ns=3 * SECOND_NS), 1, {Condition.NOT_ARMED}, id="not armed for 3 s"),
        pytest.param(lambda s: good(s, unarmed_ns=SECOND_NS), 1, set(), id="arming takes a moment"),
        pytest.param(lambda s: good(s, jammed=(17,)), 1, {Condition.JAM}, id="an item stands still"),
        pytest.param(lambda s: good(s, full_bins=("product: 500 items",)), 1, {Condition.BIN_FULL}, id="bin full"),
        pytest.param(lambda s: good(s, page_restarts=int(s >= 5)), 8, {Condition.PAGE_DOWN}, id="page's process died"),
        pytest.param(lambda s: good(s, page_restarts=3), 8, set(), id="it died long ago"),
        pytest.param(outcomes({EJECTED: 400, NEIGHBOUR: 60}), 60, {Condition.MISSED_SHARE_HIGH}, id="13 % missed"),
        pytest.param(outcomes({EJECTED: 400, NEIGHBOUR: 30}), 60, set(), id="7 % missed"),
        pytest.param(outcomes({EJECTED: 10, NEIGHBOUR: 9}), 60, set(), id="nine missed are too few to say"),
        pytest.param(outcomes({DRY: 400, STOPPED: 90}), 60, set(), id="missed on purpose"),
        pytest.param(lambda s: good(s, encoder_silent=True), 1, {Condition.ENCODER_SILENT}, id="encoder"),
        pytest.param(lambda s: good(s, encoder_stands=True), 1, {Condition.ENCODER_STANDS}, id="it stands alone"),
        pytest.param(lambda s: good(s, speed_trouble="0.90 m/s"), 1, {Condition.BELT_SPEED}, id="another speed"),
        pytest.param(
            outcomes({EJECTED: 10, SPEED: 400, POSITION: 9}), 60, set(), id="missed for what has its own alarm"
        ),
        pytest.param(
            lambda s: good(s, controller_faults=("output_differs",)), 1, {Condition.CONTROLLER_FAULT}, id="found"
        ),
        pytest.param(outcomes({EJECTED: 500, LATE: 10}), 60, {Condition.DIVERTS_LATE}, id="2 % late"),
        pytest.param(outcomes({EJECTED: 2000, LATE: 10}), 60, set(), id="0.5 % late"),
        pytest.param(outcomes({EJECTED: 20, LATE: 2}), 60, set(), id="two late are too few to say"),
        pytest.param(outcomes({EJECTED: 500, FULL: 10}), 60, {Condition.DIVERTS_REFUSED}, id="refused"),
        pytest.param(outcomes({EJECTED: 500, SILENT: 10}), 60, {Condition.DIVERTS_UNANSWERED}, id="unanswered"),
        pytest.param(lambda s: good(s, decisions=decided(s, 8)), 20, {Condition.UNSURE_SHARE_HIGH}, id="40 % unsure"),
        pytest.param(lambda s: good(s, decisions=decided(s, 4)), 20, set(), id="20 % unsure"),
        pytest.param(lambda s: good(s, decisions=decided(s, 8)), 2, set(), id="too few decisions"),
        pytest.param(lambda s: good(s, latency_p99_ms=140.0), 1, {Condition.LATENCY_HIGH}, id="latency"),
        pytest.param(lambda s: good(s, fault="model failed"), 1, {Condition.STATION_FAULT}, id="fault"),
        pytest.param(lambda s: good(s, history_away=True), 1, {Condition.HISTORY_AWAY}, id="history away"),
        pytest.param(lambda s: good(s, disk_free_bytes=1 << 30), 1, {Condition.DISK_NEARLY_FULL}, id="disk"),
        pytest.param(
            lambda s: good(s, disk_free_bytes=None, sync_bound_us=None), 1, set(), id="unknown is no condition"
        ),
    ],
)
def test_each_condition_at_its_threshold(
    make: Callable[[float], Reading], seconds: int, expected: set[Condition]
) -> None:
    assert set(after(seconds, make)) == expected


def test_a_refusal_says_which_one_it_mostly_is() -> None:
    found = after(60, outcomes({EJECTED: 500, FULL: 4, UNARMED: 8}))
    assert found == {Condition.DIVERTS_REFUSED: "12 of 512 in the last minute, 8 of them not armed"}


def test_old_misses_are_forgotten_after_a_minute() -> None:
    health = Health()
    found = after(30, outcomes({EJECTED: 500, LATE: 60}), health)
    assert found == {Condition.DIVERTS_LATE: "30 of 280 in the last minute"}
    for half in range(61, 200):
        found = health.read(good(half / 2, outcomes={EJECTED: 250 + half * 5, LATE: 30}))
    assert found == {}


def test_a_camera_that_has_just_come_back_is_not_called_slow() -> None:
    health = Health()
    back_at = 20

    def make(second: float) -> Reading:
        captured = round(min(second, 10) * 30 + max(0.0, second - back_at) * 30)
        return good(second, cameras={"camera0": CameraReading(not 10 <= second < back_at, captured, 0, 30)})

    for half in range(2 * 40):
        found = health.read(make(half / 2))
        assert Condition.FRAME_RATE_LOW not in found, half / 2


def test_every_camera_is_named() -> None:
    lost = {f"camera{n}": CameraReading(live=n == 1, captured=0) for n in range(3)}
    assert Health().read(good(0, cameras=lost)) == {Condition.CAMERA_LOST: "camera0, camera2"}


def test_limits_come_from_outside() -> None:
    assert Health(Limits(latency_ms=30)).read(good(0)) == {Condition.LATENCY_HIGH: "p99 40 ms, budget 30 ms"}


def test_doubt_says_what_it_mostly_is() -> None:
    def overloaded(second: float) -> Reading:
        return good(second, decisions=decided(second, 3) | {DecisionReason.NO_LOOK: round(second * 9)})

    words = after(20, overloaded)[Condition.UNSURE_SHARE_HIGH]
    assert words.endswith("items in the last minute, mostly without a look")
