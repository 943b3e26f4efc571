"""What this machine computes fast. Knows the processor's flags and the GPU's generation; no engines and no models."""

from functools import cache
from pathlib import Path

import torch


@cache  # training asks at every step
def processor_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Without the instructions torch emulates bf16, slower than float32. Elsewhere than on Linux: assumed not."""
    try:
        flags = cpuinfo.read_text()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16"))


def device_has_bf16(device: torch.device) -> bool:
    """In hardware. A GPU before NVIDIA's Ampere emulates bf16, too."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and processor_has_bf16()
