"""The configuration: closed, bounded, frozen. A typo stops the start; every message names file, key, value and allowed range.

Knows the keys and how they are found (flag, environment, files). Knows nothing of what the parts do with them.
"""

import json
import math
import os
import tomllib
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from station.errors import ConfigError


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BeltConfig(Section):
    width_mm: float = Field(gt=0, le=5000)
    max_speed_m_s: float = Field(gt=0, le=6)
    mm_per_count: float | None = Field(default=None, gt=0.001, le=50)  # absent: no encoder, time windows
    speed_m_s: float | None = Field(default=None, gt=0, le=6)  # without an encoder: the measured constant speed


class CameraConfig(Section):
    id: str = Field(default="camera0", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    width_px: int = Field(default=1280, ge=64, le=8192)
    height_px: int = Field(default=800, ge=64, le=8192)
    fps: float = Field(default=30, gt=0, le=1000)
    exposure_ms: float | None = Field(default=None, gt=0, le=100)
    gain: float | None = Field(default=None, ge=0, le=100_000)  # in the driver's own units
    white_balance_k: float | None = Field(default=None, ge=1000, le=20_000)
    travel: Literal["down", "up", "left", "right"] = "down"  # direction of travel in the picture
    mm_per_px: float | None = Field(default=None, gt=0.01, le=10)
    homography: tuple[tuple[float, float, float], ...] | None = None  # px -> mm (along, lateral), rows; beats mm_per_px
    view_at_mm: float = Field(default=0, ge=-5000, le=5000)  # upstream edge of the view on the station axis
    lateral_at_mm: float = Field(default=0, ge=-5000, le=5000)  # left edge of the view on the belt
    lane_from_mm: float | None = None  # this camera's strip of belt: items whose middle lies in [from, to) are its own;
    lane_to_mm: float | None = None  # None: no limit on this side

    @model_validator(mode="after")
    def _needs_scale(self) -> "CameraConfig":
        if self.homography is not None and (len(self.homography) != 3 or any(len(row) != 3 for row in self.homography)):
            raise ValueError("homography must be 3 rows of 3 numbers; `station calibrate belt` writes it")
        return self

    @model_validator(mode="after")
    def _lane_holds_something(self) -> "CameraConfig":
        if self.lane_from_mm is not None and self.lane_to_mm is not None and self.lane_from_mm >= self.lane_to_mm:
            raise ValueError(
                f"lane_from_mm = {self.lane_from_mm:g} is not below lane_to_mm = {self.lane_to_mm:g}: "
                "no item would be this camera's"
            )
        return self

    @property
    def scaled_for_px(self) -> tuple[int, int] | None:
        """Width and height of the only pictures that scale or homography hold for; None without either: the belt fills any."""
        return None if self.mm_per_px is None and self.homography is None else (self.width_px, self.height_px)


class GateConfigSection(Section):
    from_mm: float = Field(ge=-100, le=5000)  # lateral reach of the gate
    to_mm: float = Field(ge=-100, le=5000)
    at_mm: float = Field(gt=0, le=20000)  # on the station axis
    safe_level: Literal[0, 1]  # mandatory: what the output does in silence is a process decision
    opening_delay_ms: float = Field(ge=0, le=500)
    closing_delay_ms: float = Field(ge=0, le=500)
    min_hold_ms: float = Field(default=5, gt=0, le=1000)
    max_hold_ms: float = Field(default=1000, gt=0, le=60000)
    min_gap_ms: float = Field(default=5, ge=0, le=1000)
    max_duty: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _reaches_somewhere(self) -> "GateConfigSection":
        if self.to_mm <= self.from_mm:
            raise ValueError(
                f"to_mm = {self.to_mm:g} is not beyond from_mm = {self.from_mm:g}: such a gate would never act. "
                "Give its left edge on the belt as from_mm and its right edge as to_mm"
            )
        return self


class GateBar(Section):
    """A row of equal gates; expands to single gates."""

    count: int = Field(ge=1, le=32)
    pitch_mm: float = Field(gt=1, le=2000)
    first_from_mm: float = 0.0
    at_mm: float = Field(gt=0, le=20000)
    safe_level: Literal[0, 1]
    opening_delay_ms: float = Field(ge=0, le=500)
    closing_delay_ms: float = Field(ge=0, le=500)
    min_hold_ms: float = Field(default=5, gt=0, le=1000)
    max_hold_ms: float = Field(default=1000, gt=0, le=60000)
    min_gap_ms: float = Field(default=5, ge=0, le=1000)
    max_duty: float = Field(default=1.0, gt=0, le=1)


class BinConfig(Section):
    gates: tuple[int, ...] = ()  # empty: where untouched items land
    full_at_items: int | None = Field(default=None, ge=1, le=100_000_000)  # by count; absent: nobody is told


class LabelRule(Section):
    bin: str
    threshold: float = Field(default=0.5, ge=0, le=1)


class SortConfig(Section):
    bins: dict[str, BinConfig]
    labels: dict[str, LabelRule]
    unactuated_bin: str  # mechanics decide this
    fallback_bin: str  # where undecided items are meant to go
    product_bin: str | None = None  # whose purity and recovery are reported; default: the first gated bin
    policy: Literal["purity", "recovery"] = "purity"
    min_cover: float = Field(default=0.62, gt=0.5, le=1)  # of the item's footprint, else it is given up
    want_cover: float = Field(default=0.9, gt=0.5, le=1)
    max_neighbour_cover: float = Field(default=0.36, ge=0, lt=0.5)
    margin_mm: float = Field(default=6, ge=0, le=100)  # added to a window at each end, besides 2 sigma of position

    @model_validator(mode="after")
    def _bins_exist(self) -> "SortConfig":
        for key, name in (("unactuated_bin", self.unactuated_bin), ("fallback_bin", self.fallback_bin)):
            if name not in self.bins:
                raise ValueError(f"{key} = {name!r} is not one of bins {sorted(self.bins)}")
        if self.bins[self.unactuated_bin].gates:
            raise ValueError(
                f"unactuated_bin = {self.unactuated_bin!r} has gates: it is where an untouched item lands, no gate may serve it"
            )
        for label, rule in self.labels.items():
            if rule.bin not in self.bins:
                raise ValueError(f"labels.{label}.bin = {rule.bin!r} is not one of bins {sorted(self.bins)}")
        return self


class DetectorConfig(Section):
    min_item_mm: float = Field(default=25, gt=1, le=500)
    max_item_mm: float = Field(default=400, gt=10, le=3000)
    min_gap_mm: float = Field(default=12, gt=0, le=200)
    sensitivity: float = Field(default=1.0, gt=0.1, le=10)  # larger finds fainter items
    work_width_px: int = Field(default=320, ge=80, le=2048)
    min_update_speed_m_s: float = Field(default=0.05, ge=0, le=1)


class RecognitionConfig(Section):
    model: str = "default"
    backend: Literal["auto", "cuda", "openvino-bf16", "openvino-int8", "openvino-fp32", "torch-bf16", "torch-fp32"] = (
        "auto"
    )
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)
    max_looks: int = Field(default=3, ge=1, le=16)
    max_looks_per_step: int = Field(default=16, ge=1, le=256)
    threads: int = Field(default=2, ge=1, le=64)
    crop_margin: float = Field(default=0.04, ge=0, le=0.5)


