"""Wilson's interval against published values and its own promises."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.intervals import wilson


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        pytest.param(2352, 2513, 0.9257, 0.9449, id="the paper's 93.59 %"),
        pytest.param(10, 10, 0.7225, 1.0, id="all of ten"),
        pytest.param(0, 10, 0.0, 0.2775, id="none of ten"),
        pytest.param(1, 2, 0.0945, 0.9055, id="one of two"),
    ],
)
def test_known_values(k: int, n: int, low: float, high: float) -> None:
    got = wilson(k, n)
    assert (got.low, got.high) == pytest.approx((low, high), abs=2e-4)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_value_lies_within_its_bounds(case: tuple[int, int]) -> None:
    got = wilson(*case)
    assert 0 <= got.low <= got.value <= got.high <= 1


def test_nothing_counted_is_unknown() -> None:
    assert math.isnan(wilson(0, 0).value)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError):
        wilson(k, n)
