"""One suite, five rungs (rungs.py). By default all that this computer has tools for; with --port a board and nothing else."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.hil.driver import Driver
from tests.hil.rungs import Recorded, Rung
from tests.hil.virtual_rungs import LibraryRung, SimavrRung
from tests.hil.wall_rungs import PortRung, ProcessRung, QemuRung
from tests.unit.firmware import avr_board

BY_DEFAULT = ("library", "simavr", "process")
MISSING = {
    "simavr": shutil.which("avr-gcc") is None or not Path("/usr/include/simavr").is_dir(),
    "qemu": shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
}
MARKS: dict[str, list[Any]] = {
    "library": [],
    "simavr": [
        pytest.mark.tool("simavr"),
        pytest.mark.skipif(MISSING["simavr"], reason="needs gcc-avr, avr-libc and libsimavr-dev"),
    ],
    "process": [pytest.mark.wall],
    "qemu": [
        pytest.mark.wall,
        pytest.mark.tool("qemu-system-arm"),
        pytest.mark.skipif(
            MISSING["qemu"], reason="needs qemu-system-arm, gcc-arm-none-eabi and libnewlib-arm-none-eabi"
        ),
    ],
    "port": [pytest.mark.wall],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module may name its RUNGS, and in SMOKE the tests that the emulated Cortex-M runs too."""
    if "rung" not in metafunc.fixturenames:
        return
    names: tuple[str, ...] = getattr(metafunc.module, "RUNGS", BY_DEFAULT)
    if metafunc.function.__name__ in getattr(metafunc.module, "SMOKE", ()):
        names = (*names, "qemu")
    if metafunc.config.getoption("--port"):
        names = ("port",)
    metafunc.parametrize("rung", [pytest.param(name, marks=MARKS[name]) for name in names], indirect=True)


@pytest.fixture(scope="session")
def avr_image() -> None:
    avr_board.build()


@pytest.fixture
def rung(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rung]:
    rung: Rung
    match request.param:
        case "library":
            rung = LibraryRung()
        case "simavr":
            request.getfixturevalue("avr_image")
            rung = SimavrRung()
        case "process":
            rung = ProcessRung(tmp_path)
        case "qemu":
            rung = QemuRung()
        case _:
            rung = PortRung(str(request.config.getoption("--port")), int(request.config.getoption("--baud")))
    yield rung
    rung.end()


@pytest.fixture
def driver(rung: Rung) -> Iterator[Driver]:
    driver = Driver(rung)
    yield driver
    driver.controller.close()


@pytest.fixture
def recorded(rung: Rung) -> Recorded:
    """For what a board does not write down, or a hand would have to do there."""
    if not hasattr(rung, "edges"):
        pytest.skip(f"{rung.name}: needs a device that records its edges and can be handled by the test")
    return cast(Recorded, rung)
