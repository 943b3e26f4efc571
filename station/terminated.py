"""SIGTERM is a request to end well, as Ctrl-C is: noted here, obeyed by whoever asks. Knows nothing of what has to be ended."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noting_sigterm() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGTERM has come. For the main thread: others cannot take signals."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)
