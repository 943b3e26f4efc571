"""The model on the processor by OpenVINO: converted in memory, one compiled network per batch size.

Imported only when asked for: OpenVINO is an optional dependency.
"""

import copy
import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from station.errors import ModelError
from station.recognition.backends.bytes_model import BytesModel
from station.recognition.backends.contract import SIZES, BgrBatch, FixedSizes, Infer, Logits

_openvino: Any = importlib.import_module("openvino")  # its stubs lack what we call


def has_bf16() -> bool:
    capabilities = _openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


def open_openvino(
    model: nn.Module, *, input_px: int, bf16: bool, threads: int, sizes: tuple[int, ...] = SIZES
) -> FixedSizes:
    """`threads` 0 leaves the number to OpenVINO."""
    network = _convert(model, input_px)
    name = "openvino-bf16" if bf16 else "openvino-fp32"
    return _compile(network, name, "bf16" if bf16 else "f32", input_px, threads, sizes)


def open_openvino_int8(
    model: nn.Module,
    *,
    input_px: int,
    calibration: Sequence[BgrBatch],
    threads: int,
    sizes: tuple[int, ...] = SIZES,
) -> FixedSizes:
    """Eight-bit weights and activations, their ranges measured on `calibration` (crops like those of the belt)."""
    try:
        nncf: Any = importlib.import_module("nncf")
    except ImportError:
        raise ModelError("openvino-int8 needs the package nncf: pip install nncf, or choose openvino-bf16.") from None
    if not len(calibration):
        raise ModelError("openvino-int8 needs pictures like those of the belt to measure ranges on; none were given.")
    network = _convert(model, input_px)
    rows = [np.ascontiguousarray(look[None]) for batch in calibration for look in batch]
    quantised = nncf.quantize(network, nncf.Dataset(rows), subset_size=len(rows))
    precision = "bf16" if has_bf16() else "f32"  # of the few layers that stay floating
    return _compile(quantised, "openvino-int8", precision, input_px, threads, sizes)


def _convert(model: nn.Module, input_px: int) -> Any:
    example = torch.zeros((1, input_px, input_px, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        # OpenVINO traces by torch.jit, which torch has begun to deprecate.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return _openvino.convert_model(BytesModel(copy.deepcopy(model)).eval(), example_input=example)


def _compile(
    network: Any, name: str, precision: str, input_px: int, threads: int, sizes: tuple[int, ...]
) -> FixedSizes:
    core = _openvino.Core()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    infer: dict[int, Infer] = {}
    for size in sizes:
        network.reshape([size, input_px, input_px, 3])
        infer[size] = _request(core.compile_model(network, "CPU", settings))
        infer[size](np.zeros((size, input_px, input_px, 3), np.uint8))
    return FixedSizes(name, "cpu", infer, pads=False)


def _request(compiled: Any) -> Infer:
    request = compiled.create_infer_request()

    def infer(batch: BgrBatch) -> Logits:
        # The result lies in the request's own memory, which the next call overwrites.
        return np.array(request.infer({0: batch}, share_inputs=True)[0], np.float32)

    return infer
