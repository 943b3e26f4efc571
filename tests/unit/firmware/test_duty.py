"""What each gate has done lately, in ten parts of a second each, and the record of its edges."""

from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import Refusal
from tests.unit.firmware.bare import PLAIN, SECOND, Bare
from tests.unit.firmware.rig import CONFIG


def duty(permille: int, gate: int, gates: int = 8) -> Bare:
    others = [PLAIN] * gates
    others[gate] = replace(PLAIN, max_duty_permille=permille, max_hold_us=60 * SECOND)
    return Bare(replace(CONFIG, gates=tuple(others))).armed(1000)


def pulse(bare: Bare, gate: int, at_us: int, long_us: int) -> None:
    bare.tick(at_us)
    assert bare.divert_time(at_us, 1 << gate, at_us / 1000, (at_us + long_us) / 1000) == 0
    bare.tick(at_us)
    bare.tick(at_us + long_us)


def has_budget(bare: Bare, gate: int, at_us: int, long_us: int) -> bool:
    """At this moment, a tick just made; what is asked for is taken back."""
    bare.tick(at_us)
    answer = bare.divert_time(at_us + 1, 1 << gate, at_us / 1000 + 1, (at_us + long_us) / 1000 + 1)
    bare.send(wire.Cancel(0))
    assert answer in (0, Refusal.GATE_LIMIT.value)
    return answer == 0


@pytest.mark.parametrize("gate", [0, 7])
@pytest.mark.parametrize("second", range(11))
def test_on_time_is_given_back_when_its_second_is_ten_seconds_old(second: int, gate: int) -> None:
    bare = duty(10, gate)  # 100 ms in 10 s
    pulse(bare, gate, second * SECOND + 400_000, 80_000)
    assert has_budget(bare, gate, second * SECOND + 600_000, 20_000)
    assert not has_budget(bare, gate, second * SECOND + 600_002, 20_020)
    for later in range(1, 10):
        assert not has_budget(bare, gate, (second + later) * SECOND, 20_020)
    back_us = (second + 10) * SECOND
    assert not has_budget(bare, gate, back_us - 1, 20_020)
    assert has_budget(bare, gate, back_us, 100_000)
    assert not has_budget(bare, gate, back_us + 2, 100_001)


def test_a_pulse_over_the_end_of_a_second_counts_in_both() -> None:
    bare = duty(10, 0)
    pulse(bare, 0, 2 * SECOND - 30_000, 80_000)
    assert not has_budget(bare, 0, 11 * SECOND - 1, 20_020)
    assert has_budget(bare, 0, 11 * SECOND, 50_000)  # the 30 ms are back, the 50 ms are not
    assert not has_budget(bare, 0, 11 * SECOND + 2, 50_020)
    assert has_budget(bare, 0, 12 * SECOND, 100_000)


@pytest.mark.parametrize(("slept_us", "begins_anew"), [(20 * SECOND, False), (20 * SECOND + 1, True)])
@pytest.mark.parametrize("gate", [0, 7])
def test_after_a_leap_of_twenty_seconds_the_history_begins_anew(slept_us: int, begins_anew: bool, gate: int) -> None:
    """Its seconds too: they are counted from where the leap ended."""
    bare = duty(10, gate)
    pulse(bare, gate, 400_000, 80_000)
    landed_us = SECOND + slept_us
    bare.lease()
    bare.at(landed_us)
    bare.tick_gates()
    bare.arm()
    assert has_budget(bare, gate, landed_us, 100_000)
    pulse(bare, gate, landed_us + 300_000, 80_000)
    back_us = landed_us + 10 * SECOND if begins_anew else 31 * SECOND
    for second in range(1, 10):
        assert not has_budget(bare, gate, landed_us + second * SECOND - 1, 20_020)
    assert not has_budget(bare, gate, back_us - 1, 20_020)
    assert has_budget(bare, gate, back_us, 20_020)


