"""What is wrong with a folder of pictures before anybody trains on it. Knows files and pixels, no models."""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from station.errors import ConfigError
from training.cache import DEFAULT_CACHE, Cache, decode, open_cache
from training.data_page import write_data_page
from training.dataset import PictureSet, hold_out_blocks, hold_out_files, read_tree
from training.duplicates import Pair, same_pictures, thumbnails
from training.label_review import SEEN_PX, find_suspects, write_suspects

CHECK_PX = 64
LISTED = 500


@dataclass(frozen=True)
class CheckJob:
    data: Path
    cache: Path = DEFAULT_CACHE
    backbone: str | None = None  # weights that look for suspect labels; None: nobody looks
    arch: str = "resnet18"
    page: Path | None = None  # HTML to write; the table of suspects goes beside it


def check(job: CheckJob) -> dict[str, Any]:
    """Counts, unreadable and misnamed files, copies, contradicting and suspect labels; `ok`: nothing harms training."""
    tree = read_tree(job.data)
    parts = {"train": tree.train} | ({"test": tree.test} if tree.test else {})
    caches = {name: open_cache(part, CHECK_PX, job.cache) for name, part in parts.items()}
    thumbs = {name: thumbnails(cache) for name, cache in caches.items()}
    copies = named(same_pictures(thumbs["train"], thumbs["train"]), caches["train"], caches["train"])
    across = []
    if tree.test:
        across = named(same_pictures(thumbs["test"], thumbs["train"]), caches["test"], caches["train"])
    unreadable = [name for cache in caches.values() for name in cache.unreadable]
    contradictions = [pair for pair in (*copies, *across) if pair["label"] != pair["other_label"]]
    small = [label for label, n in counts(tree.train).items() if n < 50]
    report = {
        "schema": "station.data_check/1",
        "ok": not unreadable and not contradictions and not small,
        "counts": {name: counts(part) for name, part in parts.items()},
        "unreadable": unreadable,
        "misnamed": sum(misnamed(picture.path) for part in parts.values() for picture in part.pictures),
        "exact_copies_within_train": exact_copies(tree.train),
        "copies_within_train": len(copies),
        "copies_of_test_in_train": len({pair["file"] for pair in across}),
        "contradicting_labels": contradictions[:LISTED],
        "copies": [pair | {"across": True} for pair in across[:LISTED]]
        + [pair | {"across": False} for pair in copies[:LISTED]],
        "labels_with_few_pictures": small,
        "suspect_labels": None if job.backbone is None else suspect_labels(job, tree.train),
    }
    if job.page is not None:
        write_data_page(job.page, report)
    return report


def exact_copies(part: PictureSet) -> int:
    """Files of TRAIN that are another one byte for byte."""
    return len(part.pictures) - len({picture.sha256 for picture in part.pictures})


def suspect_labels(job: CheckJob, part: PictureSet) -> list[dict[str, Any]]:
    assert job.backbone is not None
    cache = open_cache(part, SEEN_PX, job.cache)
    found = find_suspects(cache, job.backbone, job.arch, job.cache)
    if job.page is not None:
        job.page.parent.mkdir(parents=True, exist_ok=True)
        write_suspects(job.page.with_suffix(".csv"), found, cache.pictures)
    return [{"file": str(cache.pictures.pictures[one.row].path)} | asdict(one) for one in found]


def counts(part: PictureSet) -> dict[str, int]:
    return {name: sum(picture.label == name for picture in part.pictures) for name in part.classes}


def named(pairs: list[Pair], one: Cache, two: Cache) -> list[dict[str, Any]]:
    rows = []
    for pair in pairs:
        a, b = one.pictures.pictures[pair.row], two.pictures.pictures[pair.other]
        rows.append({"file": str(a.path), "label": a.label, "other": str(b.path), "other_label": b.label})
    return rows


def misnamed(path: Path) -> bool:
    """A PNG called .jpg and the like: read well here, but not by every program."""
    with path.open("rb") as file:
        head = file.read(8)
    is_png, is_jpeg = head.startswith(b"\x89PNG"), head.startswith(b"\xff\xd8")
    says_jpeg = path.suffix.lower() in {".jpg", ".jpeg"}
    return (is_png and says_jpeg) or (is_jpeg and path.suffix.lower() == ".png")


@dataclass(frozen=True)
class SplitJob:
    data: Path
    out: Path
    share: float = 0.2
    seed: int = 1
    single_files: bool = False  # at random, not by blocks of neighbouring files


def split(job: SplitJob) -> dict[str, Any]:
    """OUT/TRAIN and OUT/TEST from one tree; unreadable ones stay behind."""
    tree = read_tree(job.data)
    if tree.test is not None:
        raise ConfigError(f"{job.data}: already has TRAIN/ and TEST/.")
    if job.out.exists() and any(job.out.iterdir()):
        raise ConfigError(f"{job.out}: not empty. Give a new folder.")
    readable = tree.train.take([row for row, p in enumerate(tree.train.pictures) if decode(p.path) is not None])
    hold_out = hold_out_files if job.single_files else hold_out_blocks
    kept, held = hold_out(readable.labels, job.share, job.seed)
    parts = {"TRAIN": readable.take(kept), "TEST": readable.take(held)}
    for name, part in parts.items():
        for picture in part.pictures:
            target = job.out / name / picture.name
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(picture.path, target)
    return {
        "schema": "station.data_split/1",
        "out": str(job.out),
        "counts": {name: counts(part) for name, part in parts.items()},
        "unreadable": len(tree.train.pictures) - len(readable.pictures),
    }


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for the same bytes where the file system can, else a copy; never over what is there.

    A target that exists may be a link to another original, and a copy onto it would write into that one.
    """
    if target.exists():
        raise ConfigError(f"{target}: there already. Give a new folder.")
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
