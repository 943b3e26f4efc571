"""Does an engine compute the trained model? Asked at every start, of every batch size, with pictures made here.

The reference is the plain float32 model behind `preprocess.to_batch`. The pictures are strongly coloured: swapped
channels or a wrong mean must show.
"""

from typing import Protocol

import numpy as np
import torch
from torch import nn

from station.errors import ModelError
from station.recognition.backends.contract import Backend, BgrBatch, Logits
from station.recognition.preprocess import to_batch

# Of the reference's largest logit. bf16 stays within 0.02 of it, int8 within 0.1; wrong channels are far beyond.
TOLERANCE = 0.06
TOLERANCE_INT8 = 0.25
_COLOURS = ((230, 40, 30), (30, 60, 220), (40, 200, 60), (235, 235, 230), (25, 20, 30))  # B, G, R


class _Sized(Backend, Protocol):
    sizes: tuple[int, ...]


def probes(input_px: int) -> BgrBatch:
    """Coloured discs on a soft gradient; the same on every machine."""
    across = np.linspace(0.0, 1.0, input_px)
    distance = np.hypot(*np.meshgrid(across - 0.5, across - 0.5))[..., None]
    ground = np.broadcast_to(60.0 + 120.0 * across[:, None, None], (input_px, input_px, 3))
    pictures = [np.where(distance < 0.35, np.asarray(colour, float), ground) for colour in _COLOURS]
    return np.asarray(pictures).astype(np.uint8)


def reference_logits(model: nn.Module, pictures: BgrBatch) -> Logits:
    with torch.inference_mode():
        logits: Logits = model(torch.from_numpy(to_batch(list(pictures)))).numpy()
        return logits


def check_parity(backend: _Sized, pictures: BgrBatch, expected: Logits) -> float:
    """The largest difference, as a share of the largest expected logit. Raises ModelError beyond the tolerance."""
    tolerance = TOLERANCE_INT8 if backend.name.endswith("int8") else TOLERANCE
    scale = max(float(np.abs(expected).max()), 1.0)
    worst = 0.0
    for size in backend.sizes:
        rows = np.arange(size) % len(pictures)
        difference = np.abs(backend.run(pictures[rows]) - expected[rows]).max()
        worst = max(worst, float(difference) / scale)
    if worst > tolerance:
        raise ModelError(
            f"{backend.name} on {backend.device} computes something else than the model: its logits differ by "
            f"{worst:.0%} of the largest (at most {tolerance:.0%}). Choose another backend and report this."
        )
    return worst
