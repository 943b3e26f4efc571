"""Everything that can be wrong before a shift, each with its fix. Runs the checks in the order a start would meet them.

A check whose ground is missing (a camera without OpenCV) is left out: its cause already stands in the list.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from firmware_bridge.serial_port import PortSettings, SerialTransport
from station.clock import Clock
from station.commissioning.broker_check import broker_findings
from station.commissioning.config_checks import config_findings, read_config
from station.commissioning.findings import Finding, Verdict, failed, passed, warned
from station.commissioning.host_checks import (
    disk_space,
    engines,
    history,
    opencv_library,
    page_address,
    port_grabbers,
    record_directory,
)
from station.commissioning.port_checks import (
    candidates,
    controller_findings,
    open_controller,
    port_findings,
    relay_findings,
)
from station.config import RELAY, StationConfig


@dataclass(frozen=True, slots=True)
class Examination:
    """What doctor was asked to look at."""

    clock: Clock
    environ: dict[str, str]
    config_flag: Path | None = None
    cameras: Sequence[str] = field(default=())
    port: str | None = None  # None: the configured one, if any


def examine(asked: Examination) -> Iterator[Finding]:
    """One finding after the other, as they are found: a person watches."""
    opencv = opencv_library()
    yield opencv
    torch_is_well = True
    for finding in engines():
        torch_is_well &= finding.verdict is not Verdict.FAIL
        yield finding
    config, finding = read_config(asked.config_flag, asked.environ)
    yield finding
    if opencv.verdict is not Verdict.FAIL:
        yield from _with_opencv(asked, config, torch_is_well)
    yield from _port(asked, config)
    yield port_grabbers()
    if config is not None:
        directory = Path(config.record.directory)
        yield record_directory(directory)
        yield disk_space(directory, config.record.keep_gib)
        yield history(directory)
        yield page_address(config.panel.http)
        yield from broker_findings(config.mqtt, asked.clock)


def _with_opencv(asked: Examination, config: StationConfig | None, torch_is_well: bool) -> Iterator[Finding]:
    from station.commissioning.camera_checks import camera_findings, cameras_unseen

    if config is not None:
        yield from config_findings(config)
    if not asked.cameras:
        yield cameras_unseen(config)
    for number, source in enumerate(asked.cameras):
        if source == "virtual":
            yield passed("camera", "virtual: simulated, nothing to check")
            continue
        its_own = config.cameras[number] if config is not None and number < len(config.cameras) else None
        yield from camera_findings(source, asked.clock, its_own)
    if torch_is_well:
        from station.commissioning.model_checks import model_findings

        yield from model_findings(config)


def _port(asked: Examination, config: StationConfig | None) -> Iterator[Finding]:
    port = asked.port or (config.link.port if config is not None else None)
    if port is None:
        yield warned(
            "port", "no controller was looked at: neither --port nor link.port names one", "doctor --port auto"
        )
        return
    if port == "virtual":
        yield _virtual_core()
        return
    if port.startswith(RELAY):
        yield from _relay_port(port.removeprefix(RELAY), config, asked.clock)
        return
    ports = candidates(port)
    if not ports:
        yield failed("port", "auto: no USB serial port is plugged in", "plug the controller in; `station ports list`")
    for each in ports:
        findings = list(port_findings(each))
        yield from findings
        if all(finding.verdict is not Verdict.FAIL for finding in findings):
            with closing(open_controller(each, config)) as controller:
                yield from controller_findings(controller, asked.clock, config)


def _relay_port(port: str, config: StationConfig | None, clock: Clock) -> Iterator[Finding]:
    """The board is asked when nothing else speaks against it, and then only read."""
    findings = [*port_findings(port), _relay_board(config)]
    yield from findings
    relay = config.link.relay if config is not None else None
    if config is None or relay is None or any(finding.verdict is Verdict.FAIL for finding in findings):
        return
    yield from relay_findings(SerialTransport(port, PortSettings(relay.baud)), config, clock)


def _relay_board(config: StationConfig | None) -> Finding:
    """What the configuration says of it."""
    relay = config.link.relay if config is not None else None
    if relay is None:
        return failed(
            "relay board", "there is no [link.relay]", "add it: watchdog_register, device_id, baud, first_coil"
        )
    if relay.watchdog_register is None:
        fix = "link.relay.watchdog_register from the board's manual; a board without a watchdog cannot be used"
        return failed("relay board", "no watchdog register: it will never be armed", fix)
    return passed("relay board", f"watchdog at register {relay.watchdog_register}; gates are timed by this computer")


def _virtual_core() -> Finding:
    from firmware_bridge.errors import CoreMissing
    from firmware_bridge.firmware.load import load_core

    try:
        load_core()
    except CoreMissing as error:
        return failed("port", f"virtual: {error}", "install a C compiler and install the package again")
    return passed("port", "virtual: the firmware core is built in")
