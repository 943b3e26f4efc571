"""The networks by name. Knows names and class counts; nothing of weights on disk, pictures or belts."""

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, resnet18
from torchvision.models._api import get_model, list_models
from torchvision.models.resnet import BasicBlock

from station.errors import ModelError
from station.recognition.efficientnet_lite import SIZES as LITE_SIZES
from station.recognition.efficientnet_lite import EfficientNetLite
from station.recognition.recyclenet import RecycleNet

RESNET18 = "resnet18"
RECYCLENET = "recyclenet"
MULTISCALE = "resnet18_multiscale"
SHORT = "resnet18_short"
OWN_ARCHS = (RECYCLENET, MULTISCALE, SHORT, *LITE_SIZES)


def build_resnet18(n_classes: int) -> nn.Module:
    """torchvision's ResNet-18 with `fc = Linear(512, n_classes)` and random weights."""
    network: nn.Module = resnet18(weights=None, num_classes=n_classes)
    return network


def build_model(arch: str, n_classes: int) -> nn.Module:
    """A randomly initialised network: one of ours, or any classifier torchvision knows by name."""
    if arch == RESNET18:
        return build_resnet18(n_classes)
    if arch == RECYCLENET:
        return RecycleNet(n_classes)
    if arch == MULTISCALE:
        return MultiscaleResNet(n_classes)
    if arch == SHORT:
        return ShortResNet(n_classes)
    if arch in LITE_SIZES:
        return EfficientNetLite(n_classes, *LITE_SIZES[arch])
    if arch not in known_archs():
        raise ModelError(
            f"unknown architecture {arch!r}: use {', '.join((RESNET18, *OWN_ARCHS))}, or a torchvision classifier's name"
        )
    network: nn.Module = get_model(arch, weights=None, num_classes=n_classes)
    return network


def known_archs() -> list[str]:
    import torchvision.models

    return [*OWN_ARCHS, *list_models(module=torchvision.models)]


def head_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """The last fully connected layer, by its dotted name: what a new set of classes replaces."""
    linears = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linears:
        raise ModelError(f"{type(model).__name__} has no fully connected last layer to train as a head")
    return linears[-1]


class MultiscaleResNet(ResNet):
    """ResNet-18, weights and all, whose last layer also reads the mean of layer3: texture beside shape."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=n_classes)
        self.fc = nn.Linear(256 + 512, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        texture = self.layer3(self.layer2(self.layer1(x)))
        shape = self.layer4(texture)
        logits: Tensor = self.fc(torch.cat((texture.mean((2, 3)), shape.mean((2, 3))), dim=1))
        return logits


class ShortResNet(ResNet):
    """ResNet-18 without its last stage, where three quarters of its weights are: 2.8 million parameters, for few pictures."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=n_classes)
        self.layer4 = nn.Sequential()
        self.fc = nn.Linear(256, n_classes)
