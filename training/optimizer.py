"""Which rule moves which weight, and how far in a step. Knows recipes and parameters; no pictures and no loop.

SGD with momentum everywhere, unless the recipe has a `muon_lr`: then Muon moves the convolutions.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from station.recognition.model import head_of
from station.recognition.processor import device_has_bf16
from training.recipes import Recipe

# Newton and Schulz's round, five times, as Keller Jordan chose it: singular values end between 0.7 and 1.2, which is enough.
A, B, C, ROUNDS = 3.4445, -4.7750, 2.0315, 5


class Muon(torch.optim.Optimizer):
    """Each step turns a kernel by as much in every direction: https://kellerjordan.github.io/posts/muon/

    As torch.optim.Muon, for which kernels are no matrices, and which computes in bf16 also where that is emulated.
    """

    def __init__(self, kernels: Iterable[Tensor], peak: float, decay: float, momentum: float) -> None:
        """`kernels`: (out, in, height, width)."""
        super().__init__(kernels, {"lr": peak, "peak": peak, "decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is not None:
                    self._move(kernel, group)

    def _move(self, kernel: Tensor, group: dict[str, Any]) -> None:
        gradient, momentum = kernel.grad, group["momentum"]
        assert gradient is not None
        state = self.state[kernel]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"]
        mean.lerp_(gradient, 1.0 - momentum)
        ahead = gradient.lerp(mean, momentum).flatten(1)
        rows, columns = ahead.shape
        kernel.mul_(1.0 - group["lr"] * group["decay"])
        kernel.sub_(orthogonal(ahead).view_as(kernel), alpha=group["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the nearest matrix with orthonormal rows (or columns), float32."""
    x = matrix.to(torch.bfloat16 if device_has_bf16(matrix.device) else torch.float32)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return (x.T if tall else x).float()


class Optimizers:
    """Moves a network's parameters."""

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self._recipe = recipe
        kernels = convolutions(model) if recipe.muon_lr is not None else []
        groups = parameter_groups(model, recipe, without=frozenset(map(id, kernels)))
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=not recipe.tutorial)
        ]
        if recipe.muon_lr is not None:
            self.parts.append(Muon(kernels, recipe.muon_lr, recipe.muon_decay, recipe.momentum))

    def clear(self) -> None:
        for optimizer in self.parts:
            optimizer.zero_grad(set_to_none=True)

    def step(self, share: float) -> None:
        """`share`: how much of the run lies behind."""
        for optimizer in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * of_peak(share, self._recipe)
            optimizer.step()


def of_peak(share: float, recipe: Recipe) -> float:
    """One cycle: straight up, then a half cosine to zero. The tutorial's: a tenth after every seven epochs."""
    if recipe.tutorial:
        return float(0.1 ** (share * recipe.epochs // 7))
    if share < recipe.warmup_share:
        return share / recipe.warmup_share + 1e-3
    left = (1.0 - share) / (1.0 - recipe.warmup_share)
    return 0.5 * (1.0 - float(np.cos(np.pi * left)))


def parameter_groups(
    model: nn.Module, recipe: Recipe, without: frozenset[int] = frozenset()
) -> list[dict[str, object]]:
    """No decay on normalisation layers and biases; the head may learn faster than the rest."""
    head = {id(parameter) for parameter in head_of(model)[1].parameters()}
    groups: list[dict[str, object]] = []
    for in_head in (False, True):
        for decays in (False, True):
            chosen = [
                p
                for p in model.parameters()
                if (id(p) in head) == in_head and (p.ndim > 1) == decays and id(p) not in without
            ]
            peak = recipe.peak_lr * (1.0 if in_head else recipe.backbone_lr)
            groups.append({"params": chosen, "weight_decay": recipe.weight_decay * decays, "lr": peak, "peak": peak})
    return groups


def convolutions(model: nn.Module) -> list[Tensor]:
    """The kernels of every convolution that learns."""
    return [one.weight for one in model.modules() if isinstance(one, nn.Conv2d) and one.weight.requires_grad]
