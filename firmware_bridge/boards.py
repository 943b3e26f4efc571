"""USB identities a controller may hide behind, and what is known about opening each. Pure: knows no port.

Only these are greeted by `auto` and `station ports find`: a greeting is bytes that a scale, a scanner or a drive on another
USB port would have to swallow, and opening a port restarts some boards. Others are named in the configuration
(`link.usb_ids`) or asked for with `--all`.
"""

from collections.abc import Iterable
from typing import Final

ANY: Final = None  # every product of this maker is a board or an adapter that a board sits behind

KNOWN: Final[dict[int, tuple[str, frozenset[int] | None]]] = {
    0x2341: ("Arduino", ANY),
    0x2A03: ("Arduino", ANY),
    0x2E8A: ("Raspberry Pi Pico", ANY),
    0x239A: ("Adafruit", ANY),
    0x1B4F: ("SparkFun", ANY),
    0x16C0: ("Teensy", frozenset({0x0483, 0x0487, 0x0489, 0x048B, 0x048C})),
    0x0483: ("STM32, its own USB", frozenset({0x5740, 0x374B, 0x374E, 0x374F, 0x3753})),
    0x303A: ("Espressif", frozenset({0x1001, 0x4001})),
    0xCAFE: ("TinyUSB example identity", frozenset({0x4001, 0x4003})),
    0x0403: ("FTDI adapter", frozenset({0x6001, 0x6010, 0x6011, 0x6014, 0x6015})),
    0x1A86: ("CH340 adapter", frozenset({0x5523, 0x7522, 0x7523, 0x55D3, 0x55D4})),
    0x10C4: ("CP210x adapter", frozenset({0xEA60, 0xEA70, 0xEA71})),
    0x067B: ("PL2303 adapter", frozenset({0x2303, 0x23A3})),
}


def board_name(vid: int | None, pid: int | None) -> str | None:
    """What is known under this identity; None: it is not known to be a board and not greeted unasked."""
    if vid is None or pid is None or vid not in KNOWN:
        return None
    name, products = KNOWN[vid]
    return name if products is None or pid in products else None


def may_be_greeted(vid: int | None, pid: int | None, also: Iterable[str] = ()) -> bool:
    """`also`: VID:PID pairs that the configuration names."""
    if vid is None or pid is None:
        return False
    return board_name(vid, pid) is not None or f"{vid:04x}:{pid:04x}" in {usb_id.lower() for usb_id in also}
