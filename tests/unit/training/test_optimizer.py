"""How far each weight moves: the rate over a run, groups, and what Muon does to a convolution."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from station.recognition.model import build_resnet18
from tests.unit.training.conftest import RecipeWriter
from training.optimizer import Muon, Optimizers, of_peak, orthogonal, parameter_groups
from training.recipes import Recipe, read_recipe


@pytest.fixture
def recipe(recipe_of: RecipeWriter) -> Recipe:
    return read_recipe(recipe_of())


def network() -> torch.nn.Module:
    return build_resnet18(2).to(memory_format=torch.channels_last)


def with_gradients(model: torch.nn.Module) -> torch.nn.Module:
    rng = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=rng)
    return model


def test_the_rate_rises_once_and_ends_at_nothing(recipe: Recipe) -> None:
    rates = [of_peak(share, recipe) for share in np.linspace(0, 1, 101)]
    assert max(rates) == pytest.approx(1.0, rel=0.01)
    assert int(np.argmax(rates)) == round(100 * recipe.warmup_share)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert all(a >= b for a, b in pairwise(rates[21:]))


def test_the_tutorial_s_rate_falls_in_steps() -> None:
    recipe = read_recipe("or-paper")
    rates = [of_peak((epoch + 0.5) / 15, recipe) for epoch in range(15)]
    assert rates == pytest.approx([1.0] * 7 + [0.1] * 7 + [0.01])


def test_normalisation_and_biases_do_not_decay_and_the_backbone_learns_slower(recipe: Recipe) -> None:
    model = build_resnet18(2)
    groups = parameter_groups(model, recipe)
    of = {id(p): group for group in groups for p in group["params"]}  # type: ignore[attr-defined]
    assert len(of) == len(list(model.parameters()))
    assert of[id(model.get_parameter("bn1.weight"))]["weight_decay"] == 0
    assert of[id(model.get_parameter("fc.bias"))]["weight_decay"] == 0
    assert of[id(model.get_parameter("conv1.weight"))]["weight_decay"] == pytest.approx(5e-4)
    assert of[id(model.get_parameter("fc.weight"))]["peak"] == pytest.approx(recipe.peak_lr)
    assert of[id(model.get_parameter("conv1.weight"))]["peak"] == pytest.approx(0.1 * recipe.peak_lr)


def test_each_parameter_is_moved_by_one_rule(recipe: Recipe) -> None:
    model = network()
    optimizers = Optimizers(model, recipe.model_copy(update={"muon_lr": 0.02}))
    sgd, muon = ([p for group in rule.param_groups for p in group["params"]] for rule in optimizers.parts)
    assert sorted(map(id, (*sgd, *muon))) == sorted(map(id, model.parameters()))
    assert {parameter.ndim for parameter in muon} == {4}


def test_muon_turns_a_kernel_by_as_much_in_every_direction(recipe: Recipe) -> None:
    model, peak = network(), 0.02
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    recipe = recipe.model_copy(update={"muon_lr": peak, "muon_decay": 0.0})
    optimizers = Optimizers(with_gradients(model), recipe)
    optimizers.step(recipe.warmup_share)
    for name in ("layer1.0.conv1.weight", "layer2.0.conv1.weight"):
        moved = (before[name] - model.get_parameter(name).detach()).flatten(1)
        lengths = torch.linalg.svdvals(moved) / peak
        # Newton and Schulz's five rounds leave them between 0.7 and 1.2: by design, as torch says.
        assert float(lengths.min()) > 0.6
        assert float(lengths.max()) < 1.3
    assert not torch.equal(before["bn1.weight"], model.get_parameter("bn1.weight"))


def test_cleared_gradients_move_nothing(recipe: Recipe) -> None:
    model = network()
    optimizers = Optimizers(with_gradients(model), recipe.model_copy(update={"muon_lr": 0.02}))
    optimizers.clear()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizers.step(0.5)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_sgd_alone_moves_everything_unless_the_recipe_asks_for_muon(recipe: Recipe) -> None:
    assert [type(rule).__name__ for rule in Optimizers(network(), recipe).parts] == ["SGD"]


@pytest.mark.parametrize("shape", [(8, 12), (12, 8)], ids=["wide", "tall"])
def test_it_moves_as_torch_s_own_muon_moves_matrices(shape: tuple[int, int]) -> None:
    rng = torch.Generator().manual_seed(5)
    start = torch.randn(shape, generator=rng)
    theirs, ours = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone()[:, :, None, None])
    rules = (
        torch.optim.Muon([theirs], 0.1, weight_decay=0.3, momentum=0.9),
        Muon([ours], peak=0.1, decay=0.3, momentum=0.9),
    )
    for _ in range(3):
        theirs.grad = torch.randn(shape, generator=rng)
        ours.grad = theirs.grad.clone()[:, :, None, None]
        for rule in rules:
            rule.step()
    # Two formats of 8 and 24 bits where there are no instructions for the shorter one.
    assert torch.allclose(theirs, ours[:, :, 0, 0], atol=0.02)
    assert not torch.allclose(theirs, start, atol=0.2)


@pytest.mark.parametrize("has_bf16", [True, False])
def test_it_computes_in_bf16_only_where_the_hardware_does(monkeypatch: pytest.MonkeyPatch, has_bf16: bool) -> None:
    formats = list[torch.dtype]()

    def counted(*matrices: torch.Tensor, **how: float) -> Any:
        formats.append(matrices[0].dtype)
        return addmm(*matrices, **how)

    addmm: Any = torch.addmm
    monkeypatch.setattr("training.optimizer.device_has_bf16", lambda device: has_bf16)
    monkeypatch.setattr(torch, "addmm", counted)
    turned = orthogonal(torch.randn(6, 20, generator=torch.Generator().manual_seed(1)))
    assert set(formats) == {torch.bfloat16 if has_bf16 else torch.float32}
    assert turned.dtype == torch.float32
    assert float((turned @ turned.T - torch.eye(6)).abs().max()) < 0.6
