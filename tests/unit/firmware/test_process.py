"""The device as a process: what it does on a pseudo-terminal, what it writes down, what it obeys. No timing is asserted."""

import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge import wire
from firmware_bridge.codec import Frame, FrameReader, encode_frame
from tests.unit.firmware.rig import CONFIG

pytestmark = pytest.mark.wall

PATIENCE_S = 20.0
RELAXED = replace(CONFIG, max_late_us=100_000, lease_ms=1000)
COMMIT = wire.commit_message(RELAXED)


def write_belt(path: Path, speed_mm_s: float = 1000.0) -> None:
    segment = struct.pack("<Qddd", time.monotonic_ns(), 100.0, speed_mm_s, 0.0)
    path.write_bytes(struct.pack("<8sIIdd", b"STNBELT1", 2, 1, 0.5, 0.0) + segment + bytes(255 * 32))


# What a busy computer does now and then, done to every read: the bytes are there, and this process goes on 12 ms later.
SLOW_READ = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>
ssize_t read(int fd, void *data, size_t max) {
    static ssize_t (*real)(int, void *, size_t);
    if (real == 0) *(void **)&real = dlsym(RTLD_NEXT, "read");
    ssize_t n = real(fd, data, max);
    const struct timespec late = {0, 12000000};
    if (n > 0) nanosleep(&late, 0);
    return n;
}
"""


class Device:
    def __init__(self, folder: Path, preload: Path | None = None) -> None:
        self.folder = folder
        write_belt(folder / "belt")
        files = [f"--{name}={folder / name}" for name in ("edges", "encoder", "device", "link")]
        first = os.environ.get("LD_PRELOAD", "")  # of a sanitizer, which must stay the first
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge.virtual_device", f"--profile={folder / 'belt'}", *files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ({"LD_PRELOAD": f"{first} {preload}".strip()} if preload else {}),
        )
        assert self.process.stdout is not None
        self.greeting = json.loads(self.process.stdout.readline())
        self.port = self.open()
        self.heard: list[wire.Message] = []
        self.session = 0
        self._lease = 0

    def open(self) -> int:
        self._reader = FrameReader()
        return os.open(self.folder / "link", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def send(self, message: wire.ToDevice) -> None:
        os.write(self.port, encode_frame(Frame(wire.type_of(type(message)), 0, self.session, wire.encode(message))))

    def lease(self) -> None:
        self._lease += 1
        self.send(wire.Lease(self._lease, True, True))

    def hear(self, wanted: Callable[[wire.Message], bool], leasing: bool = False) -> wire.Message:
        """The next message that is wanted; the lease is renewed while waiting, if asked."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if leasing:
                self.lease()
            if select.select([self.port], [], [], 0.02)[0]:
                self._reader.feed(os.read(self.port, 4096))
            while (frame := self._reader.next_frame()) is not None:
                self.heard.append(wire.decode(frame.type, frame.payload))
                if wanted(self.heard[-1]):
                    return self.heard[-1]
        raise AssertionError(f"not heard among {self.heard[-5:]}")

    def meet(self) -> wire.HelloReply:
        self.session = 0
        self.send(wire.Hello(wire.VERSION, 0x51, 0xAB))
        reply = self.hear(lambda m: isinstance(m, wire.HelloReply) and m.nonce == 0xAB)
        assert isinstance(reply, wire.HelloReply)
        self.session = 0x51
        return reply

    def arm(self) -> None:
        for gate in wire.gate_messages(RELAXED):
            self.send(gate)
        self.send(COMMIT)
        self.hear(lambda m: isinstance(m, wire.ConfigReply) and m.error == 0)
        self.send(wire.Arm(COMMIT.crc, True))
        self.hear(lambda m: isinstance(m, wire.Status) and m.armed, leasing=True)

    def newest_count(self) -> int:
        while select.select([self.port], [], [], 0)[0]:  # what it said while nobody listened is old
            self._reader.feed(os.read(self.port, 4096))
        while self._reader.next_frame() is not None:
            pass
        sample = self.hear(lambda m: isinstance(m, wire.Encoder), leasing=True)
        assert isinstance(sample, wire.Encoder)
        return sample.belt_count

    def fire(self, command_id: int, ahead: int, length: int) -> wire.Divert:
        start = self.newest_count() + ahead
        command = wire.Divert(command_id, 1, wire.MODE_COUNT, start, start + length)
        self.send(command)
        self.hear(lambda m: isinstance(m, wire.Answer) and m.answer == 0)
        return command

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def until(self, holds: Callable[[], bool], leasing: bool = False) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, "it did not happen"
            if leasing:
                self.lease()
            time.sleep(0.02)

    def noted(self, what: str) -> list[dict[str, Any]]:
        return [line for line in self.lines("device") if line["what"] == what]

    def close(self) -> None:
        os.close(self.port)
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path)
    yield device
    device.close()


