"""A few seeds of the soak, and proof that its judge sees each kind of broken invariant."""

from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import Fired, NotFired
from firmware_bridge.virtual_device import Edge
from tests.tools.soak import Totals, Work, run_seed, work_together
from tests.tools.soak_judge import judge
from tests.tools.soak_life import Life


@pytest.mark.parametrize("seed", [13, 16, 68, 91, 161, 724, 763])
def test_a_seed_breaks_no_invariant(seed: int) -> None:
    totals = Totals()
    assert run_seed(seed, totals) == []
    assert totals.diverts > 300
    assert totals.fired + totals.refused + totals.missed + totals.unconfirmed + totals.orphaned == totals.diverts


def test_a_seed_lives_the_same_life_twice() -> None:
    lives = [Life(5), Life(5)]
    for life in lives:
        life.live()
    assert lives[0].digest() == lives[1].digest()
    other = Life(6)
    other.live()
    assert other.digest() != lives[0].digest()


def test_processes_share_the_seeds() -> None:
    alone, parts = Totals(), Totals()
    run_seed(21, alone)
    run_seed(22, alone)
    for part, _, _ in work_together([Work(21, 2, 1, 0.0), Work(22, 2, 1, 0.0)]):
        parts.add(part)
    assert (parts.diverts, parts.fired, parts.events) == (alone.diverts, alone.fired, alone.events)


@pytest.fixture(scope="module")
def unharmed() -> Life:
    life = Life(9)
    life.live()
    return life


def opened_once_more(life: Life) -> None:
    on = next(edge for edge in life.world.edges if edge.on)
    life.world.edges.insert(0, on)


def opened_out_of_the_blue(life: Life) -> None:
    last = life.world.edges[-1]
    life.world.edges.append(Edge(last.gate, True, last.at_us + 10**9, last.at_ns + 10**12, last.count + 10**9))


def held_too_long(life: Life) -> None:
    edges = life.world.edges
    at = next(n for n, edge in enumerate(edges) if not edge.on)
    edges[at] = replace(edges[at], at_us=edges[at].at_us + 500_000, at_ns=edges[at].at_ns + 500_000_000)


def lost_a_reply(life: Life) -> None:
    del life.world.finals[next(iter(life.world.finals))]


def told_fired_in_vain(life: Life) -> None:
    finals = life.world.finals
    command_id = next(key for key, final in finals.items() if not isinstance(final, Fired))
    finals[command_id] = Fired(command_id, 0, 0, 0, 0, 0)


def told_missed_in_vain(life: Life) -> None:
    finals = life.world.finals
    fired = next(final for final in finals.values() if isinstance(final, Fired))
    missed = next(final for final in finals.values() if isinstance(final, NotFired))
    finals[fired.command_id] = replace(missed, command_id=fired.command_id)


def told_late(life: Life) -> None:
    finals = life.world.finals
    fired = next(final for final in finals.values() if isinstance(final, Fired))
    finals[fired.command_id] = replace(fired, on_error_us=20_000)


def reported_twice(life: Life) -> None:
    ends = next(boot.ends for boot in life.world.device.boots if boot.ends)
    events = next(iter(ends.values()))
    events.append(copy(events[0]))


def taken_and_never_reported(life: Life) -> None:
    boot = life.world.device.boot
    boot.answers[boot.session, 999_999] = 0
    boot.diverts[boot.session, 999_999] = wire.Divert(999_999, 1, 0, 1, 2)


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (opened_once_more, "double"),
        (opened_out_of_the_blue, "wrong"),
        (held_too_long, "wrong"),
        (lost_a_reply, "unaccounted"),
        (told_fired_in_vain, "wrong"),
        (told_missed_in_vain, "wrong"),
        (told_late, "late"),
        (reported_twice, "double"),
        (taken_and_never_reported, "unaccounted"),
    ],
)
def test_the_judge_sees_what_is_wrong(unharmed: Life, harm: Callable[[Life], None], kind: str) -> None:
    world = unharmed.world
    assert judge(world) == []
    kept = copy(world.edges), copy(world.finals), deepcopy(world.device.boots)
    harm(unharmed)
    found = {broken.kind for broken in judge(world)}
    world.edges, world.finals, world.device.boots = kept
    assert kind in found
