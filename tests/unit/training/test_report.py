"""report.html of a run."""

import numpy as np
import torch
from torch import nn

from station.recognition.model import build_resnet18
from training.report import block_bars, confusion_table, curves, grad_cam, line_chart


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
    table = confusion_table({"labels": ["<script>", "b"], "counts": [[1, 2], [3, 4]]})
    assert "<script>" not in table
    bars = block_bars([{"label": "<b>", "n": 3, "accuracy": 0.5}])
    assert "<b>" not in bars


def test_a_chart_of_one_epoch_is_drawn() -> None:
    assert "polyline" in line_chart("loss", [(1, 0.5)])
    assert curves([]) == []
    assert len(curves([{"epoch": 1, "loss": 0.5, "holdout_loss": 0.4, "holdout_accuracy": 0.9}])) == 3
