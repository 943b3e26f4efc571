"""A backbone's normalisation, measured anew on the pictures it is going to judge."""

from pathlib import Path

import pytest
import torch
from torch import nn

from station.recognition.model import build_model
from training.augment import to_input
from training.cache import open_cache
from training.dataset import read_tree
from training.normalisation import measure_norm

CPU = torch.device("cpu")


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(3)
    return build_model("resnet18", 2)


def test_the_statistics_are_those_of_the_pictures_and_the_weights_stay(
    model: nn.Module, tree: Path, tmp_path: Path
) -> None:
    cache = open_cache(read_tree(tree).train, 40, tmp_path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measure_norm(model, cache, 32, CPU, seed=1)
    with torch.no_grad():
        seen = model.get_submodule("conv1")(to_input(torch.from_numpy(cache.images[:]), 32))
    first = model.get_submodule("bn1")
    assert isinstance(first, nn.BatchNorm2d)
    assert first.running_mean is not None
    assert first.running_var is not None
    assert torch.allclose(first.running_mean, seen.mean((0, 2, 3)), atol=0.02)
    assert torch.allclose(first.running_var, seen.var((0, 2, 3)), rtol=0.1, atol=0.01)
    assert first.momentum == 0.1
    assert not model.training
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed
    assert all("running" in name or "num_batches" in name for name in changed)


def test_the_same_seed_measures_the_same(model: nn.Module, tree: Path, tmp_path: Path) -> None:
    cache = open_cache(read_tree(tree).train, 40, tmp_path)
    measure_norm(model, cache, 32, CPU, seed=1)
    once = model.state_dict()["bn1.running_var"].clone()
    measure_norm(model, cache, 32, CPU, seed=1)
    assert torch.equal(model.state_dict()["bn1.running_var"], once)
    measure_norm(model, cache, 32, CPU, seed=2)
    assert torch.allclose(model.state_dict()["bn1.running_var"], once, rtol=0.1)
