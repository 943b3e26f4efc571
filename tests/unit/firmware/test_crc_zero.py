"""A configuration's CRC of 0 says that none is held; so one that happens to have it must not be taken."""

from zlib import crc32

from firmware_bridge import wire
from tests.unit.firmware.bare import Bare
from tests.unit.firmware.rig import CONFIG


def crc_with(nm_per_count: int) -> int:
    gates = b"".join(wire.encode(gate)[1:] for gate in wire.gate_messages(CONFIG))
    commit = wire.commit_message(CONFIG)._replace(nm_per_count=nm_per_count)
    return crc32(gates + wire.encode(commit)[:-4])


def nm_per_count_of_crc_zero() -> int:
    """Each bit of the field turns the same bits of the CRC whatever the others are: 32 equations in 32 unknowns."""
    nothing = crc_with(0)
    solved: dict[
        int, tuple[int, int]
    ] = {}  # highest bit of the CRC → (what of it is turned, by which bits of the field)
    for bit in range(32):
        turned, field = crc_with(1 << bit) ^ nothing, 1 << bit
        while turned and turned.bit_length() in solved:
            other, by = solved[turned.bit_length()]
            turned, field = turned ^ other, field ^ by
        solved[turned.bit_length()] = (turned, field)
    left, found = nothing, 0
    while left:
        turned, by = solved[left.bit_length()]
        left, found = left ^ turned, found ^ by
    return found


def test_a_configuration_whose_crc_is_zero_is_refused() -> None:
    nm_per_count = nm_per_count_of_crc_zero()
    assert crc_with(nm_per_count) == 0
    bare = Bare()
    bare.at(1000).hello()
    for gate in wire.gate_messages(CONFIG):
        assert bare.answer(gate, wire.Ack).error == 0
    commit = wire.commit_message(CONFIG)._replace(nm_per_count=nm_per_count, crc=0)
    assert bare.answer(commit, wire.ConfigReply) == wire.ConfigReply(0, 2, 255)
