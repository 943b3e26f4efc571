"""The loop: it learns, it can be cut off at any epoch, and it is the same for one process and for two."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from station.errors import ConfigError, ModelError
from station.recognition.model import build_resnet18
from tests.unit.training.conftest import RecipeWriter
from training import train
from training.cache import open_cache
from training.checkpoint import load_checkpoint
from training.dataset import hold_out_blocks, read_tree
from training.distributed import ALONE, World
from training.optimizer import Optimizers
from training.progress import ProgressLine
from training.recipes import Stage, read_recipe
from training.train import Pictures, Plan, Run, batches, class_weights, epoch_order, fit, settings_of


@pytest.fixture
def pictures(tree: Path, tmp_path: Path) -> Pictures:
    data = read_tree(tree)
    assert data.test is not None
    kept, held = hold_out_blocks(data.train.labels, 0.1, 1)
    train, holdout = (open_cache(data.train.take(rows), 40, tmp_path / "cache") for rows in (kept, held))
    extra = open_cache(data.test, 40, tmp_path / "cache")
    return Pictures(train, holdout, extra, data.train.classes)


def make_run(recipe_of: RecipeWriter, folder: Path, world: World = ALONE) -> Run:
    return Run(read_recipe(recipe_of()), folder, seed=5, device=torch.device("cpu"), world=world)


def weights_of(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()])


def test_it_learns_what_a_child_could(pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path) -> None:
    run = make_run(recipe_of, tmp_path / "run")
    run.recipe = run.recipe.with_epochs(6)
    fit(run, pictures, Plan())
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert rows[-1]["holdout_accuracy"] >= 0.9
    assert (run.folder / "train.log").read_text().count("\n") == 6


@pytest.mark.parametrize("muon_lr", [None, 0.02])
def test_a_resumed_run_equals_one_that_was_never_cut(
    pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path, muon_lr: float | None
) -> None:
    class Cut(Exception):
        pass

    def cut(epoch: int, _model: torch.nn.Module) -> None:
        if epoch == 2:
            raise Cut

    def made(name: str) -> Run:
        run = make_run(recipe_of, tmp_path / name)
        run.recipe = run.recipe.model_copy(update={"muon_lr": muon_lr})
        return run

    whole = fit(made("whole"), pictures, Plan())
    with pytest.raises(Cut):
        fit(made("cut"), pictures, Plan(after_epoch=cut))
    resumed = fit(made("cut"), pictures, Plan(resume=True))
    assert torch.allclose(weights_of(whole), weights_of(resumed), atol=1e-5)
    assert not list((tmp_path / "cut").glob(".*"))


@pytest.mark.parametrize("resumed_after", [0, 1, 2])
def test_the_time_left_knows_that_larger_pictures_take_longer(
    pictures: Pictures,
    recipe_of: RecipeWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resumed_after: int,
) -> None:
    lines = list["Counted"]()

    class Counted(ProgressLine):
        def __init__(self, what: str, total: int, done: int = 0) -> None:
            super().__init__(what, total, io.StringIO(), done=done)
            self.total, self.done, self.ticks = total, done, list[int]()
            lines.append(self)

        def tick(self, pieces: int, note: str = "") -> None:
            self.ticks.append(pieces)

    def cut(epoch: int, _model: torch.nn.Module) -> None:
        if epoch == resumed_after + 1:
            raise InterruptedError

    monkeypatch.setattr(train, "ProgressLine", Counted)
    run = make_run(recipe_of, tmp_path / "run")
    run.recipe = run.recipe.model_copy(
        update={"stages": (Stage(side_px=16, epochs=2), Stage(side_px=32, epochs=1)), "input_px": 32}
    )
    if resumed_after:
        with pytest.raises(InterruptedError):
            fit(run, pictures, Plan(after_epoch=cut))
    fit(run, pictures, Plan(resume=True))
    line = lines[-1]
    assert line.done + sum(line.ticks) == line.total
    small, large = (run.recipe.picture_work_px2(side_px) for side_px in (16, 32))
    assert line.done / line.total == pytest.approx(resumed_after * small / (2 * small + large))
    assert line.ticks[0] == (large if resumed_after == 2 else small)
    assert line.ticks[-1] == large


def test_resuming_from_a_damaged_checkpoint_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    model = build_resnet18(2)
    with pytest.raises(ModelError, match="checkpoint"):
        load_checkpoint(path, model, build_resnet18(2), Optimizers(model, read_recipe("or-paper")), {})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"recipe": {"muon_lr": 0.02}}, r"muon_lr None \(now 0.02\)", id="another rule of moving"),
        pytest.param({"recipe": {"batch": 16}}, r"batch 8 \(now 16\)", id="batch"),
        pytest.param({"seed": 6}, r"seed 5 \(now 6\)", id="seed"),
        pytest.param({"holdout": None}, r"pictures held out .*\(now none\)", id="other pictures held out"),
        pytest.param({"origin": {"protocol": "paper"}}, r"protocol honest \(now paper\)", id="protocol"),
    ],
)
def test_only_the_same_training_goes_on(
    pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    run, origin = make_run(recipe_of, tmp_path / "run"), {"protocol": "honest"}
    run.recipe = run.recipe.with_epochs(1)
    fit(run, pictures, Plan(origin=origin))
    run.seed = changes.get("seed", run.seed)
    run.recipe = run.recipe.model_copy(update=changes.get("recipe", {}))
    other = replace(pictures, holdout=None) if "holdout" in changes else pictures
    with pytest.raises(ConfigError, match=complaint) as told:
        fit(run, other, Plan(resume=True, origin=changes.get("origin", origin)))
    assert "without --resume" in str(told.value)


def test_a_checkpoint_that_does_not_say_of_what_training_is_said_to_be_old(
    pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    run = make_run(recipe_of, tmp_path / "run")
    run.recipe = run.recipe.with_epochs(1)
    fit(run, pictures, Plan())
    save_file(load_file(run.checkpoint), run.checkpoint, metadata={"epochs": "1", "seconds": "2.0"})
    with pytest.raises(ConfigError, match="older version"):
        fit(run, pictures, Plan(resume=True))


def test_momentum_of_other_optimizers_is_not_taken_for_one_s_own(
    pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    run = make_run(recipe_of, tmp_path / "run")
    run.recipe = run.recipe.with_epochs(1)
    fit(run, pictures, Plan())
    model = build_resnet18(2)
    optimizers = Optimizers(model, run.recipe.model_copy(update={"muon_lr": 0.02}))
    with pytest.raises(ModelError, match="without --resume"):
        load_checkpoint(run.checkpoint, model, build_resnet18(2), optimizers, settings_of(run, pictures, Plan()))


@pytest.mark.parametrize("cut_at", [1, 2])
def test_what_the_global_generator_draws_depends_on_the_epoch_alone(
    pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path, cut_at: int
) -> None:
    class Cut(Exception):
        pass

    def cut(epoch: int, _model: torch.nn.Module) -> None:
        if epoch == cut_at:
            raise Cut

    def made(name: str) -> Run:
        run = make_run(recipe_of, tmp_path / name)
        run.recipe = run.recipe.with_epochs(2).model_copy(update={"arch": "mobilenet_v3_small"})
        return run

    whole = fit(made("whole"), pictures, Plan())
    with pytest.raises(Cut):
        fit(made("cut"), pictures, Plan(after_epoch=cut))
    torch.rand(17)
    assert torch.allclose(weights_of(whole), weights_of(fit(made("cut"), pictures, Plan(resume=True))), atol=1e-5)


def test_every_picture_comes_once_an_epoch_and_extra_ones_by_share(pictures: Pictures, recipe_of: RecipeWriter) -> None:
    recipe = read_recipe(recipe_of()).model_copy(update={"extra_share": 0.5})
    own, extra = len(pictures.train.labels), len(pictures.extra.labels if pictures.extra else [])
    orders = [epoch_order(pictures, recipe, 1, epoch) for epoch in range(4)]
    for order in orders:
        assert len(set(order.tolist())) == len(order) == own + extra // 2
        assert set(range(own)) <= set(order.tolist())
    assert orders[0].tolist() != orders[1].tolist()
    assert len({row for order in orders for row in order.tolist()}) > own + extra // 2


def test_two_ranks_share_each_batch_without_overlap(
    pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    def seen(world: World) -> list[np.ndarray]:
        run = make_run(recipe_of, tmp_path / "run", world)
        return [images.numpy() for images, _, _ in batches(pictures, run.recipe, run, 0)]

    alone, first, second = seen(World()), seen(World(0, 2)), seen(World(1, 2))
    assert len(alone) == len(first) == len(second)
    for whole, *halves in zip(alone, first, second, strict=True):
        together = np.concatenate(halves)
        assert sorted(map(bytes, together)) == sorted(map(bytes, whole))


def test_the_smaller_class_weighs_more(pictures: Pictures, recipe_of: RecipeWriter) -> None:
    recipe = read_recipe(recipe_of())
    weights = class_weights(replace(pictures, extra=None), recipe)
    counts = np.bincount(pictures.train.labels)
    assert (weights.numpy() * counts).tolist() == pytest.approx([counts.sum() / 2] * 2)
    assert class_weights(pictures, recipe.model_copy(update={"balance_classes": False})).tolist() == [1, 1]


def test_of_a_frozen_network_only_head_and_statistics_move(
    pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    start = build_resnet18(2)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    run = make_run(recipe_of, tmp_path / "run")
    run.recipe = run.recipe.model_copy(update={"kind": "head", "tutorial": True, "ema_decay": 0.0})
    after = fit(run, pictures, Plan(start)).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name for name in moved if "running" not in name and "num_batches" not in name} == {"fc.weight", "fc.bias"}
    assert "layer1.0.bn1.running_mean" in moved


def test_held_statistics_stay_while_the_weights_learn(
    pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    start = build_resnet18(2)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    run = make_run(recipe_of, tmp_path / "run")
    run.recipe = run.recipe.with_epochs(1).model_copy(update={"kind": "finetune", "frozen_norm": True})
    after = fit(run, pictures, Plan(start)).state_dict()
    assert [name for name in before if "running" in name and not torch.equal(before[name], after[name])] == []
    assert not torch.equal(before["layer1.0.bn1.weight"], after["layer1.0.bn1.weight"])
    assert not torch.equal(before["layer4.1.conv2.weight"], after["layer4.1.conv2.weight"])


def test_clipped_gradients_bound_the_step(pictures: Pictures, recipe_of: RecipeWriter, tmp_path: Path) -> None:
    start = build_resnet18(2)
    before = start.get_parameter("layer4.1.conv2.weight").detach().clone()
    run = make_run(recipe_of, tmp_path / "run")
    steps = len(pictures.train.labels) // run.recipe.batch + 1
    changes = {"kind": "finetune", "clip_norm": 1e-6, "weight_decay": 0.0, "ema_decay": 0.0}
    run.recipe = run.recipe.with_epochs(1).model_copy(update=changes)
    after = fit(run, replace(pictures, extra=None), Plan(start)).get_parameter("layer4.1.conv2.weight").detach()
    as_far_as_momentum_carries = 2 / (1 - run.recipe.momentum)
    assert 0 < float((after - before).norm()) <= steps * run.recipe.peak_lr * 1e-6 * as_far_as_momentum_carries
