"""From pixels to the model's input, the same for training, evaluation and the belt. Knows nothing of models.

A look is cut out along the item's own axes and squashed to a square; a whole picture is squashed alike. The model
therefore sees an item upright up to quarter turns and mirroring, which training covers. Pictures that are not of a belt
may be framed by their central square instead, as ImageNet's networks see them; a look never is.
"""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from station.datatypes import OrientedBox

BgrImage: TypeAlias = NDArray[np.uint8]  # (H, W, 3), OpenCV channel order
RgbBatch: TypeAlias = NDArray[np.float32]  # (N, 3, S, S), RGB, normalised

Framing: TypeAlias = Literal["squash", "centre"]  # how a whole picture becomes a square
# Written into every artifact; a change of meaning gets a new number.
PREPROCESSING: dict[Framing, str] = {"squash": "squash-rgb/1", "centre": "centre-rgb/1"}
MEAN = (0.485, 0.456, 0.406)  # RGB, of values 0..1
STD = (0.229, 0.224, 0.225)
DEFAULT_MARGIN = 0.03  # of a side, added at each end: the outline is never exact to the pixel

_SCALE = (1.0 / (255.0 * np.asarray(STD, np.float32))).astype(np.float32)
_SHIFT = (np.asarray(MEAN, np.float32) / np.asarray(STD, np.float32)).astype(np.float32)


def squash(bgr: BgrImage, input_px: int) -> BgrImage:
    """The whole picture as a square; its aspect is not kept."""
    height, width = bgr.shape[:2]
    shrinks = height > input_px and width > input_px
    resized = cv2.resize(bgr, (input_px, input_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def central_square(bgr: BgrImage) -> BgrImage:
    """Its shorter side squared, from the middle: the aspect is kept, the ends of a long picture are not."""
    height, width = bgr.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return bgr[top : top + side, left : left + side]


def framed(bgr: BgrImage, framing: Framing, input_px: int) -> BgrImage:
    """A whole picture as the model's square."""
    return squash(bgr if framing == "squash" else central_square(bgr), input_px)


def crop_oriented(bgr: BgrImage, rect: OrientedBox, margin: float, input_px: int) -> BgrImage:
    """The rectangle, its longer side laid along x, as a square. Beyond the picture its edge is repeated."""
    length_px = max(rect.length_px * (1.0 + 2.0 * margin), 1.0)
    width_px = max(rect.width_px * (1.0 + 2.0 * margin), 1.0)
    # Bilinear sampling aliases beyond a factor of about two: then sample finer and average down.
    finer = max(1, round(max(length_px, width_px) / (2.0 * input_px)))
    side_px = finer * input_px
    cosine, sine = math.cos(math.radians(rect.angle_deg)), math.sin(math.radians(rect.angle_deg))
    along_x, along_y = cosine * length_px / side_px, sine * length_px / side_px
    across_x, across_y = -sine * width_px / side_px, cosine * width_px / side_px
    middle = (side_px - 1) / 2.0
    to_source = np.array(
        [
            [along_x, across_x, rect.cx_px - middle * (along_x + across_x)],
            [along_y, across_y, rect.cy_px - middle * (along_y + across_y)],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(bgr, to_source, (side_px, side_px), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8) if finer == 1 else squash(np.asarray(cut, np.uint8), input_px)


def cut_oriented(bgr: BgrImage, rect: OrientedBox, margin: float) -> BgrImage:
    """The same rectangle at the camera's own scale and aspect: squashed, it is what `crop_oriented` gives."""
    width = max(8, round(rect.length_px * (1.0 + 2.0 * margin)))
    height = max(8, round(rect.width_px * (1.0 + 2.0 * margin)))
    turn = cv2.getRotationMatrix2D((rect.cx_px, rect.cy_px), rect.angle_deg, 1.0)
    turn[:, 2] += np.array([(width - 1) / 2 - rect.cx_px, (height - 1) / 2 - rect.cy_px])
    cut = cv2.warpAffine(bgr, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8)


def to_batch(crops: Sequence[BgrImage]) -> RgbBatch:
    """Square crops of one size as the model's input."""
    rgb = np.stack(crops)[..., ::-1].astype(np.float32)
    return np.ascontiguousarray((rgb * _SCALE - _SHIFT).transpose(0, 3, 1, 2), dtype=np.float32)
