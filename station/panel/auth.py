"""Who may look and who may command: address, tokens, cookie, Host and Origin rules, as plain functions and values.

Knows nothing of routes, sockets or pictures. Rules: loopback may look freely; every other address needs a token file and a
token even to look; a command always needs the operator's token (or the cookie it was traded for).
"""

import hashlib
import hmac
import ipaddress
import json
import os
import re
import secrets
import stat
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from urllib.parse import urlsplit

from station.errors import ConfigError

COOKIE_LIFE_S = 12 * 3600  # a shift; then the token is asked for again
MAX_WRONG_TOKENS_PER_MINUTE = 10


class Role(IntEnum):
    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Tokens:
    operator: str
    viewer: str

    def role_of(self, token: str) -> Role:
        """Both are compared, always, in constant time: the answer's delay says nothing."""
        operator = hmac.compare_digest(token.encode(), self.operator.encode())
        viewer = hmac.compare_digest(token.encode(), self.viewer.encode())
        return Role.OPERATOR if operator else Role.VIEWER if viewer else Role.NOBODY


@dataclass(frozen=True, slots=True)
class Access:
    """Everything the door needs to know; picklable, so that a restarted panel honours yesterday's cookies."""

    tokens: Tokens
    port: int
    free_to_look: bool  # bound to loopback: whoever sits at this machine may look
    allowed_hosts: tuple[str, ...] = ()

    @property
    def cookie_name(self) -> str:
        return f"station_{self.port}"  # cookies ignore ports: two stations on one machine must not share one

    def host_allowed(self, host: str) -> bool:
        """A rebound name is refused: an IP address cannot be rebound, a name must be one we know."""
        name = _host_name(host)
        if name == "localhost" or name in self.allowed_hosts:
            return True
        address = _ip(name)
        return address is not None and (address.is_loopback or not self.free_to_look)

    def origin_allowed(self, origin: str | None, host: str) -> bool:
        """No Origin: not a browser page. With one, only the page we served ourselves."""
        return origin is None or origin in (f"http://{host}", f"https://{host}")

    def cookie_for(self, role: Role, now_s: int) -> str:
        claim = f"{role.name.lower()}.{now_s + COOKIE_LIFE_S}"
        return f"{claim}.{self._mac(claim)}"

    def role_of_cookie(self, cookie: str, now_s: int) -> Role:
        parts = cookie.split(".")
        if len(parts) != 3 or not cookie.isascii():
            return Role.NOBODY
        claim = f"{parts[0]}.{parts[1]}"
        if not hmac.compare_digest(parts[2], self._mac(claim)) or not parts[1].isdigit() or int(parts[1]) < now_s:
            return Role.NOBODY
        return Role[parts[0].upper()]

    def _mac(self, claim: str) -> str:
        key = f"{self.tokens.operator}/{self.tokens.viewer}".encode()
        return hmac.new(key, f"{self.cookie_name}.{claim}".encode(), hashlib.sha256).hexdigest()


@dataclass(slots=True)
class WrongTokens:
    """Counts wrong tokens per client address; too many in a minute and nobody there is listened to for a while."""

    _wrong_s: dict[str, deque[float]] = field(default_factory=dict)

    def refused(self, client: str, now_s: float) -> bool:
        times = self._wrong_s.get(client)
        while times and times[0] < now_s - 60:
            times.popleft()
        if times is not None and not times:
            del self._wrong_s[client]
        return bool(times) and len(times or ()) >= MAX_WRONG_TOKENS_PER_MINUTE

    def add(self, client: str, now_s: float) -> None:
        if len(self._wrong_s) > 1000:  # somebody plays with addresses: forget the oldest
            del self._wrong_s[next(iter(self._wrong_s))]
        self._wrong_s.setdefault(client, deque(maxlen=MAX_WRONG_TOKENS_PER_MINUTE)).append(now_s)


def split_address(http: str) -> tuple[str, int]:
    """ "127.0.0.1:8384" or "[::1]:8384" in parts; port 0 takes any free one."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\[\]\s]+):(\d{1,5})", http)
    if match is None or int(match[2]) > 65535:
        raise ConfigError(f"panel.http = {http!r}: give HOST:PORT (for example 127.0.0.1:8384), or off.")
    return match[1].strip("[]"), int(match[2])


def is_loopback(host: str) -> bool:
    address = _ip(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def check_address(host: str, token_file: str | None) -> None:
    """Refuse to be reachable from other machines without a token that outlives this run."""
    if not is_loopback(host) and token_file is None:
        raise ConfigError(
            f"panel.http: {host} can be reached from other machines, and panel.token_file is not set. "
            "Set panel.token_file to a path (it is made with mode 0600), or use 127.0.0.1."
        )


def default_token_file(port: int, environ: dict[str, str]) -> Path:
    """Where the page's address and tokens of a running station are kept for the commands beside it."""
    run = environ.get("XDG_RUNTIME_DIR")
    base = Path(run) if run else Path(environ.get("HOME") or "~").expanduser() / ".local" / "state"
    return base / "station" / f"panel-{port}.json"


def load_or_make_tokens(path: Path) -> Tokens:
    """The tokens in `path`; made when there is no file. A file that others can read is no secret and is refused."""
    try:
        mode = path.stat().st_mode
        values = json.loads(path.read_text(encoding="utf-8"))
        tokens = Tokens(operator=values["operator"], viewer=values["viewer"])
    except FileNotFoundError:
        return Tokens(operator=secrets.token_urlsafe(24), viewer=secrets.token_urlsafe(24))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a token file ({error}). Remove it; a new one is made.") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{path}: other users can read it (mode {stat.S_IMODE(mode):04o}). chmod 600, or remove it.")
    if not all(isinstance(token, str) and len(token) >= 16 for token in (tokens.operator, tokens.viewer)):
        raise ConfigError(f"{path}: a token shorter than 16 characters is no protection. Remove it; a new one is made.")
    return tokens


def save_tokens(path: Path, tokens: Tokens, **facts: str | int) -> None:
    """Write the tokens with mode 0600 and some facts beside them (url, pid), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps({**facts, "operator": tokens.operator, "viewer": tokens.viewer}, indent=1)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    fresh.replace(path)


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _ip(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
