"""A few keys change; every other line stays as the plant wrote it."""

from pathlib import Path

import pytest

from station.commissioning.config_edit import with_belt_keys, with_camera_keys, write_whole
from station.config import builtin_text, parse_config
from station.errors import ConfigError

HOMOGRAPHY = [[0.5, 0.001, 3.0], [0.0, 0.47, -12.5], [1e-7, 2e-7, 1.0]]
TWO_CAMERAS = builtin_text("station").replace(
    "[gate_bar]",
    """[[cameras]]   # the second lane
id = 'right'
homography = [
    [1.0, 0.0, 0.0],  # former
    [0.0, 1.0, 0.0],
    [0.0, 0.0, 1.0],
]
lateral_at_mm = 600.0

# a comment that belongs to the gates
[gate_bar]""",
)


def test_keys_are_added_and_everything_else_stays() -> None:
    old = builtin_text("station")
    new = with_camera_keys(old, "camera0", {"homography": HOMOGRAPHY, "lateral_at_mm": 4.5}, "calibrated today")
    camera = parse_config(new, "new", {}).cameras[0]
    assert [list(row) for row in camera.homography or ()] == HOMOGRAPHY
    assert camera.lateral_at_mm == 4.5
    gone = set(old.splitlines()) - set(new.splitlines())
    assert all(line.startswith("lateral_at_mm = 0.0") for line in gone)
    assert len(new.splitlines()) == len(old.splitlines()) + 1
    assert "# calibrated today" in new


def test_an_array_over_several_lines_is_replaced_whole_in_the_right_table() -> None:
    new = with_camera_keys(TWO_CAMERAS, "right", {"homography": HOMOGRAPHY}, "today")
    first, second = parse_config(new, "new", {}).cameras
    assert first.homography is None
    assert [list(row) for row in second.homography or ()] == HOMOGRAPHY
    assert "# former" not in new
    assert new.index("homography") < new.index("# a comment that belongs to the gates")


def test_twice_is_the_same_as_once() -> None:
    once = with_camera_keys(TWO_CAMERAS, "right", {"homography": HOMOGRAPHY}, "today")
    assert with_camera_keys(once, "right", {"homography": HOMOGRAPHY}, "today") == once


def test_the_belts_keys_are_changed_in_their_table() -> None:
    new = with_belt_keys(TWO_CAMERAS, {"mm_per_count": 0.4987}, "today")
    assert parse_config(new, "new", {}).belt.mm_per_count == 0.4987


def test_a_camera_that_is_not_there_is_refused_with_lines_to_paste() -> None:
    with pytest.raises(ConfigError, match=r"'left'(.|\n)*lateral_at_mm = 4\.5"):
        with_camera_keys(TWO_CAMERAS, "left", {"lateral_at_mm": 4.5}, "today")


def test_a_file_written_otherwise_is_left_alone() -> None:
    inline = (
        builtin_text("station").replace("[belt]\n", "[belt]\n").replace("mm_per_count = 0.5", '"mm_per_count" = 0.5')
    )
    with pytest.raises(ConfigError, match="not valid TOML"):
        with_belt_keys(inline, {"mm_per_count": 0.4987}, "today")


def test_values_the_configuration_refuses_are_never_written() -> None:
    with pytest.raises(ConfigError, match="mm_per_count = 9000"):
        with_belt_keys(TWO_CAMERAS, {"mm_per_count": 9000.0}, "today")


def test_the_file_is_replaced_whole_through_a_link_and_keeps_its_mode(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "station.toml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_whole(link, "new")
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("new", 0o640)
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real.toml", "station.toml"]
