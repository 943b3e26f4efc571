"""Errors end a command with one line and the right exit code; data and messages keep apart."""

import errno
import json

import pytest
import typer
from typer.testing import CliRunner

from firmware_bridge.errors import PortError
from station.cli import output
from station.errors import CameraError, CameraLost, ConfigError, ControllerError, ModelError, StationError

CASES = [
    (StationError("something"), 1),
    (ConfigError("belt.width_mm = -1"), 2),
    (CameraError("no such camera"), 3),
    (CameraLost("gone"), 3),
    (ControllerError("wrong firmware"), 4),
    (PortError("/dev/ttyACM0: no permission"), 4),
    (ModelError("damaged"), 5),
    (OSError(errno.ENOSPC, "No space left on device", "history.db"), 1),
    (KeyboardInterrupt(), 130),
]


def program(error: BaseException | None) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @output.told
    def act() -> None:
        output.data("asked for")
        output.say("by the way")
        if error is not None:
            raise error

    return app


@pytest.mark.parametrize(("error", "code"), CASES, ids=lambda value: type(value).__name__)
def test_an_error_is_one_line_on_stderr_and_an_exit_code(error: BaseException, code: int) -> None:
    result = CliRunner().invoke(program(error), [])
    assert result.exit_code == code
    assert result.stdout == "asked for\n"
    *_, last = result.stderr.splitlines()
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert str(error) in last or isinstance(error, (OSError, KeyboardInterrupt))


def test_an_os_error_names_the_file_and_not_the_number() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "history.db")
    assert CliRunner().invoke(program(error), []).stderr.endswith("station: history.db: No space left on device\n")


def test_a_defect_of_ours_is_not_dressed_up_as_the_persons_mistake() -> None:
    assert isinstance(CliRunner().invoke(program(ZeroDivisionError()), []).exception, ZeroDivisionError)


def test_json_is_one_object_and_never_nan(capsys: pytest.CaptureFixture[str]) -> None:
    output.give({"a": [1, None]}, "text", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        output.data_json({"rate": float("nan")})


def test_without_a_terminal_a_question_is_answered_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert output.confirmed("Write?", yes=False) is False
    assert "--yes" in capsys.readouterr().err
    assert output.confirmed("Write?", yes=True) is True


def test_columns_line_up() -> None:
    assert output.table(["a", "bbb"], [["long", 1], ["x", 22]]).splitlines() == ["a     bbb", "long  1", "x     22"]
