"""The networks by name."""

import pytest
import torch

from station.errors import ModelError
from station.recognition.efficientnet_lite import PaddedConv
from station.recognition.model import OWN_ARCHS, build_model, build_resnet18, head_of
from station.recognition.recyclenet import before


def test_resnet18_ends_in_512_to_the_number_of_classes() -> None:
    name, head = head_of(build_resnet18(3))
    assert (name, head.in_features, head.out_features) == ("fc", 512, 3)


@pytest.mark.parametrize("arch", ["resnet18", *OWN_ARCHS, "squeezenet1_1"])
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


def test_the_short_resnet_fits_in_three_million_parameters_and_takes_a_resnet18_s_weights() -> None:
    short, whole = build_model("resnet18_short", 6), build_resnet18(6).state_dict()
    assert sum(parameter.numel() for parameter in short.parameters()) <= 3e6
    taken = {name: tensor for name, tensor in whole.items() if not name.startswith(("layer4.", "fc."))}
    assert short.load_state_dict(taken, strict=False).missing_keys == ["fc.weight", "fc.bias"]


# Parameters as published with 1,000 classes (Google's table says 4.7, 5.4 and 6.1 million).
@pytest.mark.parametrize(("arch", "millions"), [("lite0", 4.65), ("lite1", 5.42), ("lite2", 6.09)])
def test_efficientnet_lite_has_the_published_size(arch: str, millions: float) -> None:
    network = build_model(f"efficientnet_{arch}", 1000)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    ("side_px", "stride", "kernel_px", "at"), [(8, 2, 3, 0), (7, 2, 3, -1), (8, 2, 5, -1), (8, 1, 5, -2)]
)
def test_padding_is_tensorflow_s_same(side_px: int, stride: int, kernel_px: int, at: int) -> None:
    """The first output's window begins at row `at` of the picture: of an odd padding the larger part is at the far end."""
    conv = PaddedConv(1, 1, kernel_px, stride, bias=False)
    torch.nn.init.zeros_(conv.weight)
    with torch.no_grad():
        conv.weight[0, 0, -at, -at] = 1.0  # the tap that meets the picture's first pixel
    x = torch.zeros(1, 1, side_px, side_px)
    x[0, 0, 0, 0] = 1.0
    y = conv(x)
    assert y.shape[2:] == (-(-side_px // stride),) * 2
    assert y[0, 0, 0, 0] == 1.0
