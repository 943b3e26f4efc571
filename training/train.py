"""The training loop, top to bottom on one page: pictures in, one artifact out. Knows nothing of belts or cameras.

An epoch depends on (seed, epoch) alone, so a run that was cut off and resumed equals one that was not.
"""

import copy
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from station.recognition.model import build_model, head_of
from training import metrics
from training.augment import augment, to_input
from training.cache import Cache
from training.checkpoint import Progress, load_checkpoint, save_checkpoint
from training.distributed import ALONE, World
from training.optimizer import Optimizers
from training.precision import mixed
from training.progress import ProgressLine
from training.recipes import Recipe

JUDGE_BATCH = 128


@dataclass(frozen=True)
class Pictures:
    """What a run learns from and what it is watched on; `extra` are belt crops and join the learning part only."""

    train: Cache
    holdout: Cache | None
    extra: Cache | None
    classes: tuple[str, ...]


class Run:
    """One training run in one folder: settings, log, checkpoint."""

    def __init__(self, recipe: Recipe, folder: Path, seed: int, device: torch.device, world: World = ALONE) -> None:
        self.recipe, self.folder, self.seed, self.device, self.world = recipe, folder, seed, device, world
        self.epochs_s = 0.0  # spent in epochs, before and after a resume
        folder.mkdir(parents=True, exist_ok=True)

    def log(self, values: dict[str, object]) -> None:
        line = "  ".join(
            f"{key} {value:.5g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
        )
        sys.stderr.write(line + "\n")
        for name, text in (("train.log", line), ("metrics.jsonl", json.dumps(values))):
            with (self.folder / name).open("a") as file:
                file.write(text + "\n")

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"


@dataclass(frozen=True)
class Plan:
    """Where a fit begins, and who looks on after each epoch (with the averaged network)."""

    start: nn.Module | None = None
    resume: bool = False
    after_epoch: Callable[[int, nn.Module], object] | None = None
    origin: Mapping[str, str] = field(
        default_factory=dict
    )  # where the start is from, in words: resumed only as the same


@dataclass(frozen=True)
class Learner:
    """What changes while it learns: the network (behind `seen_by_all` over several processes), its average, what moves it."""

    model: nn.Module
    average: nn.Module
    seen_by_all: nn.Module
    optimizers: Optimizers
    class_weights: Tensor


def fit(run: Run, pictures: Pictures, plan: Plan) -> nn.Module:
    """Train and return the averaged (EMA) network."""
    recipe, learner = run.recipe, learner_of(run, pictures, plan)
    done, settings = Progress(), settings_of(run, pictures, plan)
    if plan.resume and run.checkpoint.exists():
        done = load_checkpoint(run.checkpoint, learner.model, learner.average, learner.optimizers, settings)
        run.epochs_s = done.seconds
    steps = steps_per_epoch(pictures, recipe, run.seed)
    line = ProgressLine(recipe.name, steps * recipe.work_px2(recipe.epochs), done=steps * recipe.work_px2(done.epochs))
    for epoch in range(done.epochs, recipe.epochs):
        began = time.monotonic()
        loss, accuracy = one_epoch(run, pictures, learner, epoch, line)
        seconds = time.monotonic() - began
        done = Progress(epoch + 1, done.seconds + seconds)
        run.epochs_s = done.seconds
        if not run.world.leads:
            continue
        run.log(
            {"epoch": epoch + 1, "side_px": recipe.stage_of(epoch).side_px, "loss": loss, "seconds": seconds}
            | {"train_accuracy": accuracy, "images_per_s": steps * recipe.batch / seconds}
            | watched(learner.average, pictures, run, recipe.watched_px(epoch))
        )
        if plan.after_epoch is not None:
            plan.after_epoch(epoch + 1, learner.average)
        # Last: an epoch that was not judged to the end is not done, and a resumed run does all of it again.
        save_checkpoint(run.checkpoint, learner.model, learner.average, learner.optimizers, done, settings)
    return learner.average


def settings_of(run: Run, pictures: Pictures, plan: Plan) -> dict[str, object]:
    """All that the outcome hangs on but the machine and the number of processes, which may change at a resume."""
    parts = {
        "pictures learnt from": pictures.train,
        "pictures held out": pictures.holdout,
        "belt crops": pictures.extra,
    }
    prints = {name: part.pictures.fingerprint()[:12] if part else "none" for name, part in parts.items()}
    return run.recipe.model_dump(mode="json") | {"seed": run.seed} | prints | dict(plan.origin)


def learner_of(run: Run, pictures: Pictures, plan: Plan) -> Learner:
    recipe = run.recipe
    torch.manual_seed(run.seed)
    model = plan.start or start_weights(build_model(recipe.arch, len(pictures.classes)), recipe)
    model = model.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.requires_grad_(recipe.kind != "head")
    head_of(model)[1].requires_grad_(True)
    return Learner(
        model,
        copy.deepcopy(model).eval(),
        run.world.wrapped(model),
        Optimizers(model, recipe),
        class_weights(pictures, recipe).to(run.device),
    )


