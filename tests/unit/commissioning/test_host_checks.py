"""What doctor says about a computer, on computers made up here."""

import socket
import sqlite3
from pathlib import Path

import pytest

from station.commissioning.findings import Verdict, as_text, failed, passed, warned, worst
from station.commissioning.host_checks import (
    TorchFacts,
    disk_space,
    engines,
    history,
    import_error,
    opencv_library,
    page_address,
    port_grabbers,
    record_directory,
)
from station.record.history import FILE_NAME, open_history

GIB = 1 << 30


def test_a_bare_debian_names_all_missing_libraries_and_their_packages() -> None:
    error = "ImportError: libxcb.so.1: cannot open shared object file: No such file or directory"
    absent = {"libGL.so.1", "libxcb.so.1", "libgthread-2.0.so.0"}
    finding = opencv_library(lambda _: error, lambda library: library not in absent)
    assert finding.verdict is Verdict.FAIL
    assert all(library in finding.message for library in absent)
    assert finding.fix == "sudo apt install libgl1 libglib2.0-0 libxcb1"


def test_a_library_we_never_heard_of_is_named_from_the_error() -> None:
    error = "ImportError: libnovel.so.7: cannot open shared object file: No such file or directory"
    finding = opencv_library(lambda _: error, lambda _: True)
    assert "libnovel.so.7" in finding.message
    assert "the package of libnovel.so.7" in finding.fix


def test_another_import_error_is_told_as_it_is() -> None:
    finding = opencv_library(lambda _: "ModuleNotFoundError: No module named 'cv2'", lambda _: True)
    assert finding.verdict is Verdict.FAIL
    assert "No module named 'cv2'" in finding.message


def test_imports_are_tried_in_another_interpreter() -> None:
    assert import_error("json") is None
    assert "no_such_module_here" in str(import_error("no_such_module_here"))


@pytest.mark.parametrize(
    ("facts", "driver", "verdicts"),
    [
        pytest.param(TorchFacts(error="OSError: libcudart"), False, {"torch": "fail"}, id="torch broken"),
        pytest.param(TorchFacts(version="2", threads=2), False, {"torch": "pass", "gpu": "pass"}, id="no GPU"),
        pytest.param(TorchFacts(version="2", threads=2), True, {"torch": "pass", "gpu": "warn"}, id="GPU unused"),
        pytest.param(
            TorchFacts(version="2", gpu="H100", free_gib=70, total_gib=80), True, {"gpu": "pass"}, id="GPU well"
        ),
        pytest.param(
            TorchFacts(version="2", gpu="H100", free_gib=0.2, total_gib=80), True, {"gpu": "warn"}, id="GPU full"
        ),
    ],
)
def test_torch_and_gpu(tmp_path: Path, facts: TorchFacts, driver: bool, verdicts: dict[str, str]) -> None:
    if driver:
        (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
        (tmp_path / "proc/driver/nvidia/version").touch()
    found = {finding.check: finding.verdict.value for finding in engines(lambda: facts, tmp_path)}
    assert verdicts.items() <= found.items()


@pytest.mark.parametrize(("free_gib", "verdict"), [(0.5, Verdict.FAIL), (3, Verdict.WARN), (50, Verdict.PASS)])
def test_disk_space_is_judged_against_what_the_records_may_take(free_gib: float, verdict: Verdict) -> None:
    asked: list[Path] = []

    def usage(place: Path) -> tuple[int, int, int]:
        asked.append(place)
        return 100 * GIB, 0, round(free_gib * GIB)

    assert disk_space(Path("/not/there/yet"), 5.0, usage).verdict is verdict
    assert asked == [Path("/")]  # the nearest folder that exists


def test_a_records_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    assert record_directory(tmp_path / "new" / "runs").verdict is Verdict.PASS
    blocking = tmp_path / "file"
    blocking.touch()
    assert record_directory(blocking / "runs").verdict is Verdict.FAIL
    assert list(tmp_path.iterdir()) == [blocking]  # nothing left behind


def test_a_history_is_judged_without_being_changed(tmp_path: Path) -> None:
    assert history(tmp_path / "none").verdict is Verdict.PASS
    writer = open_history(tmp_path, 0, 0)
    writer.begin_run({}, 0, 0)
    running = history(tmp_path)
    assert running.verdict is Verdict.WARN
    assert "records in" in running.message
    writer.close()
    found = history(tmp_path)
    assert found.verdict is Verdict.PASS, found.message
    assert "1 runs" in found.message
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("INSERT INTO migrations VALUES (99, 'of the future', 0)")
    assert "newer program" in history(tmp_path).message
    (tmp_path / FILE_NAME).write_bytes(b"SQLite format 3" + bytes(range(256)) * 16)
    broken = history(tmp_path)
    assert (broken.verdict, "mv " in broken.fix) == (Verdict.FAIL, True)


def test_an_address_that_is_taken_or_none_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = page_address(f"127.0.0.1:{port}")
    assert (finding.verdict, str(port) in finding.fix) == (Verdict.WARN, True)
    assert page_address("127.0.0.1:0").verdict is Verdict.PASS
    assert page_address("nonsense").verdict is Verdict.FAIL


def test_modem_manager_is_found_among_the_processes(tmp_path: Path) -> None:
    for number, name in (("1", "systemd"), ("77", "ModemManager")):
        (tmp_path / "proc" / number).mkdir(parents=True)
        (tmp_path / "proc" / number / "comm").write_text(name + "\n")
    finding = port_grabbers(tmp_path)
    assert finding.verdict is Verdict.WARN
    assert "systemctl disable --now ModemManager" in finding.fix
    assert port_grabbers(tmp_path / "nothing").verdict is Verdict.PASS


def test_the_worst_finding_decides_and_every_fix_is_shown() -> None:
    findings = [passed("a", "well"), failed("b", "broken\nbadly", "mend it"), warned("c", "so so", "look")]
    assert worst(findings) is Verdict.FAIL
    assert worst([]) is Verdict.PASS
    assert as_text(findings).splitlines() == [
        "pass  a: well",
        "fail  b: broken",
        "      badly",
        "      fix: mend it",
        "warn  c: so so",
        "      fix: look",
    ]
