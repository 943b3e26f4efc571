"""A model in other programs' formats, each proved to compute the same. Knows formats; nothing of training or belts."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from station.errors import ConfigError, ModelError
from station.recognition.artifact import LoadedModel, golden_picture, load_artifact
from station.recognition.preprocess import to_batch
from training.card import card

TOLERANCE = 0.02  # of a logit, the same everywhere
PROOF_SEEDS = range(8)
Runner = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ExportJob:
    model: str
    format: str  # onnx, exported, openvino
    out: Path


def export(job: ExportJob) -> dict[str, Any]:
    """Write the file, load it again, compare; a difference is a ModelError and the file is removed."""
    if job.format not in WRITERS:
        raise ConfigError(f"--format {job.format}: use one of {', '.join(WRITERS)}.")
    loaded = load_artifact(job.model)
    job.out.parent.mkdir(parents=True, exist_ok=True)
    runner = WRITERS[job.format](loaded, job.out)
    batch = to_batch([golden_picture(seed, loaded.info.input_px) for seed in PROOF_SEEDS])
    with torch.inference_mode():
        wanted = loaded.model(torch.from_numpy(batch)).numpy()
    # Also one picture alone: a format that froze the batch size fails here.
    got = np.concatenate((runner(batch[:1]), runner(batch[1:])))
    difference = float(np.abs(got - wanted).max())
    if not difference <= TOLERANCE or not np.array_equal(got.argmax(1), wanted.argmax(1)):
        job.out.unlink(missing_ok=True)
        raise ModelError(f"{job.format}: logits differ by {difference:.4f} from the model's; nothing was written.")
    described = job.out.with_suffix(".json")
    described.write_text(json.dumps(asdict(loaded.info), indent=1))
    job.out.with_suffix(".md").write_text(card(loaded.info), encoding="utf-8")
    return {
        "schema": "station.export/1",
        "format": job.format,
        "file": str(job.out),
        "description": str(described),
        "card": str(job.out.with_suffix(".md")),
        "max_logit_difference": difference,
        "pictures_compared": len(batch),
    }


def exported_program(loaded: LoadedModel) -> torch.export.ExportedProgram:
    side = loaded.info.input_px
    batch = torch.export.Dim("batch", min=1, max=4096)
    return torch.export.export(loaded.model, (torch.zeros(2, 3, side, side),), dynamic_shapes=({0: batch},))


def write_exported(loaded: LoadedModel, out: Path) -> Runner:
    torch.export.save(exported_program(loaded), out)
    again = torch.export.load(out).module()
    return lambda batch: _run(again, batch)


def write_onnx(loaded: LoadedModel, out: Path) -> Runner:
    openvino = _openvino()
    try:
        program = torch.onnx.export(
            exported_program(loaded), dynamo=True, input_names=["pixels"], output_names=["logits"]
        )
    except ModuleNotFoundError as error:
        raise ConfigError(f"--format onnx needs {error.name}: pip install onnx onnxscript.") from None
    if program is None:
        raise ModelError("onnx: the exporter gave nothing back.")
    program.save(str(out))
    return _openvino_runner(openvino, openvino.Core().read_model(out))


def write_openvino(loaded: LoadedModel, out: Path) -> Runner:
    openvino = _openvino()
    ir = openvino.convert_model(exported_program(loaded))
    openvino.save_model(ir, out, compress_to_fp16=True)
    return _openvino_runner(openvino, openvino.Core().read_model(out))


def _openvino() -> Any:
    try:
        import openvino
    except ModuleNotFoundError:
        raise ConfigError("this format needs OpenVINO: pip install openvino.") from None
    return openvino


def _openvino_runner(openvino: Any, ir: Any) -> Runner:
    compiled = openvino.Core().compile_model(ir, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda batch: np.array(compiled(batch)[0])


@torch.inference_mode()
def _run(model: nn.Module, batch: np.ndarray) -> np.ndarray:
    logits: np.ndarray = model(torch.from_numpy(np.ascontiguousarray(batch))).numpy()
    return logits


WRITERS: dict[str, Callable[[LoadedModel, Path], Runner]] = {
    "onnx": write_onnx,
    "exported": write_exported,
    "openvino": write_openvino,
}
SUFFIXES = {"onnx": ".onnx", "exported": ".pt2", "openvino": ".xml"}