def one_epoch(run: Run, pictures: Pictures, learner: Learner, epoch: int, line: ProgressLine) -> tuple[float, float]:
    """Mean loss and accuracy, on augmented pictures while learning."""
    recipe, losses, hits = run.recipe, [], []
    side_px, steps = recipe.stage_of(epoch).side_px, steps_per_epoch(pictures, recipe, run.seed)
    own_seed = (run.seed * 100_003 + epoch) * 1_009 + run.world.rank
    rng = torch.Generator().manual_seed(own_seed)
    torch.manual_seed(own_seed)  # dropout draws from the global one
    learning(learner.model, recipe)
    for step, (images, labels, is_crop) in enumerate(batches(pictures, recipe, run, epoch), epoch * steps):
        x = augment(images, is_crop, side_px, recipe.augment, rng)
        with mixed(run.device):
            logits = learner.seen_by_all(x)
        loss = F.cross_entropy(logits.float(), labels, learner.class_weights, label_smoothing=recipe.label_smoothing)
        learner.optimizers.clear()
        torch.autograd.backward(loss)
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(learner.model.parameters(), recipe.clip_norm)
        learner.optimizers.step(step / (steps * recipe.epochs))
        update_average(learner.average, learner.model, min(recipe.ema_decay, (1 + step) / (10 + step)))
        losses.append(loss.detach())
        hits.append((logits.detach().argmax(1) == labels).float().mean())
        if run.world.leads:
            line.tick(recipe.picture_work_px2(side_px), f"epoch {epoch + 1}/{recipe.epochs} at {side_px} px")
    line.end()
    return float(torch.stack(losses).mean()), float(torch.stack(hits).mean())


def learning(model: nn.Module, recipe: Recipe) -> None:
    """Into training mode, normalisation too unless the recipe holds it."""
    model.train()
    if recipe.frozen_norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def steps_per_epoch(pictures: Pictures, recipe: Recipe, seed: int) -> int:
    return len(epoch_order(pictures, recipe, seed, 0)) // recipe.batch or 1


def watched(average: nn.Module, pictures: Pictures, run: Run, side_px: int) -> dict[str, object]:
    if pictures.holdout is None or not len(pictures.holdout.labels):
        return {}
    logits = predict(average, pictures.holdout, side_px, run.device)
    labels = pictures.holdout.labels
    right = logits.argmax(1) == labels
    recall: dict[str, object] = {
        f"recall_{name}": float(right[labels == at].mean())
        for at, name in enumerate(pictures.classes)
        if (labels == at).any()
    }
    scores = {"holdout_accuracy": float(right.mean()), "holdout_loss": metrics.log_loss(logits, labels)}
    return {"watched_px": side_px} | scores | recall


def epoch_order(pictures: Pictures, recipe: Recipe, seed: int, epoch: int) -> np.ndarray:
    """Row numbers, shuffled; rows past the training pictures are extra ones, of which a fresh share is drawn."""
    rng = np.random.default_rng([seed, epoch, 7])
    own = np.arange(len(pictures.train.labels))
    if pictures.extra is None:
        return rng.permutation(own)
    n_extra = len(pictures.extra.labels)
    drawn = rng.choice(n_extra, max(1, round(recipe.extra_share * n_extra)), replace=False)
    return rng.permutation(np.concatenate((own, len(own) + drawn)))


def batches(pictures: Pictures, recipe: Recipe, run: Run, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(images, labels, is_crop); a short last batch is left out, its pictures come in other epochs."""
    order = epoch_order(pictures, recipe, run.seed, epoch)
    size, own = min(recipe.batch, len(order)), len(pictures.train.labels)
    for begin in range(0, len(order) - size + 1, size):
        rows = np.sort(order[begin : begin + size])[run.world.rank :: run.world.size]
        mine, extra = rows[rows < own], rows[rows >= own] - own
        images, labels = [pictures.train.images[mine]], [pictures.train.labels[mine]]
        if pictures.extra is not None:
            images.append(pictures.extra.images[extra])
            labels.append(pictures.extra.labels[extra])
        yield (
            torch.from_numpy(np.concatenate(images)).to(run.device, non_blocking=True),
            torch.from_numpy(np.concatenate(labels)).to(run.device, non_blocking=True),
            torch.from_numpy(rows >= own).to(run.device, non_blocking=True),
        )


def predict_views(
    model: nn.Module, cache: Cache, sides_px: tuple[int, ...], device: torch.device, seen: dict[int, np.ndarray]
) -> np.ndarray:
    """Mean logits over several sizes, each as it is and mirrored; `seen` has the plain ones of sizes asked before."""
    plain = [seen[side] if side in seen else predict(model, cache, side, device) for side in sides_px]
    mirrored = [predict(model, cache, side, device, mirrored=True) for side in sides_px]
    return np.asarray(np.mean(plain + mirrored, axis=0))


@torch.inference_mode()
def predict(
    model: nn.Module,
    cache: Cache,
    input_px: int,
    device: torch.device,
    half: bool = True,
    mirrored: bool = False,
) -> np.ndarray:
    """Logits of every picture, in order."""
    model.eval()
    out = []
    for begin in range(0, len(cache.labels), JUDGE_BATCH):
        images = torch.from_numpy(cache.images[begin : begin + JUDGE_BATCH]).to(device)
        with mixed(device, half):
            logits = model(to_input(images.flip(2) if mirrored else images, input_px))
        out.append(logits.float().cpu())
    return torch.cat(out).numpy()


def start_weights(model: nn.Module, recipe: Recipe) -> nn.Module:
    """Residual branches begin as nothing: the network starts shallow and trains faster."""
    if recipe.tutorial:
        return model
    for module in model.modules():
        last = getattr(module, "bn2", None)
        if type(module).__name__ == "BasicBlock" and isinstance(last, nn.BatchNorm2d):
            nn.init.zeros_(last.weight)
    return model


def class_weights(pictures: Pictures, recipe: Recipe) -> Tensor:
    counts = np.bincount(pictures.train.labels, minlength=len(pictures.classes)).astype(np.float32)
    if not recipe.balance_classes:
        return torch.ones(len(counts))
    return torch.from_numpy(counts.sum() / (len(counts) * np.maximum(counts, 1)))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for mine, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs, 1.0 - decay)
        else:
            mine.copy_(theirs)
