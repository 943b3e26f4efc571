"""Configurations that load, and would still spoil a shift."""

from pathlib import Path
from typing import Any

import pytest

from station.commissioning.config_checks import config_findings, read_config
from station.commissioning.findings import Verdict
from station.commissioning.model_checks import labels, model_findings
from station.config import StationConfig, builtin_config, builtin_text, changed
from station.recognition.artifact import ArtifactInfo, save_artifact
from station.recognition.model import build_model
from station.recognition.preprocess import PREPROCESSING


def line(**changes: Any) -> StationConfig:
    return changed(builtin_config("station"), **changes)


def verdict_of(check: str, config: StationConfig) -> Verdict:
    (finding,) = [finding for finding in config_findings(config) if finding.check == check]
    assert finding.verdict is Verdict.PASS or finding.fix
    return finding.verdict


def test_the_template_has_nothing_to_complain_about() -> None:
    assert {finding.verdict for finding in config_findings(line())} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("check", "changes", "verdict"),
    [
        pytest.param("unactuated bin", {"sort": {"product_bin": "residue"}}, Verdict.WARN, id="product falls through"),
        pytest.param("auto_rearm", {"link": {"auto_rearm": None}}, Verdict.FAIL, id="rearm undecided"),
        pytest.param("auto_rearm", {"link": {"auto_rearm": None, "port": "virtual"}}, Verdict.PASS, id="virtual port"),
        pytest.param("geometry", {"gate_bar": {"at_mm": 350}}, Verdict.FAIL, id="gates too near"),
        pytest.param(
            "geometry", {"cameras": [{"homography": [[0, 0, 0]] * 3}]}, Verdict.FAIL, id="singular calibration"
        ),
        pytest.param("reach", {"link": {"far_mm": 1000}}, Verdict.FAIL, id="gate beyond the device's limit"),
        pytest.param(
            "reach",
            {"link": {"far_ms": 1000}, "belt": {"mm_per_count": None, "speed_m_s": 1.0}},
            Verdict.FAIL,
            id="gate too far in time",
        ),
        pytest.param(
            "bins",
            {"sort": {"bins": {"product": {"gates": [0]}, "residue": {}, "third": {}}}},
            Verdict.FAIL,
            id="bin that nothing can reach",
        ),
        pytest.param(
            "bins",
            {"sort": {"bins": {"product": {"gates": [0]}, "residue": {}, "third": {"gates": [1]}}}},
            Verdict.WARN,
            id="bin that no label leads to",
        ),
    ],
)
def test_each_trap_is_found(check: str, changes: dict[str, Any], verdict: Verdict) -> None:
    assert verdict_of(check, line(**changes)) is verdict


def test_reading_the_configuration_is_a_finding_and_never_an_exception(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(builtin_text("station"))
    bad.write_text("[belt]\nwidth_mm = 1\n")
    config, finding = read_config(good, {})
    assert config is not None
    assert finding.verdict is Verdict.PASS
    for path in (bad, tmp_path / "absent.toml"):
        config, finding = read_config(path, {})
        assert config is None
        assert finding.verdict is Verdict.FAIL
        assert str(path) in finding.message


@pytest.mark.parametrize(
    ("classes", "verdicts"),
    [
        pytest.param(("organic", "recyclable"), [Verdict.PASS], id="agree"),
        pytest.param(("organic", "recyclable", "glass"), [Verdict.WARN], id="class without a bin"),
        pytest.param(("organic", "glass"), [Verdict.FAIL, Verdict.WARN], id="label the model never says"),
    ],
)
def test_the_sort_program_and_the_model_must_speak_of_the_same(
    classes: tuple[str, ...], verdicts: list[Verdict]
) -> None:
    assert [finding.verdict for finding in labels(line().sort, classes, "model")] == verdicts


def test_a_model_for_central_squares_is_a_finding(tmp_path: Path) -> None:
    info = ArtifactInfo(("organic", "recyclable"), input_px=32, preprocessing=PREPROCESSING["centre"])
    save_artifact(tmp_path / "model.safetensors", build_model("resnet18", 2), info)
    (finding,) = model_findings(line(recognition={"model": str(tmp_path / "model.safetensors")}))
    assert finding.verdict is Verdict.FAIL
    assert "--framing squash" in finding.message


def test_a_model_that_is_no_model_is_a_finding(tmp_path: Path) -> None:
    pickle = tmp_path / "model.pt"
    pickle.write_bytes(b"PK\x03\x04 a zip with a pickle in it")
    (finding,) = model_findings(line(recognition={"model": str(pickle)}))
    assert finding.verdict is Verdict.FAIL
    assert "pickle" in finding.message
