"""The real ATmega328P image in simavr: the same wire, the same rules, on the smallest board."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import DisarmReason
from tests.tools.avr_figures import figures
from tests.unit.firmware.avr_board import MEMORY_END, Board, build

PERMIT_PIN = 4
DATA_END = 0x100 + 1500  # avr-size says less

pytestmark = [
    pytest.mark.tool("simavr"),
    pytest.mark.skipif(
        shutil.which("avr-gcc") is None or not Path("/usr/include/simavr").is_dir(),
        reason="needs gcc-avr, avr-libc and libsimavr-dev",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    build()


@pytest.fixture
def board() -> Iterator[Board]:
    """Armed, its belt running at 10 kcounts/s."""
    board = Board()
    hello = board.arm()
    assert (hello.gates, hello.queue_depth, hello.id_memory, hello.event_ring) == (4, 4, 8, 9)
    yield board
    assert MEMORY_END - board.stack_bytes > DATA_END, "the stack has reached the data"


def test_it_fires_time_and_count_windows_each_once_at_its_gate(board: Board) -> None:
    accepted: dict[int, int] = {}
    for n in range(1, 25):
        board.lease()
        sample = board.until(wire.Encoder)
        assert isinstance(sample, wire.Encoder)
        if n % 2:
            command = wire.Divert(n, 1 << n % 4, wire.MODE_COUNT, sample.belt_count + 1000, sample.belt_count + 1400)
        else:
            command = wire.Divert(n, 1 << n % 4, wire.MODE_TIME, sample.at_us + 100_000, sample.at_us + 140_000)
        answer = board.send_until(command, wire.Answer)
        assert isinstance(answer, wire.Answer)
        assert (answer.command_id, answer.answer) == (n, 0)
        accepted[n] = n % 4
        board.run(45)
    board.lease()
    board.run(200)
    fired = {e.id: e for e in board.events if e.kind == wire.EVENT_FIRED}
    assert sorted(fired) == sorted(accepted)
    for n, gate in accepted.items():
        near = [us for pin, level, us in board.edges if pin == gate and level and abs(us - fired[n].on) < 8000]
        assert len(near) == 1, n
    assert len([e for e in board.edges if e[0] < 4 and e[1]]) == len(accepted)


def test_the_lease_closes_its_gates_and_drops_the_permit(board: Board) -> None:
    board.lease()
    status = board.until(wire.Status)
    assert isinstance(status, wire.Status)
    board.send(wire.Divert(1, 0b1, wire.MODE_TIME, status.now_us + 180_000, status.now_us + 370_000))
    board.run(400)
    [on, off] = [(level, us) for pin, level, us in board.edges if pin == 0]
    assert (on[0], off[0]) == (1, 0)
    assert off[1] - status.now_us < 250_000 + 5_000
    assert [level for pin, level, _ in board.edges if pin == PERMIT_PIN][-1] == 0
    assert [e.extra for e in board.events if e.kind == wire.EVENT_DISARMED] == [DisarmReason.LEASE.value]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_edges_leave_the_pin_at_a_constant_latency_and_two_runs_agree_to_the_cycle(seed: int) -> None:
    """The timer interrupt moves the outputs, whatever the main loop is doing; the encoder makes 10 kcounts/s."""
    said = figures(commands=60, seed=seed, count_cycles=1600)
    edges, by_kind = said["edges"], said["by_kind"]
    assert isinstance(edges, dict)
    assert isinstance(by_kind, dict)
    assert (edges["missing"], said["identical"]) == (0, True)
    assert edges["n"] > 80
    assert edges["max_us"] <= 80
    assert edges["jitter_pp_us"] <= 20
    assert by_kind["time_on"]["jitter_pp_us"] <= 20


@pytest.mark.parametrize("what", [wire.Stop(), wire.Cancel(0)], ids=lambda m: type(m).__name__)
def test_an_edge_that_is_planned_already_does_not_follow_a_stop_or_a_cancel(board: Board, what: wire.ToDevice) -> None:
    """The frame arrives at a different moment before the edge each time: from well before the plan to after the edge."""
    moments: list[tuple[int, float]] = []  # command, when the device took the frame
    for n in range(1, 33):
        board.lease()
        sample = board.until(wire.Encoder)
        assert isinstance(sample, wire.Encoder)
        start = sample.at_us + 60_000
        answer = board.send_until(wire.Divert(n, 1, wire.MODE_TIME, start + 12_000, start + 52_000), wire.Answer)
        assert isinstance(answer, wire.Answer)
        board.run((start - answer.now_us) / 1000 - 34 + n * 0.6)
        board.lease()
        before = len(board.events)
        board.send(what)
        board.run(90)
        ended = [e for e in board.events[before:] if e.kind == wire.EVENT_MISSED and e.id == n]
        if ended:
            moments.append((n, ended[0].on))
            on = [us for pin, level, us in board.edges if pin == 0 and level]
            assert all(us <= ended[0].on for us in on), f"on after the device had taken back command {n}"
        board.edges.clear()
        if isinstance(what, wire.Stop):
            board.rearm()
    assert len(moments) > 10
