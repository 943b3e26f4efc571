"""Bin to gates and window: what is covered, what is spared, what is given up."""

from dataclasses import replace

import numpy as np
import pytest

from firmware_bridge.messages import DuringCount, DuringTime
from station.config import StationConfig, builtin_config, changed
from station.datatypes import OutcomeReason, Track
from station.sorting.footprint import covered, footprint_of, share
from station.sorting.scheduler import Motion, Planned, Scheduler

MOVING = Motion(at_ns=1_000_000_000, travel_mm=5000.0, speed_mm_s=1000.0)
ONE_FLAP = {"product": {"gates": [0]}, "residue": {}}
HERE = -4700.0  # belt coordinate of something 300 mm down the view when the travel is 5000 mm


def item(
    lateral_mm: float, along_mm: float = HERE, length_mm: float = 100, width_mm: float = 60, track_id: int = 1
) -> Track:
    return Track(
        track_id=track_id,
        camera_id="camera0",
        along_mm=along_mm,
        lateral_mm=lateral_mm,
        length_mm=length_mm,
        width_mm=width_mm,
        sigma_mm=1.0,
        first_seen_ns=0,
        last_seen_ns=1_000_000_000,
        sightings=3,
        whole=True,
        detection=None,
    )


def hit_by(planned: Planned, neighbour: Track) -> float:
    """Share of a neighbour in the same gate that the command's window covers."""
    assert planned.command is not None
    window = planned.command.window
    assert isinstance(window, DuringCount)
    start_mm, end_mm = 1375 - window.end_count * 0.5, 1375 - window.start_count * 0.5
    footprint = footprint_of(neighbour)
    return share(footprint, covered(footprint, np.ones(footprint.lateral_mm.shape, dtype=np.bool_), start_mm, end_mm))


@pytest.fixture
def config() -> StationConfig:
    return builtin_config("virtual")


@pytest.mark.parametrize(
    ("lateral_mm", "width_mm", "gates"),
    [
        pytest.param(37.5, 60, [0], id="inside one gate"),
        pytest.param(75.0, 60, [0, 1], id="astride two gates"),
        pytest.param(77.0, 80, [0, 1], id="wider than a gate"),
        pytest.param(112.5, 150, [0, 1, 2], id="three gates"),
        pytest.param(77.0, 74, [0, 1], id="nearly even"),
        pytest.param(40.0, 73, [0], id="a sliver in the next gate is not worth its air"),
    ],
)
def test_gates_are_those_under_the_item(
    config: StationConfig, lateral_mm: float, width_mm: float, gates: list[int]
) -> None:
    planned = Scheduler(config).plan(item(lateral_mm, width_mm=width_mm), "product", [], MOVING)
    assert planned.command is not None
    assert planned.command.gate_mask == sum(1 << gate for gate in gates)


def test_the_window_is_the_items_own_extent_with_its_uncertainty_in_counts(config: StationConfig) -> None:
    planned = Scheduler(config).plan(item(37.5), "product", [], MOVING)
    assert planned.command is not None
    window = planned.command.window
    assert isinstance(window, DuringCount)
    margin_mm = config.sort.margin_mm + 2 * 1.0
    # the downstream end of the item arrives when the travel is gate position minus its belt coordinate
    assert window.start_count == pytest.approx((1375 - (HERE + 50 + margin_mm)) / 0.5, abs=1)
    assert window.end_count == pytest.approx((1375 - (HERE - 50 - margin_mm)) / 0.5, abs=1)


def test_without_an_encoder_the_window_is_host_time_at_the_measured_speed(config: StationConfig) -> None:
    timed = changed(config, belt={"mm_per_count": None, "speed_m_s": 1.0})
    planned = Scheduler(timed).plan(item(37.5), "product", [], MOVING)
    assert planned.command is not None
    window = planned.command.window
    assert isinstance(window, DuringTime)
    arrives_ms = (1375 - HERE - 5000) / 1000 * 1000
    assert (window.start_ns + window.end_ns) / 2 / 1e6 == pytest.approx(1000 + arrives_ms, abs=1)


def test_last_useful_moment_leaves_opening_delay_and_lead(config: StationConfig) -> None:
    planned = Scheduler(config).plan(item(37.5), "product", [], MOVING)
    assert planned.last_useful_ns is not None
    arrives_ms = 1000 + (1375 - (HERE + 50 + 8) - 5000)
    assert planned.last_useful_ns / 1e6 == pytest.approx(arrives_ms - 12 - config.link.lead_ms, abs=1)


@pytest.mark.parametrize("policy", ["purity", "recovery"])
def test_a_neighbour_in_the_same_gate_is_spared_or_the_target_given_up(config: StationConfig, policy: str) -> None:
    crowded = changed(config, sort={"policy": policy})
    target, neighbour = (
        item(20, width_mm=30),
        item(55, width_mm=30, track_id=2),
    )  # both whole inside gate 0, side by side
    planned = Scheduler(crowded).plan(target, "product", [neighbour], MOVING)
    if policy == "purity":
        assert planned.command is None
        assert planned.reason is OutcomeReason.NEIGHBOUR
    else:
        assert planned.command is not None
        assert planned.cover >= crowded.sort.min_cover


