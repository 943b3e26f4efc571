"""What a person sees while a training runs."""

import io

import pytest

from training.progress import ProgressLine, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


def test_elsewhere_a_plain_line_comes_now_and_then() -> None:
    stream, now = io.StringIO(), Clock()
    line = ProgressLine("epoch 1/2", 100, stream, now)
    for _ in range(100):
        now.at_s += 1
        line.tick(1, "50 pictures/s")
    line.end()
    assert stream.getvalue().splitlines() == [
        "epoch 1/2   30%  1:10 left  50 pictures/s",
        "epoch 1/2   60%  0:40 left  50 pictures/s",
        "epoch 1/2   90%  0:10 left  50 pictures/s",
    ]


def test_at_a_terminal_one_line_moves_and_is_wiped() -> None:
    stream, now = Terminal(), Clock()
    line = ProgressLine("features", 4, stream, now)
    for _ in range(4):
        now.at_s += 1
        line.tick(1)
    line.end()
    text = stream.getvalue()
    assert "\n" not in text
    assert "[############............] features   50%  0:02 left" in text
    assert text.endswith("\r\x1b[K")


def test_after_a_resume_the_time_left_counts_what_this_run_did() -> None:
    stream, now = io.StringIO(), Clock()
    line = ProgressLine("training", 100, stream, now, done=80)
    now.at_s = 60
    line.tick(10)
    assert stream.getvalue() == "training   90%  1:00 left\n"


def test_what_is_over_at_once_says_nothing() -> None:
    stream = Terminal()
    line = ProgressLine("decoding", 10, stream, Clock())
    line.tick(10)
    line.end()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65.4, "1:05"), (3723, "1:02:03"), (-3, "0:00")])
def test_times_are_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
