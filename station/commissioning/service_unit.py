"""The systemd unit that keeps a station running through crashes and power cuts: text. Writes and starts nothing.

Whether the line may start by itself is the plant's decision, `link.auto_rearm`: without it the station comes up and waits.
"""

from dataclasses import dataclass
from pathlib import Path

WATCHDOG_S = 15
NAME = "station.service"
PLACE = Path("/etc/systemd/system") / NAME


@dataclass(frozen=True, slots=True)
class Service:
    python: Path
    config: Path  # absolute
    sources: tuple[str, ...]
    user: str
    directory: Path  # from which relative paths of the configuration are meant
    starts_itself: bool


def unit_text(service: Service) -> str:
    words = [str(service.python), "-m", "station", "run", "--config", str(service.config)]
    for source in service.sources:
        words += ["--camera", source]
    if not service.starts_itself:
        words.append("--wait-for-start")
    return f"""[Unit]
Description=Station: camera sorting station controller
Documentation=man:systemd.service(5)
After=network.target
# A camera or a controller may be away for hours: go on trying.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={" ".join(map(quoted, words))}
WorkingDirectory={escaped(str(service.directory))}
User={service.user}
# Serial ports and cameras belong to these groups on Debian, Ubuntu and Raspberry Pi OS.
SupplementaryGroups=dialout video
# The loop that decides has to turn, not only the process to live. Without it the controller's lease runs out by itself.
WatchdogSec={WATCHDOG_S}
Restart=on-failure
RestartSec=2
# 2: wrong flags or configuration. Trying again does not mend them.
RestartPreventExitStatus=2
TimeoutStopSec=30
KillMode=mixed
NoNewPrivileges=true

[Install]
WantedBy=multi-user.target
"""


def quoted(word: str) -> str:
    """One argument of ExecStart: systemd splits at blanks, and expands % and $."""
    plain = escaped(word).replace("$", "$$")
    return plain if plain and not any(sign in plain for sign in " \t'\"\\;") else '"' + _in_quotes(plain) + '"'


def escaped(text: str) -> str:
    return text.replace("%", "%%")


def _in_quotes(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
