"""Which processor a network learns and judges on. Knows names and what this machine has; nothing of networks."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from station.errors import ConfigError, ModelError


def pick_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one. Errors: ConfigError for what is no device or is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name}: no such device. Use auto, cpu, cuda or cuda:1.") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device {name}: trained on cpu and cuda only. Use auto, cpu, cuda or cuda:1.")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not count:
        raise ConfigError(f"--device {name}: no GPU that CUDA can use is here. Use auto or cpu.")
    if (device.index or 0) >= count:
        raise ConfigError(f"--device {name}: there are {count} here, counted from 0.")
    return device


@contextmanager
def memory_told() -> Iterator[None]:
    """A device too small for the work ends it with the remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        first = str(error).partition(". ")[0]
        raise ModelError(
            f"the device's memory is too small for this ({first}). While it learns, a smaller --batch helps; otherwise a "
            "device that is less busy, or --device cpu."
        ) from None
