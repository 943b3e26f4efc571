"""The core bare on a Cortex-M3, emulated: found, configured, armed and fired by the real link over a pseudo-terminal.

Function only: the emulator's clock stops and leaps with the computer it runs on.
"""

import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import SystemRandom

import pytest

import firmware_bridge.firmware
from firmware_bridge.conversation import SessionSettings
from firmware_bridge.link import SerialController
from firmware_bridge.messages import (
    Accepted,
    DeviceConfig,
    Disarmed,
    DisarmReason,
    DivertCommand,
    DuringTime,
    Fired,
    GateConfig,
    LinkState,
    Reply,
)
from firmware_bridge.serial_port import SerialTransport
from firmware_bridge.session import Session

FIRMWARE = Path(firmware_bridge.firmware.__file__).parent
IMAGE = FIRMWARE / "build/station-mps2.elf"
BOOT_ID_AT = 0x203FFFF0
MS = 1_000_000
PATIENCE_S = 30.0
GATE = GateConfig(0, 2000, 500_000, 2000, 5000, 5000, 1000)
CONFIG = DeviceConfig((GATE,) * 8, 1000, 100_000, None, 10_000, 0)

pytestmark = [
    pytest.mark.wall,
    pytest.mark.tool("qemu-system-arm"),
    pytest.mark.skipif(
        shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
        reason="needs qemu-system-arm, gcc-arm-none-eabi and libnewlib-arm-none-eabi",
    ),
]


@pytest.fixture
def port() -> Iterator[str]:
    subprocess.run(["make", "-s", "-C", str(FIRMWARE), "qemu"], check=True, capture_output=True)
    boot_id = SystemRandom().getrandbits(32)
    command = ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "pty"]
    command += ["-kernel", str(IMAGE), "-device", f"loader,addr={BOOT_ID_AT:#x},data={boot_id:#x},data-len=4"]
    emulator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert emulator.stdout is not None
        assert select.select([emulator.stdout], [], [], PATIENCE_S)[0], "the emulator says nothing"
        found = re.search(r"/dev/pts/\d+", said := emulator.stdout.readline())
        assert found, said
        yield found[0]
    finally:
        emulator.kill()
        emulator.communicate()


class Host:
    def __init__(self, port: str) -> None:
        self.controller = SerialController(SerialTransport(port), Session(SessionSettings(sync_bound_us=100_000)))
        self.heard: list[Reply] = []
        self.leasing = False
        self._counter = 0

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, f"{self.controller.status()} {self.heard[-5:]}"
            self.controller.wait(0.002)
            self.heard += self.controller.poll(time.monotonic_ns())
            if self.leasing:
                self._counter += 1
                self.controller.renew_lease(self._counter)

    def heard_of(self, kind: type[Reply]) -> list[Reply]:
        return [reply for reply in self.heard if isinstance(reply, kind)]


def test_it_is_found_configured_armed_and_fires_and_falls_silent_with_its_host(port: str) -> None:
    host = Host(port)
    host.controller.configure(CONFIG)
    host.until(lambda: host.controller.status().state is LinkState.READY)
    capabilities = host.controller.capabilities()
    assert capabilities is not None
    assert (capabilities.gates, capabilities.queue_depth, capabilities.has_count) == (8, 64, False)
    host.leasing = True
    host.controller.arm()
    host.until(lambda: host.controller.status().state is LinkState.ARMED)
    for n in range(1, 6):
        start_ns = time.monotonic_ns() + (600 + 120 * n) * MS
        host.controller.submit(DivertCommand(n, 1 << n, DuringTime(start_ns, start_ns + 60 * MS)), time.monotonic_ns())
    host.until(lambda: len(host.heard_of(Fired)) == 5)
    assert len(host.heard_of(Accepted)) == 5
    assert sorted(reply.command_id for reply in host.heard if isinstance(reply, Fired)) == [1, 2, 3, 4, 5]
    assert all(20 * MS < r.off_ns - r.on_ns < 400 * MS for r in host.heard if isinstance(r, Fired))
    host.leasing = False
    host.until(lambda: bool(host.heard_of(Disarmed)))
    disarmed = host.heard_of(Disarmed)[0]
    assert isinstance(disarmed, Disarmed)
    assert disarmed.reason is DisarmReason.LEASE
    host.controller.close()
