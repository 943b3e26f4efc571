"""`station train` from start to end: read, train, calibrate, score TEST once, write the artifact.

Knows the order of these steps; how each is done stands in its own module.
"""

import ctypes
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import nn

from station.errors import ConfigError
from station.recognition.artifact import DEFAULT
from station.recognition.preprocess import PREPROCESSING
from training import metrics, record
from training.backbone import learnt_from, read_backbone
from training.best_on_test import BestOnTest
from training.cache import DEFAULT_CACHE, Cache, open_cache
from training.dataset import PictureSet, hold_out_blocks, read_folder, read_tree, subfolder, with_test
from training.device import memory_told, pick_device
from training.distributed import join_world, leave_world
from training.finish import Learned, finish
from training.frozen import Features, choose_l2, fit_head, set_head
from training.mixing import Weights, choose_mix
from training.normalisation import measure_norm
from training.recipes import AS_PUBLISHED, Recipe, read_recipe
from training.train import Pictures, Plan, Run, class_weights, fit, predict, watched

HONEST, PAPER = "honest", "paper"


@dataclass(frozen=True)
class TrainJob:
    data: Path
    recipe: str = "or"
    protocol: str = HONEST
    holdout_share: float | None = None  # of TRAIN's blocks, instead of the recipe's
    out: Path | None = None
    extra: tuple[Path, ...] = ()
    epochs: int | None = None
    batch: int | None = None
    peak_lr: float | None = None
    seed: int = 1
    device: str = "auto"
    resume: bool = False
    arch: str | None = None
    framing: str | None = None
    backbone: str | None = None
    cache: Path = DEFAULT_CACHE


def train(job: TrainJob) -> dict[str, Any]:
    """Run the job; returns what metrics.json holds. Writes model.safetensors, its card, metrics.json, report.html, logs."""
    began = time.monotonic()
    keep_freed_memory()
    recipe = settled_recipe(job)
    check_out(job, recipe)
    world, device = join_world(pick_device(job.device))
    at_start = record.machine(device)
    pictures, test = gather(job, recipe)
    run = Run(recipe, folder_of(job, recipe), job.seed, device, world)
    resumed = job.resume and run.checkpoint.exists()
    if world.leads:
        if not job.resume:
            forget_unfinished(run.folder)
        run.log({"event": "start", "recipe": recipe.name, "device": str(device), "threads": torch.get_num_threads()})
    best = BestOnTest(run, test, resumed) if job.protocol == PAPER and world.leads else None
    origin = {"protocol": job.protocol}
    if job.protocol == PAPER:
        origin |= {"TEST, which chooses the epoch": test.pictures.fingerprint()[:12]}
    with memory_told():
        learnt = learned(run, pictures, job, origin, best)
    facts = training_facts(job, recipe, pictures) | learnt.found
    facts |= {"backbone_learnt_from": None if recipe.kind == "scratch" else learnt_from(job.backbone or DEFAULT)}
    facts |= {"machine": at_start, "load_at_end": record.machine(device)["load"]}
    facts |= {
        "resumed": resumed,
        "learned_s": round(time.monotonic() - began, 1),
        "epochs_s": round(run.epochs_s, 1),
    }
    if best is not None:
        best.restore(learnt.model)
        facts |= {"test_by_epoch": list(best.accuracies.values())}
    world.wait()
    with memory_told():
        result = finish(run, learnt, pictures, test, facts, began) if world.leads else {}
    world.wait()
    leave_world(world)
    return result


