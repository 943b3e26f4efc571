"""One model in one safetensors file: weights in half precision, and all that is needed to use and judge them.

Knows the file's layout and proves at load that this machine computes what the trainer computed. Never reads a pickle.
Knows nothing of cameras, devices or how the model was trained.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from station.errors import ModelError
from station.recognition.model import RESNET18, build_model
from station.recognition.preprocess import MEAN, PREPROCESSING, STD, BgrImage, Framing, to_batch

SCHEMA = "station.artifact/1"
DEFAULT = "default"
DEFAULT_PATH = Path(__file__).parent / "default" / "model.safetensors"
GOLDEN_SEED = 20260

_METADATA_KEY = "station"
_FRAMINGS = {name: framing for framing, name in PREPROCESSING.items()}
_GOLDEN_TOLERANCE = 0.02  # absolute and relative; fp32 on other processors differs by less than 0.001


@dataclass(frozen=True)
class ArtifactInfo:
    """What stands beside the weights."""

    classes: tuple[str, ...]
    input_px: int
    arch: str = RESNET18
    temperature: float = 1.0  # logits are divided by it before the softmax
    # label -> [{"threshold", "purity", "recovery"}], of fused probabilities on held-out pictures, rising thresholds
    curve: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)  # fingerprint, counts
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)  # recipe, seed, epochs, wall time, versions
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    preprocessing: str = PREPROCESSING["squash"]
    golden_seed: int = GOLDEN_SEED
    golden_logits: tuple[float, ...] = ()  # of the golden picture, filled by save_artifact
    weights_sha256: str = ""  # of the tensors, filled by save_artifact
    schema: str = SCHEMA

    @property
    def framing(self) -> Framing:
        return _FRAMINGS[self.preprocessing]


@dataclass(frozen=True)
class LoadedModel:
    model: nn.Module  # eval mode, float32, on the CPU
    info: ArtifactInfo
    path: Path
    file_sha256: str


def artifact_path(name_or_path: str | Path) -> Path:
    """`default` is the model that ships; anything else is a path."""
    return DEFAULT_PATH if str(name_or_path) == DEFAULT else Path(name_or_path)


def save_artifact(path: Path, model: nn.Module, info: ArtifactInfo) -> ArtifactInfo:
    """Write the artifact in one step (a crash leaves the old file) and return the completed info."""
    weights = {name: _stored(tensor) for name, tensor in model.state_dict().items() if _is_stored(name)}
    reloaded = _fill(build_model(info.arch, len(info.classes)), weights, path)
    info = replace(
        info, golden_logits=_golden_logits(reloaded, info), weights_sha256=_sha256_of_tensors(weights), schema=SCHEMA
    )
    blob = save(weights, metadata={_METADATA_KEY: json.dumps(asdict(info), sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(blob)
    temporary.replace(path)
    return info


def load_artifact(name_or_path: str | Path) -> LoadedModel:
    """The model, ready to use. One ModelError for everything a file can have wrong with it."""
    path = artifact_path(name_or_path)
    info, weights, file_sha256 = _read(path)
    if _sha256_of_tensors(weights) != info.weights_sha256:
        raise ModelError(f"{path}: damaged: the weights do not match their checksum. Copy or export the file again.")
    model = _fill(build_model(info.arch, len(info.classes)), weights, path)
    _check_golden(model, info, path)
    return LoadedModel(model, info, path, file_sha256)


def read_info(name_or_path: str | Path) -> ArtifactInfo:
    """What stands beside the weights, without building the model."""
    return _read(artifact_path(name_or_path))[0]


def golden_picture(seed: int, input_px: int) -> BgrImage:
    """The same picture on every machine: PCG64's integer stream is fixed by numpy's promise."""
    return np.random.default_rng(seed).integers(0, 256, (input_px, input_px, 3), dtype=np.uint8)


def _read(path: Path) -> tuple[ArtifactInfo, dict[str, Tensor], str]:
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model. Give a .safetensors file written by `station train`.") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from None
    # Safetensors open with the length of their header, which may look like anything, and then with its brace.
    if head[8:] != b"{" and (head[:2] == b"PK" or head[:1] == b"\x80"):
        raise ModelError(
            f"{path}: a pickle or zip archive (.pt, .pth), which could run code and is never loaded. "
            "Give a .safetensors file written by `station train`."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: not a whole safetensors file ({error}). Copy or export it again.") from None
    file_sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return _parse_info(metadata.get(_METADATA_KEY), path), weights, file_sha256


def _parse_info(text: str | None, path: Path) -> ArtifactInfo:
    if text is None:
        raise ModelError(f"{path}: safetensors, but not a station model: it has no 'station' metadata.")
    try:
        values = json.loads(text)
        schema = values.get("schema")
        known = {entry.name for entry in fields(ArtifactInfo)}
        info = ArtifactInfo(**{key: _frozen(value) for key, value in values.items() if key in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: its metadata cannot be understood ({error}).") from None
    if schema != SCHEMA:
        raise ModelError(f"{path}: schema {schema!r}; this program reads {SCHEMA!r}.")
    if info.preprocessing not in list(_FRAMINGS) or info.mean != MEAN or info.std != STD:
        does = " and ".join(map(repr, _FRAMINGS))
        raise ModelError(f"{path}: made for preprocessing {info.preprocessing!r}; this program does {does}.")
    if not _is_possible(info):
        raise ModelError(
            f"{path}: impossible values: classes {info.classes}, input_px {info.input_px}, "
            f"temperature {info.temperature}."
        )
    return info


def _is_possible(info: ArtifactInfo) -> bool:
    """JSON does not keep types: a text or a null may stand anywhere."""
    names = isinstance(info.classes, tuple) and all(isinstance(name, str) for name in info.classes)
    numbers = isinstance(info.input_px, int) and isinstance(info.temperature, int | float)
    return (
        names
        and numbers
        and len(set(info.classes)) == len(info.classes) >= 2
        and 16 <= info.input_px <= 1024
        and info.temperature > 0
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _fill(model: nn.Module, weights: dict[str, Tensor], path: Path) -> nn.Module:
    wide = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    try:
        missing, unexpected = model.load_state_dict(wide, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{path}: weights of another shape than its architecture says: {error}") from None
    missing = [name for name in missing if _is_stored(name)]
    if missing or unexpected:
        raise ModelError(f"{path}: weights missing {missing[:3]} or unknown {unexpected[:3]}.")
    return model.eval().requires_grad_(False)


def _check_golden(model: nn.Module, info: ArtifactInfo, path: Path) -> None:
    got = np.asarray(_golden_logits(model, info))
    wanted = np.asarray(info.golden_logits)
    if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=_GOLDEN_TOLERANCE, atol=_GOLDEN_TOLERANCE):
        raise ModelError(
            f"{path}: computes {np.round(got, 3).tolist()} for the golden picture where the trainer got "
            f"{np.round(wanted, 3).tolist()}: a damaged file or a broken installation of torch."
        )


@torch.inference_mode()
def _golden_logits(model: nn.Module, info: ArtifactInfo) -> tuple[float, ...]:
    batch = torch.from_numpy(to_batch([golden_picture(info.golden_seed, info.input_px)]))
    return tuple(float(value) for value in model.eval()(batch)[0])


def _is_stored(name: str) -> bool:
    return not name.endswith("num_batches_tracked")


def _stored(tensor: Tensor) -> Tensor:
    # Normalisation layers stay float32: a running variance can leave half precision's range.
    narrow = tensor.is_floating_point() and tensor.ndim > 1
    return tensor.detach().cpu().to(torch.float16 if narrow else tensor.dtype).contiguous().clone()


def _sha256_of_tensors(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].numpy().tobytes())
    return digest.hexdigest()
