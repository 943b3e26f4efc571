"""What a person far away needs to help: versions, configuration without secrets, doctor's findings, last reports and events.

Never pictures, never tokens. What goes in is listed before anybody sends it anywhere.
"""

import json
import platform
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from station.commissioning.findings import Finding, as_text
from station.errors import ConfigError
from station.record.archive import open_archive

LAST_REPORTS = 5
LAST_EVENTS = 5000
PACKAGES = (
    "station", "numpy", "opencv-python", "torch", "torchvision", "openvino", "scipy", "pyserial", "typer",
    "pydantic", "safetensors", "fastapi", "uvicorn", "websockets",
)  # fmt: skip
# Keys whose values are nobody's business, and credentials inside camera addresses (rtsp://user:password@...).
SECRET_KEY = re.compile(r"^(\s*[\w.\"-]*(?:token|password|secret|key)[\w\"-]*\s*=\s*).*$", re.IGNORECASE | re.MULTILINE)
CREDENTIALS = re.compile(r"(://)[^/@\s\"']+@")


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of the bundle."""

    name: str
    content: bytes


def without_secrets(text: str) -> str:
    return CREDENTIALS.sub(r"\1***@", SECRET_KEY.sub(r'\1"***"', text))


def pieces(config: Path | None, records: Path | None, findings: Sequence[Finding]) -> Iterator[Piece]:
    yield Piece("versions.json", json.dumps(versions(), indent=2).encode())
    yield Piece("doctor.txt", without_secrets(as_text(findings)).encode())
    doctor = json.dumps([finding.to_json() for finding in findings], indent=2)
    yield Piece("doctor.json", without_secrets(doctor).encode())
    if config is not None and config.is_file():
        yield Piece("station.toml", without_secrets(config.read_text(encoding="utf-8", errors="replace")).encode())
    if records is not None:
        yield from _history(records)


def versions() -> dict[str, str]:
    """Of the program, Python, the system and the libraries that matter. No host name, no user name."""
    found = {"python": sys.version.split()[0], "system": platform.platform(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _history(records: Path) -> Iterator[Piece]:
    """The newest reports and what happened lately; of a history that cannot be read, why."""
    try:
        with open_archive(records) as archive:
            for run in archive.runs()[:LAST_REPORTS]:
                report = json.dumps(archive.report(run), indent=1)
                yield Piece(f"reports/run-{run.run_id}.json", without_secrets(report).encode())
            lines = [event.to_line() for _, event in archive.events()[-LAST_EVENTS:]]
        yield Piece("events.jsonl", without_secrets("\n".join(lines)).encode())
    except ConfigError as error:
        yield Piece("history.txt", f"{error}\n".encode())


def write_bundle(out: Path, contents: Sequence[Piece]) -> None:
    """A zip with the mode of a private file; an existing one is not overwritten."""
    with out.open("xb") as file:
        out.chmod(0o600)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
            for piece in contents:
                bundle.writestr(piece.name, piece.content)
