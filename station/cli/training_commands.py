"""`station train`, `evaluate`, `export`, `data check`, `data split`: flags in, one job object out.

Everything heavy is imported inside the commands, so that `station --help` needs no torch.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from station.cli.output import give, say, told

DataArgument = Annotated[Path, typer.Argument(help="Class folders, or a folder with TRAIN/ and TEST/")]
ModelArgument = Annotated[str, typer.Argument(help="A .safetensors file, or `default` for the model that ships")]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout")]
CacheOption = Annotated[Path, typer.Option(help="Folder for decoded pictures")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1")]
FramingOption = Annotated[
    str | None,
    typer.Option(help="squash: the whole picture; centre: its central square, for pictures that are not of a belt"),
]
DEFAULT_CACHE = Path(".cache/pictures")
SUSPECTS_TOLD = 10
MAX_SEED = 2**32 - 1  # an epoch's own seed is made of it and has to fit into 64 bits


def register(app: typer.Typer, data: typer.Typer) -> None:
    """Hang the commands on the program and on its `data` group."""
    app.command()(train)
    app.command()(evaluate)
    app.command()(compare)
    app.command()(export)
    data.command("check")(data_check)
    data.command("split")(data_split)


@told
def train(
    data: DataArgument,
    recipe: Annotated[str, typer.Option(help="or, ortl, finetune; plant for your own crops; or a recipe file")] = "or",
    protocol: Annotated[
        str, typer.Option(help="honest: TEST once; paper: as published, best epoch on TEST")
    ] = "honest",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/RECIPE-TIME")] = None,
    extra: Annotated[list[Path] | None, typer.Option(help="Belt crops that join the training part")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's; its stages keep their shares")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=2, help="Pictures a step, over all processes; default the recipe's")
    ] = None,
    peak_lr: Annotated[float | None, typer.Option(help="Highest learning rate; default the recipe's")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of weights, order and held-out blocks")] = 1,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in OUT")] = False,
    arch: Annotated[
        str | None,
        typer.Option(
            help="resnet18, its _multiscale or _short, recyclenet, efficientnet_lite0 to 2, or a torchvision classifier"
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Start from: a safetensors file, `default`, or `imagenet` (download, or an installed package)"
        ),
    ] = None,
    framing: FramingOption = None,
    holdout_share: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Of TRAIN, for temperature and thresholds; with 0 only a frozen backbone's head has any",
        ),
    ] = None,
    cache: CacheOption = DEFAULT_CACHE,
    as_json: JsonFlag = False,
) -> None:
    """Train a model and write model.safetensors, its CARD.md, metrics.json and report.html."""
    from training.session import TrainJob
    from training.session import train as run

    job = TrainJob(
        data=data,
        recipe=recipe,
        protocol=protocol,
        out=out,
        extra=tuple(extra or ()),
        epochs=epochs,
        batch=batch,
        peak_lr=peak_lr,
        seed=seed,
        device=device,
        resume=resume,
        arch=arch,
        backbone=backbone,
        framing=framing,
        holdout_share=holdout_share,
        cache=cache,
    )
    result = run(job)
    if not result:
        return  # one of several processes: the first one speaks
    accuracy = result["test"]["accuracy"]
    give(result, f"{result['out']}/model.safetensors: TEST {share(accuracy)}, {result['test']['n']} pictures", as_json)


@told
def evaluate(
    model: ModelArgument,
    data: DataArgument,
    exclude: Annotated[Path | None, typer.Option(help="File of names to leave out, one a line")] = None,
    duplicates: Annotated[bool, typer.Option(help="Also without pictures that TRAIN/ holds")] = False,
    min_recall: Annotated[list[str] | None, typer.Option(help="LABEL=SHARE; below it the exit code is 1")] = None,
    against: Annotated[str | None, typer.Option(help="Another model, on the same pictures (McNemar's test)")] = None,
    device: DeviceOption = "cpu",
    cache: CacheOption = DEFAULT_CACHE,
    as_json: JsonFlag = False,
) -> None:
    """Judge a model on pictures: accuracy with intervals, confusion, calibration, every block."""
    from training.evaluate import EvaluateJob, failed_recalls
    from training.evaluate import evaluate as run

    wanted = parse_floors(min_recall or [])
    report = run(EvaluateJob(model, data, exclude, duplicates, against, device, cache))
    failures = failed_recalls(report, wanted)
    lines = [f"accuracy {share(report['accuracy'])} on {report['n']} pictures, {report['unreadable']} unreadable"]
    if report["set_aside_by_training"]:
        say(f"{data} has no TEST/, and this model learnt from it: judged by the blocks that its training set aside.")
    for label, scores in report["per_class"].items():
        lines.append(f"{label}: precision {scores['precision']}, recall {scores['recall']}, n {scores['n']}")
    lines += [working_point(row) for row in report["working_points"] if row["threshold"] is not None]
    if against is not None:
        other = report["against"]
        lines.append(
            f"against {other['path']} ({other['other_accuracy']:.2%}): only this one right {other['only_this_right']}, "
            f"only the other {other['only_other_right']}, p {other['p']:.2g}"
        )
    give(report, "\n".join(lines), as_json)
    for failure in failures:
        say(failure)
    if failures:
        raise typer.Exit(1)


@told
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished trainings")],
    out: Annotated[Path, typer.Option(help="HTML to write")] = Path("compare.html"),
    as_json: JsonFlag = False,
) -> None:
    """Trainings side by side: the paper's table with ours, curves, and McNemar's test for each pair."""
    from training.compare import compare as run

    result = run(runs, out)
    lines = [
        f"{row['run']}: {share(row['accuracy'])}, {row['wall_s']:.0f} s"
        + "".join(f", {word} {name}" for name, word in row["against_paper"].items())
        for row in result["runs"]
    ]
    lines += [
        f"{row['run']} | {row['other']}: only one right {row['only_this_right']} | {row['only_other_right']}, p {row['p']:.2g}"
        for row in result["pairs"]
    ]
    say(f"{out} written")
    give(result, "\n".join(lines), as_json)


@told
def export(
    model: ModelArgument,
    format: Annotated[str, typer.Option(help="onnx, exported (torch.export) or openvino")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="File to write; default model.onnx, .pt2 or .xml")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a model in another format and prove that it computes the same."""
    from training.export import SUFFIXES, ExportJob
    from training.export import export as run

    target = out or Path("model").with_suffix(SUFFIXES.get(format, ".bin"))
    result = run(ExportJob(model, format, target))
    give(result, f"{result['file']}: logits within {result['max_logit_difference']:.2g}", as_json)


