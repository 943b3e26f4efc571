"""The networks by name. Knows layers and class counts; nothing of weights on disk, pictures or belts.

RecycleNet is the TrashNet classifier of that name: ResNet-18 with channel and spatial attention (CBAM) in every block.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models import resnet as torchvision_resnet
from torchvision.models import resnet18
from torchvision.models._api import get_model, list_models

from station.errors import ModelError

RESNET18 = "resnet18"
RECYCLENET = "recyclenet"


def build_resnet18(n_classes: int) -> nn.Module:
    """torchvision's ResNet-18 with `fc = Linear(512, n_classes)` and random weights."""
    network: nn.Module = resnet18(weights=None, num_classes=n_classes)
    return network


def build_model(arch: str, n_classes: int) -> nn.Module:
    """A randomly initialised network: `resnet18`, `recyclenet`, or any classifier torchvision knows by name."""
    if arch == RESNET18:
        return build_resnet18(n_classes)
    if arch == RECYCLENET:
        return build_recyclenet(n_classes)
    if arch not in known_archs():
        raise ModelError(f"unknown architecture {arch!r}: use resnet18, recyclenet, or a torchvision classifier's name")
    network: nn.Module = get_model(arch, weights=None, num_classes=n_classes)
    return network


def known_archs() -> list[str]:
    import torchvision.models

    return [RECYCLENET, *list_models(module=torchvision.models)]


def head_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """The last fully connected layer, by its dotted name: what a new set of classes replaces."""
    linears = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linears:
        raise ModelError(f"{type(model).__name__} has no fully connected last layer to train as a head")
    return linears[-1]


class Attention(nn.Module):
    """CBAM (Woo 2018): what matters (channels), then where (pixels)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )
        self.where = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        channel = self.squeeze(x.mean((2, 3), keepdim=True)) + self.squeeze(x.amax((2, 3), keepdim=True))
        x = x * torch.sigmoid(channel)
        pooled = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), dim=1)
        attended: Tensor = x * torch.sigmoid(self.where(pooled))
        return attended


class AttentiveBlock(torchvision_resnet.BasicBlock):
    """ResNet's basic block whose second normalisation is followed by attention."""

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__(inplanes, planes, stride, downsample, groups, base_width, dilation, norm_layer)
        self.bn2 = nn.Sequential(self.bn2, Attention(planes))


def build_recyclenet(n_classes: int) -> nn.Module:
    return torchvision_resnet.ResNet(AttentiveBlock, [2, 2, 2, 2], num_classes=n_classes)
