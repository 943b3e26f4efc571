"""Seeded chaos against the core, judged by an oracle that knows only commands, the belt and the edge record."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import MissReason
from tests.unit.firmware.rig import GATE, Rig

OPEN_MS, CLOSE_MS = GATE.opening_delay_us / 1000, GATE.closing_delay_us / 1000
MAX_HOLD_MS, MIN_GAP_MS = GATE.max_hold_us / 1000, GATE.min_gap_us / 1000


@dataclass
class Sent:
    mask: int
    mode: int
    start: float  # ms or counts
    end: float
    answer: int


def belt(random: Random) -> Callable[[float], float]:
    """Speeds up, slows down, stands, goes on: pieces of even acceleration, with the position at each piece's begin."""
    pieces: list[tuple[float, float, float, float]] = [(0.0, 0.0, 2.0, 0.0)]
    t, p, v = 600.0, 1200.0, 2.0
    for _ in range(14):
        target = random.choice([0.0, 0.5, 1.0, 2.0, 4.0])
        duration = random.uniform(150, 500)
        accel = (target - v) / duration
        pieces.append((t, p, v, accel))
        t, p = t + duration, p + (v + target) / 2 * duration
        v = target
        hold = random.uniform(100, 900)
        pieces.append((t, p, v, 0.0))
        t, p = t + hold, p + v * hold

    def position(ms: float) -> float:
        at, start, speed, accel = next(piece for piece in reversed(pieces) if piece[0] <= ms)
        dt = ms - at
        return start + (speed + accel * dt / 2) * dt

    return position


def chaos(seed: int, until_ms: float, moving_belt: bool) -> tuple[Rig, dict[int, Sent]]:
    random = Random(seed)
    rig = Rig().ready()
    if moving_belt:
        rig.position_of = belt(random)
    sent: dict[int, Sent] = {}
    quiet_until = 0.0
    while rig.now_ms < until_ms:
        n = len(sent) + 1
        mask = random.choice([1, 2, 4, 3, 6, 128, 0b11100])
        if random.random() < 0.5:
            start = rig.now_ms + random.uniform(-20, 700)
            end = start + random.uniform(1, 150)
            answer = rig.divert_time(n, mask, start, end)
            sent[n] = Sent(mask, wire.MODE_TIME, round(start * 1000) / 1000, round(end * 1000) / 1000, answer)
        else:
            first = rig.device.count + random.randint(-30, 1400)
            last = first + random.randint(2, 300)
            answer = rig.divert_count(n, mask, first, last)
            sent[n] = Sent(mask, wire.MODE_COUNT, first, last, answer)
        _disturb(rig, random, n)
        if rig.now_ms > quiet_until:
            rig.acknowledging = random.random() < 0.8
            quiet_until = rig.now_ms + random.uniform(10, 200)
        rig.run(rig.now_ms + random.uniform(0.1, 25))
    rig.acknowledging = True
    rig.run(until_ms + 2500)
    rig.send(wire.Stop())  # on a standing belt count windows would wait for ever
    rig.alive = False
    rig.edges += rig.device.edges()
    rig.run(rig.now_ms + 3000)
    return rig, sent


def _disturb(rig: Rig, random: Random, n: int) -> None:
    what = random.random()
    if what < 0.02:
        rig.send(wire.Cancel(random.choice([0, n, max(1, n - 3)])))
    elif what < 0.03:
        rig.send(wire.Stop() if random.random() < 0.5 else wire.Disarm())
        assert rig.arm() == 0
    elif what < 0.035:
        rig.alive = False
        rig.run(rig.now_ms + 300)
        assert rig.arm() == 0
        rig.alive = True
    elif what < 0.1:
        rig.send_bytes(random.randbytes(random.randint(1, 60)))


def output_window_ms(command: Sent, position_of: Callable[[float], float], now_ms: float) -> tuple[float, float]:
    """Where the outputs of this command may be on, given the moment of an edge: from the belt's true speed there."""
    if command.mode == wire.MODE_TIME:
        return command.start - OPEN_MS, command.end - CLOSE_MS
    before, after = position_of(now_ms - 0.5), position_of(now_ms + 0.5)
    rate = max(after - before, 1e-9)
    here = position_of(now_ms)
    return now_ms + (command.start - here) / rate - OPEN_MS, now_ms + (command.end - here) / rate - CLOSE_MS


def judge(rig: Rig, sent: dict[int, Sent], tolerance_ms: float) -> None:
    accepted = {n for n, command in sent.items() if command.answer == 0}
    reports = rig.fired() + list(rig.missed())
    assert sorted(reports) == sorted(accepted), "each accepted command is reported exactly once"
    fired = {e.id: e for e in rig.events if e.kind == wire.EVENT_FIRED}
    assert all(0 <= e.extra <= rig.config.max_late_us for e in fired.values())
    assert rig.lease().events_lost == 0
    assert rig.device.edges_lost == 0
    for gate in range(8):
        pulses = rig.pulses(gate)
        for (_, off), (on, _) in pairwise(pulses):
            assert on - off >= MIN_GAP_MS - 1e-6
        for on, off in pulses:
            assert off - on <= MAX_HOLD_MS + 1e-6
            covered = [
                command
                for n, command in sent.items()
                if n in accepted
                and command.mask >> gate & 1
                and (window := output_window_ms(command, rig.position_of, on))[0] - tolerance_ms <= on
                and on <= window[1] + tolerance_ms
            ]
            assert covered, f"gate {gate} on at {on} ms for no accepted command"
        for event in fired.values():
            if sent[event.id].mask >> gate & 1:
                acting = [p for p in pulses if p[0] - 1e-6 <= event.off / 1000 and p[1] + 1e-6 >= event.on / 1000]
                assert acting, f"command {event.id} says it fired, gate {gate} did not move"


@pytest.mark.parametrize("seed", range(12))
def test_every_command_ends_once_and_no_gate_moves_for_nothing(seed: int) -> None:
    rig, sent = chaos(seed, 6000, moving_belt=False)
    judge(rig, sent, tolerance_ms=1.0)
    assert len(rig.fired()) > 20


@pytest.mark.parametrize("seed", range(100, 112))
def test_the_same_on_a_belt_that_stops_and_goes(seed: int) -> None:
    rig, sent = chaos(seed, 8000, moving_belt=True)
    judge(rig, sent, tolerance_ms=6.0)  # the oracle's speed is the true one, the device's is measured


def test_time_windows_are_exact_to_the_microsecond_when_nothing_disturbs() -> None:
    rig = Rig().ready()
    random = Random(3)
    wanted = {}
    for n in range(1, 200):
        start = round(rig.now_ms + random.uniform(13, 400), 3)
        if rig.divert_time(n, 1 << n % 8, start, start + 40) == 0:
            wanted[n] = (round((start - OPEN_MS) * 1000), round((start + 40 - CLOSE_MS) * 1000))
        rig.run(rig.now_ms + random.uniform(1, 30))
    rig.run(rig.now_ms + 600)
    assert len(wanted) > 100
    assert {e.id: (e.on, e.off) for e in rig.events if e.kind == wire.EVENT_FIRED} == wanted
    assert MissReason.LATE not in rig.missed().values()
