"""When the core must be called again, at the latest: by the clock, or by a count."""

from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import Refusal
from tests.unit.firmware.bare import NEVER, NO_COUNT, PLAIN, Bare, alike
from tests.unit.firmware.rig import GATE


def steady(period_us: int = 4096, counts: int = 100) -> Bare:
    """Armed on a belt of one count a period; the last one, `counts`, came at this moment and was ticked."""
    bare = Bare(alike(replace(PLAIN, min_hold_us=2_000, min_gap_us=4_000))).armed(1000)
    bare.counts(range(period_us, period_us * counts + 1, period_us))
    bare.tick(period_us * counts)
    return bare


def test_after_boot_nothing_is_waited_for_whatever_the_belt_does() -> None:
    bare = Bare()
    for count in (0, -5, 7, 10**6):
        bare.count(1000 + abs(count), count)
        assert (bare.wake_count, bare.next_edge_us, bare.next_due_us) in ((NO_COUNT, NEVER, NEVER), (NO_COUNT, 0, 0))
    bare.tick(2_000_000)
    assert (bare.wake_count, bare.next_edge_us, bare.next_due_us) == (NO_COUNT, NEVER, NEVER)


def test_a_command_in_counts_is_looked_for_when_the_belt_should_be_there() -> None:
    bare = steady()
    now_us = 409_600
    assert (bare.wake_count, bare.next_edge_us) == (NO_COUNT, now_us + 1_000_000)
    assert bare.divert_count(1, 1, 120, 160) == 0
    assert bare.next_edge_us == 0  # to be looked at
    bare.tick(now_us)
    assert (bare.wake_count, bare.next_edge_us) == (120, now_us + 20 * 4096)
    bare.tick(now_us + 20 * 4096 - 1)
    assert bare.next_edge_us == now_us + 20 * 4096
    bare.tick(now_us + 20 * 4096)  # not come as foretold: soon again
    assert bare.next_edge_us == now_us + 20 * 4096 + 500
    bare.count(now_us + 20 * 4096 + 100, 119)
    bare.tick(now_us + 20 * 4096 + 100)
    assert bare.next_edge_us > now_us + 20 * 4096 + 200
    bare.count(now_us + 20 * 4096 + 200, 120)
    assert bare.next_edge_us == 0
    bare.tick(now_us + 20 * 4096 + 200)
    assert bare.edge_us() == [now_us + 20 * 4096 + 200]
    assert bare.wake_count == 160


def test_a_new_measure_of_the_belt_is_looked_at_at_once() -> None:
    """Every lead has changed with it."""
    bare = steady()
    assert bare.divert_count(1, 1, 120, 160) == 0
    bare.tick(409_600)
    for us, count, looked_at in ((409_700, 101, False), (410_700, 102, True)):  # less than 1 ms after 100; 1.1 ms
        bare.count(us, count)
        assert (bare.next_edge_us == 0) == looked_at
        bare.tick(us)


def test_a_command_whose_belt_stands_waits_for_its_count_and_for_nothing_else() -> None:
    bare = steady()
    assert bare.divert_count(1, 1, 120, 160) == 0
    bare.tick(409_600)
    bare.tick(409_600 + 150_001)
    assert (bare.wake_count, bare.next_edge_us) == (120, 409_600 + 150_001 + 1_000_000)


@pytest.mark.parametrize("missing", [2**32, 2**33, 2**40])
def test_a_count_too_far_to_say_when_is_waited_for_without_a_clock(missing: int) -> None:
    """A belt that has run back for a very long time."""
    bare = steady(1000)
    assert bare.divert_count(1, 1, 200, 220) == 0
    bare.counts([200_000, 201_000, 202_000], 200 - missing - 2)
    bare.tick(202_000)
    assert (bare.wake_count, bare.next_edge_us) == (200, 202_000 + 1_000_000)


@pytest.mark.parametrize(
    ("period_us", "opening_us", "fraction", "after_us"),
    # output `opening` ahead of count 103: in quarters of a count after count 102, which has just come
    [(4096, 1024, 192, 3072), (4096, 2048, 128, 2048), (4096, 3072, 64, 1024), (3000, 750, 193, 2262)],
)
def test_an_edge_between_two_counts_has_its_moment_and_the_next_count_as_its_latest(
    period_us: int, opening_us: int, fraction: int, after_us: int
) -> None:
    bare = Bare(alike(replace(GATE, opening_delay_us=opening_us, closing_delay_us=0))).armed(1000)
    bare.counts(range(period_us, period_us * 100 + 1, period_us))
    bare.tick(period_us * 100)
    assert bare.divert_count(1, 1, 103, 120) == 0
    bare.count(period_us * 101, 101).tick(period_us * 101)
    assert bare.wake_count == 102
    bare.count(period_us * 102, 102).tick(period_us * 102)
    assert (bare.wake_count, bare.next_edge_us) == (103, period_us * 102 + after_us)
    bare.tick(period_us * 102 + after_us - 1)
    assert bare.edges == []
    assert bare.next_edge_us == period_us * 102 + after_us
    bare.tick(period_us * 102 + after_us)
    assert bare.edge_us() == [period_us * 102 + after_us]
    assert fraction


def test_dithered_back_only_the_next_count_tells() -> None:
    bare = Bare(alike(replace(GATE, opening_delay_us=2048, closing_delay_us=0))).armed(1000)
    bare.counts(range(4096, 4096 * 100 + 1, 4096))
    bare.tick(409_600)
    assert bare.divert_count(1, 1, 103, 120) == 0
    bare.count(413_696, 101).tick(413_696)
    bare.count(417_792, 103).count(417_800, 102).tick(417_800)
    # at 102 again, half a count short of the edge, and the encoder knows no fraction now
    assert (bare.wake_count, bare.edges) == (103, [])


def test_nothing_waited_for_is_nothing_to_wake_for() -> None:
    bare = steady()
    assert bare.divert_count(1, 1, 104, 108) == 0
    bare.tick(409_600)
    us = 409_600
    for n in range(101, 110):
        us += 4096
        bare.count(us, n).tick(us)
    assert len(bare.edges) == 2
    assert (bare.wake_count, bare.next_edge_us) == (NO_COUNT, us + 1_000_000)
    assert bare.divert_count(2, 1, 150, 160) == 0
    assert bare.divert_time(3, 2, us / 1000 + 50, us / 1000 + 80) == 0
    bare.tick(us)
    assert bare.wake_count == 150
    bare.send(wire.Stop())
    assert (bare.wake_count, bare.next_edge_us) == (NO_COUNT, NEVER)


@pytest.mark.parametrize(("start", "answer"), [(1, 0), (0, 0), (-1, Refusal.LATE.value), (-500, Refusal.LATE.value)])
def test_on_a_belt_that_never_moved_only_what_lies_behind_is_late(start: int, answer: int) -> None:
    bare = Bare().armed(1000)
    assert bare.divert_count(1, 1, start, 60) == answer
