"""Is this computer fit: system libraries, torch and GPU, disk, services that grab serial ports. Changes nothing.

cv2 is never imported here: on a bare system that import is what fails, so another interpreter tries it.
"""

import ctypes
import importlib.metadata
import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from station.commissioning.findings import Finding, failed, passed, warned
from station.record.archive import history_facts, recording_process
from station.record.history import FILE_NAME
from station.record.schema import MIGRATIONS

GIB = 1 << 30
LEAST_FREE_GIB = 1.0
LONGEST_IMPORT_S = 120

# What opencv-python needs from the system, and the Debian package that brings it.
SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libxcb.so.1": "libxcb1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libXext.so.6": "libxext6",
}
MISSING = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object")

TryImport = Callable[[str], str | None]


def import_error(module: str) -> str | None:
    """The last line of what a fresh interpreter says when it imports `module`; None when all is well."""
    return _run(f"import {module}")[0] or None


def _run(code: str) -> tuple[str, str]:
    """(error, stdout) of a fresh interpreter; the error is empty when it ended well."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=LONGEST_IMPORT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {LONGEST_IMPORT_S} s", ""
    if done.returncode == 0:
        return "", done.stdout
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"the interpreter ended with {done.returncode}", ""


def loadable(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def opencv_library(tries: TryImport = import_error, can_load: Callable[[str], bool] = loadable) -> Finding:
    """Names every system library that is missing, not only the first one the import trips over."""
    error = tries("cv2")
    if error is None:
        both = [name for name in ("opencv-python", "opencv-python-headless") if version_of(name)]
        if len(both) == 2:
            fix = f"{sys.executable} -m pip uninstall opencv-python-headless, then reinstall opencv-python"
            return warned("opencv", "two OpenCV wheels share one folder and overwrite each other", fix)
        return passed("opencv", f"OpenCV {version_of(*both)} imports")
    missing = [library for library in SYSTEM_LIBRARIES if not can_load(library)]
    missing += [library for library in MISSING.findall(error) if library not in missing]
    if not missing:
        return failed(
            "opencv",
            f"cv2 cannot be imported: {error}",
            f"{sys.executable} -m pip install --force-reinstall opencv-python",
        )
    packages = sorted({SYSTEM_LIBRARIES.get(library, f"(the package of {library})") for library in missing})
    return failed(
        "opencv", f"system libraries are missing: {', '.join(missing)}", f"sudo apt install {' '.join(packages)}"
    )


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """What torch says of itself in an interpreter of its own: a broken driver may crash or hang the one that asks."""

    error: str = ""
    version: str = ""
    threads: int = 0
    gpu: str = ""  # empty: none that torch can use
    free_gib: float = 0.0
    total_gib: float = 0.0


ASK_TORCH = """
import json, torch
facts = {"version": torch.__version__, "threads": torch.get_num_threads()}
if torch.cuda.is_available():
    free, total = torch.cuda.mem_get_info()
    facts |= {"gpu": torch.cuda.get_device_name(), "free_gib": free / 2**30, "total_gib": total / 2**30}
