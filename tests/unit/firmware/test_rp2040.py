"""The RP2040 HAL without its SDK: it compiles against the SDK's prototypes, asks for nothing else, and its core fits.

No image and no run: what the SDK does behind those names is not shown here.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import firmware_bridge.firmware

FIRMWARE = Path(firmware_bridge.firmware.__file__).parent
HAL = FIRMWARE / "hal/rp2040"
OF_THE_COMPILER = {"memcpy", "memset", "memmove", "memcmp"}

pytestmark = [
    pytest.mark.tool("arm-none-eabi-gcc"),
    pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs gcc-arm-none-eabi"),
]


@pytest.fixture(scope="module")
def built() -> Path:
    subprocess.run(["make", "-s", "-C", str(FIRMWARE), "rp2040-prototypes"], check=True, capture_output=True)
    return FIRMWARE / "build/rp2040"


def test_what_it_asks_of_the_sdk_is_what_the_prototypes_declare(built: Path) -> None:
    said = subprocess.run(["arm-none-eabi-nm", "-u", str(built / "main.o")], check=True, capture_output=True, text=True)
    wanted = {word for word in re.findall(r"U (\w+)", said.stdout) if not word.startswith(("sc_", "__aeabi_"))}
    prototypes = (HAL / "sdk_prototypes.h").read_text()
    declared = set(re.findall(r"^[\w ]+?[ *](\w+)\([^()]*\);", prototypes, re.MULTILINE))
    assert wanted - OF_THE_COMPILER == declared, "asked but not declared, or declared and not asked"


def test_a_wrong_argument_is_an_error_there(tmp_path: Path) -> None:
    """So that the check is one: a plain number is no time, and a callback must be of its kind."""
    for wrong in ("hardware_alarm_set_target(0, 5);", "hardware_alarm_set_callback(0, gpio_get_all);", "gpio_put(1);"):
        source = tmp_path / "wrong.c"
        source.write_text(f'#include "sdk_prototypes.h"\nvoid f(void);\nvoid f(void) {{ {wrong} }}\n')
        words = ["arm-none-eabi-gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{HAL}"]
        assert subprocess.run([*words, str(source)], capture_output=True).returncode != 0, wrong


def test_its_core_fits_into_the_memory_it_sets_aside(tmp_path: Path) -> None:
    sizes = re.findall(r"SC_[A-Z_]+=\d+", (HAL / "CMakeLists.txt").read_text())
    assert "SC_GATES=8" in sizes
    kib = re.search(r"CORE_BYTES = (\d+) \* 1024", (HAL / "main.c").read_text())
    assert kib is not None
    source = tmp_path / "fits.c"
    source.write_text(
        f'#include "internal.h"\n_Static_assert(sizeof(sc_core) <= {kib[1]} * 1024, "the core is larger");\n'
    )
    words = [
        "arm-none-eabi-gcc",
        "-std=c11",
        "-mcpu=cortex-m0plus",
        "-mthumb",
        "-fsyntax-only",
        f"-I{FIRMWARE / 'core'}",
    ]
    done = subprocess.run([*words, *(f"-D{size}" for size in sizes), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
