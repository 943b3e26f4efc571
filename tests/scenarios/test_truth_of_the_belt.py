"""What the station goes by, an even speed or an encoder, is not what the belt does: nothing may be fired at a wrong place."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from station.app import Brain
from station.config import StationConfig, changed
from station.datatypes import Classification, Look
from tests.scenarios.lines import Played, Scenario, assert_accounted, assert_each_item_once, play, reference_line

S = 1_000_000_000
SMALL = {
    "virtual": {"width_px": 320, "height_px": 200},
    "cameras": [{"id": "camera0", "width_px": 320, "height_px": 200, "mm_per_px": 600 / 320}],
}


def without_encoder(config: StationConfig | None = None, speed_m_s: float = 1.0) -> StationConfig:
    """Configured for 1 m/s; the belt runs at `speed_m_s`."""
    config = config or reference_line()
    return changed(config, belt={"mm_per_count": None, "speed_m_s": 1.0}, virtual={"speed_m_s": speed_m_s})


class Recyclable:
    """Everything is."""

    classes = ("organic", "recyclable")

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        return [
            Classification(look.track_id, look.frame.captured_ns, (0.0, 9.0), (0.0, 1.0), "recyclable")
            for look in looks
        ]


def outputs_on_s(played: Played, from_s: float, to_s: float = 1e9) -> list[float]:
    """When an output went on within the span, in seconds after the feed began."""
    start_ns = played.run.feed_start_ns
    assert start_ns is not None
    on_s = ((edge.at_ns - start_ns) / S for edge in played.run.log.edges if edge.on)
    return [at_s for at_s in on_s if from_s <= at_s < to_s]


def aimed(played: Played, from_s: float, to_s: float = 1e9) -> list[str]:
    """Outcomes of the items meant for a gate that were born within the span."""
    start_ns = played.run.feed_start_ns
    assert start_ns is not None
    items = [item for item in played.items if item.bin == "product" and from_s <= (item.born_ns - start_ns) / S < to_s]
    return [f"{item.outcome} {item.reason}" for item in items]


# -- without an encoder ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed_m_s", [0.9, 0.96, 1.04, 1.15])
def test_nothing_is_fired_on_a_belt_that_runs_at_another_speed_than_configured(
    speed_m_s: float, tmp_path: Path
) -> None:
    played = play(tmp_path, Scenario(for_s=6.0), without_encoder(speed_m_s=speed_m_s))
    assert_accounted(played)
    assert_each_item_once(played)
    assert played.run.log.edges == []
    assert set(played.missed()) == {"speed"}
    assert played.missed()["speed"] >= 25
    assert f"{speed_m_s:.2f} m/s by the pictures, 1.00 m/s configured" in played.run.loop.speed_trouble
    assert played.run.loop.speed_mm_s == pytest.approx(1000 * speed_m_s, rel=0.01)  # what the screen shows


@pytest.mark.parametrize("speed_m_s", [0.98, 1.0, 1.02])
def test_a_speed_within_three_percent_is_sorted_by(speed_m_s: float, tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=6.0), without_encoder(speed_m_s=speed_m_s))
    assert_accounted(played)
    assert_each_item_once(played)
    assert not played.missed()
    assert played.outcomes()["ejected"] >= 25
    assert played.run.loop.speed_trouble == ""


@pytest.mark.parametrize("fault", ["belt-stop@4+3", "belt-slow@4+3"])
def test_a_belt_that_leaves_its_speed_cancels_the_queue_and_is_sorted_again_when_it_is_back(
    fault: str, tmp_path: Path
) -> None:
    played = play(tmp_path, Scenario(for_s=14.0, faults=(fault,), confusion=0.0), without_encoder())
    assert_accounted(played)
    assert outputs_on_s(played, 2.0, 4.0)
    assert not outputs_on_s(played, 4.7, 7.5)  # braking takes half a second, and a few pictures have to agree
    assert "cancelled" in {row.get("why") for row in played.commands()}
    assert set(played.missed()) == {"speed"}
    assert set(aimed(played, 4.5, 7.0)) <= {"missed speed"}
    later = aimed(played, 8.5)
    assert len(later) >= 15
    assert set(later) == {"ejected none"}
    # What lay on its way when the speed left is not fired at from memory, so nothing else is hit in its stead.
    assert set(played.truth["by_bin"]["product"]) == {"recyclable"}
    assert played.states == [(0, "EXECUTE")]


# -- with an encoder that slips --------------------------------------------------------------------------------------


def test_an_encoder_that_stands_on_a_running_belt_is_a_fault_and_its_windows_fire_no_more(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=10.0, faults=("slip@4+1.5",)))
    assert_accounted(played)
    assert [state for _, state in played.states] == ["EXECUTE", "SUSPENDED", "ABORTED"]
    at_ns = played.states[-1][0]
    assert 4.2 * S < at_ns < 5.5 * S
    assert "the encoder stands while the pictures show the belt moving at 1.0" in played.run.loop.machine.reason
    assert "CLEAR" in played.run.loop.machine.reason
    assert played.missed()["position"] >= 3
    assert outputs_on_s(played, 2.0, 4.0)
    assert not outputs_on_s(played, 4.1)


def test_a_mended_coupling_is_sorted_by_again_after_clear_reset_and_start(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=16.0, faults=("slip@4+2",), restart_at_s=7.0, confusion=0.0))
    assert_accounted(played)
    assert "ABORTED" in [state for _, state in played.states]
    assert played.states[-1][1] == "EXECUTE"
    later = aimed(played, 8.5)
    assert len(later) >= 15
    assert set(later) == {"ejected none"}
    assert set(played.truth["by_bin"]["product"]) == {"recyclable"}


def test_an_encoder_that_still_stands_is_found_again_after_clear(tmp_path: Path) -> None:
    played = play(tmp_path, Scenario(for_s=10.0, faults=("slip@4+9",), restart_at_s=7.0))
    assert_accounted(played)
    assert [state for _, state in played.states].count("ABORTED") == 2
    assert played.run.loop.encoder_stands
    assert not outputs_on_s(played, 4.1)


# -- by real pictures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "faults", "reason"),
    [
        pytest.param(without_encoder(speed_m_s=0.9), (), "speed", id="another speed than configured"),
        pytest.param(without_encoder(), ("belt-stop@3+6",), "speed", id="a belt that stops"),
        pytest.param(reference_line(), ("slip@3+6",), "position", id="a slipping encoder"),
    ],
)
def test_drawn_pictures_tell_it_too(
    config: StationConfig, faults: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    brain = Brain(Recyclable(), "none", "none")
    played = play(tmp_path, Scenario(for_s=6.0, faults=faults), changed(config, **SMALL), brain)
    assert_accounted(played)
    assert played.missed()[reason] >= 5
    assert outputs_on_s(played, 0.0, 3.0)
    assert not outputs_on_s(played, 4.5, 9.0)


@pytest.mark.parametrize("config", [without_encoder(), reference_line()], ids=["even speed", "encoder"])
def test_drawn_pictures_of_a_belt_that_does_what_it_should_accuse_nobody(config: StationConfig, tmp_path: Path) -> None:
    faults = () if config.belt.mm_per_count is None else ("belt-stop@3+2", "belt-slow@6+1")
    brain = Brain(Recyclable(), "none", "none")
    played = play(tmp_path, Scenario(for_s=8.0, faults=faults), changed(config, **SMALL), brain)
    assert_accounted(played)
    assert set(played.missed()) <= {"neighbour"}
    assert "ABORTED" not in [state for _, state in played.states]
    assert outputs_on_s(played, 7.0)
