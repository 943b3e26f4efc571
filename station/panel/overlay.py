"""Draws what the station thinks onto a copy of the frame. Knows cv2 and the snapshot; nothing of windows or files.

Grey and white are normal; colour means that somebody should look, and never stands alone: shape and words say the same.
Corners only: not decided. Thin box: passes. Thick box with a gate tag: will be diverted. Amber and crossed: missed.
"""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from station.datatypes import NEVER_MS, BgrImage, OrientedBox, OutcomeKind
from station.panel.snapshot import Mark, SeenCamera, SeenItem, Snapshot, gates_in_words

Colour: TypeAlias = tuple[int, int, int]  # B, G, R

WHITE: Colour = (245, 245, 245)
GREY: Colour = (170, 170, 170)
DARK: Colour = (38, 34, 32)
AMBER: Colour = (0, 170, 255)
RED: Colour = (60, 60, 235)

MIN_WIDTH_PX = 1000  # of the strip, or it could not be read
MAX_HEIGHT_PX = 960  # small frames are enlarged by a whole factor up to this
OLD_NS = 500_000_000
STRIP_PX = 64
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CORNER = 0.22  # of a side


@dataclass(frozen=True, slots=True)
class _Style:
    colour: Colour
    thickness: int


STYLES: dict[Mark, _Style] = {
    Mark.UNDECIDED: _Style(GREY, 1),
    Mark.PASS: _Style(WHITE, 1),
    Mark.DIVERT: _Style(WHITE, 3),
    Mark.MISSED: _Style(AMBER, 2),
    Mark.UNCONFIRMED: _Style(AMBER, 2),
}


