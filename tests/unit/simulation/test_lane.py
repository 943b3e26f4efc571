"""The feeder obeys the permit, and two lanes are two feeds."""

import json
from pathlib import Path

import pytest

from station.config import builtin_config
from station.simulation.lane import ITEMS_PER_LANE
from station.simulation.lanes import side_by_side
from station.simulation.line import LineOptions, VirtualLine
from station.simulation.process import PermitWire

S = 1_000_000_000


def line(lanes: int = 1) -> VirtualLine:
    made = VirtualLine(side_by_side(builtin_config("virtual"), lanes), LineOptions(seed=4, for_s=20.0), start_ns=0)
    made.begin_feed(S)
    return made


def entered_s(made: VirtualLine) -> list[float]:
    """When each item's middle enters the view, in seconds: the belt runs at 1 m/s."""
    return sorted(-item.along_mm / 1000.0 for item in made.fed())


def test_without_a_permit_nothing_is_laid_and_the_order_stays() -> None:
    free, held = line(), line()
    held.permit(False, 6 * S)
    held.permit(True, 9 * S)
    gap = [at_s for at_s in entered_s(held) if 6.3 < at_s < 9.2]
    assert gap == []
    assert entered_s(held)[:40] == entered_s(free)[:40]
    late = [at_s - 3.0 for at_s in entered_s(held) if at_s > 9.3]
    assert late == pytest.approx([at_s for at_s in entered_s(free) if at_s > 6.3][: len(late)])
    assert len(late) > 50


def test_what_can_be_seen_does_not_change_when_the_permit_goes() -> None:
    made = line()
    before = [item.item_id for item in made.visible_at(6 * S)]
    made.permit(False, 6 * S)
    assert [item.item_id for item in made.visible_at(6 * S)] == before
    assert before
    assert made.visible_at(8 * S) == []


def test_a_feeder_that_is_stopped_often_lays_every_item_once() -> None:
    made = line()
    for second in range(3, 18):
        made.permit(False, second * S)
        made.visible_at(second * S + S // 4)
        made.permit(True, second * S + S // 2)
        made.visible_at(second * S + S // 2)
    ids = [item.item_id for item in made.fed()]
    assert ids == list(range(len(ids)))
    assert 90 < len(ids) < 160


def test_lanes_lie_side_by_side_and_their_items_have_ids_of_their_own() -> None:
    made = line(2)
    items = made.fed()
    left = [item for item in items if item.item_id < ITEMS_PER_LANE]
    right = [item for item in items if item.item_id >= ITEMS_PER_LANE]
    assert len(left) == pytest.approx(200, abs=4)
    assert len(right) == pytest.approx(200, abs=4)
    assert all(0 < item.lateral_mm < 600 for item in left)
    assert all(600 < item.lateral_mm < 1200 for item in right)
    assert [item.along_mm for item in left] == [item.along_mm for item in line().fed()]
    assert {item.item_id for item in made.visible_at(6 * S, "camera1")} <= {item.item_id for item in right}


def test_the_permit_wire_tells_the_newest_word_in_whole_lines(tmp_path: Path) -> None:
    record = tmp_path / "device.jsonl"
    wire = PermitWire(record)
    assert wire.read() is None
    row = json.dumps({"what": "permit", "on": True})
    record.write_text(json.dumps({"what": "boot"}) + "\n" + row[:9])
    assert wire.read() is False
    record.write_text(json.dumps({"what": "boot"}) + "\n" + row + "\n")
    assert wire.read() is True
    assert wire.read() is None
    with record.open("a") as file:
        file.write(row + "\n" + json.dumps({"what": "permit", "on": False}) + "\n")
    assert wire.read() is False
