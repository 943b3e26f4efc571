"""A training whose process is killed in the middle, and goes on from its checkpoint."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.unit.training.conftest import RecipeWriter

PROGRAM = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.session import TrainJob, train
data, recipe, folder, resume = sys.argv[1:]
job = TrainJob(Path(data), recipe, out=Path(folder) / "run", cache=Path(folder) / "cache", epochs=9, device="cpu")
train(TrainJob(**{**vars(job), "resume": resume == "resume"}))
"""


def start(tree: Path, recipe: str, folder: Path, resume: str = "") -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", PROGRAM, str(tree), recipe, str(folder), resume]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)


def epochs(folder: Path) -> list[int]:
    log = folder / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [row["epoch"] for row in rows if "loss" in row]


# Slow: two processes that each import torch; nothing but a real kill shows that the files on disk suffice.
@pytest.mark.timeout(300)
def test_a_killed_run_loses_at_most_an_epoch_and_ends_as_if_it_had_not_been(
    tree: Path, recipe_of: RecipeWriter, tmp_path: Path
) -> None:
    recipe, whole, cut = recipe_of(), tmp_path / "whole", tmp_path / "cut"
    # A process of its own too: how many threads torch has here depends on the tests before, and sums depend on threads.
    uncut = start(tree, recipe, whole)
    _, told = uncut.communicate(timeout=120)
    assert uncut.returncode == 0, told
    killed = start(tree, recipe, cut)
    deadline = time.monotonic() + 120
    while len(epochs(cut)) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    before = epochs(cut)
    assert 3 <= len(before) < 9
    resumed = start(tree, recipe, cut, "resume")
    _, told = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, told
    after = epochs(cut)[len(before) :]
    # The checkpoint is written after the log: a kill between the two leaves an epoch that is told and done again.
    assert after[0] in (before[-1], before[-1] + 1)
    assert after[-1] == 9
    one, other = (load_file(folder / "run" / "model.safetensors") for folder in (whole, cut))
    assert all(torch.allclose(one[name].float(), other[name].float(), atol=2e-3) for name in one)
