"""What every test relies on: visible skips that CI turns into failures, no thread and no thread count left behind."""

import sys
import threading
from collections.abc import Iterator

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failure (CI installs every tool)")
    parser.addoption("--baud", type=int, default=1_000_000, help="of --port; the ATmega328P image speaks 250000")
    parser.addoption(
        "--port", default=None, help="serial device for the hardware-in-loop suite; default: a pty with the core"
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [
        thread for thread in threading.enumerate() if thread not in before and thread.is_alive() and not thread.daemon
    ]
    assert not left, f"threads still running: {[thread.name for thread in left]}"


@pytest.fixture(autouse=True)
def _thread_counts_as_they_were() -> Iterator[None]:
    """A station that ran in this process sets them; two of torch's threads beside other work wait for each other."""
    threads, interval_s = torch.get_num_threads(), sys.getswitchinterval()
    yield
    torch.set_num_threads(threads)
    sys.setswitchinterval(interval_s)
