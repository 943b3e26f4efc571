"""What is forgotten and what never is, with real files and a real history."""

import sqlite3
from pathlib import Path

import pytest

from station.clock import ManualClock
from station.errors import ConfigError
from station.record.history import BITE_ROWS, FILE_NAME, History, open_history
from station.record.recorder import Recorder, Settled
from station.record.retention import Housekeeping, KeptRun, Limits, prune, too_many
from tests.unit.record.makers import record

UTC = 1_700_000_000_000_000_000
DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9
MIB = 2**20


def run(run_id: int, days_ago: float, mib: int) -> KeptRun:
    return KeptRun(run_id, UTC - round(days_ago * DAY_NS), None, mib * MIB)


@pytest.mark.parametrize(
    ("runs", "others_mib", "limits", "gone"),
    [
        pytest.param([], 0, Limits(30, 1), [], id="nothing there"),
        pytest.param([run(1, 40, 1), run(2, 20, 1)], 0, Limits(30, 1), [1], id="too old"),
        pytest.param([run(1, 40, 1)], 0, Limits(30, 1), [], id="the newest stays however old"),
        pytest.param([run(1, 3, 400), run(2, 2, 400), run(3, 1, 400)], 0, Limits(30, 1), [1], id="too large"),
        pytest.param([run(1, 3, 400), run(2, 2, 400)], 500, Limits(30, 1), [1], id="the rest counts too"),
        pytest.param([run(1, 3, 9000)], 0, Limits(30, 1), [], id="the newest stays however large"),
        pytest.param([run(1, 40, 1), run(2, 3, 900), run(3, 1, 900)], 0, Limits(30, 1), [1, 2], id="old, then large"),
    ],
)
def test_the_oldest_go_first(runs: list[KeptRun], others_mib: int, limits: Limits, gone: list[int]) -> None:
    assert [run.run_id for run in too_many(runs, others_mib * MIB, limits, UTC)] == gone


def ended_run(
    history: History, out: Path, ended_utc_ns: int, *, items: int = 1, mib: float = 0.0, seed: int | None = None
) -> int:
    run_id = history.begin_run({"out": str(out), "seed": seed}, 0, ended_utc_ns - 1)
    history.write([Settled(record(number + 1)) for number in range(items)])
    out.mkdir(parents=True, exist_ok=True)
    (out / "items.jsonl").write_bytes(b"x" * round(mib * MIB) + b"\n")
    history.finish_run({"status": "completed"}, ended_utc_ns)
    return run_id


def run_ids(directory: Path) -> list[int]:
    with sqlite3.connect(directory / FILE_NAME) as db:
        return [run_id for (run_id,) in db.execute("SELECT run_id FROM runs ORDER BY run_id")]


def forgotten(records: Path, history: History, limits: Limits) -> list[int]:
    return sorted({run_id for run_id in prune(records, history, limits, UTC) if run_id})


def test_an_old_run_goes_with_its_rows_and_its_own_folder_only(tmp_path: Path) -> None:
    records, elsewhere = tmp_path / "records", tmp_path / "mine"
    history = open_history(records, 0, UTC)
    old = ended_run(history, records / "run-old", UTC - 40 * DAY_NS)
    named = ended_run(history, elsewhere, UTC - 39 * DAY_NS)
    new = ended_run(history, records / "run-new", UTC - DAY_NS)
    assert forgotten(records, history, Limits(30, 1)) == [old, named]
    assert run_ids(records) == [new]
    assert history._db.execute("SELECT DISTINCT run_id FROM items").fetchall() == [(new,)]
    assert not (records / "run-old").exists()
    assert (elsewhere / "items.jsonl").exists()
    assert (records / "run-new" / "items.jsonl").exists()
    history.close()


def test_too_much_on_the_disk_costs_the_oldest_runs_and_no_more_than_needed(tmp_path: Path) -> None:
    history = open_history(tmp_path, 0, UTC)
    ids = [ended_run(history, tmp_path / f"run-{n}", UTC - (5 - n) * DAY_NS, mib=4) for n in range(4)]
    # 16 MiB of runs (and the history's own file) in 12.3 MiB: one has to go.
    assert forgotten(tmp_path, history, Limits(30, 12.3 / 1024)) == ids[:1]
    assert not (tmp_path / "run-0").exists()
    assert (tmp_path / "run-1").exists()
    history.close()


def test_what_others_keep_in_the_same_directory_costs_no_run(tmp_path: Path) -> None:
    history = open_history(tmp_path, 0, UTC)
    for n in range(2):
        ended_run(history, tmp_path / f"run-{n}", UTC - (5 - n) * DAY_NS)
    (tmp_path / "holiday.mkv").write_bytes(b"x" * 8 * MIB)
    assert forgotten(tmp_path, history, Limits(30, 4 / 1024)) == []
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "a.jpg").write_bytes(b"x" * 8 * MIB)
    assert forgotten(tmp_path, history, Limits(30, 4 / 1024)) == [1]
    history.close()


