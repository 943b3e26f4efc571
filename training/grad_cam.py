"""Where a network looked: Grad-CAM on its last feature map (Selvaraju 2017). Knows networks, no files or pages."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def grad_cam(model: nn.Module, x: Tensor, label: int) -> NDArray[np.float32]:
    """(h, w) in 0..1: where the last feature map of `x` (1, 3, H, W) spoke for the label."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        kept.append(output)

    handle = last_map(model).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            # Gradients are wanted of the map, not of the weights, which an artifact has frozen.
            logits = model.eval()(x.requires_grad_(True))
            (slope,) = torch.autograd.grad(logits[0, label], kept[0])
    finally:
        handle.remove()
    weighted = (slope.mean((2, 3), keepdim=True) * kept[0]).sum(1)[0].relu().detach()
    return np.asarray((weighted / weighted.max().clamp_min(1e-9)).numpy(), np.float32)


def last_map(model: nn.Module) -> nn.Module:
    """The module whose output is the last feature map: layer4 of a ResNet, else the last convolution."""
    if isinstance(layer := getattr(model, "layer4", None), nn.Module):
        return layer
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
