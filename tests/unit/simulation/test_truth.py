import json
from typing import Any

import pytest

from station.config import builtin_config
from station.simulation.belt import cruising
from station.simulation.edges import EdgeFile, edge_rows
from station.simulation.fires import AcceptedWindow, DeviceFacts, FireCount, accepted_windows, count_fires
from station.simulation.gates import Edge, physics_of
from station.simulation.items import Thing
from station.simulation.model_alone import model_alone, own_picture
from station.simulation.renderer import PlacedItem
from station.simulation.truth import (
    GateRecord,
    ItemTruth,
    TrackSeen,
    land_items,
    landed_bin,
    match_tracks,
    truth_block,
)

MS = 1_000_000
BOX = ((-40.0, -30.0), (40.0, -30.0), (40.0, 30.0), (-40.0, 30.0))
CONFIG = builtin_config("virtual")


def item(item_id: int, along_mm: float, lateral_mm: float, label: str = "organic", bin_: str = "residue") -> ItemTruth:
    return ItemTruth(item_id, label, "box", along_mm, lateral_mm, 0.0, 80.0, 60.0, BOX, (0.0, 0.0), 0, False, {}, bin_)


def track(track_id: int, along_mm: float, lateral_mm: float, size: float = 80.0, *, fired: bool = False) -> TrackSeen:
    return TrackSeen(track_id, along_mm, lateral_mm, size, size, fired, fired)


@pytest.mark.parametrize(
    ("items", "tracks", "counts"),
    [
        pytest.param([item(1, 0, 100)], [track(7, 3, 101)], (1, 0, 0, 0, 0), id="matched"),
        pytest.param([item(1, 0, 100)], [], (0, 0, 1, 0, 0), id="unseen"),
        pytest.param([], [track(7, 0, 100)], (0, 0, 0, 0, 1), id="phantom"),
        pytest.param([item(1, 0, 100), item(2, 90, 100)], [track(7, 45, 100, 180)], (1, 1, 0, 0, 0), id="merged"),
        pytest.param([item(1, 0, 100)], [track(7, -20, 100, 30), track(8, 25, 100, 30)], (1, 0, 0, 1, 0), id="split"),
        pytest.param(
            [item(1, 0, 100), item(2, 120, 100), item(3, 0, 300)],
            [track(7, 118, 102), track(8, 2, 98), track(9, 600, 300)],
            (2, 0, 1, 0, 1),
            id="some of each",
        ),
    ],
)
def test_items_and_tracks_match_one_to_one(
    items: list[ItemTruth], tracks: list[TrackSeen], counts: tuple[int, ...]
) -> None:
    matching = match_tracks(items, tracks)
    found = (matching.item_of_track, matching.merged, matching.unseen, matching.split, matching.phantom)
    assert tuple(len(part) for part in found) == counts
    assert len(items) == len(matching.item_of_track) + len(matching.merged) + len(matching.unseen)
    assert len(tracks) == len(matching.item_of_track) + len(matching.split) + len(matching.phantom)


def test_the_nearest_pair_is_matched_first() -> None:
    matching = match_tracks([item(1, 0, 100), item(2, 45, 100)], [track(7, 44, 100), track(8, 30, 100)])
    assert matching.item_of_track == {7: 2, 8: 1}


