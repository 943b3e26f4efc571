"""The model as every engine gets it: looks as bytes in, logits out, normalisation inside.

Bytes are a quarter of the traffic of floats, and the engine normalises faster than the host. Must compute what
`preprocess.to_batch` followed by the model computes; `parity` proves it at every start.
"""

from typing import cast

import torch
from torch import Tensor, nn

from station.recognition.preprocess import MEAN, STD


class BytesModel(nn.Module):
    scale: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        """Takes `model` over: it is moved to `dtype` in place; give a copy if the original is needed."""
        super().__init__()
        self.model = model.to(dtype).to(memory_format=torch.channels_last)
        self.dtype = dtype
        std = torch.tensor(STD).view(1, 3, 1, 1)
        self.register_buffer("scale", 1.0 / (255.0 * std), persistent=False)
        self.register_buffer("shift", -torch.tensor(MEAN).view(1, 3, 1, 1) / std, persistent=False)

    def forward(self, bgr: Tensor) -> Tensor:
        """(N, S, S, 3) uint8 BGR -> (N, C) float32."""
        # The permuted bytes are channels-last already: no copy.
        rgb = bgr.permute(0, 3, 1, 2).flip(1)
        normal = rgb.float() * self.scale + self.shift
        return cast(Tensor, self.model(normal.to(self.dtype))).float()
