"""What the page promises, measured on a running demo. One JSON object on stdout; exit 1 when a figure misses.

Each step is told on stderr as it ends.

    python -m tests.tools.page [--only age,slow,viewers,killed,refused,stop,loaded] [--for 15] [--seed 1]

age      picture age on loopback: as received by a plain viewer, as drawn by Chromium       median <= 60 ms
slow     the same through one link of 1 MB/s                                               median <= 300 ms
viewers  2,000 items/min: capture_to_scheduled p99 with three viewers, one of them stalled  <= headless + 20 ms
killed   the page's process killed: banner in the browser within 2 s; the line goes on; the page comes back by itself
refused  foreign Origin, rebound Host, cross-site POST, wrong token, and a foreign page in Chromium: nothing gets through
stop     STOP in Chromium, from the click to the device's own record of its outputs going off   every time <= 250 ms
loaded   the same while other programs fill every processor four times over                     every time <= 1000 ms

Ages are read on the host's clock, not on the page's estimate of it.
"""

import argparse
import http.server
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.tools.page_stage import ROOT, Demo, busy, chromium, look, page_clock_ms, until
from tests.tools.page_viewer import spread
from tests.tools.slow_link import SlowLink

AGE_MS, SLOW_AGE_MS, SLOW_BYTES_PER_S = 60, 300, 1_000_000
VIEWERS_MS = 20
BANNER_S = 2.0
STOP_MS, LOADED_STOP_MS = 250, 1000
STOPS = 5
FAST = ("--feed", "33.3", "--speed-m-s", "2.5")  # 2,000 items/min
LONG = ("--for", "20m", "--http", "127.0.0.1:0")  # ended when everything is measured

Figures = dict[str, Any]


# -- ages ----------------------------------------------------------------------------------------------------------------