def test_the_block_counts_by_what_landed() -> None:
    items = [
        item(1, 0, 100, "recyclable", "product"),
        item(2, 200, 100, "recyclable", "residue"),
        item(3, 400, 100, "organic", "product"),
        item(4, 600, 100, "organic", "residue"),
        item(5, 800, 100, "recyclable", "product"),
    ]
    tracks = [track(1, 0, 100, fired=True), track(2, 200, 100, fired=True), track(3, 400, 100), track(4, 600, 100)]
    block = truth_block(items, tracks, ["recyclable"], "product", "residue")
    assert (block["fed"], block["matched"], block["unseen"]) == (5, 4, 1)
    assert block["co_ejected"] == 2  # the organic one nobody aimed at, and the one nobody saw
    assert block["misaimed"] == 1
    assert block["by_bin"] == {"product": {"recyclable": 2, "organic": 1}, "residue": {"recyclable": 1, "organic": 1}}
    assert (block["purity"]["k"], block["purity"]["n"]) == (2, 3)
    assert (block["recovery"]["k"], block["recovery"]["n"]) == (2, 3)
    assert (block["false_eject_rate"]["k"], block["false_eject_rate"]["n"]) == (1, 2)
    assert block["purity"]["low"] < 2 / 3 < block["purity"]["high"]


def test_what_is_still_on_the_belt_counts_nowhere_else() -> None:
    rows = [item(1, 0, 100), ItemTruth(**{**item(2, 300, 100).row(), "on_belt": True})]
    block = truth_block(rows, [track(1, 0, 100)], ["recyclable"], "product", "residue")
    assert (block["fed"], block["on_belt"], block["matched"], block["unseen"]) == (2, 1, 1, 0)
    assert block["recovery"]["value"] is None


@pytest.mark.parametrize(
    ("cover", "name"),
    [({}, "residue"), ({0: 0.49}, "residue"), ({0: 0.3, 1: 0.3}, "product"), ({0: 0.2, 7: 0.7}, "other")],
)
def test_an_item_lands_where_the_gates_that_hold_most_of_it_send_it(cover: dict[int, float], name: str) -> None:
    assert landed_bin(cover, {0: "product", 1: "product", 7: "other"}, "residue", 0.5) == name


def card(along_mm: float, lateral_mm: float, item_id: int = 0) -> PlacedItem:
    from pathlib import Path

    return PlacedItem(item_id, Thing("O/x.jpg", "organic", 0, 80.0, 60.0, Path("x.jpg")), along_mm, lateral_mm, 0.0)


def land(edges: list[Edge], items: list[PlacedItem]) -> list[ItemTruth]:
    physics = physics_of(CONFIG)
    bins = dict.fromkeys(range(8), "product")
    return land_items(items, GateRecord(tuple(edges), cruising(0, 1000.0), physics, bins, "residue", 3, 3000 * MS))


def test_a_gate_that_opens_for_an_item_diverts_it_and_spares_the_next() -> None:
    at_gate_ms = 1375
    edges = [Edge(1, True, (at_gate_ms - 60) * MS), Edge(1, False, (at_gate_ms + 45) * MS)]
    rows = land(edges, [card(0.0, 112.0, 0), card(-150.0, 112.0, 1), card(0.0, 262.0, 2)])
    assert [row.bin for row in rows] == ["product", "residue", "residue"]
    assert rows[0].cover[1] > 0.9
    assert rows[0].passed_ns == pytest.approx(at_gate_ms * MS, abs=15 * MS)  # its drift
    assert not any(row.on_belt for row in rows)
    assert ItemTruth.from_row(json.loads(json.dumps(rows[0].row()))) == rows[0]


def test_an_item_that_has_not_passed_is_on_the_belt() -> None:
    assert [row.on_belt for row in land([], [card(-1500.0, 112.0), card(-2000.0, 112.0)])] == [False, True]


# -- late and wrong fires -------------------------------------------------------------------------------------------------

BELT = cruising(0, 1000.0)
DEVICE = DeviceFacts([12.0] * 8, [8.0] * 8, 1000, 0.5)


def window(start_mm: float, end_mm: float, gate: int = 0) -> AcceptedWindow:
    return AcceptedWindow(gate, True, start_mm, end_mm)


def pulse(on_ms: float, off_ms: float, gate: int = 0) -> list[Edge]:
    return [Edge(gate, True, round(on_ms * MS)), Edge(gate, False, round(off_ms * MS))]


