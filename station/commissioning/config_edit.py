"""Changes a few keys in a configuration file and leaves every other line, comments included, as the plant wrote it.

Knows just enough of TOML to find a table and a key. What it has written is parsed again and must differ in exactly the keys
that were to change; otherwise nothing is written.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from station.config import parse_config
from station.errors import ConfigError

TABLE = re.compile(r"^\s*\[\[?\s*[A-Za-z_]")  # a header; rows of an array of numbers begin with a bracket too
CAMERAS = re.compile(r"^\s*\[\[\s*cameras\s*\]\]")
BELT = re.compile(r"^\s*\[\s*belt\s*\]")


def with_camera_keys(text: str, camera_id: str, keys: Mapping[str, Any], why: str) -> str:
    """The text with these keys set in the [[cameras]] table of that id; `why` goes beside them as a comment."""
    starts = [number for number, line in enumerate(text.splitlines()) if CAMERAS.match(line)]
    for start in starts:
        table = _table(text.splitlines(), start)
        if _id_of(table) == camera_id:
            return _checked(text, _replaced(text, start, keys, why), ("cameras", camera_id), keys)
    raise ConfigError(
        f"the configuration has no [[cameras]] table with id = {camera_id!r} to write into. Add it, or paste these lines:\n"
        + "\n".join(_assignments(keys, why))
    )


def with_belt_keys(text: str, keys: Mapping[str, Any], why: str) -> str:
    start = next((number for number, line in enumerate(text.splitlines()) if BELT.match(line)), None)
    if start is None:
        raise ConfigError("the configuration has no [belt] table to write into. Paste these lines:\n"
                          + "\n".join(_assignments(keys, why)))  # fmt: skip
    return _checked(text, _replaced(text, start, keys, why), ("belt", None), keys)


def write_whole(path: Path, text: str) -> None:
    """The new text or the old one, never half of it; the file's mode stays."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(path.stat().st_mode & 0o7777)
        fresh.replace(path.resolve())
    finally:
        fresh.unlink(missing_ok=True)


def _table(lines: list[str], start: int) -> list[str]:
    end = next((n for n in range(start + 1, len(lines)) if TABLE.match(lines[n])), len(lines))
    return lines[start:end]


def _id_of(table: list[str]) -> str:
    for line in table:
        match = re.match(r"""^\s*id\s*=\s*["']([^"']*)["']""", line)
        if match:
            return match[1]
    return "camera0"  # the default of CameraConfig


def _replaced(text: str, start: int, keys: Mapping[str, Any], why: str) -> str:
    lines = text.splitlines()
    table = _table(lines, start)
    kept = _without(table, set(keys))
    # Before the blank lines and comments that lead over to the next table.
    last = max(n for n, line in enumerate(kept) if line.strip() and not line.lstrip().startswith("#"))
    new = [*kept[: last + 1], *_assignments(keys, why), *kept[last + 1 :]]
    return "\n".join([*lines[:start], *new, *lines[start + len(table) :]]) + "\n"


def _without(table: list[str], keys: set[str]) -> list[str]:
    """The table's lines without these keys, arrays over several lines included."""
    kept, depth = [], 0
    for line in table:
        if depth > 0:
            depth += _brackets(line)
            continue
        match = re.match(r"^\s*([A-Za-z0-9_]+)\s*=(.*)$", line)
        if match and match[1] in keys:
            depth = _brackets(match[2])
            continue
        kept.append(line)
    return kept


def _brackets(text: str) -> int:
    """How many more arrays open than close; the values that are replaced hold no strings with brackets."""
    code = text.split("#", 1)[0]
    return code.count("[") - code.count("]")


def _assignments(keys: Mapping[str, Any], why: str) -> list[str]:
    return [f"{key} = {_toml(value)}  # {why}" for key, value in keys.items()]


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return repr(float(value)) if isinstance(value, (int, float)) else f'"{value}"'


def _checked(old: str, new: str, place: tuple[str, str | None], keys: Mapping[str, Any]) -> str:
    before, after = (parse_config(text, "the new configuration", {}).model_dump(mode="json") for text in (old, new))
    section, camera_id = place
    table = before[section]
    if camera_id is not None:
        table = next(camera for camera in table if camera["id"] == camera_id)
    table.update({key: _plain(value) for key, value in keys.items()})
    if before != after:
        raise ConfigError("the file is written in a way this program cannot change safely. Paste these lines yourself:\n"
                          + "\n".join(_assignments(keys, "calibrated")))  # fmt: skip
    return new


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else float(value)
