"""What fails around the belt: the host stalls, the device reboots, the cable is out, the camera freezes, a person stops it."""

from pathlib import Path

import pytest

from tests.scenarios.lines import Played, Scenario, assert_accounted, assert_each_item_once, play, reference_line

S = 1_000_000_000


def feed_start_ns(played: Played) -> int:
    start_ns = played.run.feed_start_ns
    assert start_ns is not None
    return start_ns


def outputs_on_ns(played: Played, from_ns: int, to_ns: int) -> int:
    """How long any output was on within the span, by the device's own edges."""
    total, on_since = 0, dict[int, int]()
    for edge in sorted(played.run.log.edges, key=lambda edge: (edge.at_ns, edge.on)):
        if edge.on:
            on_since.setdefault(edge.gate, edge.at_ns)
        elif edge.gate in on_since:
            total += max(0, min(edge.at_ns, to_ns) - max(on_since.pop(edge.gate), from_ns))
    return total + sum(max(0, to_ns - max(since_ns, from_ns)) for since_ns in on_since.values())


def ends_well(played: Played) -> None:
    """The machine runs again, and items that came after it are ejected."""
    assert played.states[-1][1] == "EXECUTE"
    back_ns = feed_start_ns(played) + played.states[-1][0]
    assert sum(item.outcome == "ejected" and item.born_ns > back_ns for item in played.items) >= 5


@pytest.mark.parametrize(("at_s", "for_s"), [(5.0, 0.4), (5.0, 1.5)])
def test_a_host_that_stalls_loses_its_lease_and_comes_back(at_s: float, for_s: float, tmp_path: Path) -> None:
    config = reference_line()
    played = play(tmp_path, Scenario(host_stalls=((at_s, for_s),)), config)
    assert_accounted(played)
    assert_each_item_once(played)
    # The turn that was under way when the stall began may have renewed the lease up to one idle step later.
    expired_ns = feed_start_ns(played) + round(at_s * S) + (config.link.lease_ms + 5 + 40) * 1_000_000
    stalled_until_ns = feed_start_ns(played) + round((at_s + for_s) * S)
    assert outputs_on_ns(played, expired_ns, stalled_until_ns) == 0
    assert outputs_on_ns(played, feed_start_ns(played), expired_ns) > 0
    assert set(played.missed()) <= {"link", "refused_not_armed"}
    assert [state for _, state in played.states] == ["EXECUTE", "HELD", "EXECUTE"]
    ends_well(played)


def test_a_stall_shorter_than_the_lease_stops_nothing(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(host_stalls=((5.0, 0.15),)))
    assert_accounted(played)
    assert played.states == [(0, "EXECUTE")]
    assert not played.missed()


def test_without_auto_rearm_the_machine_stays_held_after_a_stall(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(host_stalls=((5.0, 0.4),)), reference_line(link={"auto_rearm": False}))
    assert_accounted(played)
    assert played.states[-1][1] == "HELD"
    held_ns = feed_start_ns(played) + played.states[-1][0]
    assert outputs_on_ns(played, held_ns, played.run.clock.now_ns()) == 0


@pytest.mark.parametrize("seed", [7, 8, 9])
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(("reboot@5",), id="once"),
        pytest.param(("reboot@5", "reboot@5.2"), id="twice in a row"),
        pytest.param(("belt-slow@4+3", "reboot@5"), id="on a slow belt"),
        pytest.param(("belt-stop@4.8+2", "reboot@5"), id="while the belt comes to rest"),
    ],
)
def test_a_device_that_reboots_runs_no_stale_command_and_no_item_counts_twice(
    faults: tuple[str, ...], seed: int, tmp_path: Path
) -> None:
    played = play(tmp_path, Scenario(faults=faults, seed=seed))
    assert_accounted(played)
    assert_each_item_once(played)
    assert set(played.missed()) == {"link"}
    assert all(item.reason == "no_report" for item in played.items if item.outcome == "unconfirmed")
    reboot_ns = feed_start_ns(played) + 5 * S
    before = {
        item.command_id for item in played.items if item.scheduled_ns is not None and item.scheduled_ns < reboot_ns
    }
    shots = [row for row in played.commands() if row["answer"] == "fired" and row["command_id"] in before]
    assert shots
    assert all(row["on_ns"] < reboot_ns for row in shots)
    assert outputs_on_ns(played, reboot_ns + 1_000_000, reboot_ns + S) == 0
    ends_well(played)