@pytest.mark.parametrize("slept_us", [0, 1_500_000, 2_500_000, 9_999_999, 10_500_000, 18_500_000, 19_999_999])
def test_a_sleep_of_up_to_twenty_seconds_leaves_the_seconds_where_they_were(slept_us: int) -> None:
    bare = duty(10, 0)
    bare.tick(2000)
    landed_us = SECOND + slept_us
    bare.at(landed_us).tick_gates()
    bare.arm()
    pulse(bare, 0, landed_us + 100_000, 80_000)
    back_us = (bare.now_us - 80_000) // SECOND * SECOND + 10 * SECOND
    assert not has_budget(bare, 0, back_us - 1, 20_020)
    assert has_budget(bare, 0, back_us, 20_020)


def test_a_gate_that_is_on_through_a_leap_is_charged_for_nothing_before_it() -> None:
    bare = duty(100, 0)  # 1 s in 10 s
    bare.counts(range(1000, 100_001, 1000))
    bare.tick(100_000)
    assert bare.divert_count(1, 1, 100, 300) == 0
    bare.tick(100_000)
    assert bare.device.outputs() == 1
    bare.at(25 * SECOND)
    bare.tick_gates()  # the lease has ended: off
    assert bare.device.outputs() == 0
    bare.arm()
    assert has_budget(bare, 0, 25 * SECOND, 999_000)


def test_a_stop_that_comes_before_the_tick_counts_on_time_in_the_second_it_belongs_to() -> None:
    bare = duty(200, 0)  # 2 s
    bare.counts(range(1000, 900_001, 1000))
    bare.tick(900_000)
    assert bare.divert_count(1, 1, 900, 1200) == 0
    bare.tick(900_000)
    bare.at(2_500_000).send(wire.Stop())  # 1.6 s on, over two ends of a second, and no tick between
    assert bare.arm() == 0
    assert has_budget(bare, 0, 2_500_000, 399_000)
    assert not has_budget(bare, 0, 2_500_002, 401_000)


def test_the_history_of_32_gates_touches_nothing_beside_it() -> None:
    bare = duty(1000, 0, gates=32)
    bare.count(1500, 0x0123456789ABCDEF)
    assert bare.divert_time(1, 1, 200, 10_900) == 0
    for us in (*range(100_000, 13 * SECOND, 100_000), 50 * SECOND):
        bare.tick(us)
        assert bare.device.count == 0x0123456789ABCDEF
        assert bare.device.outputs() == (200_000 <= us < 10_900_000)
    assert bare.edge_us() == [200_000, 10_900_000]
    assert bare.lease().config_crc == wire.commit_message(bare.config).crc


# --- the record of edges


def test_the_edge_record_holds_1024_counts_the_rest_and_runs_round() -> None:
    gates = 32
    bare = Bare(replace(CONFIG, gates=(replace(PLAIN, max_duty_permille=1000),) * gates, lease_ms=1000)).armed(1000)
    everything, us, wanted = 2**gates - 1, 2000, []

    def blink(times: int) -> list[tuple[int, bool, int, int]]:
        nonlocal us
        made = []
        for _ in range(times):
            us += 1000
            bare.at(us).count(us, us // 100)
            bare.lease()
            assert bare.divert_time(us, everything, us / 1000, us / 1000 + 0.5) == 0
            for edge_us, on in ((us, True), (us + 500, False)):
                bare._c.sc_tick(bare._core, edge_us)
                made += [(gate, on, edge_us, us // 100) for gate in range(gates)]
            bare.hear()
        return made

    def record() -> list[tuple[int, bool, int, int]]:
        bare.device._waiting |= 1
        return [(edge.gate, edge.on, edge.at_us, edge.count) for edge in bare.device.edges()]

    wanted = blink(15)
    assert record() == wanted
    wanted = blink(16)
    assert bare.device.edges_lost == 0
    blink(1)
    assert bare.device.edges_lost == 64
    assert record() == wanted
    wanted = blink(3)
    assert record() == wanted
    assert bare.device.edges_lost == 64
