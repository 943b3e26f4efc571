"""`station ports ping` and `monitor` for a relay board: reads it over Modbus RTU and never switches or programs anything."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station.cli import output
from station.cli.wire_text import Shown, modbus_wanted
from station.clock import SystemClock
from station.config import StationConfig, config_home, find_config, load_config
from station.errors import ControllerError

if TYPE_CHECKING:
    from firmware_bridge.link import WireTap
    from firmware_bridge.relay_probe import RelayProbe

RELAYS_UNCONFIGURED = 8


def ping(port: str, for_s: float, baud: int | None, as_json: bool) -> None:
    """Raises ControllerError when nobody answers, or what answers could never be armed."""
    probe = _probe(baud)
    report = _asked(port, probe, for_s, lambda *_: None)
    if as_json:
        output.data_json(report)
    else:
        output.data(output.table(["what", "value"], [[k, v] for k, v in report.items() if k != "schema"]))
        output.say(
            "Timed by this computer: a relay is known to have switched one round trip after it was told. Slow flaps only."
        )
    if not report["may_arm"]:
        raise ControllerError(f"relay:{port}: {report['said']}")


def listen(port: str, for_s: float | None, baud: int | None, save: Path | None, shown: Shown) -> None:
    with modbus_wanted():
        from firmware_bridge.trace import MODBUS, CaptureWriter, Chunk

    capture = None if save is None else CaptureWriter(save, MODBUS)

    def tap(now_ns: int, direction: str, data: bytes) -> None:
        if capture is not None:
            capture(now_ns, direction, data)
        shown(Chunk(now_ns, direction, data, MODBUS))

    try:
        _asked(port, _probe(baud), for_s, tap)
    finally:
        if capture is not None:
            capture.close()


def _asked(port: str, probe: "RelayProbe", for_s: float | None, tap: "WireTap") -> dict[str, Any]:
    from firmware_bridge.serial_port import PortSettings, SerialTransport
    from station.commissioning.relay_ping import ask, report

    transport = SerialTransport(port, PortSettings(probe.settings.baud))
    ask(transport, probe, SystemClock(), _for(for_s), tap)
    return report(port, probe)


def _for(for_s: float | None) -> Callable[[], bool]:
    clock = SystemClock()
    begun_ns = clock.now_ns()
    return lambda: for_s is None or clock.now_ns() - begun_ns < for_s * 1e9


def _probe(baud: int | None) -> "RelayProbe":
    """As the configuration of this computer describes the board; without one as most boards come from their maker."""
    with modbus_wanted():
        from firmware_bridge.relay_probe import RelayProbe
        from firmware_bridge.relay_session import RelaySettings

    path = find_config(None, config_home())
    config = load_config(path, config_home()) if path is not None else None
    known = config.link.relay if config is not None else None
    if known is None:
        output.say("No [link.relay] in a configuration: asked as device 1, 8 relays from coil 0, no watchdog register.")
    values = {} if known is None else known.model_dump()
    settings = RelaySettings(**(values | ({} if baud is None else {"baud": baud})))
    return RelayProbe(settings, _relays(config, settings.permit_relay) if config and known else RELAYS_UNCONFIGURED)


def _relays(config: StationConfig, permit: bool) -> int:
    return len(config.gates) + permit or RELAYS_UNCONFIGURED
