"""`station bench train`: two procedures on the same pictures, and what is said of a part."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from station.errors import ConfigError
from station.recognition.model import build_model
from tests.unit.training.conftest import RecipeWriter
from training import bench, session
from training.bench import BenchJob, bench_train, every, extrapolations, thinned
from training.dataset import read_tree
from training.tutorial import tutorial


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, recipe_of: RecipeWriter) -> None:
    monkeypatch.setattr(session, "keep_freed_memory", lambda: None)
    tiny = recipe_of()
    own = session.train

    def small(job: Any) -> Any:
        return own(replace(job, recipe=tiny))

    monkeypatch.setattr(bench, "train", small)
    monkeypatch.setattr("training.tutorial.WORKERS", 0)


def test_both_procedures_see_the_same_pictures_and_the_rest_is_called_extrapolated(tree: Path) -> None:
    said: list[str] = []
    figures = bench_train(BenchJob(tree, "or", fraction=0.2, plain_epochs=1, device="cpu"), said.append)
    assert figures["plain"]["accuracy"]["n"] == figures["ours"]["accuracy"]["n"] == 8
    assert figures["ratio"] == pytest.approx(15 * figures["plain"]["seconds"] / figures["ours"]["seconds"], rel=0.02)
    assert any("1 plain epochs" in line for line in figures["extrapolated"])
    assert any("a part of TEST" in line for line in figures["extrapolated"])
    assert len(said) == 3
    assert said[1].startswith("plain: epoch 1/1, ")
    assert said[1].endswith("about 0 s left")
    json.dumps(figures, allow_nan=False)


def test_of_all_epochs_and_pictures_nothing_is_extrapolated() -> None:
    figures = {"seconds_of_15_epochs": 10.0, "seconds": 2.0}
    assert extrapolations(BenchJob(Path(), "or"), figures, figures) == []


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        pytest.param(BenchJob(Path("x"), "finetune"), "or and ortl", id="other recipe"),
        pytest.param(BenchJob(Path("x"), "ortl"), "--backbone", id="no weights"),
    ],
)
def test_what_cannot_be_compared_is_refused(job: BenchJob, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        bench_train(job, lambda line: None)


def test_a_tree_without_test_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data split"):
        thinned(BenchJob(tree / "TRAIN", "or"), tmp_path)


def test_a_part_is_taken_evenly_from_each_class(tree: Path) -> None:
    part = every(read_tree(tree).train, 0.1)
    assert [picture.label for picture in part.pictures] == ["organic"] * 6 + ["recyclable"] * 5
    assert every(part, 1.0) == part


def test_the_plain_head_drifts_in_its_normalisation_and_nowhere_else(tree: Path) -> None:
    torch.manual_seed(0)
    model, pictures = build_model("resnet18", 2), every(read_tree(tree).train, 0.1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    done = tutorial(model, True, (pictures, pictures), 1, torch.device("cpu"))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert {name for name in changed if "running" not in name and "num_batches" not in name} == {
        "fc.weight",
        "fc.bias",
    }
    assert "layer4.1.bn2.running_mean" in changed
    assert (done.judged, done.seen, len(done.correct)) == (11, 22, 1)
