"""What can be said of the firmware without running it: a linter finds nothing, and its stack has a bottom that is known.

The depth is that of the longest way through the calls as the compiler made them, for the RP2040; interrupts come on top of it.
"""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

import firmware_bridge.firmware

FIRMWARE = Path(firmware_bridge.firmware.__file__).parent
OUTSIDE = 0  # the functions of the SDK and the compiler: the margin is theirs
MARGIN_BYTES = 1024
NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "[^"]*?(\d+) bytes \(([a-z,]+)\)', re.MULTILINE)
EDGE = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', re.MULTILINE)


@pytest.mark.tool("cppcheck")
@pytest.mark.skipif(shutil.which("cppcheck") is None, reason="needs cppcheck")
def test_cppcheck_finds_nothing_in_core_and_twin() -> None:
    done = subprocess.run(["make", "-s", "-C", str(FIRMWARE), "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


class Calls:
    """Who calls whom, and what each takes on the stack."""

    def __init__(self, folder: Path) -> None:
        self.bytes_of: dict[str, int] = {}
        self.kinds: set[str] = set()
        self.targets: dict[str, set[str]] = {}
        for file in folder.glob("*.ci"):
            text = file.read_text()
            for name, used, kind in NODE.findall(text):
                self.bytes_of[name] = int(used)
                self.kinds.add(kind)
            for source, target in EDGE.findall(text):
                self.targets.setdefault(source, set()).add(target)

    def deepest(self, root: str) -> int:
        assert root in self.bytes_of, root

        @cache
        def below(name: str, way: tuple[str, ...] = ()) -> int:
            assert name not in way, f"recursion: {' > '.join((*way, name))}"
            deeper = (below(target, (*way, name)) for target in self.targets.get(name, ()))
            return self.bytes_of.get(name, OUTSIDE) + max(deeper, default=0)

        return below(root)


@pytest.fixture(scope="module")
def calls() -> Calls:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("needs gcc-arm-none-eabi")
    subprocess.run(["make", "-s", "-C", str(FIRMWARE), "rp2040-prototypes"], check=True, capture_output=True)
    return Calls(FIRMWARE / "build/rp2040")


def test_every_frame_has_a_size_that_the_compiler_knows(calls: Calls) -> None:
    assert calls.kinds == {"static"}, "a dynamic frame has no bound"
    assert "__indirect_call" not in {target for targets in calls.targets.values() for target in targets}


def test_the_deepest_way_and_both_interrupts_fit_into_the_boards_stack(calls: Calls) -> None:
    """Recursion would be told with its way."""
    found = re.search(r"PICO_STACK_SIZE=(0x[0-9a-f]+)", (FIRMWARE / "hal/rp2040/CMakeLists.txt").read_text())
    assert found is not None
    interrupts = [name for name in calls.bytes_of if name.endswith((":on_alarm", ":on_pulse", ":on_encoder"))]
    assert len(interrupts) == 3
    depth = calls.deepest("main") + sum(calls.deepest(name) for name in interrupts)
    assert depth + MARGIN_BYTES <= int(found[1], 16), f"{depth} bytes"
