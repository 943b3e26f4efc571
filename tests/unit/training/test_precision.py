import pytest
import torch
from torch import nn

from training import precision


@pytest.mark.parametrize(
    ("in_hardware", "half", "expected"),
    [(True, True, torch.bfloat16), (True, False, torch.float32), (False, True, torch.float32)],
)
def test_a_network_computes_in_bf16_only_where_it_is_no_emulation(
    monkeypatch: pytest.MonkeyPatch, in_hardware: bool, half: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "device_has_bf16", lambda device: in_hardware)
    with precision.mixed(torch.device("cpu"), half):
        assert nn.Conv2d(3, 4, 1)(torch.zeros(1, 3, 2, 2)).dtype is expected
