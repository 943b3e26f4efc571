"""One model in one file, and everything such a file can have wrong with it."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from station.errors import ModelError
from station.recognition.artifact import (
    ArtifactInfo,
    artifact_path,
    golden_picture,
    load_artifact,
    read_info,
    save_artifact,
)
from station.recognition.model import build_model
from station.recognition.preprocess import to_batch

CURVE = {"recyclable": [{"threshold": 0.5, "purity": 0.9, "recovery": 0.8}]}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    info = ArtifactInfo(classes=("organic", "recyclable"), input_px=64, temperature=1.3, curve=CURVE)
    save_artifact(path, build_model("resnet18", 2), info)
    return path


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(written.read_bytes())
    return path


def with_metadata(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    values = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["station"])
    change(values)
    save_file(load_file(path), path, metadata={"station": json.dumps(values)})


def test_what_was_saved_is_loaded(written: Path) -> None:
    loaded = load_artifact(written)
    assert loaded.info.classes == ("organic", "recyclable")
    assert loaded.info.temperature == 1.3
    assert loaded.info.curve == CURVE
    assert len(loaded.file_sha256) == 64
    assert not loaded.model.training
    assert read_info(written) == loaded.info


@pytest.mark.parametrize(("preprocessing", "framing"), [("squash-rgb/1", "squash"), ("centre-rgb/1", "centre")])
def test_an_artifact_says_how_pictures_are_framed_for_it(copied: Path, preprocessing: str, framing: str) -> None:
    with_metadata(copied, lambda values: values.update(preprocessing=preprocessing))
    assert load_artifact(copied).info.framing == framing


def test_the_loaded_model_computes_the_golden_logits(written: Path) -> None:
    loaded = load_artifact(written)
    batch = torch.from_numpy(to_batch([golden_picture(loaded.info.golden_seed, 64)]))
    got = loaded.model(batch)[0].tolist()
    assert np.allclose(got, loaded.info.golden_logits, atol=1e-3)


def test_weights_are_half_precision_and_normalisation_is_not(written: Path) -> None:
    weights = load_file(written)
    assert weights["layer1.0.conv1.weight"].dtype == torch.float16
    assert weights["bn1.running_var"].dtype == torch.float32
    assert written.stat().st_size < 24e6


def test_saving_over_a_model_leaves_no_litter(copied: Path) -> None:
    save_artifact(copied, build_model("resnet18", 2), ArtifactInfo(("a", "b"), 64))
    assert load_artifact(copied).info.classes == ("a", "b")
    assert [entry.name for entry in copied.parent.iterdir()] == ["model.safetensors"]


def test_default_is_the_model_that_ships() -> None:
    assert artifact_path("default").parts[-3:] == ("recognition", "default", "model.safetensors")


def test_the_model_that_ships_loads_and_has_a_card() -> None:
    loaded = load_artifact("default")
    assert loaded.info.classes == ("organic", "recyclable")
    assert loaded.path.stat().st_size < 24e6
    assert loaded.info.metrics["test"]["accuracy"]["value"] > 0.9
    assert set(loaded.info.curve) == set(loaded.info.classes)
    card = loaded.path.with_name("CARD.md").read_text()
    assert f"{loaded.info.metrics['test']['accuracy']['value']:.2%}".replace("%", " %") in card


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9_000_000])


def cut_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1_000_001] ^= 0x10
    path.write_bytes(data)


def make_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"fc.weight": [1.0]}))


def make_torch_archive(path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2)}, path)


def forget_metadata(path: Path) -> None:
    save_file(load_file(path), path)


def drop_a_tensor(path: Path) -> None:
    def same(_values: dict[str, object]) -> None: ...

    with_metadata(path, same)
    metadata = read_info_text(path)
    weights = load_file(path)
    del weights["fc.bias"]
    save_file(weights, path, metadata={"station": metadata})


def read_info_text(path: Path) -> str:
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return str(json.loads(data[8 : 8 + size])["__metadata__"]["station"])


def setting(key: str, value: object) -> Callable[[Path], None]:
    return lambda path: with_metadata(path, lambda values: values.update({key: value}))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(lambda path: path.unlink(), "no such model", id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), "not a whole safetensors", id="empty"),
        pytest.param(lambda path: path.write_bytes(b"hello " * 9), "not a whole safetensors", id="text"),
        pytest.param(cut_in_half, "not a whole safetensors", id="truncated"),
        pytest.param(cut_header, "not a whole safetensors", id="truncated in the header"),
        pytest.param(flip_a_bit, "checksum", id="one bit flipped"),
        pytest.param(make_pickle, "pickle", id="pickle"),
        pytest.param(make_torch_archive, "pickle or zip", id="torch.save"),
        pytest.param(forget_metadata, "not a station model", id="plain weights"),
        pytest.param(drop_a_tensor, "checksum", id="tensor missing"),
        pytest.param(setting("schema", "station.artifact/9"), "schema", id="newer schema"),
        pytest.param(setting("preprocessing", "crop/1"), "preprocessing", id="other preprocessing"),
        pytest.param(setting("preprocessing", ["squash-rgb/1"]), "preprocessing", id="preprocessing no text"),
        pytest.param(setting("mean", [0, 0, 0]), "preprocessing", id="other mean"),
        pytest.param(setting("temperature", 0), "impossible", id="temperature zero"),
        pytest.param(setting("classes", ["one"]), "impossible", id="one class"),
        pytest.param(setting("classes", ["a", "b", "c"]), "another shape", id="class count"),
        pytest.param(setting("arch", "resnet34"), "missing", id="other architecture"),
        pytest.param(setting("arch", "nonsense"), "unknown architecture", id="unknown architecture"),
        pytest.param(setting("golden_logits", [9.0, -9.0]), "golden", id="computes something else"),
        pytest.param(setting("golden_logits", []), "golden", id="no golden logits"),
        pytest.param(setting("temperature", "warm"), "impossible", id="text for a number"),
        pytest.param(setting("classes", ["a", "a"]), "impossible", id="one name twice"),
        pytest.param(
            lambda path: save_file(load_file(path), path, metadata={"station": "{"}), "understood", id="no JSON"
        ),
    ],
)
def test_a_bad_file_is_one_clear_error(copied: Path, spoil: Callable[[Path], object], complaint: str) -> None:
    spoil(copied)
    with pytest.raises(ModelError, match=complaint) as caught:
        load_artifact(copied)
    assert str(copied) in str(caught.value) or "architecture" in complaint
    assert caught.value.exit_code == 5


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_artifact(tmp_path)


@pytest.mark.parametrize("opening", [b"\x80", b"PK"])
def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(copied: Path, opening: bytes) -> None:
    data = copied.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    longer = size
    while not struct.pack("<Q", longer).startswith(opening):
        longer += 1
    copied.write_bytes(struct.pack("<Q", longer) + data[8 : 8 + size] + b" " * (longer - size) + data[8 + size :])
    assert load_artifact(copied).info.temperature == 1.3
