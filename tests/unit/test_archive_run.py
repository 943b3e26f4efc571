"""The books of a run, opened as `run` and `demo` open them: old runs go, crops come, bins go on from where they were."""

from pathlib import Path

import pytest

from station.archive_run import RunArchive, flush, open_run
from station.clock import ManualClock
from station.config import StationConfig, builtin_config, changed
from station.datatypes import DecisionReason
from station.events import EventKind
from station.record.run_report import RunFacts
from tests.unit.record.test_crops import Says, look, settled

DAY_NS = 86_400 * 10**9


def line(**record: float) -> StationConfig:
    bins = {"product": {"gates": tuple(range(8)), "full_at_items": 100}, "residue": {}}
    return changed(builtin_config("virtual"), record=record, sort={"bins": bins})


def opened(directory: Path, name: str, clock: ManualClock, seed: int | None = None) -> RunArchive:
    facts = RunFacts("wall", seed, "cpu", "test", "model")
    return open_run(directory / name, directory, facts, clock, clock)


def ended(archive: RunArchive, clock: ManualClock) -> None:
    assert flush(archive) == 0
    archive.history.finish_run({"status": "completed"}, clock.utc_ns())
    archive.history.close()


@pytest.mark.parametrize(("seed", "folder"), [(None, "crops"), (7, "crops-simulated")])
def test_an_unsure_items_crop_lies_beside_the_history_when_the_run_has_ended(
    tmp_path: Path, seed: int | None, folder: str
) -> None:
    clock = ManualClock(10**9)
    archive = opened(tmp_path, "run-1", clock, seed)
    recogniser = archive.keep_crops(Says([0.6]), line(crops_sample=0.0))
    assert recogniser.classes == ("organic", "recyclable")
    recogniser.classify([look(4, 100)])
    archive.books.settled(settled(4, 0.6, DecisionReason.UNSURE))
    ended(archive, clock)
    assert len(list((tmp_path / folder / "recyclable").glob("*-1-4.jpg"))) == 1


def test_without_a_budget_for_crops_the_recogniser_is_left_as_it_is(tmp_path: Path) -> None:
    clock = ManualClock(10**9)
    archive = opened(tmp_path, "run-1", clock)
    recogniser = Says([])
    assert archive.keep_crops(recogniser, line(crops_mib=0.0)) is recogniser
    ended(archive, clock)


def test_a_new_run_forgets_an_old_one_while_it_records(tmp_path: Path) -> None:
    clock = ManualClock(10**9)
    for name in ("run-old", "run-newer"):
        ended(opened(tmp_path, name, clock), clock)
        clock.advance_ns(20 * DAY_NS)
    archive = opened(tmp_path, "run-now", clock)
    archive.go_on(line(keep_days=30), clock)
    assert (tmp_path / "run-old").exists()  # the start does not wait for it
    for _ in range(20):
        archive.recorder.step(clock.now_ns())
        clock.advance_ms(250)
    assert sorted(path.name for path in tmp_path.glob("run-*")) == ["run-newer", "run-now"]
    ended(archive, clock)


def test_the_bins_are_as_full_as_the_last_run_left_them(tmp_path: Path) -> None:
    clock = ManualClock(10**9)
    first = opened(tmp_path, "run-1", clock)
    first.books.event(EventKind.BINS, clock.now_ns(), levels={"product": 40})
    ended(first, clock)
    clock.advance_ns(DAY_NS)
    second = opened(tmp_path, "run-2", clock)
    second.go_on(line(), clock)
    assert second.books.landed_before == {"product": 40}
    assert second.books.unactuated_bin == "residue"
    ended(second, clock)
    demo = opened(tmp_path, "run-3", clock, seed=7)
    demo.go_on(line(), clock)
    assert demo.books.landed_before == {}
    ended(demo, clock)
