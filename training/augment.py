"""Batched augmentation on tensors, on any device. Knows what a belt does to a picture; nothing of files or models.

Web pictures stay upright or are turned like a card on the belt; belt crops come in any of eight positions. A belt adds
an edge of itself, blur along its motion, drifting light and noise.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from station.recognition.preprocess import MEAN, STD


class Augment(BaseModel):
    """Shares are probabilities per picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_area: float = Field(default=0.35, gt=0, le=1)  # of the picture that a random crop keeps
    max_stretch: float = Field(default=1.25, ge=1)  # of the crop's aspect
    turn_share: float = Field(default=0.5, ge=0, le=1)  # any quarter turn
    tilt_deg: float = Field(default=4.0, ge=0)
    belt_share: float = Field(default=0.35, ge=0, le=1)
    grey_share: float = Field(default=0.08, ge=0, le=1)
    light: float = Field(default=0.25, ge=0)  # brightness and contrast gain, one sigma is half of it
    colour: float = Field(default=0.08, ge=0)  # gain per channel


class Uniform(Protocol):
    """Even random numbers, one (or one block) per picture, on the pictures' device."""

    def __call__(self, low: float, high: float, /, *shape: int) -> Tensor: ...


def augment(images: Tensor, turned: Tensor, side_px: int, how: Augment, rng: torch.Generator) -> Tensor:
    """uint8 (N, S, S, 3) BGR -> normalised float (N, 3, side, side) RGB. `turned`: pictures that are belt crops."""
    n, device = len(images), images.device

    def uniform(low: float, high: float, /, *shape: int) -> Tensor:
        return (torch.rand(n, *shape, generator=rng) * (high - low) + low).to(device)

    belt = uniform(0, 1) < how.belt_share
    turn = turned | (uniform(0, 1) < how.turn_share)
    theta = _transforms(uniform, turn, belt, how)
    grid = F.affine_grid(theta, [n, 3, side_px, side_px], align_corners=False)
    bgr = images.permute(0, 3, 1, 2).float()
    # Turned to RGB and scaled when small: the stored picture has up to four times as many pixels.
    x = F.grid_sample(bgr, grid, mode="bilinear", padding_mode="border", align_corners=False).flip(1).div_(255.0)
    outside = (grid.abs().amax(-1) > 1.0).unsqueeze(1)
    x = torch.where(outside, _belt_texture(uniform, side_px, rng, device), x)
    x = _blurred(x, belt, uniform(0, 1))
    x = _lit(x, uniform, how)
    x = x + torch.randn(x.shape, generator=rng).to(device) * (belt * uniform(0.0, 0.03)).view(n, 1, 1, 1)
    return normalised(x.clamp_(0, 1))


def to_input(images: Tensor, side_px: int) -> Tensor:
    """The same for judging: no change but the size. Equals preprocess.to_batch(squash(...)) up to rounding."""
    rgb = images.permute(0, 3, 1, 2).flip(1).float().div_(255.0)
    if rgb.shape[-1] != side_px:
        smaller = rgb.shape[-1] > side_px
        rgb = F.interpolate(rgb, size=(side_px, side_px), mode="bilinear", antialias=smaller, align_corners=False)
    return normalised(rgb)


def normalised(rgb: Tensor) -> Tensor:
    mean = torch.tensor(MEAN, device=rgb.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=rgb.device).view(1, 3, 1, 1)
    scaled: Tensor = ((rgb - mean) / std).contiguous(memory_format=torch.channels_last)
    return scaled


def _transforms(uniform: Uniform, turn: Tensor, belt: Tensor, how: Augment) -> Tensor:
    """(N, 2, 3) from output to source, in -1..1: crop, mirror, quarter turn, tilt; a belt look is nearly whole."""
    area = torch.where(belt, uniform(0.85, 1.15), uniform(how.min_area, 1.0))
    stretch = torch.exp(uniform(-1, 1) * torch.log(torch.tensor(how.max_stretch)))
    width = (area * stretch).sqrt()
    height = (area / stretch).sqrt()
    limit = torch.where(belt, torch.tensor(1.15), torch.tensor(1.0))
    width, height = torch.minimum(width, limit), torch.minimum(height, limit)
    shift_x = uniform(-1, 1) * (1 - width).abs()
    shift_y = uniform(-1, 1) * (1 - height).abs()
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    quarter = torch.where(turn, (uniform(0, 4)).floor(), torch.zeros_like(width))
    angle = quarter * (torch.pi / 2) + torch.deg2rad(uniform(-how.tilt_deg, how.tilt_deg))
    cosine, sine = angle.cos(), angle.sin()
    row_x = torch.stack((width * mirror * cosine, -width * sine, shift_x), dim=1)
    row_y = torch.stack((height * mirror * sine, height * cosine, shift_y), dim=1)
    return torch.stack((row_x, row_y), dim=1)


def _belt_texture(uniform: Uniform, side_px: int, rng: torch.Generator, device: torch.device) -> Tensor:
    base = uniform(0.05, 0.55, 1, 1, 1) + uniform(-0.04, 0.04, 3, 1, 1)
    n = len(base)
    coarse = F.interpolate(torch.randn(n, 1, 12, 12, generator=rng), size=(side_px, side_px), mode="bilinear")
    texture: Tensor = (base + 0.04 * coarse.to(device)).clamp(0, 1)
    return texture


def _blurred(x: Tensor, belt: Tensor, choice: Tensor) -> Tensor:
    """Half of the belt looks blurred along one axis: motion during the exposure."""
    out = x.clone()
    for low, kernel in ((0.0, (1, 3)), (0.125, (3, 1)), (0.25, (1, 5)), (0.375, (5, 1))):
        at = torch.nonzero(belt & (choice >= low) & (choice < low + 0.125)).squeeze(1)
        if len(at):
            padding = (kernel[0] // 2, kernel[1] // 2)
            out[at] = F.avg_pool2d(x[at], kernel, stride=1, padding=padding, count_include_pad=False)
    return out


def _lit(x: Tensor, uniform: Uniform, how: Augment) -> Tensor:
    grey = (uniform(0, 1) < how.grey_share).view(-1, 1, 1, 1)
    x = torch.where(grey, x.mean(1, keepdim=True), x)
    middle = x.mean((1, 2, 3), keepdim=True)
    contrast = 1 + uniform(-how.light, how.light, 1, 1, 1)
    gain = 1 + uniform(-how.light, how.light, 1, 1, 1) + uniform(-how.colour, how.colour, 3, 1, 1)
    return ((x - middle) * contrast + middle) * gain
