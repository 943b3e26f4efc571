"""`station cameras` on a computer without cameras and on a folder of pictures."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from station.cli.camera_commands import app
from station.config import builtin_text


def cameras(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), np.full((48, 64, 3), 90 + number, np.uint8))
    return tmp_path / "pictures"


def test_list_is_json_for_programs() -> None:
    answer = json.loads(cameras("list", "--json").stdout)
    assert answer["schema"] == "station.cameras/1"
    assert isinstance(answer["cameras"], list)


def test_probe_gives_the_figures(folder: Path) -> None:
    answer = json.loads(cameras("probe", folder, "--json").stdout)
    assert (answer["width_px"], answer["height_px"], answer["frames"]) == (64, 48, 3)
    assert "3 frames" in cameras("probe", folder).stdout


def test_probe_saves_the_last_picture_when_asked(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "last.png"
    answer = json.loads(cameras("probe", folder, "--picture", out, "--json").stdout)
    assert answer["stable_name"] is None
    assert np.asarray(cv2.imread(str(out)))[0, 0, 0] == 92


def test_preview_saves_the_picture(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "shot.png"
    assert cameras("preview", folder, "--out", out).exit_code == 0
    assert np.asarray(cv2.imread(str(out)))[0, 0, 0] == 90


@pytest.mark.parametrize(
    ("args", "code"),
    [
        pytest.param(["probe", "/dev/video99"], 3, id="no camera"),
        pytest.param(["preview", "no-such-folder"], 3, id="no file"),
        pytest.param(["probe"], 2, id="no source"),
        pytest.param(["probe", "{folder}", "--for", "0"], 2, id="no time"),
        pytest.param(["probe", "{folder}", "--id", "camera0"], 2, id="id without configuration"),
        pytest.param(["probe", "{folder}", "--config", "absent.toml"], 2, id="no configuration"),
        pytest.param(["probe", "{folder}", "--config", "{config}", "--id", "camera7"], 2, id="no such id"),
        pytest.param(["preview", "{folder}", "--out", "{folder}/shot.gibberish"], 2, id="no such format"),
        pytest.param(["preview", "{folder}", "--out", "{folder}/absent/shot.png"], 1, id="no such place"),
    ],
)
def test_a_bad_day_ends_in_words_and_a_code(folder: Path, tmp_path: Path, args: list[str], code: int) -> None:
    config = tmp_path / "station.toml"
    config.write_text(builtin_text("station"))
    result = cameras(*(arg.format(folder=folder, config=config) for arg in args))
    assert result.exit_code == code
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)
