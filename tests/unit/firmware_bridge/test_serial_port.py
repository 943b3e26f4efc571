"""Ports by name and identity; and a transport that never blocks and says plainly when the other end is gone."""

import contextlib
import os
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge import serial_port
from firmware_bridge.discovery import candidates, choose, find
from firmware_bridge.errors import PortError
from firmware_bridge.serial_port import PortInfo, SerialTransport, latency_timer_ms, resolve
from firmware_bridge.virtual_device import DeviceClock, VirtualDevice


def port_info(
    device: str, vid: int | None = 0x2341, number: str | None = "A1", timer_ms: int | None = None
) -> PortInfo:
    return PortInfo(device, None, vid, None if vid is None else 0x0043, number, "a board", timer_ms)


PORTS = [
    port_info("/dev/ttyACM0"),
    port_info("/dev/ttyACM1", number="B2"),
    port_info("/dev/ttyUSB0", vid=0x0403, number=None),
    port_info("/dev/ttyS0", vid=None),
]


@pytest.mark.parametrize(
    ("wanted", "device"),
    [
        ("/dev/ttyACM7", "/dev/ttyACM7"),
        ("COM3", "COM3"),
        ("2341:0043:A1", "/dev/ttyACM0"),
        ("2341:0043:b2", "/dev/ttyACM1"),
        ("0403:0043", "/dev/ttyUSB0"),
    ],
)
def test_a_port_is_named_by_path_or_by_identity(wanted: str, device: str) -> None:
    assert resolve(wanted, PORTS) == device


@pytest.mark.parametrize(
    ("wanted", "ports", "words"),
    [
        ("2341:0043", PORTS, "2 ports match"),
        ("dead:beef", PORTS, "ports list"),
        ("auto", PORTS, "ports find"),
        ("auto", PORTS[2:], "no board known"),
    ],
)
def test_a_name_that_is_no_single_port_says_what_to_do(wanted: str, ports: list[PortInfo], words: str) -> None:
    with pytest.raises(PortError, match=words):
        resolve(wanted, ports)


@pytest.mark.parametrize(
    ("vid", "pid", "also", "greeted"),
    [
        (0x2341, 0x0043, (), True),
        (0x0403, 0x6001, (), True),
        (0x0403, 0x0001, (), False),  # the same maker's chip in something else
        (0x0922, 0x8003, (), False),  # a scale
        (0x0922, 0x8003, ("0922:8003",), True),
        (0x0ABC, 0x0DEF, ("0aBc:0DeF",), True),
        (None, None, ("0922:8003",), False),
    ],
)
def test_only_known_boards_and_those_that_are_named_are_greeted(
    vid: int | None, pid: int | None, also: tuple[str, ...], greeted: bool
) -> None:
    port = PortInfo("/dev/ttyACM0", None, vid, pid, "A1", "", None)
    assert [each.device for each in candidates(also, [port])] == ["/dev/ttyACM0"] * greeted


def test_auto_is_the_only_usb_port() -> None:
    assert resolve("auto", [PORTS[0], PORTS[3]]) == "/dev/ttyACM0"


