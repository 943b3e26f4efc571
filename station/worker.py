"""A thread with an edge: the one place where any exception is caught. Knows nothing of what the body does."""

import threading
from collections.abc import Callable

Crash = Callable[[str, BaseException], None]


class Worker:
    """Calls `body` until stopped. A crash is reported once to `on_crash` (thread name, error) and ends the thread."""

    def __init__(self, name: str, body: Callable[[], None], on_crash: Crash) -> None:
        self.name = name
        self._body = body
        self._on_crash = on_crash
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Ask the thread to end and wait. False when it has not ended in time."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._body()
        except Exception as error:
            self._on_crash(self.name, error)
