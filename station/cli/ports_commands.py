"""`station ports`: find the controller, measure the link, read the wire. Relay boards too, behind `relay:` and the port."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from station.cli import output, relay_ports
from station.cli.demo_commands import seconds
from station.cli.wire_text import Shown
from station.clock import SystemClock
from station.config import RELAY, config_home, find_config, load_config
from station.errors import ControllerError

if TYPE_CHECKING:
    from firmware_bridge.serial_port import PortInfo
    from station.commissioning.link_bench import LinkBench

ports = typer.Typer(no_args_is_help=True, help="Find the controller, measure its link, read what crosses the wire.")

PortArgument = Annotated[
    str, typer.Argument(metavar="PORT", help="Device, VID:PID[:SERIAL], auto, virtual, or relay:DEVICE")
]
BaudFlag = Annotated[int, typer.Option(help="Bits per second; USB boards ignore it")]
LineBaudFlag = Annotated[
    int | None,
    typer.Option(help="Bits per second; default: 1000000, of a relay board that of [link.relay]. USB boards ignore it"),
]
DtrFlag = Annotated[bool, typer.Option("--dtr/--no-dtr", help="Raise DTR; most USB boards send nothing without it")]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout")]
BAUD = 1_000_000


@ports.command("list")
@output.told
def list_ports(as_json: JsonFlag = False) -> None:
    """List the serial ports of this computer, each with the name that stays over a re-plug."""
    from firmware_bridge.serial_port import list_serial_ports

    found = list_serial_ports()
    if as_json:
        output.data_json({"schema": "station.ports/1", "ports": [_port_row(port) for port in found]})
        return
    if not found:
        output.say("No serial port on this computer. Is the board plugged in, with a data cable?")
        return
    rows = [[port.device, _lasting_name(port), port.description] for port in found]
    output.data(output.table(["device", "name for --port", "what it says it is"], rows))
    _say_remedies(found)


@ports.command("find")
@output.told
def find_controller(
    everything: Annotated[bool, typer.Option("--all", help="Greet every USB port, known as a board or not")] = False,
    dtr: DtrFlag = True,
    baud: BaudFlag = BAUD,
    as_json: JsonFlag = False,
) -> None:
    """Greet the boards on USB and say which ones are controllers. Boards that restart on opening will restart.

    Asked are ports with a known identity and those that `link.usb_ids` of the configuration names: others may be a scale or a
    drive, which a greeting could upset.
    """
    from firmware_bridge.discovery import candidates, find
    from firmware_bridge.serial_port import PortSettings, list_serial_ports

    plugged = list_serial_ports()
    asked = [each for each in plugged if each.vid is not None] if everything else candidates(_named_ids(), plugged)
    found = find(SystemClock().now_ns, PortSettings(baud, dtr), asked)
    left = len([each for each in plugged if each.vid is not None]) - len(asked)
    if left > 0:
        output.say(f"{left} USB ports are not known as boards and were not asked; --all asks them too")
    rows = [
        {
            **_port_row(each.port),
            "controller": each.device is not None,
            "uid": each.device.uid if each.device else None,
            "firmware": each.device.firmware if each.device else None,
            "gates": each.device.gates if each.device else None,
            "problem": None if each.device else each.problem,
        }
        for each in found
    ]
    if as_json:
        output.data_json({"schema": "station.ports/1", "ports": rows})
    else:
        head = ["name for --port", "controller", "gates", "uid", "problem"]
        cells = [
            [_lasting_name(f.port), "yes" if f.device else "no", *_known(r)] for f, r in zip(found, rows, strict=True)
        ]
        output.data(output.table(head, cells) if cells else "")
    if not any(each.device for each in found):
        raise ControllerError("no controller answers on any USB port; `station ports list` shows the ports there are")


@ports.command()
@output.told
def ping(
    port: PortArgument = "auto",
    for_: Annotated[str, typer.Option("--for", help="How long to measure")] = "5s",
    bound_us: Annotated[int, typer.Option(min=1, help="Clock bound that would allow arming")] = 500,
    baud: LineBaudFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Talk to the controller without arming it: who it is, round trips, how well its clock is known, and what to mend.

    A relay board is only read: how long an exchange takes, how its relays stand, what its watchdog register holds.
    """
    from firmware_bridge.serial_port import latency_timer_ms, remedy_of

    duration_s = seconds(for_)
    if port.startswith(RELAY):
        relay_ports.ping(port.removeprefix(RELAY), duration_s, baud, as_json)
        return
    with bench_at(port, bound_us, baud or BAUD) as bench:
        bench.until(lambda: bench.controller.capabilities() is not None, 4.0)
        bench.run(duration_s)
        report = _ping_report(bench, bound_us)
        report["latency_timer_ms"] = timer_ms = latency_timer_ms(str(report["port"]))
        report["remedy"] = remedy_of(str(report["port"]), timer_ms)
    if as_json:
        output.data_json(report)
    else:
        output.data(output.table(["what", "value"], [[k, v] for k, v in report.items() if k != "schema"]))
    if report["uid"] is None:
        raise ControllerError(f"{report['port']}: no controller answers; it said: {report['said'] or 'nothing'}")
    if not report["may_arm"]:
        raise ControllerError(f"{report['port']}: may not be armed: {report['said']}")


