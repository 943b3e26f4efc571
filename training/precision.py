"""Which number format a network computes in while it learns and judges: bf16 where there are instructions for it.

Where there are none it is emulated: a ResNet-18 then learns at an eighth of float32's speed on an AVX2 processor.
"""

from contextlib import AbstractContextManager

import torch

from station.recognition.processor import device_has_bf16


def mixed(device: torch.device, half: bool = True) -> AbstractContextManager[None]:
    """Autocast to bf16 if `half` and the device has it; otherwise everything stays float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=half and device_has_bf16(device))
