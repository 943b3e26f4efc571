"""Somebody who looks at a station's page and notes what it says: through its two sockets, or in a real browser.

`SocketViewer` speaks as the page does (state, and pictures that it acknowledges) and judges by the page's own rules what an
operator would read; `BrowserViewer` opens the page in Chromium and takes down the words on the screen. Shared by the tools
beside this file; no tool by itself.
"""

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

SILENT_NS = 1_200_000_000  # as in the page: then its banner stands
LOOK_EVERY_S = 0.05
GONE = "THE STATION PROGRAM HAS ENDED"
NO_CONNECTION = "NO CONNECTION TO THE STATION"
NOT_ANSWERING = "THE STATION IS NOT ANSWERING"


@dataclass(frozen=True, slots=True)
class Sighting:
    """What stood on the page at one moment."""

    at_ns: int
    words: str  # banner, machine, controller, cameras, active alarms
    sorts: bool  # no banner, sorting, controller armed, every picture live
    alarms: frozenset[str] = frozenset()  # active ones that want an operator soon: critical and warning, by their ids
    critical: bool = False  # one of them is

    @property
    def good_enough(self) -> bool:
        """It sorts, and nothing critical stands: warnings that count over the last minute may still."""
        return self.sorts and not self.critical


class SocketViewer:
    """Reads /ws/state and /ws/live on threads of its own until `close`."""

    def __init__(self, port: int) -> None:
        self.sightings: list[Sighting] = []
        self.pictures = 0
        self._port = port
        self._ending = threading.Event()
        self._state: dict[str, Any] = {}
        self._heard_ns = 0
        self._connected = False
        self._threads = [
            threading.Thread(target=job, daemon=True) for job in (self._states, self._pictures, self._look)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(5.0)

    @property
    def good_enough(self) -> bool:
        return bool(self.sightings) and self.sightings[-1].good_enough

    # -- threads -----------------------------------------------------------------------------------------------------

    def _states(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(OSError, WebSocketException, TimeoutError), self._open("/ws/state") as socket:
                self._connected = True
                while not self._ending.is_set():
                    self._state = json.loads(socket.recv(timeout=5.0))
                    self._heard_ns = time.monotonic_ns()
            self._connected = False
            self._ending.wait(0.2)

    def _pictures(self) -> None:
        while not self._ending.is_set():
            cameras = self._state.get("cameras") or []
            if not cameras:
                self._ending.wait(0.1)
                continue
            path = f"/ws/live?camera={cameras[0]['id']}"
            with contextlib.suppress(OSError, WebSocketException), self._open(path) as socket:
                while not self._ending.is_set():
                    with contextlib.suppress(TimeoutError):
                        message = socket.recv(timeout=1.0)
                        assert isinstance(message, bytes)
                        length = int.from_bytes(message[:4], "big")
                        facts = json.loads(message[4 : 4 + length])
                        self.pictures += 1
                        socket.send(json.dumps({"drawn": facts["number"], "page_ms": time.monotonic_ns() / 1e6}))
            self._ending.wait(0.2)

    def _look(self) -> None:
        while not self._ending.is_set():
            now_ns = time.monotonic_ns()
            if self._heard_ns:
                self.sightings.append(_seen(self._state, now_ns, self._heard_ns, self._connected))
            self._ending.wait(LOOK_EVERY_S)

    def _open(self, path: str) -> Any:
        origin: Any = f"http://127.0.0.1:{self._port}"
        return connect(
            f"ws://127.0.0.1:{self._port}{path}", origin=origin, compression=None, proxy=None, max_size=2**23
        )


def _seen(state: dict[str, Any], now_ns: int, heard_ns: int, connected: bool) -> Sighting:
    """The page's own judgement: pages/main.js `judge`, then what stands in its boxes."""
    banner = ""
    if not connected or now_ns - heard_ns > SILENT_NS:
        banner = NO_CONNECTION
    elif state.get("station_gone"):
        banner = GONE
    elif state.get("made_ns") is not None and now_ns - int(state["made_ns"]) > SILENT_NS:
        banner = NOT_ANSWERING
    machine, link = state.get("machine") or {}, state.get("link") or {}
    cameras = [camera for camera in state.get("cameras") or [] if not camera["live"]]
    alarms = [alarm for alarm in state.get("alarms") or [] if alarm["active"] and alarm["priority"] < 3]
    words = [banner, f"{machine.get('state')}: {machine.get('reason')}", f"controller {link.get('state')}"]
    words += [f"camera {camera['id']}: {camera['text']}" for camera in cameras]
    words += [f"alarm {alarm['alarm_id']}: {alarm['text']}" for alarm in alarms]
    sorts = not banner and machine.get("state") == "Execute" and link.get("state") == "armed" and not cameras
    return Sighting(
        now_ns,
        " | ".join(word for word in words if word),
        sorts,
        frozenset(str(alarm["alarm_id"]) for alarm in alarms),
        any(alarm["priority"] == 1 for alarm in alarms),
    )


class BrowserViewer:
    """Chromium on the page; the words are read off the screen."""

    def __init__(self, port: int, executable: str) -> None:
        self.sightings: list[Sighting] = []
        self._port = port
        self._executable = executable
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(20.0)

    @property
    def good_enough(self) -> bool:
        return bool(self.sightings) and self.sightings[-1].good_enough

    def _look(self) -> None:
        from playwright.sync_api import Error, sync_playwright

        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=self._executable, args=flags)
            page = browser.new_page()
            while not self._ending.is_set():
                with contextlib.suppress(Error):
                    page.goto(f"http://127.0.0.1:{self._port}/", timeout=2000)
                    break
                self._ending.wait(0.5)
            while not self._ending.is_set():
                self.sightings.append(_read(page.evaluate(_READ_SCREEN)))
                self._ending.wait(LOOK_EVERY_S)
            browser.close()


def _read(seen: dict[str, Any]) -> Sighting:
    """What stands on the screen, and nothing the screen does not show."""
    live = not seen["banner"] and not seen["noPicture"] and seen["controller"] == "armed"
    alarms = [alarm for alarm in seen["alarms"] if not alarm["notice"]]
    words = [seen["banner"], seen["machine"], f"controller {seen['controller']}", seen["noPicture"]]
    words += [f"alarm {alarm['id']}: {alarm['text']}" for alarm in alarms]
    return Sighting(
        time.monotonic_ns(),
        " | ".join(word for word in words if word),
        live and seen["mark"].endswith("runs"),
        frozenset(alarm["id"] for alarm in alarms),
        any(alarm["critical"] for alarm in alarms),
    )


_READ_SCREEN = """() => {
  const shown = (id) => { const e = document.getElementById(id); return e && e.checkVisibility() ? e.innerText.trim() : ''; };
  const covers = [...document.querySelectorAll('.no-picture')].filter((e) => e.checkVisibility());
  const listed = [...document.querySelectorAll('#alarm-list li.active')].filter((e) => e.checkVisibility());
  const alarms = listed.map((e) => ({ id: e.dataset.alarm, text: e.querySelector('.what').innerText.replaceAll('\\n', ' '),
    critical: e.classList.contains('p1'), notice: e.classList.contains('p3') }));
  const controller = document.querySelector('#link-controller dd').innerText;
  return { banner: shown('banner'), machine: shown('machine-reason'), controller,
    noPicture: covers.map((e) => e.innerText.replaceAll('\\n', ' ')).join('; '), alarms,
    mark: document.getElementById('machine-mark').className };
}"""
