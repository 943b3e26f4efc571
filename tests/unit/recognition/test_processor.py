from pathlib import Path

import pytest
import torch

from station.recognition import processor
from station.recognition.processor import device_has_bf16, processor_has_bf16


@pytest.mark.parametrize(("flags", "expected"), [("flags: avx2 avx512_bf16", True), ("flags: avx2", False)])
def test_bf16_is_read_from_the_processor(tmp_path: Path, flags: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(flags)
    assert processor_has_bf16(tmp_path / "cpuinfo") is expected
    assert processor_has_bf16(tmp_path / "absent") is False


@pytest.mark.parametrize(
    ("device", "on_processor", "on_gpu", "expected"),
    [
        ("cpu", True, False, True),
        ("cpu", False, True, False),
        ("cuda", False, True, True),
        ("cuda:1", True, False, False),  # before Ampere
        ("mps", True, True, False),  # not known: float32 is right everywhere
    ],
)
def test_a_device_has_bf16_if_its_own_hardware_has(
    monkeypatch: pytest.MonkeyPatch, device: str, on_processor: bool, on_gpu: bool, expected: bool
) -> None:
    monkeypatch.setattr(processor, "processor_has_bf16", lambda: on_processor)
    # Emulated bf16 is said to be supported, too, unless asked without.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or on_gpu)
    assert device_has_bf16(torch.device(device)) is expected
