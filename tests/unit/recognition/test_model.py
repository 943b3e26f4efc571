"""The networks by name."""

import pytest
import torch

from station.errors import ModelError
from station.recognition.model import build_model, build_resnet18, head_of


def test_resnet18_ends_in_512_to_the_number_of_classes() -> None:
    name, head = head_of(build_resnet18(3))
    assert (name, head.in_features, head.out_features) == ("fc", 512, 3)


@pytest.mark.parametrize("arch", ["resnet18", "recyclenet", "mobilenet_v3_small", "squeezenet1_1"])
def test_every_architecture_gives_one_logit_per_class(arch: str) -> None:
    with torch.inference_mode():
        assert build_model(arch, 4).eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 4)


def test_recyclenet_attends_in_every_block() -> None:
    names = {name.rpartition(".")[2] for name, _ in build_model("recyclenet", 2).named_modules()}
    blocks = [m for m in build_model("recyclenet", 2).modules() if type(m).__name__ == "Attention"]
    assert len(blocks) == 8
    assert "where" in names


def test_recyclenet_s_attention_changes_what_it_sees() -> None:
    torch.manual_seed(0)
    attention = next(m for m in build_model("recyclenet", 2).modules() if type(m).__name__ == "Attention")
    x = torch.rand(1, 64, 8, 8)
    with torch.inference_mode():
        y = attention(x)
    assert y.shape == x.shape
    assert bool((y < x).all())
    assert float((y / x).std()) > 0


def test_an_unknown_architecture_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="resnet1999"):
        build_model("resnet1999", 2)


def test_a_network_without_a_last_layer_has_no_head() -> None:
    with pytest.raises(ModelError, match="no fully connected"):
        head_of(torch.nn.Conv2d(3, 2, 1))
