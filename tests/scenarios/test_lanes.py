"""Several cameras over one belt: every lane as good as one alone, and none waits for another."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from station.config import changed
from station.datatypes import Classification, Look
from station.demo import DemoOptions, demo
from station.errors import ConfigError
from station.simulation.lanes import side_by_side
from station.simulation.line import LineOptions
from station.simulation.stub import StubRecogniser
from tests.scenarios.lines import Played, Scenario, assert_accounted, assert_each_item_once, play, reference_line

S = 1_000_000_000


def waited_ms(played: Played, camera_id: str) -> list[float]:
    """From the capture of the last look used to the decision, in this camera's lane."""
    return [
        (item.decided_ns - item.last_look_ns) / 1e6
        for item in played.items
        if item.camera_id == camera_id and item.decided_ns is not None and item.last_look_ns is not None
    ]


def test_two_lanes_are_each_as_good_as_one(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=20.0, confusion=0.0), side_by_side(reference_line(), 2))
    assert_accounted(played)
    assert_each_item_once(played)
    for lane in ("camera0", "camera1"):
        block = played.truth["by_camera"][lane]
        assert block["fed"] == pytest.approx(200, abs=5)
        assert block["purity"]["value"] >= 0.99
        assert block["recovery"]["value"] >= 0.99
    # The gates of a lane serve its strip of belt.
    for item in played.items:
        mask = item.gate_mask or 0
        assert mask & (0xFF if item.camera_id == "camera1" else 0xFF00) == 0
    assert len({item.track_id for item in played.items}) == len(played.items)


def test_the_model_takes_the_looks_of_all_lanes_in_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[set[str]] = []
    classify = StubRecogniser.classify

    def noted(self: StubRecogniser, looks: Sequence[Look]) -> list[Classification]:
        batches.append({look.frame.camera_id for look in looks})
        return classify(self, looks)

    monkeypatch.setattr(StubRecogniser, "classify", noted)
    config = changed(side_by_side(reference_line(), 2), cost={"jitter": 0.0})  # both threads are through at once
    played = play(tmp_path, Scenario(for_s=5.0), config)
    assert_accounted(played)
    assert sum(len(cameras) == 2 for cameras in batches) > 20


def test_a_camera_whose_frames_come_late_delays_nobody_else(tmp_path: Path) -> None:
    lanes = side_by_side(reference_line(), 2)
    both = play(tmp_path / "both", Scenario(for_s=10.0), lanes)
    late = play(tmp_path / "late", Scenario(for_s=10.0, slow_cameras={"camera1": 180.0}), lanes)
    for played in (both, late):
        assert_accounted(played)
        assert_each_item_once(played)
        assert played.truth["unseen"] == 0
    assert max(waited_ms(late, "camera0")) <= max(waited_ms(both, "camera0")) + 5.0
    assert min(waited_ms(late, "camera1")) >= 180.0


def test_a_camera_whose_thread_is_slow_loses_frames_and_costs_nobody_else_any(tmp_path: Path) -> None:
    lanes = side_by_side(reference_line(), 2)
    run = play(tmp_path, Scenario(for_s=10.0), lanes).run
    tallies = run.books.cameras
    assert tallies["camera0"].dropped == tallies["camera1"].dropped == 0
    slow = changed(lanes, cost={"detect_ms": 80.0})
    slowed = play(tmp_path / "slow", Scenario(for_s=10.0), slow).run.books.cameras
    assert slowed["camera0"].dropped > 0.4 * slowed["camera0"].captured


def test_one_camera_lost_holds_the_line_and_the_other_lane_is_still_followed(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=12.0, faults=("camera@4+2",)), side_by_side(reference_line(), 2))
    assert_accounted(played)
    assert_each_item_once(played)
    start_ns = played.run.feed_start_ns
    assert start_ns is not None
    during = [
        item
        for item in played.items
        if item.last_look_ns is not None and start_ns + 4.4 * S < item.last_look_ns < start_ns + 5.9 * S
    ]
    assert {item.camera_id for item in during} <= {"camera1"}
    assert "HELD" in [state for _, state in played.states]
    assert played.states[-1][1] == "EXECUTE"


def test_a_run_of_lanes_repeats_to_the_byte_and_reports_each_camera(tmp_path: Path) -> None:
    lanes = changed(side_by_side(reference_line(), 2), record={"directory": str(tmp_path / "history")})
    options = LineOptions(seed=3, for_s=4.0)
    reports = [
        demo(lanes, DemoOptions(options, clock="virtual", perception="stub", out=tmp_path / name))
        for name in ("first", "again")
    ]
    assert (tmp_path / "first" / "items.jsonl").read_bytes() == (tmp_path / "again" / "items.jsonl").read_bytes()
    cameras = reports[0]["cameras"]
    assert set(cameras) == {"camera0", "camera1"}
    assert sum(sum(camera["items"].values()) for camera in cameras.values()) == reports[0]["items"]["total"]
    assert sum(camera["frames"]["captured"] for camera in cameras.values()) == reports[0]["frames"]["captured"]
    line = json.loads((tmp_path / "first" / "line.json").read_text())
    assert [lane["from_mm"] for lane in line["lanes"]] == [0.0, 600.0]


@pytest.mark.parametrize("lanes", [0, 5])
def test_more_lanes_than_a_mask_has_gates_for_are_refused(lanes: int) -> None:
    with pytest.raises(ConfigError, match="At most 4"):
        side_by_side(reference_line(), lanes)


def test_two_lanes_without_an_encoder_are_as_good_as_with_one(tmp_path: Path) -> None:
    config = reference_line(belt={"mm_per_count": None, "speed_m_s": 1.0})
    played = play(tmp_path, Scenario(for_s=8.0, confusion=0.0), side_by_side(config, 2))
    assert_accounted(played)
    assert_each_item_once(played)
    assert {row["window_in"] for row in played.commands()} == {"ns"}
    assert played.truth["purity"]["value"] == played.truth["recovery"]["value"] == 1.0