def viewer(url: str, for_s: float, *flags: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.tools.page_viewer", url, "--for", str(for_s), *flags]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def heard(process: subprocess.Popen[str]) -> Figures:
    return dict(json.loads(process.communicate(timeout=300)[0]))


def drawn(browser: Any, url: str, for_s: float) -> Figures:
    """Age of every picture at the moment Chromium had drawn it."""
    page = look(browser, url)
    offset_ms = page_clock_ms(page)
    page.evaluate("stationPage.live.drawings.length = 0")
    time.sleep(for_s)
    drawings = page.evaluate("stationPage.live.drawings")
    page.context.close()
    return {"pictures": len(drawings), **spread([at_ms + offset_ms - ns / 1e6 for ns, at_ms in drawings])}


def ages(demo: Demo, browser: Any, for_s: float, url: str, limit_ms: float) -> Figures:
    plain = heard(viewer(url.split("#")[0], for_s))
    figures: Figures = {"limit_ms": limit_ms, "received": plain, "drawn": drawn(browser, url, for_s)}
    medians = [figures[how]["age_ms_p50"] for how in ("received", "drawn")]
    return {**figures, "ok": all(median is not None and median <= limit_ms for median in medians)}


def age(demo: Demo, browser: Any, options: argparse.Namespace) -> Figures:
    return ages(demo, browser, options.for_s, demo.url, AGE_MS)


def slow(demo: Demo, browser: Any, options: argparse.Namespace) -> Figures:
    link = SlowLink(demo.port, SLOW_BYTES_PER_S)
    try:
        return ages(demo, browser, options.for_s, demo.url.replace(str(demo.port), str(link.port)), SLOW_AGE_MS)
    finally:
        link.close()


def viewers(folder: Path, options: argparse.Namespace) -> Figures:
    """Two runs of the same seed, one without a page, one with three viewers."""
    flags = (*FAST, "--for", f"{2 * options.for_s:g}s", "--seed", str(options.seed))
    alone = Demo(folder, "headless", *flags, "--http", "off").wait(600)
    demo = Demo(folder, "watched", *flags, "--http", "127.0.0.1:0")
    demo.wait_for_page()
    url = demo.url.split("#")[0]
    watching_s = 2 * options.for_s + 5
    watching = [viewer(url, watching_s), viewer(url, watching_s), viewer(url, watching_s, "--stalled")]
    watched = demo.wait(600)
    seen = [heard(process) for process in watching]
    p99 = [report["latency_ms"]["capture_to_scheduled"]["p99"] for report in (alone, watched)]
    known = [value if value is not None else float("inf") for value in p99]
    return {
        "limit_ms": VIEWERS_MS,
        "items": [report["items"]["total"] for report in (alone, watched)],
        "p99_ms_headless": p99[0],
        "p99_ms_watched": p99[1],
        "viewers": seen,
        "ok": known[1] <= known[0] + VIEWERS_MS
        and all(one["pictures"] > 5 * options.for_s for one in seen[:2])
        and seen[2]["pictures"] == 1,
    }


# -- what dies -----------------------------------------------------------------------------------------------------------

NOTE_BANNER = """() => {
  const banner = document.getElementById("banner");
  window.bannerMs = null;
  const note = () => { if (!banner.hidden) window.bannerMs ??= performance.now(); };
  new MutationObserver(note).observe(banner, { attributes: true });
}"""


def killed(demo: Demo, browser: Any, options: argparse.Namespace) -> Figures:
    page = look(browser, demo.url)
    offset_ms = page_clock_ms(page)
    page.evaluate(NOTE_BANNER)
    items_before, pid = demo.items(), demo.panel_pid()
    os.kill(pid, signal.SIGKILL)
    killed_ms = time.monotonic_ns() / 1e6
    until("the banner", lambda: page.evaluate("window.bannerMs") is not None, 30)
    banner_s = (page.evaluate("window.bannerMs") + offset_ms - killed_ms) / 1e3
    words = page.locator("#banner").inner_text()
    back_s = until("the page again", lambda: page.evaluate("document.getElementById('banner').hidden"), 60)
    until("a live picture again", lambda: not page.evaluate("document.querySelector('.figure.stale')"), 60)
    counted_s = until("more items", lambda: demo.items() > items_before + 5, 60)
    state = demo.state()["machine"]["state"]
    page.context.close()
    return {
        "limit_s": BANNER_S,
        "banner_s": round(banner_s, 3),
        "banner_says": words,
        "page_back_s": round(back_s, 2),
        "items_went_on": round(counted_s, 2),
        "machine": state,
        "ok": banner_s <= BANNER_S and state == "Execute" and demo.panel_pid() != pid,
    }


# -- who is refused ------------------------------------------------------------------------------------------------------

FOREIGN_PAGE = """<!doctype html><title>foreign</title><script>
const to = location.hash.slice(1), body = '{"command":"stop"}', done = {};
const note = (name, job) =>
  job.then((r) => done[name] = r.type === "opaque" ? "opaque" : r.status, () => done[name] = "blocked");
const socket = (path) => new Promise((yes, no) => {
  const s = new WebSocket(`ws://${to}${path}`); s.onopen = () => yes({ status: "open" }); s.onerror = no; });
const post = (headers, mode) =>
  fetch(`http://${to}/api/v1/commands`, { method: "POST", headers, body, mode, credentials: "include" });
Promise.all([
  note("live_socket", socket("/ws/live")), note("state_socket", socket("/ws/state")),
  note("simple_post", post({ "Content-Type": "text/plain" }, "no-cors")),
  note("json_post", post({ "Content-Type": "application/json", "X-Station": "1" }, "cors")),
  note("read_state", fetch(`http://${to}/api/v1/state`)),
]).then(() => window.done = done);
</script>"""


def refused(demo: Demo, browser: Any, options: argparse.Namespace) -> Figures:
    here, body = f"127.0.0.1:{demo.port}", '{"command": "stop"}'
    form = {"X_Station": "1", "Content_Type": "application/json"}
    right, wrong = {"Authorization": f"Bearer {demo.token}"}, {"Authorization": "Bearer not-the-token"}

    def post(**headers: str) -> int:
        return demo.ask("POST", "/api/v1/commands", body, **headers)[0]

    answers = {
        "foreign_origin_post": post(**form, **right, Origin="http://evil.example"),
        "foreign_origin_get": demo.ask("GET", "/api/v1/state", Origin="http://evil.example")[0],
        "rebound_host_post": post(**form, **right, Host=f"evil.example:{demo.port}"),
        "rebound_host_get": demo.ask("GET", "/", Host=f"evil.example:{demo.port}")[0],
        "cross_site_post": post(Content_Type="text/plain", Sec_Fetch_Site="cross-site", **right),
        "post_without_our_header": post(Content_Type="application/json", **right),
        "post_like_a_form": post(**{**form, "Content_Type": "application/x-www-form-urlencoded"}, **right),
        "wrong_token": post(**form, **wrong),
        "no_token": post(**form),
        "foreign_origin_live": socket_answer(here, "/ws/live", "http://evil.example", here),
        "foreign_origin_state": socket_answer(here, "/ws/state", "http://evil.example", here),
        "rebound_host_socket": socket_answer(here, "/ws/state", None, f"evil.example:{demo.port}"),
    }
    own = socket_answer(here, "/ws/state", f"http://{here}", here)  # the check can also say yes
    foreign = in_foreign_page(look(browser, demo.url).context, here)
    machine = demo.state()["machine"]["state"]
    commands = [each["command"] for each in demo.ask("GET", "/api/v1/commands")[1]["commands"]]
    return {
        "answers": answers,
        "own_socket": own,
        "foreign_page_in_chromium": foreign,
        "machine": machine,
        "ok": all(answer in (400, 401, 403, 415, 421) for answer in answers.values())
        and own == 101
        and all(answer in ("blocked", "opaque") for answer in foreign.values())
        and (machine, commands) == ("Execute", []),
    }


def socket_answer(place: str, path: str, origin: str | None, host: str) -> int:
    """The HTTP status of a WebSocket's handshake; 101 is a yes. `host` is what the request claims to ask for."""
    address, _, port = place.rpartition(":")
    wire = socket.create_connection((address, int(port)), timeout=10)
    try:
        with connect(f"ws://{host}{path}", sock=wire, origin=origin, proxy=None):  # type: ignore[arg-type]
            return 101
    except InvalidStatus as error:
        return int(error.response.status_code)
    finally:
        wire.close()


class _Foreign(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(FOREIGN_PAGE.encode())

    def log_message(self, *_: Any) -> None:
        """Nothing to say."""


def in_foreign_page(signed_in: Any, here: str) -> dict[str, Any]:
    """A page of another origin, in a browser that is signed in to the station as operator."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = signed_in.new_page()
    try:
        page.goto(f"http://localhost:{server.server_address[1]}/#{here}")
        until("the foreign page's attempts", lambda: page.evaluate("window.done !== undefined"), 60)
        return dict(page.evaluate("window.done"))
    finally:
        signed_in.close()
        server.shutdown()
        server.server_close()


# -- STOP ----------------------------------------------------------------------------------------------------------------

NOTE_CLICK = """() => {
  const note = (event) => (window.clickMs = event.timeStamp);
  document.getElementById("stop").addEventListener("click", note, true);
}"""
MIDDLE_OF_STOP = """() => {
  const { x, y, width, height } = document.getElementById("stop").getBoundingClientRect();
  return [x + width / 2, y + height / 2];
}"""


def one_stop(demo: Demo, page: Any, offset_ms: float) -> float | None:
    """From the click (the browser's own stamp of it) to the device's outputs off and disarmed, by its own record, ms.

    None when the device had disarmed by itself before the click: on a busy machine the lease may run out.
    """
    page.evaluate("window.clickMs = null")
    x, y = page.evaluate(MIDDLE_OF_STOP)
    begun_ns = time.monotonic_ns()
    page.mouse.click(x, y)

    def last_word() -> dict[str, Any]:
        return [row for row in demo.device_rows() if row["what"] in ("armed", "disarmed")][-1]

    until("the device's word of STOP", lambda: last_word()["what"] == "disarmed", 60)
    until("the state Stopped", lambda: demo.state()["machine"]["state"] == "Stopped", 60)
    click_ms, off_ns = page.evaluate("window.clickMs") + offset_ms, last_word()["at_ns"]
    if off_ns <= begun_ns:
        return None
    late = [row["at_ns"] for row in demo.device_rows("edges") if "gate" in row and begun_ns < row["at_ns"]]
    return float(max([off_ns, *late]) / 1e6 - click_ms)


def stops(demo: Demo, browser: Any, limit_ms: float) -> Figures:
    page = look(browser, demo.url)
    page.evaluate(NOTE_CLICK)
    offset_ms = page_clock_ms(page)
    taken_ms: list[float] = []
    off_before = 0
    while len(taken_ms) < STOPS and off_before < STOPS:
        time.sleep(1.0)
        took_ms = one_stop(demo, page, offset_ms)
        if took_ms is None:
            off_before += 1
        else:
            taken_ms.append(round(took_ms, 1))
        demo.sort_again()
    page.context.close()
    return {
        "limit_ms": limit_ms,
        "click_to_outputs_off_ms": taken_ms,
        "disarmed_before_the_click": off_before,
        "median_ms": round(statistics.median(taken_ms), 1) if taken_ms else None,
        "ok": len(taken_ms) == STOPS and max(taken_ms) <= limit_ms,
    }


def stop(demo: Demo, browser: Any, options: argparse.Namespace) -> Figures:
    return stops(demo, browser, STOP_MS)


def loaded(demo: Demo, browser: Any, options: argparse.Namespace) -> Figures:
    others = 4 * len(os.sched_getaffinity(0))
    with busy(others):
        return {"other_processes": others, **stops(demo, browser, LOADED_STOP_MS)}


ON_ONE_DEMO: dict[str, Callable[[Demo, Any, argparse.Namespace], Figures]] = {
    "age": age,
    "slow": slow,
    "refused": refused,
    "killed": killed,
    "stop": stop,
    "loaded": loaded,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join([*ON_ONE_DEMO, "viewers"]), help="steps, with commas between")
    parser.add_argument("--for", dest="for_s", type=float, default=15, help="seconds of looking per step")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - {*ON_ONE_DEMO, "viewers"}:
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    figures: Figures = {"schema": "station.page-figures/1"}
    with TemporaryDirectory() as name:
        folder = Path(name)
        if any(step in ON_ONE_DEMO for step in wanted):
            figures |= on_one_demo(folder, [step for step in ON_ONE_DEMO if step in wanted], options)
        if "viewers" in wanted:
            figures["viewers"] = viewers(folder, options)
    figures["ok"] = all(value["ok"] for value in figures.values() if isinstance(value, dict))
    print(json.dumps(figures, indent=1))
    return 0 if figures["ok"] else 1


def on_one_demo(folder: Path, steps: list[str], options: argparse.Namespace) -> Figures:
    demo, figures = Demo(folder, "line", *LONG, "--seed", str(options.seed)), Figures()
    try:
        demo.wait_for_page()
        with chromium() as browser:
            for step in steps:
                figures[step] = ON_ONE_DEMO[step](demo, browser, options)
                # A later step that raises does not take these along.
                print(step, json.dumps(figures[step]), file=sys.stderr)
        report = demo.end()
    finally:
        if demo.process.poll() is None:
            demo.process.kill()
    after = {"ledger_balanced": report["ledger_balanced"], "wrong_fires": report["wrong_fires"]}
    return {**figures, "run": {**after, "ok": report["ledger_balanced"] and report["wrong_fires"] == 0}}


if __name__ == "__main__":
    sys.exit(main())
