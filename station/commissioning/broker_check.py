"""Does the MQTT broker of the configuration let the station in? Asks once, says nothing there."""

from collections.abc import Iterator

from station.clock import Clock
from station.commissioning.findings import Finding, failed, passed
from station.config import MqttConfig
from station.errors import ConfigError


def broker_findings(settings: MqttConfig | None, clock: Clock) -> Iterator[Finding]:
    """Nothing where none is configured."""
    if settings is None:
        return
    where = f"{settings.host}:{settings.port}"
    try:
        from station.outputs.mqtt import trouble_with

        trouble = trouble_with(settings, clock)
    except ModuleNotFoundError as error:
        yield failed("broker", str(error), "pip install paho-mqtt")
    except ConfigError as error:
        yield failed("broker", str(error), "mqtt.password_file: one line, readable by the station's user")
    else:
        if trouble:
            yield failed("broker", trouble, "mqtt.host, port, tls, user and password_file; is the broker up?")
        else:
            yield passed("broker", f"{where} lets the station in")
