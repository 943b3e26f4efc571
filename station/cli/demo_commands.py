"""`station demo`: flags in, run report out. Heavy imports happen inside."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from station.cli.output import INTERRUPTED, data, data_json, say, told
from station.errors import ConfigError

if TYPE_CHECKING:
    from station.config import StationConfig

_SECONDS = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|min|h)?$")
_UNIT_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str, flag: str = "--for") -> float:
    """`20s`, `1.5m`, `250ms`, `2h`, or plain seconds."""
    match = _SECONDS.match(text.strip())
    if match is None or float(match[1]) <= 0:
        raise ConfigError(f"{flag} {text!r}: not a duration. Give for example 20s, 10m or 1h.")
    return float(match[1]) * _UNIT_S[match[2]]


@told
def demo(
    for_: Annotated[str, typer.Option("--for", help="How long to feed: 20s, 10m")] = "60s",
    seed: Annotated[int, typer.Option(min=0, help="Items, places and faults follow from it")] = 1,
    items: Annotated[Path | None, typer.Option(help="ImageFolder of pictures that lie on the belt as cards")] = None,
    feed: Annotated[float | None, typer.Option(help="Items per second in each lane (10)")] = None,
    speed_m_s: Annotated[float | None, typer.Option("--speed-m-s", help="Belt speed (1.0)")] = None,
    cameras: Annotated[int | None, typer.Option(help="Lanes side by side, a camera over each (1)")] = None,
    touching: Annotated[bool, typer.Option("--touching", help="Let items touch")] = False,
    fault: Annotated[list[str] | None, typer.Option(help="NAME@T+S, for example cable@10+5; repeatable")] = None,
    clock: Annotated[str, typer.Option(help="wall or virtual")] = "wall",
    perception: Annotated[str, typer.Option(help="model, or stub: true positions, no pictures")] = "model",
    out: Annotated[Path | None, typer.Option(help="Folder of the raw record")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration instead of the reference line")] = None,
    http: Annotated[str | None, typer.Option(help="Address of the page, or off")] = None,
    display: Annotated[bool, typer.Option("--display", help="Show the overlay in a window")] = False,
    record: Annotated[Path | None, typer.Option(help="Write the overlay as video into this folder")] = None,
    backend: Annotated[str | None, typer.Option(help="Engine that computes the model")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout at the end")] = False,
) -> None:
    """The whole station on a simulated line: belt, camera, items, gates and microcontroller. Nothing is connected."""
    from station.demo import DemoOptions
    from station.demo import demo as run_demo
    from station.screen import ScreenSetup
    from station.simulation.faults import parse_fault
    from station.simulation.lanes import side_by_side
    from station.simulation.line import LineOptions

    if clock not in ("wall", "virtual"):
        raise ConfigError(f"--clock {clock!r}: use wall or virtual.")
    if perception not in ("model", "stub"):
        raise ConfigError(f"--perception {perception!r}: use model or stub.")
    if perception == "stub" and clock == "wall":
        raise ConfigError("--perception stub needs --clock virtual: without pictures there is nothing to time.")
    if display:
        require_display()
    line = LineOptions(seed, seconds(for_), items, touching, tuple(parse_fault(text) for text in fault or ()))
    station_config = _configured(config, feed, speed_m_s, backend)
    require_address(http)
    require_folder("--out", out)
    require_folder("--record", record)
    if cameras is not None:
        station_config = side_by_side(station_config, cameras)
    screen = ScreenSetup(simulated=True, display=display, record=record, http=http)
    report = run_demo(station_config, DemoOptions(line, clock, perception, out, screen, say))
    if as_json:
        data_json(report)
    else:
        data(report_text(report))
    if report["status"] == "interrupted":
        raise typer.Exit(INTERRUPTED)


def require_folder(flag: str, folder: Path | None) -> None:
    """Make it now: a run that cannot write its record must not begin."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{flag} {folder}: cannot be made ({error.strerror}). Name a folder that you may write."
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{flag} {folder}: not yours to write. Name a folder that you may write.")


def require_address(http: str | None) -> None:
    """An address that was named and cannot be had is a wrong word on the command line: said before anything starts."""
    if http in (None, "off"):
        return
    from station.panel.address import listen
    from station.panel.auth import split_address

    listen(*split_address(str(http))).close()


def require_display() -> None:
    import sys

    from station.config import config_home
    from station.panel.window import check_display

    check_display(config_home(), sys.platform)


def _configured(path: Path | None, feed: float | None, speed_m_s: float | None, backend: str | None) -> "StationConfig":
    from station.config import builtin_config, changed, config_home, load_config

    config = load_config(path, config_home()) if path is not None else builtin_config("virtual", config_home())
    changes: dict[str, Any] = {}
    virtual = {key: value for key, value in (("feed_per_s", feed), ("speed_m_s", speed_m_s)) if value is not None}
    if virtual:
        changes["virtual"] = virtual
    if backend is not None:
        changes["recognition"] = {"backend": backend}
    return changed(config, **changes) if changes else config


def report_text(report: dict[str, Any]) -> str:
    """The run report for a person: a dozen lines."""
    from station.datatypes import ms_in_words

    items, frames = report["items"], report["frames"]
    lines = [
        f"{report['status']} after {report['duration_s']:.1f} s, {report['backend']} on {report['device']}",
        f"items      {items['total']}: " + ", ".join(f"{count} {name}" for name, count in items["by_outcome"].items()),
    ]
    for key in ("missed_by_reason", "unconfirmed_by_reason"):
        if items[key]:
            lines.append(f"  {key.split('_')[0]}: " + ", ".join(f"{n} {why}" for why, n in items[key].items()))
    lines.append(
        f"ledger     {'balanced' if report['ledger_balanced'] else 'NOT BALANCED'}, in flight {items['in_flight']}"
    )
    lines.append(
        f"frames     {frames['processed']} of {frames['captured']}, {frames['dropped']} dropped, {frames['stale']} stale"
    )
    if report["late_fires"] is None:
        lines.append("fires      not judged: only the simulated line says what its outputs did")
    else:
        lines.append(f"fires      {report['late_fires']} late, {report['wrong_fires']} wrong")
    if report.get("latency_ms"):
        scheduled = report["latency_ms"]["capture_to_scheduled"]
        p50, p99 = (ms_in_words(scheduled[key], 1) for key in ("p50", "p99"))
        lines.append(f"latency    capture to scheduled {p50} ms p50, {p99} ms p99")
    truth = report.get("truth")
    if truth:
        stalls = truth.get("device_stalls")
        if stalls and stalls["edges_made_up"]:
            lines.append(
                f"           the simulated device was kept waiting {stalls['stalls']} times, at most "
                f"{stalls['longest_ms']} ms; {stalls['edges_made_up']} of {stalls['edges']} edges were made up for"
            )
        lines.append(
            "truth      "
            + ", ".join(
                f"{key.replace('_', ' ')} {_share(truth[key])}" for key in ("purity", "recovery", "false_eject_rate")
            )
        )
        lines.append(
            f"           fed {truth['fed']}, unseen {truth['unseen']}, merged {truth['merged']}, split {truth['split']}, "
            f"phantom {truth['phantom']}, co-ejected {truth['co_ejected']}, misaimed {truth['misaimed']}"
        )
        if truth.get("model_alone"):
            alone = truth["model_alone"]
            lines.append(
                f"           model alone: purity {_number(alone['purity'])}, recovery {_number(alone['recovery'])}"
            )
    return "\n".join(lines)


def _share(value: dict[str, Any]) -> str:
    if value["n"] == 0:
        return "none"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