def test_a_cable_out_for_three_seconds_costs_its_items_and_nothing_else(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=16.0, faults=("cable@5+3",)))
    assert_accounted(played)
    assert_each_item_once(played)
    out_ns, in_ns = feed_start_ns(played) + 5 * S, feed_start_ns(played) + 8 * S
    assert outputs_on_ns(played, out_ns + 255_000_000, in_ns) == 0
    assert played.truth["unseen"] > 0  # without a count no picture has a place on the belt
    assert set(played.missed()) <= {"link", "refused_not_armed"}
    assert all(item.reason == "no_report" for item in played.items if item.outcome == "unconfirmed")
    ends_well(played)


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(Scenario(frozen_camera=((5.0, 2.0),)), id="repeats its last picture"),
        pytest.param(Scenario(faults=("camera@5+2",)), id="is gone"),
        pytest.param(Scenario(faults=("freeze@5+2",)), id="is frozen by the line"),
    ],
)
def test_a_dead_camera_brings_no_new_decisions_and_what_was_decided_still_fires(
    scenario: Scenario, tmp_path: Path
) -> None:
    played = play(tmp_path, scenario)
    assert_accounted(played)
    assert_each_item_once(played)
    frozen_ns, back_ns = feed_start_ns(played) + 5 * S, feed_start_ns(played) + 7 * S
    decided = [item for item in played.items if item.decided_ns is not None]
    # What was in view runs out of it by the count; nothing that is decided rests on a look after the freeze.
    assert not [item for item in decided if frozen_ns + 400_000_000 < (item.decided_ns or 0) < back_ns]
    waiting = [
        item
        for item in played.items
        if item.scheduled_ns is not None
        and item.settled_ns is not None
        and item.scheduled_ns < frozen_ns < item.settled_ns
    ]
    assert len(waiting) >= 3
    assert all(item.outcome == "ejected" for item in waiting)
    assert "HELD" in [state for _, state in played.states]
    ends_well(played)


def test_stop_shuts_the_gates_and_nothing_starts_by_itself(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(stop_at_s=5.0))
    assert_accounted(played)
    assert_each_item_once(played)
    stopped_ns = feed_start_ns(played) + 5 * S
    assert outputs_on_ns(played, stopped_ns + 50_000_000, played.run.clock.now_ns()) == 0
    assert set(played.missed()) == {"stopped"}
    assert played.states[0] == (0, "EXECUTE")
    assert played.run.loop.machine.state.name == "STOPPED"


def test_a_full_record_holds_the_line_until_the_disk_is_back_and_nothing_is_lost(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=16.0, disk_away=((4.0, 6.0),), record_capacity=150))
    assert_accounted(played)
    assert_each_item_once(played)
    recorder = played.run.setup.recorder
    assert recorder.depth == 0
    assert recorder.flush(played.run.clock.now_ns()) == 0  # what the report calls history_lost
    # Held while there is no room, not aborted; and running again by itself a second after there is.
    names = [state for _, state in played.states]
    assert [names[0], *names[-1:]] == ["EXECUTE", "EXECUTE"]
    assert "HELD" in names
    assert "ABORTED" not in names
    held_ns = next(at_ns for at_ns, state in played.states if state == "HELD")
    again_ns = next(at_ns for at_ns, state in played.states if state == "EXECUTE" and at_ns > held_ns)
    assert 4 * S < held_ns < 10 * S < again_ns < 12.5 * S
    # What was decided before still fired: nothing is missed for want of a disk.
    assert not played.missed()
    ends_well(played)


def test_a_disk_that_is_away_for_a_moment_stops_nothing(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(disk_away=((4.0, 3.0),)))
    assert_accounted(played)
    assert played.states == [(0, "EXECUTE")]
    assert len(played.commands()) == len({row["command_id"] for row in played.commands()})
