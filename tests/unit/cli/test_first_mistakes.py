"""What a new user gets wrong: each mistake is one clear line with a way out, under its exit code, and never a traceback."""

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from station.cli.root import app

USAGE, CAMERA, MODEL = 2, 3, 5
NOTED = "no configuration: observing only, NO DIVERTS SENT (`station config init` writes one)"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))  # no station of this computer is found, and no configuration
    (tmp_path / "a-file").write_text("no folder")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(["run"], USAGE, "--camera is missing: an index, a /dev path", id="no camera"),
        pytest.param(
            ["run", "--camera", "99"], CAMERA, "`station cameras list` shows what is there", id="no such index"
        ),
        pytest.param(
            ["run", "--camera", "/dev/nothing"], CAMERA, "no such device. `station cameras list`", id="no device"
        ),
        pytest.param(["run", "--camera", "nothing.mp4"], CAMERA, "no such file, folder or device", id="no such file"),
        pytest.param(
            ["run", "--camera", "virtual", "--port", "/dev/ttyUSB0"], USAGE, "Use --port virtual", id="two worlds"
        ),
        pytest.param(
            ["run", "--camera", "virtual", "--wait-for-start"], USAGE, "starts at once. Leave it out", id="waits"
        ),
        pytest.param(
            ["run", "--camera", "0", "--out", "a-file/x"], USAGE, "Name a folder that you may write", id="out"
        ),
        pytest.param(["demo", "--for", "x"], USAGE, "Give for example 20s, 10m or 1h", id="no duration"),
        pytest.param(["demo", "--for", "0s"], USAGE, "Give for example 20s, 10m or 1h", id="nothing"),
        pytest.param(
            ["demo", "--fault", "fire@3"], USAGE, "expected NAME@T+S (such as belt-stop@10+5)", id="no such fault"
        ),
        pytest.param(
            ["demo", "--record", "a-file"], USAGE, "--record a-file: cannot be made (File exists)", id="record"
        ),
        pytest.param(
            ["demo", "--http", "nowhere"], USAGE, "give HOST:PORT (for example 127.0.0.1:8384)", id="no address"
        ),
        pytest.param(["demo", "--config", "nothing.toml"], USAGE, "Give a readable TOML file", id="no configuration"),
        pytest.param(["report"], USAGE, "Run the station first, or name its record directory", id="no history"),
        pytest.param(["events"], USAGE, "Run the station first, or name its record directory", id="no events"),
        pytest.param(
            ["evaluate", "nothing", "nothing"], MODEL, "a .safetensors file written by `station train`", id="model"
        ),
        pytest.param(["status"], 1, "Start one with `station run`, or give --http", id="nobody to ask"),
        pytest.param(["stop"], 1, "Start one with `station run`, or give --http", id="nobody to stop"),
    ],
)
def test_a_mistake_is_one_line_with_a_way_out(words: list[str], code: int, said: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)
    lines = [line for line in result.stderr.splitlines() if line != NOTED]
    assert len(lines) == 1
    assert lines[0].startswith("station: ")
    assert said in lines[0]
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["report", "nothing"], "unexpected extra argument", id="one word too many"),
        pytest.param(["calibrate", "belt"], "Missing option '--camera'", id="no camera"),
        pytest.param(["demo", "--seed", "x"], "should be a valid integer", id="no number"),
        pytest.param(["demonstrate"], "No such command", id="no such command"),
    ],
)
def test_what_the_command_line_itself_refuses_points_to_the_help(words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == USAGE
    assert said in result.stderr
    assert "--help" in result.stderr


@pytest.mark.parametrize("words", [["demo"], ["run", "--camera", "pictures"]])
def test_an_address_that_another_station_has_is_said_before_anything_starts(words: list[str], tmp_path: Path) -> None:
    """Slow: the page of a station that is just ending is given its seconds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = CliRunner().invoke(app, [*words, "--http", address])
    assert result.exit_code == USAGE
    assert f"{address}: Address already in use. Give another address with --http" in result.stderr
    assert not (tmp_path / "station-runs").exists()
