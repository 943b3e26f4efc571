"""The one place of the command line that prints: data on stdout, messages on stderr, an error as one clear line.

Knows exit codes (README, "Exit codes"). Knows nothing of any command.
"""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer

from firmware_bridge.errors import BridgeError
from station.errors import ControllerError, StationError

P = ParamSpec("P")
R = TypeVar("R")

CHECK_FAILED = 1
INTERRUPTED = 130


def data(text: str) -> None:
    """What was asked for: stdout."""
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
    sys.stdout.flush()


def data_json(value: Any) -> None:
    """One object on stdout. Infinity and NaN are not JSON: they would be an error of the caller."""
    data(json.dumps(value, indent=2, allow_nan=False))


def say(text: str) -> None:
    """A message to the person: stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def give(value: Any, text: str, as_json: bool) -> None:
    """The same answer for a program or for a person."""
    if as_json:
        data_json(value)
    else:
        data(text)


def confirmed(question: str, yes: bool) -> bool:
    """True with --yes, or when a person at a terminal types yes. Without a terminal the answer is no."""
    if yes:
        return True
    if not sys.stdin.isatty():
        say(f"{question} No terminal to ask on: answered no; --yes answers yes.")
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns padded to their widest cell."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn every error a person can cause or cure into one line on stderr and the right exit code."""
    try:
        yield
    except StationError as error:
        _end(error, error.exit_code)
    except BridgeError as error:
        _end(error, ControllerError.exit_code)
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader went away (`| head`): not an error, and the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        _end(error, StationError.exit_code)


def told(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose errors are told plainly: put it under typer's own decorator."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        _quieten_opencv()
        with plain_errors():
            return command(*args, **kwargs)

    return wrapper


def _quieten_opencv() -> None:
    """OpenCV and FFmpeg write pages to stderr where our one line says it; read at their import, which commands do late."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _end(error: Exception, code: int) -> NoReturn:
    words = str(error)
    if isinstance(error, OSError) and error.strerror:
        words = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    say(f"station: {words or type(error).__name__}")
    raise typer.Exit(code) from None
