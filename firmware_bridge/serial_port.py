"""Serial ports through pyserial: found by what they are, opened for us alone, never blocking. Knows no protocol.

pyserial configures the port; bytes go through os.read and os.write on its descriptor: pyserial's own write hangs for ever
without a write timeout when the peer stops reading, and spins at full CPU with a timeout of 0. After an unplug any call may
raise OSError or termios.error, which is not an OSError.
"""

import contextlib
import errno
import fcntl
import os
import select
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import serial
from serial.tools import list_ports

from firmware_bridge.boards import board_name
from firmware_bridge.errors import PortError

AUTO: Final = "auto"
READ_BYTES: Final = 4096
_GONE: Final = (OSError, termios.error)
_SERIAL_BY_ID: Final = Path("/dev/serial/by-id")
_USB_SERIAL: Final = Path("/sys/bus/usb-serial/devices")
FTDI_MS: Final = 1


@dataclass(frozen=True, slots=True)
class PortSettings:
    baud: int = 1_000_000  # USB boards ignore it
    dtr: bool = True
    """Some USB boards send nothing until DTR is set; an Uno-type board restarts with every change of it."""


@dataclass(frozen=True, slots=True)
class PortInfo:
    device: str
    by_id: str | None  # keeps its name over a re-plug
    vid: int | None
    pid: int | None
    serial_number: str | None
    description: str
    latency_timer_ms: int | None  # FTDI adapters only

    @property
    def board(self) -> str | None:
        """What is known under its identity; None: nobody would greet it unasked."""
        return board_name(self.vid, self.pid)

    @property
    def usb_id(self) -> str | None:
        """As `--port` takes it: VID:PID or VID:PID:SERIAL."""
        if self.vid is None or self.pid is None:
            return None
        tail = f":{self.serial_number}" if self.serial_number else ""
        return f"{self.vid:04x}:{self.pid:04x}{tail}"

    def remedy(self) -> str | None:
        """What to do about an adapter that holds answers back."""
        return remedy_of(self.device, self.latency_timer_ms)


def remedy_of(device: str, timer_ms: int | None) -> str | None:
    """What to do about an FTDI adapter that keeps short answers for `timer_ms`; None: nothing needs doing."""
    if timer_ms is None or timer_ms <= FTDI_MS:
        return None
    name = Path(os.path.realpath(device)).name
    return (
        f"{device}: the FTDI latency timer is {timer_ms} ms; answers wait that long and the clock bound "
        f"stays too wide to arm. Now: echo {FTDI_MS} | sudo tee {_USB_SERIAL}/{name}/latency_timer . For good, in "
        f'/etc/udev/rules.d/99-ftdi.rules: ACTION=="add", SUBSYSTEM=="usb-serial", DRIVERS=="ftdi_sio", '
        f'ATTR{{latency_timer}}="{FTDI_MS}"'
    )


def list_serial_ports() -> list[PortInfo]:
    """Every port this computer knows, most likely boards (USB) first."""
    names = _names_by_id()
    ports = [
        PortInfo(
            device=port.device,
            by_id=names.get(os.path.realpath(port.device)),
            vid=port.vid,
            pid=port.pid,
            serial_number=port.serial_number,
            description=port.description or "",
            latency_timer_ms=latency_timer_ms(port.device),
        )
        for port in list_ports.comports()
    ]
    return sorted(ports, key=lambda port: (port.vid is None, port.device))


def latency_timer_ms(device: str, sysfs: Path = _USB_SERIAL) -> int | None:
    try:
        return int((sysfs / Path(os.path.realpath(device)).name / "latency_timer").read_text())
    except (OSError, ValueError):
        return None


def _names_by_id(folder: Path = _SERIAL_BY_ID) -> dict[str, str]:
    """Some systems have no such folder (systemd 252): then VID:PID:SERIAL is the lasting name."""
    try:
        return {os.path.realpath(link): str(link) for link in folder.iterdir()}
    except OSError:
        return {}


