"""What every finished run left, kept in the project, and the table made of it.

    python -m training.results keep runs/or-s1 [--as NAME] [--why TEXT]    # into training/records
    python -m training.results > training/RESULTS.md

A kept record is what the run's metrics.json says, without its curves and lists; `--why` puts it among what was tried and not
kept. Knows where a run wrote what; computes nothing anew.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from training.card import markdown_table
from training.record import command, computed_on, wall

RECORDS = Path(__file__).parent / "records"
SCORES = (  # of a run's test; curves and lists stay with the run
    "n",
    "unreadable",
    "accuracy",
    "accuracy_by_block_bootstrap",
    "accuracy_unreadable_wrong",
    "without_duplicates",
    "balanced_accuracy",
    "confusion",
    "per_class",
    "auc",
    "ece",
    "temperature",
)
HEAD = """# Trainings on record

Made by `python -m training.results > training/RESULTS.md` from `training/records`, which `python -m training.results keep
RUN` fills from what a run left; nothing here is typed by hand.
*Accuracy* is the artifact's, asked once of each TEST picture, with its Wilson 95 % interval; *fresh* leaves out the TEST
pictures that also stand in TRAIN; *views* is the mean over the recipe's views (mirrored, sizes), fixed before TEST was seen.
TrashNet is parted 70/13/17 at random, as others part it: `station data split ../shared/data/trashnet runs/trashnet
--test-share 0.17 --single-files --seed 1`, and 16 % of its TRAIN are held out in blocks.
`ortl` learns from all of TRAIN unless told to hold blocks out; its seeds then differ in nothing but which blocks those are.
*Wall* runs from the start to the last score; older records left out the judging of TEST (one to four minutes on two cores).
Runs of the paper's protocol chose their epoch on TEST: their numbers flatter, and say so. A load above the number of
threads means that others computed on the same machine: such wall times are too long.
"""
COLUMNS = ("run", "accuracy", "fresh", "views", "n", "protocol", "seed", "wall", "load", "machine", "command")


def kept(result: dict[str, Any], why: str | None = None) -> dict[str, Any]:
    """The record of a run: its scores, its settings, and why it was not kept if it was not."""
    rest = {key: value for key, value in result.items() if key not in ("out", "test")}
    test = {key: result["test"][key] for key in SCORES if key in result["test"]}
    return {**rest, "test": test, **({"why": why} if why else {})}


def keep(run: Path, name: str, why: str | None, records: Path = RECORDS) -> Path:
    """Raises OSError when the run left no metrics.json."""
    result = json.loads((run / "metrics.json").read_text())
    path = records / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept(result, why), indent=1, sort_keys=True) + "\n")
    return path


def table(records: Path = RECORDS) -> str:
    """Markdown: a row per run, and per recipe with several seeds their mean and spread."""
    named = [(path.stem, json.loads(path.read_text())) for path in sorted(records.glob("*.json"))]
    runs = [(name, run) for name, run in named if "why" not in run]
    rows = markdown_table(COLUMNS, (row(name, run) for name, run in runs))
    aside = [(name, run) for name, run in named if "why" in run]
    return "\n".join([HEAD, rows, "", *seeds([run for _, run in runs]), *set_aside(aside)]) + "\n"


def row(name: str, run: dict[str, Any]) -> tuple[str, ...]:
    test, facts = run["test"], run["training"]
    views, at, fresh = run.get("test_views") or {}, facts.get("machine", {}), test.get("without_duplicates") or {}
    chosen = " (epoch chosen on TEST)" if facts["selected_on_test"] else ""
    load = f"{at['load']} to {facts['load_at_end']}" if at else "not recorded"
    return (
        name,
        interval(test["accuracy"]),
        interval(fresh["accuracy"]) if fresh else "",
        interval(views["accuracy"]) if views else "",
        str(test["n"]),
        facts["protocol"] + chosen,
        str(facts["seed"]),
        wall(facts),
        load,
        computed_on(at) if at else "not recorded",
        f"`{command(facts)}`",
    )


def seeds(runs: list[dict[str, Any]]) -> list[str]:
    """Mean and standard deviation over the seeds of the same command."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(command(run["training"]).rpartition(" --seed")[0], []).append(run)
    lines = []
    for line, group in groups.items():
        if len(group) < 2:
            continue
        text = f"* `{line}`, {len(group)} seeds: {spread([run['test']['accuracy']['value'] for run in group])}"
        views = [run["test_views"]["accuracy"]["value"] for run in group if run.get("test_views")]
        lines.append(text + (f"; over views {spread(views)}" if len(views) == len(group) else ""))
    return ["## Over seeds", "", *lines] if lines else []


def set_aside(runs: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Earlier recipes that were measured and not kept, each with the reason."""
    lines = []
    for name, run in runs:
        views = run.get("test_views") or {}
        over_views = f", over views {interval(views['accuracy'])}" if views else ""
        lines.append(f"* {name}: TEST {interval(run['test']['accuracy'])}{over_views}. {run['why']}")
    return ["", "## Tried and not kept", "", *lines] if lines else []


def spread(values: list[float]) -> str:
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean:.2%} ± {100 * deviation:.2f}"


def interval(scores: dict[str, Any]) -> str:
    if scores["low"] is None:
        return ""
    return f"{scores['value']:.2%} [{scores['low']:.2%}, {scores['high']:.2%}]"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.results")
    keeping = parser.add_subparsers(dest="verb").add_parser(
        "keep", help="a finished run's record into training/records"
    )
    keeping.add_argument("run", type=Path)
    keeping.add_argument("--as", dest="name", help="default: the name of the run's folder")
    keeping.add_argument("--why", help="why it was not kept: it is told below the table")
    asked = parser.parse_args(words)
    if asked.verb is None:
        sys.stdout.write(table())
        return 0
    try:
        sys.stderr.write(f"{keep(asked.run, asked.name or asked.run.name, asked.why)}\n")
    except FileNotFoundError as error:
        sys.stderr.write(f"{error.filename}: not there. A finished run leaves it.\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
