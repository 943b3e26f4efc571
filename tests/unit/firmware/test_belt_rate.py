"""How fast the core takes the belt to be, and where: worked out by hand from PROTOCOL.md, "How counts become moments"."""

import pytest

from firmware_bridge import wire
from tests.unit.firmware.bare import Q32, Bare, Belt

T0 = 10_000


def running(period_us: int, counts: int = 40) -> Bare:
    """A belt of one count per `period_us` since T0; the last count is the newest thing known."""
    return Bare().counts(range(T0, T0 + period_us * counts, period_us))


def last_us(period_us: int, counts: int = 40) -> int:
    return T0 + period_us * (counts - 1)


@pytest.mark.parametrize("period_us", [1, 7, 100, 500, 999, 1000, 1001, 3000, 8000, 20_000, 149_999])
def test_an_even_belt_has_the_rate_of_its_counts(period_us: int) -> None:
    counts = max(40, 40_000 // period_us)
    bare = running(period_us, counts)
    at_us = last_us(period_us, counts)
    rate = min(Q32 // period_us, Q32 - 1)
    assert bare.rate_at(at_us) == rate
    assert bare.belt_at(at_us).position_q8 == counts * 256


@pytest.mark.parametrize(("gap_us", "known"), [(999, False), (1000, True), (1001, True)])
def test_two_counts_a_millisecond_apart_are_a_rate(gap_us: int, known: bool) -> None:
    bare = Bare().counts([100, 100 + gap_us])  # the first thing that happens after boot
    assert bare.rate_at(100 + gap_us) == (Q32 // gap_us if known else 0)


def test_one_count_is_no_motion_yet() -> None:
    assert Bare().counts([T0]).belt_at(T0) == Belt(256, 0, 0)


HALF = [T0 + 1024 * n for n in range(17)]  # two half windows of eight samples, each a little longer than 8 ms


def two_halves(before: int, after: int) -> Bare:
    """This many counts in the first 8192 us, and in the second."""
    bare = Bare().count(T0, 1)
    at = 1
    for n, us in enumerate(HALF[1:]):
        at += (before if n < 8 else after) // 8
        bare.count(us, at)
    return bare


@pytest.mark.parametrize(
    ("before", "after", "rate_q32"),
    [
        (4096, 4096, Q32 // 2),
        # a change of at most 1/256 is noise: both halves together, here on its boundary and 8 counts on either side
        (4080, 4096, 8176 * Q32 // 16384),
        (4112, 4096, 8208 * Q32 // 16384),
        # more is carried forward: the newest slope and its change, half as long again (512 of 1024 + 1 parts)
        (4072, 4096, Q32 // 2 + 24 * 2**19 * 512 // 1025),
        (2048, 4096, Q32 // 2 + Q32 // 4 * 512 // 1025),
        (4120, 4096, Q32 // 2 - 24 * 2**19 * 512 // 1025 - 1),
        (6144, 4096, Q32 // 2 - Q32 // 4 * 512 // 1025 - 1),
        # never to less than half of what was last seen
        (8192, 1024, Q32 // 16),
        (4512, 2048, Q32 // 8),
        # never beyond what 32 bits hold: a count per us
        (4096, 7168, Q32 - 1),
        (16_384, 16_384, Q32 - 1),
    ],
)
def test_a_changing_speed_is_carried_forward(before: int, after: int, rate_q32: int) -> None:
    found = two_halves(before, after).rate_at(HALF[-1])
    assert found in (rate_q32, rate_q32 + 1)  # C rounds towards zero, Python downwards


@pytest.mark.parametrize(("before", "after", "noise"), [(255, 256, True), (254, 256, False), (257, 256, True)])
def test_noise_is_a_change_of_one_in_256_and_no_more(before: int, after: int, noise: bool) -> None:
    bare = Bare().count(T0, 1).count(HALF[8], 1 + before).count(HALF[16], 1 + before + after)
    mean = (before + after) * Q32 // 16384
    newest = after * Q32 // 8192
    change = (after - before) * Q32 // 8192
    assert bare.rate_at(HALF[16]) == (mean if noise else newest + change * 512 // 1025)


@pytest.mark.parametrize(
    ("half_us", "rate_q32"),
    [
        (7_999, 30 * Q32 // (2 * 7_999)),  # neither reaches over half a window: both as one
        (8_000, 20 * Q32 // 8_000 + 10 * Q32 // 8_000 * 500 // 1001),
        (8_001, 20 * Q32 // 8_001 + 10 * Q32 // 8_001 * 500 // 1001),
    ],
)
def test_half_a_window_is_eight_milliseconds(half_us: int, rate_q32: int) -> None:
    bare = Bare().count(T0, 1).count(T0 + half_us, 11).count(T0 + 2 * half_us, 31)
    assert abs(bare.rate_at(T0 + 2 * half_us) - rate_q32) <= 2  # rounding of three divisions


def test_the_halves_are_weighed_by_how_long_they_are() -> None:
    """A long half before a short one: 32 ms and 8 ms, so a fifth of the change is carried forward."""
    bare = Bare().count(T0, 1).count(T0 + 32_000, 33).count(T0 + 40_000, 49)
    newest, change = 16 * Q32 // 8_000, 16 * Q32 // 8_000 - Q32 // 1_000
    assert abs(bare.rate_at(T0 + 40_000) - (newest + change * 500 // 2501)) <= 1


@pytest.mark.parametrize(
    ("gap_us", "kept"), [(75_001, True), (149_999, True), (150_000, True), (150_001, False), (299_999, False)]
)
def test_150_ms_without_a_count_is_a_standing_belt(gap_us: int, kept: bool) -> None:
    bare = running(1000)
    again_us = last_us(1000) + gap_us
    assert (bare.rate_at(again_us) > 0) == kept
    bare.count(again_us, 41)
    assert (bare.rate_at(again_us) > 0) == kept  # after standing, one count tells no rate


@pytest.mark.parametrize(("back", "rate_known"), [(1, True), (3, True), (4, False), (5, False)])
def test_four_counts_back_are_a_reversal(back: int, rate_known: bool) -> None:
    bare = running(1000)
    at_us = last_us(1000) + 100
    bare.count(at_us, 40 - back)
    assert (bare.rate_at(at_us) > 0) == rate_known
    if not rate_known:  # from the turn on, forward is forward of there
        bare.count(at_us + 1000, 41 - back).count(at_us + 2000, 42 - back)
        assert bare.rate_at(at_us + 2000) == Q32 // 1000


def test_dither_is_no_motion_and_carries_nothing_on() -> None:
    bare = running(1000)
    end_us = last_us(1000)
    for n in range(1, 20):
        bare.count(end_us + n, 39).count(end_us + n, 40)
    assert bare.belt_at(end_us + 500).position_q8 == 40 * 256 + 127  # as if nothing had been
    bare.count(end_us + 600, 39)
    assert bare.belt_at(end_us + 900).position_q8 == 39 * 256


@pytest.mark.parametrize(
    ("period_us", "silent_us", "rate_q32"),
    [
        # 1.25 counts are 5120 us: until then it may be the belt's usual pace
        (4096, 5119, Q32 // 4096),
        (4096, 5120, Q32 // 5120),
        (4096, 100_000, Q32 // 100_000),
        (4096, 150_000, Q32 // 150_000),
        (4096, 150_001, 0),
        # a fast belt: the HAL may not have looked yet, for 2 ms
        (512, 1_999, Q32 // 512),
        (512, 2_000, Q32 // 2_000),
        (512, 2_001, Q32 // 2_001),
    ],
)
def test_an_overdue_count_says_that_the_belt_has_become_slower(period_us: int, silent_us: int, rate_q32: int) -> None:
    bare = running(period_us, 128)
    assert bare.rate_at(last_us(period_us, 128) + silent_us) == rate_q32


def test_a_moment_before_the_newest_count_knows_its_rate_and_is_not_carried_back() -> None:
    bare = running(1000)
    assert bare.belt_at(last_us(1000) - 300) == Belt(40 * 256, Q32 // 1000, 2**48 // (Q32 // 1000))


@pytest.mark.parametrize(
    ("period_us", "silent_us", "fraction"),
    [(1024, 0, 0), (1024, 4, 1), (1024, 512, 128), (1024, 1020, 255), (1024, 1024, 255), (1024, 150_001, 255)],
)
def test_between_two_counts_the_belt_is_carried_on_but_never_past_the_next(
    period_us: int, silent_us: int, fraction: int
) -> None:
    bare = running(period_us, 64)
    assert bare.belt_at(last_us(period_us, 64) + silent_us).position_q8 == 64 * 256 + fraction


@pytest.mark.parametrize(("silent_us", "fraction"), [(1000, 0), (150_000, 0), (150_001, 255), (10**12, 255)])
def test_a_belt_of_unknown_rate_may_be_anywhere_before_its_next_count_once_it_stands(
    silent_us: int, fraction: int
) -> None:
    assert Bare().count(T0, 1).belt_at(T0 + silent_us).position_q8 == 256 + fraction


@pytest.mark.parametrize(
    ("period_us", "known"), [(1, True), (4096, True), (65_535, True), (65_536, False), (65_537, False)]
)
def test_a_period_is_told_where_it_fits(period_us: int, known: bool) -> None:
    """A timer board divides by it: below a count in 65 ms there is none."""
    end_us = T0 + period_us * 2000
    bare = Bare().counts(range(T0, end_us + 1, period_us))
    rate = min(Q32 // period_us, Q32 - 1)
    assert bare.belt_at(end_us) == Belt(2001 * 256, rate, 2**48 // rate if known else 0)


def test_a_rate_after_a_clock_of_32_bits_has_wrapped() -> None:
    start = 2**32 - 20_000
    bare = Bare().counts(range(start, start + 40_000, 1000))
    assert bare.rate_at(start + 39_000) == Q32 // 1000


# --- what the host hears of it


def test_the_encoder_is_told_at_once_then_every_8_ms_with_the_moment_of_news_or_of_sending() -> None:
    bare = Bare()
    bare.at(1000).hello()
    bare.count(900, 5)
    said = [[m for m in bare.tick(us) if isinstance(m, wire.Encoder)] for us in (1000, 1001, 8999, 9000, 9001, 17_000)]
    assert said == [[wire.Encoder(5, 900)], [], [], [wire.Encoder(5, 9000)], [], [wire.Encoder(5, 17_000)]]
    bare.count(20_000, 6)
    assert [m for m in bare.tick(25_000) if isinstance(m, wire.Encoder)] == [wire.Encoder(6, 20_000)]
    bare.count(33_000, 7).count(33_001, 6)  # dithered back: this count was not reached then
    assert [m for m in bare.tick(33_002) if isinstance(m, wire.Encoder)] == [wire.Encoder(6, 33_002)]


def test_a_new_session_is_told_at_once_however_lately_the_old_one_was() -> None:
    bare = Bare()
    bare.at(1000).hello(1)
    bare.tick(1000)
    bare.at(2000).hello(2)
    assert [m for m in bare.tick(2000) if isinstance(m, wire.Encoder)] == [wire.Encoder(0, 2000)]


def test_nothing_is_told_of_a_belt_without_a_session_or_an_encoder() -> None:
    assert Bare().tick(50_000) == []
    deaf = Bare(has_encoder=False)
    deaf.at(1000).hello()
    assert not [m for m in deaf.tick(50_000) if isinstance(m, wire.Encoder)]
