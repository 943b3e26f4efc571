"""Which rule moves which weight, and how far in a step. Knows recipes and parameters; no pictures and no loop.

SGD with momentum everywhere, unless the recipe has a `muon_lr`: then Muon moves the convolutions.
"""

import numpy as np
import torch
from torch import Tensor, nn

from station.recognition.model import head_of
from training.recipes import Recipe


class Steps:
    """Moves a network's parameters. Make it after the network stands on its device: Muon's matrices are its memory."""

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self._recipe = recipe
        self._kernels = kernels_as_matrices(model) if recipe.muon_lr is not None else []
        by_muon = frozenset(id(kernel) for kernel, _ in self._kernels)
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.SGD(
                parameter_groups(model, recipe, without=by_muon),
                momentum=recipe.momentum,
                nesterov=not recipe.tutorial,
            )
        ]
        if recipe.muon_lr is not None:
            matrices = {"params": [matrix for _, matrix in self._kernels], "peak": recipe.muon_lr}
            self.optimizers.append(
                torch.optim.Muon([matrices], recipe.muon_lr, weight_decay=recipe.muon_decay, momentum=recipe.momentum)
            )

    def clear(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        for kernel, _ in self._kernels:
            kernel.grad = None

    def step(self, share: float) -> None:
        """`share`: how much of the run lies behind."""
        for kernel, matrix in self._kernels:
            matrix.grad = None if kernel.grad is None else as_matrix(kernel.grad)
        for optimizer in self.optimizers:
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


def kernels_as_matrices(model: nn.Module) -> list[tuple[Tensor, nn.Parameter]]:
    """(kernel, the same memory as a matrix (out, height * width * in)) of every convolution that learns.

    torch.optim.Muon takes matrices only. Channels-last kernels are laid out as such already.
    """
    pairs = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            matrix = nn.Parameter(as_matrix(module.weight.data))
            assert matrix.data_ptr() == module.weight.data_ptr(), "convolutions must be channels-last"
            pairs.append((module.weight, matrix))
    return pairs


def as_matrix(kernel: Tensor) -> Tensor:
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel), -1)
