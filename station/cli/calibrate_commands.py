"""`station calibrate`: belt (pixels to millimetres), speed (encoder against pictures), board (one to print).

Nothing is written into the configuration without a yes.
"""

import difflib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from station.cli import output
from station.cli.camera_commands import save_picture
from station.cli.demo_commands import seconds
from station.clock import SystemClock
from station.config import CameraConfig, StationConfig, config_home, find_config, load_config
from station.errors import CameraError, ConfigError

if TYPE_CHECKING:
    from station.commissioning.belt_calibration import BeltCalibration, Marks
    from station.commissioning.charuco import BoardSpec
    from station.datatypes import BgrImage
    from station.tracking.belt import ViewPlace

app = typer.Typer(
    no_args_is_help=True, help="Measure what the configuration must know. Nothing is written without yes."
)

ConfigFlag = Annotated[Path | None, typer.Option("--config", help="Configuration to calibrate; default: the one found")]
CameraFlag = Annotated[str, typer.Option("--camera", help="Source: index, /dev path, address, or a picture file")]
SpeedCameraFlag = Annotated[
    str, typer.Option("--camera", help="Source: index, /dev path, recording, address; virtual: the simulated line")
]
CameraIdFlag = Annotated[str | None, typer.Option("--id", help="Which [[cameras]] entry; default: the first")]
BoardFlag = Annotated[str, typer.Option("--board", help="Squares of the board, COLUMNSxROWS")]
SquareFlag = Annotated[float, typer.Option("--square-mm", help="Side of a square, measured on the print")]
MarkerFlag = Annotated[float, typer.Option("--marker-mm", help="Side of a marker")]
DictionaryFlag = Annotated[str, typer.Option("--dictionary", help="Of the board's markers")]
YesFlag = Annotated[bool, typer.Option("--yes", help="Write into the configuration without asking")]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout")]

MARK = re.compile(r"^(-?[\d.]+),(-?[\d.]+)=(-?[\d.]+),(-?[\d.]+)$")


