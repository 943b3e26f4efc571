"""Silence and stops are safe on every rung: lease, dead host, STOP, E-stop, reboot, cable; nothing re-arms by itself."""

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import (
    ESTOP_PIN,
    Accepted,
    Disarmed,
    DisarmReason,
    Fired,
    InputChanged,
    LinkChanged,
    LinkState,
    MissReason,
    NotFired,
    Refusal,
    Refused,
    Unanswered,
)
from tests.hil.driver import Driver
from tests.hil.rungs import MS, Recorded

SMOKE = {"test_an_armed_device_drops_out_when_the_loop_hangs"}


def stays_unarmed(driver: Driver) -> bool:
    driver.run(0.5)
    refused = driver.final(driver.submit(driver.soon()))
    ready = driver.controller.status().state is LinkState.READY
    return ready and isinstance(refused, Refused) and refused.refusal is Refusal.NOT_ARMED


def test_an_armed_device_drops_out_when_the_loop_hangs(driver: Driver) -> None:
    driver.arm()
    late = driver.submit(driver.soon(lead_ms=3000))
    driver.run(0.1)
    driver.leasing = False
    driver.until(lambda: bool(driver.told(Disarmed)))
    assert driver.told(Disarmed)[0].reason is DisarmReason.LEASE
    missed = driver.final(late)
    assert isinstance(missed, NotFired)
    assert missed.reason is MissReason.DISARMED
    driver.leasing = True
    assert stays_unarmed(driver)


def test_when_the_host_dies_an_open_gate_closes_with_the_lease(driver: Driver, recorded: Recorded) -> None:
    driver.arm()
    open_one = driver.submit(driver.soon(lead_ms=100, hold_ms=480), gate=1)
    queued = driver.submit(driver.soon(lead_ms=2000), gate=0)
    driver.until(lambda: any(edge.on for edge in recorded.edges()))
    died_ns = driver.now_ns()
    driver.rung.sleep(1.2)
    on, off = driver.edges(recorded, 2)
    limit_ms = driver.tolerances.lease_ms + driver.tolerances.dead_ms
    assert (on.gate, off.gate, off.on) == (1, 1, False)
    assert off.at_ns - died_ns <= limit_ms * MS
    for command_id in (open_one, queued):
        assert isinstance(driver.final(command_id), NotFired | Unanswered)
    driver.reach(LinkState.READY)
    assert stays_unarmed(driver)


def test_stop_disarms_and_only_arm_arms_again(driver: Driver) -> None:
    driver.arm()
    queued = driver.submit(driver.soon(lead_ms=1500))
    driver.run(0.05)
    driver.controller.stop()
    driver.until(lambda: bool(driver.told(Disarmed)), 2.0)
    assert driver.told(Disarmed)[0].reason is DisarmReason.STOP
    assert isinstance(driver.final(queued), NotFired)
    assert stays_unarmed(driver)
    driver.arm()


def test_stop_shuts_a_gate_that_is_open(driver: Driver, recorded: Recorded) -> None:
    driver.arm()
    driver.submit(driver.soon(lead_ms=100, hold_ms=480))
    driver.until(lambda: any(edge.on for edge in recorded.edges()))
    stopped_ns = driver.now_ns()
    driver.controller.stop()
    driver.run(0.6)
    _, off = driver.edges(recorded, 2)
    assert off.at_ns - stopped_ns < (20 * MS if driver.tolerances.edge_us < 10_000 else 200 * MS)


def test_disarm_cuts_what_waits_and_says_by_whom(driver: Driver) -> None:
    driver.arm()
    queued = driver.submit(driver.soon(lead_ms=1500))
    driver.run(0.05)
    driver.controller.disarm()
    final = driver.final(queued)
    assert isinstance(final, NotFired)
    assert final.reason is MissReason.DISARMED
    assert [reply.reason for reply in driver.told(Disarmed)] == [DisarmReason.HOST]
    assert stays_unarmed(driver)


