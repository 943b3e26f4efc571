"""`station ports` and `station gates` against the simulated device, and what they say when there is none."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_bridge.codec import Frame, encode_frame
from firmware_bridge.wire import Encoder, encode
from station.cli.gates_commands import gates
from station.cli.ports_commands import ports
from tests.hil.wall_rungs import ProcessRung

CONFIG = Path(__file__).parents[3] / "configs" / "virtual.toml"
RUN = CliRunner()


def test_the_list_is_an_object_for_programs() -> None:
    result = RUN.invoke(ports, ["list", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["schema"] == "station.ports/1"


@pytest.mark.wall
def test_ping_says_who_answers_and_how_well_its_clock_is_known() -> None:
    result = RUN.invoke(ports, ["ping", "virtual", "--for", "1s", "--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == 0, result.stderr
    assert report["may_arm"]
    assert report["gates"] == 8
    assert report["clock_bound_us"] <= 40_000
    assert report["round_trip_p50_us"] <= report["round_trip_p99_us"]


def test_ping_of_a_port_that_is_not_there_is_a_controller_error() -> None:
    result = RUN.invoke(ports, ["ping", "/dev/ttyNOWHERE9", "--for", "100ms"])
    assert result.exit_code == 4
    assert "no such port" in result.stderr


@pytest.mark.wall
def test_monitor_shows_a_port_and_the_capture_it_saved(tmp_path: Path) -> None:
    capture = tmp_path / "wire.jsonl"
    live = RUN.invoke(ports, ["monitor", "virtual", "--for", "1s", "--save", str(capture)])
    assert live.exit_code == 0, live.stderr
    assert "HelloReply" in live.stdout
    assert "SyncReply" in live.stdout
    again = RUN.invoke(ports, ["monitor", str(capture)])
    assert again.exit_code == 0
    assert again.stdout.splitlines()[:10] == live.stdout.splitlines()[:10]


def test_monitor_names_what_was_no_frame(tmp_path: Path) -> None:
    capture = tmp_path / "wire.jsonl"
    data = b"AT+GMM\r\n" + encode_frame(Frame(0x91, 0, 9, encode(Encoder(5, 6))))
    capture.write_text(json.dumps({"t_ns": 0, "dir": "<", "hex": data.hex()}) + "\n")
    result = RUN.invoke(ports, ["monitor", str(capture)])
    assert "Encoder belt_count=5 at_us=6" in result.stdout
    assert "1 pieces" in result.stderr


@pytest.mark.wall
@pytest.mark.timeout(400)  # imports the whole station: minutes on a machine that trains at the same time
def test_every_gate_is_opened_and_reported() -> None:
    words = [
        "--port",
        "virtual",
        "--config",
        str(CONFIG),
        "--gate",
        "0",
        "--gate",
        "3",
        "--times",
        "1",
        "--yes",
        "--json",
    ]
    result = RUN.invoke(gates, words)
    report = json.loads(result.stdout)
    assert [row["gate"] for row in report["gates"]] == [0, 3]
    for row in report["gates"]:
        assert row["commanded"] == row["acknowledged"] == 1
        assert row["fired"] + len(row["failures"]) == 1
    assert result.exit_code == (0 if all(row["good"] for row in report["gates"]) else 1)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(["--config", str(CONFIG), "--port", "virtual"], 4, "nothing was moved", id="nobody says yes"),
        pytest.param(["--config", str(CONFIG), "--gate", "99", "--yes"], 2, "gates 0 to 7", id="no such gate"),
        pytest.param(["--config", "/nowhere.toml", "--yes"], 2, "no such configuration", id="no configuration"),
    ],
)
def test_gates_do_not_move_by_mistake(words: list[str], code: int, said: str) -> None:
    result = RUN.invoke(gates, words)
    assert result.exit_code == code
    assert said in result.stderr


@pytest.mark.wall
def test_gates_do_not_move_while_the_encoder_says_that_the_belt_does(tmp_path: Path) -> None:
    device = ProcessRung(tmp_path)  # its belt runs
    words = ["--port", device.port, "--config", str(CONFIG), "--gate", "0", "--yes"]
    result = RUN.invoke(gates, words)
    edges = device.edges()
    device.end()
    assert result.exit_code == 4
    assert "the belt moves (" in result.stderr
    assert edges == []