def learned(run: Run, pictures: Pictures, job: TrainJob, origin: dict[str, str], best: BestOnTest | None) -> Learned:
    """From nothing; the head alone, in epochs or at once; or head first and then all."""
    watch, recipe = best.look if best else None, run.recipe
    if recipe.kind == "scratch":
        if job.backbone is not None:
            raise ConfigError("--backbone belongs to the recipes ortl and finetune; `or` starts from nothing.")
        return Learned(fit(run, pictures, Plan(None, job.resume, watch, origin)))
    torch.manual_seed(job.seed)  # of the head, which no file has
    model, key = read_backbone(job.backbone or DEFAULT, recipe.arch, len(pictures.classes))
    plan = Plan(model, job.resume, watch, origin | {"backbone": key})
    if recipe.kind == "head":
        return Learned(fit(run, pictures, plan))
    if recipe.fresh_norm:
        measure_norm(model, pictures.train, recipe.input_px, run.device, job.seed)
        key += f"-norm-{pictures.train.pictures.fingerprint()[:16]}-{recipe.input_px}-{job.seed}"
    features = Features(model, key, job.cache, run.device)
    views = features.views(pictures.train, recipe.views_px, recipe.mirror_views)
    labels, weights = pictures.train.labels, class_weights(pictures, recipe)
    if best and recipe.kind == "frozen":
        # The paper keeps what did best on TEST; an honest run has its strength from folds of TRAIN.
        for trial, l2 in enumerate(recipe.l2, start=1):
            set_head(model, *fit_head(views, labels, weights, l2).folded())
            best.look(trial, model)
        return Learned(model)
    choice = choose_l2(views, labels, weights, recipe.l2)
    head = fit_head(views, labels, weights, choice.l2)
    set_head(model, *head.folded())
    found: dict[str, Any] = {"head": {"l2": choice.l2, "tried": [list(row) for row in choice.tried]}}
    if pictures.holdout is not None:
        held = head.logits(features.views(pictures.holdout, recipe.views_px, recipe.mirror_views)).argmax(1)
        found["head"]["holdout_accuracy"] = float((held == pictures.holdout.labels).mean())
    if run.world.leads:
        run.log({"event": "head"} | found["head"])
    if recipe.kind == "frozen":
        return Learned(model, found, choice.out_of_fold)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tuned = fit(run, pictures, plan)
    return Learned(tuned, found | mixed_in(run, pictures, tuned, before, best))


def mixed_in(
    run: Run, pictures: Pictures, tuned: nn.Module, before: Weights, best: BestOnTest | None
) -> dict[str, Any]:
    """Some of the weights before fine-tuning go back in: as much as the held-out blocks (or the paper's TEST) want."""
    shares, holdout = run.recipe.tuned_share, pictures.holdout

    trial = count(run.recipe.epochs + 1)

    def loss(model: nn.Module) -> float:
        if holdout is None:
            return -best.look(next(trial), model) if best else 0.0
        # Mixing softens logits, and softness alone must not decide: a temperature is fitted afterwards anyway.
        return metrics.calibrated_log_loss(predict(model, holdout, run.recipe.input_px, run.device), holdout.labels)

    if shares == (1.0,):
        return {}
    mix = choose_mix(tuned, before, shares, loss)
    found = {"mix": {"tuned_share": mix.tuned_share, "tried": [list(row) for row in mix.tried]}}
    if run.world.leads:
        run.log({"event": "mix"} | found["mix"] | watched(tuned, pictures, run, run.recipe.input_px))
    return found


def check_out(job: TrainJob, recipe: Recipe) -> None:
    """Raises ConfigError: a training that is in the folder already is gone on with or left alone."""
    if job.out is None:
        if job.resume:
            raise ConfigError("--resume: which training? Give its folder with --out.")
        return
    finished, cut = (job.out / name for name in ("model.safetensors", "checkpoint.safetensors"))
    there = [path.name for path in (finished, cut) if path.exists()]
    if there and not job.resume:
        raise ConfigError(
            f"--out {job.out}: holds a training already ({there[0]}). A new one takes a new folder; --resume goes on with one "
            "that was cut."
        )
    if there and recipe.kind == "frozen":
        raise ConfigError(
            f"--resume: {recipe.name} has no epochs to go on from. Start it in another --out than {job.out}."
        )
    if finished.exists() and not cut.exists():
        raise ConfigError(f"--resume: {job.out} holds a finished model and no checkpoint. Start in another --out.")


def folder_of(job: TrainJob, recipe: Recipe) -> Path:
    return job.out or Path("runs") / f"{recipe.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def forget_unfinished(folder: Path) -> None:
    """Logs of a start that came to nothing: a new run's curves are its own."""
    for name in ("metrics.jsonl", "train.log", "best.json", "best.safetensors"):
        (folder / name).unlink(missing_ok=True)


