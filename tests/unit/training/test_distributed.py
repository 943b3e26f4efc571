"""Two processes train one model: started as torchrun starts them, on this machine's processor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from station.recognition.artifact import load_artifact
from tests.unit.training.conftest import RecipeWriter
from training.distributed import ALONE, join_world


@pytest.mark.timeout(300)
def test_two_ranks_leave_one_model_and_one_log(tree: Path, recipe_of: RecipeWriter, tmp_path: Path) -> None:
    rendezvous = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    arguments = ["train", str(tree), "--recipe", recipe_of(), "--out", str(tmp_path / "run"), "--epochs", "2"]
    arguments += ["--cache", str(tmp_path / "cache"), "--device", "cpu"]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "station", *arguments],
            env=os.environ | rendezvous | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said, errors = zip(*(rank.communicate(timeout=280) for rank in ranks), strict=True)
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()
    assert [rank.returncode for rank in ranks] == [0, 0], errors
    assert [text.count("TEST") for text in said] == [1, 0]
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "loss" in row] == [1, 2]
    assert load_artifact(tmp_path / "run" / "model.safetensors").info.training["n_train"] > 80


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world, device = join_world(torch.device("cpu"))
    assert world == ALONE
    assert world.leads
    assert device.type == "cpu"
