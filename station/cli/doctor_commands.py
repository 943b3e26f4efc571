"""`station doctor`: everything that can be wrong before a shift, each with its fix. Exit 1 when something fails."""

from pathlib import Path
from typing import Annotated

import typer

from station.cli import output
from station.clock import SystemClock
from station.config import config_home


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