UsbId = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{4}:[0-9a-fA-F]{4}$")]


RELAY = "relay:"  # before a port: a relay board is behind it


class RelayConfig(Section):
    """A Modbus RTU relay board (`port = "relay:/dev/ttyUSB0"`): timed by this computer, slow flaps only."""

    device_id: int = Field(default=1, ge=1, le=247)
    baud: int = Field(default=9600, ge=1200, le=1_000_000)
    first_coil: int = Field(default=0, ge=0, le=65_000)  # gate n is coil first_coil + n
    permit_relay: bool = False  # the relay after the gates' is the feeder's permit
    watchdog_register: int | None = Field(default=None, ge=0, le=65_535)  # without one it is never armed
    watchdog_unit_ms: int = Field(default=1, ge=1, le=1000)
    answer_within_ms: int = Field(default=100, ge=20, le=500)


class LinkConfig(Section):
    port: str | None = None  # device, "auto", "virtual" or "relay:" and a device; the flag wins
    relay: RelayConfig | None = None
    baud: int = Field(default=1_000_000, ge=9600, le=12_000_000)
    dtr: bool | None = None
    usb_ids: tuple[UsbId, ...] = ()  # VID:PID of boards beside the known ones that `auto` may greet
    auto_rearm: bool | None = None  # mandatory for real ports
    lease_ms: int = Field(default=250, ge=100, le=1000)
    max_sync_bound_us: int = Field(default=500, ge=10, le=100_000)
    max_late_us: int = Field(default=1000, ge=100, le=50_000)
    lead_ms: float = Field(default=30, ge=5, le=1000)
    far_ms: int = Field(default=10_000, ge=100, le=600_000)
    far_mm: float = Field(default=20_000, ge=10, le=200_000)


