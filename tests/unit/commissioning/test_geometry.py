"""The lead from the last usable look to the gate: worked by hand, and refused with the arithmetic shown."""

from typing import Any

import pytest

from station.commissioning.geometry import check_geometry, geometry_of
from station.config import StationConfig, builtin_config, changed
from station.errors import ConfigError


def line(**changes: Any) -> StationConfig:
    return changed(builtin_config("virtual"), **changes)


def test_the_reference_line_worked_by_hand() -> None:
    (lead,) = check_geometry(line(belt={"max_speed_m_s": 2.5})).leads
    # 100 latency + 30 lead + 12 valve + 50 margin = 192 ms; half a window = 120 / 2 + 6 = 66 mm
    assert lead.lead_mm == pytest.approx(2.5 * 192 + 66)
    # The view ends at 375 mm, long before 1375 - 546: the item must only still be whole, at 375 - 60.
    assert lead.last_look_mm == pytest.approx(315)
    # 315 - 60 = 255 mm of usable travel, 83.3 mm per frame
    assert lead.looks == 3


def test_a_near_gate_cuts_the_usable_part_of_the_view() -> None:
    (lead,) = geometry_of(line(belt={"max_speed_m_s": 1.0}, gate_bar={"at_mm": 450})).leads
    assert lead.last_look_mm == pytest.approx(450 - 192 - 66)
    assert lead.looks == 3  # (192 - 60) / 33.3 = 3.96


@pytest.mark.parametrize(
    ("changes", "enough"),
    [
        pytest.param({"belt": {"max_speed_m_s": 3.82}}, True, id="just slow enough"),
        pytest.param({"belt": {"max_speed_m_s": 3.83}}, False, id="just too fast"),
        pytest.param({"cameras": [{"fps": 15.0, "mm_per_px": 0.46875}]}, False, id="half the frames"),
        pytest.param(
            {"cameras": [{"fps": 60.0, "mm_per_px": 0.46875}], "belt": {"max_speed_m_s": 5.0}}, True, id="60 fps"
        ),
        pytest.param({"gate_bar": {"at_mm": 800}}, False, id="gate too near"),
        pytest.param({"budget": {"item_mm": 400}}, False, id="item longer than the view"),
        pytest.param({"gate_bar": {"at_mm": 1000, "opening_delay_ms": 120}}, False, id="slow flap"),
    ],
)
def test_fewer_than_two_looks_at_full_speed_are_refused(changes: dict[str, Any], enough: bool) -> None:
    config = line(**changes)
    assert geometry_of(config).ok is enough
    if not enough:
        with pytest.raises(ConfigError, match=r"latency 100 \+ lead 30 \+ valve \d+ \+ margin 50 = \d+ ms"):
            check_geometry(config)


@pytest.mark.parametrize("at_mm", [650, 1000, 1375])
def test_the_stated_limits_are_the_limits(at_mm: float) -> None:
    (lead,) = geometry_of(line(gate_bar={"at_mm": at_mm}, belt={"max_speed_m_s": 2.0})).leads
    faster, slower = lead.fastest_m_s + 0.01, lead.fastest_m_s - 0.01
    assert geometry_of(line(gate_bar={"at_mm": at_mm}, belt={"max_speed_m_s": slower})).ok
    assert not geometry_of(line(gate_bar={"at_mm": at_mm}, belt={"max_speed_m_s": faster})).ok
    longest = {"gate_bar": {"at_mm": at_mm}, "belt": {"max_speed_m_s": 2.0}}
    assert geometry_of(line(**longest, budget={"item_mm": lead.longest_item_mm - 1})).ok
    assert not geometry_of(line(**longest, budget={"item_mm": lead.longest_item_mm + 1})).ok


def test_every_camera_is_checked_against_its_own_lane_and_place() -> None:
    near = {"id": "near", "mm_per_px": 0.46875, "view_at_mm": 900.0}
    far = {"id": "far", "mm_per_px": 0.46875}
    report = geometry_of(line(cameras=[far, near], belt={"max_speed_m_s": 2.0}))
    assert [(lead.camera_id, lead.enough) for lead in report.leads] == [("far", True), ("near", False)]


def test_a_camera_that_no_gate_stands_behind_is_a_problem() -> None:
    report = geometry_of(line(cameras=[{"id": "astray", "mm_per_px": 0.46875, "lateral_at_mm": 700.0}]))
    assert not report.ok
    assert "astray" in report.text


def test_a_line_without_gates_observes_and_needs_no_lead() -> None:
    config = line(gate_bar=None, sort={"bins": {"residue": {}}, "product_bin": None,
                  "labels": {"organic": {"bin": "residue"}}})  # fmt: skip
    assert check_geometry(config).leads == ()
    assert "observing only" in check_geometry(config).text
