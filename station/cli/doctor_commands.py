"""`station doctor`: everything that can be wrong before a shift, each with its fix. Exit 1 when something fails."""

from pathlib import Path
from typing import Annotated

import typer

from station.cli import output
from station.clock import SystemClock
from station.config import RecordConfig, config_home, find_config, load_config
from station.errors import ConfigError


@output.told
def doctor(
    config: Annotated[Path | None, typer.Option("--config", help="Configuration file; default: the one found")] = None,
    camera: Annotated[list[str] | None, typer.Option("--camera", help="Source to look at; repeatable")] = None,
    port: Annotated[str | None, typer.Option("--port", help="Controller to greet: device, auto or virtual")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout")] = False,
) -> None:
    """Check everything a shift depends on; each finding comes with its fix."""
    from station.commissioning.doctor import Examination, examine
    from station.commissioning.findings import Verdict, as_text, worst

    asked = Examination(SystemClock(), config_home(), config, tuple(camera or ()), port)
    findings = []
    for finding in examine(asked):
        findings.append(finding)
        if not as_json:
            output.data(as_text([finding]))
    verdict = worst(findings)
    if as_json:
        answer = {"schema": "station.doctor/1", "verdict": verdict.value, "findings": [f.to_json() for f in findings]}
        output.data_json(answer)
    else:
        counts = {each: sum(f.verdict is each for f in findings) for each in Verdict}
        output.say(", ".join(f"{count} {each.value}" for each, count in counts.items()))
    if verdict is Verdict.FAIL:
        raise typer.Exit(output.CHECK_FAILED)


@output.told
def support_bundle(
    out: Annotated[Path, typer.Option(help="Zip to write; an existing one is not overwritten")] = Path(
        "station-support.zip"
    ),
    config: Annotated[Path | None, typer.Option("--config", help="Configuration file; default: the one found")] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Record directory; default: the configuration's")
    ] = None,
) -> None:
    """Zip versions, configuration without secrets, doctor's findings, last reports and events. No pictures, no tokens."""
    from station.commissioning.doctor import Examination, examine
    from station.commissioning.support_bundle import pieces, write_bundle

    if out.exists():
        raise ConfigError(f"{out}: exists already; give another name with --out")
    environ = config_home()
    output.say("examining this computer...")
    findings = list(examine(Examination(SystemClock(), environ, config)))
    path, records = _places(config, directory, environ)
    contents = list(pieces(path, records, findings))
    write_bundle(out, contents)
    output.data(str(out))
    for piece in contents:
        output.say(f"  {piece.name}: {len(piece.content)} bytes")
    output.say("Look into it before you send it. Camera passwords and tokens are taken out.")


def _places(config: Path | None, directory: Path | None, environ: dict[str, str]) -> tuple[Path | None, Path]:
    """Configuration file and record directory; a broken configuration is when a bundle is needed most."""
    default = directory or Path(RecordConfig().directory)
    try:
        path = find_config(config, environ)
    except ConfigError:
        return None, default
    try:
        configured = Path(load_config(path, environ).record.directory) if path is not None else default
    except ConfigError:
        configured = default
    return path, directory or configured
