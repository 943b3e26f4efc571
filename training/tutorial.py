"""The plain procedure that the paper followed (PyTorch's transfer-learning tutorial), to measure ours against.

Deliberately without any of our own data path: PIL pictures transformed anew in every epoch by two workers, fp32, SGD with
steps, TEST after every epoch and the best epoch kept. Knows nothing of recipes, caches or artifacts.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from station.recognition.model import head_of
from station.recognition.preprocess import MEAN, STD
from training.dataset import PictureSet

EPOCHS, BATCH, WORKERS = 15, 32, 2
LR_PER_PICTURE = 0.001 / 4  # the tutorial's rate and batch; the paper does not name its own


def transform_of(*steps: Callable[[Image.Image], Image.Image]) -> Callable[[Image.Image], Tensor]:
    whole = [*steps, transforms.ToTensor(), transforms.Normalize(MEAN, STD)]  # type: ignore[no-untyped-call]
    composed: Callable[[Image.Image], Tensor] = transforms.Compose(whole)  # type: ignore[no-untyped-call]
    return composed


LEARN = transform_of(transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip())  # type: ignore[no-untyped-call]
JUDGE = transform_of(transforms.Resize(256), transforms.CenterCrop(224))  # type: ignore[no-untyped-call]


class Folder(Dataset[tuple[Tensor, int]]):
    """What torchvision's ImageFolder does, over pictures that are known to be readable."""

    def __init__(self, pictures: PictureSet, transform: Callable[[Image.Image], Tensor]) -> None:
        self._paths: list[Path] = [picture.path for picture in pictures.pictures]
        self._labels, self._transform = pictures.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        with Image.open(self._paths[row]) as picture:
            return self._transform(picture.convert("RGB")), self._labels[row]


@dataclass
class Epochs:
    """What each epoch cost and was worth; `seen` counts pictures learnt from and judged."""

    seconds: list[float] = field(default_factory=list)
    correct: list[int] = field(default_factory=list)
    seen: int = 0
    judged: int = 0


def tutorial(
    model: nn.Module,
    head_only: bool,
    parts: tuple[PictureSet, PictureSet],
    epochs: int,
    device: torch.device,
    after_epoch: Callable[[Epochs], None] = lambda done: None,
) -> Epochs:
    """Train on parts[0], judge on parts[1] after each epoch. The schedule is that of 15 epochs, however many are run."""
    learn = DataLoader(Folder(parts[0], LEARN), BATCH, shuffle=True, num_workers=WORKERS)
    judge = DataLoader(Folder(parts[1], JUDGE), BATCH, num_workers=WORKERS)
    model.requires_grad_(not head_only).to(device)
    head = head_of(model)[1].requires_grad_(True)
    optimizer = torch.optim.SGD((head if head_only else model).parameters(), lr=LR_PER_PICTURE * BATCH, momentum=0.9)
    schedule = StepLR(optimizer, step_size=7, gamma=0.1)
    done = Epochs(judged=len(parts[1].pictures))
    for _ in range(epochs):
        began = time.monotonic()
        # Also with a frozen backbone: its normalisation drifts to the new pictures, as it did in the paper.
        model.train()
        for images, labels in learn:
            loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        schedule.step()
        done.correct.append(correct(model, judge, device))
        done.seconds.append(time.monotonic() - began)
        done.seen += len(parts[0].pictures) + len(parts[1].pictures)
        after_epoch(done)
    return done


@torch.no_grad()
def correct(model: nn.Module, judge: DataLoader[tuple[Tensor, int]], device: torch.device) -> int:
    model.eval()
    return sum(int((model(images.to(device)).argmax(1).cpu() == labels).sum()) for images, labels in judge)