def is_fired(message: wire.Message) -> bool:
    return isinstance(message, wire.Events) and any(e.kind == wire.EVENT_FIRED for e in message.events)


def test_it_fires_on_the_belt_it_reads_and_writes_down_every_edge(device: Device) -> None:
    assert device.greeting["port"] == str(device.folder / "link")
    assert device.meet().has_encoder
    device.arm()
    command = device.fire(1, ahead=400, length=100)
    device.hear(is_fired, leasing=True)
    device.until(lambda: len(device.lines("edges")) > 1)  # it is written beside the timing loop
    on, off = device.lines("edges")
    assert (on["gate"], on["on"], off["gate"], off["on"]) == (0, True, 0, False)
    assert on["count"] >= command.start - 2 * 12 - 1
    assert off["count"] >= command.end - 2 * 8 - 1
    assert off["at_ns"] > on["at_ns"]
    assert on["acted_ns"] >= on["at_ns"]
    samples = device.lines("encoder")
    assert len(samples) > 10
    assert [s["count"] for s in samples] == sorted(s["count"] for s in samples)
    [boot] = device.noted("boot")
    for s in samples:  # counts are those of the profile, exactly
        position_mm = 100 + (s["at_ns"] - _belt_start(device)) * 1e-6
        assert s["count"] == pytest.approx(position_mm / 0.5 - boot["epoch_count"], abs=1.01)


def _belt_start(device: Device) -> int:
    (start,) = struct.unpack_from("<Q", (device.folder / "belt").read_bytes(), 32)
    return int(start)


def test_a_stalled_process_makes_up_for_the_passes_it_missed_and_says_so(device: Device) -> None:
    """A desk that does not let the twin run is not a board that fires late; a stall too long to be made up is late."""
    device.meet()
    device.arm()
    for attempt in range(1, 8):  # a busy computer may hold it up for longer than is made up for: then it proves nothing
        edges_before, stalls_before = len(device.lines("edges")), len(device.noted("stalled"))
        command = device.fire(attempt, ahead=240, length=100)  # in 120 ms
        time.sleep(0.08)
        device.process.send_signal(signal.SIGSTOP)
        time.sleep(0.06)
        device.process.send_signal(signal.SIGCONT)

        def moved(before: int = edges_before) -> bool:
            return len(device.lines("edges")) >= before + 2

        device.until(moved, leasing=True)
        stalls = device.noted("stalled")[stalls_before:]
        on = device.lines("edges")[edges_before]
        if stalls and max(row["late_us"] for row in stalls) < 95_000 and on["acted_ns"] - on["at_ns"] > 5_000_000:
            assert on["on"]
            assert on["count"] == pytest.approx(command.start - 2 * 12, abs=3)
            return
    pytest.fail("the computer was never quiet enough")


