"""What an operating system's port adds: held by one program, opened again after a re-plug, nothing left behind."""

import os

import pytest

from firmware_bridge.errors import PortError
from firmware_bridge.messages import LinkState
from firmware_bridge.serial_port import SerialTransport
from tests.hil.driver import Driver
from tests.hil.rungs import Recorded
from tests.hil.wall_rungs import PortRung

RUNGS = ("process",)


def test_a_second_program_cannot_open_the_port(driver: Driver, rung: PortRung) -> None:
    driver.reach(LinkState.READY)
    with pytest.raises(PortError, match="in use"):
        SerialTransport(rung.port).open()


def test_twenty_unplugs_leave_nothing_behind(driver: Driver, recorded: Recorded) -> None:
    driver.arm()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        recorded.unplug(0.05)
        driver.reach(LinkState.LOST, 2.0)
        driver.reach(LinkState.READY, 6.0)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert driver.controller.status().reconnects == 20
