"""A recording seen again: the same items each time, and every difference from before is told."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from station.app import Brain
from station.cli.root import app
from station.config import StationConfig, builtin_config, changed
from station.datatypes import Classification, Look
from station.errors import CameraError, ConfigError
from station.record.rows import ItemRow
from station.replay import differences, read_items, replay, write_items
from station.simulation.line import LineOptions, VirtualLine

S = 1_000_000_000
FPS = 30
WIDTH_PX, HEIGHT_PX = 1280, 800
EMPTY_S, FEED_S, RUN_OUT_S = 2, 3, 1
CLASSES = ("organic", "recyclable")


class SideRecogniser:
    """Says what an item is by where it lies across the belt."""

    classes = CLASSES

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        return [self._say(look) for look in looks]

    def _say(self, look: Look) -> Classification:
        right = look.extent.cx_px > WIDTH_PX / 2
        chances = (0.2, 0.8) if right else (0.9, 0.1)
        return Classification(look.track_id, look.frame.captured_ns, chances, chances, CLASSES[right])


BRAIN = Brain(SideRecogniser(), "side", "none")


@pytest.fixture(scope="module")
def line_config() -> StationConfig:
    """The reference line without an encoder: a recording carries none."""
    return changed(
        builtin_config("virtual"),
        belt={"speed_m_s": 1.0, "mm_per_count": None, "max_speed_m_s": 1.0},
        virtual={"feed_per_s": 3.0},
    )


@pytest.fixture(scope="module")
def video(line_config: StationConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A rendered belt, and how many items ran over it."""
    path = tmp_path_factory.mktemp("video") / "belt.avi"
    line = VirtualLine(line_config, LineOptions(seed=3, for_s=FEED_S), start_ns=0)
    line.begin_feed(EMPTY_S * S)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH_PX, HEIGHT_PX))
    assert writer.isOpened()
    for number in range((EMPTY_S + FEED_S + RUN_OUT_S) * FPS):
        bgr = line.frame_at(round(number * S / FPS))
        assert bgr is not None
        writer.write(bgr)
    writer.release()
    return path, len(line.fed())


def test_every_item_of_a_described_recording_is_found_labelled_and_left_alone(
    video: tuple[Path, int], line_config: StationConfig
) -> None:
    path, fed = video
    seen = replay(str(path), line_config, BRAIN)
    assert seen.frames == (EMPTY_S + FEED_S + RUN_OUT_S) * FPS
    assert seen.shortfall is None
    assert fed >= 8
    assert len(seen.items) == fed
    assert all(row.label in CLASSES and row.looks >= 1 for row in seen.items)
    assert {(row.label, row.outcome, row.reason) for row in seen.items} == {
        ("organic", "passed", "none"),
        ("recyclable", "missed", "dry_run"),
    }
    assert all(EMPTY_S * S <= row.born_ns <= (EMPTY_S + FEED_S + RUN_OUT_S) * S for row in seen.items)


def test_an_undescribed_recording_is_seen_by_its_own_motion(video: tuple[Path, int]) -> None:
    path, fed = video
    seen = replay(str(path), None, BRAIN)
    assert abs(len(seen.items) - fed) <= 1
    assert {row.outcome for row in seen.items} <= {"passed", "unconfirmed"}
    assert {row.command_id for row in seen.items} == {None}


def test_twice_is_the_same_to_the_last_digit(video: tuple[Path, int], line_config: StationConfig) -> None:
    path, _ = video
    assert replay(str(path), line_config, BRAIN) == replay(str(path), line_config, BRAIN)


def test_a_recording_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no such file"):
        replay(str(tmp_path / "none.avi"), None, BRAIN)


def test_a_recording_of_another_size_than_its_camera_s_is_refused(tmp_path: Path, line_config: StationConfig) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.full((80, 120, 3), 90, np.uint8))
    with pytest.raises(CameraError, match=r"120x80 px, cameras\.camera0 is calibrated for 1280x800"):
        replay(str(tmp_path), line_config, BRAIN)
    assert replay(str(tmp_path), None, BRAIN).frames == 1


