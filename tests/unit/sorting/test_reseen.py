from dataclasses import replace

import pytest

from station.datatypes import Track
from station.sorting.reseen import Reseen
from station.sorting.scheduler import Motion
from tests.unit.record.makers import track

MS = 1_000_000
BEFORE = Motion(1_000 * MS, 8_000.0, 1_000.0)
FIRST_AFTER = Motion(1_100 * MS, 30.0, 1_000.0)  # 100 ms later, and the device counts from its boot
WAS_AT_MM = 200.0  # in the frame, when the last picture before the reboot was taken
IS_AT_MM = 300.0


def lying(at_mm: float, motion: Motion, lateral_mm: float = 300.0) -> Track:
    return replace(track(1), along_mm=at_mm - motion.travel_mm, lateral_mm=lateral_mm, length_mm=80.0, width_mm=60.0)


def after_reboot(*known: Track) -> Reseen:
    reseen = Reseen()
    reseen.leave(known, BEFORE)
    reseen.arrive(FIRST_AFTER)
    return reseen


@pytest.mark.parametrize(
    ("at_mm", "lateral_mm", "known"),
    [
        (IS_AT_MM, 300.0, True),
        (IS_AT_MM + 12, 305.0, True),
        (WAS_AT_MM, 300.0, False),  # where it lay then, another one lies now
        (IS_AT_MM + 100, 300.0, False),
        (IS_AT_MM, 400.0, False),
        (20.0, 300.0, False),  # has just come in
    ],
)
def test_an_item_is_known_by_where_the_belt_has_carried_it(at_mm: float, lateral_mm: float, known: bool) -> None:
    reseen = after_reboot(lying(WAS_AT_MM, BEFORE))
    assert reseen.takes(lying(at_mm, FIRST_AFTER, lateral_mm)) is known


def test_each_item_is_found_again_once() -> None:
    reseen = after_reboot(lying(WAS_AT_MM, BEFORE))
    assert reseen.takes(lying(IS_AT_MM, FIRST_AFTER))
    assert not reseen.takes(lying(IS_AT_MM, FIRST_AFTER))


def test_only_the_first_frame_after_the_reboot_sets_the_new_zero() -> None:
    reseen = after_reboot(lying(WAS_AT_MM, BEFORE))
    later = Motion(1_300 * MS, 230.0, 1_000.0)
    reseen.arrive(later)
    assert reseen.takes(lying(IS_AT_MM + 200, later))


def test_without_a_reboot_nothing_is_known() -> None:
    reseen = Reseen()
    reseen.arrive(FIRST_AFTER)
    assert not reseen.takes(lying(IS_AT_MM, FIRST_AFTER))
