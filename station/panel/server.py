"""The routes of the panel: the page, two WebSockets, a small JSON API and the metrics.

Knows the board, the hub and a way to hand commands on; knows nothing of processes, pipes or cameras. Every request has
passed the `Door` before it arrives here.
"""

import asyncio
import contextlib
import json
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from station.clock import Clock
from station.panel.auth import Access, Role, WrongTokens
from station.panel.door import Door
from station.panel.live import LiveHub, StateBoard, Viewer, pack
from station.panel.metrics_text import metrics_text

STOPPING = ("stop", "abort")  # on their own path, never refused for being late
LATE_AFTER_NS = 2_000_000_000  # the page has said by then that a command did not arrive: it must not happen after all
STATE_PERIOD_S = 0.2
SHORTEST_STATE_PERIOD_S = 0.1  # however often something urgent changes

CommandName = Literal["start", "hold", "unhold", "stop", "reset", "clear", "abort", "acknowledge", "shelve", "unshelve"]


class CommandBody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    command: CommandName
    alarm: str | None = Field(default=None, max_length=64)  # which one, for acknowledge, shelve and unshelve
    minutes: float | None = Field(default=None, gt=0, le=480)  # for shelve
    asked_ns: int | None = None  # when the button was pressed, by the station's clock as the sender knows it


class TokenBody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    token: str = Field(max_length=200)


@dataclass(frozen=True, slots=True)
class Outbox:
    """How commands leave the panel. Both answer False when the station does not take them."""

    stop: Callable[[dict[str, Any]], bool]  # its own path, straight to the link; for ABORT too
    command: Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Panel:
    """What the routes share."""

    board: StateBoard
    hub: LiveHub
    outbox: Outbox
    access: Access
    clock: Clock

    def take_command(self, body: CommandBody, client: str) -> bool:
        wish = body.model_dump(exclude_none=True, exclude={"asked_ns"})
        entry = {**wish, "from": client, "utc_ns": self.clock.utc_ns(), "at_ns": self.clock.now_ns()}
        leave = self.outbox.stop if body.command in STOPPING else self.outbox.command
        taken = leave(entry)
        self.board.note_command({**entry, "taken": taken})
        return taken

    def comes_too_late(self, body: CommandBody) -> bool:
        """It waited somewhere, behind a slow link or a panel that was starting: who asked has given it up since.

        A moment that is yet to come is from another boot's clock: nobody knows how old such a wish is.
        """
        if body.asked_ns is None or body.command in STOPPING:
            return False
        return abs(self.clock.now_ns() - body.asked_ns) > LATE_AFTER_NS


def build_app(panel: Panel) -> Door:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_page(app)
    _add_session(app, panel)
    _add_api(app, panel)
    _add_commands(app, panel)
    _add_sockets(app, panel)
    return Door(app, panel.access, panel.clock)


# -- the page ------------------------------------------------------------------------------------------------------------


