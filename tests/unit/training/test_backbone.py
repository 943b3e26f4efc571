"""Weights to start from, and what is said when there are none."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from station.errors import ConfigError, ModelError
from station.recognition.model import build_model
from training import backbone
from training.backbone import read_backbone


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(build_model("resnet18", 1000).state_dict(), path)
    return path


@pytest.mark.parametrize("arch", ["resnet18", "resnet18_multiscale"])
def test_a_file_gives_everything_but_the_head(weights: Path, arch: str) -> None:
    model, key = read_backbone(str(weights), arch, 3)
    torch.manual_seed(5)
    original = build_model("resnet18", 1000).state_dict()
    assert torch.equal(model.get_parameter("layer4.1.conv2.weight"), original["layer4.1.conv2.weight"])
    assert model.get_parameter("fc.bias").shape == (3,)
    assert key.startswith(arch + "-")


def test_a_missing_file_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match=r"no such file(.|\n)*imagenet(.|\n)*save_file\(w\('resnet18'\)"):
        read_backbone("missing.safetensors", "resnet18_multiscale", 2)


def test_a_pickle_is_not_opened_and_the_way_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"not a whole safetensors file(.|\n)*save_file"):
        read_backbone(str(path), "resnet18", 2)


def test_weights_of_another_network_are_refused(weights: Path) -> None:
    with pytest.raises(ModelError, match="no mobilenet_v3_small"):
        read_backbone(str(weights), "mobilenet_v3_small", 2)


def test_without_internet_the_download_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_internet(name: str, **options: object) -> nn.Module:
        raise URLError("no route")

    monkeypatch.setattr(backbone, "get_model", no_internet)
    with pytest.raises(ConfigError, match=r"no route(.|\n)*save_file"):
        read_backbone("imagenet", "resnet18", 2)


def test_a_download_is_torchvision_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def downloaded(name: str, **options: object) -> nn.Module:
        asked.append((name, str(options["weights"])))
        return build_model("resnet18", 1000)

    monkeypatch.setattr(backbone, "get_model", downloaded)
    model, key = read_backbone("imagenet", "resnet18_multiscale", 2)
    assert asked == [("resnet18", "ResNet18_Weights.IMAGENET1K_V1")]
    assert key == "resnet18_multiscale-resnet18-f37072fd.pth"
    assert model.get_parameter("fc.weight").shape == (2, 768)


def test_what_nobody_publishes_is_told() -> None:
    with pytest.raises(ConfigError, match="nobody publishes"):
        read_backbone("imagenet", "recyclenet", 2)