# -- comparing -------------------------------------------------------------------------------------------------------


def item(number: int, at_s: float, **changes: object) -> ItemRow:
    row = ItemRow(
        track_id=number,
        camera_id="camera0",
        born_ns=round(at_s * S),
        born_utc_ns=0,
        lateral_mm=100.0 + 130.0 * (number % 4),
        label="organic",
        confidence=0.9,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


ITEMS = [item(number, 1.0 + 0.3 * number) for number in range(20)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"confidence": 0.86}, []),
        ({"confidence": 0.84}, ["confidence"]),
        ({"confidence": None, "label": None}, ["label"]),
        ({"label": "recyclable"}, ["label"]),
        ({"lateral_mm": 590.0}, ["only here", "only there"]),
    ],
)
@pytest.mark.parametrize("clock_ahead_s", [0.0, 98_765.4], ids=["same clock", "another clock"])
def test_what_changed_is_told(changes: dict[str, object], told: list[str], clock_ahead_s: float) -> None:
    later = [replace(row, track_id=row.track_id + 50, born_ns=row.born_ns + round(clock_ahead_s * S)) for row in ITEMS]
    later[7] = replace(later[7], **changes)  # type: ignore[arg-type]
    found = differences(ITEMS, later)
    assert sorted(one.what for one in found) == told
    assert all(one.here is None or one.here.track_id == 7 for one in found)
    assert all(one.there is None or one.there.track_id == 57 for one in found)


def test_a_live_run_that_dropped_frames_meets_its_replay() -> None:
    shaken = [replace(row, born_ns=row.born_ns + 500 * S + (row.track_id % 3 - 1) * S // FPS) for row in ITEMS[2:]]
    assert [one.what for one in differences(ITEMS, shaken)] == ["only here", "only here"]


def test_nothing_against_nothing_is_no_difference() -> None:
    assert differences([], []) == []
    assert [one.what for one in differences([], ITEMS[:2])] == ["only there", "only there"]


def test_items_are_written_and_read_back(tmp_path: Path) -> None:
    write_items(tmp_path / "seen", ITEMS)
    assert read_items(tmp_path / "seen") == ITEMS


@pytest.mark.parametrize("content", [None, "no json\n", '{"label": 3}\n'])
def test_a_folder_without_readable_items_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "items.jsonl").write_text(content)
    with pytest.raises(ConfigError, match=r"items\.jsonl"):
        read_items(tmp_path)


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration of this computer is found; the model is the one that looks at sides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("STATION_CONFIG", raising=False)
    monkeypatch.setattr("station.replay.build_brain", lambda config: BRAIN)
    monkeypatch.setattr("station.replay.set_thread_counts", lambda threads: None)
    return tmp_path


def test_the_command_tells_differences_and_ends_with_one(video: tuple[Path, int], at_home: Path) -> None:
    path, _ = video
    first = CliRunner().invoke(app, ["replay", str(path), "--out", "seen"])
    assert first.exit_code == 0
    assert "NO DIVERTS SENT" in first.stdout
    same = CliRunner().invoke(app, ["replay", str(path), "--compare", "seen"])
    assert (same.exit_code, same.stdout) == (0, "no differences from seen\n")

    rows = read_items(at_home / "seen")
    write_items(at_home / "edited", [replace(rows[0], label="other"), *rows[2:]])
    edited = CliRunner().invoke(app, ["replay", str(path), "--compare", "edited", "--json"])
    assert edited.exit_code == 1
    answer = json.loads(edited.stdout)
    assert answer["schema"] == "station.replay/1"
    assert sorted(one["what"] for one in answer["differences"]) == ["label", "only here"]


@pytest.mark.parametrize(
    ("words", "code"),
    [(["none.avi"], 3), (["none.avi", "--config", "none.toml"], 2), (["none.avi", "--compare", "none"], 2)],
)
@pytest.mark.usefixtures("at_home")
def test_what_cannot_be_replayed_is_one_line_and_its_exit_code(words: list[str], code: int) -> None:
    answer = CliRunner().invoke(app, ["replay", *words])
    assert answer.exit_code == code
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