def _page_files() -> dict[str, tuple[bytes, str]]:
    """Every file of the page, read once: what is not in this table cannot be asked for."""
    folder = resources.files("station.panel") / "pages"
    return {
        file.name: (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
        for file in folder.iterdir()
        if file.is_file()
    }


def _add_page(app: FastAPI) -> None:
    files = _page_files()

    @app.get("/")
    async def page() -> Response:
        return Response(files["index.html"][0], media_type="text/html; charset=utf-8")

    @app.get("/pages/{name}")
    async def page_file(name: str) -> Response:
        if name not in files:
            return JSONResponse({"error": "no such file"}, status_code=404)
        content, kind = files[name]
        return Response(content, media_type=kind)


# -- who is looking ------------------------------------------------------------------------------------------------------


def _add_session(app: FastAPI, panel: Panel) -> None:
    """A token is traded for a cookie that scripts cannot read and other sites cannot send."""
    wrong_tokens = WrongTokens()
    access = panel.access

    @app.get("/api/v1/session")
    async def session(request: Request) -> Response:
        return JSONResponse({"role": request.scope["station_role"].name.lower()})

    @app.post("/api/v1/session")
    async def sign_in(request: Request) -> Response:
        now_s = panel.clock.utc_ns() // 1_000_000_000
        client = _client(request)
        if wrong_tokens.refused(client, now_s):
            return JSONResponse({"error": "too many wrong tokens; wait a minute"}, status_code=429)
        try:
            role = access.tokens.role_of(TokenBody.model_validate_json(await request.body()).token)
        except ValidationError:
            role = Role.NOBODY
        if role is Role.NOBODY:
            wrong_tokens.add(client, now_s)
            return JSONResponse({"error": "wrong token"}, status_code=401)
        response = JSONResponse({"role": role.name.lower()})
        cookie = access.cookie_for(role, now_s)
        response.set_cookie(access.cookie_name, cookie, httponly=True, samesite="strict", max_age=12 * 3600)
        return response


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _who(request: Request) -> str:
    """In the record: a browser has a cookie, `station stop` and other programs bring the token themselves."""
    return f"{'terminal' if 'authorization' in request.headers else 'page'} at {_client(request)}"


# -- values --------------------------------------------------------------------------------------------------------------


def _add_api(app: FastAPI, panel: Panel) -> None:
    board = panel.board

    @app.get("/api/v1/state")
    async def state() -> Response:
        return JSONResponse(board.message(panel.clock.now_ns()))

    @app.get("/api/v1/alarms")
    async def alarms() -> Response:
        return JSONResponse({"alarms": board.state.get("alarms", [])})

    @app.get("/api/v1/items")
    async def items() -> Response:
        return JSONResponse({"items": list(reversed(board.items))})

    @app.get("/api/v1/events")
    async def events() -> Response:
        return JSONResponse({"events": list(reversed(board.events))})

    @app.get("/api/v1/commands")
    async def commands() -> Response:
        return JSONResponse({"commands": list(reversed(board.commands))})

    @app.get("/metrics")
    async def metrics() -> Response:
        now_ns = panel.clock.now_ns()
        text = metrics_text(board.message(now_ns), panel.hub.viewers)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_commands(app: FastAPI, panel: Panel) -> None:
    @app.post("/api/v1/commands")
    async def command(request: Request) -> Response:
        try:
            body = CommandBody.model_validate_json(await request.body())
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in error.errors()]
            return JSONResponse({"error": "; ".join(problems)}, status_code=422)
        if body.command in ("acknowledge", "shelve", "unshelve") and body.alarm is None:
            return JSONResponse({"error": f"{body.command} needs the name of an alarm"}, status_code=422)
        if panel.comes_too_late(body):
            return JSONResponse({"error": "it came too late; nothing was done"}, status_code=408)
        if not panel.take_command(body, _who(request)):
            return JSONResponse({"error": "the station is not answering; nothing was done"}, status_code=503)
        machine = panel.board.state.get("machine") or {}
        return JSONResponse({"sent": body.command, "state": machine.get("state")}, status_code=202)


# -- sockets -------------------------------------------------------------------------------------------------------------


def _add_sockets(app: FastAPI, panel: Panel) -> None:
    @app.websocket("/ws/state")
    async def state(socket: WebSocket) -> None:
        await socket.accept()
        await _until_gone(_send_state(socket, panel), _answer_pings(socket, panel))

    @app.websocket("/ws/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        viewer = panel.hub.join(socket.query_params.get("camera", ""), panel.clock.now_ns())
        try:
            await _until_gone(_send_pictures(socket, panel, viewer), _hear_viewer(socket, panel, viewer))
        finally:
            panel.hub.leave(viewer)


async def _send_state(socket: WebSocket, panel: Panel) -> None:
    while True:
        await socket.send_text(json.dumps(panel.board.message(panel.clock.now_ns()), separators=(",", ":")))
        await asyncio.sleep(SHORTEST_STATE_PERIOD_S)
        await panel.board.changed(STATE_PERIOD_S - SHORTEST_STATE_PERIOD_S)


async def _answer_pings(socket: WebSocket, panel: Panel) -> None:
    """A page compares its clock with ours by these; the smaller the round trip, the better."""
    while True:
        heard = _message(await socket.receive_text())
        received_ns = panel.clock.now_ns()
        echo = {"page_ms": heard.get("page_ms"), "received_ns": received_ns}
        await socket.send_text(json.dumps({"echo": echo, "sent_ns": panel.clock.now_ns()}))


async def _send_pictures(socket: WebSocket, panel: Panel, viewer: Viewer) -> None:
    while True:
        packet = await viewer.next_packet()
        facts = {**packet.facts, "echo": viewer.echo, "sent_ns": panel.clock.now_ns()}
        await socket.send_bytes(pack(facts, packet.jpeg))


async def _hear_viewer(socket: WebSocket, panel: Panel, viewer: Viewer) -> None:
    while True:
        heard = _message(await socket.receive_text())
        now_ns = panel.clock.now_ns()
        camera_id, page_ms = heard.get("camera"), heard.get("page_ms")
        if isinstance(camera_id, str):
            viewer.look_at(camera_id[:32], now_ns)
        if "drawn" in heard:
            viewer.acknowledge(now_ns, page_ms if isinstance(page_ms, (int, float)) else None)


def _message(text: str) -> dict[str, Any]:
    try:
        heard = json.loads(text)
    except ValueError:
        return {}
    return heard if isinstance(heard, dict) else {}


async def _until_gone(*jobs: Any) -> None:
    """Run a socket's jobs until the browser goes away; then end them all."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await task
