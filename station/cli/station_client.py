"""Talks to a running station over its local page: finds it, shows the token, asks and commands. Standard library only.

Knows addresses, token files and the API's answers; prints nothing.
"""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from station.config import find_config, load_config
from station.errors import ConfigError, StationError
from station.panel.auth import default_token_file, split_address

TIMEOUT_S = 3.0


class NoStation(StationError):
    """Nothing answers where a running station should be."""


@dataclass(frozen=True, slots=True)
class Station:
    """Where a running station listens, and what lets us command it."""

    url: str
    token: str | None
    name: str = ""

    def get(self, path: str) -> dict[str, Any]:
        return self._ask(path, None)

    def command(self, command: str, **details: str | float) -> dict[str, Any]:
        """Hand a command over; the answer has the state it was given in. Raises StationError when it is refused."""
        if self.token is None:
            raise ConfigError(f"{self.url}: its token file was not found; commands need it. Give --token-file.")
        return self._ask("/api/v1/commands", {"command": command, **details})

    def _ask(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        headers = {"X-Station": "1", "Accept": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url.rstrip("/") + path, data, headers)
        try:
            # A proxy for the outside world has no business between us and a station on this machine.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=TIMEOUT_S) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise StationError(f"{self.url} refuses: {_why(error)} (HTTP {error.code})") from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise NoStation(f"no station answers at {self.url}: {_plain(reason)}") from None
        except ValueError:
            raise NoStation(f"{self.url} answers, but not like a station: is another program on that port?") from None
        if not isinstance(answer, dict):
            raise NoStation(f"{self.url} answers, but not like a station: is another program on that port?")
        return answer


def find_station(http: str | None, token_file: Path | None, config: Path | None, environ: dict[str, str]) -> Station:
    """The station at `http`, else the configured one, else the only one that runs here. Raises NoStation, ConfigError."""
    if http is not None:
        return _at(http, token_file, environ)
    path = find_config(config, environ)
    if path is not None:
        panel = load_config(path, environ).panel
        if panel.http != "off":
            named = token_file or (Path(panel.token_file).expanduser() if panel.token_file else None)
            configured = _at(panel.http, named, environ)
            if config is not None or _alive(configured):
                return configured
    running = [station for station in _advertised(environ) if _alive(station)]
    if not running:
        raise NoStation(
            "no station runs here (or its page is off). Start one with `station run`, or give --http HOST:PORT."
        )
    if len(running) > 1:
        places = ", ".join(f"{station.name} at {station.url}" for station in running)
        raise ConfigError(f"{len(running)} stations run here: {places}. Choose with --http HOST:PORT.")
    return running[0]


def _at(http: str, token_file: Path | None, environ: dict[str, str]) -> Station:
    host, port = split_address(http)
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    facts = _facts(token_file or default_token_file(port, environ), named=token_file is not None)
    return Station(url, facts.get("operator"), str(facts.get("station", "")))


def _advertised(environ: dict[str, str]) -> Iterator[Station]:
    """Every station that has left its address and token where commands look for them; some may have ended since."""
    for path in sorted(default_token_file(0, environ).parent.glob("panel-*.json")):
        facts = _facts(path, named=False)
        if "url" in facts:
            yield Station(str(facts["url"]).rstrip("/"), facts.get("operator"), str(facts.get("station", "")))


def _facts(path: Path, *, named: bool) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return dict(values)
    except FileNotFoundError:
        if named:
            raise ConfigError(f"{path}: no such token file; the station writes it when its page starts.") from None
        return {}
    except PermissionError:
        raise ConfigError(
            f"{path}: not yours to read: command the station as the user it runs as, or with sudo."
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: not a token file ({error})") from None


def _alive(station: Station) -> bool:
    try:
        station.get("/api/v1/state")
    except NoStation:
        return False
    except StationError:
        return True  # it answers, and refuses
    return True


def _why(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)


def _plain(reason: object) -> str:
    if isinstance(reason, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(reason, (TimeoutError, socket.timeout)):
        return f"no answer within {TIMEOUT_S:g} s"
    return str(getattr(reason, "strerror", None) or reason)
