"""The station on an MQTT broker (a real Mosquitto): what stands there, who says offline, and a broker that comes and goes."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from station.clock import SystemClock
from station.commissioning.broker_check import broker_findings
from station.commissioning.findings import Verdict
from station.config import MqttConfig
from station.datatypes import OutcomeKind
from station.errors import ConfigError
from station.outputs.mqtt import SENSORS, MqttOutput, told, topic_part
from station.panel.snapshot import Snapshot
from station.panel.values import page_values

needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto", path="/usr/sbin:/usr/bin") is None, reason="needs mosquitto"
)
UTC_NS = 1_800_000_000_000_000_000
NAME = "line 1/left"
TOPICS = ("plant/line-1-left/status", "plant/line-1-left/state")


def state(**changes: Any) -> dict[str, Any]:
    snapshot = Snapshot(made_ns=1, state="EXECUTE", state_reason="", **changes)
    return page_values(snapshot)


class Broker:
    """Mosquitto on a port of its own, with a user when asked for one."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "user root"]
        if password is None:
            lines.append("allow_anonymous true")
        else:
            users = folder / "users"
            subprocess.run(["mosquitto_passwd", "-b", "-c", users, "line", password], check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {users}"]
        self._file = folder / "mosquitto.conf"
        self._file.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
        assert program is not None
        self._process = subprocess.Popen(
            [program, "-c", str(self._file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Listener:
    """Another program that reads what the station says; what is retained it gets at once."""

    def __init__(self, port: int) -> None:
        self.newest: dict[str, str] = {}
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("#", qos=1)
        self._client.loop_start()

    def _take(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.newest[message.topic] = message.payload.decode()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits for another process; what is asserted is that it comes, not how soon."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def station_at(port: int, **settings: Any) -> MqttOutput:
    return MqttOutput(MqttConfig(host="127.0.0.1", port=port, topic="plant", every_s=1, **settings), NAME)


@pytest.fixture
def station(broker: Broker) -> Iterator[MqttOutput]:
    station = station_at(broker.port, discovery="homeassistant")
    station.start()
    until(lambda: station.due(0))
    yield station
    station.close()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.close()


@needs_mosquitto
def test_who_comes_later_finds_the_newest_state(broker: Broker, station: MqttOutput, listener: Listener) -> None:
    for ejected in (1, 2):
        station.tell(state(by_outcome={OutcomeKind.EJECTED: ejected}), 0, UTC_NS)
    until(lambda: '"ejected": 2' in listener.newest.get(TOPICS[1], ""))
    late = Listener(broker.port)
    until(lambda: set(TOPICS) <= set(late.newest))
    late.close()
    status, said = (late.newest[topic] for topic in TOPICS)
    assert status == "online"
    assert json.loads(said)["items"]["ejected"] == 2


@needs_mosquitto
def test_it_says_offline_when_it_ends_and_the_broker_says_it_when_it_dies(broker: Broker, listener: Listener) -> None:
    for end in (MqttOutput.close, lose_the_connection):
        station = station_at(broker.port)
        station.start()
        until(lambda: listener.newest.get(TOPICS[0]) == "online")
        end(station)
        until(lambda: listener.newest[TOPICS[0]] == "offline")
        station.close()


def lose_the_connection(station: MqttOutput) -> None:
    """As a killed process does: the socket goes without a word."""
    station._client.loop_stop()
    connection: Any = station._client.socket()
    assert connection is not None
    connection.shutdown(socket.SHUT_RDWR)


@needs_mosquitto
def test_a_broker_that_goes_is_told_again_when_it_is_back(broker: Broker, station: MqttOutput) -> None:
    assert station.trouble == ""
    broker.stop()
    until(lambda: station.trouble != "")
    assert not station.due(10**18)
    station.tell(state(), 0, UTC_NS)  # is lost, and holds nobody up
    broker.start()
    until(lambda: station.trouble == "")
    station.tell(state(), 0, UTC_NS)
    again = Listener(broker.port)
    until(lambda: set(TOPICS) <= set(again.newest))
    again.close()


@needs_mosquitto
@pytest.mark.parametrize(("given", "trouble"), [("right", ""), ("wrong", "refuses")])
def test_a_password_opens_or_the_refusal_is_said(tmp_path: Path, given: str, trouble: str) -> None:
    broker = Broker(tmp_path, password="right")
    (tmp_path / "password").write_text(given + "\n")
    broker.start()
    station = station_at(broker.port, user="line", password_file=str(tmp_path / "password"))
    station.start()
    until(lambda: "not connected" not in station.trouble)
    said = station.trouble
    station.close()
    broker.stop()
    assert trouble in said
    assert bool(said) is bool(trouble)


def test_without_a_broker_it_goes_on_trying_and_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    station = station_at(port)
    station.start()
    until(lambda: "does not answer" in station.trouble)
    assert not station.due(10**18)
    station.close()


@needs_mosquitto
def test_home_assistant_is_told_of_values_that_the_state_has(listener: Listener, station: MqttOutput) -> None:
    topic = "homeassistant/device/station-line-1-left/config"
    until(lambda: topic in listener.newest)
    described = json.loads(listener.newest[topic])
    assert (described["state_topic"], described["availability_topic"]) == (TOPICS[1], TOPICS[0])
    assert len(described["components"]) == len(SENSORS)
    known = told(state(), UTC_NS)
    for sensor in described["components"].values():
        match = re.fullmatch(r"\{\{ value_json\.([\w.]+)( \| length)? \}\}", sensor["value_template"])
        assert match is not None
        value: Any = known
        for key in match[1].split("."):
            assert key in value
            value = value[key]


def test_alarms_that_are_over_or_shelved_are_not_told() -> None:
    page = state()
    alarm = {"alarm_id": "jam", "text": "An item stands still", "priority": 0, "acknowledged": False}
    page["alarms"] = [
        alarm | {"active": True, "shelved": False},
        alarm | {"alarm_id": "over", "active": False, "shelved": False},
        alarm | {"alarm_id": "shelved", "active": True, "shelved": True},
    ]
    assert told(page, UTC_NS)["alarms"] == [alarm]
    assert told(page, UTC_NS)["utc_s"] == 1_800_000_000.0


@pytest.mark.parametrize(
    ("name", "part"), [("line-1", "line-1"), ("line 1/left", "line-1-left"), ("#+", "station"), ("Süd", "S-d")]
)
def test_a_name_is_one_level_of_a_topic(name: str, part: str) -> None:
    assert topic_part(name) == part


def test_a_password_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.password_file = nowhere"):
        station_at(1, user="line", password_file="nowhere")


@needs_mosquitto
@pytest.mark.parametrize(("given", "verdict"), [("right", Verdict.PASS), ("wrong", Verdict.FAIL)])
def test_doctor_asks_the_broker_and_leaves_the_running_station_s_connection_alone(
    tmp_path: Path, given: str, verdict: Verdict
) -> None:
    broker = Broker(tmp_path, password="right")
    (tmp_path / "password").write_text("right")
    (tmp_path / "given").write_text(given)
    broker.start()
    running = station_at(broker.port, user="line", password_file=str(tmp_path / "password"))
    running.start()
    until(lambda: running.trouble == "")
    asked = MqttConfig(host="127.0.0.1", port=broker.port, user="line", password_file=str(tmp_path / "given"))
    found = [finding.verdict for finding in broker_findings(asked, SystemClock())]
    still = running.trouble
    running.close()
    broker.stop()
    assert (found, still) == ([verdict], "")


def test_doctor_says_when_nobody_is_there_and_nothing_when_none_is_configured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    (found,) = broker_findings(MqttConfig(host="127.0.0.1", port=port), SystemClock())
    assert found.verdict is Verdict.FAIL
    assert "refused" in found.message
    assert list(broker_findings(None, SystemClock())) == []
