"""The panel process itself: serves what the station sends to browsers. Ends when the station has ended.

Runs in its own process; imports neither torch nor the station's parts. If it dies, the line goes on and `process` starts it
again; if the station dies, it says so to every page and leaves the address free for the next run.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import uvicorn

from station.clock import SystemClock
from station.panel.auth import Access
from station.panel.intake import Encoder, Intake
from station.panel.live import LiveHub, StateBoard
from station.panel.server import Outbox, Panel, build_app
from station.worker import Worker

HEARTBEAT_S = 0.25
GOODBYE_S = 1.0  # how long a panel without a station keeps saying so before it ends
LONGEST_MESSAGE_BYTES = 3500  # less than PIPE_BUF: written whole or not at all


@dataclass(frozen=True, slots=True)
class Settings:
    station_name: str
    access: Access
    jpeg_quality: int
    max_width_px: int


@dataclass(frozen=True, slots=True)
class Pipes:
    """The panel's ends. `values` comes in; `news` and `stop` go out and never block."""

    values: Connection
    news: Connection
    stop: Connection


def panel_main(listening: socket.socket, pipes: Pipes, settings: Settings) -> None:
    """Entry of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the station, which then ends us
    cv2.setNumThreads(1)
    _call_itself("station-panel")
    for pipe in (pipes.news, pipes.stop):
        os.set_blocking(pipe.fileno(), False)
    asyncio.run(_serve(listening, pipes, settings))


async def _serve(listening: socket.socket, pipes: Pipes, settings: Settings) -> None:
    clock = SystemClock()
    board, hub = StateBoard(settings.station_name), LiveHub()
    outbox = Outbox(stop=lambda entry: _tell(pipes.stop, entry), command=lambda entry: _tell(pipes.news, entry))
    app = build_app(Panel(board, hub, outbox, settings.access, clock))
    server = _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            lifespan="off",
            ws_per_message_deflate=False,  # a JPEG does not shrink, and deflating cost as much as encoding
            ws_max_size=4096,  # pages send acknowledgements, nothing longer
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    loop = asyncio.get_running_loop()
    encoder = Encoder(hub, loop, settings.max_width_px, settings.jpeg_quality)
    intake = Intake(pipes.values, board, loop, encoder.offer)
    workers = [Worker("panel-intake", intake.step, _report_crash), Worker("panel-encode", encoder.step, _report_crash)]
    for worker in workers:
        worker.start()
    beats = asyncio.create_task(_heartbeat(pipes.news, hub, clock, intake, server))
    await server.serve(sockets=[listening])
    beats.cancel()
    for worker in workers:
        worker.stop(timeout_s=1.0)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM ends us at once (nothing here needs saving); SIGINT is ignored."""
        yield


async def _heartbeat(
    news: Connection, hub: LiveHub, clock: SystemClock, intake: Intake, server: uvicorn.Server
) -> None:
    """Tell the station which cameras are watched; end when it is gone."""
    while not intake.station_gone:
        _tell(news, {"watched": hub.watched(clock.now_ns())})
        await asyncio.sleep(HEARTBEAT_S)
    await asyncio.sleep(GOODBYE_S)
    server.should_exit = True


def _call_itself(name: str) -> None:
    """So that `ps` and `top` tell the page's process from the station's."""
    with contextlib.suppress(OSError):  # no Linux
        Path("/proc/self/comm").write_text(name[:15], encoding="utf-8")


def _tell(pipe: Connection, values: dict[str, Any]) -> bool:
    """Write one short message, or nothing: a station that does not read must not hold up the panel."""
    message = json.dumps(values).encode()
    if len(message) > LONGEST_MESSAGE_BYTES:
        return False
    try:
        pipe.send_bytes(message)
    except OSError:  # full (it would block), or nobody there
        return False
    return True


def _report_crash(name: str, error: BaseException) -> None:
    """A panel without one of its threads would show something old for ever: end, and be started again."""
    print(f"panel: {name} ended by {error!r}; the panel is started again", flush=True)
    os._exit(70)
