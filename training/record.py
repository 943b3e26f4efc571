"""What a run says of itself: its settings, the command that repeats it, the machine and how busy that was.

Knows facts about a run, nothing about how it goes.
"""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from station.recognition.processor import device_has_bf16
from training.recipes import AS_PUBLISHED

# Nobody's own paths are written down: where a reader of the record has the data folder, or a split made of it.
PLACES = {"waste": "../shared/data/waste", "trashnet": "runs/trashnet"}


def machine(device: torch.device) -> dict[str, Any]:
    """What computed, and how many processes wanted to (the load now, over one minute)."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "device": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "computes_in": "bf16" if device_has_bf16(device) else "float32",
        "load": round(os.getloadavg()[0], 1),
        "system": platform.system(),
    }


def computed_on(at: dict[str, Any]) -> str:
    """Of `machine`, what a time depends on; before 2026-12-01 every processor computed in bf16, and none said so."""
    return ", ".join([at["device"], f"{at['threads']} threads", *([at["computes_in"]] if "computes_in" in at else [])])


def wall(facts: dict[str, Any]) -> str:
    """From the start to the last score; of a resumed run only what is certain."""
    if facts.get("resumed"):
        return f"over {max(facts['wall_s'], facts['epochs_s']) / 60:.1f} min (resumed)"
    part = "" if "learned_s" in facts else " and judging"
    return f"{facts['wall_s'] / 60:.1f} min{part}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    return {"torch": str(torch.__version__), "numpy": np.__version__, "python": platform.python_version()}


def command(values: dict[str, Any]) -> str:
    """The line that repeats a run, from the facts it recorded."""
    recipe, parts = values["recipe"], ["station train", place_of(values.get("data", "waste"))]
    # Until 2026-11-24 the recipe `belt` was called `or`.
    was_belt = recipe["name"] == "or" and recipe["augment"]["belt_share"] > 0
    name = "belt" if was_belt else recipe["name"]
    if values["protocol"] == "paper" and name in AS_PUBLISHED:
        name = f"configs/recipes/{name}.toml"  # by its name alone the procedure as published would run
    parts += ["--recipe", name]
    if values["protocol"] != "honest":
        parts += ["--protocol", values["protocol"]]
    asked = dict(values.get("asked", {}))
    if recipe.get("tutorial") and "framing" not in recipe:
        asked["framing"] = "squash"  # until 2026-11-30 the published procedures squashed, too
    if recipe.get("kind") == "frozen" and "holdout-share" not in asked:
        asked["holdout-share"] = recipe.get("holdout_share") or None  # until 2026-12-01 ortl held blocks out
    if recipe["name"] == "ortl-paper" and "peak-lr" not in asked:
        asked["peak-lr"] = recipe["peak_lr"]  # until 2026-12-01 eight times the tutorial's, as its batch is
    for key in ("arch", "framing", "epochs", "batch", "peak-lr", "holdout-share"):
        if asked.get(key) is not None:
            parts += [f"--{key}", str(asked[key])]
    if values.get("backbone"):
        parts += ["--backbone", values["backbone"]]
    for folder in values.get("extra", []):
        parts += ["--extra", folder]
    return " ".join([*parts, "--seed", str(values["seed"])])


def place_of(name: str) -> str:
    return PLACES.get(name, name)
