"""Finds and opens the shared library that holds the C core, and tells ctypes its functions.

Knows where the library may lie; knows nothing of what the core does. `STATION_CORE_LIBRARY` names another build (sanitizers,
coverage, mutants).
"""

import ctypes
import os
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Final

from firmware_bridge.errors import CoreMissing

REMEDY: Final = (
    "the simulated device needs the firmware core, which is built with the package: install a C compiler and run "
    "`pip install -e .` (or `python setup.py build_ext --inplace`) without STATION_WITHOUT_CORE=1"
)

_CORE: Final = c_void_p
_FUNCTIONS: Final[dict[str, tuple[object, tuple[object, ...]]]] = {
    "sc_size": (c_uint32, ()),
    "sc_init": (None, (_CORE, c_uint64, c_uint32, c_uint8, c_uint8, c_uint8)),
    "sc_receive": (None, (_CORE, c_char_p, c_uint32, c_uint64)),
    "sc_transmit": (c_uint32, (_CORE, c_void_p, c_uint32)),
    "sc_link_reset": (None, (_CORE,)),
    "sc_encoder": (None, (_CORE, c_uint64, c_int64)),
    "sc_set_input": (None, (_CORE, c_uint8, c_uint8, c_uint64)),
    "sc_tick": (None, (_CORE, c_uint64)),
    "sc_next_due_us": (c_uint64, (_CORE,)),
    "sc_next_edge_us": (c_uint64, (_CORE,)),
    "sc_wake_count": (c_int64, (_CORE,)),
    "sc_outputs": (c_uint32, (_CORE,)),
    "sc_levels": (c_uint32, (_CORE,)),
    "sc_configured": (c_uint8, (_CORE,)),
    "sc_permit": (c_uint8, (_CORE,)),
    "sc_armed": (c_uint8, (_CORE,)),
    "sc_disarm_reason": (c_uint8, (_CORE,)),
    "sc_count": (c_int64, (_CORE,)),
    "sc_take_edges": (c_uint32, (_CORE, POINTER(c_int64), c_uint32)),
    "sc_waiting": (c_uint32, (_CORE,)),
    "sc_edges_lost": (c_uint32, (_CORE,)),
    "sc_trigger": (c_uint8, (_CORE,)),
    "sc_trigger_number": (c_uint32, (_CORE,)),
    "lockstep_advance": (c_uint32, (_CORE, c_uint64, c_uint64, c_double, c_double)),
    "sc_output_differs": (None, (_CORE, c_uint32, c_uint64)),
    "sc_moved": (None, (_CORE, c_uint32, c_uint32, c_uint64)),
    "timer_board_size": (c_uint32, ()),
    "timer_board_init": (None, (c_void_p, c_uint32)),
    "timer_board_advance": (c_uint32, (c_void_p, _CORE, c_uint64, c_uint64, c_double, c_double)),
    "timer_board_edges": (c_uint32, (c_void_p, POINTER(c_int64))),
    "posix_run": (c_int, (c_int, POINTER(c_char_p))),
}


def core_path() -> Path:
    """Where the library is; raises CoreMissing with the remedy."""
    named = os.environ.get("STATION_CORE_LIBRARY")
    if named:
        return Path(named)
    built = sorted(Path(__file__).parent.glob("_core*.so"))
    if not built:
        raise CoreMissing(f"no firmware core beside {__file__}: {REMEDY}")
    return built[-1]


@cache
def load_core(path: str | None = None) -> ctypes.CDLL:
    found = Path(path) if path is not None else core_path()
    try:
        library = ctypes.CDLL(str(found.resolve()))
    except OSError as error:
        raise CoreMissing(f"the firmware core {found} cannot be opened ({error}): {REMEDY}") from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library
