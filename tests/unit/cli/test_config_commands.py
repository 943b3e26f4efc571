"""`station config` as a person meets it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from station.cli.config_commands import app


def config(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STATION_CONFIG", raising=False)


def test_init_writes_a_valid_file_and_says_what_comes_next() -> None:
    result = config("init")
    assert (result.exit_code, result.stdout) == (0, "station.toml\n")
    assert "DECIDE" in result.stderr
    assert config("validate", "station.toml").exit_code == 0


def test_init_never_overwrites_unasked() -> None:
    Path("station.toml").write_text("mine")
    result = config("init")
    assert result.exit_code == 2
    assert Path("station.toml").read_text() == "mine"
    assert "--force" in result.stderr
    assert config("init", "--force").exit_code == 0
    assert Path("station.toml").read_text() != "mine"


def test_init_into_a_missing_folder_is_one_line() -> None:
    result = config("init", "absent/station.toml")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_show_says_where_each_value_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    config("init")
    monkeypatch.setenv("STATION_BELT__MAX_SPEED_M_S", "0.75")
    answer = json.loads(config("show", "--origin", "--json").stdout)
    assert answer["schema"] == "station.config/1"
    assert answer["file"] == "station.toml"
    keys = ("belt.max_speed_m_s", "belt.width_mm", "detector.min_item_mm", "cameras.0.fps", "sort.bins.product.gates")
    shown = {key: (answer["values"][key], answer["origin"][key]) for key in keys}
    assert shown == {
        "belt.max_speed_m_s": (0.75, "STATION_BELT__MAX_SPEED_M_S"),
        "belt.width_mm": (600.0, "file"),
        "detector.min_item_mm": (25, "default"),
        "cameras.0.fps": (30.0, "file"),
        "sort.bins.product.gates": ([0, 1, 2, 3, 4, 5, 6, 7], "file"),
    }
    assert "STATION_BELT__MAX_SPEED_M_S" in config("show", "--origin").stdout


def test_show_without_any_file_says_where_it_looked() -> None:
    result = config("show")
    assert result.exit_code == 2
    assert "station.toml" in result.stderr
    assert "config init" in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "belt: missing", id="empty"),
        pytest.param("belt = 3", "belt = 3", id="not a section"),
        pytest.param("[belt\n", "not valid TOML", id="not TOML"),
    ],
)
def test_validate_ends_2_with_words(text: str, words: str) -> None:
    Path("bad.toml").write_text(text)
    result = config("validate", "bad.toml", "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_validate_of_no_file_and_of_wrong_flags_ends_2() -> None:
    absent = config("validate", "absent.toml")
    assert (absent.exit_code, "no such configuration file" in absent.stderr) == (2, True)
    assert config("validate").exit_code == 2
    assert config("validate", "a", "--jason").exit_code == 2


def test_validate_refuses_gates_too_near_with_the_arithmetic() -> None:
    config("init")
    text = Path("station.toml").read_text().replace("at_mm = 1375.0", "at_mm = 350.0")
    Path("near.toml").write_text(text)
    result = config("validate", "near.toml")
    assert result.exit_code == 2
    assert "1 m/s x (latency 100 + lead 30 + valve 12 + margin 50 = 192 ms)" in result.stderr


def test_schema_lists_every_key_with_range_and_default() -> None:
    lines = {line.split()[0]: line for line in config("schema").stdout.splitlines()}
    assert "> 0, <= 5000" in lines["belt.width_mm"]
    assert "(required)" in lines["sort.unactuated_bin"]
    assert "0 | 1" in lines["gate.N.safe_level"]
    assert "sort.labels.NAME.threshold" in lines
    assert "properties" in json.loads(config("schema", "--json").stdout)
