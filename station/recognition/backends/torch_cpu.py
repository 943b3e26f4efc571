"""The model on the processor by torch: always there. Thread counts are set once, by the app."""

import copy

import numpy as np
import torch
from torch import nn

from station.recognition.backends.bytes_model import BytesModel
from station.recognition.backends.contract import SIZES, BgrBatch, FixedSizes, Logits


def open_torch_cpu(
    model: nn.Module, *, input_px: int, bf16: bool = False, sizes: tuple[int, ...] = SIZES
) -> FixedSizes:
    """bf16 halves the time where the processor has instructions for it and is slower where it has not."""
    bytes_model = BytesModel(copy.deepcopy(model), torch.bfloat16 if bf16 else torch.float32).eval()

    def infer(batch: BgrBatch) -> Logits:
        with torch.inference_mode():
            logits: Logits = bytes_model(torch.from_numpy(batch)).numpy()
            return logits

    for size in sizes:
        infer(np.zeros((size, input_px, input_px, 3), np.uint8))
    name = "torch-bf16" if bf16 else "torch-fp32"
    return FixedSizes(name, "cpu", dict.fromkeys(sizes, infer), pads=False)