print(json.dumps(facts))
"""


def ask_torch() -> TorchFacts:
    error, said = _run(ASK_TORCH)
    return TorchFacts(error=error) if error else TorchFacts(**json.loads(said.splitlines()[-1]))


def engines(ask: Callable[[], TorchFacts] = ask_torch, root: Path = Path("/")) -> Iterator[Finding]:
    """torch, the GPU if there is one, OpenVINO."""
    facts = ask()
    if facts.error:
        fix = f"{sys.executable} -m pip install --force-reinstall torch torchvision"
        yield failed("torch", f"torch cannot be used: {facts.error}", fix)
        return
    yield passed("torch", f"torch {facts.version}, {facts.threads} threads")
    yield _gpu(facts, root)
    openvino = version_of("openvino")
    if openvino:
        yield passed("openvino", f"OpenVINO {openvino}")
    elif not facts.gpu:
        message = "OpenVINO is not installed: inference on this CPU is about half as fast"
        yield warned("openvino", message, f"{sys.executable} -m pip install openvino")


def _gpu(facts: TorchFacts, root: Path) -> Finding:
    if facts.gpu:
        words = f"{facts.gpu}, {facts.free_gib:.1f} of {facts.total_gib:.1f} GiB free"
        if facts.free_gib < 1:
            return warned("gpu", words, "nvidia-smi shows which program holds the memory: end it")
        return passed("gpu", words)
    if (root / "proc/driver/nvidia/version").exists():
        fix = "nvidia-smi must list the GPU; then install a torch built for its CUDA version (pytorch.org, Get started)"
        return warned("gpu", "an NVIDIA driver is loaded, but torch cannot use the GPU: the CPU is used", fix)
    return passed("gpu", "no NVIDIA GPU: the CPU is used")


def disk_space(
    directory: Path, keep_gib: float, usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage
) -> Finding:
    """Room for the records; a full disk would hold the line."""
    place = next(parent for parent in [directory.absolute(), *directory.absolute().parents] if parent.exists())
    free_gib = usage(place)[2] / GIB
    words = f"{free_gib:.1f} GiB free for {directory} (record.keep_gib = {keep_gib:g})"
    if free_gib < LEAST_FREE_GIB:
        return failed("disk", words, f"free some space on the disk of {place}, or set record.directory to another disk")
    if free_gib < keep_gib:
        return warned("disk", words, "lower record.keep_gib or free some space")
    return passed("disk", words)


def record_directory(directory: Path) -> Finding:
    """May the records be written where the configuration says?"""
    place = next(parent for parent in [directory.absolute(), *directory.absolute().parents] if parent.exists())
    try:
        probe = place / ".station-doctor"
        probe.touch()
        probe.unlink()
    except OSError as error:
        fix = f"sudo install -d -o $USER {directory}, or set record.directory to a folder of yours"
        return failed("records", f"{place}: nothing can be written there: {error.strerror}", fix)
    return passed("records", f"{directory} can be written")


def port_grabbers(root: Path = Path("/")) -> Finding:
    """ModemManager and brltty open every new serial port and talk to it: the controller takes it for noise, for seconds."""
    running = {name for name in _process_names(root) if name in ("ModemManager", "brltty")}
    if not running:
        return passed("port grabbers", "neither ModemManager nor brltty runs")
    names = " and ".join(sorted(running))
    services = " ".join(sorted(name.replace("brltty", "brltty-udev") for name in running))
    fix = (
        f"sudo systemctl disable --now {services}\n"
        'or tell it to leave the board alone: a udev rule with ENV{ID_MM_DEVICE_IGNORE}="1"'
    )
    return warned("port grabbers", f"{names} runs and talks to serial ports when they appear", fix)


def _process_names(root: Path) -> Iterator[str]:
    for comm in (root / "proc").glob("[0-9]*/comm"):
        try:
            yield comm.read_text().strip()
        except OSError:  # the process has ended meanwhile
            continue


def version_of(*distributions: str) -> str:
    """Version of the first that is installed; empty if none is."""
    for name in distributions or ("opencv-python", "opencv-python-headless"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def history(directory: Path) -> Finding:
    """Is what earlier runs left usable, and does nobody record there now? A running station holds camera and port too."""
    path = directory / FILE_NAME
    if not path.exists():
        return passed("history", f"{directory} holds none yet: the first run begins it")
    owner = recording_process(directory)
    if owner is not None:
        fix = f"station stop, or end process {owner}; doctor cannot look at a camera or a port that it holds"
        return warned("history", f"a station (process {owner}) records in {directory} now", fix)
    try:
        version, runs = history_facts(path)
    except (sqlite3.Error, OSError) as error:
        fix = f"mv {path} {path}.broken (a new one is begun), or set record.directory to another folder"
        return failed("history", f"{path} cannot be read: {error}", fix)
    if version > len(MIGRATIONS):
        fix = "update this program, or set record.directory to another folder"
        return failed("history", f"{path} was written by a newer program (version {version})", fix)
    older = "" if version == len(MIGRATIONS) else f", version {version} will become {len(MIGRATIONS)} at the next start"
    return passed("history", f"{path}: {runs} runs, {path.stat().st_size / GIB:.2f} GiB{older}")


def page_address(http: str) -> Finding:
    """Can the page be had at the configured address?"""
    host, _, port = http.rpartition(":")
    try:
        with socket.create_server((host.strip("[]"), int(port)), reuse_port=False):
            return passed("page", f"{http} is free")
    except OSError as error:
        fix = f"end what listens there (ss -ltnp 'sport = :{port}'), or set panel.http to another port"
        return warned("page", f"{http} cannot be had ({error.strerror}): `run` would go without a page", fix)
    except ValueError:
        return failed("page", f"panel.http = {http!r} is no HOST:PORT", "write it like 127.0.0.1:8384")
