"""How far a long piece of work is: a moving line at a terminal, a plain line now and then elsewhere. Knows no training."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

AT_TERMINAL_S, ELSEWHERE_S = 0.2, 30.0
WIDTH = 24


class ProgressLine:
    """`tick` after each piece; `total` pieces make the whole. Nothing is written for work that is over at once."""

    def __init__(
        self,
        what: str,
        total: int,
        stream: TextIO | None = None,
        now_s: Callable[[], float] = time.monotonic,
        done: int = 0,
    ) -> None:
        self._what, self._total, self._stream, self._now_s = what, max(total, 1), stream or sys.stderr, now_s
        self._terminal = self._stream.isatty()
        self._began_s = self._told_s = now_s()
        self._first = self._done = done
        self._shown = False

    def tick(self, pieces: int, note: str = "") -> None:
        self._done += pieces
        now_s = self._now_s()
        if now_s - self._told_s < (AT_TERMINAL_S if self._terminal else ELSEWHERE_S):
            return
        self._told_s, self._shown = now_s, True
        share = min(self._done / self._total, 1.0)
        left_s = (now_s - self._began_s) * (self._total - self._done) / max(self._done - self._first, 1)
        text = f"{self._what}  {share:4.0%}  {clock(left_s)} left  {note}".rstrip()
        if self._terminal:
            full = round(share * WIDTH)
            self._stream.write(f"\r\x1b[K[{'#' * full}{'.' * (WIDTH - full)}] {text}")
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the terminal's line clean for what comes next."""
        if self._terminal and self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def clock(seconds: float) -> str:
    """4:05, or 1:02:03."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
