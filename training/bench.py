"""`station bench train`: the plain procedure and ours, one after the other on the same pictures and machine.

Knows how the two are compared and what may be said of a part; each procedure stands in its own module.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from station.errors import ConfigError
from station.intervals import wilson
from station.recognition.model import RESNET18, build_model
from training.backbone import read_backbone
from training.cache import decode
from training.dataset import PictureSet, Tree, read_tree
from training.device import pick_device
from training.record import machine
from training.session import TrainJob, train
from training.tutorial import BATCH, EPOCHS, WORKERS, Epochs, tutorial

SCHEMA = "station.bench_train/1"
AIMS = {"or": 4.0, "ortl": 20.0}  # times as fast as the plain procedure, to the same accuracy or better


@dataclass(frozen=True)
class BenchJob:
    data: Path
    recipe: str
    fraction: float = 1.0  # of TRAIN and of TEST
    plain_epochs: int = EPOCHS  # fewer than 15: the rest is extrapolated, and says so
    backbone: str | None = None
    seed: int = 1
    device: str = "auto"
    framing: str | None = None  # ours; the plain procedure judges central squares


def bench_train(job: BenchJob, tell: Callable[[str], None]) -> dict[str, Any]:
    if job.recipe not in AIMS:
        raise ConfigError(f"--recipe {job.recipe}: the plain procedure knows or and ortl.")
    if job.recipe == "ortl" and job.backbone is None:
        raise ConfigError("--recipe ortl needs --backbone FILE: both procedures start from the same ImageNet weights.")
    device = pick_device(job.device)
    with tempfile.TemporaryDirectory(prefix="station-bench-") as folder:
        thinned(job, Path(folder) / "data")
        tree = read_tree(Path(folder) / "data")
        tell(f"plain procedure: {job.plain_epochs} epochs, {BATCH} pictures a step, {WORKERS} workers, fp32, 224 px")
        plain = plain_figures(job, tree, device, tell)
        tell(f"plain: {plain['seconds']:.0f} s; now ours")
        ours = own_figures(job, Path(folder))
    return {
        "schema": SCHEMA,
        "recipe": job.recipe,
        "fraction": job.fraction,
        "machine": machine(device),
        "plain": plain,
        "ours": ours,
        "ratio": round(plain["seconds_of_15_epochs"] / ours["seconds"], 2),
        "aim": AIMS[job.recipe],
        "as_accurate": ours["accuracy"]["value"] >= plain["accuracy"]["value"],
        "extrapolated": extrapolations(job, plain, ours),
    }


def plain_figures(job: BenchJob, tree: Tree, device: torch.device, tell: Callable[[str], None]) -> dict[str, Any]:
    assert tree.test is not None
    classes, head_only = len(tree.train.classes), job.recipe == "ortl"
    torch.manual_seed(job.seed)
    model = read_backbone(job.backbone, RESNET18, classes)[0] if job.backbone else build_model(RESNET18, classes)

    def told(done: Epochs) -> None:
        epochs, seconds = len(done.seconds), sum(done.seconds)
        left = seconds / epochs * (job.plain_epochs - epochs)
        tell(
            f"plain: epoch {epochs}/{job.plain_epochs}, {done.correct[-1]} of {done.judged} right, "
            f"{seconds:.0f} s so far, about {left:.0f} s left"
        )

    done = tutorial(model, head_only, (tree.train, tree.test), job.plain_epochs, device, told)
    seconds = sum(done.seconds)
    return {
        "seconds": round(seconds, 2),
        "epochs": job.plain_epochs,
        "seconds_of_15_epochs": round(seconds * EPOCHS / job.plain_epochs, 2),
        "pictures_per_s": round(done.seen / seconds, 1),
        "accuracy": asdict(wilson(max(done.correct), done.judged)),
        "accuracy_is": "of the best epoch on TEST",
        "correct_by_epoch": done.correct,
    }


def own_figures(job: BenchJob, folder: Path) -> dict[str, Any]:
    """From files on disk to the written artifact: decoding, choosing, judging and the report are in the time."""
    began = time.monotonic()
    result = train(
        TrainJob(
            folder / "data",
            job.recipe,
            out=folder / "run",
            cache=folder / "cache",
            seed=job.seed,
            device=job.device,
            backbone=job.backbone,
            framing=job.framing,
        )
    )
    seconds = time.monotonic() - began
    facts = result["training"]
    learnt = facts["n_train"] + facts["n_holdout"]
    epochs = sum(stage["epochs"] for stage in facts["recipe"]["stages"]) if job.recipe == "or" else EPOCHS
    return {
        "seconds": round(seconds, 2),
        "epochs": epochs if job.recipe == "or" else None,
        # As many pictures as the plain procedure shows in 15 epochs are learnt from in this time.
        "pictures_per_s": round(learnt * epochs / seconds, 1),
        "accuracy": result["test"]["accuracy"],
        "accuracy_is": "of the one model, TEST asked once",
    }


def extrapolations(job: BenchJob, plain: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """What was not measured but worked out, in words."""
    said = []
    if job.plain_epochs != EPOCHS:
        said.append(f"ratio and plain.seconds_of_15_epochs: from {job.plain_epochs} plain epochs")
        said.append("as_accurate: the plain procedure had not finished")
    if job.fraction < 1:
        whole = [plain["seconds_of_15_epochs"] / job.fraction, ours["seconds"] / job.fraction]
        said.append(f"all pictures: plain about {whole[0]:.0f} s, ours at most about {whole[1]:.0f} s")
        said.append("both accuracies are of models that saw a part of the pictures, on a part of TEST")
    return said


def thinned(job: BenchJob, folder: Path) -> None:
    """A tree of links to every n-th readable picture of each class, so that both procedures find the same files."""
    tree = read_tree(job.data)
    if tree.test is None:
        raise ConfigError(f"{job.data}: needs TRAIN/ and TEST/. `station data split` makes them.")
    for name, part in (("TRAIN", tree.train), ("TEST", tree.test)):
        for picture in every(part, job.fraction).pictures:
            if decode(picture.path) is None:
                continue
            link = folder / name / picture.name
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(picture.path.resolve(), link)


def every(part: PictureSet, fraction: float) -> PictureSet:
    return part.take([row for row in range(len(part.pictures)) if int((row + 1) * fraction) > int(row * fraction)])
