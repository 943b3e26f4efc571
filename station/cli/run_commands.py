"""`station run`: flags in, run report out. Heavy imports happen inside."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from station.cli.demo_commands import report_text, require_address, require_display, require_folder, seconds
from station.cli.output import INTERRUPTED, data, data_json, say, told
from station.errors import ConfigError

if TYPE_CHECKING:
    from station.screen import ScreenSetup


@told
def run(
    camera: Annotated[
        list[str] | None, typer.Option(help="Index, /dev path, file, folder, URL or virtual; repeatable")
    ] = None,
    port: Annotated[str | None, typer.Option(help="Device, auto or virtual")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration; else the usual places are searched")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide and record, send nothing")] = False,
    display: Annotated[bool, typer.Option("--display", help="Show the overlay in a window")] = False,
    http: Annotated[str | None, typer.Option(help="Address of the page, or off")] = None,
    wait_for_start: Annotated[
        bool, typer.Option("--wait-for-start", help="Stand ready until a person starts (page, or `station start`)")
    ] = False,
    for_: Annotated[str | None, typer.Option("--for", help="Stop after: 60s, 10m")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the raw record")] = None,
    record: Annotated[Path | None, typer.Option(help="Write the overlay as video into this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout at the end")] = False,
) -> None:
    """Sort: look at the belt, classify every item, and send the diverts. Observes only when there is no configuration."""
    from station.config import config_home, find_config, load_config
    from station.outputs.systemd import Systemd
    from station.run import RunOptions, known_sources
    from station.run import run as run_station
    from station.screen import ScreenSetup

    environ = config_home()
    path = find_config(config, environ)
    sources = known_sources(camera or [])
    for_s = seconds(for_) if for_ is not None else None
    if display:
        require_display()
    require_address(http)
    require_folder("--out", out)
    require_folder("--record", record)
    simulated = "virtual" in sources
    screen = ScreenSetup(simulated=simulated, display=display, record=record, http=http)
    if simulated:
        if dry_run:
            raise ConfigError(
                "--camera virtual --dry-run: the simulated line moves simulated gates only. Leave --dry-run out."
            )
        if wait_for_start:
            raise ConfigError("--camera virtual --wait-for-start: a simulated line starts at once. Leave it out.")
        report = _on_virtual_line(path, len(sources), port, for_s, out, screen)
        interrupted = report["status"] == "interrupted"
    else:
        if path is None:
            say("no configuration: observing only, NO DIVERTS SENT (`station config init` writes one)")
        elif dry_run:
            say("dry run: NO DIVERTS SENT")
        loaded = load_config(path, environ) if path is not None else None
        report, interrupted = run_station(
            RunOptions(sources, loaded, port, dry_run, for_s, out, screen, not wait_for_start, Systemd(environ)), say
        )
    if as_json:
        data_json(report)
    else:
        data(report_text(report))
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _on_virtual_line(
    path: Path | None, lanes: int, port: str | None, for_s: float | None, out: Path | None, screen: "ScreenSetup"
) -> dict[str, Any]:
    from station.config import builtin_config, config_home, load_config
    from station.demo import DemoOptions, demo
    from station.simulation.lanes import side_by_side
    from station.simulation.line import LineOptions

    if port not in (None, "virtual"):
        raise ConfigError(
            f"--camera virtual --port {port}: a simulated belt moves simulated gates only. Use --port virtual."
        )
    config = load_config(path, config_home()) if path is not None else builtin_config("virtual", config_home())
    config = side_by_side(config, lanes)
    return demo(config, DemoOptions(LineOptions(for_s=for_s or 60.0), out=out, screen=screen, say=say))
