"""The station's side of the panel: starts the panel process, feeds it, hears its commands, starts it again when it dies.

Nothing here may hold up the line: `publish` only leaves the newest values in a slot; copying and sending happen on threads
of their own, and only while somebody watches. STOP has its own pipe and its own thread. Knows nothing of what the values mean.
"""

import json
import multiprocessing
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from station.clock import Clock, SystemClock
from station.config import PanelConfig, config_home
from station.datatypes import BgrImage
from station.panel.address import listen, page_url
from station.panel.auth import (
    Access,
    check_address,
    default_token_file,
    load_or_make_tokens,
    save_tokens,
    split_address,
)
from station.panel.child import Pipes, Settings, panel_main
from station.panel.sender import Sender, Snapshots
from station.worker import Crash, Worker

START_ALLOWED_NS = 30_000_000_000  # imports on a busy machine
SILENCE_ALLOWED_NS = 5_000_000_000  # a panel without a heartbeat for this long hangs
SHORTEST_PAUSE_NS = 200_000_000  # before it is started again; doubles while it keeps dying
LONGEST_PAUSE_NS = 5_000_000_000
STEADY_NS = 30_000_000_000


class PanelProcess:
    def __init__(
        self,
        config: PanelConfig,
        station_name: str,
        *,
        on_stop: Callable[[str, str], None],
        on_crash: Crash | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`on_stop` takes STOP and ABORT on a thread that does nothing else: which of the two, and who asked."""
        self._config = config
        self._name = station_name
        self._on_stop = on_stop
        self._on_crash = on_crash or _print_crash
        self._clock = clock or SystemClock()
        self._sender = Sender(config.max_fps)
        self._commands: deque[dict[str, Any]] = deque(maxlen=100)  # full: the oldest gives way, nobody took them
        self._workers: list[Worker] = []
        self._child: _Child | None = None
        self.token_file: Path | None = None

    # -- what the station does with it -------------------------------------------------------------------------------

    def start(self) -> str:
        """Bind the address, start the process, and say where the page is (with the operator's token behind the #).

        Returns at once; a browser that is quicker than the process waits a moment. Raises ConfigError.
        """
        host, port = split_address(self._config.http)
        check_address(host, self._config.token_file)
        listening = listen(host, port)
        port = listening.getsockname()[1]
        url = page_url(host, port)
        access = self._access(port, url, free_to_look=self._config.token_file is None)
        settings = Settings(self._name, access, self._config.jpeg_quality, self._config.max_width_px)
        self._child = _Child(listening, settings, self._clock)
        self._sender.lead_to(self._child)
        self._child.launch()
        self._workers = [
            Worker("panel-send", self._sender.step, self._on_crash),
            Worker("panel-news", self._hear, self._on_crash),
            Worker("panel-stop", self._hear_stop, self._on_crash),
        ]
        for worker in self._workers:
            worker.start()
        return f"{url}#token={access.tokens.operator}"

    def publish(self, snapshot: Snapshots, frames: Mapping[str, BgrImage]) -> None:
        """Show this. Never blocks, and does next to nothing when it is too soon or nobody watches.

        `snapshot` may be a function: it is called later, on the panel's thread. Frames must not be written to afterwards.
        """
        self._sender.offer(snapshot, frames, self._clock.now_ns())

    def commands(self) -> list[dict[str, Any]]:
        """What operators asked for since the last call, oldest first: {"command", "from", "utc_ns", "at_ns", ...}.

        Not STOP and ABORT: those have gone to `on_stop`, and wait for nobody who calls this.
        """
        taken = []
        while self._commands:
            taken.append(self._commands.popleft())
        return taken

    @property
    def watched(self) -> frozenset[str]:
        """The cameras somebody looks at now."""
        return self._sender.watched

    @property
    def restarts(self) -> int:
        return self._child.restarts if self._child else 0

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def close(self) -> None:
        """End the process and give everything back. Pages show a dead link."""
        for worker in self._workers[1:]:  # first those that would start the process again
            worker.stop()
        if self._child is not None:
            self._child.close()
            self._child = None
        for worker in self._workers[:1]:  # it may have been waiting for that process
            worker.stop()
        self._workers = []
        self._sender.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _access(self, port: int, url: str, free_to_look: bool) -> Access:
        named = self._config.token_file
        path = Path(named).expanduser() if named else default_token_file(port, config_home())
        tokens = load_or_make_tokens(path)
        save_tokens(path, tokens, url=url, station=self._name)
        self.token_file = path
        hosts = [*self._config.allowed_hosts, *([] if free_to_look else [socket.gethostname()])]
        return Access(tokens, port, free_to_look, tuple(host.lower() for host in hosts))

    def _hear(self) -> None:
        """One turn of the news thread: commands, who watches, and whether the panel is still there."""
        assert self._child is not None
        for values in self._child.hear(0.1):
            if "watched" in values:
                self._sender.watched = frozenset(values["watched"])
            else:
                self._commands.append(values)
        if self._child.revive():
            self._sender.watched = frozenset()

    def _hear_stop(self) -> None:
        assert self._child is not None
        values = self._child.hear_stop(0.5)
        if values is not None:
            self._on_stop(str(values["command"]), str(values["from"]))


class _Child:
    """The process, its pipes and its restarts."""

    def __init__(self, listening: socket.socket, settings: Settings, clock: Clock) -> None:
        self._listening = listening
        self._settings = settings
        self._clock = clock
        self._spawn = multiprocessing.get_context("spawn")
        # These two outlive a panel: its messages are short enough to be whole or absent when it dies.
        self._news_in, self._news_out = self._spawn.Pipe(duplex=False)
        self._stop_in, self._stop_out = self._spawn.Pipe(duplex=False)
        self._values: Connection | None = None
        self._process: SpawnProcess | None = None
        self._pause_ns = SHORTEST_PAUSE_NS
        self._launched_ns = 0
        self._heard_ns: int | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def launch(self) -> None:
        values_in, values_out = self._spawn.Pipe(duplex=False)
        pipes = Pipes(values_in, self._news_out, self._stop_out)
        process = self._spawn.Process(
            target=panel_main, args=(self._listening, pipes, self._settings), name="station-panel", daemon=True
        )
        process.start()
        values_in.close()  # so that a dead panel is a broken pipe
        self._process, self._values = process, values_out
        self._launched_ns, self._heard_ns = self._clock.now_ns(), None

    def send(self, message: bytes) -> None:
        """May wait for a slow panel; only the sending thread is held up. A dead panel takes nothing."""
        values = self._values
        if values is not None and self._heard_ns is not None:  # while it starts there is nobody to read
            try:
                values.send_bytes(message)
            except OSError:
                self._values = None  # `revive` sees to it

    def hear(self, timeout_s: float) -> list[dict[str, Any]]:
        heard = []
        wait_s = timeout_s
        while self._news_in.poll(wait_s):
            heard.append(json.loads(self._news_in.recv_bytes()))
            wait_s = 0
        if heard:
            self._heard_ns = self._clock.now_ns()
        return heard

    def hear_stop(self, timeout_s: float) -> dict[str, Any] | None:
        if not self._stop_in.poll(timeout_s):
            return None
        values: dict[str, Any] = json.loads(self._stop_in.recv_bytes())
        return values

    def revive(self) -> bool:
        """Start a dead or hanging panel again, with a growing pause. True when it did."""
        assert self._process is not None
        now_ns = self._clock.now_ns()
        hangs = now_ns - self._launched_ns > START_ALLOWED_NS and self._heard_ns is None
        hangs = hangs or (self._heard_ns is not None and now_ns - self._heard_ns > SILENCE_ALLOWED_NS)
        if self._process.is_alive() and not hangs:
            return False
        self._end_process()
        if now_ns - self._launched_ns > STEADY_NS:
            self._pause_ns = SHORTEST_PAUSE_NS
        self._clock.sleep_ns(self._pause_ns)
        self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)
        self.launch()
        self.restarts += 1
        return True

    def close(self) -> None:
        self._end_process()
        for pipe in (self._news_in, self._news_out, self._stop_in, self._stop_out):
            pipe.close()
        self._listening.close()

    def _end_process(self) -> None:
        process, values = self._process, self._values
        self._values = None
        if process is not None:
            process.terminate()
            process.join(1.0)
            if process.is_alive():
                process.kill()
                process.join(1.0)
        if values is not None:
            values.close()


def _print_crash(name: str, error: BaseException) -> None:
    print(f"{name}: {error!r}", file=sys.stderr)
