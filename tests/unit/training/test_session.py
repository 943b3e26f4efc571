"""`train` from start to end, for every kind of recipe and both protocols, and `evaluate` of what came out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from station.errors import ConfigError
from station.recognition.artifact import load_artifact, read_info
from station.recognition.model import build_resnet18
from tests.unit.training.conftest import RecipeWriter, write_pictures
from training import session
from training.best_on_test import BestOnTest
from training.cache import open_cache
from training.dataset import read_folder
from training.evaluate import EvaluateJob, evaluate, failed_recalls
from training.recipes import read_recipe
from training.session import TrainJob, settled_recipe, train
from training.train import Run, predict


@pytest.fixture(autouse=True)
def _leave_malloc_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "keep_freed_memory", lambda: None)


def job(tree: Path, recipe: str, folder: Path, **changes: Any) -> TrainJob:
    return TrainJob(data=tree, recipe=recipe, out=folder / "run", cache=folder / "cache", device="cpu", **changes)


@pytest.fixture(scope="module")
def trained(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(job(tree, RecipeWriter(folder)(), folder, epochs=8))
    return folder


def test_a_run_leaves_model_metrics_and_report(trained: Path) -> None:
    names = {entry.name for entry in (trained / "run").iterdir()}
    assert names == {
        "model.safetensors", "metrics.json", "report.html", "metrics.jsonl", "train.log", "checkpoint.safetensors",
        "predictions.csv", "CARD.md",
    }  # fmt: skip
    info = read_info(trained / "run" / "model.safetensors")
    assert info.classes == ("organic", "recyclable")
    assert info.input_px == 32
    assert info.temperature > 0
    assert {row["recovery"] for row in info.curve["recyclable"]} != set()
    assert info.training["recipe"]["name"] == "tiny"
    assert info.training["n_train"] + info.training["n_holdout"] == 110
    assert info.metrics["test"]["n"] == 40


def test_a_card_lies_beside_the_weights(trained: Path) -> None:
    text = (trained / "run" / "CARD.md").read_text()
    test = json.loads((trained / "run" / "metrics.json").read_text())["test"]
    assert f"{test['accuracy']['value']:.2%} [" in text
    assert "--recipe tiny --epochs 8 --seed 1" in text
    assert "called organic" in text
    assert f"`{read_info(trained / 'run' / 'model.safetensors').weights_sha256}`" in text


def test_metrics_json_says_what_was_measured_and_how(trained: Path) -> None:
    metrics = json.loads((trained / "run" / "metrics.json").read_text())
    assert metrics["training"]["protocol"] == "honest"
    assert metrics["training"]["selected_on_test"] is False
    assert metrics["test"]["accuracy"]["n"] == 40
    assert metrics["test"]["accuracy"]["low"] <= metrics["test"]["accuracy"]["value"]


def test_the_time_of_a_run_includes_judging(trained: Path) -> None:
    facts = json.loads((trained / "run" / "metrics.json").read_text())["training"]
    assert 0 < facts["epochs_s"] <= facts["learned_s"] <= facts["wall_s"]
    assert read_info(trained / "run" / "model.safetensors").training["wall_s"] == facts["wall_s"]


def test_evaluating_the_artifact_finds_what_training_reported(trained: Path, tree: Path) -> None:
    reported = json.loads((trained / "run" / "metrics.json").read_text())["test"]
    report = evaluate(EvaluateJob(str(trained / "run" / "model.safetensors"), tree, cache=trained / "cache"))
    assert report["schema"] == "station.evaluate/1"
    assert report["confusion"] == reported["confusion"]
    assert report["accuracy"]["value"] >= 0.9
    assert report["ece"] == pytest.approx(reported["ece"], abs=0.01)
    assert set(report["per_class"]) == {"organic", "recyclable"}
    assert sum(row["n"] for row in report["per_block"]) == 40
    json.dumps(report, allow_nan=False)


def test_a_finished_run_resumed_only_writes_again(trained: Path, tree: Path) -> None:
    before = load_file(trained / "run" / "model.safetensors")
    train(job(tree, str(trained / "scratch.toml"), trained, epochs=8, resume=True))
    after = load_file(trained / "run" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_unreadable_and_excluded_pictures_are_counted(trained: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "TEST" / "O", "O", range(5))
    write_pictures(tmp_path / "TEST" / "R", "R", range(5))
    (tmp_path / "TEST" / "O" / "O_77.jpg").write_bytes(b"\0\0\0")
    (tmp_path / "names.txt").write_text("O_1.png\nR_3.png\n")
    model = str(trained / "run" / "model.safetensors")
    report = evaluate(EvaluateJob(model, tmp_path, tmp_path / "names.txt", cache=trained / "cache"))
    assert (report["n"], report["unreadable"], report["excluded"]) == (8, 1, 2)
    assert report["unreadable_files"] == ["O_77.jpg"]
    assert report["accuracy_unreadable_wrong"]["n"] == 9


def test_copies_of_training_pictures_can_be_left_out(trained: Path, tmp_path: Path) -> None:
    for part, numbers in (("TRAIN", range(8)), ("TEST", range(6, 12))):
        write_pictures(tmp_path / part / "O", "O", numbers)
        write_pictures(tmp_path / part / "R", "R", numbers)
    model = str(trained / "run" / "model.safetensors")
    report = evaluate(EvaluateJob(model, tmp_path, duplicates=True, cache=trained / "cache"))
    assert report["n"] == 12
    assert report["without_duplicates"]["copies"] == 4
    assert report["without_duplicates"]["accuracy"]["n"] == 8


def test_a_recall_below_the_floor_is_named(trained: Path, tree: Path) -> None:
    report = evaluate(EvaluateJob(str(trained / "run" / "model.safetensors"), tree, cache=trained / "cache"))
    report["per_class"]["organic"]["recall"] = 0.5
    assert failed_recalls(report, {"organic": 0.4}) == []
    (failure,) = failed_recalls(report, {"organic": 0.95, "recyclable": 0.0})
    assert "organic" in failure
    with pytest.raises(ConfigError, match="metal"):
        failed_recalls(report, {"metal": 0.5})


def test_the_paper_s_protocol_says_that_it_chose_on_test(tree: Path, recipe_of: RecipeWriter, tmp_path: Path) -> None:
    result = train(job(tree, recipe_of(), tmp_path, protocol="paper", epochs=3))
    facts = result["training"]
    assert facts["selected_on_test"] is True
    assert facts["n_holdout"] == 0
    assert len(facts["test_by_epoch"]) == 3
    assert result["test"]["accuracy"]["value"] == pytest.approx(max(facts["test_by_epoch"]), abs=0.03)
    assert "chosen on TEST" in (tmp_path / "run" / "report.html").read_text()


def test_a_frozen_recipe_of_one_s_own_tries_each_l2_on_test_under_the_paper_s_protocol(
    trained: Path, tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    recipe = Path(recipe_of("frozen"))
    recipe.write_text(recipe.read_text() + "l2 = [0.01, 1.0, 100.0]\n")
    backbone = str(trained / "run" / "model.safetensors")
    facts = train(job(tree, str(recipe), tmp_path, protocol="paper", backbone=backbone))["training"]
    assert len(facts["test_by_epoch"]) == 3
    assert facts["selected_on_test"] is True


@pytest.mark.parametrize(
    ("asked", "protocol", "taken"),
    [
        ("or", "paper", "or-paper"),
        ("ortl", "paper", "ortl-paper"),
        ("or", "honest", "or"),
        ("finetune", "paper", "finetune"),
    ],
)
def test_the_paper_s_protocol_takes_the_procedure_as_published(asked: str, protocol: str, taken: str) -> None:
    recipe = settled_recipe(TrainJob(Path("data"), asked, protocol))
    assert recipe.name == taken
    assert recipe.holdout_share == (0.0 if protocol == "paper" else pytest.approx(0.08))


def test_a_frozen_backbone_gets_a_new_head_and_nothing_else(
    trained: Path, tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    backbone = trained / "run" / "model.safetensors"
    result = train(job(tree, recipe_of("frozen"), tmp_path, backbone=str(backbone)))
    before, after = load_file(backbone), load_file(tmp_path / "run" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"fc.weight", "fc.bias"}
    assert result["test"]["accuracy"]["value"] >= 0.9
    assert "folds" not in result["training"]


def test_a_head_that_learns_from_all_pictures_is_calibrated_by_folds(
    trained: Path, tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    backbone = str(trained / "run" / "model.safetensors")
    facts = train(job(tree, recipe_of("frozen"), tmp_path, backbone=backbone, holdout_share=0.0))["training"]
    assert (facts["n_train"], facts["n_holdout"], facts["folds"]) == (110, 0, 5)
    info = load_artifact(tmp_path / "run" / "model.safetensors").info
    assert info.temperature != 1.0
    assert set(info.curve) == {"organic", "recyclable"}
    card = (tmp_path / "run" / "CARD.md").read_text()
    assert "thresholds by 5 folds" in card
    assert "--holdout-share 0.0" in card
    assert "promises no thresholds" not in card
    assert "thresholds by 5 folds" in (tmp_path / "run" / "report.html").read_text()


def test_a_network_that_learns_from_all_pictures_promises_nothing(
    tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    facts = train(job(tree, recipe_of(), tmp_path, epochs=1, holdout_share=0.0))["training"]
    assert (facts["n_train"], facts["n_holdout"]) == (110, 0)
    info = load_artifact(tmp_path / "run" / "model.safetensors").info
    assert (info.temperature, info.curve) == (1.0, {})


def test_a_recipe_may_measure_normalisation_anew_before_the_head(
    trained: Path, tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    backbone, recipe = trained / "run" / "model.safetensors", Path(recipe_of("frozen"))
    recipe.write_text(recipe.read_text() + "fresh_norm = true\n")
    result = train(job(tree, str(recipe), tmp_path, backbone=str(backbone)))
    before, after = load_file(backbone), load_file(tmp_path / "run" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"bn1.running_mean", "layer4.1.bn2.running_var", "fc.weight"} < changed
    assert not any(name.endswith(("conv1.weight", "bn1.weight")) for name in changed)
    assert result["test"]["accuracy"]["value"] >= 0.9


def test_finetuning_starts_from_the_head_and_moves_everything(
    trained: Path, tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    backbone = trained / "run" / "model.safetensors"
    recipe = Path(recipe_of("finetune"))
    # Held as the recipe that ships holds it: so small a network forgets its head in a step otherwise.
    recipe.write_text(recipe.read_text() + "tuned_share = [0.5, 1.0]\nfrozen_norm = true\nclip_norm = 1.0\n")
    result = train(job(tree, str(recipe), tmp_path, backbone=str(backbone), epochs=1))
    assert [share for share, _ in result["training"]["mix"]["tried"]] == [1.0, 0.5]
    before, after = load_file(backbone), load_file(tmp_path / "run" / "model.safetensors")
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert result["test"]["accuracy"]["value"] >= 0.9


def test_belt_crops_join_training_and_are_counted(tree: Path, recipe_of: RecipeWriter, tmp_path: Path) -> None:
    write_pictures(tmp_path / "crops" / "organic", "O", range(500, 512))
    write_pictures(tmp_path / "crops" / "recyclable", "R", range(500, 512))
    result = train(job(tree, recipe_of(), tmp_path, extra=(tmp_path / "crops",), epochs=1))
    assert result["training"]["n_extra"] == 24
    assert result["test"]["n"] == 40


def test_a_tree_without_test_gives_up_blocks_for_one(tree: Path, recipe_of: RecipeWriter, tmp_path: Path) -> None:
    result = train(job(tree / "TRAIN", recipe_of(), tmp_path, epochs=1))
    facts = result["training"]
    assert result["test"]["n"] + facts["n_train"] + facts["n_holdout"] == 110
    assert 18 <= result["test"]["n"] <= 26
    model = str(tmp_path / "run" / "model.safetensors")
    again = evaluate(EvaluateJob(model, tree / "TRAIN", cache=tmp_path / "cache"))
    assert again["set_aside_by_training"]
    assert again["confusion"] == result["test"]["confusion"]
    other = evaluate(EvaluateJob(model, tree / "TEST", cache=tmp_path / "cache"))
    assert (other["set_aside_by_training"], other["n"]) == (False, 40)
    with pytest.raises(ConfigError, match="needs TRAIN/ beside TEST/"):
        evaluate(EvaluateJob(model, tree / "TRAIN", duplicates=True, cache=tmp_path / "cache"))


def test_a_model_that_learnt_what_the_other_is_judged_by_is_no_rival(
    tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    data, cache, models = tree / "TRAIN", tmp_path / "cache", []
    for seed in (1, 2):
        folder = tmp_path / f"seed{seed}"
        train(replace(job(data, recipe_of(), folder, epochs=1, seed=seed), cache=cache))
        models.append(str(folder / "run" / "model.safetensors"))
    with pytest.raises(ConfigError, match="learnt from pictures"):
        evaluate(EvaluateJob(models[0], data, against=models[1], cache=cache))
    same = evaluate(EvaluateJob(models[0], data, against=models[0], cache=cache))
    assert same["against"]["only_this_right"] == 0
    assert evaluate(EvaluateJob(models[0], tree / "TEST", against=models[1], cache=cache))["against"]["n"] == 40


def test_a_training_that_is_there_is_gone_on_with_or_left_alone(
    trained: Path, tree: Path, recipe_of: RecipeWriter
) -> None:
    before = (trained / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="holds a training already"):
        train(job(tree, recipe_of(), trained))
    assert (trained / "run" / "metrics.jsonl").read_bytes() == before


def test_what_has_no_epochs_is_not_resumed(trained: Path, tree: Path, recipe_of: RecipeWriter, tmp_path: Path) -> None:
    frozen = job(tree, recipe_of("frozen"), tmp_path, backbone=str(trained / "run" / "model.safetensors"), resume=True)
    train(frozen)  # nothing was there: it began
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="no epochs to go on from"):
        train(frozen)
    with pytest.raises(ConfigError, match="a finished model and no checkpoint"):
        train(job(tree, recipe_of(), tmp_path, resume=True))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_curves_are_of_this_run_alone(tree: Path, recipe_of: RecipeWriter, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"epoch": 7, "loss": 1.0}\n')
    train(job(tree, recipe_of(), tmp_path, epochs=1))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "epoch" in row] == [1]


def test_two_heads_of_one_seed_start_and_end_alike(
    trained: Path, tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    backbone = str(trained / "run" / "model.safetensors")
    heads: list[dict[str, torch.Tensor]] = []
    for name in ("one", "other"):
        torch.rand(len(heads) * 5)
        train(job(tree, recipe_of("head"), tmp_path / name, backbone=backbone, epochs=1))
        heads.append(load_file(tmp_path / name / "run" / "model.safetensors"))
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    card = (tmp_path / "one" / "run" / "CARD.md").read_text()
    assert "promise too much" in card


def test_an_epoch_judged_twice_counts_once(tree: Path, recipe_of: RecipeWriter, tmp_path: Path) -> None:
    run = Run(read_recipe(recipe_of()), tmp_path / "run", 1, torch.device("cpu"))
    shown = open_cache(read_folder(tree / "TEST"), 32, tmp_path / "cache")
    torch.manual_seed(1)
    first, second = build_resnet18(2), build_resnet18(2)
    best = BestOnTest(run, shown, resumed=False)
    seen = [best.look(1, first), best.look(2, second)]
    resumed = BestOnTest(run, shown, resumed=True)
    assert resumed.look(2, second) == seen[1]
    assert list(resumed.accuracies.values()) == seen
    better = {name: tensor.clone() for name, tensor in (second if seen[1] > seen[0] else first).state_dict().items()}
    resumed.restore(second)
    assert all(torch.equal(better[name], tensor) for name, tensor in second.state_dict().items())
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("arch", ["recyclenet", "resnet18_short", "efficientnet_lite0", "mobilenet_v3_small"])
def test_other_networks_train_and_load(tree: Path, recipe_of: RecipeWriter, tmp_path: Path, arch: str) -> None:
    train(job(tree, recipe_of(), tmp_path, epochs=1, arch=arch))
    assert load_artifact(tmp_path / "run" / "model.safetensors").info.arch == arch


@pytest.mark.parametrize(("kind", "epochs"), [("scratch", 1), ("frozen", None)])
def test_central_squares_are_trained_on_judged_on_and_remembered(
    trained: Path, tree: Path, recipe_of: RecipeWriter, tmp_path: Path, kind: str, epochs: int | None
) -> None:
    backbone = str(trained / "run" / "model.safetensors") if kind == "frozen" else None
    result = train(job(tree, recipe_of(kind), tmp_path, epochs=epochs, backbone=backbone, framing="centre"))
    model = tmp_path / "run" / "model.safetensors"
    assert read_info(model).framing == "centre"
    report = evaluate(EvaluateJob(str(model), tree, duplicates=True, cache=tmp_path / "cache"))
    assert report["confusion"] == result["test"]["confusion"]
    assert all("-centre." in entry.name for entry in (tmp_path / "cache").glob("*.json"))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"framing": "fit"}, "squash or centre", id="framing"),
        pytest.param({"framing": "centre", "extra": (Path("crops"),)}, "cut their ends off", id="centre of belt crops"),
        pytest.param({"protocol": "paper", "holdout_share": 0.1}, "learns from all", id="paper, blocks held out"),
        pytest.param({"recipe": "ortl", "peak_lr": 0.1}, "solved", id="a rate for what has no steps"),
        pytest.param({"recipe": "ortl", "epochs": 3}, "solved", id="epochs for what has no steps"),
        pytest.param({"peak_lr": 0.0}, "above zero", id="a rate of nothing"),
        pytest.param({"protocol": "best"}, "honest or paper", id="protocol"),
        pytest.param({"recipe": "nonsense"}, "no recipe", id="recipe"),
        pytest.param({"backbone": "x.safetensors"}, "starts from nothing", id="backbone for scratch"),
        pytest.param({"data": Path("nowhere")}, "nowhere", id="data"),
        pytest.param({"data": Path("around")}, "Give around/waste", id="the folder around the data"),
        pytest.param({"data": Path("one")}, "nothing to tell apart", id="one class"),
        pytest.param({"data": Path("blind")}, "no readable picture to judge by", id="all of TEST damaged"),
        pytest.param({"resume": True, "out": None}, "which training", id="resume of nothing named"),
    ],
)
def test_a_bad_job_is_refused_with_the_reason(
    tree: Path,
    recipe_of: RecipeWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("around/waste/TRAIN/O", "one/O", "blind/TRAIN/O", "blind/TRAIN/R", "blind/TEST/O"):
        write_pictures(Path(folder), folder[-1], range(3))
    for picture in Path("blind/TEST").rglob("*.png"):
        picture.write_bytes(b"damaged")
    good = job(tree, recipe_of(), tmp_path)
    with pytest.raises(ConfigError, match=complaint):
        train(replace(good, **changes))


def test_a_run_records_its_machine_its_command_and_how_its_head_was_chosen(
    trained: Path, tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    backbone, recipe = str(trained / "run" / "model.safetensors"), Path(recipe_of("frozen"))
    recipe.write_text(recipe.read_text() + "l2 = [0.01, 1.0]\njudge_views_px = [32, 40]\n")
    result = train(job(tree, str(recipe), tmp_path, backbone=backbone))
    facts = result["training"]
    assert facts["backbone"] == "model.safetensors"
    assert facts["machine"]["threads"] == torch.get_num_threads()
    assert facts["head"]["l2"] in (0.01, 1.0)
    assert len(facts["head"]["tried"]) == 2
    assert result["test_views"]["sides_px"] == [32, 40]
    assert result["test_views"]["accuracy"]["n"] == 40
    network = load_artifact(tmp_path / "run" / "model.safetensors").model
    shown = open_cache(read_folder(tree / "TEST"), 32, tmp_path / "cache")
    cpu = torch.device("cpu")
    views = [predict(network, shown, side, cpu, mirrored=way) for side in (32, 40) for way in (False, True)]
    assert not np.allclose(views[0], views[1])
    assert not np.allclose(views[0], views[2])
    assert result["test_views"]["accuracy"]["k"] == (np.mean(views, axis=0).argmax(1) == shown.labels).sum()


def test_a_resumed_run_of_the_paper_s_protocol_remembers_its_best_epoch(
    tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    one = train(job(tree, recipe_of(), tmp_path, protocol="paper", epochs=2, resume=True))
    again = train(job(tree, recipe_of(), tmp_path, protocol="paper", epochs=2, resume=True))
    assert len(one["training"]["test_by_epoch"]) == 2
    assert again["training"]["test_by_epoch"] == one["training"]["test_by_epoch"]
    assert again["test"]["confusion"] == one["test"]["confusion"]
    # With nothing to go on from, it began: its time is whole.
    assert [run["training"]["resumed"] for run in (one, again)] == [False, True]
