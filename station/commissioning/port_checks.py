"""Can the controller be reached as it should: device file and rights, stable name, FTDI latency, firmware, clock bound.

Everything about the device file is read from the file system, below a root that tests replace. Never arms, never configures;
a relay board is only read.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from firmware_bridge.controller import Controller
from firmware_bridge.conversation import SessionSettings
from firmware_bridge.errors import BridgeError
from firmware_bridge.kept_port import Transport
from firmware_bridge.link import SerialController
from firmware_bridge.messages import LinkChanged, LinkState
from firmware_bridge.serial_port import FTDI_MS, PortSettings, SerialTransport, latency_timer_ms, list_serial_ports
from firmware_bridge.session import Session
from station.clock import Clock
from station.commissioning.findings import Finding, failed, passed, warned
from station.config import StationConfig

LONGEST_GREETING_NS = 5_000_000_000
ASKED_FOR_NS = 1_000_000_000  # of a relay board


class WiredController(Controller, Protocol):
    def wait(self, timeout_s: float) -> None: ...


def candidates(port: str) -> list[str]:
    """The device to look at; for `auto` every USB serial port that is plugged in."""
    return (
        [port]
        if port != "auto"
        else [info.by_id or info.device for info in list_serial_ports() if info.vid is not None]
    )


def open_controller(port: str, config: StationConfig | None) -> SerialController:
    if config is None:
        return SerialController(SerialTransport(port))
    link = config.link
    settings = PortSettings(link.baud) if link.dtr is None else PortSettings(link.baud, link.dtr)
    return SerialController(SerialTransport(port, settings), Session(SessionSettings(link.max_sync_bound_us)))


def port_findings(port: str, root: Path = Path("/")) -> Iterator[Finding]:
    """About the device file, before it is opened."""
    device = root / port.lstrip("/")
    if not device.exists():
        fix = "plug the controller in, look at `station ports list`, or give --port auto"
        yield failed("port", f"{port}: no such device", fix)
        return
    yield _rights(port, device)
    yield _stable_name(port, device, root)
    timer = _latency_timer(device, root)
    if timer is not None:
        yield timer


def _rights(port: str, device: Path) -> Finding:
    if os.access(device, os.R_OK | os.W_OK):
        return passed("port", f"{port} may be read and written")
    status = device.stat()
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    mode = stat.filemode(status.st_mode)
    fix = f"sudo usermod -aG {group} {_user()}, then log in again"
    return failed("port", f"{port}: no permission (mode {mode}, group {group})", fix)


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container, a number without a name
        return str(os.getuid())


def _stable_name(port: str, device: Path, root: Path) -> Finding:
    """ttyACM0 may be another board after the next start; the name by id is this board's for ever."""
    by_id = root / "dev/serial/by-id"
    if device.parent == by_id:
        return passed("port name", f"{port} is this board's own name")
    real = device.resolve()
    link = next((entry for entry in sorted(by_id.glob("*")) if entry.resolve() == real), None)
    if link is None:
        return passed("port name", f"{port} has no name by id (not a USB port)")
    name = f"/dev/serial/by-id/{link.name}"
    return warned(
        "port name", f"{port} may be another board after the next start", f"use {name} in link.port and --port"
    )


def _latency_timer(device: Path, root: Path) -> Finding | None:
    """An FTDI chip keeps short answers back for 16 ms by default: too wide a clock bound. None: not such a chip."""
    name = device.resolve().name
    timer_ms = latency_timer_ms(str(device), root / "sys/bus/usb-serial/devices")
    if timer_ms is None:
        return None
    if timer_ms <= FTDI_MS:
        return passed("latency timer", f"{name}: {timer_ms} ms")
    fix = (
        f"echo 1 | sudo tee /sys/bus/usb-serial/devices/{name}/latency_timer\n"
        'for ever: a udev rule ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", ATTR{latency_timer}="1"'
    )
    return warned("latency timer", f"{name}: the FTDI chip keeps answers back for {timer_ms} ms", fix)