class BudgetConfig(Section):
    latency_ms: float = Field(default=100, gt=0, le=10_000)  # capture to scheduled
    margin_ms: float = Field(default=50, ge=0, le=10_000)
    item_mm: float = Field(default=120, gt=5, le=3000)  # the longest item that must get two looks at full speed


class CostConfig(Section):
    """Computing cost charged in virtual time (ms); `station bench` prints the figures of this machine."""

    capture_ms: float = Field(default=4.0, ge=0, le=1000)
    detect_ms: float = Field(default=5.0, ge=0, le=1000)
    classify_ms: float = Field(default=2.0, ge=0, le=1000)
    per_look_ms: float = Field(default=4.0, ge=0, le=1000)
    jitter: float = Field(default=0.2, ge=0, le=2)  # relative standard deviation, seeded


class PanelConfig(Section):
    http: str = "127.0.0.1:8384"
    jpeg_quality: int = Field(default=75, ge=20, le=100)
    max_fps: float = Field(default=30, gt=0, le=120)
    max_width_px: int = Field(default=960, ge=160, le=4096)  # of the picture sent to a browser
    token_file: str | None = None  # mandatory for an address other machines can reach; made with mode 0600
    allowed_hosts: tuple[str, ...] = ()  # host names people type to reach the page, besides IP addresses and localhost


class MqttConfig(Section):
    """Where the station tells how it does; it takes no commands there."""

    host: str = Field(min_length=1)
    port: int = Field(default=1883, ge=1, le=65_535)
    tls: bool = False  # checked against the system's certificates
    user: str | None = None
    password_file: str | None = None
    topic: str = Field(default="station", pattern=r"^[^+#/\s][^+#\s]*[^+#/\s]$|^[^+#/\s]$")  # before /NAME/state
    every_s: float = Field(default=5, ge=1, le=3600)
    discovery: str | None = Field(default=None, pattern=r"^[^+#/\s][^+#\s]*$")  # Home Assistant's prefix; absent: none

    @model_validator(mode="after")
    def _whose_password(self) -> "MqttConfig":
        if self.password_file is not None and self.user is None:
            raise ValueError("password_file without user: say whose password it is")
        return self


class RecordConfig(Section):
    directory: str = "station-runs"
    keep_days: float = Field(default=30, gt=0, le=3650)
    keep_gib: float = Field(default=5, gt=0.01, le=10_000)
    prune_every_min: float = Field(default=10, ge=1, le=1440)  # how often the two limits are looked at
    crops_mib: float = Field(default=200, ge=0, le=100_000)  # pictures of items worth a label; 0: none
    crops_margin: float = Field(default=0.3, ge=0, le=1)  # kept when the second class comes as close as this
    crops_sample: float = Field(default=0.01, ge=0, le=1)  # share of all items kept by lot
    wire_mib: float = Field(default=0, ge=0, le=100_000)  # of what crosses the controller's port, each run; 0: none