@told
def data_check(
    data: DataArgument,
    labels: Annotated[bool, typer.Option(help="Look for labels that seem wrong (computes; minutes on a CPU)")] = True,
    backbone: Annotated[str, typer.Option(help="Weights that look at the labels")] = "default",
    report_to: Annotated[
        Path | None, typer.Option("--report", help="HTML to write, with a sheet to review labels")
    ] = None,
    cache: CacheOption = DEFAULT_CACHE,
    as_json: JsonFlag = False,
) -> None:
    """Look for unreadable files, copies, wrong labels and thin classes; exit code 1 if any harms training."""
    from training.data_check import CheckJob, check

    report = check(CheckJob(data, cache, backbone if labels else None, page=report_to))
    lines = [f"{part} {label}: {n}" for part, labels in report["counts"].items() for label, n in labels.items()]
    lines += [f"unreadable: {name}" for name in report["unreadable"]]
    lines += [
        f"{pair['file']} ({pair['label']}) = {pair['other']} ({pair['other_label']})"
        for pair in report["contradicting_labels"]
    ]
    lines.append(
        f"copies within train {report['copies_within_train']}, of test in train {report['copies_of_test_in_train']}"
    )
    lines += [f"few pictures: {label}" for label in report["labels_with_few_pictures"]]
    lines += [
        f"suspect label: {row['file']} is {row['label']}, looks like {row['looks_like']} ({row['p_other']:.0%})"
        for row in (report["suspect_labels"] or [])[:SUSPECTS_TOLD]
    ]
    if report_to is not None:
        say(f"{report_to} written: look at it in a browser.")
    give(report, "\n".join(lines), as_json)
    if not report["ok"]:
        raise typer.Exit(1)


@told
def data_split(
    data: DataArgument,
    out: Annotated[Path, typer.Argument(help="New folder for TRAIN/ and TEST/")],
    test_share: Annotated[float, typer.Option(min=0.01, max=0.9)] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED)] = 1,
    single_files: Annotated[
        bool, typer.Option("--single-files", help="At random instead: kinder than the truth")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Part one tree into TRAIN/ and TEST/ by whole blocks of neighbouring files."""
    from training.data_check import SplitJob, split

    result = split(SplitJob(data, out, test_share, seed, single_files))
    give(result, f"{result['out']}: {result['counts']}", as_json)


def parse_floors(texts: list[str]) -> dict[str, float]:
    floors = {}
    for text in texts:
        label, _, value = text.rpartition("=")
        try:
            floors[label] = float(value)
        except ValueError:
            label = ""
        if not label or not 0 <= floors[label] <= 1:
            raise typer.BadParameter(f"{text!r}: give LABEL=SHARE, for example recyclable=0.95")
    return floors


def share(interval: dict[str, Any]) -> str:
    if interval["value"] is None:
        return "unknown"
    return f"{interval['value']:.2%} [{interval['low']:.2%}, {interval['high']:.2%}]"


def working_point(row: dict[str, Any]) -> str:
    return (
        f"{row['label']} at {row['threshold']:.3f} (chosen for purity {row['wanted_purity']:.0%} on held-out pictures): "
        f"purity {share(row['purity'])}, recovery {share(row['recovery'])}"
    )
