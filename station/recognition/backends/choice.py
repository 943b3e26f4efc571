"""Which engine computes the model here: a fixed order, each tried and proven, every refusal said.

The order is fixed rather than measured, so that a start is repeatable; `station bench` shows the figures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from station.errors import ConfigError, ModelError
from station.recognition.artifact import LoadedModel
from station.recognition.backends.contract import SIZES, BgrBatch, FixedSizes, in_one_line
from station.recognition.backends.parity import check_parity, probes, reference_logits
from station.recognition.backends.torch_cpu import open_torch_cpu
from station.recognition.processor import processor_has_bf16

AUTO = "auto"
ORDER = ("cuda", "openvino-bf16", "torch-bf16", "openvino-fp32", "torch-fp32")
NAMES = (AUTO, *ORDER, "openvino-int8")


@dataclass(frozen=True)
class ChosenBackend:
    backend: FixedSizes
    worst_difference: float  # against the float32 model, as a share of its largest logit
    passed_over: tuple[str, ...]  # better engines and why each is not used


def choose_backend(
    wanted: str,
    loaded: LoadedModel,
    *,
    threads: int = 0,
    sizes: tuple[int, ...] = SIZES,
    calibration: Sequence[BgrBatch] = (),
) -> ChosenBackend:
    """The wanted engine, or for `auto` the first of ORDER that works and agrees with the model."""
    if wanted not in NAMES:
        raise ConfigError(f"backend {wanted!r} is not known: use one of {', '.join(NAMES)}")
    sizes = tuple(sorted({1, *sizes}))
    pictures = probes(loaded.info.input_px)
    expected = reference_logits(loaded.model, pictures)
    passed_over: list[str] = []
    for name in ORDER if wanted == AUTO else (wanted,):
        try:
            backend = _open(name, loaded, threads, sizes, calibration)
            difference = check_parity(backend, pictures, expected)
            return ChosenBackend(backend, difference, tuple(passed_over))
        except ModelError as error:
            if wanted != AUTO:
                raise
            passed_over.append(f"{name}: {error}")
    raise ModelError("no engine computes the model here: " + "; ".join(passed_over))


def _open(
    name: str, loaded: LoadedModel, threads: int, sizes: tuple[int, ...], calibration: Sequence[BgrBatch]
) -> FixedSizes:
    model, input_px = loaded.model, loaded.info.input_px
    openers: dict[str, Callable[[], FixedSizes]] = {
        "cuda": partial(_cuda, loaded, sizes),
        "openvino-bf16": partial(_openvino, loaded, threads, sizes, bf16=True),
        "openvino-fp32": partial(_openvino, loaded, threads, sizes, bf16=False),
        "openvino-int8": partial(_openvino_int8, loaded, threads, sizes, calibration),
        "torch-bf16": partial(_torch_bf16, loaded, sizes),
        "torch-fp32": partial(open_torch_cpu, model, input_px=input_px, sizes=sizes),
    }
    try:
        return openers[name]()
    except RuntimeError as error:  # what torch, CUDA and OpenVINO raise
        raise ModelError(f"does not start: {in_one_line(error)}") from error


def _cuda(loaded: LoadedModel, sizes: tuple[int, ...]) -> FixedSizes:
    if not torch.cuda.is_available():
        raise ModelError("no CUDA GPU that this torch can use (nvidia-smi shows what the driver sees).")
    from station.recognition.backends.torch_cuda import open_torch_cuda

    return open_torch_cuda(loaded.model, input_px=loaded.info.input_px, sizes=sizes)


def _openvino(loaded: LoadedModel, threads: int, sizes: tuple[int, ...], *, bf16: bool) -> FixedSizes:
    try:
        from station.recognition.backends import openvino_cpu
    except ImportError:
        raise ModelError("OpenVINO is not installed: pip install openvino.") from None
    if bf16 and not openvino_cpu.has_bf16():
        raise ModelError("this processor has no bf16 instructions.")
    return openvino_cpu.open_openvino(
        loaded.model, input_px=loaded.info.input_px, bf16=bf16, threads=threads, sizes=sizes
    )


def _openvino_int8(
    loaded: LoadedModel, threads: int, sizes: tuple[int, ...], calibration: Sequence[BgrBatch]
) -> FixedSizes:
    try:
        from station.recognition.backends.openvino_cpu import open_openvino_int8
    except ImportError:
        raise ModelError("OpenVINO is not installed: pip install openvino.") from None
    return open_openvino_int8(
        loaded.model, input_px=loaded.info.input_px, calibration=calibration, threads=threads, sizes=sizes
    )


def _torch_bf16(loaded: LoadedModel, sizes: tuple[int, ...]) -> FixedSizes:
    if not processor_has_bf16():
        raise ModelError("this processor has no bf16 instructions.")
    return open_torch_cpu(loaded.model, input_px=loaded.info.input_px, bf16=True, sizes=sizes)