class VirtualLineConfig(Section):
    """The simulated line; the defaults are the reference line's. The station never reads this section; the line does."""

    fps: float = Field(default=30, gt=0, le=240)
    exposure_ms: float = Field(default=1, gt=0, le=30)
    width_px: int = Field(default=1280, ge=64, le=8192)
    height_px: int = Field(default=800, ge=64, le=8192)
    view_width_mm: float = Field(default=600, gt=10, le=5000)
    view_length_mm: float = Field(default=375, gt=10, le=5000)
    speed_m_s: float = Field(default=1.0, gt=0, le=6)
    feed_per_s: float = Field(default=10, ge=0, le=500)
    item_min_mm: float = Field(default=50, gt=5, le=1000)
    item_max_mm: float = Field(default=150, gt=5, le=1000)
    card_mm: float = Field(default=120, gt=5, le=1000)
    clear_gap_mm: float = Field(default=20, ge=0, le=500)
    gates: int = Field(default=8, ge=1, le=32)
    gate_pitch_mm: float = Field(default=75, gt=1, le=2000)
    gate_beyond_view_mm: float = Field(default=1000, gt=0, le=20_000)
    gate_opens_ms: float = Field(default=12, ge=0, le=500)
    gate_closes_ms: float = Field(default=8, ge=0, le=500)
    gate_jitter_ms: float = Field(default=1, ge=0, le=100)
    drift_sigma_mm: float = Field(default=3, ge=0, le=100)
    diverted_cover: float = Field(default=0.5, gt=0, le=1)
    mm_per_count: float = Field(default=0.5, gt=0.001, le=50)
    ramp_m_s2: float = Field(default=2.0, gt=0.01, le=100)
    device_ppm: float = Field(default=30, ge=-5000, le=5000)
    target_labels: tuple[str, ...] = ("recyclable",)


class StationConfig(Section):
    name: str = "station"
    belt: BeltConfig
    cameras: tuple[CameraConfig, ...] = (CameraConfig(),)
    gate: tuple[GateConfigSection, ...] = ()
    gate_bar: GateBar | None = None
    sort: SortConfig
    detector: DetectorConfig = DetectorConfig()
    recognition: RecognitionConfig = RecognitionConfig()
    link: LinkConfig = LinkConfig()
    budget: BudgetConfig = BudgetConfig()
    cost: CostConfig = CostConfig()
    panel: PanelConfig = PanelConfig()
    record: RecordConfig = RecordConfig()
    mqtt: MqttConfig | None = None
    virtual: VirtualLineConfig = VirtualLineConfig()

    @property
    def gates(self) -> tuple[GateConfigSection, ...]:
        """All gates, number g = bit g of a mask: the bar's first, then the single ones."""
        bar = self.gate_bar
        if bar is None:
            return self.gate
        common = bar.model_dump(exclude={"count", "pitch_mm", "first_from_mm"})
        row = tuple(
            GateConfigSection(
                from_mm=bar.first_from_mm + bar.pitch_mm * g, to_mm=bar.first_from_mm + bar.pitch_mm * (g + 1), **common
            )
            for g in range(bar.count)
        )
        return row + self.gate

    @model_validator(mode="after")
    def _consistent(self) -> "StationConfig":
        count = len(self.gates)
        if count > 32:
            raise ValueError(f"gates: {count} are configured, a mask has 32 bits")
        for name, bin_ in self.sort.bins.items():
            for gate in bin_.gates:
                if not 0 <= gate < count:
                    raise ValueError(f"sort.bins.{name}.gates: gate {gate} does not exist; allowed 0..{count - 1}")
            # One command has one window for all its gates: on another line a gate would act at the wrong moment.
            lines_mm = sorted({self.gates[gate].at_mm for gate in bin_.gates})
            if len(lines_mm) > 1:
                stand = " and ".join(f"{at_mm:g}" for at_mm in lines_mm)
                raise ValueError(
                    f"sort.bins.{name}.gates: they stand at at_mm = {stand}, and the gates of a bin must stand on one "
                    "line. Correct at_mm, or give each line a bin of its own"
                )
        if self.belt.mm_per_count is None and self.belt.speed_m_s is None:
            raise ValueError("belt: give mm_per_count (encoder) or speed_m_s (constant speed)")
        ids = [camera.id for camera in self.cameras]
        if len(set(ids)) != len(ids):
            raise ValueError(f"cameras: ids must differ, got {ids}")
        self._check_lanes()
        return self

    def _check_lanes(self) -> None:
        """Lanes side by side meet: between them an item would be nobody's, and where they overlap it would be counted twice."""
        lanes = sorted(
            (
                -math.inf if camera.lane_from_mm is None else camera.lane_from_mm,
                math.inf if camera.lane_to_mm is None else camera.lane_to_mm,
                camera.id,
            )
            for camera in self.cameras
            if (camera.lane_from_mm, camera.lane_to_mm) != (None, None)
        )
        for (_, to_mm, left), (from_mm, _, right) in pairwise(lanes):
            if to_mm != from_mm:
                raise ValueError(
                    f"cameras: the lane of {left} ends at {to_mm:g} mm and that of {right} begins at {from_mm:g}. Give "
                    "lane_to_mm of the one and lane_from_mm of the other the same value"
                )


