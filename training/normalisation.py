"""A backbone's normalisation, measured anew: its statistics become those of the pictures it is going to judge.

Knows a network and pictures; nothing of heads or schedules. Needs no labels (Schneider 2020, arXiv 2006.16971).
"""

import numpy as np
import torch
from torch import nn

from training.augment import to_input
from training.cache import Cache
from training.precision import mixed

BATCH = 64
MOST_PICTURES = 4096  # a statistic is of pixels: more pictures do not move it


@torch.no_grad()
def measure_norm(model: nn.Module, cache: Cache, side_px: int, device: torch.device, seed: int) -> None:
    """Running means and variances become the mean over one pass of shuffled batches; weights stay as they are."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # every batch counts alike
    model.to(device).train()
    # Shuffled: a folder is sorted by class, and a batch of one class varies less than the pictures do.
    order = np.random.default_rng([seed, 11]).permutation(len(cache.labels))[:MOST_PICTURES]
    for begin in range(0, len(order), BATCH):
        images = torch.from_numpy(cache.images[np.sort(order[begin : begin + BATCH])]).to(device)
        with mixed(device):
            model(to_input(images, side_px))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