def test_the_running_run_is_never_forgotten_though_it_is_old_and_fills_the_disk(tmp_path: Path) -> None:
    history = open_history(tmp_path, 0, UTC)
    ended = [ended_run(history, tmp_path / f"run-{n}", UTC - (50 - n) * DAY_NS, mib=1) for n in range(2)]
    out = tmp_path / "run-now"
    current = history.begin_run({"out": str(out)}, 0, UTC - 90 * DAY_NS)
    history.write([Settled(record(1))])
    out.mkdir()
    (out / "items.jsonl").write_bytes(b"x" * 8 * MIB)
    assert forgotten(tmp_path, history, Limits(30, 1 / 1024)) == ended[:1]
    assert run_ids(tmp_path) == [ended[1], current]
    assert (out / "items.jsonl").stat().st_size == 8 * MIB
    assert history.forget_some(current) is False
    history.forget_run(current)
    assert current in run_ids(tmp_path)
    history.close()


def test_a_demo_leaves_a_plants_runs_alone(tmp_path: Path) -> None:
    history = open_history(tmp_path, 0, UTC)
    plant = ended_run(history, tmp_path / "run-plant", UTC - 60 * DAY_NS)
    demo = ended_run(history, tmp_path / "run-demo", UTC - 50 * DAY_NS, seed=7)
    newest = ended_run(history, tmp_path / "run-new", UTC - DAY_NS, seed=8)
    assert forgotten(tmp_path, history, Limits(30, 1, simulated_only=True)) == [demo]
    assert run_ids(tmp_path) == [plant, newest]
    history.close()


def test_the_files_space_goes_back_to_the_disk_in_bites_between_which_items_are_written(tmp_path: Path) -> None:
    history = open_history(tmp_path, 0, UTC)
    ended_run(history, tmp_path / "run-old", UTC - 40 * DAY_NS, items=3 * BITE_ROWS)
    ended_run(history, tmp_path / "run-new", UTC - DAY_NS)
    history.begin_run({"out": str(tmp_path / "run-now")}, 0, UTC)
    history._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (tmp_path / FILE_NAME).stat().st_size
    wall, recorder = ManualClock(0, UTC), Recorder([history])
    keeping = Housekeeping(tmp_path, history, Limits(30, 1), 10, wall)
    recorder.chores.append(keeping.step)
    left = []
    for turn in range(40):
        recorder.put(Settled(record(turn + 1)))
        recorder.step(wall.now_ns())
        left.append(history.items_of(1))
        wall.advance_ms(250)
    assert recorder.flush(wall.now_ns()) == 0
    assert len(set(left)) >= 2  # not all at once
    assert left[-1] == 0
    assert keeping.forgotten == [1]
    assert history.items_of(history.run_id) == 40
    history._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / FILE_NAME).stat().st_size < before / 5
    history.close()


def test_pruning_comes_again_after_its_minutes_and_after_trouble(tmp_path: Path) -> None:
    history = open_history(tmp_path, 0, UTC)
    for n in range(2):
        ended_run(history, tmp_path / f"run-{n}", UTC - (29.9 - n) * DAY_NS)  # type: ignore[arg-type]
    wall = ManualClock(0, UTC)
    keeping = Housekeeping(tmp_path, history, Limits(30, 1), 10, wall)

    def turns(minutes: float) -> None:
        for _ in range(round(minutes * 60)):
            keeping.step(wall.now_ns())
            wall.advance_ms(1000)

    turns(1)
    assert keeping.forgotten == []
    wall.advance_ns(round(0.2 * DAY_NS))
    history._db.execute("PRAGMA query_only = ON")  # the disk does not take it
    turns(1)
    assert keeping.trouble is not None
    assert "readonly" in keeping.trouble
    history._db.execute("PRAGMA query_only = OFF")
    turns(8)
    assert keeping.forgotten == []  # not before its time
    turns(2)
    assert keeping.forgotten == [1]
    assert not keeping.trouble
    history.close()


def test_a_history_of_an_earlier_program_learns_to_shrink_at_its_next_start(tmp_path: Path) -> None:
    history = open_history(tmp_path, 0, UTC)
    ended_run(history, tmp_path / "run", UTC, items=20)
    history._db.execute("PRAGMA auto_vacuum = NONE")
    history._db.execute("VACUUM")
    history.close()
    again = open_history(tmp_path, 0, UTC)
    assert again._db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert again.items_of(1) == 20
    again.close()


def test_a_directory_that_cannot_be_written_is_refused_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"record\.directory"):
        open_history(tmp_path / "file" / "records", 0, UTC)