def controller_findings(controller: WiredController, clock: Clock, config: StationConfig | None) -> Iterator[Finding]:
    """Greets the controller and waits for a clock bound; the caller closes it."""
    try:
        said = _greet(controller, clock)
    except BridgeError as error:
        yield failed("controller", str(error), "flash the firmware that came with this program")
        return
    status, capabilities = controller.status(), controller.capabilities()
    if capabilities is None:
        fix = (
            "flash the firmware that came with this program"
            if "flash the firmware" in said
            else "check cable and power, that it is the controller's port (`station ports find`), and that it has our firmware"
        )
        yield failed("controller", f"{status.port}: {said or 'nobody answers'}", fix)
        return
    count = "encoder" if capabilities.has_count else "no encoder"
    words = (
        f"firmware {capabilities.firmware}, {capabilities.gates} gates, {count}, queue of {capabilities.queue_depth}"
    )
    yield passed("controller", f"{status.port}: {words}, speaks our protocol")
    yield _clock_bound(status.state, status.sync_bound_us, config)
    if config is not None:
        yield _fits(config, capabilities.gates, capabilities.has_count)


def _greet(controller: WiredController, clock: Clock) -> str:
    """Poll until ready or the time is up; what keeps the link from advancing, else the last thing said about it.

    A complaint leaves the state as it is, and must not be lost when the port is opened once more.
    """
    deadline_ns = clock.now_ns() + LONGEST_GREETING_NS
    said, complaint, state = "", "", controller.status().state
    while controller.status().state is not LinkState.READY and clock.now_ns() < deadline_ns:
        controller.wait(0.005)
        for reply in controller.poll(clock.now_ns()):
            if isinstance(reply, LinkChanged):
                complaint = reply.detail if reply.state is state else complaint
                said, state = reply.detail, reply.state
    return complaint or said


def _clock_bound(state: LinkState, bound_us: int | None, config: StationConfig | None) -> Finding:
    limit_us = config.link.max_sync_bound_us if config is not None else None
    limit = "" if limit_us is None else f" (link.max_sync_bound_us = {limit_us})"
    if bound_us is None:
        return failed(
            "clock bound", "the clocks could not be compared within 5 s", "check the cable; `station ports ping`"
        )
    if state is LinkState.READY and (limit_us is None or bound_us <= limit_us):
        return passed("clock bound", f"the two clocks agree within {bound_us} us{limit}")
    fix = "an FTDI latency timer of 16 ms, a hub or a loaded computer does this; else raise link.max_sync_bound_us"
    return failed("clock bound", f"the two clocks agree only within {bound_us} us{limit}: it could not be armed", fix)


def _fits(config: StationConfig, gates: int, has_count: bool) -> Finding:
    wanted = len(config.gates)
    if wanted > gates:
        return failed(
            "outputs", f"{wanted} gates are configured, the controller has {gates}", "remove gates or change the board"
        )
    if config.belt.mm_per_count is not None and not has_count:
        fix = "wire the encoder to a board that has one, or remove belt.mm_per_count and give belt.speed_m_s"
        return failed("outputs", "belt.mm_per_count is configured, the controller has no encoder", fix)
    return passed("outputs", f"{wanted} of {gates} outputs are used")


def relay_findings(transport: Transport, config: StationConfig, clock: Clock) -> Iterator[Finding]:
    """What the board answers when it is read for a second; the configuration has a [link.relay] with a watchdog register."""
    try:
        from firmware_bridge.relay_probe import RelayProbe
        from firmware_bridge.relay_session import RelaySettings
    except ImportError as error:
        yield failed("relay board", str(error), "pip install pymodbus")
        return
    from station.commissioning.relay_ping import ask

    assert config.link.relay is not None
    settings = RelaySettings(**config.link.relay.model_dump())
    probe = RelayProbe(settings, len(config.gates) + settings.permit_relay)
    until_ns = clock.now_ns() + ASKED_FOR_NS
    try:
        ask(transport, probe, clock, lambda: clock.now_ns() < until_ns, lambda *_: None)
    except BridgeError as error:
        yield failed("relay board", str(error), "check the port, and that no other program has it open")
        return
    trouble = probe.trouble()
    if trouble:
        fix = "check power, the A and B wires, device_id and baud of [link.relay], and the registers in the board's manual"
        yield failed("relay board", f"{transport.name}: {trouble}", fix)
        return
    slowest_ms = max(probe.trips_us) / 1000
    words = f"answers within {slowest_ms:.0f} ms; its watchdog register holds {probe.watchdog_ms} ms until it is armed"
    yield passed("relay board", f"{transport.name}: {words}")