SearchedFile = Path
SectionT = TypeVar("SectionT", bound=Section)


def search_paths(environ: dict[str, str]) -> list[Path]:
    """Where a configuration is looked for when no flag names one, first found wins."""
    paths = []
    if environ.get("STATION_CONFIG"):
        paths.append(Path(environ["STATION_CONFIG"]))
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config")
    return [*paths, Path("station.toml"), home / "station" / "station.toml", Path("/etc/station/station.toml")]


def find_config(flag: Path | None, environ: dict[str, str]) -> Path | None:
    """The configuration file in force, or None. A file named by flag or STATION_CONFIG must exist."""
    named = flag or (Path(environ["STATION_CONFIG"]) if environ.get("STATION_CONFIG") else None)
    if named is not None:
        if not named.is_file():
            raise ConfigError(f"{named}: no such configuration file. `station config init` writes one to start from.")
        return named
    return next((path for path in search_paths(environ) if path.is_file()), None)


def load_config(path: Path, environ: dict[str, str] | None = None) -> StationConfig:
    """Read and check one TOML file; STATION_SECTION__KEY variables override its values."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Give a readable TOML file.") from error
    return parse_config(text, str(path), environ or {})


def builtin_text(name: str) -> str:
    """Text of a configuration that ships: "virtual" or "station"."""
    return (resources.files("configs") / f"{name}.toml").read_text(encoding="utf-8")


def builtin_config(name: str, environ: dict[str, str] | None = None) -> StationConfig:
    return parse_config(builtin_text(name), f"configs/{name}.toml", environ or {})


def parse_config(text: str, source: str, environ: dict[str, str]) -> StationConfig:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from error
    _override(values, environ)
    try:
        return StationConfig.model_validate(values)
    except ValidationError as error:
        overriding = {".".join(key): name for name, key in environment_keys(environ).items()}
        raise ConfigError(_in_words(error, source, overriding)) from error


def changed(config: SectionT, **changes: Any) -> SectionT:
    """A copy with some values changed, checked like a file: `changed(config, virtual={"speed_m_s": 2.5})`."""
    values = config.model_dump()
    for section, change in changes.items():
        if isinstance(change, dict) and isinstance(values.get(section), dict):
            values[section] = {**values[section], **change}
        else:
            values[section] = change
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        raise ConfigError(_in_words(error, "command line")) from error


def environment_keys(environ: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """STATION_SECTION__KEY variables and the key each one overrides."""
    return {
        name: tuple(name.removeprefix("STATION_").lower().split("__"))
        for name in environ
        if name.startswith("STATION_") and "__" in name
    }


def _override(values: dict[str, Any], environ: dict[str, str]) -> None:
    for name, (*sections, key) in environment_keys(environ).items():
        place = values
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{name}: {section} is not a section")
        try:
            place[key] = json.loads(environ[name])
        except json.JSONDecodeError:
            place[key] = environ[name]


def _in_words(error: ValidationError, file: str, overriding: dict[str, str] | None = None) -> str:
    """One line per problem; `overriding` names the environment variable that set a key."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
        source = (overriding or {}).get(key, file)
        if problem["type"] == "extra_forbidden":
            lines.append(
                f"{source}: {key}: unknown key. Remove it or correct its spelling (`station config schema` lists all)."
            )
        elif problem["type"] == "missing":
            lines.append(f"{source}: {key}: missing, and it has no default.")
        else:
            value = problem.get("input")
            shown = "" if isinstance(value, dict) else f" = {value!r}"
            lines.append(f"{source}: {key}{shown}: {problem['msg']}")
    return "\n".join(lines)


def gate_device_name(index: int) -> str:
    """How a gate is called everywhere a person reads it."""
    return f"gate {index}"


def config_home() -> dict[str, str]:
    """The environment as a plain dictionary: the one place it is read."""
    return dict(os.environ)
