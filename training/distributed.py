"""Several processes training one model, started by torchrun. Knows ranks; nothing of pictures or recipes.

Every rank takes its share of the same global batch, so the batch and the schedule do not change with their number.
"""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class World:
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Rank 0 alone writes files and judges."""
        return self.rank == 0

    def wrapped(self, model: nn.Module) -> nn.Module:
        """The same model, gradients averaged over the ranks."""
        return DistributedDataParallel(model) if self.size > 1 else model

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()


ALONE = World()


def join_world(device: torch.device) -> tuple[World, torch.device]:
    """Under torchrun: this process's place and device; otherwise alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE, device
    on_gpu = device.type == "cuda"
    if on_gpu:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    return World(dist.get_rank(), size), device


def leave_world(world: World) -> None:
    if world.size > 1:
        dist.destroy_process_group()