@pytest.mark.parametrize("lag_mm", [60, -60, 75, -75])
def test_a_window_is_trimmed_to_spare_a_neighbour_before_or_behind(config: StationConfig, lag_mm: float) -> None:
    target = item(37.5, width_mm=60)
    neighbour = item(37.5, along_mm=HERE + lag_mm, length_mm=60, width_mm=60, track_id=2)
    planned = Scheduler(config).plan(target, "product", [neighbour], MOVING)
    assert planned.cover >= config.sort.min_cover
    assert hit_by(planned, neighbour) <= config.sort.max_neighbour_cover + 0.02


@pytest.mark.parametrize("policy", ["purity", "recovery"])
@pytest.mark.parametrize("lateral_mm", [400.0, 560.0])
def test_a_neighbour_counts_wherever_the_gate_that_acts_reaches_it(
    config: StationConfig, policy: str, lateral_mm: float
) -> None:
    """One flap over the whole belt: it acts far beside the target, too."""
    flap = changed(config, gate_bar={"count": 1, "pitch_mm": 600}, sort={"policy": policy, "bins": ONE_FLAP})
    target, neighbour = item(100.0), item(lateral_mm, track_id=2)
    planned = Scheduler(flap).plan(target, "product", [neighbour], MOVING)
    if policy == "purity":
        assert planned.command is None
        assert planned.reason is OutcomeReason.NEIGHBOUR
    else:
        assert planned.command is not None
        assert planned.neighbour_cover > flap.sort.max_neighbour_cover


@pytest.mark.parametrize("lag_mm", [145, -145])
def test_a_neighbour_is_spared_as_far_as_a_wide_margin_reaches_it(config: StationConfig, lag_mm: float) -> None:
    wide = changed(config, sort={"margin_mm": 100})
    target, neighbour = item(37.5), item(37.5, along_mm=HERE + lag_mm, length_mm=60, track_id=2)
    planned = Scheduler(wide).plan(target, "product", [neighbour], MOVING)
    assert planned.cover >= wide.sort.min_cover
    assert hit_by(planned, neighbour) <= wide.sort.max_neighbour_cover + 0.02


def test_what_is_scheduled_already_counts_against_a_neighbour(config: StationConfig) -> None:
    """Two targets, each taking a fifth of the same bystander, must not take two fifths together."""
    scheduler = Scheduler(config)
    bystander = item(75.0, length_mm=100, width_mm=60, track_id=9)  # half in gate 0, half in gate 1
    left = item(20.0, along_mm=HERE + 45, length_mm=90, width_mm=36, track_id=1)
    right = item(130.0, along_mm=HERE - 45, length_mm=90, width_mm=36, track_id=2)
    first = scheduler.plan(left, "product", [bystander], MOVING)
    second = scheduler.plan(right, "product", [bystander], MOVING)
    assert first.command is not None
    if second.command is None:
        assert second.reason is OutcomeReason.NEIGHBOUR
    else:
        assert second.neighbour_cover <= config.sort.max_neighbour_cover


def test_windows_nearer_than_a_gate_can_reopen_are_joined(config: StationConfig) -> None:
    scheduler = Scheduler(config)
    first = scheduler.plan(item(37.5, along_mm=HERE), "product", [], MOVING)
    second = scheduler.plan(item(37.5, along_mm=HERE - 120, track_id=2), "product", [], MOVING)
    assert first.command is not None
    assert second.command is not None
    assert isinstance(first.command.window, DuringCount)
    assert isinstance(second.command.window, DuringCount)
    assert second.command.window.start_count <= first.command.window.end_count + 1


def test_an_item_longer_than_the_gate_may_stay_open_is_given_up(config: StationConfig) -> None:
    slow = Motion(at_ns=0, travel_mm=5000.0, speed_mm_s=100.0)
    planned = Scheduler(config).plan(item(37.5, length_mm=150), "product", [], slow)
    assert planned.reason is OutcomeReason.TOO_LONG


@pytest.mark.parametrize("length_mm", [80.0, 92.0, 99.0])
def test_margins_give_way_before_the_output_is_on_for_too_long(config: StationConfig, length_mm: float) -> None:
    """The output is on for the window and for the opening delay that is longer than the closing one."""
    short = changed(config, gate_bar={"max_hold_ms": 100.0})
    planned = Scheduler(short).plan(item(37.5, length_mm=length_mm), "product", [], MOVING)
    assert planned.command is not None
    assert isinstance(planned.command.window, DuringCount)
    window_mm = (planned.command.window.end_count - planned.command.window.start_count) * 0.5
    assert 0.9 * length_mm <= window_mm
    assert window_mm + 4.0 <= 100.0


def test_a_standing_belt_is_never_too_late(config: StationConfig) -> None:
    standing = Motion(at_ns=0, travel_mm=5000.0, speed_mm_s=0.0)
    short = changed(config, gate_bar={"max_hold_ms": 1000.0})
    planned = Scheduler(short).plan(item(37.5, length_mm=1), "product", [], standing)
    assert planned.last_useful_ns is None


def test_coverage_of_a_turned_outline_is_its_area() -> None:
    diamond = np.array([[0, 50], [50, 100], [100, 50], [50, 0]], dtype=np.float64)  # along, lateral
    square = item(50, along_mm=50, length_mm=100, width_mm=100)
    turned = footprint_of(replace(square, hull_mm=diamond))
    assert turned.area == pytest.approx(footprint_of(square).area / 2, rel=0.03)
    half = covered(turned, np.ones(turned.lateral_mm.shape, dtype=np.bool_), 0, 50)
    assert share(turned, half) == pytest.approx(0.5, abs=0.02)
