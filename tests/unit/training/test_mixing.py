"""Weights before and after fine-tuning, mixed."""

import pytest
import torch

from station.recognition.model import build_model
from training.mixing import choose_mix, mixed


def test_a_mixture_lies_between_and_counts_stay_whole() -> None:
    before = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(3)}
    after = {"w": torch.tensor([1.0, 4.0]), "n": torch.tensor(9)}
    between = mixed(before, after, 0.75)
    assert between["w"].tolist() == [0.75, 3.5]
    assert int(between["n"]) == 9
    assert mixed(before, after, 1.0)["w"].tolist() == [1.0, 4.0]


@pytest.mark.parametrize(("wanted", "chosen"), [(0.7, 0.75), (2.0, 1.0), (-1.0, 0.5)])
def test_what_the_judge_likes_best_is_left_in_the_model(wanted: float, chosen: float) -> None:
    model = build_model("mobilenet_v3_small", 2)
    before = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    name, parameter = next(iter(model.named_parameters()))
    with torch.no_grad():
        parameter.fill_(1.0)
    mix = choose_mix(
        model, before, (0.5, 0.75, 1.0), lambda m: abs(float(m.get_parameter(name).detach().mean()) - wanted)
    )
    assert mix.tuned_share == chosen
    assert float(model.get_parameter(name).detach().mean()) == pytest.approx(chosen)
    assert [share for share, _ in mix.tried] == [1.0, 0.75, 0.5]


def test_of_equals_the_tuned_weights_win() -> None:
    model = build_model("mobilenet_v3_small", 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert choose_mix(model, before, (0.2, 1.0), lambda _: 0.0).tuned_share == 1.0
