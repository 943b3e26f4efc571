"""The table of every finished run, from the metrics.json it left: `python -m training.results runs > training/RESULTS.md`.

Knows where a run wrote what; computes nothing anew.
"""

import json
import sys
from pathlib import Path
from typing import Any

from training.record import command

HEAD = """# Trainings on record

Made by `python -m training.results runs > training/RESULTS.md` from what each run left; nothing here is typed by hand.
*Accuracy* is the artifact's, asked once of each TEST picture, with its Wilson 95 % interval; *fresh* leaves out the TEST
pictures that also stand in TRAIN; *views* is the mean over the recipe's views (mirrored, sizes), fixed before TEST was seen.
TrashNet is parted 70/13/17 at random, as others part it: `station data split ../shared/data/trashnet runs/trashnet
--test-share 0.17 --single-files --seed 1`, and 16 % of its TRAIN are held out in blocks.
Runs of the paper's protocol chose their epoch on TEST: their numbers flatter, and say so. A load above the number of
threads means that others computed on the same machine: such wall times are too long.
"""
COLUMNS = ("run", "accuracy", "fresh", "views", "n", "protocol", "seed", "wall", "load", "machine", "command")


def table(folder: Path) -> str:
    """Markdown: a row per run, and per recipe with several seeds their mean and spread."""
    found = sorted(folder.glob("*/metrics.json"))
    runs = [(path.parent.name, json.loads(path.read_text())) for path in found]
    whole = [(name, run) for name, run in runs if "accuracy" in run.get("test", {}) and "recipe" in run["training"]]
    lines = [HEAD, "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row(name, run)) + " |" for name, run in whole]
    return "\n".join([*lines, "", *seeds([run for _, run in whole]), *set_aside(folder / "tried")]) + "\n"


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
        f"{at['device']}, {at['threads']} threads" if at else "not recorded",
        f"`{command(facts)}`",
    )


def wall(facts: dict[str, Any]) -> str:
    if facts.get("resumed"):
        return f"over {max(facts['wall_s'], facts['epochs_s']) / 60:.1f} min (resumed)"
    return f"{facts['wall_s'] / 60:.1f} min"


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


def set_aside(folder: Path) -> list[str]:
    """Earlier recipes that were measured and not kept, each with the reason that lies in its why.txt."""
    lines = []
    for path in sorted(folder.glob("*/metrics.json")):
        run, why = json.loads(path.read_text()), path.with_name("why.txt")
        views = run.get("test_views") or {}
        over_views = f", over views {interval(views['accuracy'])}" if views else ""
        reason = why.read_text().strip() if why.exists() else "no reason recorded"
        lines.append(f"* {path.parent.name}: TEST {interval(run['test']['accuracy'])}{over_views}. {reason}")
    return ["", "## Tried and not kept", "", *lines] if lines else []


def spread(values: list[float]) -> str:
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean:.2%} ± {100 * deviation:.2f}"


def interval(scores: dict[str, Any]) -> str:
    if scores["low"] is None:
        return ""
    return f"{scores['value']:.2%} [{scores['low']:.2%}, {scores['high']:.2%}]"


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1] if len(sys.argv) > 1 else "runs")))
