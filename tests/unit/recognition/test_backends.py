from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from station.errors import ConfigError, ModelError
from station.recognition.artifact import ArtifactInfo, LoadedModel
from station.recognition.backends.choice import ORDER, choose_backend
from station.recognition.backends.contract import BgrBatch, FixedSizes, Logits, split
from station.recognition.backends.parity import check_parity, probes, reference_logits
from station.recognition.backends.torch_cpu import open_torch_cpu
from station.recognition.model import build_model

INPUT_PX = 64
SIZES = (1, 2, 4)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    torch.manual_seed(3)
    model = build_model("resnet18", 3)
    # Fresh statistics make activations of random weights explode or vanish; settle them on pictures.
    model.train()
    settle = torch.rand(16, 3, INPUT_PX, INPUT_PX) * 4 - 2
    with torch.no_grad():
        for _ in range(20):
            model(settle)
    info = ArtifactInfo(classes=("a", "b", "c"), input_px=INPUT_PX)
    return LoadedModel(model.eval().requires_grad_(False), info, Path("memory"), "")


def pictures(count: int) -> BgrBatch:
    return np.random.default_rng(count).integers(0, 256, (count, INPUT_PX, INPUT_PX, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("looks", "pads", "calls"),
    [
        pytest.param(1, False, [(1, 1)], id="one"),
        pytest.param(3, False, [(2, 2), (1, 1)], id="no idle rows on a processor"),
        pytest.param(3, True, [(3, 4)], id="one padded call on a GPU"),
        pytest.param(7, False, [(4, 4), (2, 2), (1, 1)], id="falling sizes"),
        pytest.param(9, True, [(4, 4), (4, 4), (1, 1)], id="more than the largest"),
        pytest.param(0, True, [], id="none"),
    ],
)
def test_looks_are_split_into_warmed_sizes(looks: int, pads: bool, calls: list[tuple[int, int]]) -> None:
    assert split(looks, SIZES, pads=pads) == calls


@pytest.mark.parametrize("pads", [False, True])
@pytest.mark.parametrize("looks", [1, 3, 5, 11])
def test_splitting_and_padding_keep_every_row_in_its_place(looks: int, pads: bool) -> None:
    def infer(batch: BgrBatch) -> Logits:
        assert len(batch) in SIZES
        return batch[:, 0, 0, :].astype(np.float32)

    batch = pictures(looks)
    backend = FixedSizes("copy", "cpu", dict.fromkeys(SIZES, infer), pads=pads)
    assert np.array_equal(backend.run(batch), batch[:, 0, 0, :].astype(np.float32))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(
            RuntimeError("CUDA error: device lost\nlong story"), "device lost ... long story$", id="engine error"
        ),
        pytest.param(np.full((1, 3), np.nan, np.float32), "not finite", id="not a number"),
    ],
)
def test_a_failing_engine_is_a_model_error(answer: RuntimeError | Logits, message: str) -> None:
    def infer(_: BgrBatch) -> Logits:
        if isinstance(answer, RuntimeError):
            raise answer
        return answer

    with pytest.raises(ModelError, match=message):
        FixedSizes("broken", "cuda:0", {1: infer}, pads=True).run(pictures(1))


def test_torch_in_float32_computes_the_model_to_rounding(loaded: LoadedModel) -> None:
    backend = open_torch_cpu(loaded.model, input_px=INPUT_PX, sizes=SIZES)
    batch = pictures(5)
    assert np.allclose(backend.run(batch), reference_logits(loaded.model, batch), atol=1e-3)


@pytest.mark.parametrize("name", [name for name in ORDER if name != "cuda"])
def test_every_engine_of_this_machine_agrees_with_the_model_or_says_why_not(loaded: LoadedModel, name: str) -> None:
    try:
        chosen = choose_backend(name, loaded, threads=1, sizes=SIZES)
    except ModelError as error:
        assert any(reason in str(error) for reason in ("no bf16 instructions", "not installed"))  # noqa: PT017
        return
    assert chosen.backend.name == name
    batch = pictures(7)
    expected = reference_logits(loaded.model, batch)
    assert np.abs(chosen.backend.run(batch) - expected).max() <= 0.06 * max(1.0, np.abs(expected).max())


def test_an_engine_answers_the_same_bits_again(loaded: LoadedModel) -> None:
    backend = choose_backend("auto", loaded, threads=1, sizes=SIZES).backend
    assert np.array_equal(backend.run(pictures(6)), backend.run(pictures(6)))


def test_auto_says_which_better_engines_it_passed_over(loaded: LoadedModel) -> None:
    chosen = choose_backend("auto", loaded, threads=1, sizes=SIZES)
    wanted = "cuda" if chosen.backend.name == "cuda-fp16" else chosen.backend.name
    assert [line.split(":")[0] for line in chosen.passed_over] == list(ORDER[: ORDER.index(wanted)])


def test_an_engine_that_was_asked_for_is_never_replaced_silently(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="no CUDA GPU"):
        choose_backend("cuda", loaded)


def test_an_unknown_engine_is_a_configuration_error(loaded: LoadedModel) -> None:
    with pytest.raises(ConfigError, match="tensorrt"):
        choose_backend("tensorrt", loaded)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda batch: batch[..., ::-1], id="channels swapped"),
        pytest.param(lambda batch: batch.transpose(0, 2, 1, 3), id="rows for columns"),
        pytest.param(lambda batch: batch // 2, id="wrong scale"),
    ],
)
def test_an_engine_that_computes_something_else_is_refused(
    loaded: LoadedModel, spoil: Callable[[BgrBatch], BgrBatch]
) -> None:
    right = open_torch_cpu(loaded.model, input_px=INPUT_PX, sizes=(1,))
    wrong = FixedSizes(
        "wrong", "cpu", dict.fromkeys((1, 8), lambda batch: right.run(np.ascontiguousarray(spoil(batch)))), pads=False
    )
    looks = probes(INPUT_PX)
    expected = reference_logits(loaded.model, looks)
    assert check_parity(right, looks, expected) < 0.01
    with pytest.raises(ModelError, match="something else"):
        check_parity(wrong, looks, expected)
