"""What the core remembers of each command: its arguments and what was answered, the oldest forgotten first."""

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import Refusal
from tests.unit.firmware.bare import PLAIN, Bare, alike

LIMIT, BAD = Refusal.GATE_LIMIT.value, Refusal.BAD_ARGUMENT.value


def armed() -> Bare:
    return Bare(alike(PLAIN)).armed(1000)


def test_every_argument_of_a_command_is_remembered() -> None:
    first = wire.Divert(7, 0b11, wire.MODE_TIME, 30_000, 60_000)
    for other in (
        first._replace(gate_mask=0b10),
        first._replace(mode=wire.MODE_COUNT),
        first._replace(start=30_001),
        first._replace(end=60_001),
        first._replace(end=60_000 + 2**56),  # the last byte too
    ):
        bare = armed()
        assert bare.answer(first, wire.Answer).answer == 0
        assert bare.answer(other, wire.Answer).answer == Refusal.ID_CONFLICT.value
        assert bare.answer(first, wire.Answer).answer == 0


def test_answers_are_forgotten_oldest_first_but_for_commands_still_queued() -> None:
    """Four of the oldest are queued, two of them side by side: they stay, those around them go, one for each new one."""
    bare = armed()
    kept = {1: 0, 2: 1, 5: 2, 1024: 3}
    for n in range(1, 1025):
        answer = bare.divert_time(n, 1 << kept[n], 900, 960) if n in kept else bare.divert_time(n, 0, 1, 2)
        assert answer == (0 if n in kept else BAD)

    def known(n: int) -> bool:
        """Other arguments than the first time: a conflict if remembered. (Asking for a forgotten one remembers it.)"""
        return bare.divert_time(n, 0, 1, 3) == Refusal.ID_CONFLICT.value

    for n in range(2001, 2003):
        assert bare.divert_time(n, 0, 1, 2) == BAD
    assert all(known(n) for n in (1, 2, 5, 6, 7, 500, 1023, 1024, 2001, 2002))
    assert not known(3)  # which pushes out the next, 6
    assert not known(6)
    assert all(known(n) for n in (1, 2, 5, 8, 1024, 2001, 2002))
    for n in range(3001, 4030):
        assert bare.divert_time(n, 0, 1, 2) == BAD
    assert all(known(n) for n in (*kept, 4029, 4028, 3500))
    assert not known(2001)


def test_a_new_session_knows_none_of_the_old_ids() -> None:
    bare = armed()
    for n in range(1, 1100):
        bare.divert_time(n, 0, 1, 2)
    bare.send(wire.Disarm())
    bare.hello(0x77)
    assert bare.arm() == 0
    for n in (1, 500, 1024, 1099):
        assert bare.divert_time(n, 1, 900, 960) in (0, LIMIT)
    for n in range(2000, 3023):
        bare.divert_time(n, 0, 1, 2)
    assert bare.divert_time(1, 1, 900, 960) == 0
    assert bare.divert_time(1, 2, 900, 960) == Refusal.ID_CONFLICT.value


@pytest.mark.parametrize(
    ("queued", "new", "forgotten", "still_known"), [(601, 601, 602, 2090), (1024, 1024, 2001, 2002)]
)
def test_a_queued_command_is_stepped_over_once_wherever_it_lies(
    queued: int, new: int, forgotten: int, still_known: int
) -> None:
    """In the middle of the memory, and at its end, where it runs round."""
    bare = armed()
    for n in range(1, 1025):
        assert bare.divert_time(n, int(n == queued), 900, 960) == (0 if n == queued else BAD)
    for n in range(2001, 2001 + new):
        assert bare.divert_time(n, 0, 1, 2) == BAD
    for n in (queued, still_known, 2000 + new):
        assert bare.divert_time(n, 0, 1, 3) == Refusal.ID_CONFLICT.value, n
    assert bare.divert_time(forgotten, 0, 1, 3) == BAD


def test_a_command_that_has_ended_is_forgotten_in_its_turn() -> None:
    bare = armed()
    assert bare.divert_time(1, 1, 900, 960) == 0
    bare.send(wire.Cancel(1))
    for n in range(2, 1026):
        assert bare.divert_time(n, 0, 1, 2) == BAD
    assert bare.divert_time(2, 0, 1, 3) == Refusal.ID_CONFLICT.value
    assert bare.divert_time(1, 0, 1, 3) == BAD


def test_the_first_ids_of_a_new_session_are_new() -> None:
    bare = armed()
    for n in (1, 2, 3):
        assert bare.divert_time(n, 0, 1, 2) == BAD
    bare.send(wire.Disarm())
    bare.hello(0x77)
    assert bare.arm() == 0
    assert [bare.divert_time(n, 1 << n, 900, 960) for n in (1, 2, 3)] == [0, 0, 0]
