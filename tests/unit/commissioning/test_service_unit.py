"""The systemd unit as text: what it runs, how it quotes, and that it waits for a person unless the plant said otherwise."""

import shlex
from pathlib import Path

import pytest

from station.commissioning.service_unit import Service, quoted, unit_text


def unit(starts_itself: bool = True, sources: tuple[str, ...] = ("0",), directory: str = "/srv/line") -> dict[str, str]:
    service = Service(
        Path("/opt/station/bin/python"), Path("/etc/line 1.toml"), sources, "plant", Path(directory), starts_itself
    )
    lines = [line.partition("=") for line in unit_text(service).splitlines() if "=" in line]
    return {key: value for key, _, value in lines if not key.startswith("#")}


def test_it_runs_what_was_asked_for() -> None:
    assert shlex.split(unit(sources=("0", "/dev/video2"))["ExecStart"]) == [
        *("/opt/station/bin/python", "-m", "station", "run", "--config", "/etc/line 1.toml"),
        *("--camera", "0", "--camera", "/dev/video2"),
    ]


@pytest.mark.parametrize("starts_itself", [True, False])
def test_it_waits_for_a_person_unless_the_line_may_start_by_itself(starts_itself: bool) -> None:
    assert ("--wait-for-start" in unit(starts_itself)["ExecStart"]) is not starts_itself


def test_it_comes_back_after_a_crash_and_a_hanging_loop_but_not_after_a_wrong_configuration() -> None:
    said = unit()
    assert (said["Type"], said["Restart"], said["RestartPreventExitStatus"]) == ("notify", "on-failure", "2")
    assert int(said["WatchdogSec"]) >= 3
    assert said["StartLimitIntervalSec"] == "0"


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("50%", "50%%"),
        ("$HOME", "$$HOME"),
        ('a "quote"', '"a \\"quote\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("rtsp://camera/1?a=b&c=d", "rtsp://camera/1?a=b&c=d"),
        ("", '""'),
    ],
)
def test_words_are_quoted_as_systemd_reads_them(word: str, written: str) -> None:
    assert quoted(word) == written


def test_a_percent_sign_in_a_path_is_no_specifier() -> None:
    assert unit(directory="/srv/100%n")["WorkingDirectory"] == "/srv/100%%n"