def resolve(wanted: str, ports: list[PortInfo] | None = None) -> str:
    """A device path for what the user wrote: a path as it is, VID:PID or VID:PID:SERIAL as it is plugged now.

    `auto` is the only USB serial port there is; with more of them, discovery.choose asks which one answers.
    """
    if wanted == AUTO:
        return _only_one(list_serial_ports() if ports is None else ports)
    if wanted.startswith(("/", ".", "COM")) or Path(wanted).exists():
        return wanted
    known = list_serial_ports() if ports is None else ports
    found = [port.device for port in known if port.usb_id is not None and _matches(port.usb_id, wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise PortError(
            f"{wanted}: {len(found)} ports match ({', '.join(found)}); add the serial number: VID:PID:SERIAL"
        )
    raise PortError(f"{wanted}: no such port is plugged in; `station ports list` shows those that are")


def _only_one(ports: list[PortInfo]) -> str:
    boards = [port.device for port in ports if port.board is not None]
    if len(boards) == 1:
        return boards[0]
    if boards:
        raise PortError(
            f"auto: {len(boards)} boards ({', '.join(boards)}); `station ports find` says which is the controller"
        )
    raise PortError(
        "auto: no board known to be a controller is plugged in; `station ports list` shows what is, --port names it"
    )


def _matches(usb_id: str, wanted: str) -> bool:
    have, want = usb_id.lower().split(":"), wanted.lower().split(":")
    return have[: len(want)] == want


class SerialTransport:
    """Implements link.Transport for a path (a pseudo-terminal too), VID:PID or VID:PID:SERIAL."""

    def __init__(self, wanted: str, settings: PortSettings | None = None) -> None:
        self.wanted = wanted
        self.name = wanted
        self._settings = settings or PortSettings()
        self._identity: str | None = None  # of the board we had, to find it under another name
        self._serial: serial.Serial | None = None
        self._fd = -1
        self._poller = select.poll()
        self._readable = False  # so `wait` has found it, and nothing was read since

    def open(self) -> None:
        self.close()
        device = self._device_now()
        port = serial.Serial(None, baudrate=self._settings.baud, timeout=0, write_timeout=1, exclusive=True)
        port.port = device
        port.dtr = self._settings.dtr
        try:
            port.open()
            fd = port.fileno()
            _keep_lines_on_close(fd)
            _make_prompt_and_ours(port, device)
            os.set_blocking(fd, False)
        except _GONE as error:
            with contextlib.suppress(*_GONE):
                port.close()
            raise PortError(_why_not_open(device, error)) from error
        self._serial, self._fd, self.name = port, fd, device
        self._poller = select.poll()
        self._poller.register(fd, select.POLLIN)
        self._identity = self._identity or _identity_of(device)

    def read(self) -> bytes:
        try:
            if not self._readable and not self._poller.poll(0):
                return b""
            self._readable = False
            data = os.read(self._need_fd(), READ_BYTES)
        except BlockingIOError:
            return b""
        except _GONE as error:
            raise PortError(f"{self.name}: gone ({error}); is the cable in?") from error
        if not data:
            # A terminal without data never polls as readable: this is the end of it.
            raise PortError(f"{self.name}: unplugged")
        return data

    def write(self, data: bytes) -> int:
        try:
            return os.write(self._need_fd(), data)
        except BlockingIOError:
            return 0
        except _GONE as error:
            raise PortError(f"{self.name}: gone while writing ({error}); is the cable in?") from error

    def wait(self, timeout_s: float) -> None:
        with contextlib.suppress(*_GONE):
            if self._fd < 0:
                select.select([], [], [], timeout_s)
            else:
                self._readable = bool(self._poller.poll(timeout_s * 1000))

    def close(self) -> None:
        port, self._serial, self._fd, self._readable = self._serial, None, -1, False
        if port is not None:
            with contextlib.suppress(*_GONE):
                port.close()

    def _need_fd(self) -> int:
        if self._fd < 0:
            raise PortError(f"{self.name}: not open")
        return self._fd

    def _device_now(self) -> str:
        """Where it is now: a board that was re-plugged may come back as another ttyACM, and another board in its place."""
        if self._identity is None:
            return resolve(self.wanted)
        try:
            return resolve(self._identity)
        except PortError:
            device = resolve(self.wanted)
            if Path(device).exists() and (other := _identity_of(device)) is not None:
                raise PortError(f"{device}: another board ({other}) is where {self._identity} was") from None
            return device


def _identity_of(device: str) -> str | None:
    real = os.path.realpath(device)
    return next((port.usb_id for port in list_serial_ports() if port.device == real and port.serial_number), None)


def _keep_lines_on_close(fd: int) -> None:
    """Without HUPCL the next program that opens the port does not restart the board by a change of DTR."""
    attributes = termios.tcgetattr(fd)
    attributes[2] &= ~termios.HUPCL
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _make_prompt_and_ours(port: serial.Serial, device: str) -> None:
    """Ask the driver for low latency (an FTDI chip then waits 1 ms instead of 16, without a udev rule) and keep others out.

    pyserial's own lock is a gentlemen's agreement; TIOCEXCL also refuses a program that knows nothing of it. Not on a
    pseudo-terminal: it would outlive us there and lock our own next start out.
    """
    with contextlib.suppress(*_GONE, ValueError, NotImplementedError, AttributeError):
        port.set_low_latency_mode(True)
    if not os.path.realpath(device).startswith("/dev/pts/"):
        with contextlib.suppress(*_GONE):
            fcntl.ioctl(port.fileno(), termios.TIOCEXCL)


def _why_not_open(device: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return f"{device}: no such port; is the board plugged in? `station ports list` shows what is"
    if number == errno.EACCES:
        return f"{device}: not allowed; add your user to the port's group: sudo usermod -aG dialout $USER, then log in again"
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return f"{device}: in use by another program (another station, a serial monitor, ModemManager?)"
    return f"{device}: cannot be opened: {error}"
