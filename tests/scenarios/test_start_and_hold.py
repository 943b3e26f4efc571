"""START with items on the belt, and HOLD: the feeder obeys the permit, and what is decided still fires."""

from pathlib import Path

from tests.scenarios.lines import Played, Scenario, assert_accounted, assert_each_item_once, play, reference_line

S = 1_000_000_000


def feed_start_ns(played: Played) -> int:
    start_ns = played.run.feed_start_ns
    assert start_ns is not None
    return start_ns


def test_items_past_the_decision_line_at_start_are_unseen_at_start(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=12.0, start_at_s=4.0, confusion=0.0))
    assert_accounted(played)
    assert_each_item_once(played)
    pressed_ns = feed_start_ns(played) + 4 * S
    at_gates_mm = reference_line().gates[0].at_mm
    unseen = [item for item in played.items if item.reason == "unseen_at_start"]
    assert len(unseen) >= 3
    for item in unseen:
        assert item.outcome == "missed"
        assert item.command_id is None
        assert item.decided_ns is not None
        assert item.decided_ns < pressed_ns + 0.2 * S
        # On its way then, not past the gates: its front entered the view no longer ago than the way takes at 1 m/s.
        assert pressed_ns - item.born_ns < (at_gates_mm + 200) / 1000 * S
    # Those that had passed the gates before had nobody to aim at them; those that came later are ejected.
    early = [item for item in played.items if item.reason == "not_permitted"]
    assert early
    assert max(item.born_ns for item in early) < min(item.born_ns for item in unseen)
    later = [item for item in played.items if item.label == "recyclable" and item.born_ns > pressed_ns]
    assert len(later) >= 10
    assert {item.outcome for item in later} == {"ejected"}


def test_without_a_permit_the_feeder_stands_and_the_belt_runs_out(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=14.0, hold=(4.0, 5.0), confusion=0.0))
    assert_accounted(played)
    assert_each_item_once(played)
    held_ns, back_ns = feed_start_ns(played) + 4 * S, feed_start_ns(played) + 9 * S
    assert [state for _, state in played.states] == ["EXECUTE", "HELD", "EXECUTE"]
    # The feeder stands a quarter of a metre above the view: what it had laid still comes, then nothing.
    assert not [item for item in played.items if held_ns + 0.8 * S < item.born_ns < back_ns]
    assert sum(item.born_ns > back_ns for item in played.items) >= 30
    # Nothing is missed: what was decided before and during HOLD has fired.
    assert not played.missed()
    assert played.truth["recovery"]["value"] >= 0.99


def test_a_run_that_is_held_is_fed_less(tmp_path: Path) -> None:
    free = play(tmp_path / "free", Scenario(for_s=12.0))
    held = play(tmp_path / "held", Scenario(for_s=12.0, hold=(4.0, 4.0)))
    assert free.truth["fed"] - held.truth["fed"] > 25


def test_hold_while_the_camera_is_away_lasts_until_a_person_ends_it(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=16.0, faults=("camera@4+2",), hold=(5.0, 5.0)))
    assert_accounted(played)
    assert [state for _, state in played.states] == ["EXECUTE", "HELD", "EXECUTE"]
    held_ns, again_ns = played.states[1][0], played.states[2][0]
    assert 4 * S < held_ns < 5 * S
    assert again_ns >= 10 * S  # the camera is back at 6, and well since 7
