"""`station doctor` end to end on this computer: real libraries, real model, made-up configuration."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from station.cli.doctor_commands import doctor
from station.config import builtin_text

app = typer.Typer()
app.command()(doctor)


def examined(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpreters of their own and the model have their own tests; here they would take half a minute."""
    from station.commissioning import doctor as checks
    from station.commissioning.findings import passed

    monkeypatch.setattr(checks, "opencv_library", lambda: passed("opencv", "here"))
    monkeypatch.setattr(checks, "engines", lambda: iter([passed("torch", "here")]))
    monkeypatch.setattr(
        "station.commissioning.model_checks.model_findings", lambda config: iter([passed("model", "here")])
    )


def template(tmp_path: Path, old: str = "", new: str = "") -> Path:
    path = tmp_path / "station.toml"
    path.write_text(builtin_text("station").replace('"/var/lib/station"', f'"{tmp_path}"').replace(old, new or old))
    return path


def test_a_good_line_passes(tmp_path: Path) -> None:
    result = examined("--config", template(tmp_path), "--port", "virtual", "--camera", "virtual", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 0, result.stdout
    assert answer["schema"] == "station.doctor/1"
    assert {"geometry", "unactuated bin", "model", "disk", "port", "camera"} <= {f["check"] for f in answer["findings"]}


@pytest.mark.parametrize(
    ("args", "check"),
    [
        pytest.param(["--config", "{bad}"], "configuration", id="bad configuration"),
        pytest.param(["--config", "absent.toml"], "configuration", id="no such file"),
        pytest.param(["--config", "{near}"], "geometry", id="gates too near"),
        pytest.param(["--config", "{good}", "--camera", "/dev/video99"], "camera", id="no camera"),
        pytest.param(["--config", "{good}", "--port", "/dev/ttyACM99"], "port", id="no port"),
    ],
)
def test_a_failing_check_exits_1_with_its_fix(tmp_path: Path, args: list[str], check: str) -> None:
    places = {}
    for name, old, new in (("good", "", ""), ("bad", "width_mm = 600.0", "width_mm = -1"), ("near", "1375.0", "350.0")):
        (tmp_path / name).mkdir()
        places[name] = template(tmp_path / name, old, new)
    result = examined(*(arg.format(**places) for arg in args), "--json")
    assert result.exit_code == 1
    failing = {f["check"]: f for f in json.loads(result.stdout)["findings"] if f["verdict"] == "fail"}
    assert failing[check]["fix"]


def test_what_was_not_looked_at_is_said(tmp_path: Path) -> None:
    config = template(tmp_path, 'port = "auto"', "")
    answer = json.loads(examined("--config", config, "--json").stdout)
    found = {f["check"]: f for f in answer["findings"]}
    assert found["camera"]["verdict"] == "warn"
    assert "looked at" in found["camera"]["message"]
    assert found["camera"]["fix"]
    assert {"history", "page"} <= set(found)


def test_for_people_each_finding_is_a_line_with_its_verdict(tmp_path: Path) -> None:
    result = examined("--config", template(tmp_path), "--port", "virtual")
    assert "pass  geometry: camera camera0" in result.stdout
    assert " pass, " in result.stderr
