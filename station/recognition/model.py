"""The networks by name. Knows names and class counts; nothing of weights on disk, pictures or belts."""

from torch import nn
from torchvision.models import resnet18
from torchvision.models._api import get_model, list_models

from station.errors import ModelError
from station.recognition.recyclenet import RecycleNet

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
        return RecycleNet(n_classes)
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
