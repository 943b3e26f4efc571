"""`station calibrate` as a person uses it: nothing is written without yes, and what is written is what was shown."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from station.cli.calibrate_commands import app
from station.commissioning.belt_speed import BeltSpeed
from station.commissioning.charuco import BoardSpec, draw_board
from station.config import builtin_text, load_config

# 2 px per mm, the belt's left edge 30 px into the picture, along from 100 mm on
MARKS = [
    f"{30 + 2 * lateral},{2 * along}={along + 100},{lateral}" for along in (20, 180, 350) for lateral in (40, 300, 560)
]
MARK_FLAGS = [part for mark in MARKS for part in ("--mark", mark)]


def calibrate(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def _line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration, an empty picture and one of a board: 3 px per mm, seen straight from above."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("station.toml").write_text(builtin_text("station"))
    cv2.imwrite("empty.png", np.full((800, 1280, 3), 90, np.uint8))
    board = np.full((800, 1280, 3), 160, np.uint8)
    board[30:750, 100:1180] = draw_board(BoardSpec(), 3.0)
    cv2.imwrite("board.png", board)


def test_marks_are_shown_and_not_written_without_yes() -> None:
    before = Path("station.toml").read_text()
    result = calibrate("belt", "--camera", "empty.png", *MARK_FLAGS, "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 0, result.stderr
    assert answer["written"] is False
    assert answer["mm_per_px"] == pytest.approx(0.5)
    assert answer["lateral_at_mm"] == pytest.approx(-15.25, abs=0.01)  # (0 - 30.5) / 2: pixel centres are at +0.5
    assert Path("station.toml").read_text() == before
    assert "+homography" in result.stderr
    assert Path("belt-calibration.png").stat().st_size > 10_000


def test_yes_writes_what_was_shown() -> None:
    result = calibrate("belt", "--camera", "empty.png", *MARK_FLAGS, "--yes", "--json")
    answer = json.loads(result.stdout)
    camera = load_config(Path("station.toml")).cameras[0]
    assert answer["written"] is True
    assert np.array(camera.homography) == pytest.approx(np.array(answer["homography"]), rel=1e-8, abs=1e-9)
    assert camera.lateral_at_mm == pytest.approx(answer["lateral_at_mm"], abs=0.01)
    assert "# DECIDE" in Path("station.toml").read_text()


def test_a_board_is_found_in_the_picture() -> None:
    result = calibrate("belt", "--camera", "board.png", "--left-mm", "50", "--yes", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 0, result.stderr
    assert answer["points"] == 40
    assert answer["mm_per_px"] == pytest.approx(1 / 3, rel=0.002)
    assert answer["lateral_at_mm"] == pytest.approx(50 - 100 / 3, abs=0.2)
    assert answer["residual_mm"]["worst"] < 0.2


def test_the_drawn_board_is_found_again() -> None:
    assert calibrate("board", "print.png", "--board", "7x5", "--square-mm", "30", "--marker-mm", "22").exit_code == 0
    printed = cv2.imread("print.png")
    assert printed is not None
    assert printed.shape[1] == round(7 * 30 / 25.4 * 150)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        pytest.param(["--camera", "empty.png"], 2, "0 corners", id="no board in the picture"),
        pytest.param(["--camera", "board.png", "--dictionary", "4x4_50"], 2, "4x4_50", id="another board"),
        pytest.param(["--camera", "absent.png"], 3, "absent.png", id="no picture"),
        pytest.param(["--camera", "/dev/video99"], 3, "/dev/video99", id="no camera"),
        pytest.param(["--camera", "empty.png", *MARK_FLAGS[:6]], 2, "at least 4", id="three marks"),
        pytest.param(["--camera", "empty.png", "--mark", "1,2,3"], 2, "X,Y=ALONG,LATERAL", id="no mark"),
        pytest.param(["--camera", "empty.png", "--mark", "1.2.3,2=3,4"], 2, "X,Y=ALONG,LATERAL", id="no number"),
        pytest.param(["--camera", "empty.png", "--board", "9by6"], 2, "COLUMNSxROWS", id="no board size"),
        pytest.param(["--camera", "empty.png", "--board", "99x99"], 2, "3 to 40", id="impossible board"),
        pytest.param(["--camera", "empty.png", "--id", "camera9"], 2, "camera0", id="no such camera entry"),
        pytest.param(["--camera", "small.png", *MARK_FLAGS], 2, "1280x800", id="another picture size"),
        pytest.param(["--camera", "empty.png", "--config", "absent.toml"], 2, "no such configuration", id="no file"),
        pytest.param([], 2, "camera", id="no source"),
    ],
)
def test_a_bad_day_ends_in_words_and_a_code(args: list[str], code: int, words: str) -> None:
    cv2.imwrite("small.png", np.full((480, 640, 3), 90, np.uint8))
    before = Path("station.toml").read_text()
    result = calibrate("belt", *args, "--yes")
    assert result.exit_code == code, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert Path("station.toml").read_text() == before


def test_marks_against_the_direction_of_travel_are_refused() -> None:
    text = Path("station.toml").read_text()
    Path("station.toml").write_text(text.replace('travel = "down"', 'travel = "up"'))
    result = calibrate("belt", "--camera", "empty.png", *MARK_FLAGS, "--yes")
    assert result.exit_code == 2
    assert "up" in result.stderr


# -- speed -----------------------------------------------------------------------------------------------------------


def measured(monkeypatch: pytest.MonkeyPatch, mm_per_count: float, bound: float = 0.006) -> None:
    """Pictures that say this, whatever is measured: the measuring itself has tests of its own."""
    found = BeltSpeed(10.0, 10_000.0, 10_000.0 / mm_per_count, 0.5, 0.001, bound)
    monkeypatch.setattr("station.commissioning.speed_session.measure_speed", lambda *_: found)


def test_a_measured_count_is_written_after_yes_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, 0.47)
    before = Path("station.toml").read_text()
    unasked = calibrate("speed", "--camera", "0", "--port", "auto", "--json")
    assert unasked.exit_code == 0, unasked.stderr
    assert json.loads(unasked.stdout)["written"] is False
    assert "--yes answers yes" in unasked.stderr  # no terminal to ask on
    assert Path("station.toml").read_text() == before
    yes = calibrate("speed", "--camera", "0", "--port", "auto", "--yes", "--json")
    assert json.loads(yes.stdout)["written"] is True
    assert load_config(Path("station.toml")).belt.mm_per_count == 0.47


def test_a_value_within_the_bound_is_left_alone_even_with_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, 0.502)
    before = Path("station.toml").read_text()
    result = calibrate("speed", "--camera", "0", "--port", "auto", "--yes", "--json")
    assert json.loads(result.stdout)["written"] is False
    assert "no reason to change it" in result.stderr
    assert Path("station.toml").read_text() == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--camera", "0", "--port", "virtual"], "--camera virtual"),
        (["--camera", "virtual", "--port", "/dev/ttyACM0"], "--port virtual"),
    ],
)
def test_a_simulated_half_and_a_real_half_are_no_line(args: list[str], words: str) -> None:
    result = calibrate("speed", *args)
    assert result.exit_code == 4
    assert words in result.stderr


def test_on_the_simulated_line_a_wrong_count_is_found_live() -> None:
    """Slow (about 10 s): pictures settle for two seconds, and the line's process has to start."""
    Path("station.toml").write_text(builtin_text("virtual").replace("mm_per_count = 0.5", "mm_per_count = 0.45"))
    result = calibrate("speed", "--camera", "virtual", "--port", "virtual", "--for", "4.5s", "--yes", "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["written"] is True
    assert answer["mm_per_count"] == pytest.approx(0.5, rel=answer["bound"])
    assert answer["bound"] < 0.02
    assert load_config(Path("station.toml")).belt.mm_per_count == pytest.approx(0.5, rel=0.01)
