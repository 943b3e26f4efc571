"""What lies on the belt and how it runs: a good minute, a belt that slows and stops, items too close, too long, too late."""

from pathlib import Path

import pytest

from tests.scenarios.lines import Played, Scenario, assert_accounted, assert_each_item_once, play, reference_line

# Two gates of 300 mm: beside nearly every item lies another one over the same gate.
WIDE_GATES = {
    "gate_bar": {"count": 2, "pitch_mm": 300.0},
    "virtual": {"feed_per_s": 25.0, "gates": 2, "gate_pitch_mm": 300.0},
}
WIDE_BINS = {"bins": {"product": {"gates": [0, 1]}, "residue": {}}}


def test_a_good_minute(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=60.0))
    assert_accounted(played)
    assert_each_item_once(played)
    assert played.truth["fed"] == played.truth["matched"] >= 550
    assert played.truth["purity"]["value"] >= 0.95
    assert played.truth["recovery"]["value"] >= 0.95
    assert set(played.outcomes()) == {"ejected", "passed"}
    assert played.states == [(0, "EXECUTE")]


def test_without_misreading_everything_lands_where_it_should(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=30.0, confusion=0.0))
    assert_accounted(played)
    assert played.truth["purity"]["value"] >= 0.99
    assert played.truth["recovery"]["value"] >= 0.99


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(("belt-slow@4+4",), id="slows to half"),
        pytest.param(("belt-stop@4+5",), id="stops for five seconds and restarts"),
        pytest.param(("belt-slow@2+2", "belt-stop@6+5"), id="slows, then stops"),
        pytest.param(("belt-stop@3+0.3", "belt-stop@5+0.3", "belt-stop@7+0.3"), id="jerks"),
    ],
)
@pytest.mark.parametrize("seed", [7, 21])
def test_a_belt_that_changes_its_speed_with_items_on_their_way(
    faults: tuple[str, ...], seed: int, tmp_path: Path
) -> None:
    played = play(tmp_path, Scenario(for_s=14.0, faults=faults, seed=seed))
    assert_accounted(played)
    assert_each_item_once(played)
    assert played.truth["unseen"] == 0
    assert not played.missed()
    assert all(item.reason == "belt_stopped_in_window" for item in played.items if item.outcome == "unconfirmed")
    assert played.truth["purity"]["value"] >= 0.93
    assert played.truth["recovery"]["value"] >= 0.93


def test_items_that_were_between_camera_and_gates_when_the_belt_stopped_are_still_ejected(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=14.0, faults=("belt-stop@4+5",)))
    start_ns = played.run.feed_start_ns
    assert start_ns is not None
    waited = [
        item
        for item in played.items
        if item.scheduled_ns is not None
        and item.settled_ns is not None
        and item.scheduled_ns < start_ns + 4e9
        and item.settled_ns > start_ns + 9e9
    ]
    assert len(waited) >= 2
    assert all(item.outcome == "ejected" for item in waited)
    assert [state for _, state in played.states] == ["EXECUTE", "SUSPENDED", "EXECUTE"]


def _crowded(out: Path, policy: str) -> Played:
    config = reference_line(**WIDE_GATES, sort={**WIDE_BINS, "policy": policy})
    return play(out, Scenario(for_s=8.0, touching=True), config)


def test_items_too_close_are_given_up_by_purity_and_fired_at_by_recovery(tmp_path: Path) -> None:
    pure, recovering = _crowded(tmp_path / "purity", "purity"), _crowded(tmp_path / "recovery", "recovery")
    for played in (pure, recovering):
        assert_accounted(played)
        assert_each_item_once(played)
    assert set(pure.missed()) == {"neighbour"}
    assert pure.missed()["neighbour"] >= 5
    assert not recovering.missed()
    assert pure.truth["purity"]["value"] > recovering.truth["purity"]["value"] + 0.05
    assert recovering.truth["recovery"]["value"] > pure.truth["recovery"]["value"] + 0.05


def test_an_item_longer_than_the_gates_may_stay_open_is_missed_as_too_long(tmp_path: Path) -> None:
    """100 ms at 1 m/s: 100 mm. A shorter one loses some margin, never its shot."""
    played = play(tmp_path, Scenario(), reference_line(gate_bar={"max_hold_ms": 100.0}))
    assert_accounted(played)
    aimed = [item for item in played.items if item.bin == "product"]
    too_long = {item.track_id for item in aimed if item.reason == "too_long"}
    assert too_long == {item.track_id for item in aimed if item.length_mm is not None and item.length_mm > 100.0}
    assert len(too_long) >= 10
    assert all(item.outcome == "ejected" for item in aimed if item.track_id not in too_long)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {"virtual": {"speed_m_s": 3.5}, "cost": {"capture_ms": 400.0}}, id="the camera's pictures come late"
        ),
        pytest.param({"virtual": {"speed_m_s": 3.5}, "cost": {"detect_ms": 300.0}}, id="the host computes too slowly"),
    ],
)
def test_what_comes_too_late_is_refused_by_the_device_and_never_shot_late(
    changes: dict[str, dict[str, float]], tmp_path: Path
) -> None:
    played = play(tmp_path, Scenario(for_s=8.0), reference_line(**changes))
    assert_accounted(played)
    assert played.missed()["late"] >= 3
    late = {item.command_id for item in played.items if item.reason == "late"}
    answers = {row["command_id"]: (row["answer"], row["why"]) for row in played.commands() if row["command_id"] in late}
    assert set(answers) == late
    assert set(answers.values()) <= {("refused", "late"), ("not_fired", "late")}