@pytest.mark.parametrize(
    ("edges", "windows", "late", "wrong"),
    [
        pytest.param(pulse(988, 1092), [window(1000, 1100)], 0, 0, id="as commanded"),
        pytest.param(pulse(995, 1092), [window(1000, 1100)], 1, 0, id="seven milliseconds late"),
        pytest.param(pulse(980, 1092), [window(1000, 1100)], 0, 1, id="early is outside"),
        pytest.param(pulse(988, 1110), [window(1000, 1100)], 0, 1, id="on too long"),
        pytest.param(pulse(988, 1050), [window(1000, 1100)], 0, 0, id="cut short by a stop"),
        pytest.param(pulse(988, 1092), [], 0, 1, id="without any window"),
        pytest.param(pulse(988, 1092), [window(1000, 1100, gate=1)], 0, 1, id="the wrong gate"),
        pytest.param(pulse(988, 1192), [window(1000, 1100), window(1080, 1200)], 0, 0, id="joined windows"),
        pytest.param(
            pulse(988, 1091) + pulse(1092, 1192), [window(1000, 1100), window(1104, 1200)], 0, 0, id="a short gap"
        ),
        pytest.param(pulse(1048, 1192), [window(1000, 1100), window(1060, 1200)], 0, 0, id="on time for the second"),
    ],
)
def test_fires_are_held_against_accepted_windows(
    edges: list[Edge], windows: list[AcceptedWindow], late: int, wrong: int
) -> None:
    assert count_fires(EdgeFile(tuple(edges)), windows, BELT, DEVICE, 9000 * MS) == FireCount(late, wrong)


def command(answer: str, **more: Any) -> dict[str, Any]:
    row = {"gate_mask": 0b101, "window_in": "count", "window_start": 100, "window_end": 300, "enqueued_ns": 2500 * MS}
    return {**row, "answer": answer, **more}


@pytest.mark.parametrize(
    ("row", "gates"),
    [
        (command("fired"), [0, 2]),
        (command("refused", why="late"), []),
        (command("not_fired", why="cancelled"), []),
        (command("not_fired", why="belt_stopped"), [0, 2]),
        (command("unanswered", was_accepted=True), [0, 2]),
    ],
)
def test_windows_that_may_have_acted_are_those_that_were_accepted(row: dict[str, Any], gates: list[int]) -> None:
    assert [window.gate for window in accepted_windows([row], EdgeFile(), BELT, DEVICE)] == gates


def test_counts_begin_anew_at_every_boot() -> None:
    record = edge_rows([{"boot_id": 1, "at_ns": 0}, {"boot_id": 2, "at_ns": 2000 * MS, "count": 0}])
    first, second = command("fired", enqueued_ns=500 * MS), command("fired")
    starts = [window.start for window in accepted_windows([first, second], record, BELT, DEVICE)]
    assert starts == [50.0, 50.0, 2050.0, 2050.0]


# -- the model alone --------------------------------------------------------------------------------------------------------


def test_the_model_alone_classifies_each_thing_once_and_counts_every_item() -> None:
    from station.simulation.items import drawn_thing

    things = [drawn_thing(label, seed) for label in ("organic", "recyclable") for seed in range(10)]
    truth = {own_picture(thing, 1280 / 600).tobytes(): thing.label for thing in things}
    asked = 0

    def classify(pictures: Any) -> list[tuple[str, float]]:
        nonlocal asked
        asked += len(pictures)
        assert all(picture.shape[1] >= picture.shape[0] for picture in pictures)
        labels = [truth[picture.tobytes()] for picture in pictures]
        return [("recyclable", 0.4 if label == "recyclable" else 0.9) for label in labels]

    rates = model_alone(things * 3, classify, CONFIG.sort, ["recyclable"], "product")
    assert asked == len(set(things))
    assert rates == {"purity": 0.0, "recovery": 0.0}  # targets are below the threshold, the others all called targets