def settled_recipe(job: TrainJob) -> Recipe:
    if job.protocol not in (HONEST, PAPER):
        raise ConfigError(f"--protocol {job.protocol}: use honest or paper.")
    published = AS_PUBLISHED if job.protocol == PAPER else {}
    recipe = read_recipe(published.get(job.recipe, job.recipe))
    if job.framing is not None and job.framing not in PREPROCESSING:
        raise ConfigError(f"--framing {job.framing}: use {' or '.join(PREPROCESSING)}.")
    if job.peak_lr is not None and job.peak_lr <= 0:
        raise ConfigError(f"--peak-lr {job.peak_lr}: a rate is above zero; the recipe's is {recipe.peak_lr}.")
    for name, value in (("peak-lr", job.peak_lr), ("epochs", job.epochs)):
        if value is not None and recipe.kind == "frozen":
            raise ConfigError(f"--{name} {value}: the head of {recipe.name} is solved, not learnt in steps.")
    changes = {key: value for key, value in asked_of(job).items() if key != "epochs" and value is not None}
    recipe = recipe.model_copy(update=changes)
    if job.protocol == PAPER and job.holdout_share:
        raise ConfigError(f"--holdout-share {job.holdout_share}: the paper's protocol learns from all of TRAIN.")
    if job.protocol == PAPER:
        recipe = recipe.model_copy(update={"holdout_share": 0.0})
    if job.extra and recipe.framing != "squash":
        raise ConfigError(
            f"--extra: belt crops show whole items, and --framing {recipe.framing} would cut their ends off."
        )
    return recipe.with_epochs(job.epochs) if job.epochs else recipe


def asked_of(job: TrainJob) -> dict[str, Any]:
    """What the job wants otherwise than its recipe; None where it wants nothing."""
    return {key: getattr(job, key) for key in ("arch", "framing", "epochs", "batch", "peak_lr", "holdout_share")}


def gather(job: TrainJob, recipe: Recipe) -> tuple[Pictures, Cache]:
    tree = with_test(read_tree(job.data), job.seed)
    assert tree.test is not None
    if len(tree.train.classes) < 2:
        raise ConfigError(
            f"{job.data}: one class only ({tree.train.classes[0]}): nothing to tell apart. {whole_tree(job.data)}"
        )
    side_px, cache, framing = recipe.cache_px, job.cache, recipe.framing
    # One file for the whole of TRAIN, whatever is held out of it.
    whole = open_cache(tree.train, side_px, cache, framing)
    kept, held = hold_out_blocks(whole.labels, recipe.holdout_share, job.seed)
    extra = merged([read_folder(folder, tree.train.classes) for folder in job.extra])
    pictures = Pictures(
        train=whole.take(kept),
        holdout=whole.take(held) if len(held) else None,
        extra=open_cache(extra, side_px, cache) if extra else None,
        classes=tree.train.classes,
    )
    if not len(pictures.train.labels):
        raise ConfigError(f"{job.data}: no readable picture to train on.")
    test = open_cache(tree.test, recipe.input_px, cache, framing)
    if not len(test.labels):
        raise ConfigError(
            f"{job.data}: no readable picture to judge by: all {len(tree.test.pictures)} of TEST are damaged."
        )
    return pictures, test


def whole_tree(data: Path) -> str:
    inner = [folder for folder in sorted(data.iterdir()) if folder.is_dir() and subfolder(folder, "train")]
    return f"Give {inner[0]}." if inner else "Give a folder with a folder of pictures per class."


def merged(sets: list[PictureSet]) -> PictureSet | None:
    if not sets:
        return None
    return PictureSet(tuple(picture for one in sets for picture in one.pictures), sets[0].classes)


def training_facts(job: TrainJob, recipe: Recipe, pictures: Pictures) -> dict[str, Any]:
    return {
        "recipe": recipe.model_dump(mode="json"),
        "protocol": job.protocol,
        "selected_on_test": job.protocol == PAPER,
        "data": job.data.name,
        "backbone": Path(job.backbone).name if job.backbone else None,
        "asked": {key.replace("_", "-"): value for key, value in asked_of(job).items()},
        "extra": [folder.name for folder in job.extra],
        "seed": job.seed,
        "n_train": len(pictures.train.labels),
        "n_holdout": 0 if pictures.holdout is None else len(pictures.holdout.labels),
        "n_extra": 0 if pictures.extra is None else len(pictures.extra.labels),
        "unreadable": [Path(name).name for name in pictures.train.unreadable],
        "versions": record.versions(),
    }


def keep_freed_memory() -> None:
    """glibc hands large blocks back to the system and faults them in again every step: 28 % of a CPU step."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.system() == "Linux" else None
    if mallopt is not None:
        m_trim_threshold, m_mmap_max = -1, -4
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)
