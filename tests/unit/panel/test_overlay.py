from dataclasses import replace

import numpy as np
import pytest

from firmware_bridge.messages import LinkState
from station.datatypes import (
    BgrImage,
    BoxPx,
    Decision,
    DecisionReason,
    Detection,
    OrientedBox,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Track,
)
from station.panel.overlay import AMBER, MIN_WIDTH_PX, RED, STRIP_PX, draw
from station.panel.snapshot import Mark, SeenCamera, SeenItem, Snapshot, gates_in_words, seen_item

BOX = OrientedBox(640.0, 400.0, 200.0, 100.0, 30.0)
HEALTHY = Snapshot(made_ns=40_000_000, state="EXECUTE", link=LinkState.ARMED)


def belt(width_px: int = 1280, height_px: int = 800) -> BgrImage:
    return np.full((height_px, width_px, 3), 90, np.uint8)


def camera(*items: SeenItem) -> SeenCamera:
    return SeenCamera("camera0", captured_ns=0, fps=30.0, items=items)


def has_colour(picture: BgrImage, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=2) <= 8).any())


def strip_of(snapshot: Snapshot) -> BgrImage:
    return draw(belt(), camera(), snapshot)[:STRIP_PX]


def test_the_frame_itself_is_left_alone() -> None:
    frame = belt()
    drawn = draw(frame, camera(SeenItem(1, BOX, "organic", 0.9, Mark.DIVERT, (2,))), HEALTHY)
    assert (frame == 90).all()
    assert drawn.shape == (800 + STRIP_PX, 1280, 3)
    assert not (drawn[STRIP_PX:] == 90).all()


@pytest.mark.parametrize("mark", [Mark.MISSED, Mark.UNCONFIRMED])
def test_what_went_wrong_is_coloured(mark: Mark) -> None:
    assert has_colour(draw(belt(), camera(SeenItem(1, BOX, mark=mark, note="late")), HEALTHY)[STRIP_PX:], AMBER)


@pytest.mark.parametrize("mark", [Mark.UNDECIDED, Mark.PASS, Mark.DIVERT])
def test_what_is_normal_has_no_colour(mark: Mark) -> None:
    drawn = draw(belt(), camera(SeenItem(1, BOX, "organic", 0.9, mark, (1,))), HEALTHY).astype(int)
    assert np.ptp(drawn, axis=2).max() <= 12


def test_every_mark_looks_different() -> None:
    drawn = [draw(belt(), camera(SeenItem(1, BOX, mark=mark)), HEALTHY).tobytes() for mark in Mark]
    assert len(set(drawn)) == len(Mark)


@pytest.mark.parametrize(
    ("snapshot", "colour"),
    [
        pytest.param(replace(HEALTHY, link=None), AMBER, id="no diverts sent"),
        pytest.param(replace(HEALTHY, state="HELD", normal=False), AMBER, id="held"),
        pytest.param(replace(HEALTHY, link=LinkState.LOST), RED, id="link lost"),
        pytest.param(replace(HEALTHY, latency_p99_ms=120.0, latency_budget_ms=100.0), AMBER, id="too slow"),
        pytest.param(replace(HEALTHY, by_outcome={OutcomeKind.MISSED: 1}), AMBER, id="something missed"),
        pytest.param(replace(HEALTHY, made_ns=2_000_000_000), AMBER, id="old picture"),
    ],
)
def test_the_strip_is_grey_until_something_is_wrong(snapshot: Snapshot, colour: tuple[int, int, int]) -> None:
    assert np.ptp(strip_of(HEALTHY).astype(int), axis=2).max() <= 12
    assert has_colour(strip_of(snapshot), colour)


def test_a_lost_camera_is_written_over_its_last_picture() -> None:
    assert has_colour(draw(belt(), replace(camera(), live=False), HEALTHY)[STRIP_PX:], RED)


@pytest.mark.parametrize(("width_px", "height_px"), [(220, 480), (64, 64), (320, 240), (2048, 1536)])
def test_any_frame_size_gets_a_readable_strip(width_px: int, height_px: int) -> None:
    box = OrientedBox(width_px / 2, height_px / 2, width_px / 3, height_px / 4, 10.0)
    drawn = draw(belt(width_px, height_px), camera(SeenItem(1, box, "organic", 0.5, Mark.PASS)), HEALTHY)
    assert drawn.shape[1] >= MIN_WIDTH_PX
    assert drawn.shape[0] <= max(1024, height_px + STRIP_PX)


def test_an_item_beyond_the_border_is_drawn_without_complaint() -> None:
    outside = OrientedBox(-50.0, 900.0, 400.0, 300.0, -75.0)
    draw(belt(), camera(SeenItem(123456, outside, "recyclable" * 20, 1.0, Mark.DIVERT, tuple(range(32)))), HEALTHY)


@pytest.mark.parametrize(
    ("gates", "words"), [((), ""), ((2,), "2"), ((2, 3, 4), "2-4"), ((0, 2, 3, 7), "0 2-3 7"), ((5, 4), "4-5")]
)
def test_neighbouring_gates_are_said_as_a_range(gates: tuple[int, ...], words: str) -> None:
    assert gates_in_words(gates) == words


# -- what is seen of a track -----------------------------------------------------------------------------------------


def track(*, in_frame: bool = True) -> Track:
    detection = Detection(BoxPx(0, 0, 9, 9), BOX, 50.0, True, np.zeros((4, 2), np.float32)) if in_frame else None
    return Track(5, "camera0", 0.0, 0.0, 80.0, 60.0, 2.0, 0, 0, 3, True, detection)


DECIDED = Decision(5, "recyclable", 0.9, "product", DecisionReason.MATCHED, 3, 0, 0)
LATE = Outcome(5, OutcomeKind.MISSED, OutcomeReason.LATE, 0)
NO_REPORT = Outcome(5, OutcomeKind.UNCONFIRMED, OutcomeReason.NO_REPORT, 0)
PASSED = Outcome(5, OutcomeKind.PASSED, OutcomeReason.NONE, 0)


@pytest.mark.parametrize(
    ("decision", "mask", "outcome", "mark", "note"),
    [
        pytest.param(None, 0, None, Mark.UNDECIDED, "", id="not decided yet"),
        pytest.param(DECIDED, 0, None, Mark.PASS, "", id="no gate"),
        pytest.param(DECIDED, 0, PASSED, Mark.PASS, "", id="passed"),
        pytest.param(DECIDED, 0b110, None, Mark.DIVERT, "", id="gates"),
        pytest.param(DECIDED, 0b110, LATE, Mark.MISSED, "late", id="refused late"),
        pytest.param(DECIDED, 0b110, NO_REPORT, Mark.UNCONFIRMED, "no report", id="no report"),
    ],
)
def test_a_mark_says_what_will_become_of_the_item(
    decision: Decision | None, mask: int, outcome: Outcome | None, mark: Mark, note: str
) -> None:
    seen = seen_item(track(), ("organic", 0.6), decision, gate_mask=mask, outcome=outcome)
    assert seen is not None
    assert (seen.mark, seen.note) == (mark, note)
    assert seen.label == ("organic" if decision is None else "recyclable")
    assert seen.gates == ((1, 2) if mask else ())


def test_an_item_that_is_not_in_this_frame_is_not_drawn() -> None:
    assert seen_item(track(in_frame=False), None, None) is None
