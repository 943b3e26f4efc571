"""A run's whole state in one safetensors file, written in one step. Knows no pictures and no schedule."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from station.errors import ConfigError, ModelError
from training.optimizer import Optimizers

Settings = Mapping[str, Any]  # all that a run's outcome hangs on: a checkpoint goes on with the same ones or not at all


@dataclass(frozen=True, slots=True)
class Progress:
    epochs: int = 0
    seconds: float = 0.0


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write to; the file takes its place in one step, so a kill leaves the old one or the new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    yield fresh
    fresh.replace(path)


def save_checkpoint(
    path: Path, model: nn.Module, average: nn.Module, optimizers: Optimizers, done: Progress, settings: Settings
) -> None:
    tensors: dict[str, Tensor] = {}
    tensors.update({f"model.{name}": tensor for name, tensor in model.state_dict().items()})
    tensors.update({f"average.{name}": tensor for name, tensor in average.state_dict().items()})
    for at, optimizer in enumerate(optimizers.parts):
        for number, state in optimizer.state_dict()["state"].items():
            if state.get("momentum_buffer") is not None:
                tensors[f"momentum.{at}.{number}"] = state["momentum_buffer"]
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    facts = {"epochs": str(done.epochs), "seconds": str(done.seconds), "settings": json.dumps(settings)}
    with written_whole(path) as fresh:
        save_file(whole, fresh, metadata=facts)


def load_checkpoint(
    path: Path, model: nn.Module, average: nn.Module, optimizers: Optimizers, settings: Settings
) -> Progress:
    """Errors: ModelError for a file that is no checkpoint of such a network, ConfigError for one of other settings."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        _refuse_others(path, metadata.get("settings"), settings)
        model.load_state_dict(_part(tensors, "model."))
        average.load_state_dict(_part(tensors, "average."))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ModelError(f"{path}: not a checkpoint of this run ({error}).") from None
    # A subset: a weight that no picture ever moved has no momentum.
    if not {name for name in tensors if name.startswith("momentum.")} <= _momenta(optimizers):
        raise ModelError(
            f"{path}: its momentum belongs to another recipe's optimizers, or to an older version's. "
            "Start without --resume, in another --out."
        )
    for at, optimizer in enumerate(optimizers.parts):
        state = optimizer.state_dict()
        momentum = _part(tensors, f"momentum.{at}.")
        state["state"] = {int(number): {"momentum_buffer": tensor} for number, tensor in momentum.items()}
        optimizer.load_state_dict(state)
    return Progress(int(metadata["epochs"]), float(metadata["seconds"]))


def _refuse_others(path: Path, written: str | None, now: Settings) -> None:
    """Half a run with one seed and half with another would hold out what was learnt from, and tell neither's story."""
    if written is None:
        raise ConfigError(
            f"{path}: of an older version, which did not say of what training. Start anew in another --out."
        )
    before, now = json.loads(written), json.loads(json.dumps(now))  # tuples as JSON has them
    other = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if other:
        said = ", ".join(
            f"{name} {before.get(name, 'not recorded')} (now {now.get(name, 'none')})" for name in other[:3]
        )
        raise ConfigError(
            f"{path}: made with {said}. Go on with the same flags and pictures, or start without --resume in another --out."
        )


def _momenta(optimizers: Optimizers) -> set[str]:
    """The names they can have; numbered as an optimizer's state_dict numbers its parameters."""
    return {
        f"momentum.{at}.{number}"
        for at, optimizer in enumerate(optimizers.parts)
        for number in range(sum(len(group["params"]) for group in optimizer.param_groups))
    }


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
