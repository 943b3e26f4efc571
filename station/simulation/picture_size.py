"""Reads how large a picture is from the first bytes of its file. Knows JPEG and PNG; nothing of what is on it."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2

_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_HEAD_BYTES = 65536


def picture_size_px(picture: Path) -> tuple[int, int] | None:
    """(height, width); None for what cannot be read. Orientation marks are honoured by decoding such files."""
    with picture.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    size = _png_size(head) or (None if b"Exif\x00" in head[:4096] else _jpeg_size(head))
    if size is not None:
        return size
    bgr = cv2.imread(str(picture), cv2.IMREAD_COLOR)  # what will be shown is what counts
    return None if bgr is None else (int(bgr.shape[0]), int(bgr.shape[1]))


def _png_size(head: bytes) -> tuple[int, int] | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 24:
        return None
    width, height = struct.unpack(">II", head[16:24])
    return height, width


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Walk the segments to the start of the frame, which states height and width."""
    at = 2
    while head[:2] == b"\xff\xd8" and at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker in _START_OF_FRAME:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return height, width
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
