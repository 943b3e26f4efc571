"""`station cameras`: find the cameras, save a test picture, measure what one really does."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from station.cli import output
from station.cli.demo_commands import seconds
from station.clock import SystemClock
from station.config import CameraConfig, config_home, find_config, load_config
from station.errors import ConfigError

if TYPE_CHECKING:
    from station.datatypes import BgrImage

app = typer.Typer(no_args_is_help=True, help="Find cameras, save a test picture, measure one.")

SourceArgument = Annotated[str, typer.Argument(metavar="SRC", help="Index, /dev path, address, file or folder")]
ConfigFlag = Annotated[Path | None, typer.Option("--config", help="Ask the camera for the settings of this file")]
CameraIdFlag = Annotated[str | None, typer.Option("--id", help="Which [[cameras]] entry; default: the first")]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout")]


@app.command("list")
@output.told
def list_cameras(as_json: JsonFlag = False) -> None:
    """List the cameras of this computer, each with the name that stays when others are plugged in."""
    from station.commissioning.camera_checks import video_devices

    found = video_devices()
    if as_json:
        output.data_json({"schema": "station.cameras/1", "cameras": found})
        return
    if not found:
        output.say("No camera is attached to this computer. Network cameras are given by address: rtsp://...")
        return
    rows = [[each["device"], each["usable"], each["name"], each["stable"] or "-"] for each in found]
    output.data(output.table(["device", "usable", "name", "stable name for --camera"], rows))


@app.command()
@output.told
def preview(
    source: SourceArgument,
    out: Annotated[Path, typer.Option(help="Picture to write")] = Path("preview.png"),
    config: ConfigFlag = None,
    camera_id: CameraIdFlag = None,
) -> None:
    """Save one picture, taken after the exposure has settled."""
    from station.commissioning.camera_probe import camera_from, one_picture

    frame = one_picture(camera_from(source, SystemClock(), configured(config, camera_id)))
    save_picture(out, frame.bgr)
    height_px, width_px = frame.bgr.shape[:2]
    output.data(str(out))
    output.say(f"{width_px}x{height_px} px")


@app.command()
@output.told
def probe(
    source: SourceArgument,
    for_: Annotated[str, typer.Option("--for", help="How long to measure: 5s, 1m")] = "5s",
    config: ConfigFlag = None,
    camera_id: CameraIdFlag = None,
    picture: Annotated[Path | None, typer.Option(help="Also save the last picture")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure rate, evenness, age of the pictures; read the settings back; name the camera so that the name stays."""
    from station.commissioning.camera_checks import stable_name
    from station.commissioning.camera_probe import camera_from
    from station.commissioning.camera_probe import probe as measure

    clock = SystemClock()
    seen = measure(camera_from(source, clock, configured(config, camera_id)), clock, round(seconds(for_) * 1e9))
    if picture is not None:
        save_picture(picture, seen.last)
    stable = stable_name(source)
    words = f"{seen.text}\n  stable name for --camera: {stable}" if stable else seen.text
    output.give({"schema": "station.camera_probe/1", "stable_name": stable, **seen.to_json()}, words, as_json)


def configured(flag: Path | None, camera_id: str | None) -> CameraConfig | None:
    """The entry of the configuration to ask the camera for; None when no configuration is named."""
    if flag is None:
        if camera_id is not None:
            raise ConfigError("--id names an entry of a configuration: give --config too")
        return None
    environ = config_home()
    path = find_config(flag, environ)
    assert path is not None  # a named file is found or refused
    cameras = load_config(path, environ).cameras
    if camera_id is None:
        return cameras[0]
    chosen = next((camera for camera in cameras if camera.id == camera_id), None)
    if chosen is None:
        raise ConfigError(f"{path}: no camera {camera_id!r}; there are {', '.join(camera.id for camera in cameras)}")
    return chosen


def save_picture(path: Path, bgr: "BgrImage") -> None:
    """Write a picture in the format of its name, whole or not at all. OpenCV alone would fail in silence."""
    import cv2

    try:
        done, coded = cv2.imencode(path.suffix or ".png", bgr)
    except cv2.error:
        done, coded = False, None
    if not done or coded is None:
        raise ConfigError(f"{path}: pictures of kind {path.suffix!r} cannot be written; use .png or .jpg")
    path.write_bytes(coded.tobytes())
