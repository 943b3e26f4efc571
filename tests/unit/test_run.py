"""A run before it begins: what it is told to show, and what becomes of one that cannot begin."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from firmware_bridge.errors import PortError
from station.config import StationConfig, builtin_config, changed
from station.errors import CameraError
from station.record.archive import open_archive
from station.run import RunOptions, run

PORT = "/dev/ttyACM7"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.full((80, 120, 3), 90, np.uint8))
    return folder


@pytest.mark.parametrize(
    ("port", "dry_run", "simulated"),
    [
        pytest.param("virtual", False, True, id="the port is virtual"),
        pytest.param(None, False, True, id="the configuration's port is virtual"),
        pytest.param(PORT, False, False, id="a real port"),
        pytest.param("virtual", True, False, id="nothing is sent at all"),
    ],
)
def test_a_run_on_the_simulated_controller_carries_the_badge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path, port: str | None, dry_run: bool, simulated: bool
) -> None:
    shown: list[tuple[bool, str | None]] = []

    def told(options: RunOptions, config: StationConfig, cameras: Any, port: str | None, *_: Any) -> Any:
        shown.append((options.screen.simulated, port))
        return {}, False

    monkeypatch.setattr("station.run._run_on", told)
    monkeypatch.setattr("station.run._twin", lambda config, port, out, clock: nullcontext(port))
    config = builtin_config("virtual")
    run(RunOptions((str(pictures),), config, port=port, dry_run=dry_run, out=tmp_path / "out"), lambda _: None)
    assert shown == [(simulated, None if dry_run else port or "virtual")]


def test_a_run_that_finds_no_controller_is_closed_as_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path
) -> None:
    def nobody(*_: object, **__: object) -> str:
        raise PortError("auto: no controller answers.")

    monkeypatch.setattr("station.run.choose", nobody)
    config = changed(builtin_config("virtual"), link={"auto_rearm": False}, record={"directory": str(tmp_path)})
    with pytest.raises(PortError):
        run(RunOptions((str(pictures),), config, port="auto", out=tmp_path / "out"), lambda _: None)
    with open_archive(tmp_path) as archive:
        assert [one.status for one in archive.runs()] == ["failed"]


def test_pictures_of_another_size_than_the_calibrated_one_are_no_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CameraError, match=r"120x80 px, cameras\.camera0 is calibrated for 1280x800\. Set its width_px"):
        run(RunOptions((str(pictures),), builtin_config("virtual"), dry_run=True), lambda _: None)
