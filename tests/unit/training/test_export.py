"""A model in other formats computes the same, or is not written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from station.errors import ConfigError, ModelError
from station.recognition.artifact import ArtifactInfo, save_artifact
from station.recognition.model import build_model
from training import export as export_module
from training.export import WRITERS, ExportJob, Runner, export

LITE = "efficientnet_lite0"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_artifact(path, build_model("resnet18", 2), ArtifactInfo(("organic", "recyclable"), 64))
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("format", "name"), [("exported", "m.pt2"), ("openvino", "m.xml")])
def test_the_written_file_computes_the_same(model: Path, tmp_path: Path, format: str, name: str) -> None:
    result = export(ExportJob(str(model), format, tmp_path / name))
    assert result["max_logit_difference"] < 0.02
    assert (tmp_path / name).stat().st_size > 1000
    described = json.loads((tmp_path / "m.json").read_text())
    assert described["classes"] == ["organic", "recyclable"]
    assert "64 × 64 px" in (tmp_path / "m.md").read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_an_efficientnet_lite_leaves_for_openvino(tmp_path: Path) -> None:
    """At an odd size, where TensorFlow's padding differs from layer to layer."""
    torch.manual_seed(1)
    save_artifact(
        tmp_path / "a.safetensors", build_model(LITE, 2), ArtifactInfo(("organic", "recyclable"), 70, arch=LITE)
    )
    result = export(ExportJob(str(tmp_path / "a.safetensors"), "openvino", tmp_path / "m.xml"))
    assert result["max_logit_difference"] < 0.02


def test_a_file_that_computes_something_else_is_not_left_behind(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_loaded: object, out: Path) -> Runner:
        out.write_bytes(b"wrong")
        return lambda batch: np.zeros((len(batch), 2), np.float32)

    monkeypatch.setitem(WRITERS, "openvino", wrong)
    with pytest.raises(ModelError, match="differ"):
        export(ExportJob(str(model), "openvino", tmp_path / "m.xml"))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_names_the_known_ones(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="onnx, exported, openvino"):
        export(ExportJob(str(model), "tflite", tmp_path / "m"))


def test_what_is_missing_is_named(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_onnxscript(*_args: object, **_kwargs: object) -> nn.Module:
        raise ModuleNotFoundError("No module named 'onnxscript'", name="onnxscript")

    monkeypatch.setattr(torch.onnx, "export", no_onnxscript)
    monkeypatch.setattr(export_module, "exported_program", lambda loaded: None)
    with pytest.raises(ConfigError, match="onnxscript"):
        export(ExportJob(str(model), "onnx", tmp_path / "m.onnx"))
