"""Drawings of a training report as SVG text. Knows numbers and matplotlib; nothing of models, files or pages."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Fixed ids and no date: the same run draws the same bytes. Text stays text, so that it can be read and searched.
mpl.rcParams.update({"svg.hashsalt": "station", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"})
SIZE_IN = (4.6, 3.0)

Rows = Sequence[Mapping[str, Any]]


def accuracy_over_epochs(series: Mapping[str, Rows]) -> str:
    """One run: training and validation accuracy. Several: the same of each, by name."""
    figure, axes = _one()
    for number, (name, epochs) in enumerate(series.items()):
        colour = f"C{number}"
        for key, style, word in (
            ("train_accuracy", "--", "training"),
            ("holdout_accuracy", "-", "held-out blocks"),
            ("test_accuracy", ":", "TEST"),
        ):
            points = [(row["epoch"], row[key]) for row in epochs if key in row]
            if points:
                xs, ys = zip(*points, strict=True)
                axes.plot(xs, ys, style, color=colour, marker=".", label=f"{name}: {word}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _titled(axes, "Accuracy over the epochs", "epoch", "accuracy")
    return _svg(figure)


def loss_over_epochs(epochs: Rows) -> str:
    figure, axes = _one()
    for key, word in (("loss", "training (smoothed, weighted)"), ("holdout_loss", "held-out blocks")):
        points = [(row["epoch"], row[key]) for row in epochs if key in row]
        if points:
            xs, ys = zip(*points, strict=True)
            axes.plot(xs, ys, marker=".", label=word)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _titled(axes, "Loss over the epochs", "epoch", "loss")
    return _svg(figure)


def purity_recovery(test: Mapping[str, Rows], held: Mapping[str, Rows], points: Rows) -> str:
    """Curves of each label on both sets; crosses: thresholds chosen on pictures not learnt from, as they did on TEST."""
    figure, axes = _one()
    for number, name in enumerate(test):
        colour = f"C{number}"
        for curves, style, word in ((held, "--", "not learnt from"), (test, "-", "TEST")):
            rows = curves.get(name, ())
            axes.plot(
                [row["recovery"] for row in rows],
                [row["purity"] for row in rows],
                style,
                color=colour,
                label=f"{name}: {word}",
            )
        met = [row for row in points if row["label"] == name and row["threshold"] is not None]
        axes.plot([row["recovery"]["value"] for row in met], [row["purity"]["value"] for row in met], "x", color=colour)
    _titled(axes, "Purity and recovery", "recovery", "purity")
    return _svg(figure)


def reject(test: Rows, held: Rows) -> str:
    figure, axes = _one()
    for rows, style, word in ((held, "--", "not learnt from"), (test, "-", "TEST")):
        axes.plot([row["coverage"] for row in rows], [row["accuracy"] for row in rows], style, label=word, color="C0")
    _titled(axes, "Leaving unsure items undecided", "share decided", "accuracy of the decided")
    return _svg(figure)


def reliability(bins: Rows) -> str:
    """`bins`: confidence, accuracy and n of each."""
    figure, axes = _one()
    largest = max((row["n"] for row in bins), default=1)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="honest")
    axes.scatter(
        [row["confidence"] for row in bins],
        [row["accuracy"] for row in bins],
        s=[12 + 90 * row["n"] / largest for row in bins],
        color="C0",
        label="pictures, size by number",
    )
    _titled(axes, "Is the confidence honest?", "confidence said", "share that was right")
    return _svg(figure)


def block_accuracy(blocks: Rows) -> str:
    figure, axes = _one(width_in=9.4)
    labels = list(dict.fromkeys(row["label"] for row in blocks))
    for number, name in enumerate(labels):
        at = [place for place, row in enumerate(blocks) if row["label"] == name]
        axes.bar(at, [blocks[place]["accuracy"] for place in at], color=f"C{number}", label=name)
    axes.set_ylim(min((row["accuracy"] for row in blocks), default=0.0) - 0.05, 1.0)
    _titled(axes, "Accuracy by block of neighbouring files", "block", "accuracy")
    return _svg(figure)


def _one(width_in: float = SIZE_IN[0]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, SIZE_IN[1]), layout="constrained")
    return figure, figure.add_subplot()


def _titled(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]  # without the XML head: it stands inside a page