def test_a_read_that_kept_it_waiting_is_made_up_for_like_any_other_stall(tmp_path: Path) -> None:
    source, preload = tmp_path / "slow_read.c", tmp_path / "slow_read.so"
    source.write_text(SLOW_READ)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", preload, source, "-ldl"], check=True)
    device = Device(tmp_path, preload)
    try:
        device.meet()
        device.arm()
        for number in range(1, 9):
            command = device.fire(number, ahead=600, length=100)
            device.until(lambda wanted=2 * number: len(device.lines("edges")) >= wanted, leasing=True)  # type: ignore[misc]
            on, off = device.lines("edges")[-2:]
            assert (on["on"], off["on"]) == (True, False)
            assert on["count"] == pytest.approx(command.start - 2 * 12, abs=3)
            assert off["count"] == pytest.approx(command.end - 2 * 8, abs=3)
    finally:
        device.close()


def test_without_leases_it_disarms_and_says_why(device: Device) -> None:
    device.meet()
    device.arm()
    device.until(lambda: bool(device.noted("disarmed")) and len(device.noted("permit")) > 1)
    assert [d["reason"] for d in device.noted("disarmed")] == ["lease"]
    assert [p["on"] for p in device.noted("permit")] == [True, False]


def test_sigterm_drops_the_outputs_and_ends(device: Device) -> None:
    device.meet()
    device.arm()
    device.fire(1, ahead=200, length=300)
    device.until(lambda: len(device.lines("edges")) == 1, leasing=True)
    device.process.send_signal(signal.SIGTERM)
    assert device.process.wait(PATIENCE_S) == 0
    assert [edge["on"] for edge in device.lines("edges")] == [True, False]
    assert not (device.folder / "link").is_symlink()


def test_a_reboot_is_a_new_boot_with_outputs_off_and_counts_from_zero(device: Device) -> None:
    before = device.meet()
    device.arm()
    device.fire(1, ahead=200, length=300)
    device.until(lambda: len(device.lines("edges")) == 1, leasing=True)
    device.say("reboot")
    device.until(lambda: len(device.noted("boot")) > 1 and len(device.lines("edges")) > 1)
    assert [edge["on"] for edge in device.lines("edges")] == [True, False]
    after = device.meet()
    assert after.boot_id != before.boot_id
    assert after.config_crc == 0


def test_an_unplugged_cable_comes_back_under_the_same_name(device: Device) -> None:
    device.meet()
    device.say("unplug 0.2")
    device.until(lambda: bool(device.noted("unplugged")))
    device.until(lambda: bool(device.noted("plugged")))
    os.close(device.port)
    device.port = device.open()
    assert device.meet().nonce == 0xAB


def test_an_e_stop_disarms(device: Device) -> None:
    device.meet()
    device.arm()
    device.say("estop 1")
    device.until(lambda: bool(device.noted("disarmed")), leasing=True)
    assert device.noted("disarmed")[0]["reason"] == "estop"


def test_an_output_that_does_not_follow_is_a_fault(device: Device) -> None:
    device.meet()
    device.arm()
    device.say("stuck 3 1")
    device.until(lambda: bool(device.noted("disarmed")), leasing=True)
    assert device.noted("disarmed")[0]["reason"] == "fault"


def test_trigger_pulses_are_written_down(device: Device) -> None:
    device.meet()
    os.write(device.port, encode_frame(Frame(0x0E, 0, device.session, struct.pack("<II", 20_000, 500))))
    device.until(lambda: len(device.noted("trigger")) > 3)
    numbers = [line["number"] for line in device.noted("trigger")]
    assert numbers == sorted(set(numbers))


def test_it_ends_with_the_pipe_that_commands_it(device: Device) -> None:
    assert device.process.stdin is not None
    device.process.stdin.close()
    assert device.process.wait(PATIENCE_S) == 0
    device.process.stdin = None


def test_a_port_that_was_closed_can_be_opened_again(device: Device) -> None:
    device.meet()
    os.close(device.port)
    time.sleep(0.1)
    device.port = device.open()
    device.meet()


@pytest.mark.parametrize("arguments", [["--unknown"], ["--gates=0"], ["--profile=/nonexistent"], ["stray"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "firmware_bridge.virtual_device", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr
