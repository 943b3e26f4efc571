"""Weights to start from: a file, the model that ships, or torchvision's own. Knows names and shapes, no training.

Only safetensors are read from a path; torchvision's download is its own file, checked against the hash in its name.
"""

import hashlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn
from torchvision.models._api import get_model, get_model_weights

from station.errors import ConfigError, ModelError
from station.recognition.artifact import DEFAULT, artifact_path
from station.recognition.model import MULTISCALE, RESNET18, build_model, head_of

IMAGENET = "imagenet"
HOW_TO_CONVERT = (
    'On a machine with internet: python -c "from torchvision.models import get_model_weights as w; '
    "from safetensors.torch import save_file; "
    "save_file(w('{arch}').DEFAULT.get_state_dict(check_hash=True), '{arch}.safetensors')\""
)


def read_backbone(name_or_path: str, arch: str, n_classes: int) -> tuple[nn.Module, str]:
    """A network with those weights but for its head, and a word that both are known by.

    The name is a file, `default` (the model that ships) or `imagenet` (torchvision downloads it once).
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
    """torchvision's published ones; after the first time they are in torch's own cache."""
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


def published_as(arch: str) -> str:
    """The multiscale network is a ResNet-18 but for its head."""
    return RESNET18 if arch == MULTISCALE else arch