@app.command()
@output.told
def belt(
    camera: CameraFlag,
    mark: Annotated[list[str] | None, typer.Option("--mark", help="X,Y=ALONG,LATERAL: px = mm; four or more")] = None,
    board: BoardFlag = "9x6",
    square_mm: SquareFlag = 40.0,
    marker_mm: MarkerFlag = 30.0,
    dictionary: DictionaryFlag = "5x5_100",
    left_mm: Annotated[float | None, typer.Option("--left-mm", help="From the belt's left edge to the board")] = None,
    config: ConfigFlag = None,
    camera_id: CameraIdFlag = None,
    out: Annotated[Path, typer.Option(help="Annotated picture to write")] = Path("belt-calibration.png"),
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Pixels to millimetres, from a ChArUco board on the belt or from marks measured on it."""
    from station.commissioning.calibration_picture import annotate

    path, station = _configured(config)
    entry = _camera_entry(station, camera_id)
    picture = _picture(camera, entry)
    if mark:
        found = _from_marks(mark, entry)
    else:
        found = _from_board(picture, entry, _spec(board, square_mm, marker_mm, dictionary), left_mm)
    save_picture(out, annotate(picture, found))
    keys: dict[str, Any] = {"homography": _rounded(found.homography.tolist())}
    if found.lateral_at_mm is not None:
        keys["lateral_at_mm"] = round(found.lateral_at_mm, 2)
    output.say(f"{found.text}\npicture: {out} (the grid must follow the belt)")
    written = _offer(path, lambda text, why: _with_camera_keys(text, entry.id, keys, why), yes)
    answer = {"schema": "station.calibrate_belt/1", "camera": entry.id, **found.to_json(), "picture": str(out)}
    output.give({**answer, "written": written}, str(path) if written else "", as_json)


@app.command()
@output.told
def speed(
    camera: SpeedCameraFlag,
    port: Annotated[
        str | None,
        typer.Option("--port", help="Controller whose encoder is read, or virtual; none: pictures only"),
    ] = None,
    for_: Annotated[str, typer.Option("--for", help="How long to measure: 10s, 1m")] = "10s",
    config: ConfigFlag = None,
    camera_id: CameraIdFlag = None,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """How far the belt moves per encoder count, cross-checked by the pictures. Let the belt run evenly, best with items."""
    from station.commissioning.speed_session import measure_speed

    path, station = _configured(config)
    entry = _camera_entry(station, camera_id)
    found = measure_speed(station, entry, camera, port, seconds(for_))
    output.say(found.text)
    keys: dict[str, Any] = {}
    if found.agrees:
        keys = {}
    elif found.mm_per_count is not None and found.mm_per_count > 0:
        keys = {"mm_per_count": float(f"{found.mm_per_count:.5g}")}
    elif station.belt.mm_per_count is None:
        keys = {"speed_m_s": float(f"{found.picture_m_s:.4g}")}
    written = bool(keys) and _offer(path, lambda text, why: _with_belt_keys(text, keys, why), yes)
    answer = {"schema": "station.calibrate_speed/1", "camera": entry.id, **found.to_json(), "written": written}
    output.give(answer, str(path) if written else "", as_json)


@app.command("board")
@output.told
def print_board(
    out: Annotated[Path, typer.Argument(help="Picture to write, .png")],
    board: BoardFlag = "9x6",
    square_mm: SquareFlag = 40.0,
    marker_mm: MarkerFlag = 30.0,
    dictionary: DictionaryFlag = "5x5_100",
    dpi: Annotated[float, typer.Option(min=50, max=1200, help="Resolution of the print")] = 150.0,
) -> None:
    """Draw the board for printing; measure a square on the print afterwards."""
    from station.commissioning.charuco import draw_board

    spec = _spec(board, square_mm, marker_mm, dictionary)
    save_picture(out, draw_board(spec, dpi / 25.4))
    output.data(str(out))
    width_mm, height_mm = spec.size_mm
    output.say(f"Print it {width_mm:g} x {height_mm:g} mm ({dpi:g} dpi), glue it on something flat, measure a square.")


def _configured(flag: Path | None) -> tuple[Path, StationConfig]:
    path = find_config(flag, config_home())
    if path is None:
        raise ConfigError("there is no configuration to calibrate. `station config init` writes one.")
    return path, load_config(path)


def _camera_entry(station: StationConfig, camera_id: str | None) -> CameraConfig:
    chosen = [camera for camera in station.cameras if camera_id in (None, camera.id)]
    if not chosen:
        raise ConfigError(f"no camera {camera_id!r}; there are {', '.join(camera.id for camera in station.cameras)}")
    return chosen[0]


def _picture(source: str, entry: CameraConfig) -> "BgrImage":
    """One picture of the size that the configuration expects: a homography holds for one size only."""
    import cv2
    import numpy as np

    from station.capture.recorded import PICTURES
    from station.commissioning.camera_probe import camera_from, one_picture

    if Path(source).suffix.lower() in PICTURES:
        read = cv2.imread(source)
        if read is None:
            raise CameraError(f"{source}: no such picture, or a damaged one")
        picture = np.asarray(read, np.uint8)
    else:
        picture = one_picture(camera_from(source, SystemClock(), entry)).bgr
    height_px, width_px = picture.shape[:2]
    if (width_px, height_px) != (entry.width_px, entry.height_px):
        raise ConfigError(
            f"the picture has {width_px}x{height_px} px, cameras.{entry.id} expects {entry.width_px}x{entry.height_px}: "
            "configure the size the camera gives first"
        )
    return picture


def _place(entry: CameraConfig) -> "ViewPlace":
    from station.tracking.belt import Direction, ViewPlace

    return ViewPlace(entry.width_px, entry.height_px, Direction(entry.travel))


def _spec(board: str, square_mm: float, marker_mm: float, dictionary: str) -> "BoardSpec":
    from station.commissioning.charuco import BoardSpec

    match = re.fullmatch(r"(\d+)x(\d+)", board)
    if match is None:
        raise ConfigError(f"--board {board!r}: give COLUMNSxROWS of squares, for example 9x6")
    return BoardSpec(int(match[1]), int(match[2]), square_mm, marker_mm, dictionary)


def _from_board(
    picture: "BgrImage", entry: CameraConfig, spec: "BoardSpec", left_mm: float | None
) -> "BeltCalibration":
    from station.commissioning.belt_calibration import calibrate_board
    from station.commissioning.charuco import find_board

    return calibrate_board(find_board(picture, spec), _place(entry), spec.size_mm, left_mm)


def _from_marks(marks: list[str], entry: CameraConfig) -> "BeltCalibration":
    from station.commissioning.belt_calibration import calibrate_marks

    return calibrate_marks(parse_marks(marks), _place(entry))


def parse_marks(marks: list[str]) -> "Marks":
    """`X,Y=ALONG,LATERAL`: where in the picture (as an image viewer counts pixels) and where on the belt, in mm."""
    import numpy as np

    from station.commissioning.belt_calibration import Marks

    rows = []
    for mark in marks:
        match = MARK.match(mark.replace(" ", ""))
        try:
            rows.append([float(number) for number in match.groups()] if match else [])
        except ValueError:
            rows.append([])
        if not rows[-1]:
            raise ConfigError(f"--mark {mark!r}: give X,Y=ALONG,LATERAL, pixels = millimetres, for example 100,80=0,50")
    values = np.array(rows, np.float64)
    return Marks(values[:, :2] + 0.5, values[:, 2:])


def _rounded(values: Any) -> Any:
    """Ten significant digits: a micrometre over any belt, and a line that can be read."""
    return [_rounded(value) for value in values] if isinstance(values, list) else float(f"{values:.10g}")


def _with_camera_keys(text: str, camera_id: str, keys: dict[str, Any], why: str) -> str:
    from station.commissioning.config_edit import with_camera_keys

    return with_camera_keys(text, camera_id, keys, why)


def _offer(path: Path, edit: Callable[[str, str], str], yes: bool) -> bool:
    """Show what would change in the file, and change it after a yes."""
    from station.commissioning.config_edit import write_whole

    today = datetime.fromtimestamp(SystemClock().utc_ns() / 1e9, UTC).date().isoformat()
    old = path.read_text(encoding="utf-8")
    new = edit(old, f"station calibrate, {today}")
    difference = difflib.unified_diff(old.splitlines(), new.splitlines(), str(path), str(path), lineterm="", n=1)
    output.say("\n".join(difference))
    if not output.confirmed(f"Write this into {path}?", yes):
        output.say("nothing was written")
        return False
    write_whole(path, new)
    output.say(f"written: {path}")
    return True


def _with_belt_keys(text: str, keys: dict[str, Any], why: str) -> str:
    from station.commissioning.config_edit import with_belt_keys

    return with_belt_keys(text, keys, why)
