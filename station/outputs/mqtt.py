"""Tells an MQTT broker how the station does. It takes no commands: those need the page's token.

Knows the state's keys (panel/values.py), topics, and paho's client, which has a thread of its own. Holds nothing back for
later: the newest state goes out every `every_s`, and while the broker is away nothing does.

    TOPIC/NAME/status   online | offline, retained; the broker says offline by itself when the station is gone
    TOPIC/NAME/state    one JSON object, retained (schema station.mqtt/1)
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from station.clock import Clock
from station.config import MqttConfig
from station.errors import ConfigError

ONLINE, OFFLINE = "online", "offline"
KEEPALIVE_S = 30
RETRY_S = (1, 30)  # first and longest wait between attempts

# What Home Assistant is told of each value: (name, template below value_json, unit, further keys).
SENSORS: tuple[tuple[str, str, str | None, dict[str, str]], ...] = (
    ("State", "state", None, {}),
    ("Ejected", "items.ejected", None, {"state_class": "total_increasing"}),
    ("Passed", "items.passed", None, {"state_class": "total_increasing"}),
    ("Missed", "items.missed", None, {"state_class": "total_increasing"}),
    ("Unconfirmed", "items.unconfirmed", None, {"state_class": "total_increasing"}),
    ("Belt speed", "belt_speed_m_s", "m/s", {"state_class": "measurement", "device_class": "speed"}),
    ("Latency p99", "latency_p99_ms", "ms", {"state_class": "measurement", "device_class": "duration"}),
    ("Active alarms", "alarms | length", None, {"state_class": "measurement"}),
)


class MqttOutput:
    """One station's connection to its broker. `trouble` is why there is none, in words."""

    def __init__(self, settings: MqttConfig, name: str) -> None:
        """Raises ConfigError for a password file that cannot be read."""
        self._settings, self._name = settings, name
        self._base = f"{settings.topic}/{topic_part(name)}"
        self._due_ns = 0
        self.trouble = "not connected yet"
        client = _client(settings, f"station-{topic_part(name)}")
        client.will_set(f"{self._base}/status", OFFLINE, qos=1, retain=True)
        client.reconnect_delay_set(*RETRY_S)
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        self._client = client

    def start(self) -> None:
        """Begins to connect; returns at once, and goes on trying."""
        self._client.connect_async(self._settings.host, self._settings.port, KEEPALIVE_S)
        self._client.loop_start()

    def due(self, now_ns: int) -> bool:
        return now_ns >= self._due_ns and self._client.is_connected()

    def tell(self, state: Mapping[str, Any], now_ns: int, utc_ns: int) -> None:
        """`state`: as the page has it."""
        self._due_ns = now_ns + round(self._settings.every_s * 1e9)
        self._client.publish(f"{self._base}/state", json.dumps(told(state, utc_ns)), retain=True)

    def close(self) -> None:
        """A station that ends well says so itself: the broker keeps the will of one that did not."""
        if self._client.is_connected():
            last = self._client.publish(f"{self._base}/status", OFFLINE, qos=1, retain=True)
            with suppress(RuntimeError, ValueError):  # the connection went in this very moment: the will says it
                last.wait_for_publish(2.0)
        self._client.disconnect()
        self._client.loop_stop()

    # -- on paho's thread --------------------------------------------------------------------------------------------

    def _connected(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _more: Properties | None
    ) -> None:
        if reason.is_failure:
            self.trouble = f"the broker refuses: {reason}"
            return
        self.trouble = ""
        client.publish(f"{self._base}/status", ONLINE, qos=1, retain=True)
        if self._settings.discovery is not None:
            topic = f"{self._settings.discovery}/device/station-{topic_part(self._name)}/config"
            client.publish(topic, json.dumps(self._described()), qos=1, retain=True)

    def _not_connected(self, _client: Client, _data: object) -> None:
        self.trouble = f"{self._settings.host}:{self._settings.port} does not answer"

    def _disconnected(
        self, _client: Client, _data: object, _flags: DisconnectFlags, reason: ReasonCode, _more: Properties | None
    ) -> None:
        # After a refusal the broker hangs up: the refusal is the better word.
        self.trouble = self.trouble or f"the connection ended: {reason}"

    def _described(self) -> dict[str, Any]:
        """Home Assistant's device discovery: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload"""
        device = f"station-{topic_part(self._name)}"
        return {
            "device": {"identifiers": [device], "name": self._name},
            "origin": {"name": "Station"},
            "availability_topic": f"{self._base}/status",
            "state_topic": f"{self._base}/state",
            "components": {
                topic_part(name).lower(): {
                    "platform": "sensor",
                    "name": name,
                    "unique_id": f"{device}-{topic_part(name).lower()}",
                    "value_template": f"{{{{ value_json.{path} }}}}",
                    "expire_after": round(3 * self._settings.every_s) + 1,
                    **({"unit_of_measurement": unit} if unit else {}),
                    **more,
                }
                for name, path, unit, more in SENSORS
            },
        }


def trouble_with(settings: MqttConfig, clock: Clock, within_ns: int = 6_000_000_000) -> str:
    """Whether the broker lets us in: empty, or why not. Says nothing there, and leaves a running station's connection alone.

    Raises ConfigError as MqttOutput does.
    """
    answers: list[ReasonCode] = []
    client = _client(settings, "")  # a name of the broker's choice: it cuts off the older one of two of a name
    client.on_connect = lambda _client, _data, _flags, reason, _more: answers.append(reason)
    try:
        client.connect(settings.host, settings.port, KEEPALIVE_S)
        deadline_ns = clock.now_ns() + within_ns
        while not answers and clock.now_ns() < deadline_ns:
            client.loop(0.1)
    except OSError as error:
        return f"{settings.host}:{settings.port}: {error}"
    finally:
        client.disconnect()
    if not answers:
        return f"{settings.host}:{settings.port} takes the connection and says nothing"
    return f"the broker refuses: {answers[0]}" if answers[0].is_failure else ""


def _client(settings: MqttConfig, client_id: str) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    if settings.user is not None:
        client.username_pw_set(settings.user, _password(settings.password_file))
    if settings.tls:
        client.tls_set()
    return client


def told(state: Mapping[str, Any], utc_ns: int) -> dict[str, Any]:
    """The part of the page's state that another program wants; null is unknown."""
    machine, counts, link = state["machine"], state["counts"], state["link"]
    return {
        "schema": "station.mqtt/1",
        "utc_s": round(utc_ns / 1e9, 3),
        "simulation": state["mode"]["simulation"],
        "no_diverts": state["mode"]["no_diverts"],
        "state": machine["state"],
        "reason": machine["reason"],
        "link": None if link is None else link["state"],
        "belt_speed_m_s": state["belt"]["speed_m_s"],
        "items": dict(counts),
        "latency_p50_ms": state["latency_ms"]["p50"],
        "latency_p99_ms": state["latency_ms"]["p99"],
        "cameras": {camera["id"]: {"live": camera["live"], "fps": camera["fps"]} for camera in state["cameras"]},
        "alarms": [
            {key: alarm[key] for key in ("alarm_id", "text", "priority", "acknowledged")}
            for alarm in state["alarms"]
            if alarm["active"] and not alarm["shelved"]
        ],
    }


def topic_part(name: str) -> str:
    """A name as one level of a topic: no slash, no wildcard, no blank."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "station"


def _password(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"mqtt.password_file = {file}: {error}. Name a file that holds the password alone.") from None
