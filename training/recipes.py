"""How to train, as data: a recipe is one TOML file in configs/recipes, closed and bounded. Knows no tensors."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from station.errors import ConfigError
from station.recognition.preprocess import Framing
from training.augment import Augment

# The paper's own procedure, where it had one, stands in a recipe of its own: --protocol paper takes that.
AS_PUBLISHED = {"or": "or-paper", "ortl": "ortl-paper"}

# What computing costs beside the pictures' area, in px² of it: fitted to the seconds of epochs at 64 to 144 px on two cores
# without AMX. With AMX, pictures per second and the seconds of a step give about the same.
PICTURE_PX2, MUON_STEP_PX2 = 2_500, 320_000


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(Section):
    side_px: int = Field(ge=16, le=1024)
    epochs: int = Field(ge=1, le=1000)


class Recipe(Section):
    """Fixed before TEST is seen; what a run used is stored in its artifact."""

    name: str
    kind: Literal["scratch", "frozen", "finetune", "head"]
    arch: str = "resnet18"
    input_px: int = Field(ge=16, le=1024)  # at which the model is judged and used
    cache_px: int = Field(ge=16, le=1024)  # at which pictures are kept
    framing: Framing = "squash"  # of whole pictures; only a squashing model may look at a belt
    batch: int = Field(ge=2, le=8192)
    stages: tuple[Stage, ...] = Field(min_length=1)
    peak_lr: float = Field(gt=0)
    # The peak for convolutions when Muon moves them (https://kellerjordan.github.io/posts/muon): each step turns a kernel by
    # as much in every direction. None: SGD moves them, as all else, at peak_lr.
    muon_lr: float | None = Field(default=None, gt=0)
    muon_decay: float = Field(default=0.01, ge=0)  # a step takes this times the rate off such a kernel
    warmup_share: float = Field(ge=0, lt=1)  # of all steps
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)  # not on normalisation layers and biases
    label_smoothing: float = Field(ge=0, lt=1)
    ema_decay: float = Field(ge=0, lt=1)
    balance_classes: bool
    holdout_share: float = Field(ge=0, lt=1)  # of blocks, for temperature and thresholds; at 0 only `frozen` has any
    extra_share: float = Field(default=1.0, gt=0, le=1)  # of the extra pictures, drawn anew each epoch
    backbone_lr: float = Field(default=1.0, ge=0)  # factor on peak_lr for all but the head
    # Normalise by the statistics that came with the backbone: a head that was fitted on them meets the features it knows.
    frozen_norm: bool = False
    fresh_norm: bool = False  # before the head is fitted, those statistics are measured anew on TRAIN
    clip_norm: float | None = Field(default=None, gt=0)  # of all gradients together, in a step
    # Of the fine-tuned weights, the rest being those before: of several, what does best on the held-out blocks.
    tuned_share: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    l2: tuple[float, ...] = Field(default=(0.03,), min_length=1)  # of a frozen backbone's head; of several, by folds
    views_px: tuple[int, ...] = ()  # sizes at which a frozen backbone sees the pictures
    mirror_views: bool = True  # and sees them mirrored as well
    judge_views_px: tuple[int, ...] = ()  # a second score: the mean over these sizes, each also mirrored
    tutorial: bool = False  # as the paper's code: the rate in steps, no Nesterov, usual initial weights
    augment: Augment = Augment()

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    def stage_of(self, epoch: int) -> Stage:
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        return self.stages[-1]

    def work_px2(self, epochs: int) -> int:
        """What a picture costs over the first `epochs`, in px² of its area."""
        return sum(self.picture_work_px2(self.stage_of(epoch).side_px) for epoch in range(epochs))

    def picture_work_px2(self, side_px: int) -> int:
        """Its area, and what does not grow with that; Muon's part is the same for a batch of any size."""
        return side_px**2 + PICTURE_PX2 + (MUON_STEP_PX2 // self.batch if self.muon_lr is not None else 0)

    def watched_px(self, epoch: int) -> int:
        """The size at which the held-out pictures are looked at after this epoch: as far above the trained size as the final
        one is above the last stage's, so an early look costs less and is no more out of scale than the final one."""
        scale = self.input_px / self.stages[-1].side_px
        side_px = self.stage_of(epoch).side_px
        return self.input_px if side_px == self.stages[-1].side_px else max(8, 8 * round(side_px * scale / 8))

    def with_epochs(self, epochs: int) -> "Recipe":
        """The same shape in another number of epochs; every stage keeps its share, the last one at least one."""
        total, done, stages = self.epochs, 0, []
        for number, stage in enumerate(self.stages, start=1):
            upto = epochs * sum(stage.epochs for stage in self.stages[:number]) // total
            if upto > done:
                stages.append(stage.model_copy(update={"epochs": upto - done}))
            done = max(done, upto)
        return self.model_copy(update={"stages": tuple(stages)})


def read_recipe(name_or_path: str) -> Recipe:
    """A recipe that ships (or, ortl, finetune) or a file of one's own."""
    shipped = files("configs") / "recipes" / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if shipped.is_file():
        text = shipped.read_text()
    elif path.suffix == ".toml" and path.is_file():
        text = path.read_text()
    else:
        known = sorted(entry.name.removesuffix(".toml") for entry in (files("configs") / "recipes").iterdir())
        raise ConfigError(
            f"no recipe {name_or_path!r}: use or, ortl, finetune, another of {known}, or the path of a recipe file."
        )
    try:
        return Recipe.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"recipe {name_or_path}: {error}") from None
