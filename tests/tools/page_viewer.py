"""A viewer without a browser: takes pictures from /ws/live, acknowledges each (or never), and tells how old they were.

    python -m tests.tools.page_viewer http://127.0.0.1:8384/ --for 10 [--stalled]

Must run on the station's machine: ages are read on its monotonic clock. One JSON object on stdout.
"""

import argparse
import asyncio
import json
import statistics
import struct
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def watch(url: str, for_s: float, stalled: bool) -> dict[str, Any]:
    place = urlsplit(url)
    until_s = time.monotonic() + for_s
    ages_ms: list[float] = []
    sizes: list[int] = []
    async with asyncio.timeout(for_s + 30):
        async with connect(
            f"ws://{place.netloc}/ws/live?camera=camera0",
            origin=f"http://{place.netloc}",  # type: ignore[arg-type]
            compression=None,
            proxy=None,
        ) as socket:
            while time.monotonic() < until_s:
                try:
                    message = await asyncio.wait_for(socket.recv(), max(0.01, until_s - time.monotonic()))
                except (TimeoutError, ConnectionClosed):  # looked long enough, or the station has ended
                    break
                now_ns = time.monotonic_ns()
                assert isinstance(message, bytes)
                (length,) = struct.unpack(">I", message[:4])
                facts = json.loads(message[4 : 4 + length])
                ages_ms.append((now_ns - facts["captured_ns"]) / 1e6)
                sizes.append(len(message))
                if stalled:  # connected, and never heard of again
                    await asyncio.sleep(until_s - time.monotonic())
                    break
                await socket.send(json.dumps({"drawn": facts["number"]}))
    return {"pictures": len(ages_ms), **spread(ages_ms), "message_bytes_p50": middle(sizes)}


def spread(ages_ms: list[float]) -> dict[str, float | None]:
    """Median and 95th percentile, as far as there are any."""
    ordered = sorted(ages_ms)
    if not ordered:
        return {"age_ms_p50": None, "age_ms_p95": None}
    last = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return {"age_ms_p50": round(statistics.median(ordered), 1), "age_ms_p95": round(last, 1)}


def middle(values: list[int]) -> float | None:
    return statistics.median(values) if values else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--for", dest="for_s", type=float, default=10, help="seconds")
    parser.add_argument("--stalled", action="store_true", help="acknowledge nothing")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(watch(options.url, options.for_s, options.stalled))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
