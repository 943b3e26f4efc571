"""Looks in, one calibrated opinion each out, in one batch over all items and cameras.

Knows how a look is cut out and what the artifact says of the model; not which engine computes it, nor what the opinions
are used for.
"""

from collections.abc import Sequence

import numpy as np

from station.datatypes import BgrImage, Classification, Look
from station.errors import ModelError
from station.recognition.artifact import ArtifactInfo
from station.recognition.backends.contract import Backend, BgrBatch
from station.recognition.preprocess import DEFAULT_MARGIN, crop_oriented, squash
from station.recognition.voting import softmax


def check_framing(info: ArtifactInfo) -> None:
    """A look is a whole item, squashed; so must have been what the model was trained and judged on."""
    if info.framing != "squash":
        raise ModelError(
            f"this model was trained and judged on the {info.framing} of pictures, and a look shows a whole item, squashed. "
            "Train it with --framing squash for the belt."
        )


class Classifier:
    def __init__(self, backend: Backend, info: ArtifactInfo, margin: float = DEFAULT_MARGIN) -> None:
        """Raises ModelError for a model that was never judged on what a look shows."""
        check_framing(info)
        self._backend = backend
        self._info = info
        self._margin = margin
        # Grown when needed, never given back: fresh megabytes cost page faults in every frame.
        self._crops: BgrBatch = np.empty((0, info.input_px, info.input_px, 3), np.uint8)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._info.classes

    @property
    def backend_name(self) -> str:
        return self._backend.name

    @property
    def device(self) -> str:
        return self._backend.device

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        """One Classification per look, in order. Raises ModelError."""
        if not looks:
            return []
        logits = self._backend.run(self.crop(looks)).astype(np.float64) / self._info.temperature
        probabilities = softmax(logits)
        return [
            Classification(
                track_id=look.track_id,
                captured_ns=look.frame.captured_ns,
                logits=tuple(row.tolist()),
                probabilities=tuple(chances.tolist()),
                label=self._info.classes[int(chances.argmax())],
            )
            for look, row, chances in zip(looks, logits, probabilities, strict=True)
        ]

    def classify_pictures(self, pictures: Sequence[BgrImage]) -> list[tuple[str, float]]:
        """Label and confidence of whole pictures (H, W, 3) uint8 BGR, squashed to the model's input. Raises ModelError."""
        batch = np.stack([squash(picture, self._info.input_px) for picture in pictures])
        chances = softmax(self._backend.run(batch).astype(np.float64) / self._info.temperature)
        best = chances.argmax(axis=1)
        return [(self._info.classes[int(b)], float(row[b])) for b, row in zip(best, chances, strict=True)]

    def crop(self, looks: Sequence[Look]) -> BgrBatch:
        """The looks as the model sees them. Valid until the next call."""
        if len(looks) > len(self._crops):
            self._crops = np.empty((len(looks), *self._crops.shape[1:]), np.uint8)
        for row, look in zip(self._crops, looks, strict=False):
            row[:] = crop_oriented(look.frame.bgr, look.extent, self._margin, self._info.input_px)
        return self._crops[: len(looks)]
