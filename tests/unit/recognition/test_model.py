"""The networks by name."""

import pytest
import torch

from station.errors import ModelError
from station.recognition.model import build_model, build_resnet18, head_of
from station.recognition.recyclenet import before


def test_resnet18_ends_in_512_to_the_number_of_classes() -> None:
    name, head = head_of(build_resnet18(3))
    assert (name, head.in_features, head.out_features) == ("fc", 512, 3)


@pytest.mark.parametrize("arch", ["resnet18", "recyclenet", "resnet18_multiscale", "squeezenet1_1"])
def test_every_architecture_gives_one_logit_per_class(arch: str) -> None:
    with torch.inference_mode():
        assert build_model(arch, 4).eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 4)


def test_recyclenet_is_small_and_reads_one_two_four_layers_back() -> None:
    network = build_model("recyclenet", 6)
    assert 2e6 < sum(parameter.numel() for parameter in network.parameters()) <= 3e6
    assert [before(step) for step in (1, 2, 3, 5)] == [[0], [1, 0], [2, 1], [4, 3, 1]]
    assert head_of(network)[0] == "classifier"


def test_the_multiscale_network_takes_the_weights_of_a_resnet18() -> None:
    plain, multiscale = build_resnet18(2), build_model("resnet18_multiscale", 2)
    weights = {name: tensor for name, tensor in plain.state_dict().items() if not name.startswith("fc.")}
    assert multiscale.load_state_dict(weights, strict=False).missing_keys == ["fc.weight", "fc.bias"]
    head = torch.cat((torch.zeros(2, 256), plain.get_parameter("fc.weight").detach()), dim=1)
    multiscale.load_state_dict({"fc.weight": head, "fc.bias": plain.get_parameter("fc.bias").detach()}, strict=False)
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(multiscale.eval()(x), plain.eval()(x), atol=1e-4)


def test_every_layer_of_recyclenet_learns() -> None:
    network = build_model("recyclenet", 3)
    network(torch.rand(2, 3, 64, 64)).square().sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert still == []


def test_an_unknown_architecture_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="resnet1999"):
        build_model("resnet1999", 2)


def test_a_network_without_a_last_layer_has_no_head() -> None:
    with pytest.raises(ModelError, match="no fully connected"):
        head_of(torch.nn.Conv2d(3, 2, 1))
