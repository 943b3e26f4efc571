"""The model on an NVIDIA GPU: half precision, channels-last, one CUDA graph per batch size.

A graph replays the whole network in one launch, so that a busy Python thread cannot starve the GPU between layers.
Bytes go up once, from pinned memory; normalisation happens there.
"""

import copy
import threading

import torch
from torch import Tensor, nn

from station.recognition.backends.bytes_model import BytesModel
from station.recognition.backends.contract import SIZES, BgrBatch, FixedSizes, Infer, Logits

_WARM_RUNS = 3  # libraries choose their kernels and workspaces before a graph may be captured


def open_torch_cuda(
    model: nn.Module, *, input_px: int, device: str = "cuda:0", sizes: tuple[int, ...] = SIZES
) -> FixedSizes:
    torch.backends.cudnn.benchmark = True
    network = BytesModel(copy.deepcopy(model), torch.float16).to(device).eval()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    # One stream, one staging area: calls from two threads would overwrite each other's looks.
    lock = threading.Lock()
    infer: dict[int, Infer] = {}
    for size in sorted(sizes, reverse=True):  # largest first: later graphs fit into its memory
        infer[size] = _Graph(network, stream, size, input_px, lock).run
    return FixedSizes("cuda-fp16", device, infer, pads=True)


class _Graph:
    def __init__(
        self, network: nn.Module, stream: torch.cuda.Stream, size: int, input_px: int, lock: threading.Lock
    ) -> None:
        shape = (size, input_px, input_px, 3)
        self._stream = stream
        self._lock = lock
        self._staging = torch.zeros(shape, dtype=torch.uint8).pin_memory()
        self._bytes = torch.zeros(shape, dtype=torch.uint8, device=stream.device)
        self._logits, self._graph = _capture(network, stream, self._bytes)
        self._answer = torch.empty(self._logits.shape, dtype=torch.float32).pin_memory()
        # Waiting must not burn the core that the next frame is prepared on.
        self._done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def run(self, batch: BgrBatch) -> Logits:
        with self._lock, torch.inference_mode(), torch.cuda.stream(self._stream):
            self._staging.numpy()[:] = batch
            self._bytes.copy_(self._staging, non_blocking=True)
            self._graph.replay()
            self._answer.copy_(self._logits, non_blocking=True)
            self._done.record(self._stream)
            self._done.synchronize()
            logits: Logits = self._answer.numpy().copy()
            return logits


def _capture(network: nn.Module, stream: torch.cuda.Stream, looks: Tensor) -> tuple[Tensor, torch.cuda.CUDAGraph]:
    stream.wait_stream(torch.cuda.current_stream(stream.device))
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(_WARM_RUNS):
            network(looks)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph, stream=stream):
        logits: Tensor = network(looks)
    return logits, graph
