"""status, start, hold, stop, reset, clear and alarms against the panel's own server, with a machine behind it."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
import uvicorn
from typer.testing import CliRunner, Result

from station.alarms import AlarmBook
from station.cli import control_commands
from station.clock import SystemClock
from station.machine import Command, Conditions, Machine
from station.panel.auth import Access, Tokens, default_token_file, save_tokens
from station.panel.live import LiveHub, StateBoard
from station.panel.server import Outbox, Panel, build_app
from station.panel.snapshot import Snapshot
from station.panel.values import PageFacts, page_values

TOKENS = Tokens(operator="operator-token-of-the-test", viewer="viewer-token-of-the-test")


@dataclass
class Line:
    """A machine and its alarms behind a page, moved forward by every command. No camera, no link."""

    board: StateBoard
    clock: SystemClock = field(default_factory=SystemClock)
    machine: Machine = field(default_factory=lambda: Machine(auto_rearm=False))
    alarms: AlarmBook = field(default_factory=AlarmBook)
    deaf: bool = False
    camera_lost: bool = False
    stops: int = 0

    def take(self, entry: dict[str, Any]) -> bool:
        now_ns = self.clock.now_ns()
        match entry["command"]:
            case "acknowledge":
                self.alarms.acknowledge(entry["alarm"])
            case "shelve":
                self.alarms.shelve(entry["alarm"], entry["minutes"], now_ns)
            case "unshelve":
                self.alarms.unshelve(entry["alarm"], now_ns)
            case name if not self.deaf:
                self.machine.command(Command(name), now_ns)
        self.show()
        return True

    def take_stop(self, entry: dict[str, Any]) -> bool:
        self.stops += 1
        return self.take(entry)

    def show(self) -> None:
        now_ns = self.clock.now_ns()
        for _ in range(3):  # through the states that last one step
            self.machine.step(now_ns, Conditions(link=None, cameras_live=not self.camera_lost))
        snapshot = Snapshot(made_ns=now_ns, state=self.machine.state.name, state_reason=self.machine.reason)
        self.board.put(page_values(snapshot, PageFacts(alarms=self.alarms.listed())), now_ns)

    def keep_fresh(self, stopping: threading.Event) -> None:
        while not stopping.wait(0.1):
            self.show()


class Served:
    """The panel's server on a free port of this machine, in a thread."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.line = Line(StateBoard("line-1"))
        self.stopping = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)
        self.line.show()
        self._fresh = threading.Thread(target=self.line.keep_fresh, args=(self.stopping,), daemon=True)
        self._fresh.start()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        outbox = Outbox(self.line.take_stop, self.line.take)
        access = Access(TOKENS, self.port, free_to_look=True)
        app = build_app(Panel(self.line.board, LiveHub(), outbox, access, self.line.clock))
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        serving = asyncio.ensure_future(self.server.serve([self.listening]))
        while not self.server.started:
            await asyncio.sleep(0.01)
        self._ready.set()
        await serving

    def close(self) -> None:
        self.stopping.set()
        self._fresh.join()
        self.server.should_exit = True
        self._thread.join()
        self.listening.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    running = Served()
    yield running
    running.close()


