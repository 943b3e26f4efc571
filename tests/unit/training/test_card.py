"""The card beside a model, from what its artifact carries."""

from dataclasses import replace
from typing import Any

import pytest

from station.recognition.artifact import ArtifactInfo, read_info
from station.recognition.preprocess import PREPROCESSING
from training.card import card

SHIPPED = read_info("default")


def trained(**facts: Any) -> ArtifactInfo:
    return replace(SHIPPED, training=SHIPPED.training | facts)


def test_the_card_of_the_model_that_ships_says_what_was_measured() -> None:
    text = card(SHIPPED)
    assert "92.19% [91.08%, 93.18%] | 2511 |" in text
    assert "| recyclable | 126 | 985 | 88.66% [" in text
    assert "Start: random weights. Epochs: 8 at 96 px, 6 at 128 px, 1 at 144 px" in text
    assert "recyclable 73% of 44" in text


@pytest.mark.parametrize(
    ("info", "said"),
    [
        pytest.param(trained(protocol="paper"), "accuracy flatters", id="epoch chosen on TEST"),
        pytest.param(trained(backbone="w.safetensors"), "owes that file's licence", id="somebody's weights"),
        pytest.param(trained(n_holdout=0), "promises no thresholds", id="nothing held out"),
        pytest.param(replace(SHIPPED, preprocessing=PREPROCESSING["centre"]), "may not look at a belt", id="centre"),
    ],
)
def test_what_a_user_must_know_is_said_where_it_is_so(info: ArtifactInfo, said: str) -> None:
    assert said in card(info)
    assert said not in card(SHIPPED)


def test_a_model_without_a_history_has_a_card_without_one() -> None:
    text = card(ArtifactInfo(("a", "b"), input_px=64))
    assert "Made from" not in text
    assert "Measured" not in text
    assert "Known gaps" in text