def test_the_latency_timer_is_read_and_its_remedy_named(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").mkdir()
    (tmp_path / "ttyUSB0" / "latency_timer").write_text("16\n")
    assert latency_timer_ms("/dev/ttyUSB0", tmp_path) == 16
    assert latency_timer_ms("/dev/ttyACM0", tmp_path) is None
    remedy = port_info("/dev/ttyUSB0", timer_ms=16).remedy()
    assert remedy is not None
    assert "16 ms" in remedy
    assert "ttyUSB0/latency_timer" in remedy
    assert "udev" in remedy
    assert port_info("/dev/ttyUSB0", timer_ms=1).remedy() is None


@pytest.fixture
def pty() -> Iterator[tuple[int, str]]:
    """The other end's descriptor and the path of ours."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    yield master, os.ttyname(slave)
    os.close(slave)
    with contextlib.suppress(OSError):
        os.close(master)


@pytest.fixture
def transport(pty: tuple[int, str]) -> Iterator[SerialTransport]:
    transport = SerialTransport(pty[1])
    transport.open()
    yield transport
    transport.close()


def test_bytes_cross_in_both_directions(pty: tuple[int, str], transport: SerialTransport) -> None:
    assert transport.read() == b""
    os.write(pty[0], bytes(range(256)))
    transport.wait(1.0)
    assert transport.read() == bytes(range(256))
    assert transport.write(b"\x00\x11\x13\x0a\x0d") == 5
    assert os.read(pty[0], 100) == b"\x00\x11\x13\x0a\x0d"


def test_a_peer_that_never_reads_blocks_nothing(transport: SerialTransport) -> None:
    written = refused = 0
    while refused < 20:  # full, and it stays full: the kernel may still move bytes on when it has first said so
        taken = transport.write(b"x" * 4096)
        written += taken
        refused = 0 if taken else refused + 1
        time.sleep(0 if taken else 0.001)
        assert written < 1 << 22, "a pseudo-terminal has an end"
    assert written > 0


def test_a_port_is_ours_alone(pty: tuple[int, str], transport: SerialTransport) -> None:
    with pytest.raises(PortError, match="in use"):
        SerialTransport(pty[1]).open()


def test_a_port_that_is_not_there_says_so() -> None:
    with pytest.raises(PortError, match="no such port"):
        SerialTransport("/dev/ttyNOWHERE9").open()


def test_a_file_that_is_no_port_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PortError, match="cannot be opened"):
        SerialTransport(str(tmp_path / "file")).open()


def test_an_unplugged_port_raises_at_the_next_call_and_may_be_closed_twice(
    pty: tuple[int, str], transport: SerialTransport
) -> None:
    os.close(pty[0])
    transport.wait(0.1)
    with pytest.raises(PortError):
        transport.read()
    with pytest.raises(PortError):
        transport.write(b"x")
    transport.close()
    transport.close()
    with pytest.raises(PortError, match="not open"):
        transport.read()


def test_opening_and_closing_leaks_no_descriptor(pty: tuple[int, str]) -> None:
    transport = SerialTransport(pty[1])
    transport.open()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        transport.close()
        transport.open()
    assert len(os.listdir("/proc/self/fd")) == before
    transport.close()


def test_a_board_that_comes_back_under_another_name_is_found(
    pty: tuple[int, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    link = tmp_path / "ttyACM0"
    link.symlink_to(pty[1])
    monkeypatch.setattr(serial_port, "list_serial_ports", lambda: [port_info(os.path.realpath(pty[1]))])
    transport = SerialTransport(str(link))
    transport.open()
    transport.close()
    link.unlink()
    transport.open()
    assert transport.name == os.path.realpath(pty[1])
    transport.close()


def test_another_board_under_the_old_name_is_not_taken_for_ours(
    pty: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged = [port_info(os.path.realpath(pty[1]))]
    monkeypatch.setattr(serial_port, "list_serial_ports", lambda: plugged)
    transport = SerialTransport(pty[1])
    transport.open()
    transport.close()
    plugged[:] = [port_info(os.path.realpath(pty[1]), number="B2")]
    with pytest.raises(PortError, match="another board"):
        transport.open()


class DeviceOnPty:
    """The core behind a pseudo-terminal, moved whenever somebody asks for the time."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._device = VirtualDevice(clock=DeviceClock(time.monotonic_ns()))

    def now_ns(self) -> int:
        now_ns = time.monotonic_ns()
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            data = b""
        self._device.receive(data, now_ns)
        self._device.advance(now_ns, 0.0)
        os.write(self._master, self._device.transmit())
        return time.monotonic_ns()


def test_auto_is_the_port_that_answers(pty: tuple[int, str]) -> None:
    silent_master, silent_slave = os.openpty()
    other = os.ttyname(silent_slave)
    ports = [port_info(pty[1], number="A1"), port_info(other, vid=None)]
    device = DeviceOnPty(pty[0])
    assert choose("auto", device.now_ns, ports=ports) == "2341:0043:A1"
    assert choose("/dev/ttyX", device.now_ns, ports=ports) == "/dev/ttyX"
    os.close(silent_master)
    os.close(silent_slave)


def test_without_an_answer_auto_says_what_it_asked() -> None:
    ports = [port_info("/dev/ttyNOWHERE9")]
    turns = iter(range(0, 10**12, 50_000_000))
    assert find(lambda: next(turns), ports=ports)[0].device is None
    with pytest.raises(PortError, match="no such port"):
        choose("auto", lambda: next(turns), ports=ports)
