"""RecycleNet: a dense network with thinned skip connections, for plants whose computer is small. Knows layers only.

Bircanoglu et al. (2018) altered the skip connections of a DenseNet and came from 7 to 3 million parameters. Here a layer
sees the layers 1, 2, 4, ... before it in place of all: what reaches it grows with the logarithm of the depth.
"""

import torch
from torch import Tensor, nn

STEM_CHANNELS = (24, 48)
BLOCKS = ((6, 24, 128), (8, 32, 224), (10, 44, 352), (5, 64, 480))  # layers, channels of each, channels after the block


class ConvNorm(nn.Sequential):
    def __init__(self, into: int, out: int, kernel_px: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(into, out, kernel_px, stride, padding=kernel_px // 2, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        )


class ThinDenseBlock(nn.Module):
    """Layer k reads what lies 1, 2, 4, ... steps before it (step 0 is the block's input); a 1x1 layer sums it all up."""

    def __init__(self, into: int, layers: int, growth: int, out: int) -> None:
        super().__init__()
        channels = [into] + [growth] * layers
        self.sources = [before(step) for step in range(1, layers + 1)]
        self.layers = nn.ModuleList(ConvNorm(sum(channels[s] for s in sources), growth) for sources in self.sources)
        self.out = ConvNorm(sum(channels), out, kernel_px=1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for sources, layer in zip(self.sources, self.layers, strict=True):
            seen.append(layer(torch.cat([seen[s] for s in sources], dim=1)))
        summed: Tensor = self.out(torch.cat(seen, dim=1))
        return summed


class RecycleNet(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        first, channels = STEM_CHANNELS
        self.stem = nn.Sequential(ConvNorm(3, first, stride=2), ConvNorm(first, channels), nn.MaxPool2d(2))
        blocks: list[nn.Module] = []
        for layers, growth, out in BLOCKS:
            blocks += [ThinDenseBlock(channels, layers, growth, out), nn.AvgPool2d(2)]
            channels = out
        self.blocks = nn.Sequential(*blocks[:-1])  # after the last comes the mean over all pixels
        self.classifier = nn.Linear(channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


def before(step: int) -> list[int]:
    """The steps 1, 2, 4, ... before this one."""
    return [step - distance for distance in (1, 2, 4, 8, 16, 32) if distance <= step]
