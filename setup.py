"""Builds the firmware core into the package as a shared library. Everything else is in pyproject.toml.

`STATION_WITHOUT_CORE=1` leaves it out, for machines without a C compiler that only drive real boards.
"""

import os
from pathlib import Path
from zlib import crc32

from setuptools import Extension, setup

FIRMWARE = Path("firmware_bridge/firmware")


def core() -> Extension:
    sources = sorted([*FIRMWARE.glob("core/*.c"), *FIRMWARE.glob("hal/posix/*.c")])
    headers = sorted([*FIRMWARE.glob("core/*.h"), *FIRMWARE.glob("hal/*/*.h")])
    firmware_hash = crc32(b"".join(path.read_bytes() for path in sorted(FIRMWARE.glob("core/*.[ch]"))))
    return Extension(
        "firmware_bridge.firmware._core",
        [str(path) for path in sources],
        depends=[str(path) for path in headers],
        define_macros=[("SC_FIRMWARE_HASH", f"0x{firmware_hash:08X}u")],
        extra_compile_args=["-std=c11", "-O2", "-pthread", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"],
        libraries=["m", "pthread"],
        py_limited_api=True,  # it uses no Python at all: one build serves every version
    )


setup(
    ext_modules=[] if os.environ.get("STATION_WITHOUT_CORE") == "1" else [core()],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
