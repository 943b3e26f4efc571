"""`station train`, `evaluate`, `export`, `data check`, `data split`: flags, streams, exit codes."""

import json
import re
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from station.cli import training_commands
from station.recognition.artifact import ArtifactInfo, save_artifact
from station.recognition.model import build_model
from tests.unit.training.conftest import RecipeWriter, write_pictures
from training import session


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Caller":
    monkeypatch.setattr(session, "keep_freed_memory", lambda: None)
    monkeypatch.chdir(tmp_path)
    return Caller()


class Caller:
    def __init__(self) -> None:
        self._app, data = typer.Typer(), typer.Typer()
        training_commands.register(self._app, data)
        self._app.add_typer(data, name="data")

    def __call__(self, *arguments: object) -> Result:
        return CliRunner().invoke(self._app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_artifact(path, build_model("resnet18", 2), ArtifactInfo(("organic", "recyclable"), 32))
    return path


def test_train_prints_one_object_and_leaves_a_run(call: "Caller", tree: Path, recipe_of: RecipeWriter) -> None:
    done = call("train", tree, "--recipe", recipe_of(), "--out", "run", "--epochs", 1, "--device", "cpu", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["test"]["n"] == 40
    assert Path("run/model.safetensors").is_file()
    assert Path("run/report.html").is_file()


def test_evaluate_prints_the_contract(call: "Caller", model: Path, tree: Path) -> None:
    done = call("evaluate", model, tree, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["schema"] == "station.evaluate/1"
    assert {"n", "unreadable", "accuracy", "confusion", "ece", "per_class"} <= set(report)
    assert {"value", "low", "high"} <= set(report["accuracy"])
    assert {"precision", "recall", "n"} <= set(report["per_class"]["organic"])


def test_a_folder_that_lacks_a_class_is_judged_all_the_same(call: "Caller", model: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "data" / "O", "O", range(4))
    done = call("evaluate", model, tmp_path / "data", "--device", "auto", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["auc"] == {"organic": None, "recyclable": None}
    assert report["per_class"]["recyclable"]["recall"] is None


def test_evaluate_without_json_speaks_to_a_person(call: "Caller", model: Path, tree: Path) -> None:
    assert "accuracy" in call("evaluate", model, tree).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        pytest.param(["--min-recall", "organic=0", "--min-recall", "recyclable=0"], 0, "", id="floors met"),
        pytest.param(["--min-recall", "organic=1", "--min-recall", "recyclable=1"], 1, "recall of", id="floor missed"),
        pytest.param(["--min-recall", "organic"], 2, "LABEL=SHARE", id="no number"),
        pytest.param(["--min-recall", "organic=7"], 2, "LABEL=SHARE", id="no share"),
        pytest.param(["--min-recall", "metal=0.5"], 2, "no such label", id="unknown label"),
        pytest.param(["--exclude", "missing.txt"], 1, "missing.txt", id="no such file of names"),
    ],
)
def test_evaluate_judges_by_exit_code(
    call: "Caller", model: Path, tree: Path, arguments: list[str], code: int, word: str
) -> None:
    done = call("evaluate", model, tree, *arguments)
    assert done.exit_code == code, done.output
    assert word in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["evaluate", "missing.safetensors", "."], 5, id="no model"),
        pytest.param(["train", "nowhere"], 2, id="no data"),
        pytest.param(["export", "missing.safetensors"], 5, id="nothing to export"),
        pytest.param(["data", "check", "nowhere"], 2, id="nothing to check"),
        pytest.param(["train"], 2, id="no argument"),
    ],
)
def test_what_is_missing_is_told_in_one_line(call: "Caller", arguments: list[str], code: int) -> None:
    done = call(*arguments)
    assert done.exit_code == code
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--device", "gpu"], "no such device", id="no such device"),
        pytest.param(["--device", "meta"], "cpu and cuda only", id="a device that computes nothing"),
        pytest.param(["--device", "cuda:99"], "counted from 0|no GPU", id="a GPU that is not here"),
        pytest.param(["--seed", "99999999999"], "4294967295", id="a seed too long"),
        pytest.param(["--resume"], "which training", id="which run"),
    ],
)
def test_flags_that_cannot_be_are_refused_with_the_reason(
    call: "Caller", tree: Path, recipe_of: RecipeWriter, arguments: list[str], words: str
) -> None:
    done = call("train", tree, "--recipe", recipe_of(), "--epochs", 1, *arguments)
    assert done.exit_code == 2, done.output
    assert re.search(words, done.stderr)


def test_a_model_is_not_judged_on_a_gpu_that_is_not_here(call: "Caller", model: Path, tree: Path) -> None:
    done = call("evaluate", model, tree, "--device", "cuda:99")
    assert done.exit_code == 2
    assert re.search("counted from 0|no GPU", done.stderr)


def test_data_check_fails_for_what_harms_training(call: "Caller", tmp_path: Path) -> None:
    for label in "OR":
        write_pictures(tmp_path / "data" / label, label, range(55))
    assert call("data", "check", tmp_path / "data").exit_code == 0
    (tmp_path / "data" / "O" / "O_0.png").write_bytes(b"gone")
    done = call("data", "check", tmp_path / "data", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["unreadable"] != []


def test_data_split_writes_both_parts(call: "Caller", tmp_path: Path) -> None:
    for label in "OR":
        write_pictures(tmp_path / "data" / label, label, range(50))
    done = call("data", "split", tmp_path / "data", tmp_path / "out", "--test-share", 0.2, "--json")
    assert done.exit_code == 0, done.output
    counts = json.loads(done.stdout)["counts"]
    assert counts["TRAIN"] == {"organic": 40, "recyclable": 40}
    assert len(list((tmp_path / "out" / "TEST").rglob("*.png"))) == 20
