"""A line of one camera, made several lanes wide: strips of belt side by side, each with its own camera, feed and gates.

Pure: a configuration in, a configuration out. Knows the virtual line only; a real line's lanes stand in its own configuration.
"""

from typing import Any

from station.config import StationConfig, changed
from station.errors import ConfigError

MASK_BITS = 32


def side_by_side(config: StationConfig, lanes: int) -> StationConfig:
    """The same line `lanes` times, from left to right; camera n is called camera<n>, its gates follow those of lane n - 1."""
    if lanes == len(config.cameras):
        return config
    if len(config.cameras) != 1 or config.gate or config.gate_bar is None:
        raise ConfigError(
            f"--cameras {lanes}: only a line of one camera and one gate_bar can be made wider; this configuration has "
            f"{len(config.cameras)} cameras and {len(config.gate)} single gates. Describe every camera in the file instead."
        )
    gates = config.gate_bar.count
    if not 1 <= lanes <= MASK_BITS // gates:
        raise ConfigError(
            f"--cameras {lanes}: {gates} gates for each; a mask has 32 bits. At most {MASK_BITS // gates}."
        )
    width_mm = config.virtual.view_width_mm
    bins = {
        name: {"gates": [gate + lane * gates for lane in range(lanes) for gate in section.gates]}
        for name, section in config.sort.bins.items()
    }
    return changed(
        config,
        name=f"{config.name}, {lanes} lanes",
        belt={"width_mm": config.belt.width_mm * lanes},
        cameras=[_camera(config, lane, lane * width_mm) for lane in range(lanes)],
        gate_bar={"count": gates * lanes},
        sort={"bins": bins},
        virtual={"gates": config.virtual.gates * lanes},
    )


def _camera(config: StationConfig, lane: int, left_mm: float) -> dict[str, Any]:
    return {
        **config.cameras[0].model_dump(),
        "id": f"camera{lane}",
        "lateral_at_mm": left_mm,
        "lane_from_mm": left_mm,
        "lane_to_mm": left_mm + config.virtual.view_width_mm,
    }