def draw(bgr: BgrImage, camera: SeenCamera, snapshot: Snapshot) -> BgrImage:
    """The frame with its items marked, under a strip that says how the station does."""
    factor = max(1, min(MIN_WIDTH_PX // bgr.shape[1], MAX_HEIGHT_PX // bgr.shape[0]))
    height_px, width_px = bgr.shape[0] * factor, bgr.shape[1] * factor
    canvas: BgrImage = np.full((STRIP_PX + height_px, max(width_px, MIN_WIDTH_PX), 3), DARK, np.uint8)
    left_px = (canvas.shape[1] - width_px) // 2
    picture = canvas[STRIP_PX:, left_px : left_px + width_px]
    if factor == 1:
        picture[:] = bgr
    else:
        picture[:] = cv2.resize(bgr, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    for item in camera.items:
        _draw_item(picture, item, factor)
    _draw_strip(canvas[:STRIP_PX], camera, snapshot)
    if not camera.live:
        _banner(picture, "CAMERA LOST: this picture is old")
    return canvas


# -- items -----------------------------------------------------------------------------------------------------------


def _draw_item(picture: BgrImage, item: SeenItem, factor: int) -> None:
    corners = _corners(item.box) * factor
    style = STYLES[item.mark]
    outline = corners.round().astype(np.int32)
    # A dark line beneath keeps white readable on white paper.
    if item.mark is Mark.UNDECIDED:
        for piece in _corner_pieces(corners):
            cv2.polylines(picture, [piece], False, DARK, style.thickness + 2, cv2.LINE_AA)
            cv2.polylines(picture, [piece], False, style.colour, style.thickness, cv2.LINE_AA)
    else:
        cv2.polylines(picture, [outline], True, DARK, style.thickness + 2, cv2.LINE_AA)
        cv2.polylines(picture, [outline], True, style.colour, style.thickness, cv2.LINE_AA)
    if item.mark is Mark.MISSED:
        for a, b in ((0, 2), (1, 3)):
            cv2.line(picture, _point(outline[a]), _point(outline[b]), style.colour, 1, cv2.LINE_AA)
    _draw_tag(picture, item, corners)


def _draw_tag(picture: BgrImage, item: SeenItem, corners: NDArray[np.float64]) -> None:
    """Who it is, what it is thought to be, and what will happen: above the box, inside the picture."""
    words = f"#{item.track_id}"
    if item.label is not None:
        words += f" {item.label}"
        words += f" {item.confidence:.0%}" if item.confidence is not None else ""
    fate = _fate(item)
    (width, _), _ = cv2.getTextSize(words, _FONT, 0.45, 1)
    (fate_width, _), _ = cv2.getTextSize(fate, _FONT, 0.45, 1) if fate else ((0, 0), 0)
    total = width + 8 + (fate_width + 8 if fate else 0)
    left = int(np.clip(corners[:, 0].min(), 0, max(picture.shape[1] - total, 0)))
    top = int(np.clip(corners[:, 1].min() - 22, 0, picture.shape[0] - 18))
    _chip(picture, (left, top), words, WHITE, DARK)
    if fate:
        style = STYLES[item.mark]
        plain = item.mark is Mark.PASS
        _chip(picture, (left + width + 8, top), fate, GREY if plain else DARK, DARK if plain else style.colour)


def _fate(item: SeenItem) -> str:
    if item.mark is Mark.DIVERT:
        return f"> GATE {gates_in_words(item.gates)}" if item.gates else "> DIVERT"
    if item.mark is Mark.PASS:
        return "pass"
    if item.mark in (Mark.MISSED, Mark.UNCONFIRMED):
        return f"{item.mark.value.upper()} {item.note}".strip()
    return ""


def _corners(box: OrientedBox) -> NDArray[np.float64]:
    """(4, 2), in order around the box."""
    points = cv2.boxPoints(((box.cx_px, box.cy_px), (box.length_px, box.width_px), box.angle_deg))
    return np.asarray(points, np.float64)


def _corner_pieces(corners: NDArray[np.float64]) -> list[NDArray[np.int32]]:
    pieces = []
    for index in range(4):
        here = corners[index]
        before, after = corners[index - 1], corners[(index + 1) % 4]
        piece = np.stack([here + (before - here) * _CORNER, here, here + (after - here) * _CORNER])
        pieces.append(piece.round().astype(np.int32))
    return pieces


# -- the strip -------------------------------------------------------------------------------------------------------


def _draw_strip(strip: BgrImage, camera: SeenCamera, snapshot: Snapshot) -> None:
    x = _chip(strip, (8, 7), snapshot.state, *((DARK, GREY) if snapshot.normal else (DARK, AMBER)), scale=0.55)
    if snapshot.observing:
        x = _chip(strip, (x + 8, 7), "NO DIVERTS SENT", DARK, AMBER, scale=0.55)
    if snapshot.simulated:
        x = _chip(strip, (x + 8, 7), "SIMULATION", DARK, WHITE, scale=0.55)
    reason = snapshot.alarms[0] if snapshot.alarms else ("" if snapshot.normal else snapshot.state_reason)
    link_text, link_colour = _link(snapshot)
    (link_width, _), _ = cv2.getTextSize(link_text, _FONT, 0.5, 1)
    link_left = strip.shape[1] - link_width - 10
    _text(strip, (link_left, 22), link_text, link_colour)
    _text(strip, (x + 12, 22), _fitted(reason, link_left - x - 24), AMBER)
    x = 10
    for words, colour in _figures(camera, snapshot):
        x = _text(strip, (x, 50), words, colour) + 22


def _figures(camera: SeenCamera, snapshot: Snapshot) -> list[tuple[str, Colour]]:
    p99, budget = snapshot.latency_p99_ms, snapshot.latency_budget_ms
    age_ns = max(0, snapshot.made_ns - camera.captured_ns)
    latency_colour = AMBER if p99 is not None and budget is not None and p99 > budget else GREY
    counts = [
        (f"{kind.value} {snapshot.by_outcome.get(kind, 0)}", _count_colour(kind, snapshot)) for kind in OutcomeKind
    ]
    return [
        (f"{camera.camera_id} {_number(camera.fps, '.1f')} fps", GREY if camera.live else RED),
        (f"{age_ns / 1e6:.0f} ms old", AMBER if age_ns > OLD_NS else GREY),
        *(
            [(f"latency {_number(snapshot.latency_p50_ms)} / {_number(p99)} ms p50/p99", latency_colour)]
            if p99 is not None
            else []
        ),
        *counts,
        (f"on belt {snapshot.in_flight}", GREY),
        *([(f"frames dropped {camera.dropped}", AMBER)] if camera.dropped else []),
    ]


def _count_colour(kind: OutcomeKind, snapshot: Snapshot) -> Colour:
    if kind in (OutcomeKind.EJECTED, OutcomeKind.PASSED):
        return WHITE
    return AMBER if snapshot.by_outcome.get(kind, 0) else GREY


def _link(snapshot: Snapshot) -> tuple[str, Colour]:
    if snapshot.link is None:
        return "no controller", AMBER
    healthy = snapshot.link.value in ("ready", "armed")
    words = f"controller {snapshot.link.value}"
    if healthy:
        return words, GREY
    return f"{words} {snapshot.link_detail}".strip()[:60], RED


def _number(value: float | None, form: str = ".0f") -> str:
    if value is None:
        return "-"
    return format(value, form) if value < NEVER_MS else "never"


# -- ink -------------------------------------------------------------------------------------------------------------


def _text(picture: BgrImage, at: tuple[int, int], words: str, colour: Colour, scale: float = 0.5) -> int:
    """Returns where the words end."""
    cv2.putText(picture, words, at, _FONT, scale, colour, 1, cv2.LINE_AA)
    (width, _), _ = cv2.getTextSize(words, _FONT, scale, 1)
    return at[0] + int(width)


def _chip(
    picture: BgrImage, at: tuple[int, int], words: str, ink: Colour, ground: Colour, *, scale: float = 0.45
) -> int:
    """Words on a filled ground. Returns its right edge."""
    (width, height), _ = cv2.getTextSize(words, _FONT, scale, 1)
    left, top = at
    right, bottom = left + int(width) + 8, top + int(height) + 10
    cv2.rectangle(picture, (left, top), (right, bottom), ground, cv2.FILLED)
    cv2.putText(picture, words, (left + 4, bottom - 6), _FONT, scale, ink, 1, cv2.LINE_AA)
    return right


def _banner(picture: BgrImage, words: str) -> None:
    picture[:] = picture // 2
    (width, _), _ = cv2.getTextSize(words, _FONT, 0.9, 2)
    left, middle = max((picture.shape[1] - int(width)) // 2, 0), picture.shape[0] // 2
    cv2.rectangle(picture, (0, middle - 34), (picture.shape[1], middle + 20), RED, cv2.FILLED)
    cv2.putText(picture, words, (left, middle), _FONT, 0.9, WHITE, 2, cv2.LINE_AA)


def _fitted(words: str, width_px: int) -> str:
    """As many of the words as fit, the rest as dots."""
    while words and cv2.getTextSize(words, _FONT, 0.5, 1)[0][0] > width_px:
        words = words[:-4].rstrip() + "..." if len(words) > 4 else ""
    return words


def _point(at: NDArray[np.int32]) -> tuple[int, int]:
    return int(at[0]), int(at[1])