@ports.command()
@output.told
def monitor(
    source: Annotated[
        str, typer.Argument(metavar="PORT|FILE", help="A port to greet (relay:DEVICE: to read), or a wire capture")
    ],
    for_: Annotated[str | None, typer.Option("--for", help="Stop after this long; default: Ctrl-C")] = None,
    save: Annotated[Path | None, typer.Option(help="Also append the capture to this file (JSONL)")] = None,
    baud: LineBaudFlag = None,
) -> None:
    """Print every message that crosses the wire, one line each. On a port it greets the device but never arms it.

    On a relay board's port it asks for relays and watchdog again and again, and shows questions and answers as Modbus.
    """
    from firmware_bridge.trace import read_capture

    shown = Shown()
    for_s = None if for_ is None else seconds(for_)
    if Path(source).is_file():
        for chunk in read_capture(Path(source)):
            shown(chunk)
    elif source.startswith(RELAY):
        relay_ports.listen(source.removeprefix(RELAY), for_s, baud, save, shown)
    else:
        _listen(source, for_s, baud or BAUD, save, shown)
    shown.say_what_was_no_frame()


def _named_ids() -> tuple[str, ...]:
    """Boards that the configuration of this computer names, if there is one."""
    path = find_config(None, config_home())
    return load_config(path, config_home()).link.usb_ids if path is not None else ()


def bench_at(port: str, bound_us: int, baud: int, tap: Any = None) -> Any:
    """A link bench on that port as a context."""
    from contextlib import contextmanager

    from firmware_bridge.discovery import choose
    from firmware_bridge.serial_port import PortSettings
    from station.commissioning.link_bench import LinkBench, device_at

    @contextmanager
    def opened() -> Any:
        clock, settings = SystemClock(), PortSettings(baud)
        with device_at(port, clock) as device:
            # The twin is an ordinary process on a shared desk: its clock is known as well as the desk allows.
            limit_us = max(bound_us, 20_000) if port == "virtual" else bound_us
            bench = LinkBench(choose(device, clock.now_ns, settings), clock, limit_us, settings, tap)
            try:
                yield bench
            finally:
                bench.close()

    return opened()


def _listen(port: str, for_s: float | None, baud: int, save: Path | None, shown: Shown) -> None:
    from firmware_bridge.trace import CaptureWriter, Chunk

    capture = None if save is None else CaptureWriter(save)

    def tap(now_ns: int, direction: str, data: bytes) -> None:
        if capture is not None:
            capture(now_ns, direction, data)
        shown(Chunk(now_ns, direction, data))

    with bench_at(port, 500, baud, tap) as bench:
        while for_s is None:
            bench.turn()
        bench.run(for_s)
    if capture is not None:
        capture.close()


def _ping_report(bench: "LinkBench", bound_us: int) -> dict[str, Any]:
    from firmware_bridge.messages import LinkChanged, LinkState

    status, capabilities = bench.controller.status(), bench.controller.capabilities()
    trips = bench.session.round_trips
    count = bench.controller.count_at(bench.now_ns())
    said = [reply.detail for reply in bench.heard if isinstance(reply, LinkChanged)]
    return {
        "schema": "station.ping/1",
        "port": status.port,
        "state": status.state.value,
        "uid": capabilities.uid if capabilities else None,
        "firmware": capabilities.firmware if capabilities else None,
        "gates": capabilities.gates if capabilities else None,
        "encoder_counts_per_s": None if count is None else round(count.counts_per_s, 1),
        "round_trip_p50_us": trips.median_us(),
        "round_trip_p99_us": trips.p99_us() if trips.median_us() is not None else None,
        "clock_bound_us": status.sync_bound_us,
        "clock_bound_wanted_us": bound_us,
        "may_arm": status.state is LinkState.READY,
        "crc_errors": status.crc_errors,
        "said": said[-1] if said else "",
    }


def _port_row(port: "PortInfo") -> dict[str, Any]:
    return {
        "device": port.device,
        "name": _lasting_name(port),
        "description": port.description,
        "usb_id": port.usb_id,
        "latency_timer_ms": port.latency_timer_ms,
        "remedy": port.remedy(),
    }


def _lasting_name(port: "PortInfo") -> str:
    return port.by_id or (port.usb_id if port.serial_number and port.usb_id else port.device)


def _known(row: dict[str, Any]) -> list[object]:
    return [row[key] if row[key] is not None else "-" for key in ("gates", "uid", "problem")]


def _say_remedies(found: "list[PortInfo]") -> None:
    for port in found:
        remedy = port.remedy()
        if remedy is not None:
            output.say(remedy)
