"""`station service`: the unit is shown before it is written, and what cannot be a service is refused."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from station.cli.root import app
from station.commissioning import service_unit
from station.config import builtin_text


def asked(*words: object) -> Result:
    return CliRunner().invoke(app, ["service", *map(str, words)])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "line.toml"
    path.write_text(builtin_text("station"))
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "system" / "station.service"
    monkeypatch.setattr(service_unit, "PLACE", place)
    return place


def test_a_dry_run_shows_the_unit_and_writes_nothing(config: Path, place: Path) -> None:
    place.parent.mkdir()
    shown = asked("install", "--camera", 0, "--config", config, "--user", "plant", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert f"--config {config} --camera 0" in shown.stdout
    assert "User=plant" in shown.stdout
    assert not place.exists()


@pytest.mark.parametrize(
    ("auto_rearm", "said"),
    [("true", "the line starts by itself"), ("false", "waits for START")],
)
def test_who_starts_the_line_is_said(config: Path, place: Path, auto_rearm: str, said: str) -> None:
    config.write_text(with_auto_rearm(config.read_text(), auto_rearm))
    shown = asked("install", "--camera", 0, "--config", config, "--dry-run")
    assert said in shown.stderr
    assert ("--wait-for-start" in shown.stdout) is (auto_rearm == "false")


def with_auto_rearm(text: str, value: str) -> str:
    lines = [
        f"auto_rearm = {value}" if line.lstrip("# ").startswith("auto_rearm =") else line for line in text.splitlines()
    ]
    assert f"auto_rearm = {value}" in lines
    return "\n".join(lines)


def test_it_is_written_when_the_answer_is_yes(config: Path, place: Path) -> None:
    place.parent.mkdir()
    shown = asked("install", "--camera", 0, "--config", config, "--yes")
    assert shown.exit_code == 0, shown.stderr
    assert place.read_text() == shown.stdout
    assert "systemctl enable --now station" in shown.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--camera", "virtual"], "nothing to keep running", id="a simulated line"),
        pytest.param([], "--camera is missing", id="no camera"),
        pytest.param(["--camera", "0", "--yes"], "does not run systemd", id="no systemd"),
    ],
)
def test_what_cannot_be_a_service_is_refused(config: Path, place: Path, words: list[str], said: str) -> None:
    refused = asked("install", "--config", config, *words)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_without_a_configuration_there_is_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    refused = asked("install", "--camera", 0)
    assert refused.exit_code == 2
    assert "station config init" in refused.stderr


@pytest.mark.parametrize("words", [["status"], ["logs"]])
def test_on_a_computer_without_systemd_it_says_so(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setenv("PATH", "")
    refused = asked(*words)
    assert refused.exit_code == 1
    assert "does not run systemd" in refused.stderr
