"""report.html of a run: curves, confusion, blocks, and where the network looked in its worst errors.

One file that opens anywhere: drawings as SVG, pictures embedded. Knows results, not how they came about.
"""

import base64
import html
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from station.recognition.preprocess import squash, to_batch
from training.cache import Cache, decode

SHOWN = 24
THUMB_PX = 176
STYLE = (
    "body{font:15px system-ui;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse}td,th{border:1px solid #c6ccd3;padding:.3rem .6rem;text-align:right}"
    "figure{display:inline-block;margin:.4rem;width:11rem;font-size:12px;vertical-align:top}img{width:100%}"
    "svg{background:#f6f8fa;margin:.4rem}"
)


def write_report(folder: Path, model: nn.Module, test: Cache, result: dict[str, Any]) -> Path:
    """`result` is what metrics.json holds; epochs are read from metrics.jsonl beside it."""
    scores = result["test"]
    accuracy = scores["accuracy"]
    chosen = " The epoch was chosen on TEST." if result["training"]["selected_on_test"] else ""
    parts = [
        f"<h1>{html.escape(str(result['training']['recipe']['name']))}</h1>",
        f"<p><b>TEST {accuracy['value']:.2%}</b> [{accuracy['low']:.2%}, {accuracy['high']:.2%}] "
        f"on {scores['n']} pictures, {scores['unreadable']} unreadable; ECE {scores['ece']:.3f}.{chosen}</p>",
        *curves(read_epochs(folder / "metrics.jsonl")),
        "<h2>Confusion</h2>" + confusion_table(scores["confusion"]),
        "<h2>Blocks of neighbouring files</h2>" + block_bars(scores["per_block"]),
        "<h2>Worst errors</h2><p>The surest mistakes first. Red: what spoke for the wrong label.</p>",
        *(error_figure(model, row, scores["confusion"]["labels"], test) for row in scores["worst"][:SHOWN]),
    ]
    page = f"<!doctype html><meta charset=utf-8><title>Training report</title><style>{STYLE}</style>" + "\n".join(parts)
    path = folder / "report.html"
    path.write_text(page)
    return path


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """The last run of each epoch: a resumed run may have logged one twice."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    by_epoch = {row["epoch"]: row for row in rows if "loss" in row}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def curves(epochs: list[dict[str, Any]]) -> list[str]:
    names = [name for name in ("loss", "holdout_loss", "holdout_accuracy") if epochs and name in epochs[-1]]
    return [line_chart(name, [(row["epoch"], row[name]) for row in epochs if name in row]) for name in names]


def line_chart(name: str, points: list[tuple[float, float]]) -> str:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = min(ys), max(ys)
    span_x, span_y = max(max(xs) - min(xs), 1), max(high - low, 1e-9)
    line = " ".join(f"{30 + 250 * (x - min(xs)) / span_x:.1f},{150 - 120 * (y - low) / span_y:.1f}" for x, y in points)
    return (
        f'<svg width="300" height="180" role="img" aria-label="{name}"><text x="30" y="18">{name}</text>'
        f'<polyline points="{line}" fill="none" stroke="#0a58ca" stroke-width="2"/>'
        f'<text x="30" y="172" font-size="11">{low:.4g} to {high:.4g}, epochs {min(xs)} to {max(xs)}</text></svg>'
    )


def confusion_table(confusion: dict[str, Any]) -> str:
    labels = [html.escape(name) for name in confusion["labels"]]
    head = "<tr><th>is \\ called</th>" + "".join(f"<th>{name}</th>" for name in labels) + "</tr>"
    rows = "".join(
        f"<tr><th>{name}</th>" + "".join(f"<td>{n}</td>" for n in counts) + "</tr>"
        for name, counts in zip(labels, confusion["counts"], strict=True)
    )
    return f"<table>{head}{rows}</table>"


def block_bars(blocks: list[dict[str, Any]]) -> str:
    bars = "".join(
        f'<rect x="{4 + 14 * at}" y="{130 - 110 * row["accuracy"]:.1f}" width="11" height="{110 * row["accuracy"]:.1f}" '
        f'fill="#0a58ca"><title>{html.escape(row["label"])}: {row["accuracy"]:.1%} of {row["n"]}</title></rect>'
        for at, row in enumerate(blocks)
    )
    return f'<svg width="{14 * len(blocks) + 8}" height="140">{bars}</svg>'


def error_figure(model: nn.Module, row: dict[str, Any], labels: list[str], test: Cache) -> str:
    bgr = decode(Path(row["file"]))
    if bgr is None:
        return ""
    square = squash(bgr, int(test.images.shape[1]))
    heat = grad_cam(model, torch.from_numpy(to_batch([square])), labels.index(row["called"]))
    shown = squash(overlaid(square, heat), THUMB_PX)
    data = base64.b64encode(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()).decode()
    words = f"{Path(row['file']).name}: {row['label']}, called {row['called']} ({row['confidence']:.0%})"
    return f'<figure><img src="data:image/jpeg;base64,{data}" alt=""><figcaption>{html.escape(words)}</figcaption></figure>'


def overlaid(bgr: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    wide = cv2.resize(heat, (bgr.shape[1], bgr.shape[0]))[..., None]
    red = np.array([0, 0, 255], np.float32)
    return np.asarray(bgr * (1 - 0.5 * wide) + red * 0.5 * wide, np.uint8)


def grad_cam(model: nn.Module, x: Tensor, label: int) -> NDArray[np.float32]:
    """(h, w) in 0..1: where the last feature map spoke for the label (Selvaraju 2017)."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        kept.append(output)

    handle = last_map(model).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            # Gradients are wanted of the map, not of the weights, which an artifact has frozen.
            logits = model.eval()(x.requires_grad_(True))
            (slope,) = torch.autograd.grad(logits[0, label], kept[0])
    finally:
        handle.remove()
    weighted = (slope.mean((2, 3), keepdim=True) * kept[0]).sum(1)[0].relu().detach()
    return np.asarray((weighted / weighted.max().clamp_min(1e-9)).numpy(), np.float32)


def last_map(model: nn.Module) -> nn.Module:
    """The module whose output is the last feature map: layer4 of a ResNet, else the last convolution."""
    if isinstance(layer := getattr(model, "layer4", None), nn.Module):
        return layer
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
