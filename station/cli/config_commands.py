"""`station config`: write a configuration to start from, show what is in force and why, check a file, list all keys.

Knows files and origins. The keys themselves are station/config.py's.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from station.cli.output import data, data_json, give, say, table, told
from station.config import (
    StationConfig,
    builtin_text,
    config_home,
    environment_keys,
    find_config,
    load_config,
    search_paths,
)
from station.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Write, show and check the configuration.")

ConfigFlag = Annotated[Path | None, typer.Option("--config", help="Configuration file; default: the one that is found")]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout")]


@app.command()
@told
def init(
    path: Annotated[Path, typer.Argument(help="File to write")] = Path("station.toml"),
    force: Annotated[bool, typer.Option(help="Overwrite an existing file")] = False,
) -> None:
    """Write a commented configuration of a real line to start from."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(builtin_text("station"))
    except FileExistsError:
        raise ConfigError(f"{path}: exists already, nothing was written. --force overwrites it.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None
    data(str(path))
    say("Its figures are those of an example line: measure yours, and decide the lines marked DECIDE.")
    say(f"Then: station config validate {path}, station calibrate belt, station doctor")


@app.command()
@told
def show(
    config: ConfigFlag = None,
    origin: Annotated[bool, typer.Option("--origin", help="Also say where each value comes from")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show every value in force: of the file, the environment, or the default."""
    environ = config_home()
    path = find_config(config, environ)
    if path is None:
        places = ", ".join(str(place) for place in search_paths(environ))
        raise ConfigError(f"no configuration found (looked for {places}). `station config init` writes one.")
    values = dict(_flat(load_config(path, environ).model_dump(mode="json")))
    origins = origin_of(values, tomllib.loads(path.read_text(encoding="utf-8")), environ)
    if as_json:
        answer: dict[str, Any] = {"schema": "station.config/1", "file": str(path), "values": values}
        data_json({**answer, "origin": origins} if origin else answer)
        return
    rows = [[key, _toml(value), *([origins[key]] if origin else [])] for key, value in values.items()]
    say(f"configuration file: {path}")
    data(table(["key", "value", *(["origin"] if origin else [])], rows))


@app.command()
@told
def validate(file: Annotated[Path, typer.Argument(help="File to check")], as_json: JsonFlag = False) -> None:
    """Check a file: every key, every range, and that the gates are far enough from the camera. Exit 2 if wrong."""
    from station.commissioning.geometry import check_geometry

    config = load_config(find_config(file, {}) or file)
    report = check_geometry(config)
    answer = {"schema": "station.config_check/1", "file": str(file), "valid": True, "geometry": report.to_json()}
    give(answer, f"{file}: valid\n{report.text}", as_json)


@app.command()
@told
def schema(as_json: JsonFlag = False) -> None:
    """List every key with its type, range and default."""
    full = StationConfig.model_json_schema()
    if as_json:
        data_json(full)
    else:
        data(table(["key", "type", "range", "default"], list(_keys(full, full, ""))))


def origin_of(values: dict[str, Any], in_file: dict[str, Any], environ: dict[str, str]) -> dict[str, str]:
    """For each flat key: "default", "file" or the environment variable that set it."""
    flat_file = {key for key, _ in _flat(in_file)}
    by_environment = {".".join(key): name for name, key in environment_keys(environ).items()}
    origins = {}
    for key in values:
        variable = next((name for dotted, name in by_environment.items() if _within(key, dotted)), None)
        origins[key] = variable or ("file" if key in flat_file else "default")
    return origins


def _within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as dotted keys; tables in a list by number; lists of plain values stay whole."""
    if isinstance(values, dict):
        pairs = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list) and values and all(isinstance(value, dict) for value in values):
        pairs = [(str(number), value) for number, value in enumerate(values)]
    else:
        yield prefix, values
        return
    if not pairs and prefix:
        yield prefix, values
    for key, value in pairs:
        yield from _flat(value, f"{prefix}.{key}" if prefix else key)


def _toml(value: Any) -> str:
    """As it would stand in the file; what TOML cannot say is a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _keys(full: dict[str, Any], section: dict[str, Any], prefix: str) -> Iterator[list[str]]:
    """Rows of key, type, range, default, from the JSON schema; sections are followed to their keys."""
    for name, entry in section.get("properties", {}).items():
        key, inner = _inner(full, f"{prefix}{name}", entry)
        if "properties" in inner:
            yield from _keys(full, inner, f"{key}.")
        else:
            given = entry.get("default")
            default = "(required)" if name in section.get("required", []) else _toml(given)
            yield [key, _type_of(inner), _range_of(inner), default]


def _inner(full: dict[str, Any], key: str, entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Follow references, options and tables to what stands at the end; the key says what was passed."""
    while True:
        if "$ref" in entry:
            entry = full["$defs"][entry["$ref"].rsplit("/", 1)[1]]
        elif "anyOf" in entry:
            entry = next(option for option in entry["anyOf"] if option.get("type") != "null")
        elif isinstance(entry.get("additionalProperties"), dict):
            key, entry = f"{key}.NAME", entry["additionalProperties"]
        elif entry.get("type") == "array" and "$ref" in entry.get("items", {}):
            key, entry = f"{key}.N", entry["items"]
        else:
            return key, entry


def _type_of(entry: dict[str, Any]) -> str:
    if "enum" in entry:
        return " | ".join(_toml(value) for value in entry["enum"])
    return str(entry.get("type", "any"))


def _range_of(entry: dict[str, Any]) -> str:
    low = f">= {entry['minimum']:g}" if "minimum" in entry else ""
    above = f"> {entry['exclusiveMinimum']:g}" if "exclusiveMinimum" in entry else ""
    high = f"<= {entry['maximum']:g}" if "maximum" in entry else ""
    below = f"< {entry['exclusiveMaximum']:g}" if "exclusiveMaximum" in entry else ""
    return ", ".join(part for part in (low, above, high, below, entry.get("pattern", "")) if part)
