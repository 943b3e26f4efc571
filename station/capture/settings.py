"""What is asked of a camera, read back: what it refuses is said in words, not assumed. Knows OpenCV's property numbers."""

from dataclasses import dataclass

import cv2

_MANUAL_EXPOSURE = 1  # V4L2: 1 manual, 3 automatic
_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """Asked for; None leaves the camera's own value. A model was trained in fixed light; automatics drift with the belt."""

    width_px: int | None = None
    height_px: int | None = None
    fps: float | None = None
    exposure_ms: float | None = None
    gain: float | None = None  # in the driver's own units
    white_balance_k: float | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    prop: int
    value: float
    unit: float = 1.0  # the property counts in these

    def refused(self, device: cv2.VideoCapture) -> str | None:
        got = device.get(self.prop)
        if abs(got - self.value) <= max(0.5, _TOLERANCE * abs(self.value)):
            return None
        return f"{self.name}: asked for {self.value * self.unit:g}, the camera gives {got * self.unit:g}"


def apply(device: cv2.VideoCapture, settings: CameraSettings, *, is_stream: bool) -> list[str]:
    """Ask, read back, and put into words what was refused. A stream has no settings of ours."""
    light = _light(settings)
    if is_stream:
        return [f"{asked.name} cannot be set on a stream: set it at the camera" for asked in light]
    device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    warnings = []
    if device.get(cv2.CAP_PROP_BUFFERSIZE) > 1:
        warnings.append("the driver keeps more than one frame: stamps tell their age")
    for name, prop, manual in _automatics(settings):
        device.set(prop, manual)
        if device.get(prop) != manual:
            warnings.append(f"{name}: cannot be switched off; the camera goes on changing it")
    wanted = [*_format(settings), *light]
    for asked in wanted:
        device.set(asked.prop, asked.value)
    # Read back after all are set: asking for a size may change the rate, and the other way round.
    return warnings + [words for asked in wanted if (words := asked.refused(device)) is not None]


def _automatics(settings: CameraSettings) -> list[tuple[str, int, float]]:
    """The automatics that would overrule what is asked for."""
    found: list[tuple[str, int, float]] = []
    if settings.exposure_ms is not None:
        found.append(("automatic exposure", cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL_EXPOSURE))
    if settings.white_balance_k is not None:
        found.append(("automatic white balance", cv2.CAP_PROP_AUTO_WB, 0))
    return found


def _format(settings: CameraSettings) -> list[_Asked]:
    wanted = [
        ("width_px", cv2.CAP_PROP_FRAME_WIDTH, settings.width_px),
        ("height_px", cv2.CAP_PROP_FRAME_HEIGHT, settings.height_px),
        ("fps", cv2.CAP_PROP_FPS, settings.fps),
    ]
    return [_Asked(name, prop, float(value)) for name, prop, value in wanted if value is not None]


def _light(settings: CameraSettings) -> list[_Asked]:
    found = []
    if settings.exposure_ms is not None:  # V4L2 counts 100 us
        found.append(_Asked("exposure_ms", cv2.CAP_PROP_EXPOSURE, settings.exposure_ms * 10, 0.1))
    if settings.gain is not None:
        found.append(_Asked("gain", cv2.CAP_PROP_GAIN, settings.gain))
    if settings.white_balance_k is not None:
        found.append(_Asked("white_balance_k", cv2.CAP_PROP_WB_TEMPERATURE, settings.white_balance_k))
    return found
