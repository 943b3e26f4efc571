"""A head on a backbone that stays as it is: features once, then the exact optimum instead of epochs.

Knows features and logistic regression; nothing of schedules. The head comes back folded into the network's own last
layer, so what is trained here runs like any other model.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from station.recognition.model import head_of
from training import metrics
from training.augment import to_input
from training.cache import Cache
from training.dataset import fold_of_blocks
from training.precision import mixed
from training.progress import ProgressLine

Views: TypeAlias = NDArray[np.float32]  # (views, N, features)
BATCH = 128
N_FOLDS = 5


class Features:
    """What a backbone says of pictures, kept on disk by what made it."""

    def __init__(self, model: nn.Module, key: str, folder: Path, device: torch.device) -> None:
        self.model, self.key, self.folder, self.device = model.to(device), key, folder, device

    def of(self, cache: Cache, side_px: int, mirrored: bool) -> NDArray[np.float32]:
        """(N, features). What is kept is the whole file behind the cache: another hold-out costs nothing more."""
        name = f"{self.key}-{cache.name}-{side_px}-{mirrored}"
        path = self.folder / f"features-{hashlib.sha256(name.encode()).hexdigest()[:24]}.npy"
        if not path.exists():
            stored = cache.images.stored
            with headless(self.model) as backbone:
                chunks, line = [], ProgressLine(f"features at {side_px} px", len(stored))
                for images in _chunks(stored):
                    chunks.append(self._run(backbone, images, side_px, mirrored))
                    line.tick(len(images))
                line.end()
                rows = np.concatenate(chunks)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{os.getpid()}-{path.name}")
            np.save(partial, rows)
            partial.replace(path)
        return np.asarray(np.load(path)[cache.images.at])

    def views(self, cache: Cache, sides_px: tuple[int, ...], mirror: bool = True) -> Views:
        """(views, N, features): every picture at every size, as it is and, if asked, mirrored."""
        ways = (False, True) if mirror else (False,)
        return np.stack([self.of(cache, side, mirrored) for side in sides_px for mirrored in ways])

    @torch.inference_mode()
    def _run(self, backbone: nn.Module, images: Tensor, side_px: int, mirrored: bool) -> NDArray[np.float32]:
        x = to_input(images.to(self.device), side_px)
        with mixed(self.device):
            features: Tensor = backbone(x.flip(3) if mirrored else x)
        return features.float().cpu().numpy()


@dataclass(frozen=True)
class Head:
    """Of standardised features: `weight` and `bias` as they were fitted, and what standardised them."""

    weight: Tensor  # (classes, features)
    bias: Tensor  # (classes,)
    mean: Tensor  # (features,)
    scale: Tensor  # (features,)

    def logits(self, views: Views) -> NDArray[np.float32]:
        """(N, classes), the mean over the views: of a linear layer that is the layer of the mean."""
        x = (torch.from_numpy(views).mean(0) - self.mean) / self.scale
        return np.asarray((x @ self.weight.T + self.bias).numpy())

    def folded(self) -> tuple[Tensor, Tensor]:
        """(weight, bias) for raw features."""
        weight = self.weight / self.scale
        return weight, self.bias - weight @ self.mean


def fit_head(views: Views, labels: NDArray[np.int64], weights: Tensor, l2: float, start: Head | None = None) -> Head:
    """The optimum of multinomial logistic regression over all views; `start` only shortens the way."""
    x = torch.from_numpy(views.reshape(-1, views.shape[-1]))
    mean, scale = x.mean(0), x.std(0).clamp_min(1e-6)
    x, y = (x - mean) / scale, torch.from_numpy(labels).repeat(len(views))
    weight = start.weight.clone() if start else torch.zeros(len(weights), x.shape[1])
    bias = start.bias.clone() if start else torch.zeros(len(weights))
    weight.requires_grad_(True)
    bias.requires_grad_(True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight.T + bias, y, weights) + 0.5 * l2 * weight.square().sum()
        torch.autograd.backward(value)
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return Head(weight.detach(), bias.detach(), mean, scale)


@dataclass(frozen=True)
class Choice:
    """How strong the head's L2 shall be, and what was seen of each: (l2, log loss at its own temperature, accuracy)."""

    l2: float
    tried: tuple[tuple[float, float, float], ...]
    out_of_fold: NDArray[np.float32]  # (N, classes) logits at that strength, each from a head that saw no neighbour


def choose_l2(views: Views, labels: NDArray[np.int64], weights: Tensor, candidates: Sequence[float]) -> Choice:
    """By folds of neighbouring blocks, which part TRAIN as TEST was parted from it; of equals the strongest.

    The log loss decides: accuracies of strengths a thousandfold apart differ by less than their errors.
    """
    strongest_first = sorted(candidates, reverse=True)
    logits = out_of_fold(views, labels, weights, strongest_first)
    tried = [
        (l2, metrics.calibrated_log_loss(of_l2, labels), float((of_l2.argmax(1) == labels).mean()))
        for l2, of_l2 in zip(strongest_first, logits, strict=True)
    ]
    best = min(range(len(tried)), key=lambda row: tried[row][1])
    return Choice(strongest_first[best], tuple(tried), logits[best])


def out_of_fold(
    views: Views, labels: NDArray[np.int64], weights: Tensor, strengths: Sequence[float]
) -> NDArray[np.float32]:
    """(strengths, N, classes) logits: each picture judged by heads fitted to the other folds of neighbouring blocks.

    Fastest with the strongest L2 first: each head starts the next.
    """
    folds = fold_of_blocks(labels, N_FOLDS)
    logits = np.zeros((len(strengths), len(labels), len(weights)), np.float32)
    for fold in range(N_FOLDS):
        learn, judge, head = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold), None
        for row, l2 in enumerate(strengths if len(learn) and len(judge) else ()):
            head = fit_head(views[:, learn], labels[learn], weights, l2, head)
            logits[row, judge] = head.logits(views[:, judge])
    return logits


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


def _chunks(stored: NDArray[np.uint8]) -> Iterator[Tensor]:
    for begin in range(0, len(stored), BATCH):
        yield torch.from_numpy(np.array(stored[begin : begin + BATCH]))
