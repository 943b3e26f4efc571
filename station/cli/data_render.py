"""`station data render`: writes belt crops of virtual items as an ImageFolder, to train on what the station sees.

Knows the virtual belt and how a look is cut from a frame; knows nothing of training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from station.simulation.items import Thing
    from station.simulation.renderer import BeltRenderer, PlacedItem

FRAMES_PER_BELT = 120  # then a new belt: other rubber, stains and light
COLUMNS, ROWS = 3, 2  # items in one frame, each in its own cell
MARGIN = 0.04
# Above every seed the line hands out, so that no demo item was ever trained on.
FIRST_THING_SEED = 1 << 31


@dataclass(frozen=True, slots=True)
class RenderJob:
    """What one `data render` writes: `count` crops of each label."""

    out: Path
    items: Path | None
    count: int
    seed: int


def render(
    out: Annotated[Path, typer.Argument(help="Folder to write: OUT/CLASS/*.png")],
    items: Annotated[Path | None, typer.Option(help="ImageFolder whose pictures lie on the belt as cards")] = None,
    count: Annotated[int, typer.Option(min=1, max=200_000, help="Crops of each class")] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same crops")] = 1,
) -> None:
    """Write crops of items on the virtual belt, one folder per class."""
    written = write_crops(RenderJob(out, items, count, seed))
    for label, number in sorted(written.items()):
        typer.echo(f"{out / label}: {number} pictures")


def write_crops(job: RenderJob) -> dict[str, int]:
    """Crops written per label."""
    import cv2
    import numpy as np

    from station.simulation.renderer import BeltRenderer, ViewSize

    rng = np.random.default_rng([job.seed, 21])
    things = _things(job, rng)
    written: dict[str, int] = {}
    renderer: BeltRenderer | None = None
    for number, start in enumerate(range(0, len(things), COLUMNS * ROWS)):
        if renderer is None or number % FRAMES_PER_BELT == 0:
            renderer = BeltRenderer(ViewSize(), job.seed * 1000 + number)
        placed = _place(things[start : start + COLUMNS * ROWS], start, rng)
        for item, crop in _crops(renderer, placed, rng):
            folder = job.out / item.thing.label
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{item.item_id:06d}_{Path(item.thing.name).stem}.png"
            cv2.imwrite(str(folder / name), crop, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            written[item.thing.label] = written.get(item.thing.label, 0) + 1
    return written


def _things(job: RenderJob, rng: np.random.Generator) -> list[Thing]:
    from station.simulation.items import KINDS, drawn_thing, picture_cards

    if job.items is None:
        first = FIRST_THING_SEED + job.seed * 1_000_003
        things = [drawn_thing(label, first + index) for label in KINDS for index in range(job.count)]
    else:
        cards = picture_cards(job.items)
        by_label = {card.label: [c for c in cards if c.label == card.label] for card in cards}
        things = [group[index % len(group)] for group in by_label.values() for index in range(job.count)]
    return [things[index] for index in rng.permutation(len(things))]


def _place(things: list[Thing], first_id: int, rng: np.random.Generator) -> list[PlacedItem]:
    """Each thing somewhere in its own cell of the frame, turned at random."""
    from station.simulation.renderer import PlacedItem

    placed = []
    for index, thing in enumerate(things):
        column, row = index % COLUMNS, index // COLUMNS
        lateral_mm = 600 / COLUMNS * (column + 0.5) + float(rng.uniform(-12, 12))
        down_mm = 375 / ROWS * (row + 0.5) + float(rng.uniform(-6, 6))
        placed.append(PlacedItem(first_id + index, thing, down_mm, lateral_mm, float(rng.uniform(0, 360))))
    return placed


def _crops(
    renderer: BeltRenderer, placed: list[PlacedItem], rng: np.random.Generator
) -> list[tuple[PlacedItem, NDArray[np.uint8]]]:
    """Each item's look: the upright picture of the oriented rectangle around its true shape."""
    from dataclasses import replace

    size = renderer.size
    belt_mm = float(rng.uniform(0, 4000))
    speed_mm_s = float(rng.uniform(200, 3000))
    shown = [replace(item, along_mm=item.along_mm - belt_mm) for item in placed]
    frame = renderer.render(belt_mm, speed_mm_s, int(rng.integers(0, 60_000_000_000)), shown)
    result = []
    for item in placed:
        middle = (item.lateral_mm * size.px_per_mm, item.along_mm * size.px_per_mm)
        result.append((item, _cut(frame, item, middle, size.px_per_mm, rng)))
    return result


def _cut(
    frame: NDArray[np.uint8],
    item: PlacedItem,
    middle_px: tuple[float, float],
    px_per_mm: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Cut at the camera's own scale, the longer side across; a little off, as a detector is."""
    import cv2
    import numpy as np

    from station.simulation.renderer import turned_sprite

    alpha = turned_sprite(item.thing.sprite(px_per_mm), item.angle_deg)[..., 3]
    outline = cv2.findNonZero((alpha > 127).astype(np.uint8))
    (x, y), (side, other), angle_deg = cv2.minAreaRect(outline)
    if side < other:
        side, other, angle_deg = other, side, angle_deg + 90
    x += middle_px[0] - alpha.shape[1] / 2 + float(rng.normal(0, 0.015 * side))
    y += middle_px[1] - alpha.shape[0] / 2 + float(rng.normal(0, 0.015 * side))
    angle_deg += float(rng.normal(0, 2.0)) + 180 * int(rng.integers(2))
    width = max(8, round(side * (1 + 2 * MARGIN + float(rng.normal(0, 0.02)))))
    height = max(8, round(other * (1 + 2 * MARGIN + float(rng.normal(0, 0.02)))))
    turn = cv2.getRotationMatrix2D((x, y), angle_deg, 1.0)
    turn[:, 2] += (width - 1) / 2 - x, (height - 1) / 2 - y
    cut = cv2.warpAffine(frame, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, dtype=np.uint8)
