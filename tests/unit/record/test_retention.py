from pathlib import Path

import pytest

from station.record.history import History, open_history
from station.record.recorder import Settled
from station.record.retention import KeptRun, Limits, prune, too_many
from tests.unit.record.makers import record

UTC = 1_700_000_000_000_000_000
DAY_NS = 86_400 * 10**9
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
        pytest.param([run(1, 3, 400), run(2, 2, 400)], 500, Limits(30, 1), [1], id="the history counts too"),
        pytest.param([run(1, 3, 9000)], 0, Limits(30, 1), [], id="the newest stays however large"),
        pytest.param([run(1, 40, 1), run(2, 3, 900), run(3, 1, 900)], 0, Limits(30, 1), [1, 2], id="old, then large"),
    ],
)
def test_the_oldest_go_first(runs: list[KeptRun], others_mib: int, limits: Limits, gone: list[int]) -> None:
    assert [run.run_id for run in too_many(runs, others_mib * MIB, limits, UTC)] == gone


def ended_run(history: History, out: Path, ended_utc_ns: int) -> int:
    run_id = history.begin_run({"out": str(out)}, 0, ended_utc_ns - 1)
    history.write([Settled(record(1))])
    out.mkdir(parents=True, exist_ok=True)
    (out / "items.jsonl").write_text("{}\n")
    history.finish_run({"status": "completed"}, ended_utc_ns)
    return run_id


def test_an_old_run_goes_with_its_rows_and_its_own_folder_only(tmp_path: Path) -> None:
    records, elsewhere = tmp_path / "records", tmp_path / "mine"
    history = open_history(records, 0, UTC)
    old = ended_run(history, records / "run-old", UTC - 40 * DAY_NS)
    named = ended_run(history, elsewhere, UTC - 39 * DAY_NS)
    new = ended_run(history, records / "run-new", UTC - DAY_NS)
    assert prune(records, history, Limits(30, 1), UTC) == [old, named]
    assert [run_id for run_id, _, _ in history.ended_runs()] == [new]
    assert history._db.execute("SELECT DISTINCT run_id FROM items").fetchall() == [(new,)]
    assert not (records / "run-old").exists()
    assert (elsewhere / "items.jsonl").exists()
    assert (records / "run-new" / "items.jsonl").exists()
    history.close()


def test_a_running_run_is_never_forgotten(tmp_path: Path) -> None:
    history = open_history(tmp_path, 0, UTC)
    run_id = history.begin_run({}, 0, UTC - 90 * DAY_NS)
    history.forget_runs([run_id])
    assert history._db.execute("SELECT COUNT(*) FROM runs").fetchone() == (1,)
    history.close()
