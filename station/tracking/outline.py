"""Knows shapes: from a mask of strange pixels to one outline per item. Knows no colours, no belt, no time.

All lengths here are pixels of the reduced picture. Touching items are cut apart only at a clear neck: a cut that is not
there costs an item more than one that is missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.uint8]  # (h, w), 0 or 255
Contour: TypeAlias = NDArray[np.int32]  # (N, 1, 2), x y
Hull: TypeAlias = NDArray[np.float32]  # (N, 2), x y, pixel centres at +0.5

NECK_SHARE = 0.55  # of the thinner lobe's thickness: narrower is a touch, wider a waist
SPLIT_SOLIDITY = 0.95  # area over hull area below which a shape may be two
SEAM_SPAN = 0.9  # of the belt's width
LOBE_SHARE = 0.18  # of the whole: less is a corner, not an item
GROWN_PX = 1.0  # by how much smoothing and edges widen a shape, on each side


@dataclass(frozen=True, slots=True)
class Shape:
    hull: Hull
    area: float
    whole: bool
    border: NDArray[np.int32]  # (N, 2), x y: the pixels along its rim


@dataclass(frozen=True, slots=True)
class ShapeLimits:
    """In pixels of the reduced picture."""

    min_area: float
    min_thickness: float
    max_length: float
    seam_thickness: float  # thinner strips across the whole belt are seams
    close: int  # holes and gaps up to this are closed
    along_rows: bool  # the belt runs along the picture's rows' axis (down or up)


def shapes_in(mask: Mask, limits: ShapeLimits) -> list[Shape]:
    size = limits.close | 1
    framed = cv2.morphologyEx(_framed(mask, size), cv2.MORPH_CLOSE, _disc(size))
    closed = np.asarray(framed[size:-size, size:-size], np.uint8).copy()
    found: list[Shape] = []
    for contour in _off_seams(closed, _contours(closed), limits):
        if cv2.contourArea(contour) < 0.6 * limits.min_area:
            continue
        for part in _parts(contour, limits):
            shape = _shape(part, mask.shape, limits.along_rows)
            if shape is not None and _plausible(shape, limits):
                found.append(shape)
    return found


def _contours(mask: Mask) -> list[Contour]:
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(contour, np.int32) for contour in found]


def _off_seams(mask: Mask, contours: list[Contour], limits: ShapeLimits) -> list[Contour]:
    """A strip from one side of the belt to the other is a seam: what is thin along the travel is taken out of it."""
    across = 0 if limits.along_rows else 1
    wide = SEAM_SPAN * mask.shape[1 - across]
    seams = [contour for contour in contours if np.ptp(contour[:, 0, across]) >= wide]
    if not seams:
        return contours
    strips = np.zeros_like(mask)
    cv2.drawContours(strips, seams, -1, 255, cv2.FILLED)
    length = max(3, int(limits.seam_thickness))
    bar = np.ones((length, 1) if limits.along_rows else (1, length), np.uint8)
    thick = np.asarray(cv2.morphologyEx(strips, cv2.MORPH_OPEN, bar), np.uint8)
    return [c for c in contours if np.ptp(c[:, 0, across]) < wide] + _contours(thick)


def _framed(mask: Mask, size: int) -> Mask:
    """Room around the picture, so that closing does not glue items to its border."""
    return np.asarray(cv2.copyMakeBorder(mask, size, size, size, size, cv2.BORDER_CONSTANT, value=0), np.uint8)


def _disc(size: int) -> Mask:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _plausible(shape: Shape, limits: ShapeLimits) -> bool:
    (_, _), (a, b), _ = cv2.minAreaRect(shape.hull)
    thin = min(a, b) < limits.min_thickness
    # What the frame cuts may be a sliver of something large.
    return shape.area >= limits.min_area * (1.0 if shape.whole else 0.4) and not (thin and shape.whole)


def _shape(contour: Contour, frame: tuple[int, ...], along_rows: bool) -> Shape | None:
    points = contour[:, 0]
    if len(points) < 4:
        return None
    # Only along the travel: more of what lies at the belt's side will never be seen, so it is as whole as it gets.
    axis = 1 if along_rows else 0
    whole = points[:, axis].min() > 0 and points[:, axis].max() < frame[1 - axis] - 1
    hull = cv2.convexHull(contour)[:, 0].astype(np.float32) + np.float32(0.5)
    if len(hull) < 3:
        return None
    return Shape(_shrunk(hull, frame), float(cv2.contourArea(contour)), bool(whole), points)


def _shrunk(hull: Hull, frame: tuple[int, ...]) -> Hull:
    """Take back what smoothing added, half a pixel less for the half pixels a contour leaves out; not at the frame."""
    middle = hull.mean(axis=0)
    away = hull - middle
    distance = np.maximum(np.hypot(away[:, 0], away[:, 1]), 1.0)[:, None]
    inner = hull - away / distance * np.float32(GROWN_PX - 0.5)
    far = np.array([frame[1], frame[0]], np.float32)
    inner = np.where(hull < 1.0, 0.0, inner)
    return np.asarray(np.where(hull > far - 1.0, far, inner), np.float32)


def _parts(contour: Contour, limits: ShapeLimits) -> list[Contour]:
    """The contour, or its lobes if it has a neck."""
    hull = cv2.convexHull(contour)
    left, top, width, height = cv2.boundingRect(hull)
    too_long = np.hypot(width, height) > limits.max_length and max(cv2.minAreaRect(hull)[1]) > limits.max_length
    if not too_long and cv2.contourArea(contour) > SPLIT_SOLIDITY * cv2.contourArea(hull):
        return [contour]
    filled = np.zeros((height + 2, width + 2), np.uint8)
    cv2.drawContours(filled, [contour], -1, 255, cv2.FILLED, offset=(1 - left, 1 - top))
    labels = _lobes(filled)
    if labels is None:
        return [contour]
    parts: list[Contour] = []
    for label in range(1, int(labels.max()) + 1):
        lobe = np.where(labels == label, 255, 0).astype(np.uint8)
        outer, _ = cv2.findContours(lobe, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(left - 1, top - 1))
        parts.extend(np.asarray(part, np.int32) for part in outer)
    return parts if len(parts) > 1 else [contour]


def _lobes(filled: Mask) -> NDArray[np.int32] | None:
    """Labels of the lobes of one shape, or None if it has no neck that tells them apart."""
    depth = cv2.distanceTransform(filled, cv2.DIST_L2, 5)
    deepest = float(depth.max())
    total = int(np.count_nonzero(filled))
    for share in (0.2, 0.3, 0.4, 0.5):
        cores = (depth > share * deepest).astype(np.uint8)
        count, found = cv2.connectedComponents(cores, connectivity=4)
        core_labels = np.asarray(found, np.int32)
        if count < 3:
            continue
        peaks = np.array([depth[core_labels == label].max() for label in range(1, count)])
        # A neck is as deep as the level that just parts the cores.
        real = [i + 1 for i, peak in enumerate(peaks) if share * deepest < NECK_SHARE * peak]
        if len(real) < 2:
            continue
        labels = _grown(core_labels, real, filled)
        areas = [np.count_nonzero(labels == i + 1) for i in range(len(real))]
        if min(areas) > LOBE_SHARE * total:
            return labels
    return None


def _grown(cores: NDArray[np.int32], keep: list[int], filled: Mask) -> NDArray[np.int32]:
    """Each pixel of the shape to its nearest core."""
    nearest = np.full(filled.shape, np.inf, np.float32)
    labels = np.zeros(filled.shape, np.int32)
    for number, core in enumerate(keep, start=1):
        away = cv2.distanceTransform((cores != core).astype(np.uint8), cv2.DIST_L2, 5)
        closer = (away < nearest) & (filled > 0)
        labels[closer] = number
        nearest[closer] = away[closer]
    return labels
