"""A few seeds of the soak, and proof that it can fail."""

from dataclasses import asdict

import pytest

from firmware_bridge.virtual_device import Edge
from tests.tools.soak import Life, Totals, double_fires, judge, run_seed, wrong_openings


@pytest.mark.parametrize("seed", [1, 2, 8])
def test_a_seed_breaks_no_invariant(seed: int) -> None:
    totals = Totals()
    assert run_seed(seed, totals) == []
    assert totals.diverts > 50
    assert totals.fired + totals.refused + totals.missed + totals.unconfirmed == totals.diverts


def test_a_seed_lives_the_same_life_twice() -> None:
    first, second = Totals(), Totals()
    run_seed(5, first)
    run_seed(5, second)
    assert asdict(first) == asdict(second)


def test_the_judge_sees_what_is_wrong() -> None:
    life = Life(3)
    life.live()
    assert judge(life, Totals()) == wrong_openings(life) == double_fires(life) == []
    last = life.bench.edges[-1]
    life.bench.edges.append(Edge(last.gate, True, last.at_us + 10**9, last.at_ns + 10**12, last.count + 10**9))
    assert len(wrong_openings(life)) == 1
    life.bench.edges += [Edge(0, True, 0, 0, 0)] * len(life.bench.commands)
    assert double_fires(life)
    lost = next(iter(life.bench.finals))
    del life.bench.finals[lost]
    totals = Totals()
    assert judge(life, totals)
    assert totals.unaccounted == 1
