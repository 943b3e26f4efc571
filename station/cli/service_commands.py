"""`station service install|status|logs`: the station under systemd."""

import getpass
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from station.cli import output
from station.errors import ConfigError, StationError

service = typer.Typer(no_args_is_help=True, help="The station as a service of systemd: install, status, logs.")


@service.command()
@output.told
def install(
    camera: Annotated[list[str] | None, typer.Option(help="As for run; repeatable")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration; else the usual places are searched")] = None,
    user: Annotated[str | None, typer.Option(help="Whose service; default you, or who called sudo")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the unit, write nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Write the systemd unit: it is shown first, then asked for. Enabling it is left to you."""
    from station.commissioning.service_unit import PLACE, Service, unit_text
    from station.config import config_home, find_config, load_config
    from station.run import known_sources

    sources = known_sources(camera or [])
    if "virtual" in sources:
        raise ConfigError("--camera virtual: a simulated line is nothing to keep running. Name the plant's camera.")
    environ = config_home()
    path = find_config(config, environ)
    if path is None:
        raise ConfigError("a service needs a configuration: `station config init` writes one to start from.")
    starts_itself = load_config(path, environ).link.auto_rearm is True
    text = unit_text(
        Service(
            python=Path(sys.executable),
            config=path.resolve(),
            sources=sources,
            user=user or environ.get("SUDO_USER") or getpass.getuser(),
            directory=Path.cwd(),
            starts_itself=starts_itself,
        )
    )
    output.data(text)
    if starts_itself:
        output.say("link.auto_rearm is true: after a power cut or a crash the line starts by itself.")
    else:
        output.say(
            "link.auto_rearm is not true: the station comes up and waits for START (the page or `station start`)."
        )
    if dry_run or not output.confirmed(f"Write {PLACE}?", yes):
        return
    _write(PLACE, text)
    output.say(f"{PLACE} is written. Now: systemctl daemon-reload && systemctl enable --now {PLACE.stem}")


@service.command()
@output.told
def status() -> None:
    """What systemd says of the service, with the station's own line. Exit codes are systemctl's: 3 when it does not run."""
    _hand_over("systemctl", "status", "--no-pager", "station")


@service.command()
@output.told
def logs(
    follow: Annotated[bool, typer.Option("--follow", help="Go on showing what comes")] = False,
    lines: Annotated[int, typer.Option(min=1, help="How many of the last")] = 100,
) -> None:
    """What the service said."""
    _hand_over("journalctl", "--unit", "station", f"--lines={lines}", *(["--follow"] if follow else ["--no-pager"]))


def _hand_over(program: str, *words: str) -> None:
    if shutil.which(program) is None:
        raise StationError(f"{program} is not here: this computer does not run systemd. `station run` needs none.")
    raise typer.Exit(subprocess.run([program, *words], check=False).returncode)


def _write(place: Path, text: str) -> None:
    try:
        place.write_text(text)
    except PermissionError:
        raise ConfigError(f"{place}: not yours to write. Call it with sudo.") from None
    except FileNotFoundError:
        raise ConfigError(f"{place.parent}: not there, so this computer does not run systemd.") from None
