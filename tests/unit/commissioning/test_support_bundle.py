"""What leaves the plant in a bundle, and what must not."""

import json
import zipfile
from pathlib import Path

import pytest

from station.commissioning.findings import failed
from station.commissioning.support_bundle import pieces, without_secrets, write_bundle
from station.config import builtin_text, parse_config
from station.record.history import open_history


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ('token_file = "/etc/station/token.json"', "token_file = ", "/etc/station"),
        ('  mqtt_password = "hunter2"  # plant', "mqtt_password = ", "hunter2"),
        ("source rtsp://admin:hunter2@10.0.0.7/stream", "10.0.0.7/stream", "hunter2"),
        ("http://10.0.0.7:8384/ and width_mm = 600.0", "http://10.0.0.7:8384/ and width_mm = 600.0", "***"),
    ],
)
def test_secrets_are_taken_out_and_the_rest_stays(text: str, kept: str, gone: str) -> None:
    clean = without_secrets(text)
    assert kept in clean
    assert gone not in clean


def test_the_cleaned_configuration_is_still_one() -> None:
    text = builtin_text("station").replace("# token_file", "token_file")
    assert parse_config(without_secrets(text), "clean", {}).panel.token_file == "***"


def test_the_bundle_holds_versions_findings_configuration_reports_and_events(tmp_path: Path) -> None:
    config = tmp_path / "station.toml"
    config.write_text(builtin_text("station"))
    history = open_history(tmp_path / "runs", 0, 1_700_000_000_000_000_000)
    history.begin_run(
        {"clock": "wall", "seed": 1, "line": {"camera": "rtsp://u:hunter2@cam/1"}}, 0, 1_700_000_000_000_000_000
    )
    history.finish_run({"status": "completed", "seed": 1, "note": "rtsp://u:hunter2@cam/1"}, 1_700_000_001_000_000_000)
    history.close()
    finding = failed("camera", "rtsp://u:hunter2@cam/1: cannot be opened", "check it")
    write_bundle(tmp_path / "bundle.zip", list(pieces(config, tmp_path / "runs", [finding])))
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        names = set(bundle.namelist())
        everything = "".join(bundle.read(name).decode() for name in names)
        report = json.loads(bundle.read("reports/run-1.json"))
    assert names == {"versions.json", "doctor.txt", "doctor.json", "station.toml", "reports/run-1.json", "events.jsonl"}
    assert report["status"] == "completed"
    assert "hunter2" not in everything
    assert (tmp_path / "bundle.zip").stat().st_mode & 0o077 == 0


def test_a_history_that_is_none_is_told_and_an_existing_bundle_stays(tmp_path: Path) -> None:
    contents = list(pieces(tmp_path / "absent.toml", tmp_path, []))
    assert "no history there" in next(piece.content for piece in contents if piece.name == "history.txt").decode()
    (tmp_path / "bundle.zip").write_text("mine")
    with pytest.raises(FileExistsError):
        write_bundle(tmp_path / "bundle.zip", contents)
    assert (tmp_path / "bundle.zip").read_text() == "mine"
