"""A slow main loop and a timer interrupt that moves the outputs: what the AVR does, where every microsecond is known."""

import ctypes
import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import MissReason
from firmware_bridge.virtual_device import Edge, VirtualDevice
from tests.unit.firmware.rig import CONFIG, Rig, config_with
from tests.unit.firmware.test_invariants import belt

ROWS = 4096
SLOW_US = 3000


class TimerDevice(VirtualDevice):
    """Its edges are those of the pins."""

    def __init__(self, loop_us: int = SLOW_US) -> None:
        super().__init__()
        self._memory_of_board = (ctypes.c_uint64 * (self._c.timer_board_size() // 8 + 1))()
        self._board = ctypes.addressof(self._memory_of_board)
        self._pin_rows = (ctypes.c_int64 * (3 * ROWS))()
        self._c.timer_board_init(self._board, loop_us)

    def advance(self, now_ns: int, position_counts: float) -> None:
        if self._position is None:
            self._epoch = math.floor(position_counts)
            self._position = position_counts
        start, end = self._position - self._epoch, position_counts - self._epoch
        from_us, to_us = self.clock.device_us(self._now_ns), self.clock.device_us(now_ns)
        self._waiting |= self._c.timer_board_advance(self._board, self._core, from_us, to_us, start, end)
        self._now_ns, self._position = now_ns, position_counts

    def edges(self) -> list[Edge]:
        super().edges()  # the core's own record is not what is judged here
        n = self._c.timer_board_edges(self._board, self._pin_rows)
        rows = self._pin_rows[: 3 * n]
        return [
            Edge(gate, bool(on), at_us, self.clock.host_ns(at_us), 0)
            for gate, on, at_us in zip(rows[0::3], rows[1::3], rows[2::3], strict=True)
        ]


@pytest.fixture
def rig() -> Rig:
    return Rig(device=TimerDevice()).ready()


def test_the_pin_moves_on_the_due_microsecond_however_slow_the_loop_is(rig: Rig) -> None:
    assert rig.divert_time(1, 0b1, 200, 260) == 0
    assert rig.divert_time(2, 0b10, 200.7, 261.3) == 0
    rig.run(320)
    assert rig.pulses(0) == [(188.0, 252.0)]
    assert rig.pulses(1) == [(188.7, 253.3)]
    fired = {e.id: e for e in rig.events if e.kind == wire.EVENT_FIRED}
    assert [(fired[n].on, fired[n].off, fired[n].extra) for n in (1, 2)] == [
        (188_000, 252_000, 0),
        (188_700, 253_300, 0),
    ]


@pytest.mark.parametrize("counts_per_ms", [0.1, 0.5, 2.0, 7.0, 25.0])
def test_count_windows_hold_at_every_belt_speed(rig: Rig, counts_per_ms: float) -> None:
    rig.position_of = lambda ms: 200 + (ms - 100) * counts_per_ms
    rig.run(600)
    start = rig.device.count + round(100 * counts_per_ms)
    assert rig.divert_count(1, 0b1, start, start + round(60 * counts_per_ms)) == 0
    due_ms = 100 + (start - 200) / counts_per_ms
    rig.run(900)
    [(on, off)] = rig.pulses()
    assert on == pytest.approx(due_ms - 12, abs=0.2)
    assert off == pytest.approx(due_ms + round(60 * counts_per_ms) / counts_per_ms - 8, abs=0.2)
    assert rig.fired() == [1]


def test_joined_windows_make_one_pulse(rig: Rig) -> None:
    assert rig.divert_time(1, 0b1, 200, 260) == 0
    assert rig.divert_time(2, 0b1, 240, 310) == 0
    rig.run(350)
    assert rig.pulses() == [(188.0, 302.0)]
    assert sorted(rig.fired()) == [1, 2]


def test_a_window_that_comes_while_the_gate_is_on_prolongs_it(rig: Rig) -> None:
    assert rig.divert_time(1, 0b1, 200, 260) == 0
    rig.run(230)
    assert rig.divert_time(2, 0b1, 250, 310) == 0
    rig.run(350)
    assert rig.pulses() == [(188.0, 302.0)]
    assert sorted(rig.fired()) == [1, 2]


def test_a_belt_that_stops_short_of_the_edge_moves_nothing() -> None:
    rig = Rig(replace(CONFIG, max_late_us=5000), device=TimerDevice()).ready()
    rig.position_of = lambda ms: min(ms, 237.0) * 2.0  # 12 ms of lead: the edge would be at 238 ms
    assert rig.divert_count(1, 0b1, 500, 600) == 0
    rig.run(2000)
    assert rig.edges == []
    rig.position_of = lambda ms: 474 + max(0.0, ms - 2000) * 2.0
    rig.run(2400)
    assert len(rig.pulses()) == 1
    assert rig.fired() == [1]


def test_a_gate_open_when_the_belt_stops_closes_at_maximum_hold(rig: Rig) -> None:
    rig.position_of = lambda ms: min(ms, 260.0) * 2.0
    assert rig.divert_count(1, 0b1, 500, 600) == 0
    rig.run(3000)
    [(on, off)] = rig.pulses()
    assert off == pytest.approx(on + 200, abs=0.001)
    assert rig.missed() == {1: MissReason.BELT_STOPPED}


def test_the_minimum_gap_delays_within_max_late() -> None:
    rig = Rig(config_with(0, min_gap_us=4_000), device=TimerDevice()).ready()
    rig.position_of = lambda ms: ms * 2.0
    assert rig.divert_count(1, 0b1, 400, 500) == 0
    assert rig.divert_time(2, 0b1, 258.2, 300) in (0, 4)
    rig.run(400)
    pulses = rig.pulses()
    assert all(b[0] - a[1] >= 4.0 for a, b in pairwise(pulses))


@pytest.mark.parametrize("message", [wire.Stop(), wire.Disarm()], ids=lambda m: type(m).__name__)
def test_a_stop_closes_at_once_and_its_commands_are_missed(rig: Rig, message: wire.ToDevice) -> None:
    assert rig.divert_time(1, 0b1, 200, 260) == 0
    assert rig.divert_time(2, 0b10, 232.4, 280) == 0
    rig.run(220)
    rig.send(message)
    rig.alive = False
    rig.run(400)
    assert [edge.on for edge in rig.edges if edge.gate == 0] == [True, False]
    assert rig.edges[-1].at_us == 220_000
    assert rig.missed() == dict.fromkeys((1, 2), MissReason.DISARMED)


@pytest.mark.parametrize("before_us", [1, 10, 500, 2500])
def test_an_edge_that_is_planned_already_does_not_follow_a_stop(rig: Rig, before_us: int) -> None:
    assert rig.divert_time(1, 0b1, 200, 260) == 0
    rig.run(188 - before_us / 1000)
    rig.send(wire.Stop())
    rig.run(300)
    assert rig.edges == []
    assert rig.missed() == {1: MissReason.DISARMED}


@pytest.mark.parametrize("loop_us", [200, 1500, 4000])
@pytest.mark.parametrize("seed", range(4))
def test_in_chaos_every_command_ends_once_and_pins_move_only_for_commands(seed: int, loop_us: int) -> None:
    random = Random(seed)
    rig = Rig(device=TimerDevice(loop_us)).ready()
    if seed % 2:
        rig.position_of = belt(random)
    windows: dict[int, tuple[int, int]] = {}
    for n in range(1, 160):
        mask = random.choice([1, 2, 4, 3, 6, 128])
        if random.random() < 0.5:
            start = rig.now_ms + random.uniform(10, 300)
            answer = rig.divert_time(n, mask, start, start + random.uniform(5, 120))
        else:
            first = rig.device.count + random.randint(10, 700)
            answer = rig.divert_count(n, mask, first, first + random.randint(10, 250))
        if answer == 0:
            windows[n] = (mask, n)
        if random.random() < 0.03:
            rig.send(wire.Cancel(n))
        rig.run(rig.now_ms + random.uniform(1, 40))
    rig.run(rig.now_ms + 2500)
    rig.send(wire.Stop())
    rig.alive = False
    rig.run(rig.now_ms + 1000)
    assert sorted([*rig.fired(), *rig.missed()]) == sorted(windows)
    assert len(rig.fired()) > 40
    fired = [e for e in rig.events if e.kind == wire.EVENT_FIRED]
    for gate in range(8):
        pulses = rig.pulses(gate)
        assert all(off - on <= 200.0 + loop_us / 1000 for on, off in pulses)
        for event in fired:
            if windows[event.id][0] >> gate & 1:
                slack = 2 * loop_us / 1000 + 0.01
                assert any(on - slack <= event.off / 1000 and off + slack >= event.on / 1000 for on, off in pulses), (
                    event
                )
