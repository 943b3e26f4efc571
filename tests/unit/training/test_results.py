"""The table of runs, from what runs left."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.record import command, processor, wall
from training.results import keep, main, table


def result(seed: int, value: float, **facts: Any) -> dict[str, Any]:
    accuracy = {"value": value, "low": value - 0.01, "high": value + 0.01}
    training = {
        "recipe": {"name": "ortl", "augment": {"belt_share": 0.0}},
        "protocol": "honest",
        "selected_on_test": False,
        "data": "waste",
        "backbone": "weights.safetensors",
        "asked": {"arch": None, "epochs": None, "batch": None},
        "seed": seed,
        "wall_s": 120.0,
    }
    return {"test": {"n": 100, "accuracy": accuracy}, "training": training | facts}


def record(folder: Path, name: str, values: dict[str, Any], why: str | None = None) -> None:
    run = folder / "runs" / name
    run.mkdir(parents=True)
    (run / "metrics.json").write_text(json.dumps(values))
    keep(run, name, why, folder)


def test_every_run_is_a_row_and_seeds_of_one_command_are_summed_up(tmp_path: Path) -> None:
    machine = {"device": "a processor", "threads": 2, "load": 2.1, "computes_in": "float32"}
    record(tmp_path, "b", result(2, 0.92, machine=machine, load_at_end=4.0))
    record(tmp_path, "a", result(1, 0.90))
    record(tmp_path, "c", result(1, 0.95, protocol="paper", selected_on_test=True))
    text = table(tmp_path)
    rows = [line for line in text.splitlines() if line.startswith(("| a", "| b", "| c"))]
    assert len(rows) == 3
    assert "90.00% [89.00%, 91.00%]" in rows[0]
    assert "2.1 to 4.0" in rows[1]
    assert "a processor, 2 threads, float32 |" in rows[1]
    assert "chosen on TEST" in rows[2]
    assert "2 seeds: 91.00% ± 1.41" in text


def test_what_was_not_kept_is_told_with_its_reason(tmp_path: Path) -> None:
    record(tmp_path, "a", result(1, 0.9))
    record(tmp_path, "slow", result(1, 0.91), why="Folds preferred another.")
    text = table(tmp_path)
    assert "* slow: TEST 91.00% [90.00%, 92.00%]. Folds preferred another." in text
    assert "2 seeds" not in text


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        pytest.param({}, "--recipe ortl --backbone weights.safetensors --seed 1", id="plain"),
        pytest.param(
            {"recipe": {"name": "or-paper", "augment": {"belt_share": 0}}, "protocol": "paper"},
            "--recipe or-paper --protocol paper --backbone",
            id="as published",
        ),
        pytest.param(
            {"protocol": "paper"},
            "--recipe configs/recipes/ortl.toml --protocol paper --backbone",
            id="ours, the epoch chosen on TEST",
        ),
        pytest.param({"asked": {"arch": "x", "epochs": 3}}, "--recipe ortl --arch x --epochs 3 ", id="asked for"),
        pytest.param({"asked": {"peak-lr": 0.1}}, "--recipe ortl --peak-lr 0.1 --b", id="another rate"),
        pytest.param(
            {
                "recipe": {"name": "ortl-paper", "augment": {"belt_share": 0}, "peak_lr": 0.008},
                "protocol": "paper",
                "asked": {"epochs": 8},
            },
            "--recipe ortl-paper --protocol paper --epochs 8 --peak-lr 0.008 --b",
            id="as published, before its rate was the tutorial's",
        ),
        pytest.param({"asked": {"framing": "centre"}}, "--recipe ortl --framing centre --b", id="another framing"),
        pytest.param(
            {"recipe": {"name": "or-paper", "augment": {"belt_share": 0}, "tutorial": True}, "protocol": "paper"},
            "--protocol paper --framing squash",
            id="as published, before its framing was",
        ),
        pytest.param(
            {"recipe": {"name": "ortl", "augment": {"belt_share": 0}, "kind": "frozen", "holdout_share": 0.08}},
            "--recipe ortl --holdout-share 0.08 --backbone",
            id="before ortl learnt from all of TRAIN",
        ),
        pytest.param({"extra": ["crops"], "backbone": None}, "--recipe ortl --extra crops --seed 1", id="crops"),
        pytest.param({"recipe": {"name": "or", "augment": {"belt_share": 0.3}}}, "--recipe belt ", id="old name"),
    ],
)
def test_the_command_repeats_the_run(facts: dict[str, Any], line: str) -> None:
    said = command(result(1, 0.9, **facts)["training"])
    assert said.startswith("station train ../shared/data/waste --recipe")
    assert line in said


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        pytest.param({"wall_s": 120.0, "learned_s": 100.0}, "2.0 min", id="whole"),
        pytest.param({"wall_s": 120.0}, "2.0 min and judging", id="an old record"),
        pytest.param({"wall_s": 60.0, "epochs_s": 150.0, "resumed": True}, "over 2.5 min (resumed)", id="resumed"),
    ],
)
def test_a_time_says_what_it_leaves_out(facts: dict[str, Any], said: str) -> None:
    assert wall(facts) == said


def test_the_processor_has_a_name() -> None:
    assert processor()


def test_a_record_leaves_out_the_long_lists_and_the_folder(tmp_path: Path) -> None:
    values = result(1, 0.9) | {"out": "runs/a"}
    values["test"] |= {"worst": [{"file": "x.jpg"}], "auc": {"a": 0.9}}
    record(tmp_path, "a", values)
    kept = json.loads((tmp_path / "a.json").read_text())
    assert "out" not in kept
    assert set(kept["test"]) == {"n", "accuracy", "auc"}


def test_a_run_that_is_not_finished_is_said_and_keeps_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keep", str(tmp_path / "half")]) == 2
    assert "half/metrics.json: not there" in capsys.readouterr().err
