"""Rungs in wall time: the core as a process behind a pseudo-terminal, emulated on a Cortex-M3, or a board at a real port."""

import json
import re
import select
import struct
import subprocess
import sys
import time
from pathlib import Path
from random import SystemRandom

import firmware_bridge.firmware
from firmware_bridge.serial_port import PortSettings, SerialTransport
from tests.hil.rungs import MM_PER_COUNT, GateEdge

SPEED_MM_S = 400.0
FIRMWARE = Path(firmware_bridge.firmware.__file__).parent
IMAGE = FIRMWARE / "build/station-mps2.elf"
BOOT_ID_AT = 0x203FFFF0
EMULATOR_STARTS_WITHIN_S = 30.0


class PortRung:
    """Whatever is there."""

    name = "port"

    def __init__(self, port: str, baud: int = 1_000_000) -> None:
        self.port = port
        self.transport = SerialTransport(port, PortSettings(baud))

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def end(self) -> None:
        self.transport.close()


class ProcessRung(PortRung):
    """The device as a process of its own, with a belt that runs."""

    name = "process"

    def __init__(self, folder: Path) -> None:
        self._files = {name: folder / f"{name}.jsonl" for name in ("edges", "encoder")}
        profile = folder / "belt"
        segment = struct.pack("<Qddd", time.monotonic_ns(), 0.0, SPEED_MM_S, 0.0)
        header = b"STNBELT1" + struct.pack("<IIdd", 0, 1, MM_PER_COUNT, 0.0)
        profile.write_bytes(header + segment + bytes(32 * 255))
        words = [f"--{name}={file}" for name, file in self._files.items()]
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "firmware_bridge.virtual_device", "--profile", str(profile)),
                *(*words, "--link", str(folder / "port")),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        super().__init__(json.loads(self._process.stdout.readline())["port"])

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _rows(self, name: str) -> list[dict[str, int]]:
        lines = self._files[name].read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def edges(self) -> list[GateEdge]:
        return [GateEdge(row["gate"], bool(row["on"]), row["at_ns"], row["count"]) for row in self._rows("edges")]

    def clock_pairs(self) -> list[tuple[int, int]]:
        return [(row["at_us"], row["at_ns"]) for row in self._rows("encoder")[-50:]]

    def set_estop(self, pressed: bool) -> None:
        self.tell(f"estop {int(pressed)}")

    def reboot(self) -> None:
        self.tell("reboot")

    def unplug(self, seconds: float) -> None:
        self.tell(f"unplug {seconds}")

    def end(self) -> None:
        super().end()
        self._process.terminate()
        self._process.communicate(timeout=5)


class QemuRung(PortRung):
    """The image bare on an emulated Cortex-M3."""

    name = "qemu"

    def __init__(self) -> None:
        subprocess.run(["make", "-s", "-C", str(FIRMWARE), "qemu"], check=True, capture_output=True)
        boot_id = SystemRandom().getrandbits(32)
        command = ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "pty"]
        command += ["-kernel", str(IMAGE), "-device", f"loader,addr={BOOT_ID_AT:#x},data={boot_id:#x},data-len=4"]
        self._emulator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            super().__init__(self._where())
        except AssertionError:
            self._kill()
            raise

    def _where(self) -> str:
        assert self._emulator.stdout is not None
        assert select.select([self._emulator.stdout], [], [], EMULATOR_STARTS_WITHIN_S)[0], "the emulator says nothing"
        found = re.search(r"/dev/pts/\d+", said := self._emulator.stdout.readline())
        assert found, said
        return found[0]

    def _kill(self) -> None:
        self._emulator.kill()
        self._emulator.communicate()

    def end(self) -> None:
        super().end()
        self._kill()