@pytest.fixture
def line(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """A line that has just been switched on, advertised as a running station advertises itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    path = default_token_file(served.port, {"XDG_RUNTIME_DIR": str(tmp_path / "run")})
    save_tokens(path, TOKENS, url=f"http://127.0.0.1:{served.port}/", station="line-1")
    served.line.machine = Machine(auto_rearm=False)
    served.line.alarms = AlarmBook()
    served.line.deaf = served.line.camera_lost = False
    served.line.stops = 0
    served.line.show()
    return served.line


app = typer.Typer()
control_commands.register(app)


def station(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_a_shift_reset_start_hold_start_stop(line: Line) -> None:
    for command, state in (
        ("reset", "Idle"),
        ("start", "Execute"),
        ("hold", "Held"),
        ("start", "Execute"),
        ("stop", "Stopped"),
    ):
        result = station(command, "--json")
        assert result.exit_code == 0, result.stderr
        answer = json.loads(result.stdout)
        assert answer["after"] == state
        assert (
            f"{command}: line-1 at {answer['url']}\n" in result.stderr
        )  # which station was told, should another be meant
    assert line.stops >= 1


def test_start_after_a_stop_says_what_to_do_first(line: Line) -> None:
    result = station("start")
    assert result.exit_code == 1
    assert "Stopped" in result.stderr
    assert "station reset" in result.stderr


def test_a_command_that_changes_nothing_is_not_called_done(line: Line) -> None:
    station("reset")
    line.deaf = True
    result = station("start")
    assert result.exit_code == 1
    assert "Idle" in result.stderr


def test_a_line_that_a_loss_holds_is_held_by_order_once_hold_was_taken(line: Line) -> None:
    station("reset")
    station("start")
    line.camera_lost = True
    line.show()
    line.deaf = True
    unheard = station("hold")
    assert (line.machine.state.name, unheard.exit_code) == ("HELD", 1)
    assert "camera lost" in unheard.stderr
    line.deaf = False
    taken = station("hold")
    assert (taken.stdout, taken.exit_code) == ("Held -> Held: hold by operator\n", 0)


def test_status_says_state_counts_and_alarms(line: Line) -> None:
    line.alarms.update({"camera_lost": "camera0"}, line.clock.now_ns())
    line.show()
    answer = json.loads(station("status", "--json").stdout)
    assert (answer["schema"], answer["machine"]["state"]) == ("station.status/1", "Stopped")
    text = station("status").stdout
    assert "line-1: Stopped" in text
    assert "NO DIVERTS SENT" in text
    assert "camera_lost: Camera gives no pictures that can be used: camera0 (active, not acknowledged)" in text
    assert "do: Check cable" in text


def test_alarms_are_listed_acknowledged_shelved_and_shown_again(line: Line) -> None:
    line.alarms.update({"camera_lost": "camera0", "history_away": ""}, line.clock.now_ns())
    line.show()
    assert station("alarms", "ack", "all").exit_code == 0
    (alarm,) = json.loads(station("alarms", "list", "--json").stdout)["alarms"]
    assert (alarm["alarm_id"], alarm["acknowledged"]) == ("camera_lost", True)
    assert station("alarms", "shelve", "camera_lost", "--for", "30m").exit_code == 0
    assert json.loads(station("alarms", "list", "--json").stdout)["alarms"][0]["shelved"] is True
    assert station("alarms", "unshelve", "camera_lost").exit_code == 0
    assert json.loads(station("alarms", "list", "--json").stdout)["alarms"][0]["shelved"] is False


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        pytest.param(["alarms", "ack", "gibberish"], 2, "no alarm 'gibberish'", id="no such alarm"),
        pytest.param(["alarms", "shelve", "camera_lost", "--for", "9h"], 2, "at most 8h", id="too long"),
        pytest.param(["alarms", "shelve", "camera_lost", "--for", "soon"], 2, "not a duration", id="no duration"),
        pytest.param(["status", "--http", "nonsense"], 2, "HOST:PORT", id="no address"),
        pytest.param(["status", "--http", "127.0.0.1:1"], 1, "nothing listens there", id="nobody there"),
        pytest.param(
            ["stop", "--token-file", "absent.json", "--http", "{here}"], 2, "no such token file", id="no token"
        ),
        pytest.param(["start", "--config", "absent.toml"], 2, "no such configuration", id="no configuration"),
        pytest.param(["stop", "now"], 2, "", id="one word too many"),
    ],
)
def test_a_bad_day_ends_in_words_and_a_code(served: Served, line: Line, args: list[str], code: int, words: str) -> None:
    result = station(*(arg.format(here=f"127.0.0.1:{served.port}") for arg in args))
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_viewers_or_wrong_token_moves_nothing(served: Served, line: Line, tmp_path: Path) -> None:
    for token in (TOKENS.viewer, "a-token-somebody-made-up"):
        path = tmp_path / "token.json"
        path.write_text(json.dumps({"operator": token}))
        result = station("reset", "--http", f"127.0.0.1:{served.port}", "--token-file", path)
        assert result.exit_code == 1
        assert "refuses" in result.stderr
    assert line.machine.state.name == "STOPPED"


def test_no_station_and_another_program_on_the_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    result = station("status")
    assert result.exit_code == 1
    assert "no station runs here" in result.stderr


def test_a_state_that_is_old_is_not_shown_as_the_state(
    served: Served, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_commands, "STALE_MS", -1.0)
    assert station("status").exit_code == 1
    result = station("reset")
    assert result.exit_code == 1
    assert "old" in result.stderr
    assert line.machine.state.name == "STOPPED"


def test_stop_is_sent_before_anything_is_asked(served: Served, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_commands, "STALE_MS", -1.0)
    result = station("stop")
    assert line.stops == 1
    assert result.exit_code == 1  # what became of it cannot be seen, and that is said
    assert "wired stop" in result.stderr


def test_the_configured_station_is_found_first(served: Served, line: Line, tmp_path: Path) -> None:
    from station.config import builtin_text

    text = builtin_text("station").replace("127.0.0.1:8384", f"127.0.0.1:{served.port}")
    (tmp_path / "station.toml").write_text(text)
    assert station("status").exit_code == 0
    (tmp_path / "elsewhere.toml").write_text(text.replace(str(served.port), "1"))
    assert "nothing listens there" in station("status", "--config", "elsewhere.toml").stderr
