"""Does each camera give what the configuration counts on: size, rate, settings, trustworthy stamps, a usable picture?"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from station.clock import Clock
from station.commissioning.camera_probe import DARK_LEVEL, GLARING_LEVEL, CameraProbe, camera_from, probe
from station.commissioning.findings import Finding, failed, passed, warned
from station.config import CameraConfig, StationConfig
from station.errors import CameraError

PROBE_NS = 2_000_000_000
SLOW_SHARE = 0.95  # of the configured rate
OLD_MS = 100.0


def camera_findings(source: str, clock: Clock, config: CameraConfig | None) -> Iterator[Finding]:
    if source.startswith("/dev/") and os.path.exists(source) and not os.access(source, os.R_OK | os.W_OK):
        fix = "sudo usermod -aG video $USER, then log in again"
        yield failed("camera", f"{source}: no permission ({os.strerror(errno.EACCES)})", fix)
        return
    try:
        seen = probe(camera_from(source, clock, config), clock, PROBE_NS)
    except CameraError as error:
        yield failed("camera", str(error), "station cameras list")
        return
    yield passed("camera", seen.text)
    yield from judge(seen, config)


def cameras_unseen(config: StationConfig | None, root: Path = Path("/")) -> Finding:
    """Doctor was not told which camera: say so, or its silence reads as health."""
    there = [camera["stable"] or camera["device"] for camera in video_devices(root)]
    wanted = len(config.cameras) if config is not None else 1
    if len(there) < wanted:
        message = (
            f"{len(there)} cameras are plugged in (V4L2), the configuration describes {wanted}; none was looked at"
        )
        fix = "plug it in (`station cameras list`); of a network camera give the address: doctor --camera rtsp://..."
        return warned("camera", message, fix)
    message = f"none was looked at; plugged in: {', '.join(there)}"
    return warned("camera", message, f"doctor {' '.join(f'--camera {name}' for name in there[:wanted])}")


def judge(seen: CameraProbe, config: CameraConfig | None) -> Iterator[Finding]:
    """What the figures mean for sorting."""
    source = seen.info.source
    if config is not None:
        yield from _against(seen, config)
    for refused in seen.info.warnings:
        yield warned("camera settings", f"{source}: {refused}", "set it at the camera, or configure what it gives")
    bad = {word: count for word, count in seen.freshness.items() if word != "ok"}
    if seen.info.live and sum(bad.values()) * 10 > seen.frames:
        words = ", ".join(f"{count} {word}" for word, count in bad.items())
        yield failed(
            "camera pictures", f"{source}: {words} of {seen.frames} frames", "check cable, power and USB bandwidth"
        )
    if not DARK_LEVEL <= seen.brightness <= GLARING_LEVEL:
        word = "dark" if seen.brightness < DARK_LEVEL else "glaring"
        fix = "check lamp, lens cap and exposure: `station cameras preview` saves a picture"
        yield warned("camera light", f"{source}: the picture is {word} (mean {seen.brightness:.0f} of 255)", fix)
    if seen.age_p99_ms is not None and seen.age_p99_ms > OLD_MS:
        message = f"{source}: pictures are up to {seen.age_p99_ms:.0f} ms old when they arrive"
        yield warned("camera age", message, "raise budget.latency_ms by it, or use a camera with shorter buffers")


def _against(seen: CameraProbe, config: CameraConfig) -> Iterator[Finding]:
    info = seen.info
    if (info.width_px, info.height_px) != (config.width_px, config.height_px):
        asked = f"cameras.{config.id}.width_px, height_px = {config.width_px}x{config.height_px}"
        message = f"{info.source} gives {info.width_px}x{info.height_px} px, {asked}: the calibration would not hold"
        yield failed("camera size", message, "configure the size it gives and run `station calibrate belt`")
    if info.live and seen.fps < SLOW_SHARE * config.fps:
        message = f"{info.source} gives {seen.fps:.1f} fps, cameras.{config.id}.fps = {config.fps:g}: fewer looks than planned"
        yield warned(
            "camera rate", message, "more light or a shorter exposure, a faster USB port, or configure that fps"
        )


def video_devices(root: Path = Path("/")) -> list[dict[str, str]]:
    """The V4L2 devices that give pictures, each with the name that stays when others are plugged in."""
    found = []
    for entry in sorted((root / "sys/class/video4linux").glob("video*"), key=lambda path: int(path.name[5:])):
        if _text(entry / "index") not in ("", "0"):
            continue  # a second node of the same camera: metadata, no pictures
        device = root / "dev" / entry.name
        links = [link for kind in ("by-id", "by-path") for link in sorted((root / "dev/v4l" / kind).glob("*"))]
        stable = next((link for link in links if link.resolve() == device.resolve()), None)
        found.append(
            {
                "device": f"/dev/{entry.name}",
                "name": _text(entry / "name"),
                "stable": f"/{stable.relative_to(root)}" if stable else "",
                "usable": "yes" if os.access(device, os.R_OK | os.W_OK) else "no permission",
            }
        )
    return found


def stable_name(source: str, root: Path = Path("/")) -> str | None:
    """Of a camera given by number or /dev path: the name it keeps when others are plugged in. None when there is no other."""
    device = f"/dev/video{int(source)}" if source.isdecimal() else source
    found = next((each["stable"] for each in video_devices(root) if each["device"] == device), "")
    return found or None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
