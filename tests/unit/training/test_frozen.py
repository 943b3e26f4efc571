"""The head of a frozen backbone: the optimum, how strong its L2, and features that are computed once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from station.recognition.model import build_model
from tests.unit.training.conftest import write_pictures
from training.cache import open_cache
from training.dataset import read_folder
from training.frozen import Features, choose_l2, fit_head, headless, out_of_fold

WEIGHTS = torch.ones(2)


def test_the_head_found_is_the_optimum() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, (400, 6)).astype(np.float32)
    labels = (features[:, 0] + 0.3 * rng.normal(size=400) > 3).astype(np.int64)
    weight, bias = fit_head(features[None], labels, WEIGHTS, l2=0.01).folded()
    called = (torch.from_numpy(features) @ weight.T + bias).argmax(1).numpy()
    assert (called == labels).mean() > 0.93
    assert abs(float(weight[1, 0])) > 5 * float(weight[:, 1:].abs().max())


def test_the_mean_over_views_is_the_head_of_the_mean() -> None:
    rng = np.random.default_rng(1)
    views = rng.normal(size=(3, 50, 4)).astype(np.float32)
    head = fit_head(views, rng.integers(0, 2, 50), WEIGHTS, l2=0.1)
    weight, bias = head.folded()
    each = np.stack([(torch.from_numpy(view) @ weight.T + bias).numpy() for view in views])
    assert np.allclose(head.logits(views), each.mean(0), atol=1e-4)


def shifting(strength: float) -> tuple[np.ndarray, np.ndarray]:
    """One true direction, and per block a strong false one that no other block shares."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 500)
    block = np.tile(np.arange(500) // 20, 2)
    x = rng.normal(size=(1000, 60)).astype(np.float32)
    x[:, 0] += 1.2 * (labels - 0.5)
    x[np.arange(1000), 1 + block * 2 + labels] += strength
    return x[None], labels


def test_folds_of_blocks_want_a_strong_l2_where_each_block_has_its_own_look() -> None:
    views, labels = shifting(6.0)
    choice = choose_l2(views, labels, WEIGHTS, (1e-4, 1e-2, 1.0))
    assert choice.l2 == 1.0
    assert [row[0] for row in choice.tried] == [1.0, 1e-2, 1e-4]
    losses, accuracies = ([row[at] for row in choice.tried] for at in (1, 2))
    assert losses == sorted(losses)
    assert accuracies[0] > accuracies[-1]


def test_out_of_fold_logits_know_nothing_of_a_block_s_own_look() -> None:
    views, labels = shifting(6.0)
    choice = choose_l2(views, labels, WEIGHTS, (1e-2,))
    learnt = fit_head(views, labels, WEIGHTS, choice.l2).logits(views)
    unseen = choice.out_of_fold
    assert (learnt.argmax(1) == labels).mean() > 0.8
    assert (unseen.argmax(1) == labels).mean() == choice.tried[0][2] < 0.7


def test_without_pictures_for_every_fold_some_are_judged_by_nobody() -> None:
    logits = out_of_fold(np.ones((1, 2, 3), np.float32), np.array([0, 1]), WEIGHTS, (0.1,))
    assert np.array_equal(logits, np.zeros((1, 2, 2)))


def test_features_are_computed_once_for_every_part_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path / "data" / "O", "O", range(6))
    write_pictures(tmp_path / "data" / "R", "R", range(5))
    whole = open_cache(read_folder(tmp_path / "data"), 32, tmp_path / "cache")
    torch.manual_seed(0)
    model = build_model("resnet18", 2).eval()
    features = Features(model, "key", tmp_path / "cache", torch.device("cpu"))
    views = features.views(whole, (32,))
    assert views.shape == (2, 11, 512)
    assert not np.array_equal(views[0], views[1])

    def forbidden(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(Features, "_run", forbidden)
    rows = np.array([8, 1])
    assert np.array_equal(features.views(whole.take(rows), (32,)), views[:, rows])


def test_headless_is_over_when_the_block_is() -> None:
    model = build_model("mobilenet_v3_small", 2)
    x = torch.zeros(1, 3, 32, 32)
    with torch.inference_mode(), headless(model) as backbone:
        assert backbone(x).shape == (1, 1024)
    assert model.eval()(x).shape == (1, 2)