def test_the_estop_disarms_is_told_and_holds_until_released_and_armed(driver: Driver, recorded: Recorded) -> None:
    driver.arm()
    queued = driver.submit(driver.soon(lead_ms=1500))
    driver.run(0.1)
    recorded.set_estop(True)
    driver.until(lambda: bool(driver.told(Disarmed)), 2.0)
    assert driver.told(Disarmed)[0].reason is DisarmReason.ESTOP
    missed = driver.final(queued)
    assert isinstance(missed, NotFired)
    driver.until(lambda: [(i.pin, i.level) for i in driver.told(InputChanged)] == [(ESTOP_PIN, True)])
    driver.controller.arm()
    driver.until(lambda: any("E-stop is active" in detail for detail in driver.details()))
    assert [reply.reason for reply in driver.told(Disarmed)] == [DisarmReason.ESTOP] * 2, "asked in vain, and told why"
    recorded.set_estop(False)
    driver.until(lambda: len(driver.told(InputChanged)) == 2)
    assert stays_unarmed(driver)
    driver.arm()
    assert recorded.edges() == []


def test_a_restarted_device_is_a_new_one(driver: Driver, recorded: Recorded) -> None:
    driver.arm()
    boot_id = driver.controller.status().boot_id
    open_one = driver.submit(driver.soon(lead_ms=100, hold_ms=480), gate=1)
    waiting = driver.submit(driver.soon(lead_ms=3000))
    driver.until(lambda: any(edge.on for edge in recorded.edges()))
    recorded.reboot()
    driver.until(lambda: any(reply.new_boot for reply in driver.told(LinkChanged)))
    assert [edge.on for edge in driver.edges(recorded, 2)] == [True, False], "off with the reboot"
    final = driver.final(waiting)
    assert isinstance(final, NotFired)
    assert final.reason is MissReason.REBOOT
    assert isinstance(driver.final(open_one), Unanswered)
    driver.reach(LinkState.READY)
    assert driver.controller.status().boot_id != boot_id
    assert stays_unarmed(driver)
    driver.run(2.5)
    assert len(recorded.edges()) == 2, "nothing of the life before fires in this one"


def test_a_pulled_cable_is_noticed_and_found_again(driver: Driver, recorded: Recorded) -> None:
    driver.arm()
    before = [driver.submit(driver.soon(1500 + 60 * n)) for n in range(3)]
    driver.run(0.1)
    recorded.unplug(1.0)
    driver.reach(LinkState.LOST, 2.0)
    lost_ns = driver.now_ns()
    driver.reach(LinkState.READY, 6.0)
    assert driver.now_ns() - lost_ns < 4000 * MS
    for command_id in before:
        final = driver.final(command_id)
        assert isinstance(final, NotFired), "the lease ended long before these windows"
    assert stays_unarmed(driver)
    driver.arm()
    assert isinstance(driver.final(driver.submit(driver.soon())), Fired)


def test_a_new_session_takes_over_what_the_old_one_let_go(driver: Driver) -> None:
    driver.arm()
    driver.submit(driver.soon(lead_ms=700))
    driver.until(lambda: bool(driver.told(Accepted)))
    driver.controller.close()
    again = Driver(driver.rung)
    again.arm()
    again.run(1.0)
    assert not again.told(Fired), "what the old one had asked for ended with it"
    assert isinstance(again.final(again.submit(again.soon())), Fired)
    again.controller.close()


@pytest.mark.parametrize("session", [0, 0xBAD])
def test_frames_of_another_session_change_nothing(session: int, driver: Driver) -> None:
    driver.arm()
    for message in (wire.Disarm(), wire.Stop(), wire.Cancel(0), wire.Lease(1 << 30, False, False)):
        driver.put(message, session)
    command_id = driver.submit(driver.soon())
    assert isinstance(driver.final(command_id), Fired)
    assert not driver.told(Disarmed)
    assert driver.controller.status().foreign >= 4
