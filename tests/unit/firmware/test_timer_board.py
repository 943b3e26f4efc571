"""A slow main loop and a timer interrupt that moves the outputs: what the AVR does, where every microsecond is known."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import MissReason
from tests.unit.firmware.rig import CONFIG, Rig, config_with
from tests.unit.firmware.test_invariants import belt
from tests.unit.firmware.timer_device import TimerDevice


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
