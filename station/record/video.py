"""Pictures as they were seen, in one video file per run and camera. Knows the file; nothing of what is drawn on them."""

from pathlib import Path

import cv2

from station.datatypes import BgrImage
from station.errors import ConfigError

# Matroska stays playable when the writer is killed; an .mp4 without its end is lost.
SUFFIX = ".mkv"
_CODEC = "mp4v"


class VideoFile:
    """Opens with the first picture; a picture of another size begins a further file."""

    def __init__(self, directory: Path, name: str, fps: float) -> None:
        self._directory = directory
        self._name = name
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size: tuple[int, int] | None = None
        self.files: list[Path] = []
        self.frames = 0

    def write(self, bgr: BgrImage) -> None:
        """Raises ConfigError when the file cannot be made."""
        size = (int(bgr.shape[1]), int(bgr.shape[0]))
        if self._writer is None or size != self._size:
            self._open(size)
        assert self._writer is not None
        self._writer.write(bgr)
        self.frames += 1

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _open(self, size: tuple[int, int]) -> None:
        self.close()
        part = f"-{len(self.files) + 1}" if self.files else ""
        path = self._directory / f"{self._name}{part}{SUFFIX}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--record {str(self._directory)!r}: cannot be written ({error.strerror}).") from error
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*_CODEC), self._fps, size)
        if not writer.isOpened():
            raise ConfigError(
                f"--record: {path} cannot be made at {size[0]}x{size[1]} px. Name a directory with free space "
                "(OpenCV must have been built with FFmpeg; the PyPI wheels are)."
            )
        self._writer, self._size = writer, size
        self.files.append(path)
