"""The door of the panel: an ASGI layer that checks Host, Origin, role and form of every request before any route sees it.

Starlette accepts a foreign Origin on a WebSocket and a rebound Host out of the box; here nothing does. Knows the rules of
`auth`; knows nothing of what the routes do.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias

from station.clock import Clock
from station.panel.auth import Access, Role, WrongTokens

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 4096
OPEN_PATHS = frozenset({"/", "/api/v1/session"})  # the page itself and the way in; files under /pages/ too
SAFE_METHODS = frozenset({"GET", "HEAD"})
SECURITY_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Refusal(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Door:
    def __init__(self, app: App, access: Access, clock: Clock) -> None:
        self._app = app
        self._access = access
        self._clock = clock
        self._wrong_tokens = WrongTokens()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            headers = _single_valued(scope["headers"])
            self._check_source(headers, scope.get("method", ""))
            scope["station_role"] = self._role(scope, headers)
            self._check_role(scope)
            if scope["type"] == "http":
                _check_form(scope["method"], headers)
        except Refusal as refusal:
            await _refuse(scope, send, refusal)
            return
        await self._app(scope, receive, _with_security_headers(send))

    def _check_source(self, headers: dict[str, str], method: str) -> None:
        host = headers.get("host", "")
        if not self._access.host_allowed(host):
            raise Refusal(421, f"this station is not called {host!r}; add the name to panel.allowed_hosts if it is")
        origin_ok = self._access.origin_allowed(headers.get("origin"), host)
        if not origin_ok or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A link on another site may open the page, and nothing else: no data and no command goes to a foreign page.
            navigates = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            if navigates and origin_ok and method == "GET":
                return
            raise Refusal(403, "requests from other sites are refused")

    def _role(self, scope: Scope, headers: dict[str, str]) -> Role:
        """The best role the request can show; a wrong token is an error, not a visitor."""
        client = (scope.get("client") or ("unknown", 0))[0]
        now_s = self._clock.utc_ns() // 1_000_000_000
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if token:
            if self._wrong_tokens.refused(client, now_s):
                raise Refusal(429, "too many wrong tokens; wait a minute")
            role = self._access.tokens.role_of(token.strip()) if scheme.lower() == "bearer" else Role.NOBODY
            if role is Role.NOBODY:
                self._wrong_tokens.add(client, now_s)
                raise Refusal(401, "wrong token")
            return role
        role = self._access.role_of_cookie(_cookie(headers, self._access.cookie_name), now_s)
        return max(role, Role.VIEWER) if self._access.free_to_look else role

    def _check_role(self, scope: Scope) -> None:
        path, role = scope["path"], scope["station_role"]
        if path in OPEN_PATHS or path.startswith("/pages/"):
            return
        changes = scope["type"] == "http" and scope["method"] not in SAFE_METHODS
        if changes and role < Role.OPERATOR:
            raise Refusal(401 if role is Role.NOBODY else 403, "commands need the operator's token")
        if role < Role.VIEWER:
            raise Refusal(401, "a token is needed to look")


def _check_form(method: str, headers: dict[str, str]) -> None:
    """A command is JSON with our own header: no HTML form and no simple cross-site request can look like that."""
    if method in SAFE_METHODS:
        return
    if headers.get("x-station") != "1":
        raise Refusal(403, "the header X-Station: 1 is missing")
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "commands are application/json")
    length = headers.get("content-length", "")
    if not length.isdigit():
        raise Refusal(411, "say how long the body is")
    if int(length) > MAX_BODY_BYTES:
        raise Refusal(413, f"a command has at most {MAX_BODY_BYTES} bytes")


def _single_valued(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name. Two Hosts or two Origins are an attack on whoever reads the other one."""
    headers: dict[str, str] = {}
    for name_bytes, value in raw:
        name = name_bytes.decode("latin-1").lower()
        if name in headers and name in ("host", "origin", "authorization", "x-station", "content-length"):
            raise Refusal(400, f"header {name} given twice")
        text = value.decode("latin-1")
        headers[name] = f"{headers[name]}; {text}" if name in headers else text
    return headers


def _cookie(headers: dict[str, str], name: str) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)})  # before accept: HTTP 403
        return
    body = json.dumps({"error": str(refusal)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *SECURITY_HEADERS]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with_security_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *SECURITY_HEADERS]
        await send(message)

    return wrapped
