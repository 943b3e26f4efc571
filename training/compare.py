"""Several finished runs side by side: the paper's Table 2 with ours beside it, curves in one drawing, McNemar by pairs.

Knows run folders (metrics.json, metrics.jsonl, predictions.csv) and the published numbers; trains nothing.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from scipy.stats import norm

from station.errors import ConfigError
from training import figures, metrics
from training.page import page, percent, spread, table
from training.predictions import Predictions, read_predictions, rights_in_step
from training.report import read_epochs

SCHEMA = "station.compare/1"


@dataclass(frozen=True)
class Published:
    """A number of the paper: n pictures of TEST, the best epoch chosen on them, an RTX 2060."""

    name: str
    accuracy: float
    n: int
    seconds: int


PAPER = (
    Published("ResNet-18_OR", 0.9263, 2513, 25 * 60 + 44),
    Published("ResNet-18_ORTL", 0.9359, 2513, 16 * 60 + 52),
)


PAPERS_CLASSES = {"organic", "recyclable"}


@dataclass(frozen=True)
class FinishedRun:
    name: str
    result: dict[str, Any]
    epochs: list[dict[str, Any]]
    predictions: Predictions


def read_run(folder: Path) -> FinishedRun:
    path = folder / "metrics.json"
    if not path.is_file():
        raise ConfigError(f"{folder}: holds no metrics.json. Give folders of finished runs.")
    result = json.loads(path.read_text(encoding="utf-8"))
    return FinishedRun(
        folder.name, result, read_epochs(folder / "metrics.jsonl"), read_predictions(folder / "predictions.csv")
    )


def compare(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Writes the page `out`; returns the table, the verdicts and the pairs."""
    runs = [read_run(folder) for folder in folders]
    result = {
        "schema": SCHEMA,
        "runs": [row_of(run) for run in runs],
        "pairs": [pair_of(one, other) for one, other in combinations(runs, 2)],
        "out": str(out),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page("Trainings side by side", parts(runs, result)), encoding="utf-8")
    return result


def row_of(run: FinishedRun) -> dict[str, Any]:
    training, accuracy = run.result["training"], run.result["test"]["accuracy"]
    return {
        "run": run.name,
        "recipe": training["recipe"]["name"],
        "arch": training["recipe"]["arch"],
        "protocol": training["protocol"],
        "seed": training["seed"],
        "wall_s": max(training["wall_s"], training.get("epochs_s", 0.0)),
        "resumed": bool(training.get("resumed", False)),  # then the time before the cut is missing: it took longer
        "accuracy": accuracy,
        "against_paper": {
            paper.name: verdict(accuracy, paper) for paper in PAPER if same_test(run.result["test"], paper)
        },
    }


def same_test(test: dict[str, Any], paper: Published) -> bool:
    """Judged by the paper's TEST: its classes, its number of files, of which ours leaves out what cannot be read."""
    return set(test["confusion"]["labels"]) == PAPERS_CLASSES and test["n"] + test["unreadable"] == paper.n


def verdict(accuracy: dict[str, Any], paper: Published) -> str:
    """'beats' and 'below' only where a two-sided test of two samples says so at 5 %; else 'matches'."""
    pooled = (accuracy["k"] + paper.accuracy * paper.n) / (accuracy["n"] + paper.n)
    error = math.sqrt(pooled * (1 - pooled) * (1 / accuracy["n"] + 1 / paper.n))
    z = (accuracy["value"] - paper.accuracy) / error if error else 0.0
    limit = float(norm.ppf(0.975))
    return "beats" if z >= limit else "below" if z <= -limit else "matches"


def pair_of(one: FinishedRun, other: FinishedRun) -> dict[str, Any]:
    mine, theirs = rights_in_step(one.predictions, other.predictions)
    if not len(mine):
        raise ConfigError(
            f"{one.name} and {other.name} have no picture in common: judged on different ones, or, of pictures in folders "
            "below their class, one by an older version, which named these otherwise."
        )
    return {"run": one.name, "other": other.name, **metrics.mcnemar(mine, theirs)}


def parts(runs: Sequence[FinishedRun], result: dict[str, Any]) -> Iterator[str]:
    yield "<h1>Trainings side by side</h1>"
    yield "<h2>Accuracy and time</h2>"
    papers = [
        (f"paper, {paper.name}", "best epoch on TEST", percent(paper.accuracy), clock_time(paper.seconds), "")
        for paper in PAPER
        if any(row["against_paper"] for row in result["runs"])
    ]
    ours = [
        (
            f"{row['run']} ({row['recipe']}, {row['arch']})",
            "best epoch on TEST" if row["protocol"] == "paper" else "honest",
            spread(row["accuracy"]),
            ("over " if row["resumed"] else "") + clock_time(row["wall_s"]),
            ", ".join(f"{word} {name}" for name, word in row["against_paper"].items()),
        )
        for row in result["runs"]
    ]
    yield table(("model", "protocol", "accuracy", "time", "two-sided test, 5 %"), [*papers, *ours])
    yield "<p class=note>Times are of different machines." + (
        " The paper's test pictures are these but for the unreadable ones.</p>" if papers else "</p>"
    )
    if any(run.epochs for run in runs):
        yield "<h2>Over the epochs</h2>" + figures.accuracy_over_epochs(
            {run.name: run.epochs for run in runs if run.epochs}
        )
    if result["pairs"]:
        yield "<h2>On the same pictures (McNemar)</h2>"
        yield table(
            ("one", "other", "only one right", "only other right", "p"),
            [
                (row["run"], row["other"], row["only_this_right"], row["only_other_right"], f"{row['p']:.2g}")
                for row in result["pairs"]
            ],
        )


def clock_time(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
