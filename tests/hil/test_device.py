"""What the station relies on from a device at a serial port, twin or board."""

import os
import time

import pytest

from firmware_bridge.errors import PortError
from firmware_bridge.messages import (
    Accepted,
    Disarmed,
    DisarmReason,
    DuringCount,
    DuringTime,
    Fired,
    LinkChanged,
    LinkState,
    MissReason,
    NotFired,
    Refusal,
    Refused,
)
from firmware_bridge.serial_port import SerialTransport
from tests.hil.conftest import MS, Driver, Twin

pytestmark = pytest.mark.wall


def soon(lead_ms: int = 300, hold_ms: int = 50) -> DuringTime:
    now_ns = time.monotonic_ns()
    return DuringTime(now_ns + lead_ms * MS, now_ns + (lead_ms + hold_ms) * MS)


def test_it_says_what_it_is_and_its_clock_is_known(driver: Driver) -> None:
    driver.reach(LinkState.READY)
    capabilities, status = driver.controller.capabilities(), driver.controller.status()
    assert capabilities is not None
    assert capabilities.gates >= 1
    assert capabilities.id_memory >= capabilities.queue_depth >= 4
    assert status.sync_bound_us is not None
    assert status.boot_id is not None


def test_a_window_in_time_fires_and_is_reported(driver: Driver) -> None:
    driver.arm()
    windows = {driver.submit(soon(300 + 100 * n)): n for n in range(5)}
    for command_id in windows:
        fired = driver.final(command_id)
        assert isinstance(fired, Fired)
        assert 20 * MS < fired.off_ns - fired.on_ns < 150 * MS
    assert {reply.command_id for reply in driver.told(Accepted)} == windows.keys()


def test_a_window_in_counts_fires_where_the_belt_is(driver: Driver, only_twin: Twin) -> None:
    driver.arm()
    driver.until(lambda: driver.controller.count_at(time.monotonic_ns()) is not None)
    at = driver.controller.count_at(time.monotonic_ns())
    assert at is not None
    assert at.counts_per_s == pytest.approx(800, rel=0.1)
    start = int(at.count) + 400
    fired = driver.final(driver.submit(DuringCount(start, start + 80)))
    assert isinstance(fired, Fired)
    assert abs(fired.on_count - (start - 0.005 * at.counts_per_s)) < 60  # 75 ms of belt: this is a desk
    on_edges = [edge for edge in only_twin.edges() if edge["on"]]
    assert len(on_edges) == 1


def test_an_armed_device_drops_out_when_the_loop_hangs(driver: Driver) -> None:
    driver.arm()
    late = driver.submit(soon(lead_ms=2000))
    driver.run(0.1)
    driver.leasing = False
    driver.until(lambda: bool(driver.told(Disarmed)), 2.0)
    assert driver.told(Disarmed)[0].reason is DisarmReason.LEASE
    missed = driver.final(late)
    assert isinstance(missed, NotFired)
    assert missed.reason is MissReason.DISARMED


def test_stop_disarms_and_only_arm_arms_again(driver: Driver) -> None:
    driver.arm()
    queued = driver.submit(soon(lead_ms=1500))
    driver.run(0.05)
    driver.controller.stop()
    driver.until(lambda: bool(driver.told(Disarmed)), 2.0)
    assert driver.told(Disarmed)[0].reason is DisarmReason.STOP
    assert isinstance(driver.final(queued), NotFired)
    driver.run(0.5)
    assert driver.controller.status().state is LinkState.READY
    driver.controller.arm()
    driver.reach(LinkState.ARMED)


def test_what_is_too_late_or_too_far_is_refused(driver: Driver) -> None:
    driver.arm()
    cases = {driver.submit(soon(-500)): Refusal.LATE, driver.submit(soon(60_000)): Refusal.FAR}
    for command_id, refusal in cases.items():
        final = driver.final(command_id)
        assert isinstance(final, Refused)
        assert final.refusal is refusal


def test_cancelled_windows_do_not_fire(driver: Driver) -> None:
    driver.arm()
    ids = [driver.submit(soon(800 + 100 * n)) for n in range(3)]
    driver.run(0.1)
    driver.controller.cancel_all()
    for command_id in ids:
        final = driver.final(command_id)
        assert isinstance(final, NotFired)
        assert final.reason is MissReason.CANCELLED


def test_noise_before_and_between_frames_harms_nothing(driver: Driver) -> None:
    driver.arm()
    driver.transport.write(b"AT+GMM\r\n" + os.urandom(500))
    command_id = driver.submit(soon())
    driver.transport.write(b"\x00\x00ATI\r")
    assert isinstance(driver.final(command_id), Fired)


def test_a_second_program_cannot_open_the_port(driver: Driver, port: str) -> None:
    driver.reach(LinkState.READY)
    with pytest.raises(PortError, match="in use"):
        SerialTransport(port).open()


def test_the_port_can_be_closed_and_opened_by_a_new_session(driver: Driver, port: str) -> None:
    driver.arm()
    driver.controller.close()
    again = Driver(port)
    again.reach(LinkState.READY)
    again.controller.close()


def test_a_pulled_cable_is_noticed_and_found_again(driver: Driver, only_twin: Twin) -> None:
    driver.arm()
    before = [driver.submit(soon(1500 + 60 * n)) for n in range(5)]
    driver.run(0.1)
    only_twin.tell("unplug 1")
    driver.reach(LinkState.LOST, 2.0)
    lost = time.monotonic()
    driver.reach(LinkState.READY, 6.0)
    assert time.monotonic() - lost < 4.0
    for command_id in before:
        final = driver.final(command_id)
        assert isinstance(final, NotFired), "the lease ended long before these windows"
    driver.controller.arm()
    driver.reach(LinkState.ARMED)
    assert isinstance(driver.final(driver.submit(soon())), Fired)


def test_a_restarted_device_is_a_new_one(driver: Driver, only_twin: Twin) -> None:
    driver.arm()
    waiting = driver.submit(soon(lead_ms=3000))
    driver.run(0.1)
    only_twin.tell("reboot")
    driver.until(lambda: any(reply.new_boot for reply in driver.told(LinkChanged)))
    final = driver.final(waiting)
    assert isinstance(final, NotFired)
    assert final.reason is MissReason.REBOOT
    driver.reach(LinkState.READY)
    driver.run(0.3)
    assert driver.controller.status().state is LinkState.READY


def test_twenty_unplugs_leave_nothing_behind(driver: Driver, only_twin: Twin) -> None:
    driver.arm()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        only_twin.tell("unplug 0.05")
        driver.reach(LinkState.LOST, 2.0)
        driver.reach(LinkState.READY, 6.0)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert driver.controller.status().reconnects == 20
