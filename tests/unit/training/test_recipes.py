"""How to train, as data."""

from importlib.resources import files
from pathlib import Path

import pytest

from station.errors import ConfigError
from training.recipes import AS_PUBLISHED, Recipe, Stage, read_recipe

SHIPPED = sorted(entry.name.removesuffix(".toml") for entry in (files("configs") / "recipes").iterdir())


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_valid(name: str) -> None:
    assert read_recipe(name).name == name


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - set(AS_PUBLISHED.values())))
def test_what_a_recipe_of_ours_trains_may_look_at_a_belt(name: str) -> None:
    assert read_recipe(name).framing == "squash"


def test_the_recipes_of_the_paper_and_of_a_plant_ship() -> None:
    assert {"or", "ortl", "finetune", "or-paper", "ortl-paper", "belt", "plant", "trashnet"} <= set(SHIPPED)


@pytest.mark.parametrize(("ours", "published"), AS_PUBLISHED.items())
def test_as_published_means_as_published(ours: str, published: str) -> None:
    """RandomResizedCrop(224) and a flip, SGD with momentum 0.9, a tenth after every 7 of 15 epochs, nothing held back."""
    recipe = read_recipe(published)
    assert recipe.arch == read_recipe(ours).arch == "resnet18"
    assert recipe.tutorial
    assert (recipe.epochs, recipe.stage_of(0).side_px, recipe.input_px, recipe.momentum) == (15, 224, 224, 0.9)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.ema_decay, recipe.warmup_share) == (0, 0, 0, 0)
    assert not recipe.balance_classes
    assert not recipe.frozen_norm
    assert recipe.framing == "centre"
    changes = recipe.augment.model_dump(exclude={"min_area", "max_stretch"})
    assert (recipe.augment.min_area, set(changes.values())) == (0.08, {0.0})


@pytest.mark.parametrize(("trained_px", "watched_px"), [(64, 80), (128, 152), (160, 192)])
def test_held_out_pictures_are_watched_as_much_larger_as_in_the_end(trained_px: int, watched_px: int) -> None:
    stages = (Stage(side_px=trained_px, epochs=1), Stage(side_px=160, epochs=1))
    recipe = read_recipe("or").model_copy(update={"stages": stages, "input_px": 192})
    assert [recipe.watched_px(epoch) for epoch in (0, 1)] == [watched_px, 192]


@pytest.mark.parametrize(("side_px", "seconds"), [(96, 187), (128, 290), (144, 340)])
def test_the_work_of_an_epoch_grows_as_its_seconds_did(side_px: int, seconds: float) -> None:
    """Those of `or`, seed 2, on two cores without AMX; at 64 px an epoch took 120 s."""
    recipe = read_recipe("or")
    grown = recipe.picture_work_px2(side_px) / recipe.picture_work_px2(64)
    assert grown == pytest.approx(seconds / 120, rel=0.1)


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 18, 40])
def test_another_number_of_epochs_keeps_the_shape(epochs: int) -> None:
    recipe = read_recipe("or").with_epochs(epochs)
    assert recipe.epochs == epochs
    sides = [recipe.stage_of(epoch).side_px for epoch in range(epochs)]
    assert sides == sorted(sides)
    assert sides[-1] == read_recipe("or").stages[-1].side_px


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("peak_lr = -1", id="out of bounds"),
        pytest.param("peek_lr = 0.1", id="misspelt"),
        pytest.param("= 3", id="not TOML"),
    ],
)
def test_a_bad_recipe_is_one_error(tmp_path: Path, recipe_of: object, text: str) -> None:
    assert callable(recipe_of)
    path = Path(recipe_of("scratch"))
    lines = [line for line in path.read_text().splitlines() if not line.startswith("peak_lr")]
    path.write_text("\n".join([*lines, text]))
    with pytest.raises(ConfigError, match="recipe"):
        read_recipe(str(path))


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="or, ortl, finetune"):
        read_recipe("best")


def test_a_recipe_survives_its_own_json() -> None:
    recipe = read_recipe("or")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
