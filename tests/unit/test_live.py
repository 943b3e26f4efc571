"""The station's threads, started and ended without a camera and without a controller."""

import gc

from station.app import build_loop
from station.books import Books
from station.clock import SystemClock
from station.config import builtin_config
from station.live import LiveRun
from station.machine import State
from station.record.recorder import Recorder
from station.simulation.stub import StubRecogniser


def test_the_collector_leaves_what_was_loaded_before_the_line_runs_alone_until_it_ends() -> None:
    clock, frozen_before = SystemClock(), gc.get_freeze_count()
    run = LiveRun(clock, Books(Recorder([]), 0), None)
    run.begin(build_loop(builtin_config("virtual"), {}, StubRecogniser((), seed=1), clock, auto_rearm=True), {})
    try:
        assert run.crash is None
        assert run.loop.machine.state is not State.STOPPED
        assert gc.get_freeze_count() > frozen_before + 10_000
    finally:
        run.finish()
    assert gc.get_freeze_count() == 0
