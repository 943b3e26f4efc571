"""A head on a backbone that stays as it is: features once, then the exact optimum instead of epochs.

Knows features and logistic regression; nothing of schedules. The head comes back folded into the network's own last
layer, so what is trained here runs like any other model.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from station.errors import ConfigError, ModelError
from station.recognition.artifact import artifact_path
from station.recognition.model import build_model, head_of
from training.augment import to_input
from training.cache import Cache

BATCH = 128


def read_backbone(name_or_path: str, arch: str, n_classes: int) -> tuple[nn.Module, str]:
    """A network with the file's weights but for its head, and the file's sha256. torchvision's names, or an artifact."""
    path = artifact_path(name_or_path)
    if not path.is_file():
        raise ConfigError(f"--backbone {name_or_path}: no such file. Give safetensors weights of a {arch}.")
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a whole safetensors file ({error}).") from None
    model = build_model(arch, n_classes)
    head_name, _ = head_of(model)
    wanted = {name for name in model.state_dict() if not name.startswith(head_name + ".") and "num_batches" not in name}
    if wanted - set(weights):
        raise ModelError(f"{path}: no {arch}: lacks {sorted(wanted - set(weights))[:3]}.")
    try:
        model.load_state_dict({name: weights[name] for name in wanted}, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{path}: weights of another shape than {arch}'s: {error}") from None
    return model.eval(), hashlib.sha256(path.read_bytes()).hexdigest()


class Features:
    """What a backbone says of pictures, kept on disk by what made it."""

    def __init__(self, model: nn.Module, key: str, folder: Path, device: torch.device) -> None:
        self.model, self.key, self.folder, self.device = model.to(device), key, folder, device

    def of(self, cache: Cache, side_px: int, mirrored: bool) -> NDArray[np.float32]:
        """(N, features)."""
        name = f"{self.key}-{cache.pictures.fingerprint()}-{cache.images.shape[1]}-{side_px}-{mirrored}"
        path = self.folder / f"features-{hashlib.sha256(name.encode()).hexdigest()[:24]}.npy"
        if path.exists():
            return np.asarray(np.load(path))
        with headless(self.model) as backbone:
            rows = np.concatenate([self._run(backbone, images, side_px, mirrored) for images in _chunks(cache)])
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{os.getpid()}-{path.name}")
        np.save(partial, rows)
        partial.replace(path)
        return rows

    def views(self, cache: Cache, sides_px: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Every picture at every size, as it is and mirrored, with its label."""
        rows = [self.of(cache, side, mirrored) for side in sides_px for mirrored in (False, True)]
        return np.concatenate(rows), np.tile(cache.labels, len(rows))

    @torch.inference_mode()
    def _run(self, backbone: nn.Module, images: Tensor, side_px: int, mirrored: bool) -> NDArray[np.float32]:
        x = to_input(images.to(self.device), side_px)
        with torch.autocast(self.device.type, torch.bfloat16):
            features: Tensor = backbone(x.flip(3) if mirrored else x)
        return features.float().cpu().numpy()


def fit_head(
    features: NDArray[np.float32], labels: NDArray[np.int64], weights: Tensor, l2: float
) -> tuple[Tensor, Tensor]:
    """(weight, bias) of multinomial logistic regression on standardised features, folded back to raw ones."""
    x = torch.from_numpy(features)
    mean, scale = x.mean(0), x.std(0).clamp_min(1e-6)
    x, y = (x - mean) / scale, torch.from_numpy(labels)
    weight = torch.zeros(len(weights), x.shape[1], requires_grad=True)
    bias = torch.zeros(len(weights), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight.T + bias, y, weights) + 0.5 * l2 * weight.square().sum()
        torch.autograd.backward(value)
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        folded = weight / scale
        return folded, bias - folded @ mean


def set_head(model: nn.Module, weight: Tensor, bias: Tensor) -> None:
    _, head = head_of(model)
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)


@contextmanager
def headless(model: nn.Module) -> Iterator[nn.Module]:
    """The model without its last layer, for as long as the block lasts."""
    name, head = head_of(model)
    parent = model.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], nn.Identity())
    try:
        yield model.eval()
    finally:
        setattr(parent, name.rpartition(".")[2], head)


def _chunks(cache: Cache) -> Iterator[Tensor]:
    for begin in range(0, len(cache.labels), BATCH):
        yield torch.from_numpy(np.array(cache.images[begin : begin + BATCH]))
