"""report.html of a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from station.recognition.model import build_resnet18
from training import figures
from training.grad_cam import grad_cam
from training.page import spread, table
from training.report import confusion_table, curves, not_reached, read_epochs


class Quadrants(nn.Module):
    """Speaks for label 1 where the lower right corner is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.layer4 = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.layer4.weight, 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.layer4(x)
        return torch.stack((maps[:, 0].mean((1, 2)), maps[:, 1].mean((1, 2))), 1)


def test_grad_cam_points_at_what_spoke_for_the_label() -> None:
    x = torch.zeros(1, 3, 8, 8)
    x[..., 5:, 5:] = 1
    heat = grad_cam(Quadrants().requires_grad_(False), x, 1)
    assert heat.shape == (8, 8)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert min(row, column) >= 5
    assert heat[:4, :4].max() == 0


def test_grad_cam_works_on_a_loaded_network_and_leaves_no_hook() -> None:
    model = build_resnet18(2).eval().requires_grad_(False)
    heat = grad_cam(model, torch.rand(1, 3, 64, 64), 0)
    assert heat.shape == (2, 2)
    assert 0 <= heat.min() <= heat.max() <= 1
    assert not model.layer4._forward_hooks  # type: ignore[union-attr]


def test_names_from_folders_cannot_write_html() -> None:
    assert "<script>" not in confusion_table({"labels": ["<script>", "b"], "counts": [[1, 2], [3, 4]]})
    assert "<b>" not in table(("<b>",), [("<b>",)])
    assert "<b>" not in figures.block_accuracy([{"label": "<b>", "n": 3, "accuracy": 0.5}])


def test_curves_of_one_epoch_are_drawn_and_of_none_left_out() -> None:
    assert curves("or", []) == []
    drawn = curves(
        "or", [{"epoch": 1, "loss": 0.5, "holdout_loss": 0.4, "train_accuracy": 0.8, "holdout_accuracy": 0.9}]
    )
    assert len(drawn) == 2
    assert all(text.startswith("<svg") for text in drawn)
    assert "held-out blocks" in drawn[0]


def test_the_same_numbers_draw_the_same_bytes() -> None:
    rows = [{"coverage": 1.0, "accuracy": 0.9, "threshold": 0.5}]
    assert figures.reject(rows, rows) == figures.reject(rows, rows)


def test_an_epoch_logged_twice_counts_once_and_test_joins_it(tmp_path: Path) -> None:
    lines = [{"epoch": 1, "loss": 3.0}, {"epoch": 1, "loss": 1.0}, {"event": "test", "epoch": 1, "test_accuracy": 0.9}]
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    (epoch,) = read_epochs(path)
    assert (epoch["loss"], epoch["test_accuracy"]) == (1.0, 0.9)


@pytest.mark.parametrize(
    ("curve", "threshold", "words"),
    [
        pytest.param({"organic": [{}]}, None, "no threshold reached: organic at purity 95.00%", id="not reached"),
        pytest.param({}, None, "Nothing was held out", id="nothing held out"),
        pytest.param({"organic": [{}]}, 0.7, "", id="reached"),
    ],
)
def test_a_purity_that_no_threshold_gives_is_said_and_not_left_out(
    curve: dict[str, Any], threshold: float | None, words: str
) -> None:
    row = {"label": "organic", "wanted_purity": 0.95, "threshold": threshold}
    said = not_reached({"holdout": {"purity_recovery": curve}, "working_points": [row], "rejecting": []})
    assert (words in said) if words else said == ""


def test_what_was_not_counted_is_a_dash() -> None:
    assert spread({"value": None, "low": None, "high": None}) == "–"
